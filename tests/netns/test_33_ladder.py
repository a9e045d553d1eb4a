# SPDX-License-Identifier: GPL-2.0-or-later
"""33. The ladder: throttle below smtp below full; who is at which level is in the kernel, is compared, survives a crash
and changes without a moment in which more passes than either level lets."""
import time

import pytest

from craft import SYN, tcp
from daemon import Subscriber
from lab import HOST, TRAP
from net import Pacer, Sniffer, ports, wait_for

SETS = {"throttle": {"throttle"}, "smtp": {"quarantine"}, "full": {"quarantine", "full"}}
STEPS = [{"level": "throttle", "for": "1h"}, "6h", {"level": "full", "for": "24h"}]


def configure(config):
    config["quarantine"] = {"level": "smtp", "escalation": STEPS, "throttle": {"connections": 2, "per": "5s"}}


def sets_of(gate, sub):
    """Stems of the sets that hold a subscriber."""
    key = f" {sub.name.split('/')[0]} "
    return {stem for stem in ("quarantine", "throttle", "full")
            if key in gate.kernel_set(sub.family, stem).replace(",", " ")}


def counter(gate, name):
    return gate.daemon.call("status")["counters"][name]["packets"]


def level(gate, sub, name):
    return gate.daemon.ok("quarantine", sub.address, "--for", "1h", "--level", name)["quarantined"][0]


def test_levels_by_hand(gate, family):
    """Each level has its sets, is in list, show and the event; an IPv6 subscriber of 56 bits as well as one of 64."""
    for group in ("residential", "business"):
        sub = gate.fresh(group, family)
        for name in ("throttle", "full", "smtp", "full", "throttle"):
            mark = gate.daemon.mark()
            assert level(gate, sub, name)["level"] == name
            assert sets_of(gate, sub) == SETS[name], name
            assert gate.daemon.quarantined()[sub.name]["level"] == name
            assert gate.show(sub)["quarantine"]["level"] == name
            event = gate.daemon.events(subscriber=sub.name, since=mark)[0]
            assert event["enforcer"]["level"] == name
            assert gate.daemon.call("status")["quarantine"]["levels"][name] >= 1
        gate.daemon.ok("release", sub.address)
        assert sets_of(gate, sub) == set()
    done = gate.daemon.ctl("quarantine", sub.address, "--level", "worse")
    assert done.returncode == 2 and sub.name not in gate.daemon.quarantined()


def test_throttle_lets_a_few_pass(gate, family):
    """Two connections in 5 s, the others refused; what is open goes on; the neighbour does not notice."""
    sub, other = gate.fresh("business", family), gate.fresh("business", family)
    level(gate, sub, "throttle")
    before = counter(gate, "throttled")
    flow = gate.sport(sub, 8)
    began = time.monotonic()
    syns = [tcp(sub.address, HOST[family], flow + i, 25, SYN) for i in range(8)]
    passed = gate.passes(sub, *syns)
    if time.monotonic() - began < 4:  # all in one turn
        assert passed == [True] * 2 + [False] * 6
        assert counter(gate, "throttled") == before + 6
    assert gate.passes(sub, tcp(sub.address, HOST[family], flow, 25, 0x10)) == [True], "an open connection goes on"
    assert gate.passes(other, gate.syn(other)) == [True]
    wait_for("the next window", lambda: gate.passes(sub, gate.syn(sub)) == [True])
    gate.daemon.ok("release", sub.address)
    assert gate.passes(sub, *[gate.syn(sub) for _ in range(5)]) == [True] * 5


def test_throttle_in_a_prefix(gate, family):
    """Each subscriber inside a prefix has connections of its own; one that is released has no limit."""
    prefix = "100.64.9.64/28" if family == 4 else "2001:db8:2000:4100::/60"
    addresses = [f"100.64.9.{64 + i}" if family == 4 else f"2001:db8:2000:410{i}::5" for i in (1, 2, 3)]
    a, b, c = (Subscriber(gate.lab.subb, x, x, "business") for x in addresses)
    gate.daemon.ok("quarantine", prefix, "--level", "throttle", "--for", "1h")
    assert prefix.split("/")[0] in gate.kernel_set(family, "throttle_nets")
    assert prefix.split("/")[0] not in gate.kernel_set(family, "quarantine_nets")
    for sub in (a, b):
        began = time.monotonic()
        passed = gate.passes(sub, *[gate.syn(sub) for _ in range(4)])
        assert passed == [True, True, False, False] or time.monotonic() - began > 4
    gate.daemon.ok("release", c.address)
    assert gate.passes(c, *[gate.syn(c) for _ in range(6)]) == [True] * 6
    assert {e["level"] for n, e in gate.daemon.quarantined().items() if n.startswith(prefix[:9])} == {"throttle"}
    gate.daemon.ok("quarantine", prefix, "--level", "full", "--for", "1h")
    assert prefix.split("/")[0] in gate.kernel_set(family, "full_nets")
    assert gate.passes(a, gate.syn(a)) == [False]
    gate.daemon.ok("release", prefix)
    assert all("elements" not in gate.kernel_set(family, s + "_nets") for s in ("quarantine", "throttle", "full"))


