# SPDX-License-Identifier: GPL-2.0-or-later
"""34. Level full: nothing but DNS, the portal and the lifeline, to and from; no two of them reach each other; web traffic
is redirected as configured; and nobody pays for it while nobody is there."""
import json
import subprocess

import pytest

from craft import ACK, SYN, tcp, udp
from daemon import Subscriber
from lab import BUILD, HOST
from net import Server, Wire, attempt, connect, wait_for

PORTAL = {4: "203.0.113.81", 6: "2001:db8:f::81"}
RESOLVER = {4: "203.0.113.53", 6: "2001:db8:f::53"}
LIFELINE = {4: "198.51.100.70", 6: "2001:db8:f:1::70"}
MARKER = {4: ("100.64.3.249", "100.64.10.249"), 6: ("2001:db8:1000:fff1::1", "2001:db8:2000:fff1::1")}


def configure(config):
    config["quarantine"].update(portal=list(PORTAL.values()), lifeline=["198.51.100.64/26", "2001:db8:f:1::/64"],
                                resolvers=list(RESOLVER.values()))


@pytest.fixture(params=["residential", "business"])
def full(request, gate, family):
    """A subscriber at level full."""
    sub = gate.fresh(request.param, family)
    gate.daemon.ok("quarantine", sub.address, "--level", "full", "--for", "1h")
    yield sub
    gate.daemon.ok("release", sub.address)


@pytest.fixture
def inward(gate, family):
    """The wire from the internet to subscribers behind suba."""
    wire = Wire(gate.lab.inet, gate.lab.suba, HOST[family], MARKER[family][0], receiver_iface="eth0")
    wire.sender.close()
    from net import Sender  # towards the gateway, by its own interface
    wire.sender = Sender(gate.lab.inet, "gw0")
    yield wire
    wire.close()


def hooks(gate):
    """Base chains of our table in the kernel."""
    listed = json.loads(gate.lab.gw.run("nft", "-j", "list", "chains", "inet").stdout)["nftables"]
    return {c["chain"]["name"] for c in listed
            if "chain" in c and c["chain"]["table"] == "enforcer" and "hook" in c["chain"]}


def test_what_leaves(gate, family, full):
    """DNS to the resolvers, the portal and the lifeline on all ports but 25, and nothing else."""
    a, other = full.address, "203.0.113.54" if family == 4 else "2001:db8:f::54"
    passed = gate.passes(full, udp(a, RESOLVER[family], 5001, 53), tcp(a, RESOLVER[family], 5002, 53, SYN),
                         tcp(a, PORTAL[family], 5003, 80, SYN), tcp(a, PORTAL[family], 5004, 443, SYN),
                         udp(a, LIFELINE[family], 5005, 443), tcp(a, LIFELINE[family], 5006, 80, SYN))
    assert passed == [True] * 6
    before = gate.daemon.call("status")["counters"]["confined"]["packets"]
    passed = gate.passes(full, udp(a, other, 5007, 53), tcp(a, other, 5008, 53, SYN), udp(a, RESOLVER[family], 5009, 54),
                         tcp(a, HOST[family], 5010, 80, SYN), tcp(a, HOST[family], 5011, 443, SYN),
                         tcp(a, HOST[family], 5012, 443, ACK), udp(a, HOST[family], 5013, 443))
    assert passed == [False] * 7
    assert gate.daemon.call("status")["counters"]["confined"]["packets"] == before + 7
    for place in (HOST, PORTAL, LIFELINE, RESOLVER):
        assert gate.passes(full, gate.syn(full, place[family])) == [False], "never port 25"


def test_what_comes(gate, family, full, inward):
    """Answers of the same, and of nobody else; a connection from port 53 is none of DNS."""
    if full.node is not gate.lab.suba:
        pytest.skip("the other network")
    a = full.address
    passed = inward.pass_through(
        udp(RESOLVER[family], a, 53, 6001), tcp(RESOLVER[family], a, 53, 6002, SYN | ACK),
        tcp(PORTAL[family], a, 443, 6003, ACK), udp(LIFELINE[family], a, 443, 6004),
        tcp(RESOLVER[family], a, 53, 6005, SYN), udp(HOST[family], a, 53, 6006), udp(HOST[family], a, 4000, 6007),
        tcp(HOST[family], a, 443, 6008, ACK), tcp(HOST[family], a, 40000, 22, SYN))
    assert passed == [True] * 4 + [False] * 5


