# SPDX-License-Identifier: GPL-2.0-or-later
"""What an honest inspected session feels, with and without the daemon."""
import json

import measure
from bed import PROGRAMS, PROMPT, SERVER, Bed
from product import Daemon, config

# Four hosts share the sessions: one may open 1200 flows at once.
SOURCES = [f"198.18.0.{i}" for i in range(2, 6)]


def sessions(o, with_daemon):
    with Bed() as bed:
        for source in SOURCES[1:]:
            bed.run("client", "ip", "addr", "add", f"{source}/16", "dev", "c0")
        if with_daemon:
            Daemon(bed, config(bed, "inspect"), prompt=True).start()
        argv = [*PROMPT, PROGRAMS / "session", bed.names["client"], bed.names["server"], SERVER]
        bed.run("client", *argv, 50, *SOURCES)  # neighbours are found, caches are warm
        return json.loads(bed.run("client", *argv, 200 if o.quick else 2000, *SOURCES))


def run(o):
    results = measure.alternate({"with the daemon": lambda: sessions(o, True), "without": lambda: sessions(o, False)}, o.rounds, 1.0)
    for key, what in (("connect", "SYN to SYN-ACK"), ("dialogue", "banner to EHLO"), ("whole", "whole session of three commands")):
        for p in ("p50", "p99"):
            yield measure.compare("latency", f"{what}, {p}", results, "with the daemon", "without", f"{key}_{p}", unit=" us")
