# SPDX-License-Identifier: GPL-2.0-or-later
"""From the decision to the kernel's answer, and from the convicting packet to the last one that passed."""
import json

import measure
from bed import LAST, PROGRAMS, SERVER, Bed, BenchError
from product import Daemon, config

LIMIT = 10                 # connections; the next one convicts
SMARTHOST = "203.0.113.3"  # passes as long as there is no quarantine, even where the group is blocked
DETECTOR = {"connection_rate": [{"connections": LIMIT, "per": "60s"}], "distinct_destinations": None, "sequential": None}


def one_ban(o):
    with Bed() as bed:
        Daemon(bed, config(bed, "inspect")).install()
        result = json.loads(bed.run("gateway", "taskset", "-c", LAST, PROGRAMS / "ban", 200 if o.quick else 2000, 1000))
        return {k: result[k] for k in ("p50", "p99", "max")}


def to_block(o, policy, probed):
    """Probes each 100 us, by trials of a fresh source each."""
    with Bed() as bed:
        bed.neighbour(SMARTHOST)
        bed.sink(25)
        settings = config(bed, policy, DETECTOR, smarthosts=[{"name": "smarthost", "addresses": [SMARTHOST]}])
        settings["quarantine"] = {"governor": {"convictions": 10000, "per": "1s"}}
        Daemon(bed, settings, prompt=True).start()
        threshold = LIMIT + 1 if probed == SERVER else LIMIT + 2  # the first one goes to the smarthost, and does not count
        result = json.loads(bed.run("client", "taskset", "-c", 0, PROGRAMS / "time_to_block", bed.names["client"],
                                    bed.names["server"], bed.mac, threshold, 100, 5 if o.quick else 40, SERVER, probed))
        if result["open"] < result["trials"]:
            raise BenchError(f"{policy}: the way was not open before: {result}")
        return result


def run(o):
    bans = [measure.undisturbed("one ban", lambda: one_ban(o)) for _ in range(o.rounds)]
    p50, p99 = measure.median(bans, "p50"), measure.median(bans, "p99")
    noisy = sum(r["noisy"] for r in bans)
    yield measure.plain("ban", "one ban, decision to acknowledged element, p99", p99, f"{p99:.1f} us (p50 {p50:.1f})", target=100,
                        better=-1, runs=o.rounds, noisy=noisy)
    for policy, probed, what in (("inspect", SERVER, "inline (`inspect`)"), ("block", SMARTHOST, "by telemetry (`block`)")):
        blocks = [measure.undisturbed(what, lambda p=policy, d=probed: to_block(o, p, d), 1.0) for _ in range(o.rounds)]
        p50, p99 = measure.median(blocks, "p50") / 1e3, measure.median(blocks, "p99") / 1e3
        passed, never = sum(b["passed"] for b in blocks), sum(b["never"] for b in blocks)
        trials = sum(b["trials"] for b in blocks)
        if policy == "inspect":
            yield measure.plain("ban", f"packets that passed after the convicting SYN, {what}", passed + never,
                                f"{passed} in {trials} trials, {never} never blocked", target=0, better=-1, runs=o.rounds,
                                noisy=sum(b["noisy"] for b in blocks))
        else:
            yield measure.plain("ban", f"time to block {what}, p99", p99 if never == 0 else float("inf"),
                                f"{p99:.2f} ms (p50 {p50:.2f}); {passed} probes passed in {trials} trials, {never} never blocked", target=5, better=-1,
                                runs=o.rounds, noisy=sum(b["noisy"] for b in blocks))