def test_neighbours(gate, family, full):
    """Not to another one at that level, even where the lifeline has it; nor to and from those who are free."""
    other, free = gate.fresh("business", family, "b"), gate.fresh("business", family, "b")
    wire = Wire(gate.lab.suba, gate.lab.subb, *MARKER[family])
    packets = [udp(full.address, s.address, 7001, 7001) for s in (other, free)]
    assert wire.pass_through(*packets) == [False, False]
    gate.daemon.ok("quarantine", other.address, "--level", "full", "--for", "1h")
    stranger = gate.fresh("business", family)
    assert wire.pass_through(*packets, udp(stranger.address, other.address, 7002, 7002),
                             udp(stranger.address, free.address, 7003, 7003)) == [False, False, False, True]
    config = json.loads(gate.daemon.config_path.read_text())
    gate.daemon.write({**config, "quarantine": {**config["quarantine"], "lifeline": [
        "100.64.8.0/22" if family == 4 else "2001:db8:2000::/48"]}})
    gate.daemon.ok("reload")
    assert wire.pass_through(*packets, gate.syn(full, free.address)) == [False, True, False], "of the lifeline"
    gate.daemon.write(config)
    gate.daemon.ok("reload")
    gate.daemon.ok("release", other.address)
    wire.close()


def test_prefix_and_level_smtp(gate, family):
    """A prefix at level full; level smtp leaves all but port 25 alone; the observed lose nothing."""
    prefix, inside = ("100.64.1.192/28", "100.64.1.195") if family == 4 else ("2001:db8:1000:4f00::/60", "2001:db8:1000:4f03::5")
    sub, smtp, seen = (Subscriber(gate.lab.suba, inside, inside, "business"), gate.fresh("business", family),
                       gate.fresh("pilot", family))
    gate.daemon.ok("quarantine", prefix, "--level", "full", "--for", "1h")
    gate.daemon.ok("quarantine", smtp.address, "--level", "smtp", "--for", "1h")
    gate.daemon.ok("quarantine", seen.address, "--level", "full", "--for", "1h")
    for s, passes in ((sub, False), (smtp, True), (seen, True)):
        assert gate.passes(s, tcp(s.address, HOST[family], 7100, 443, SYN)) == [passes], s.name
    assert gate.passes(sub, tcp(sub.address, PORTAL[family], 7101, 443, SYN)) == [True]
    for who in (prefix, smtp.address, seen.address):
        gate.daemon.ok("release", who)
    assert gate.passes(sub, tcp(sub.address, HOST[family], 7102, 443, SYN)) == [True]


def test_mode_observe(gate, family, full):
    gate.daemon.ok("mode", "observe")
    assert gate.passes(full, tcp(full.address, HOST[family], 7200, 443, SYN)) == [True]
    assert gate.daemon.ok("portal", full.address)["captive"] is False
    gate.daemon.ok("mode", "file")
    assert gate.passes(full, tcp(full.address, HOST[family], 7201, 443, SYN)) == [False]


def test_hook_only_while_needed(gate):
    """The first one brings the hook, the last one takes it along; the table is no longer than that other than before."""
    sub = gate.fresh("business", 4)
    wait_for("the hook to go", lambda: hooks(gate) == {"forward"})
    gate.daemon.ok("quarantine", sub.address, "--level", "full", "--for", "1h")
    assert hooks(gate) == {"forward", "garden"}, "when the command is answered it is there"
    gate.daemon.ok("release", sub.address)
    wait_for("the hook to go", lambda: hooks(gate) == {"forward"})
    assert not gate.daemon.events("ruleset-tampered") and gate.lab.conntrack_count() == 0


@pytest.fixture(scope="module", params=["drop", "reset"])
def answering(request, make_gate):
    def change(config):
        configure(config)
        config["quarantine"].update(block_with=request.param)
    return make_gate(change).start()


