# SPDX-License-Identifier: GPL-2.0-or-later
"""NFLOG: copies of the SYNs of a `block` group at overload. The daemon reads, counts and judges each; the loop it is
compared with counts them. Twice: all 65,536 subscribers are new, so that each makes an event; and all are known."""
import json
import signal
import subprocess
import time

import measure
from bed import LAST, PROGRAMS, Bed, cpu_seconds, wait_for
from product import LOG_GROUP, Daemon, config

PORTS = 16384
WARM_SECONDS = 1.5
SIMPLE = f"""table inet measured {{
 chain forward {{
  type filter hook forward priority 0; policy accept;
  tcp dport 25 tcp flags & (syn|ack) == syn log prefix "enf:block" group {LOG_GROUP} snaplen 192 queue-threshold 32
  tcp dport 25 drop
 }}
}}
"""


def traffic(bed, o):
    return bed.generated(bed.generate(o.seconds, mode=o.mode, o=PORTS))


def meet(bed, daemon, o):
    """Each subscriber has been seen some times, and told once; the daemon has nothing left to do."""
    bed.generated(bed.generate(WARM_SECONDS, mode=o.mode, o=PORTS))
    seen = [-1]

    def all_read():
        seen.append(daemon.status()["telemetry"]["log_messages"])
        return seen[-1] == seen[-2]
    wait_for("the daemon to have read all", all_read, step=0.3)


def with_daemon(o, known):
    with Bed() as bed:
        daemon = Daemon(bed, config(bed, "block"), cpu=LAST).start()
        if known:
            meet(bed, daemon, o)
        before, cpu = daemon.status()["telemetry"], cpu_seconds(daemon.proc)
        offered = traffic(bed, o)
        cpu = cpu_seconds(daemon.proc) - cpu
        after = daemon.status()["telemetry"]
        messages = after["log_messages"] - before["log_messages"]
        return {"messages": messages / o.seconds, "lost": (after["log_lost"] - before["log_lost"]) / o.seconds, "offered": offered,
                "us_a_message": cpu / max(messages, 1) * 1e6}


def with_loop(o, rules):
    with Bed() as bed:
        rules(bed)
        proc = bed.start("gateway", PROGRAMS / "log_loop", LOG_GROUP, cpu=LAST, stdout=subprocess.PIPE)
        time.sleep(0.2)
        offered = traffic(bed, o)
        cpu = cpu_seconds(proc)
        counted = json.loads(bed.stop(proc, signal.SIGTERM))
        return {"messages": counted["messages"] / o.seconds, "lost": counted["lost"] / o.seconds, "offered": offered,
                "us_a_message": cpu / max(counted["messages"], 1) * 1e6}


def run(o):
    runs = {
        "daemon": lambda: with_daemon(o, known=False),
        "daemon, known subscribers": lambda: with_daemon(o, known=True),
        "smallest reader, same rules": lambda: with_loop(o, lambda bed: Daemon(bed, config(bed, "block")).install()),
        "smallest reader": lambda: with_loop(o, lambda bed: bed.rules("gateway", SIMPLE)),
    }
    results = measure.alternate(runs, o.rounds, 1.2)
    yield measure.compare("telemetry", "copies of SYNs of `block` at overload", results, "daemon", "smallest reader", "messages", 0.9)
    yield measure.compare("telemetry", "the same", results, "daemon", "smallest reader, same rules", "messages", 0.9)
    yield measure.compare("telemetry", "copies of SYNs of known subscribers", results, "daemon, known subscribers", "smallest reader", "messages", 0.9)
    yield measure.compare("telemetry", "the same", results, "daemon, known subscribers", "smallest reader, same rules", "messages", 0.9)
    for name in runs:
        us = measure.median(results[name], "us_a_message")
        lost = measure.median(results[name], "lost")
        yield measure.plain("telemetry", f"CPU a message, {name}", us, f"{us:.2f} us; {lost:,.0f}/s lost",
                            target=0.5 if name.startswith("daemon") else None, better=-1, runs=o.rounds,
                            noisy=sum(r["noisy"] for r in results[name]))
