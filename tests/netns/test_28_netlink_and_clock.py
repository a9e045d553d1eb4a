# SPDX-License-Identifier: GPL-2.0-or-later
"""28. Faults by injection: netlink calls that fail, a clock that is set, a crowd at the control socket. Each answer is true, and
when it is over, kernel and daemon agree."""
import errno
import json
import os
import time
from collections import Counter
from datetime import datetime

import pytest

from crowd import crowd_of_one
from daemon import merged
from faults import RECEIVING, SENDING, ask, preload
from lab import BUILD
from net import wait_for

LONG = os.environ.get("LONG") == "1"
REFUSED = (-32002, -32008)  # "nothing was changed"
pytestmark = pytest.mark.skipif(not (BUILD / "faults/faults.so").exists() or "san" in BUILD.name,
                                reason=f"{BUILD}/faults/faults.so is not built (make unit-build), or the build has "
                                       "an allocator of its own")


def configure(config):
    config.update(merged(config, {"detector": {"max_subscribers": 1000}}))


@pytest.fixture(scope="module")
def faulty(make_gate):
    """A gate whose daemon can be given faults by .faults; it runs."""
    return preload(make_gate(configure)).start()


@pytest.fixture(autouse=True)
def no_faults(request):
    yield
    if "faulty" in request.fixturenames:
        gate = request.getfixturevalue("faulty")
        gate.faults.net_every = gate.faults.net_shaken = gate.faults.clock_ns = 0
        assert gate.daemon.alive(), gate.daemon.log()[-4000:]


# --- netlink --------------------------------------------------------------------------------------------------
NETLINK = [("ENOBUFS", errno.ENOBUFS, SENDING | RECEIVING), ("ENOMEM", errno.ENOMEM, SENDING | RECEIVING),
           ("EINTR", errno.EINTR, SENDING | RECEIVING), ("EAGAIN", errno.EAGAIN, SENDING | RECEIVING), ("short", 0, RECEIVING)]


@pytest.mark.parametrize("name,number,what", NETLINK, ids=[n for n, _, _ in NETLINK])
def test_netlink_calls_that_fail(faulty, name, number, what):
    """Every third, then every seventh call fails while people and packets come: each answer is true, and when it is over,
    kernel and daemon agree and a zombie is caught."""
    gate, daemon, faults = faulty, faulty.daemon, faulty.faults
    outcomes = Counter()
    kept = set()
    for every in (3, 7):
        faults.netlink(every, what, number)
        for _ in range(4):
            sub, zombie = gate.fresh(), gate.fresh("business")
            gate.syns(zombie, 5)
            answer, error = ask(gate, "quarantine.add", {"addresses": [sub.address]})
            outcomes[error.code if error else 0] += 1
            if answer is not None:
                kept.add(sub.name)
            elif error and error.code in REFUSED:
                kept.discard(sub.name)
            ask(gate, "status", {})
        failed = faults.net_failed
        faults.net_every = 0
        assert failed > 0, "the fault was there"
    print(name, dict(outcomes))
    assert kept <= set(daemon.quarantined()), "done is done"
    for sub in kept:
        wait_for(f"{sub} in the kernel", lambda s=sub: f" {s} " in gate.kernel_set(4).replace(",", " "))
    wait_for("a whole table", lambda: daemon.call("status")["kernel"]["table"] == "ok")

    def covered():
        coverage = daemon.call("status")["coverage"]
        return coverage["desired"] == coverage["enforced"]
    wait_for("kernel and daemon to agree", covered)
    last = gate.fresh()
    gate.syns(last, 21)
    gate.wait_quarantined(last)


def test_others_never_rest(faulty):
    """No dump of the rules is ever whole, because others change tables all the time: start, reload and mode do not fail for it. Once
    they rest, the table is read, without an alarm, and guarded as ever."""
    gate, daemon, faults = faulty, faulty.daemon, faulty.faults
    daemon.stop()
    mark = daemon.mark()
    faults.net_shaken = 1
    daemon.start()
    assert " 0 rules" not in daemon.wait_event("ruleset-installed", since=mark)["event"]["reason"]
    for words in (["reload"], ["mode", "observe"], ["mode", "file"]):
        daemon.ok(*words)
    zombie = gate.fresh()
    gate.syns(zombie, 21)
    gate.wait_quarantined(zombie)
    faults.net_shaken = 0
    time.sleep(3)  # it looks again once a second; what it must not do is to tell of it
    assert not daemon.events("ruleset-tampered", since=mark) and daemon.call("status")["kernel"]["table"] == "ok"
    chain = ("list", "chain", "inet", "enforcer", "forward")
    before = gate.lab.gw.run("nft", "-s", *chain).stdout
    gate.lab.gw.run("nft", "insert", "rule", "inet", "enforcer", "forward", "accept")
    daemon.wait_event("ruleset-restored", since=mark)
    assert gate.lab.gw.run("nft", "-s", *chain).stdout == before


