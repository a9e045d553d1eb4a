# SPDX-License-Identifier: GPL-2.0-or-later
"""A million quarantines from the state into the kernel, at a start: against a loader that does nothing but that, nft and ipset."""
import ipaddress
import json
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import measure
from bed import PROGRAMS, Bed, BenchError, wait_for
from product import Daemon, config

FIRST = int(ipaddress.ip_address("100.64.0.0"))
DAY_MS = 86400000
SETTLED = 2  # MiB of kernel memory that may still come back between two looks
BUSY = 0.1   # CPUs that the kernel may use meanwhile


def address(i):
    return str(ipaddress.ip_address(FIRST + i))


def settle():
    """What a namespace held is given back in the background, by the kernel's own threads: the next run must not pay for it."""
    def look():
        text = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
        held = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("SUnreclaim")) / 1024
        ticks = pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return held, int(ticks[3])  # ticks: user nice system
    last, calm, end = look(), 0, time.monotonic() + (20 if measure.TRIES > 1 else 1)  # --quick: no figures
    while calm < 4 and time.monotonic() < end:
        time.sleep(0.25)
        now = look()
        calm = calm + 1 if abs(now[0] - last[0]) < SETTLED and (now[1] - last[1]) * 0.01 < 0.25 * BUSY else 0
        last = now


def settings(bed, state):
    return config(bed, "inspect", state=str(state), quarantine={"max_entries": 1100000})


def write_state(folder, count):
    """The daemon makes the file; the rows are as it writes them, of hosts that were convicted within the last day, and end
    within the next."""
    with Bed() as bed:
        Daemon(bed, settings(bed, folder)).install()
    now_ms = int(time.time() * 1000)
    db = sqlite3.connect(folder / "state.db")
    db.executemany("INSERT INTO quarantine VALUES(4,?,32,0,1,0,?,?,?,?,'detector','','measured')", (
        ((FIRST + i).to_bytes(4, "big"), now_ms - i % 80000 * 1000, now_ms + DAY_MS + i % 80000 * 1000, 1 + i % 3,
         f"connection_rate: {21 + i % 50} connections within 60 s (limit 20)") for i in range(count)))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


class Runs:
    """Each in namespaces of its own; seconds from the start of the process to its end."""

    def __init__(self, folder, count):
        self.folder, self.count = folder, count
        self.states = {0: folder / "empty", count: folder / "full"}
        for n, state in self.states.items():
            write_state(state, n)
        self.nft, self.ipset = folder / "load.nft", folder / "load.ipset"
        with open(self.nft, "w", encoding="ascii") as out:
            out.write("add element inet enforcer quarantine4 {\n")
            out.writelines(f"{address(i)} timeout 1d,\n" for i in range(count))
            out.write("}\n")
        with open(self.ipset, "w", encoding="ascii") as out:
            out.write(f"create restored hash:ip timeout 86400 hashsize {1 << (count - 1).bit_length()} maxelem 2000000\n")
            out.writelines(f"add restored {address(i)} timeout 86400\n" for i in range(count))

    def _timed(self, bed, *argv):
        began = time.monotonic()
        out = bed.run("gateway", *argv)
        return time.monotonic() - began, out

    def install(self, count):
        """What a start does until all is in force, without the threads and sockets that follow."""
        settle()
        with Bed() as bed:
            daemon = Daemon(bed, settings(bed, self.states[count]))
            began = time.monotonic()
            daemon.install()
            return {"seconds": time.monotonic() - began}

    def bare(self):
        settle()
        with Bed() as bed:
            Daemon(bed, settings(bed, self.states[0])).install()
            seconds, out = self._timed(bed, PROGRAMS / "bare_load", self.count)
            return {"seconds": seconds, "inside": json.loads(out)["seconds"]}

    def by_nft(self):
        settle()
        with Bed() as bed:
            Daemon(bed, settings(bed, self.states[0])).install()
            return {"seconds": self._timed(bed, "nft", "-f", self.nft)[0]}

    def by_ipset(self):
        settle()
        with Bed() as bed:
            return {"seconds": self._timed(bed, "ipset", "restore", "-f", self.ipset)[0]}

    def _banning(self, bed, action):
        """Another process bans each millisecond meanwhile; what it has to say."""
        ban = bed.start("gateway", PROGRAMS / "ban", 1000000, 1000, stdout=subprocess.PIPE)
        time.sleep(0.1)
        action()
        return json.loads(bed.stop(ban, signal.SIGTERM))

    def bans(self):
        """The longest while a start fills the sets and then loads the rules, while the configuration is loaded anew, and while what
        somebody has emptied is filled in again. To the daemon these bans are somebody else's, which makes it look all the time."""
        own_state = self.folder / "bans"  # it takes some of them for its own: the others' state stays as it is
        shutil.rmtree(own_state, ignore_errors=True)
        shutil.copytree(self.states[self.count], own_state)
        settle()
        with Bed() as bed:
            Daemon(bed, settings(bed, self.states[0])).install()
            daemon = Daemon(bed, settings(bed, own_state))
            filled = []

            def start():
                daemon.start(wait=False)
                daemon.said("are in the kernel's sets")
                filled.append(time.monotonic() * 1e6)
                daemon.said("is in force")

            def reload():
                for _ in range(3):
                    if daemon.ctl("reload").returncode != 0:
                        raise BenchError("not reloaded")

            def refill():
                wait_for("all to be there again", lambda: daemon.status()["coverage"]["ratio"] == 1.0, limit=120, step=0.2)

            own = self._banning(bed, start)
            wait_for("enforcerd to answer", lambda: daemon.ctl("status").returncode == 0)
            again = self._banning(bed, reload)
            bed.run("gateway", "nft", "flush", "set", "inet", "enforcer", "quarantine4")
            mended = self._banning(bed, refill)
            during = [us for began, us in own["slow"] if began < filled[0] - 5000]
            return {"bans": own["bans"], "p99": own["p99"], "filling": max(during, default=own["p99"]), "start": own["max"],
                    "reload": again["max"], "refill": mended["max"]}

    def memory(self, count):
        """MB that the daemon has in memory, at rest and at most."""
        settle()
        with Bed() as bed:
            daemon = Daemon(bed, settings(bed, self.states[count])).start()
            wait_for("all to be counted", lambda: daemon.status()["coverage"]["desired"] == count, step=0.5)
            fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{daemon.proc.pid}/status").read_text().splitlines())
            return {k: int(fields[f].split()[0]) * 1024 / 1e6 for k, f in (("rss", "VmRSS"), ("peak", "VmHWM"))}


