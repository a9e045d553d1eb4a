# SPDX-License-Identifier: GPL-2.0-or-later
"""21. Connections that somebody else tracks or puts into a flowtable: judged as long as they pass the forward hook; a
quarantine cuts them wherever they are, and says whether anything still passes."""
import os

import pytest

from lab import HOST, RELAY
from net import Server, attempt, connect, wait_for
from node import LabError

PORTAL = {4: "203.0.113.81", 6: "2001:db8:f::81"}


def dialogue(sock, times=1):
    """Whether all of these lines were answered."""
    try:
        for _ in range(times):
            sock.sendall(b"NOOP\r\n")
            if sock.recv(100) != b"250 NOOP\r\n":
                return False
    except TimeoutError:
        return False
    return True


def talking(sub, destination=None, port=25):
    """An open connection of a subscriber that has greeted and talked."""
    sock = connect(sub.node, sub.address, destination or HOST[sub.family], port, timeout=10)
    assert sock.recv(100).startswith(b"220")
    assert dialogue(sock, 3)
    return sock


def tracked(gate, address, port=25):
    """Tracked connections from an address to a port."""
    return [line for line in gate.lab.tracked() if f" src={address} " in line.split("dport")[0] and f" dport={port} " in line]


def wait_cut(gate, sub, since, port=""):
    event = gate.daemon.wait_event("connections-cut", sub.name, since=since)
    assert event["event"]["outcome"] == "success", event
    assert event["event"]["reason"].endswith(f"in the second after that 0 packets of it{port} passed"), event
    return event


def configure(config):
    config["quarantine"].update(portal=list(PORTAL.values()))


@pytest.fixture(scope="module")
def stateful(make_gate):
    """A gateway on which another table asks for states."""
    gate = make_gate(configure)
    gate.lab.conntrack()
    return gate.start()


@pytest.fixture(scope="module")
def fast(make_gate):
    """A gateway on which another table offloads; skipped where the kernel cannot, which in tests/vm is a failure."""
    gate = make_gate(configure)
    try:
        gate.lab.flowtable()
    except LabError as e:
        if os.environ.get("ENFORCER_FLOWTABLE") == "must":
            raise
        pytest.skip(f"this kernel has no flowtables (CONFIG_NF_FLOW_TABLE_INET): {str(e).splitlines()[0]}")
    return gate.start()


def test_tracked_connections_go(stateful, family):
    """Those of the quarantined to port 25, no other port's and nobody else's."""
    gate = stateful
    servers = [Server(gate.lab.inet, port, family=family) for port in (25, 587)]
    sub, other = gate.fresh("business", family), gate.fresh("business", family)
    mail, submission, others = talking(sub), talking(sub, port=587), talking(other)
    assert tracked(gate, sub.address) and tracked(gate, sub.address, 587) and tracked(gate, other.address)
    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", sub.address)
    event = wait_cut(gate, sub, mark)
    assert event["enforcer"]["count"] == 1 and event["enforcer"]["level"] == "smtp"
    assert not tracked(gate, sub.address)
    mail.settimeout(1)
    assert not dialogue(mail)
    assert not tracked(gate, sub.address), "what is dropped is not tracked again"
    assert dialogue(submission) and dialogue(others)
    assert tracked(gate, sub.address, 587) and tracked(gate, other.address)
    assert not gate.daemon.events("connections-cut", other.name)
    for thing in (mail, submission, others, *servers):
        thing.close()


