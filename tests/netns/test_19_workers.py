# SPDX-License-Identifier: GPL-2.0-or-later
"""19. Several workers: each subscriber belongs to one, in both directions and both families; all of them convict; a
worker that is stuck is noticed, and what it misses is counted."""
import contextlib
import ctypes
import os
import pathlib

import pytest

from craft import SYN, flows, tcp
from lab import HOST, TRAP
from net import Pacer, Server, Wire, attempt, connect, wait_for

WORKERS = 3
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17


def configure(config):
    config["queue"].update(first=40, count=WORKERS)
    config["detector"].update(distinct_destinations=None)
    config["quarantine"]["governor"] = {"convictions": 1000, "per": "1m"}


def workers(gate):
    return gate.daemon.call("status")["telemetry"]["workers"]


def test_a_queue_and_a_group_each(gate):
    found = workers(gate)
    assert [w["queue"] for w in found] == [40, 41, 42]
    assert [w["log_group"] for w in found] == [2525, 2526, 2527]
    assert not any(w["stuck"] for w in found)


@pytest.mark.parametrize("group", ["residential", "business"])
def test_all_workers_convict(gate, family, group):
    """Split counts would need more than 21 connections; and with 40 subscribers every worker has some."""
    before = workers(gate)
    subs = [gate.fresh(group, family) for _ in range(40)]
    mark = gate.daemon.mark()
    for sub in subs:
        gate.syns(sub, 21)
    for sub in subs:
        event = gate.daemon.wait_event("quarantined", sub.name, since=mark)
        assert event["event"]["outcome"] == "success"
    wait_for("all in the kernel's set", lambda: all(gate.in_kernel(sub) for sub in subs))
    key = "log_messages" if group == "residential" else "queue_packets"
    grown = [w[key] - b[key] for w, b in zip(workers(gate), before)]
    assert all(g >= 21 for g in grown) and sum(grown) >= 21 * len(subs), grown


def test_twenty_are_free(gate, family):
    subs = [gate.fresh("business", family) for _ in range(10)]
    for sub in subs:
        gate.syns(sub, 20)
    wait_for("their connections", lambda: all(gate.connections(sub) == 20 for sub in subs))
    assert not any(gate.is_quarantined(sub) for sub in subs)


def settled(gate):
    """Counters of the workers when the last connections of others have said goodbye."""
    last = [None]

    def same():
        now = [w["queue_packets"] for w in workers(gate)]
        unchanged, last[0] = now == last[0], now
        return unchanged
    wait_for("no more packets", same, step=0.3)
    return workers(gate)


def test_both_directions_to_one_worker(gate, family):
    """SYN, answer and data of one subscriber, to many servers, wait in one queue only."""
    server = Server(gate.lab.inet, 25, family=family)
    for _ in range(6):
        sub = gate.fresh("business", family)
        before = settled(gate)
        for number in range(1, 6):
            destination = HOST[family].rsplit("." if family == 4 else ":", 1)[0] + (":%x" if family == 6 else ".%d") % (
                90 + number)
            with connect(sub.node, sub.address, destination, timeout=5) as sock:
                assert sock.recv(100).startswith(b"220")
                sock.sendall(b"NOOP\r\n")
                assert sock.recv(100) == b"250 NOOP\r\n"
        grown = [w["queue_packets"] - b["queue_packets"] for w, b in zip(workers(gate), before)]
        assert sorted(grown)[:-1] == [0, 0], grown
        assert max(grown) >= 5 * 5, grown  # SYN, SYN-ACK, banner, command, answer
    server.close()


def test_people_ask_all_workers(gate):
    """show, top, release and reassigned find a subscriber whoever owns it."""
    subs = [gate.fresh() for _ in range(8)]
    mark = gate.daemon.mark()
    for sub in subs:
        gate.syns(sub, 30)
    for sub in subs:
        gate.daemon.wait_event("quarantined", sub.name, since=mark)
    top = {row["subscriber"]: row for row in gate.daemon.call("subscriber.top", limit=1000)["subscribers"]}
    for sub in subs:
        assert top[sub.name]["verdict"] == "zombie" and gate.show(sub)["evidence"]
    assert list(top.values()) == sorted(top.values(), key=lambda row: -row["connections"]) or len(
        {row["connections"] for row in top.values()}) > 1
    for sub in subs:
        gate.daemon.ok("release", sub.address)
        assert gate.connections(sub) == 0
    gate.daemon.call("subscriber.reassigned", addresses=[subs[0].address])


def test_reload_keeps_them(gate):
    sub = gate.fresh("business")
    gate.syns(sub, 15)
    wait_for("15 connections", lambda: gate.connections(sub) == 15)
    gate.daemon.config["queue"].update(count=2)
    gate.daemon.write(gate.daemon.config)
    changes = gate.daemon.call("config.reload")["changes"]
    assert any("queue.count" in line for line in changes), changes
    assert len(workers(gate)) == WORKERS
    gate.daemon.config["queue"].update(first=50, count=WORKERS, fail="open")
    gate.daemon.write(gate.daemon.config)
    gate.daemon.call("config.reload")
    assert [w["queue"] for w in workers(gate)] == [50, 51, 52]
    mark = gate.daemon.mark()
    gate.syns(sub, 6)
    gate.daemon.wait_event("quarantined", sub.name, since=mark)
    gate.daemon.config["queue"].update(first=40, fail="closed")
    gate.daemon.write(gate.daemon.config)
    gate.daemon.call("config.reload")
    assert [w["queue"] for w in workers(gate)] == [40, 41, 42]


