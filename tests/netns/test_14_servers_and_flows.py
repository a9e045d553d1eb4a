# SPDX-License-Identifier: GPL-2.0-or-later
"""14. Subscribers' own mail servers, mail between subscribers, repeated SYNs, flows older than the daemon, and a bot with
very many flows."""
import os
import struct

import pytest

from craft import ACK, RST, SYN, flows, tcp
from lab import ATTACKER, FAMILIES, HOST, RELAY, SMARTHOST
from mail import Postfix, swaks
from net import Server, Sniffer, Wire, addresses, attempt, connect, tcp_flags, wait_for

MANY = 1_000_000 if os.environ.get("LONG") == "1" else 100_000  # flows of the bot; LONG=1 does the whole million


@pytest.mark.parametrize("group", ["residential", "business"])
def test_own_mail_server(gate, family, group):
    """It receives mail from the internet, also in quarantine; its answers are neither blocked nor evidence."""
    server = Server(gate.lab.suba, 25, family=family)
    sub = gate.fresh(group, family)
    mark = gate.daemon.mark()
    for _ in range(40):
        with connect(gate.lab.atk, ATTACKER[family], sub.address, timeout=5) as sock:
            assert sock.recv(100).startswith(b"220")
            sock.sendall(b"NOOP\r\n")
            assert sock.recv(100) == b"250 NOOP\r\n"
    assert attempt(gate.lab.atk, ATTACKER[family], sub.address) == "open"
    gate.probe()
    assert gate.connections(sub) == 0 and not gate.is_quarantined(sub)
    assert not gate.daemon.events("egress-blocked", sub.name, mark)
    gate.daemon.ok("quarantine", sub.address)
    with connect(gate.lab.atk, ATTACKER[family], sub.address, timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
    server.close()


def test_refusals_of_an_own_server(gate, family):
    """RST from port 25, to somebody who asks where no server is."""
    sub = gate.fresh("residential", family)
    for _ in range(30):
        assert attempt(gate.lab.atk, ATTACKER[family], sub.address) == "refused"
    gate.probe()
    assert gate.connections(sub) == 0


def test_real_mail_to_an_own_server(gate, family):
    """Postfix on the subscriber's line, swaks on the internet."""
    if not hasattr(gate, "own"):
        gate.own = Postfix(gate.lab.suba)
    gate.own.ready()
    for group in ("residential", "business"):
        sub = gate.fresh(group, family)
        done = swaks(gate.lab.atk, ATTACKER[family], sub.address, f"to {sub.name}")
        assert done.returncode == 0, done.stdout + done.stderr
        gate.own.wait_message(f"to {sub.name}")


def test_subscriber_to_subscriber(gate, family):
    """Mail from one subscriber to another's server is egress: blocked or inspected, and counted."""
    target = gate.fresh("business", family, "b")
    server = Server(gate.lab.subb, 25, family=family)
    blocked, inspected = gate.fresh("residential", family), gate.fresh("business", family)
    mark = gate.daemon.mark()
    assert gate.attempt(blocked, target.address, timeout=0.5) == "timeout"
    gate.daemon.wait_event("egress-blocked", blocked.name, since=mark)
    assert gate.attempt(inspected, target.address) == "open"
    wait_for("one connection each", lambda: gate.connections(blocked) == gate.connections(inspected) == 1)
    gate.probe()
    assert gate.connections(target) == 0
    for _ in range(25):
        gate.attempt(inspected, target.address, timeout=0.3)
    gate.wait_quarantined(inspected, mark)
    server.close()


def test_repeated_syn_counts_once(gate, family):
    """A stack repeats its SYN with the same numbers; a new sequence number is a new connection."""
    for group in ("residential", "business"):
        sub = gate.fresh(group, family)
        packet = gate.syn(sub, seq=5)
        gate.sender(sub.node).send(*[packet] * 30)
        wait_for("one connection", lambda: gate.connections(sub) == 1)
        gate.probe()
        assert gate.connections(sub) == 1 and not gate.is_quarantined(sub)
        sport = struct.unpack_from("!H", packet, 20 if family == 4 else 40)[0]
        gate.sender(sub.node).send(tcp(sub.address, HOST[family], sport, 25, SYN, seq=6))
        wait_for("two connections", lambda: gate.connections(sub) == 2)


def test_real_retransmissions(gate, family):
    """A kernel that gets no answer repeats after a second: still one connection."""
    sub = gate.fresh("residential", family)
    with Sniffer(gate.lab.gw, "sub0", match=lambda p: addresses(p)[0] == sub.address) as sniffer:
        assert gate.attempt(sub, timeout=2.5) == "timeout"
        assert len([p for p in sniffer.packets if tcp_flags(p) == SYN]) >= 2
    gate.probe()
    assert gate.connections(sub) == 1


def test_both_ports_25(gate, family):
    """Source and destination port 25 is a connection, and blocked."""
    sub = gate.fresh("residential", family)
    assert gate.passes(sub, tcp(sub.address, HOST[family], 25, 25, SYN)) == [False]
    wait_for("one connection", lambda: gate.connections(sub) == 1)


def test_flow_older_than_the_daemon(make_gate):
    """Opened before the daemon's first start: under `inspect`, for relays, hosts in no group and own servers it goes on;
    under `block` it ends."""
    gate = make_gate()
    old = {}
    servers = []
    for family in FAMILIES:
        servers += [Server(gate.lab.inet, 25, family=family), Server(gate.lab.suba, 25, family=family)]
        for group in ("residential", "business", "pilot", "none"):
            sub = gate.fresh(group, family)
            old[group, family] = connect(sub.node, sub.address, HOST[family], timeout=5)
        old["relay", family] = connect(gate.lab.relay, RELAY[family], HOST[family], timeout=5)
        own = gate.fresh("residential", family)
        old["own server", family] = connect(gate.lab.atk, ATTACKER[family], own.address, timeout=5)
    for sock in old.values():
        assert sock.recv(100).startswith(b"220")
    gate.start()
    for (who, family), sock in old.items():
        sock.settimeout(2 if who == "residential" else 10)
        sock.sendall(b"NOOP\r\n")
        if who == "residential":
            with pytest.raises(TimeoutError):
                sock.recv(100)
        else:
            assert sock.recv(100) == b"250 NOOP\r\n", (who, family)
    for thing in (*old.values(), *servers):
        thing.close()
    gate.close()


@pytest.mark.parametrize("group", ["business", "residential"])
def test_very_many_flows(make_gate, family, group):
    """One bot opens a hundred thousand flows or a million. Nobody else loses a connection or an answer, and the bot alone
    is convicted."""
    gate = make_gate().start()
    server = Server(gate.lab.inet, 25, HOST[family], family)
    honest = gate.fresh("business", family)
    bot = gate.fresh(group, family)
    old = connect(honest.node, honest.address, HOST[family], timeout=5)
    assert old.recv(100).startswith(b"220")
    mark = gate.daemon.mark()
    sender = gate.sender(bot.node)
    # To addresses without a server, so that the far end does not matter.
    stem = HOST[family][:-2]
    for part in range(10):
        sender.send(*flows(bot.address, f"{stem}{part + 1}", MANY // 10, first_port=2000))
        old.sendall(b"NOOP\r\n")
        assert old.recv(100) == b"250 NOOP\r\n"
        assert gate.attempt(honest, timeout=5) == "open"
    gate.wait_quarantined(bot, mark)
    assert gate.attempt(honest, timeout=5) == "open"
    other = gate.fresh("business", family)
    with connect(other.node, other.address, HOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
    assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open"
    assert not gate.is_quarantined(honest) and not gate.is_quarantined(other)
    # How many the kernel remembers for the bot is bounded by its cap, far below what it sent.
    elements = gate.lab.gw.run("nft", "list", "set", "inet", "enforcer", f"flows{family}").stdout.count("expires")
    assert elements < 20000, elements
    assert gate.daemon.alive()
    old.close()
    server.close()
    gate.close()


def test_very_many_flows_to_the_smarthost(make_gate, family):
    """The same towards the smarthost, which is allowed and convicts nobody: the cap holds there too."""
    gate = make_gate().start()
    smart = Server(gate.lab.smart, 25, family=family)
    bot, honest = gate.fresh("residential", family), gate.fresh("residential", family)
    gate.sender(bot.node).send(*flows(bot.address, SMARTHOST[family], 60000, flags=RST))
    elements = gate.lab.gw.run("nft", "list", "set", "inet", "enforcer", f"free{family}").stdout.count("expires")
    assert elements < 20000, elements
    assert attempt(honest.node, honest.address, SMARTHOST[family], timeout=5) == "open"
    smart.close()
    gate.close()


def test_answers_go_on_after_idling_and_reuse(gate, family):
    """The same ports again, at once: a new connection of its own, with its answers."""
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    for _ in range(3):
        with connect(sub.node, sub.address, HOST[family], sport=45000, timeout=5) as sock:
            assert sock.recv(100).startswith(b"220")
            sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: end with RST, so that the port is free
    wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
    assert wire.pass_through(tcp(ATTACKER[family], sub.address, 25, 45000, ACK)) == [False]
    wire.close()
    wait_for("three connections", lambda: gate.connections(sub) == 3)
    server.close()
