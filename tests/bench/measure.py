# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs things in turn, throws disturbed runs away, and makes ratios and a table of what is left."""
import dataclasses
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

OTHER_MAX = 0.5  # CPUs that processes which are not ours may use during a run (we have the priority: mostly what we leave)
TRIES = 3        # of one run; then the last one counts, and the table says so
RETRY_FOR = 120  # seconds that all repeated runs together may take: the whole has an end on a busy machine too
TICK = os.sysconf("SC_CLK_TCK")


def _ours(parents):
    """Processes that descend from this one, and this one."""
    found, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def other_cpu():
    """CPU seconds used so far by processes that are not ours, and stolen by the host. Kernel threads are not counted:
    they work for us too. The time of a process that ended is with its parent."""
    used, parents = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(int(f) for f in fields[11:15])
    ours = _ours(parents)
    ticks = sum(t for pid, t in used.items() if pid not in ours and parents[pid] != 2 and pid != 2)
    stolen = int(pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    return (ticks + stolen) / TICK


def say(text):
    print(text, file=sys.stderr, flush=True)


_retried = [0.0]


def undisturbed(name, run, most=OTHER_MAX):
    """One run that others did not disturb: its dict, with other_cpu and, where all tries were disturbed, noisy."""
    for attempt in range(1, TRIES + 1):
        used, began = other_cpu(), time.monotonic()
        result = run()
        result["other_cpu"] = (other_cpu() - used) / (time.monotonic() - began)
        result["noisy"] = not -most <= result["other_cpu"] <= most
        shown = " ".join(f"{k}={v:.6g}" for k, v in result.items() if k != "noisy")
        say(f"  {name}: {shown}{' DISTURBED' if result['noisy'] else ''}")
        if not result["noisy"] or _retried[0] > RETRY_FOR:
            break
        _retried[0] += time.monotonic() - began
        time.sleep(min(attempt, 5))
    return result


def alternate(runs, rounds, most=OTHER_MAX):
    """runs: name -> function that gives a dict. Each in turn, again and again: name -> list of dicts. most: CPUs that others
    may use; where ours leave a CPU idle, others take what we do not want."""
    results = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(undisturbed(name, run, most))
    return results


def median(results, key):
    return statistics.median(r[key] for r in results)


def ratios(results, of, to, key):
    """Of runs made next to each other: median, lowest, highest."""
    pairs = [a[key] / b[key] if b[key] else float("inf") for a, b in zip(results[of], results[to])]
    return statistics.median(pairs), min(pairs), max(pairs)


@dataclasses.dataclass
class Row:
    """One line of the table. better: whether more (1) or less (-1) of value is wanted; target None: no goal."""

    bench: str
    what: str
    measured: str
    against: str
    value: float
    value_text: str
    target: float = None
    better: int = 1
    runs: int = 0
    noisy: int = 0

    def verdict(self):
        if self.target is None:
            return "-"
        met = self.value >= self.target if self.better > 0 else self.value <= self.target
        sign = "≥" if self.better > 0 else "≤"
        return f"{sign} {self.target:g}: {'met' if met else 'MISSED'}"


def compare(bench, what, results, of, to, key, target=None, unit="/s", better=1):
    """The row of a ratio."""
    mid, low, high = ratios(results, of, to, key)
    return Row(bench, what, f"{median(results[of], key):,.4g}{unit}" if median(results[of], key) < 1000
               else f"{median(results[of], key):,.0f}{unit}",
               f"{to}: {median(results[to], key):,.4g}{unit}" if median(results[to], key) < 1000
               else f"{to}: {median(results[to], key):,.0f}{unit}",
               mid, f"{mid:.2f} ({low:.2f} to {high:.2f})", target, better, runs=len(results[of]),
               noisy=sum(r["noisy"] for r in results[of] + results[to]))


def plain(bench, what, value, text, against="", target=None, better=1, runs=0, noisy=0):
    """The row of a figure that stands for itself."""
    return Row(bench, what, text, against, value, "", target, better, runs, noisy)


def machine():
    """The machine and the time, in one line."""
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False,
                            cwd=pathlib.Path(__file__).parent).stdout.strip()
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {date}, version {commit or 'unknown'}"


def table(rows):
    """Markdown."""
    lines = ["| measurement | measured | compared with | ratio (range) | target | runs |", "| --- | --- | --- | --- | --- | --- |"]
    for r in rows:
        runs = f"{r.runs}" + (f", {r.noisy} disturbed" if r.noisy else "") if r.runs else "-"
        lines.append(f"| {r.bench}: {r.what} | {r.measured} | {r.against or '-'} | {r.value_text or '-'} | {r.verdict()} | {runs} |")
    return "\n".join(lines)