@pytest.mark.parametrize("level", ["smtp", "full"])
def test_block_with(answering, family, level):
    """A connection that was open, and a new one: silence, or a reset. Nothing reaches the server either way, and who is
    observed loses nothing."""
    gate, port = answering, 25 if level == "smtp" else 443
    resets = gate.config["quarantine"]["block_with"] == "reset"
    server = Server(gate.lab.inet, port, HOST[family], family)
    sub = gate.fresh("business", family)
    sock = connect(sub.node, sub.address, HOST[family], port, timeout=10)
    assert sock.recv(100)
    gate.daemon.ok("quarantine", sub.address, "--level", level, "--for", "1h")
    lines = len(server.lines)
    sock.settimeout(10 if resets else 1)
    sock.sendall(b"NOOP\r\n")
    with pytest.raises(ConnectionResetError if resets else TimeoutError):
        sock.recv(100)
    assert attempt(sub.node, sub.address, HOST[family], port, timeout=10 if resets else 1) == ("refused" if resets else "timeout")
    assert len(server.lines) == lines
    if level == "full":
        assert gate.passes(sub, udp(sub.address, HOST[family], 7301, 443)) == [False], "what is no TCP is dropped"
        assert attempt(sub.node, sub.address, HOST[family], 80, timeout=10 if resets else 1) == ("refused" if resets else "timeout")
    gate.daemon.ok("release", sub.address)
    sock.close()
    server.close()


@pytest.fixture(scope="module")
def redirecting(make_gate):
    def change(config):
        configure(config)
        config["quarantine"].update(redirect="dnat")
    return make_gate(change).start()


def came(server, *clients):
    """Waits until a server was asked by these, in that order, and by nobody else."""
    wait_for(f"{clients} at the server", lambda: [peer[0] for peer in server.accepted] == list(clients))


def test_dnat(redirecting, family):
    """Port 80 of whomever leads to the portal, which sees the subscriber; the lifeline is left alone; what connection
    tracking costs is warned of, and is there only meanwhile."""
    gate = redirecting
    sub, free = gate.fresh("business", family), gate.fresh("business", family)
    portal, host, life = (Server(gate.lab.inet, 80, a[family], family, b"here\r\n") for a in (PORTAL, HOST, LIFELINE))
    assert attempt(sub.node, sub.address, HOST[family], 80) == "open"
    gate.daemon.ok("quarantine", sub.address, "--level", "full", "--for", "1h")
    assert "garden_redirect" in hooks(gate)
    assert attempt(sub.node, sub.address, HOST[family], 80) == "open"
    came(portal, sub.address)
    assert attempt(sub.node, sub.address, PORTAL[family], 80) == "open"
    came(portal, sub.address, sub.address)
    assert attempt(sub.node, sub.address, LIFELINE[family], 80) == "open"
    came(life, sub.address)
    assert attempt(free.node, free.address, HOST[family], 80) == "open"
    came(host, sub.address, free.address)
    assert attempt(sub.node, sub.address, HOST[family], 443, timeout=1) == "timeout"
    assert any("connection tracking" in w for w in gate.daemon.call("status")["warnings"])
    assert "connection tracking" in gate.daemon.ctl("status").stdout
    gate.daemon.ok("release", sub.address)
    assert attempt(sub.node, sub.address, HOST[family], 80) == "open"
    came(host, sub.address, free.address, sub.address)
    for server in (portal, host, life):
        server.close()


def test_check_warns(redirecting):
    done = subprocess.run([BUILD / "enforcerd", "--check", "-c", redirecting.daemon.config_path], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and "warning: quarantine.redirect: dnat switches connection tracking on" in done.stderr


def test_tproxy(make_gate, family):
    """Web traffic is given to a server on the router itself, which sees where it was going."""
    import socket

    def change(config):
        configure(config)
        config["quarantine"].update(redirect="tproxy", tproxy={"port": 8080, "mark": 256})
    gate = make_gate(change).start()
    flag = "" if family == 4 else "-6 "
    gate.lab.gw.run("ip", *f"{flag}rule add fwmark 0x100 lookup 100".split())
    gate.lab.gw.run("ip", *f"{flag}route add local default dev lo table 100".split())
    listener = gate.lab.gw.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(*((socket.SOL_IP, 19, 1) if family == 4 else (socket.IPPROTO_IPV6, 75, 1)))  # transparent
    listener.bind(("0.0.0.0" if family == 4 else "::", 8080))
    listener.listen(5)
    sub = gate.fresh("business", family)
    gate.daemon.ok("quarantine", sub.address, "--level", "full", "--for", "1h")
    assert attempt(sub.node, sub.address, HOST[family], 80) == "open"
    listener.settimeout(5)
    conn, peer = listener.accept()
    assert (peer[0], conn.getsockname()[0]) == (sub.address, HOST[family])
    conn.close()
    listener.close()
    assert any("fragments" in w for w in gate.daemon.call("status")["warnings"])
