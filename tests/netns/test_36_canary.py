# SPDX-License-Identifier: GPL-2.0-or-later
"""36. A policy for a share of the subscribers: by a hash that kernel and daemon agree on; the others are only observed."""
import copy

import pytest

from craft import ACK, SYN, tcp
from daemon import PLACES, Subscriber
from lab import ATTACKER, FAMILIES, HOST, TRAP
from net import Server, Wire, connect, wait_for
from share import share

PERCENT = {"residential": 50, "business": 40, "pilot": 100}


def configure(config):
    for group in config["groups"]:
        group["canary_percent"] = PERCENT[group["name"]]


def number_of(sub):
    return share(sub.address, PLACES["a"][sub.group][3])


def pick(gate, group, family, inside):
    """A fresh subscriber in the share, or outside of it."""
    while True:
        sub = gate.fresh(group, family)
        if (number_of(sub) < PERCENT[group]) == inside:
            return sub


def population(gate, group, family):
    """All of a group's subscribers in network a that no other test touches, in any order."""
    v4, v6, base, length = PLACES["a"][group]
    node = gate.lab.suba
    if family == 4:
        return [Subscriber(node, f"{v4}.{n}", f"{v4}.{n}", group) for n in range(1, 251)]
    step = 8 if length == 56 else 0
    return [Subscriber(node, f"{v6}:{base + (n << step):x}::7", f"{v6}:{base + (n << step):x}::/{length}", group)
            for n in range(64 if length == 56 else 250)]


def blocked(gate, subs, family):
    """Names of those whose SYN does not reach the internet."""
    passed = []
    for start in range(0, len(subs), 50):
        some = subs[start:start + 50]
        passed += gate.passes(some[0], *(gate.syn(s) for s in some))
    return {s.name for s, through in zip(subs, passed) if not through}


@pytest.fixture(scope="module")
def large(make_gate):
    """Limits that nobody here comes near: it is the policy alone that drops."""
    def loose(config):
        configure(config)
        config["detector"] = {"connection_rate": None, "distinct_destinations": None, "sequential": None}
    return make_gate(loose).start()


def test_kernel_and_daemon_agree(large, family):
    """0, 20, 50, 100 and back to 20 %: who is blocked is who should be by the hash, one by one; nobody who was blocked
    at a smaller share passes at a larger one; the daemon says the same."""
    gate, before = large, set()
    subs = population(gate, "residential", family)
    for percent in (0, 20, 50, 100, 20):
        config = copy.deepcopy(gate.config)
        config["groups"][0]["canary_percent"] = percent
        gate.daemon.write(config)
        gate.daemon.ok("reload")
        found = blocked(gate, subs, family)
        assert found == {s.name for s in subs if number_of(s) < percent}, percent
        assert before <= found or percent == 20
        before = found
        shown = [gate.show(s)["canary"] for s in subs[:40]]
        assert [c["enforced"] for c in shown] == [number_of(s) < percent for s in subs[:40]]
        assert {c["percent"] for c in shown} == {percent}


@pytest.mark.parametrize("group", ["residential", "business"])
def test_outside_is_observed(gate, family, group):
    server = Server(gate.lab.inet, 25, family=family)
    sub, mark = pick(gate, group, family, False), gate.daemon.mark()
    for number in range(25):
        assert gate.attempt(sub) == "open", number
    event = gate.daemon.wait_event("would-quarantine", sub.name, since=mark)
    assert event["enforcer"]["group"] == group
    gate.probe()
    assert not gate.is_quarantined(sub) and not gate.in_kernel(sub)
    assert gate.attempt(sub) == "open"
    if group == "residential":
        told = gate.daemon.wait_event("egress-blocked", sub.name, since=mark)
        assert told["event"]["outcome"] == "unknown"
    server.close()


@pytest.mark.parametrize("group", ["residential", "business"])
def test_inside_is_judged(gate, family, group):
    server = Server(gate.lab.inet, 25, family=family)
    sub, mark = pick(gate, group, family, True), gate.daemon.mark()
    assert gate.attempt(sub, timeout=0.5) == ("timeout" if group == "residential" else "open")
    gate.syns(sub, 25)
    gate.wait_quarantined(sub, mark)
    assert gate.passes(sub, gate.syn(sub)) == [False]
    server.close()


def test_outside_sessions_are_read(gate, family):
    """Of a group with policy block as well: both directions by copies, so that mail servers show."""
    server = Server(gate.lab.inet, 25, family=family)
    sub = pick(gate, "residential", family, False)
    before = gate.daemon.call("status")["flows"]["sessions"]
    with connect(sub.node, sub.address, HOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
        sock.sendall(b"NOOP\r\n")
        assert sock.recv(100).startswith(b"250")
    wait_for("a session that is read", lambda: gate.daemon.call("status")["flows"]["sessions"] == before + 1)
    server.close()


def test_unasked_and_forged(gate, family):
    """Answers that nobody asked for, and forged sources: outside of the share they are reported and pass."""
    for inside in (False, True):
        sub, mark = pick(gate, "residential", family, inside), gate.daemon.mark()
        wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
        assert wire.pass_through(tcp(ATTACKER[family], sub.address, 25, 4000, SYN | ACK)) == [not inside]
        gate.daemon.wait_event("inbound-spoofed", since=mark, where=lambda e: e["destination"]["ip"] == sub.address)
        wire.close()
        forged = tcp(sub.address, HOST[family], 5000, 25)  # by the other network's line
        other = gate.wire("subb", family)
        assert other.pass_through(forged) == [not inside]


def test_by_hand(gate, family):
    """A quarantine by hand outside of the share is recorded, and says that it drops nothing."""
    sub = pick(gate, "residential", family, False)
    entry = gate.daemon.ok("quarantine", sub.address)["quarantined"][0]
    assert entry["enforced"] is False and "canary" in entry["note"]
    wait_for("the element", lambda: gate.in_kernel(sub))
    assert gate.passes(sub, gate.syn(sub)) == [True]
    gate.daemon.ok("release", sub.address)


def test_share_grows(gate):
    """Who was convicted outside of the share and goes on is judged like others once the share has grown to it."""
    subs = [pick(gate, "residential", f, False) for f in FAMILIES]
    mark = gate.daemon.mark()
    for sub in subs:
        gate.syns(sub, 1, TRAP[sub.family])
        gate.daemon.wait_event("would-quarantine", sub.name, since=mark)
    config = copy.deepcopy(gate.config)
    config["groups"][0]["canary_percent"] = 100
    gate.daemon.write(config)
    gate.daemon.ok("reload")
    for sub in subs:
        gate.syns(sub, 1, TRAP[sub.family])
        gate.wait_quarantined(sub, mark)
    gate.daemon.write(gate.config)
    gate.daemon.ok("reload")
    assert all(gate.passes(s, gate.syn(s)) == [True] for s in subs)


def test_dead_daemon(make_gate, family):
    """Without a daemon: outside nothing is dropped, whatever is sent; inside the policy and the meter go on."""
    gate = make_gate(configure).start()
    outside = [pick(gate, g, family, False) for g in ("residential", "business")]
    inside = pick(gate, "residential", family, True)
    gate.daemon.kill()
    for sub in outside:
        gate.syns(sub, 400)
        assert not gate.in_kernel(sub)
        assert gate.passes(sub, gate.syn(sub)) == [True]
    gate.syns(inside, 400)
    wait_for("the meter", lambda: gate.in_kernel(inside))
    assert gate.passes(inside, gate.syn(inside)) == [False]