def test_a_conviction_climbs(gate, family):
    """The steps of escalation: throttle, smtp, full; forged packets alone never lead to full."""
    sub = gate.fresh("residential", family)
    for number, (name, hours) in enumerate((("throttle", 1), ("smtp", 6), ("full", 24)), 1):
        mark = gate.daemon.mark()
        gate.syns(sub, 1, TRAP[family])
        event = gate.daemon.wait_event("quarantined", sub.name, since=mark) if number == 1 else \
            gate.daemon.wait_event("quarantined", sub.name, since=mark)
        detected = gate.daemon.wait_event("zombie-detected", sub.name, since=mark)
        forgeable = all(e["forgeable"] for e in detected["enforcer"]["evidence"])
        wanted = "smtp" if name == "full" and forgeable else name
        assert event["enforcer"]["level"] == wanted, (number, event)
        wait_for("the sets of that level", lambda w=wanted: sets_of(gate, sub) == SETS[w])
        assert gate.daemon.quarantined()[sub.name]["convictions"] == number
        gate.daemon.ok("release", sub.address)


def test_throttled_zombie_goes_on(gate, family):
    """What throttle lets through is judged: one connection to a trap, and the next step follows."""
    sub = gate.fresh("business", family)
    mark = gate.daemon.mark()
    gate.syns(sub, 1, TRAP[family])
    assert gate.daemon.wait_event("quarantined", sub.name, since=mark)["enforcer"]["level"] == "throttle"
    gate.syns(sub, 1, TRAP[family])
    wait_for("the next step", lambda: gate.daemon.quarantined()[sub.name]["level"] == "smtp")
    wait_for("the sets", lambda: sets_of(gate, sub) == {"quarantine"})
    assert gate.daemon.quarantined()[sub.name]["convictions"] == 2
    gate.daemon.ok("release", sub.address)


def test_no_moment_without(gate, family):
    """A stream of connections while the level changes to and fro: what is refused at both levels never passes."""
    sub = gate.fresh("business", family)
    level(gate, sub, "smtp")
    with Sniffer(gate.lab.inet, match=lambda p: (ports(p) or (0, 0, 0))[2] == 25 and len(p) > 40, store=False) as seen:
        pacer = Pacer(sub.node, [tcp(sub.address, HOST[family], 30000 + i, 25, SYN) for i in range(1000)], 500)
        for _ in range(4):
            level(gate, sub, "full")
            level(gate, sub, "smtp")
        assert seen.count == 0
        began = time.monotonic()
        for _ in range(4):
            level(gate, sub, "throttle")
            level(gate, sub, "full")
        took = time.monotonic() - began
        sent = pacer.stop()
        gate.passes(sub, gate.syn(sub))
        assert sent > 100 and seen.count <= 2 * (took // 5 + 1) + 1, (sent, took, seen.count)
    gate.daemon.ok("release", sub.address)


def test_somebody_else_changes_the_sets(gate, family):
    """The truth loop knows levels: a missing element comes back into its set, a strange one goes."""
    sub, strange = gate.fresh("business", family), gate.fresh("business", family)
    level(gate, sub, "full")
    key, other = sub.name.split("/")[0], strange.name.split("/")[0]
    gate.lab.gw.nft(f"delete element inet enforcer full{family} {{ {key} }}")
    wait_for("full to come back", lambda: sets_of(gate, sub) == SETS["full"])
    gate.lab.gw.nft(f"add element inet enforcer full{family} {{ {other} timeout 1h }}")
    wait_for("the strange one to go", lambda: sets_of(gate, strange) == set())
    gate.lab.gw.nft(f"add element inet enforcer throttle{family} {{ {other} timeout 1h }}")
    wait_for("the strange one to go", lambda: sets_of(gate, strange) == set())
    assert strange.name not in gate.daemon.quarantined()
    gate.daemon.ok("release", sub.address)


@pytest.mark.parametrize("how", ["flush", "crash"])
def test_levels_come_back(gate, family, how):
    """After the table was deleted, and after a crash and a boot: each at its level, with its end."""
    subs = {name: gate.fresh("business", family) for name in SETS}
    until = {name: level(gate, sub, name)["until"] for name, sub in subs.items()}
    if how == "crash":
        gate.daemon.kill()
    gate.lab.gw.run("nft", "delete", "table", "inet", "enforcer")
    if how == "crash":
        gate.daemon.start()
    for name, sub in subs.items():
        wait_for(f"level {name} in the kernel", lambda n=name, s=sub: gate.lab.gw.run(
            "nft", "list", "set", "inet", "enforcer", f"full{family}", check=False).returncode == 0
            and sets_of(gate, s) == SETS[n])
        entry = gate.daemon.quarantined()[sub.name]
        assert (entry["level"], entry["until"]) == (name, until[name])
    wait_for("coverage", lambda: (lambda c: c["desired"] == c["enforced"])(gate.daemon.call("status")["coverage"]))
    wait_for("the hook of level full", lambda: "garden" in gate.lab.gw.run("nft", "list", "chains", "inet").stdout)
    for sub in subs.values():
        gate.daemon.ok("release", sub.address)


def test_one_quarantine_is_counted_once(gate):
    """Coverage counts quarantines, not elements."""
    before = gate.daemon.call("status")["coverage"]["desired"]
    subs = [gate.fresh("business") for _ in SETS]
    for name, sub in zip(SETS, subs):
        level(gate, sub, name)
    coverage = gate.daemon.call("status")["coverage"]
    assert coverage["desired"] == coverage["enforced"] == before + len(subs)
    for sub in subs:
        gate.daemon.ok("release", sub.address)