def cut_at_level_full(gate, family, talk):
    """All ports of a subscriber that comes to level full, but the portal, and nobody else's."""
    servers = [Server(gate.lab.inet, port, a[family], family) for a in (HOST, PORTAL) for port in (25, 587)]
    sub, other = gate.fresh("business", family), gate.fresh("business", family)
    mail, submission, others = talk(gate, sub), talk(gate, sub, port=587), talk(gate, other, port=587)
    portal = talk(gate, sub, PORTAL[family], 587)
    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", sub.address, "--level", "smtp")
    assert wait_cut(gate, sub, mark)["enforcer"]["count"] == 1
    assert not tracked(gate, sub.address) and dialogue(submission)
    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", sub.address, "--level", "full")
    event = wait_cut(gate, sub, mark, " to port 25")
    assert event["enforcer"]["count"] == 1 and event["enforcer"]["level"] == "full"
    assert event["event"]["reason"].startswith("1 connections that the kernel tracked were deleted"), event
    lines = len(servers[1].lines)
    submission.settimeout(1)
    assert not dialogue(submission) and len(servers[1].lines) == lines
    assert dialogue(portal, 3) and dialogue(others, 3)
    assert len(tracked(gate, sub.address, 587)) == 1 and tracked(gate, other.address, 587)
    gate.daemon.ok("release", sub.address)
    for thing in (mail, submission, portal, others, *servers):
        thing.close()
    return event


def test_level_full(stateful, family):
    cut_at_level_full(stateful, family, lambda gate, *where, **more: talking(*where, **more))


def test_conviction_cuts(stateful, family):
    """The detector's as well."""
    gate = stateful
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    sock = talking(sub)
    mark = gate.daemon.mark()
    for _ in range(21):
        gate.attempt(sub, timeout=1)
    gate.wait_quarantined(sub, mark)
    assert wait_cut(gate, sub, mark)["enforcer"]["count"] >= 1
    assert not tracked(gate, sub.address)
    sock.close()
    server.close()


def test_prefix(stateful):
    """One event for all that a prefix by hand holds."""
    gate = stateful
    server = Server(gate.lab.inet, 25)
    subs = [gate.fresh("business") for _ in range(3)]
    socks = [talking(sub) for sub in subs]
    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", "100.64.1.0/24", "--for", "1m")
    event = gate.daemon.wait_event("connections-cut", "100.64.1.0/24", since=mark)
    assert event["enforcer"]["count"] >= 3 and event["event"]["outcome"] == "success"
    assert not any(tracked(gate, sub.address) for sub in subs)
    gate.daemon.ok("release", "100.64.1.0/24")
    for thing in (*socks, server):
        thing.close()


def test_mail_that_comes_in_stays(stateful, family):
    """To the subscriber's own server: no egress, not touched."""
    gate = stateful
    sub = gate.fresh("business", family)
    server, theirs = Server(gate.lab.suba, 25, family=family), Server(gate.lab.inet, 25, family=family)
    out = talking(sub)
    sock = connect(gate.lab.inet, HOST[family], sub.address, timeout=10)
    assert sock.recv(100).startswith(b"220")
    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", sub.address)
    wait_cut(gate, sub, mark)
    assert tracked(gate, HOST[family])
    assert dialogue(sock)
    for thing in (sock, out, server, theirs):
        thing.close()


def test_relay_quarantined_with_force(stateful, family):
    """It is cut like a subscriber; as long as nobody forces it, its connections stay."""
    gate = stateful
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    sock, out = connect(gate.lab.relay, RELAY[family], HOST[family], timeout=10), talking(sub)
    assert sock.recv(100).startswith(b"220")
    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", sub.address)
    wait_cut(gate, sub, mark)
    assert tracked(gate, RELAY[family]) and dialogue(sock)
    gate.daemon.ok("quarantine", RELAY[family], "--force")
    wait_for("the relay's connections cut", lambda: not tracked(gate, RELAY[family]))
    sock.settimeout(1)
    assert not dialogue(sock)
    gate.daemon.ok("release", RELAY[family])
    for thing in (sock, out, server):
        thing.close()


def test_observe_cuts_nothing(make_gate, family):
    gate = make_gate(lambda config: config.update(mode="observe"))
    gate.lab.conntrack()
    gate.start()
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    sock = talking(sub)
    gate.daemon.ok("quarantine", sub.address)
    assert dialogue(sock) and tracked(gate, sub.address)
    mark = gate.daemon.mark()
    gate.daemon.ok("mode", "enforce")
    wait_cut(gate, sub, mark)
    assert not tracked(gate, sub.address)
    sock.settimeout(1)
    assert not dialogue(sock)
    sock.close()
    server.close()
    gate.close()