def run(o):
    if not shutil.which("ipset"):
        raise BenchError("ipset is not installed")
    count = 20000 if o.quick else 1000000
    with tempfile.TemporaryDirectory(prefix="enforcer-restore-") as folder:
        runs = Runs(pathlib.Path(folder), count)
        what = f"{count:,} quarantines".replace(",", " ")
        results = measure.alternate({"restore": lambda: runs.install(count), "bare loader": runs.bare}, o.rounds)
        yield measure.compare("restore", f"{what} from the state into the kernel, whole start of `--install`", results, "restore",
                              "bare loader", "seconds", unit=" s", better=-1)
        start = measure.alternate({"start": lambda: runs.install(0)}, min(o.rounds, 3))["start"]
        fixed = measure.median(start, "seconds")
        for r in results["restore"]:
            r["net"] = r["seconds"] - fixed
        for r in results["bare loader"]:
            r["net"] = r["seconds"]
        yield measure.compare("restore", f"{what}, less a start with an empty state ({fixed:.3f} s)", results, "restore",
                              "bare loader", "net", target=1.3, unit=" s", better=-1)
        rounds = min(o.rounds, 3)
        for name, one, target in (("nft -f", runs.by_nft, 2.3), ("ipset restore", runs.by_ipset, 5)):
            others = measure.alternate({name: one, "restore": lambda: runs.install(count)}, rounds)
            yield measure.compare("restore", f"{what}: how many times faster than `{name}`", others, name, "restore", "seconds",
                                  target=target, unit=" s")
        bans = [measure.undisturbed("bans meanwhile", runs.bans) for _ in range(rounds)]
        p99 = measure.median(bans, "p99") / 1e3
        noisy = sum(b["noisy"] for b in bans)
        for key, when in (("filling", "while a start fills the sets"), ("start", "while a start fills them and loads the rules"),
                          ("reload", "while the configuration is loaded anew, three times"),
                          ("refill", "while sets that somebody emptied are filled in")):
            worst = max(b[key] for b in bans) / 1e3
            text = f"{worst:.2f} ms" + (f" (p99 {p99:.2f}), {sum(b['bans'] for b in bans)} bans" if key == "start" else "")
            yield measure.plain("restore", f"longest ban made {when}", worst, text, target=10, better=-1, runs=rounds, noisy=noisy)
        full, empty = runs.memory(count), runs.memory(0)
        grown = full["rss"] - empty["rss"]
        yield measure.plain("restore", f"memory of the daemon for {what}", grown,
                            f"{grown:.1f} MB (at most {full['peak'] - empty['rss']:.1f}); {full['rss']:.1f} in all", target=64, better=-1)