def test_reload_stops_no_inspected_packet(gate, family):
    """The queue statements stay where they are: nothing meets the verdict behind them."""
    subs = [gate.fresh("business", family) for _ in range(3)]
    gate.daemon.config["detector"]["connection_rate"] = [{"connections": 100000, "per": "60s"}]
    gate.daemon.write(gate.daemon.config)
    gate.daemon.call("config.reload")

    def missing():
        return gate.daemon.call("status")["counters"]["queue_missing"]["packets"]

    before = missing()
    pacer = Pacer(gate.lab.suba, [p for s in subs for p in flows(s.address, HOST[family], 300, first_port=30000)], 2000)
    for number in range(15):
        gate.daemon.config["aggregate"] = f"{1 + number % 2}s"
        gate.daemon.config["smarthosts"][0]["name"] = f"smarthost{number}"
        gate.daemon.config["quarantine"]["never"] = [f"192.0.2.{200 + number}"]
        gate.daemon.write(gate.daemon.config)
        gate.daemon.call("config.reload")
    sent = pacer.stop()
    assert sent > 100 and missing() == before
    gate.daemon.config["detector"]["connection_rate"] = [{"connections": 20, "per": "60s"}]
    gate.daemon.write(gate.daemon.config)
    gate.daemon.call("config.reload")


@contextlib.contextmanager
def held(pid, name):
    """One thread of a process is stopped, the others run."""
    tids = [int(t.name) for t in pathlib.Path(f"/proc/{pid}/task").iterdir()
            if (t / "comm").read_text().strip() == name]
    assert len(tids) == 1, tids
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(PTRACE_SEIZE, tids[0], None, None) != 0:
        pytest.skip(f"this machine lets nobody trace a process: {os.strerror(ctypes.get_errno())}")
    libc.ptrace(PTRACE_INTERRUPT, tids[0], None, None)
    os.waitpid(tids[0], 0x40000000)  # __WALL
    try:
        yield
    finally:
        libc.ptrace(PTRACE_DETACH, tids[0], None, None)


def owned(gate, index):
    """A subscriber that belongs to a worker, and how many tries that took."""
    for _ in range(40):
        sub = gate.fresh("business")
        before = workers(gate)[index]["queue_packets"]
        gate.syns(sub, 1)
        wait_for("the SYN", lambda s=sub: gate.connections(s) == 1)
        if workers(gate)[index]["queue_packets"] > before:
            return sub
    raise AssertionError("no subscriber belongs to it")


def test_stuck_worker(gate):
    """It is said once, the others work on, the control socket answers; and it is said when it goes on."""
    server = Server(gate.lab.inet, 25)
    waiting, working = owned(gate, 1), owned(gate, 2)
    mark = gate.daemon.mark()
    with held(gate.daemon.proc.pid, "worker1"):
        event = gate.daemon.wait_event("telemetry-lost", since=mark, where=lambda e: "stuck" in e["event"]["reason"])
        assert "worker 1" in event["event"]["reason"] and "queue 41" in event["event"]["reason"]
        assert [w["stuck"] for w in workers(gate)] == [False, True, False]
        assert attempt(working.node, working.address, HOST[4]) == "open"
        assert attempt(waiting.node, waiting.address, HOST[4], timeout=0.5) == "timeout"
        wait_for("a packet that waits", lambda: workers(gate)[1]["queue_waiting"] > 0)
        assert gate.daemon.call("subscriber.show", address=working.address)["subscriber"] == working.name
    gate.daemon.wait_event("telemetry-restored", since=mark)
    wait_for("nothing waits", lambda: workers(gate)[1]["queue_waiting"] == 0)
    wait_for("it works again", lambda: attempt(waiting.node, waiting.address, HOST[4]) == "open")
    assert len(gate.daemon.events("telemetry-lost", since=mark)) == 1
    server.close()


def test_trap_of_each(gate, family):
    subs = [gate.fresh("residential", family) for _ in range(12)]
    mark = gate.daemon.mark()
    for sub in subs:
        gate.syns(sub, 1, TRAP[family])
    for sub in subs:
        gate.daemon.wait_event("trap-hit", sub.name, since=mark)


def test_copies_under_observe(make_gate, family):
    """mode observe: the same detector by copies only."""
    def observe(config):
        configure(config)
        config["mode"] = "observe"

    if not hasattr(test_copies_under_observe, "gate"):
        test_copies_under_observe.gate = make_gate(observe).start()
    gate = test_copies_under_observe.gate
    subs = [gate.fresh(group, family) for group in ("residential", "business") for _ in range(10)]
    mark = gate.daemon.mark()
    for sub in subs:
        gate.syns(sub, 21)
    for sub in subs:
        gate.daemon.wait_event("would-quarantine", sub.name, since=mark)
    wire = Wire(gate.lab.suba, gate.lab.inet, "100.64.3.250", HOST[4])
    assert wire.pass_through(tcp(subs[0].address, HOST[family], 999, 25, SYN)) == [True] if family == 4 else True
    wire.close()
