# SPDX-License-Identifier: GPL-2.0-or-later
"""12. The same on a gateway that masquerades and on one with connection tracking; where nobody switched it on, neither
do we."""
import pytest

from craft import ACK, RST, SYN, flows, fragment, segment, tcp
from lab import ATTACKER, FAMILIES, GATEWAY_UP, HOST, RELAY, SMARTHOST
from net import Server, Wire, attempt, connect, wait_for


def everything(gate, family):
    """Each policy and each direction once: the same asserts on every kind of gateway."""
    server, smart = Server(gate.lab.inet, 25, family=family), Server(gate.lab.smart, 25, family=family)
    sub = gate.fresh("residential", family)
    assert gate.attempt(sub, timeout=0.5) == "timeout"
    assert attempt(sub.node, sub.address, SMARTHOST[family]) == "open"
    gate.daemon.wait_event("egress-blocked", sub.name)

    honest = gate.fresh("business", family)
    with connect(honest.node, honest.address, HOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
        sock.sendall(b"NOOP\r\n")
        assert sock.recv(100) == b"250 NOOP\r\n"
        gate.daemon.ok("quarantine", honest.address)
        sock.settimeout(1)
        sock.sendall(b"NOOP\r\n")
        with pytest.raises(TimeoutError):
            sock.recv(100)
    assert gate.attempt(honest, timeout=0.5) == "timeout"
    gate.daemon.ok("release", honest.address)
    assert gate.attempt(honest) == "open"

    assert gate.attempt(gate.fresh("pilot", family)) == "open"
    assert gate.attempt(gate.fresh("none", family)) == "open"
    assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open"

    bot = gate.fresh("business", family)
    mark = gate.daemon.mark()
    for _ in range(21):
        gate.attempt(bot, timeout=1)
    gate.wait_quarantined(bot, mark)
    assert gate.attempt(bot, timeout=0.5) == "timeout"

    mark = gate.daemon.mark()
    wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
    assert wire.pass_through(tcp(ATTACKER[family], sub.address, 25, 5000, SYN | ACK),
                             tcp(ATTACKER[family], sub.address, 25, 5000, ACK, data=b"220 x\r\n"),
                             tcp(ATTACKER[family], sub.address, 25, 5000, RST)) == [False] * 3
    wire.close()
    gate.daemon.wait_event("inbound-spoofed", since=mark)
    server.close()
    smart.close()
    return server


def test_masquerade(make_gate, family):
    """The world sees the gateway's address, the daemon sees the subscriber's."""
    gate = make_gate()
    gate.lab.masquerade()
    gate.start()
    # Mail to a subscriber's own address is routed in this lab, so the same asserts hold.
    server = everything(gate, family)
    assert {peer[0] for peer in server.accepted} == {GATEWAY_UP[family]}
    assert gate.lab.conntrack_count() > 0, "the other table did switch it on"
    gate.close()


def test_masquerade_with_unasked_packets_to_the_gateway(make_gate, family):
    """To the public address itself: nobody behind it asked, and the host behind an open flow gets only its own."""
    gate = make_gate()
    gate.lab.masquerade()
    gate.start()
    server = Server(gate.lab.inet, 25, family=family)
    honest = gate.fresh("business", family)
    with connect(honest.node, honest.address, HOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
        sport = server.accepted[-1][1]
        wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], honest.address)
        foreign = tcp(ATTACKER[family], GATEWAY_UP[family], 25, sport, SYN | ACK)
        wire.pass_through(foreign)
        assert not [p for p in wire.sniffer.packets if b"marker" not in p and p[0] >> 4 == family and p[-20:] == foreign[-20:]]
        wire.close()
        sock.sendall(b"NOOP\r\n")
        assert sock.recv(100) == b"250 NOOP\r\n"
    server.close()
    gate.close()


def test_conntrack_of_others(make_gate, family):
    gate = make_gate()
    gate.lab.conntrack()
    gate.start()
    everything(gate, family)
    assert gate.lab.conntrack_count() > 0
    # Whoever tracks connections also puts fragments together: the tricks fail there too.
    sub = gate.fresh("residential", family)
    data = segment(sub.address, HOST[family], 6000, 25, data=b"x" * 16)
    got = gate.passes(sub, fragment(sub.address, HOST[family], 800, 0, 1, data[:8]),
                      fragment(sub.address, HOST[family], 800, 8, 0, data[8:]))
    assert got[0] is False
    gate.close()


def test_we_track_nothing(make_gate):
    """Every policy in use, quarantine, relays, smarthosts, the inbound rules: not one tracked connection, and nobody
    puts fragments together."""
    def configure(config):
        config["groups"].append({"name": "fast", "prefixes": ["100.64.3.192/26"], "policy": "block", "block_with": "reset"})
    gate = make_gate(configure).start()
    for family in FAMILIES:
        everything(gate, family)
        assert gate.lab.conntrack_count() == 0
        sub = gate.fresh("residential", family)
        data = segment(sub.address, HOST[family], 6000, 587, data=b"x" * 16)
        assert gate.passes(sub, fragment(sub.address, HOST[family], 800, 0, 1, data[:24])) == [True], \
            "half a packet passes: nobody waits for the other half"
        gate.syns(sub, 500, dport=587)
    assert attempt(gate.lab.suba, "100.64.3.200", HOST[4]) == "refused"
    gate.sender(gate.lab.suba).send(*flows("100.64.1.99", HOST[4], 2000))
    gate.probe()
    assert gate.lab.conntrack_count() == 0
    wait_for("an idle moment", lambda: gate.daemon.ok("status"))
    assert gate.lab.conntrack_count() == 0
    gate.close()
