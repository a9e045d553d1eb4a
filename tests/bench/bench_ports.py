# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rules cost others: packets and bytes of other ports, dropping of who is in quarantine, a bulk flow on port 25."""
import json
import subprocess
import time

import measure
from bed import LAST, PROGRAMS, SERVER, Bed, BenchError, wait_for
from product import LOG_GROUP, Daemon, config

OTHER = 9999
SOURCES = 65536


def addresses():
    return ", ".join(f"198.18.{i >> 8}.{i & 255}" for i in range(SOURCES))


def with_rules(bed):
    """The daemon runs, a group is blocked."""
    Daemon(bed, config(bed, "block"), cpu=LAST).start()


def nothing(_bed):
    pass


def empty_chain(bed):
    """What any rule in this hook costs: nothing can be faster."""
    bed.rules("gateway", "table inet empty {\n chain forward {\n  type filter hook forward priority 0; policy accept;\n }\n}\n")


def quarantined(bed):
    Daemon(bed, config(bed, "block")).install()
    bed.rules("gateway", f"add element inet enforcer quarantine4 {{ {addresses()} }}")
    bed.start("gateway", PROGRAMS / "log_loop", LOG_GROUP, cpu=LAST)
    time.sleep(0.2)


def bare_set(bed):
    bed.rules("gateway", f"""table inet bare {{
 set q {{ type ipv4_addr; flags timeout; size 2000000; elements = {{ {addresses()} }}; }}
 chain forward {{
  type filter hook forward priority 0; policy accept;
  tcp dport 25 ip saddr @q counter drop
 }}
}}
""")


def packets(o, prepare, port):
    """Frames of 64 bytes that the gateway forwards or drops in a second, on one CPU."""
    with Bed() as bed:
        bed.sink(25, OTHER)
        prepare(bed)
        bed.generated(bed.generate(0.2, port=port, mode=o.mode))
        before = bed.arrived()
        offered = bed.generated(bed.generate(o.seconds, port=port, mode=o.mode))
        return {"packets": offered, "forwarded": (bed.arrived() - before) / o.seconds}


def bulk(o, prepare, port):
    """Gbit/s of one TCP flow through the gateway."""
    with Bed() as bed:
        prepare(bed)
        server = bed.start("server", "iperf3", "-s", "-p", port, "-1", stdout=subprocess.DEVNULL)
        wait_for("iperf3 to listen", lambda: bed.listening("server", port))
        client = bed.start("client", "iperf3", "-c", SERVER, "-p", port, "-t", max(1, round(o.seconds)), "-J",
                           stdout=subprocess.PIPE)
        out = client.communicate(timeout=60)[0]
        bed.procs.remove(client)
        bed.stop(server)
        try:
            end = json.loads(out)["end"]
            return {"gbit": end["sum_received"]["bits_per_second"] / 1e9}
        except (ValueError, KeyError) as e:
            raise BenchError(f"iperf3: {e!r} in {out[-300:]}") from e


def inspected(bed):
    Daemon(bed, config(bed, "inspect"), cpu=LAST).start()


def run(o):
    rounds = o.rounds if o.quick else max(o.rounds, 7)

    def rows(what, how, port, key, target, most, **others):
        """others: name -> what is set up; the first is the product."""
        measure.say(f" {what}")
        runs = {n.replace("_", " "): (lambda p=p: how(o, p, port)) for n, p in others.items()}
        results = measure.alternate(runs, rounds, most)
        unit = "" if key == "gbit" else "/s"
        first, *rest = runs
        return [measure.compare("ports", what, results, first, name, key, target if name == rest[0] else None, unit) for name in rest]

    # One CPU is ours; what happens on the other one disturbs little.
    yield from rows("other ports, 64-byte packets a second", packets, OTHER, "packets", 0.95, 1.3,
                    daemon=with_rules, no_rules=nothing, an_empty_chain=empty_chain)
    yield from rows("other ports, one TCP flow, Gbit/s", bulk, 5001, "gbit", 0.95, 0.6, daemon=with_rules, no_rules=nothing)
    yield from rows("quarantined sources, SYNs dropped a second", packets, 25, "packets", 0.95, 1.3,
                    daemon=quarantined, a_bare_set_lookup=bare_set)
    yield from rows("one TCP flow on port 25 under `inspect`, Gbit/s", bulk, 25, "gbit", 0.85, 0.6, daemon=inspected, no_rules=nothing)