def test_what_was_tracked_while_no_daemon_ran(make_gate):
    """The daemon is killed, the table deleted; a quarantined subscriber connects; the daemon returns."""
    gate = make_gate()
    gate.lab.conntrack()
    gate.start()
    server = Server(gate.lab.inet, 25)
    sub = gate.fresh("business")
    gate.daemon.ok("quarantine", sub.address)
    assert gate.attempt(sub, timeout=0.5) == "timeout"
    gate.daemon.kill()
    gate.lab.gw.nft("delete table inet enforcer")
    sock = talking(sub)
    assert tracked(gate, sub.address)
    mark = gate.daemon.mark()
    gate.daemon.start()
    wait_cut(gate, sub, mark)
    assert not tracked(gate, sub.address)
    sock.settimeout(1)
    assert not dialogue(sock)
    sock.close()
    server.close()
    gate.close()


# --- a flowtable ---------------------------------------------------------------------------------------------
def offloaded(gate, sub, destination=None, port=25):
    """Talks until the flowtable has the connection: an open socket whose packets pass no hook any more."""
    sock = talking(sub, destination, port)
    wait_for(f"{sub.name} in the flowtable", lambda: dialogue(sock) and any(
        "[OFFLOAD]" in t and f" dst={destination or HOST[sub.family]} " in t for t in tracked(gate, sub.address, port)))
    return sock


def outward(gate):
    """Packets to port 25 that a chain in the forward hook saw."""
    text = gate.lab.gw.run("nft", "list", "table", "inet", "fast").stdout
    return int(text.split("tcp dport 25 counter packets ")[1].split()[0])


def test_flowtable_is_read_then_cut(fast, family):
    """An inspected connection: its beginning is read and counted, then the flowtable has it, then a quarantine stops it."""
    gate = fast
    server = Server(gate.lab.inet, 25, family=family)
    sub, other = gate.fresh("business", family), gate.fresh("business", family)
    before = gate.daemon.call("status")["telemetry"]["workers"][0]["queue_packets"]
    sock, others = offloaded(gate, sub), offloaded(gate, other)
    assert gate.daemon.call("status")["telemetry"]["workers"][0]["queue_packets"] >= before + 4
    assert gate.connections(sub) == 1
    unseen = outward(gate)
    assert dialogue(sock, 20)
    assert outward(gate) == unseen, "the flowtable has it: no forward hook sees it"

    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", sub.address)
    event = wait_cut(gate, sub, mark)
    assert "1 of them offloaded" in event["event"]["reason"]
    lines = len(server.lines)
    sock.settimeout(2)
    assert not dialogue(sock)
    assert len(server.lines) == lines, "nothing reached the server"
    assert not tracked(gate, sub.address)
    assert dialogue(others, 20), "nobody else notices"
    gate.daemon.ok("release", sub.address)
    for thing in (sock, others, server):
        thing.close()


def test_flowtable_and_conviction(fast, family):
    """A bot with a long connection in the flowtable opens 21 more: all end."""
    gate = fast
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    sock = offloaded(gate, sub)
    mark = gate.daemon.mark()
    for _ in range(21):
        attempt(sub.node, sub.address, HOST[family], timeout=2)
    gate.wait_quarantined(sub, mark)
    assert gate.daemon.wait_event("connections-cut", sub.name, since=mark)["event"]["outcome"] == "success"
    lines = len(server.lines)
    sock.settimeout(2)
    assert not dialogue(sock)
    assert len(server.lines) == lines
    sock.close()
    server.close()


def test_flowtable_and_level_full(fast, family):
    event = cut_at_level_full(fast, family, offloaded)
    assert "1 of them offloaded" in event["event"]["reason"]


def test_flowtable_keeps_other_ports(fast, family):
    gate = fast
    servers = [Server(gate.lab.inet, port, family=family) for port in (25, 587)]
    sub = gate.fresh("business", family)
    mail, submission = offloaded(gate, sub), talking(sub, port=587)
    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", sub.address)
    wait_cut(gate, sub, mark)
    assert dialogue(submission, 20)
    for thing in (mail, submission, *servers):
        thing.close()
