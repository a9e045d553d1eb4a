# SPDX-License-Identifier: GPL-2.0-or-later
"""NFQUEUE: verdicts a second at overload, and what is lost at a steady rate. The daemon reads, counts and judges each
packet; the loops it is compared with read nothing."""
import time

import measure
from bed import CLIENT_NET, LAST, PROGRAMS, Bed, cpu_seconds, wait_for
from product import Daemon, config

PACED = 150_000  # SYNs a second
PORTS = 16384    # of each source: every SYN is a new flow, as in a real flood
# Nobody comes near it within a run: each of 65,536 sources sends some ten. Limits as high as UNLIMITED make rules that no
# configuration of this world has: their meter is larger than the bucket for new flows.
LIMITS = {"connection_rate": [{"connections": 100, "per": "60s"}], "distinct_destinations": None, "sequential": None}
RELAYS_WATCHED = 16384  # size of relay_used4
BURST = 3_000    # of them at once: what a network card hands over after 20 ms of interrupt moderation, or a stalled CPU


def simple_rule(bed):
    """Port 25 of the forward hook to queue 0, as documentation has it."""
    bed.run("gateway", "iptables-nft", "-A", "FORWARD", "-p", "tcp", "--dport", "25", "-j", "NFQUEUE", "--queue-num", "0",
            "--queue-bypass")


def same_rules(bed):
    """The daemon's rules, without the daemon."""
    Daemon(bed, config(bed, "inspect", LIMITS)).install()
    bed.run("gateway", PROGRAMS / "queue_rule", "0")


def loop(name, rules=simple_rule):
    def start(bed):
        rules(bed)
        with open("/dev/null", "w", encoding="ascii") as null:
            return bed.start("gateway", PROGRAMS / name, "0", cpu=LAST, stdout=null)
    return start


def daemon(detector):
    return lambda bed: Daemon(bed, config(bed, "inspect", detector), cpu=LAST).start().proc


def daemon_simple(bed):
    """The daemon's loop under the loops' simple rule, at the loops' place. The daemon would put its own rules back, so they stay in
    front, on the CPU that receives, and let every packet through after a few lookups: for them all sources are relays. Copies
    of what relays send are no part of the loop: the set that each must get into for that is full of others."""
    settings = config(bed, "inspect", LIMITS, inbound={"stateless": True})
    settings["relays"] = [{"name": "all", "addresses": [CLIENT_NET], "interface": "g0"}]
    proc = Daemon(bed, settings, cpu=LAST).start().proc
    others = ", ".join(f"198.19.{i >> 8}.{i & 255}" for i in range(RELAYS_WATCHED))
    bed.rules("gateway", f"add element inet enforcer relay_used4 {{ {others} }}")
    simple_rule(bed)
    return proc


CONSUMERS = {
    "daemon": daemon(LIMITS),
    "daemon, simple rule": daemon_simple,
    "daemon, convicting": daemon({}),
    "batched loop": loop("queue_loop"),
    "batched loop, same rules": loop("queue_loop", same_rules),
    "documented example": loop("queue_example"),
    "documented example, same rules": loop("queue_example", same_rules),
}


def one(consumer, o, rate=0, burst=1):
    """One run: a fresh bed, half a second of warming up, then the kernel's counters over some seconds."""
    with Bed() as bed:
        bed.sink(25)
        proc = CONSUMERS[consumer](bed)
        wait_for("the queue to be bound", lambda: bed.queues()["queues"] > 0)
        warm = 0.5
        generator = bed.generate(o.seconds + 2 * warm, rate, mode=o.mode, b=burst, o=PORTS)
        time.sleep(warm)
        before, passed, cpu, began = bed.queues(), bed.arrived(), cpu_seconds(proc), time.monotonic()
        time.sleep(o.seconds)
        after, took = bed.queues(), time.monotonic() - began
        passed, cpu = bed.arrived() - passed, cpu_seconds(proc) - cpu
        offered = bed.generated(generator)
        done = {k: (after[k] - before[k]) / took for k in ("verdicts", "full", "unread")}
        return {**done, "forwarded": passed / took, "cpu": cpu / took, "offered": offered,
                "dropped_share": (done["full"] + done["unread"]) / max(offered, 1),
                "lost_share": 1 - min(done["verdicts"] / (rate or offered), 1)}


def run(o):
    over = measure.alternate({n: (lambda n=n: one(n, o)) for n in CONSUMERS}, o.rounds)

    def row(what, of, to, target=None):
        return measure.compare("verdicts", what, over, of, to, "verdicts", target)

    yield row("SYNs at overload, the loop alone: one simple rule for all", "daemon, simple rule", "batched loop", 0.80)
    yield row("the same", "daemon, simple rule", "documented example", 1.9)
    yield row("the same, and the daemon with all its rules of `inspect`", "daemon", "batched loop", 0.80)
    yield row("the same", "daemon", "documented example", 1.9)
    yield row("all with the daemon's rules", "daemon", "batched loop, same rules")
    yield row("the same", "daemon", "documented example, same rules")
    yield row("with the default limits: all are convicted", "daemon, convicting", "batched loop, same rules")
    yield row("for the scale", "batched loop", "documented example")
    yield row("for the scale: what the rules cost", "batched loop, same rules", "batched loop")
    for how, burst in (("evenly", 1), (f"in bursts of {BURST:,}", BURST)):
        names = ("daemon", "batched loop", "documented example")
        paced = measure.alternate({n: (lambda n=n, b=burst: one(n, o, PACED, b)) for n in names}, o.rounds, 1.0)
        for name in names:
            lost = measure.median(paced[name], "lost_share")
            yield measure.plain("verdicts", f"{PACED:,} SYN/s {how}: {name}", lost, f"{lost:.1%} not answered, {measure.median(paced[name], 'dropped_share'):.1%} dropped by the queue",
                                target=0.005 if name == "daemon" else None, better=-1, runs=o.rounds,
                                noisy=sum(r["noisy"] for r in paced[name]))
