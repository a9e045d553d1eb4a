# SPDX-License-Identifier: GPL-2.0-or-later
"""7. A group of policy `observe`, and everybody under `mode: observe`: nothing is dropped, and what would have happened
is reported."""
import pytest

from craft import ACK, SYN, tcp
from daemon import Subscriber
from lab import ATTACKER, FAMILIES, HOST, RELAY, SMARTHOST, TRAP
from net import Server, Wire, connect, wait_for


def would(gate, sub, mark):
    event = gate.daemon.wait_event("would-quarantine", sub.name, since=mark)
    gate.probe()
    assert not gate.is_quarantined(sub)
    assert not gate.daemon.events("quarantined", sub.name, mark)
    assert not gate.in_kernel(sub)
    return event


def test_observed_group(gate, family):
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("pilot", family)
    mark = gate.daemon.mark()
    for number in range(30):
        assert gate.attempt(sub) == "open", number
    event = would(gate, sub, mark)
    assert event["enforcer"]["group"] == "pilot" and event["enforcer"]["policy"] == "observe"
    assert gate.attempt(sub) == "open"
    wait_for("31 connections at the server", lambda: len(server.accepted) >= 31)
    server.close()


def dialogue(gate, sub, family):
    """A session that says hello; its first packets are read, whoever only looks."""
    with connect(sub.node, sub.address, HOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
        for number in range(30):
            sock.sendall(b"NOOP %d\r\n" % number)
            assert sock.recv(100).startswith(b"250")


def copies_so_far(gate):
    """Messages of the log, when those of sessions that end late have come: between two probes there is nothing else."""
    seen = [-2]

    def settled():
        gate.probe()
        seen.append(gate.daemon.call("status")["telemetry"]["log_messages"])
        return seen[-1] == seen[-2] + 1
    wait_for("the sessions of the test before to have ended", settled)
    return seen[-1]


def test_observed_session_is_read(gate, family):
    """By copies of both directions, the first packets only; a session to a smarthost is not copied."""
    server, smart = Server(gate.lab.inet, 25, family=family), Server(gate.lab.smart, 25, family=family)
    sub = gate.fresh("pilot", family)
    earlier, before = copies_so_far(gate), gate.daemon.call("status")
    dialogue(gate, sub, family)
    wait_for("a session that is read",
             lambda: gate.daemon.call("status")["flows"]["sessions"] == before["flows"]["sessions"] + 1)
    gate.probe()
    copies = gate.daemon.call("status")["telemetry"]["log_messages"] - earlier
    assert 20 < copies <= 41 + 1, copies  # the SYN, 20 packets of each direction, the probe
    earlier, before = copies_so_far(gate), gate.daemon.call("status")
    with connect(sub.node, sub.address, SMARTHOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
    gate.probe()
    after = gate.daemon.call("status")
    assert after["flows"]["sessions"] == before["flows"]["sessions"]
    assert after["telemetry"]["log_messages"] <= earlier + 1
    server.close()
    smart.close()


def test_observed_group_gets_everything(gate, family):
    """Unasked packets from port 25 reach it too; they are reported."""
    sub = gate.fresh("pilot", family)
    mark = gate.daemon.mark()
    wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
    assert wire.pass_through(tcp(ATTACKER[family], sub.address, 25, 4000, SYN | ACK)) == [True]
    gate.daemon.wait_event("inbound-spoofed", since=mark, where=lambda e: e["destination"]["ip"] == sub.address)
    wire.close()


@pytest.fixture(scope="module")
def observing(make_gate):
    def configure(config):
        config["mode"] = "observe"
    return make_gate(configure).start()


@pytest.mark.parametrize("group, read", [("residential", 0), ("business", 1), ("pilot", 1)])
def test_mode_observe_reads_the_same(observing, family, group, read):
    """Of a group with policy block nothing but SYNs would be seen in force, so nothing else is copied."""
    gate = observing
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh(group, family)
    before = gate.daemon.call("status")["flows"]["sessions"]
    dialogue(gate, sub, family)
    wait_for("its connection", lambda: gate.connections(sub) == 1)
    gate.probe()
    assert gate.daemon.call("status")["flows"]["sessions"] == before + read
    server.close()


@pytest.mark.parametrize("group", ["residential", "business", "pilot"])
def test_mode_observe(observing, family, group):
    gate = observing
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh(group, family)
    mark = gate.daemon.mark()
    for number in range(25):
        assert gate.attempt(sub) == "open", number
    would(gate, sub, mark)
    assert gate.attempt(sub) == "open"
    trapped = gate.fresh(group, family)
    assert gate.passes(trapped, gate.syn(trapped, TRAP[family])) == [True]
    would(gate, trapped, mark)
    server.close()


def test_mode_observe_drops_nothing(observing, family):
    """Forged sources, unasked answers, quarantine by hand, odd header chains: all pass."""
    gate = observing
    sub = gate.fresh("residential", family)
    packets = [tcp(RELAY[family], HOST[family], 5000, 25), tcp("100.64.8.9" if family == 4 else "2001:db8:2000:900::5",
                                                               HOST[family], 5001, 25)]
    if family == 6:
        from craft import v6_tricks
        packets += [p for t in v6_tricks(sub.address, HOST[6], 34000, 25) for p in t.packets]
    assert all(gate.passes(sub, *packets))
    wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
    assert wire.pass_through(tcp(ATTACKER[family], sub.address, 25, 4000, SYN | ACK)) == [True]
    wire.close()
    done = gate.daemon.ctl("quarantine", sub.address)
    assert gate.passes(sub, gate.syn(sub)) == [True], done


def test_mode_at_run_time(gate):
    """mode observe and mode enforce count at once, for everybody."""
    servers = [Server(gate.lab.inet, 25, family=f) for f in FAMILIES]
    subs = [gate.fresh("residential", f) for f in FAMILIES]
    convicted = Subscriber(gate.lab.suba, "100.64.1.240", "100.64.1.240", "business")
    gate.daemon.ok("quarantine", convicted.address)
    everybody = [*subs, convicted]
    assert [gate.attempt(s, timeout=0.5) for s in everybody] == ["timeout"] * 3
    mark = gate.daemon.mark()
    gate.daemon.ok("mode", "observe")
    assert [gate.attempt(s) for s in everybody] == ["open"] * 3
    assert gate.daemon.call("status")["mode"] == "observe" or "observe" in str(gate.daemon.call("status")["mode"])
    gate.daemon.wait_event("mode-changed", since=mark)
    gate.daemon.ok("mode", "enforce")
    assert [gate.attempt(s, timeout=0.5) for s in everybody] == ["timeout"] * 3
    gate.daemon.ok("mode", "file")
    wait_for("the mode of the file", lambda: "enforce" in str(gate.daemon.call("status")["mode"]))
    gate.daemon.ok("release", convicted.address)
    for server in servers:
        server.close()