# --- the clock ------------------------------------------------------------------------------------------------
DAY = 86400


@pytest.mark.parametrize("days", [1, -1], ids=["forwards", "backwards"])
def test_clock_is_set(faulty, days):
    """Ends are wall-clock times. A day forwards: what ended meanwhile is released. A day backwards: quarantines last until
    their ends, the kernel's timeouts with them. The detector does not notice; nothing spins, events are few."""
    gate, daemon, faults = faulty, faulty.daemon, faulty.faults
    short, long, half = gate.fresh(), gate.fresh(), gate.fresh()
    daemon.call("quarantine.add", addresses=[short.address], **{"for": "1h"})
    daemon.call("quarantine.add", addresses=[long.address], **{"for": "3d"})
    held = daemon.quarantined()  # those of the tests before end too, each with an event
    ends = held[long.name]["until"]
    gate.syns(half, 10)
    wait_for("ten connections counted", lambda: gate.connections(half) == 10)
    mark, cpu = daemon.mark(), cpu_of(daemon)
    faults.clock_ns = days * DAY * 10 ** 9

    def timeout_right():
        left = datetime.fromisoformat(ends.replace("Z", "+00:00")).timestamp() - time.time() - days * DAY
        return abs(kernel_seconds_left(gate, long) - left) < 10
    wait_for("the kernel's timeout to follow the clock", timeout_right)
    assert daemon.quarantined()[long.name]["until"] == ends
    if days > 0:
        wait_for("the end of what has ended", lambda: not gate.is_quarantined(short) and not gate.in_kernel(short))
    else:
        assert gate.is_quarantined(short) and gate.in_kernel(short)
    assert gate.connections(half) == 10, "what was counted stays counted"
    gate.syns(half, 11)
    gate.wait_quarantined(half, since=mark)
    time.sleep(3)  # a storm would need time
    assert len(daemon.events(since=mark)) < 40 + len(held), Counter(e["event"]["action"] for e in daemon.events(since=mark))
    assert cpu_of(daemon) - cpu < 3, "seconds of processor"
    faults.clock_ns = 0
    wait_for("the timeout to come back", lambda: abs(
        kernel_seconds_left(gate, long) - (datetime.fromisoformat(ends.replace("Z", "+00:00")).timestamp() - time.time())) < 10)
    if days > 0:
        assert gate.is_quarantined(half) and gate.in_kernel(half)
    else:  # an hour of yesterday
        wait_for("the end of what has ended", lambda: not gate.is_quarantined(half) and not gate.in_kernel(half))
    assert gate.is_quarantined(long) and gate.in_kernel(long)


def cpu_of(daemon):
    """Seconds of processor that the daemon has used."""
    with open(f"/proc/{daemon.proc.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kernel_seconds_left(gate, sub):
    listed = json.loads(gate.lab.gw.run("nft", "-j", "list", "set", "inet", "enforcer", "quarantine4").stdout)
    for thing in listed["nftables"]:
        for element in thing.get("set", {}).get("elem", []):
            if element["elem"]["val"] == sub.address:
                return element["elem"]["expires"]
    return 0


# --- a crowd at the control socket ----------------------------------------------------------------------------
def test_crowd_at_the_control_socket(faulty):
    """Processes that connect, send garbage, never read and die, as a user who may look: admins are served all the time."""
    gate, daemon = faulty, faulty.daemon
    before = memory_of(daemon)
    crowd = [crowd_of_one(daemon.socket, 60) for _ in range(20)]  # until the admin was served often enough
    served, slowest = 0, 0.0
    try:
        for number in range(200):
            if all(p.poll() is not None for p in crowd) or (served >= 12 and not LONG):
                break
            began = time.monotonic()
            assert daemon.call("status")["version"]
            slowest, served = max(slowest, time.monotonic() - began), served + 1
            if number % 4 == 0 and not crowd[number % 20].poll():
                crowd[number % 20].kill()
            time.sleep(0.05)
    finally:
        for proc in crowd:
            proc.kill()
            proc.wait()
    print(f"{served} requests served, the slowest took {slowest * 1000:.0f} ms")
    assert served >= 3
    wait_for("the places to be free again", lambda: daemon.call("status")["clients"] <= 1)
    assert memory_of(daemon) - before < 64 << 10, "KiB"


def memory_of(daemon):
    with open(f"/proc/{daemon.proc.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
