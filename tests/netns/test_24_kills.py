# SPDX-License-Identifier: GPL-2.0-or-later
"""24. SIGKILL at random moments under load: after each restart the kernel, the state and what clients were told are the same,
element by element. LONG=1: 300 kills; KILLS and SEED choose others."""
import contextlib
import ipaddress
import os
import random
import re
import shutil
import signal
import sqlite3
import threading
import time
from datetime import datetime

from conftest import flows
from daemon import Control, Rejected, Subscriber, merged
from lab import HOST
from net import wait_for
from node import LabError

KILLS = int(os.environ.get("KILLS", 300 if os.environ.get("LONG") == "1" else 10))
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
CLIENTS = 10  # at once: their changes wait for the disk together
SECOND = 1.0
ABSENT = None
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


def configure(config):
    config["detector"]["connection_rate"] = [{"connections": 5, "per": "60s"}]
    config["quarantine"]["governor"] = {"convictions": 10000, "per": "1m"}


def seconds_of(text):
    """A time of the protocol."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Client:
    """Adds and releases subscribers and prefixes of its own, one after the other; knows what it was told and what it asked
    for when the connection broke."""

    def __init__(self, gate, number, dice):
        self.gate, self.dice = gate, dice
        self.names = [f"198.18.{number}.{n}" for n in range(200)] + [f"2001:db8:7:{number * 256 + n + 1:x}::/64" for n in range(50)]
        if number == 0:  # never next to each other: equal ends would make one range of them
            self.names += [f"198.19.0.{n * 32}/28" for n in range(8)]
        self.told = {}      # name -> end as the daemon said it, or ABSENT
        self.pending = None  # (name, whether it shall be there)
        self.count = 0

    def run(self):
        with contextlib.suppress(OSError, LabError), Control(self.gate.daemon.socket, 60) as control:
            while True:
                self.step(control)

    def step(self, control):
        name = self.dice.choice(self.names)
        there = self.told.get(name) is not ABSENT
        add = not there or self.dice.random() < 0.3
        self.pending = (name, add)
        try:
            if add:
                length = self.dice.choice(["2s", "4s", "1h", "2h", "10h"])
                entry = control.call("quarantine.add", addresses=[name], reason="kills", **{"for": length})["quarantined"][0]
                assert entry["subscriber"] == name
                self.told[name] = entry["until"]
            else:
                control.call("quarantine.release", addresses=[name])
                self.told[name] = ABSENT
        except Rejected as rejected:  # it had ended by itself
            assert not add and "quarantine" in str(rejected), rejected
            self.told[name] = ABSENT
        self.pending = None
        self.count += 1


def reloads(gate, counts):
    with contextlib.suppress(OSError, LabError), Control(gate.daemon.socket, 60) as control:
        while True:
            control.call("config.reload")
            counts["reloads"] += 1
            time.sleep(0.1)  # the others have their turn


def kernel_now(gate):
    """name -> seconds that are left, and when that was: of all quarantine sets."""
    found, began = {}, time.time()
    for kind in ("quarantine4", "quarantine6", "quarantine_nets4"):
        text = gate.lab.gw.run("nft", "list", "set", "inet", "enforcer", kind).stdout
        for address, left in re.findall(r"([0-9a-f.:/]+)(?: timeout \S+)? expires (\S+?)[,\s]", text):
            name = address + ("/64" if kind == "quarantine6" else "")
            name = str(ipaddress.ip_network(name)) if "/" in name else name
            found[name] = sum(float(n) * UNITS[u] for n, u in re.findall(r"(\d+)(ms|[dhms])", left))
    assert not gate.kernel_set(6, "quarantine_nets").count("expires")
    return found, began, time.time()


def state_now(gate, folder):
    """name -> end in seconds, of a copy of the state and its log."""
    folder.mkdir()
    for name in ("state.db", "state.db-wal"):
        source = gate.daemon.dir / "state" / name
        if source.exists():
            shutil.copy(source, folder)
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = db.execute("SELECT addr, len, until FROM quarantine").fetchall()
    shutil.rmtree(folder)
    out = {}
    for address, length, until in rows:
        net = ipaddress.ip_network((address, length))
        out[str(net.network_address) if net.prefixlen == 32 else str(net)] = until / 1000
    assert len(out) == len(rows)
    return out


def agree(what, clients, found, now):
    """Everything a client was told is so; what it asked for last may be done or not."""
    for client in clients:
        for name, until in client.told.items():
            if client.pending and client.pending[0] == name:
                continue
            if until is ABSENT:
                assert name not in found, f"{what}: {name} was released"
            elif seconds_of(until) > now + SECOND:
                assert name in found, f"{what}: {name} is in quarantine until {until}"
                assert abs(found[name] - seconds_of(until)) <= SECOND, f"{what}: {name} ends at {found[name]}, not {until}"


def settle(clients, listed):
    """After the comparison: what was pending is now told, what has ended is absent."""
    for client in clients:
        if client.pending:
            name = client.pending[0]
            client.told[name] = listed.get(name, {}).get("until")
            client.pending = None
        for name, until in list(client.told.items()):
            if until is not ABSENT and name not in listed:
                client.told[name] = ABSENT


def compare(gate, clients, convicted, folder):
    """The daemon is stopped in the middle of nothing: kernel, state and list at one moment."""
    daemon = gate.daemon

    def quiet():
        """A list, and all that had ended before it is away."""
        asked = time.time()
        entries = daemon.call("quarantine.list", limit=5000)["entries"]
        return None if any(seconds_of(e["until"]) < asked - SECOND for e in entries) else entries
    listed = {e["subscriber"]: e for e in wait_for("what has ended to be away", quiet)}
    daemon.proc.send_signal(signal.SIGSTOP)
    try:
        rows = state_now(gate, folder)
        kernel, began, ended = kernel_now(gate)
    finally:
        daemon.proc.send_signal(signal.SIGCONT)
    # What ends in this moment may be gone in one and there in another; the list is older than the others.
    names = {name for name, end in rows.items() if end > ended + SECOND}
    ending = (rows.keys() - names) | {name for name, entry in listed.items() if seconds_of(entry["until"]) <= ended + SECOND}
    for what, other in (("the list", listed.keys()), ("the kernel", kernel.keys())):
        assert names <= other and other <= names | ending, f"{what} and the state: {sorted((names ^ other) - ending)[:5]}"
    for name in names:
        early, late = began + kernel[name] - SECOND, ended + kernel[name] + SECOND
        assert early <= rows[name] <= late, f"{name}: {rows[name] - began:.3f} s left by the state, {kernel[name]:.3f} by the kernel"
    agree("after the restart", clients, rows, ended)
    assert convicted <= rows.keys(), "the convicted"
    assert daemon.call("status")["coverage"]["ratio"] == 1.0
    return listed


def test_sigkill_under_load(gate, tmp_path):
    dice, counts = random.Random(SEED), {"reloads": 0}
    clients = [Client(gate, n, random.Random(SEED * 10 + n)) for n in range(CLIENTS)]
    daemon, convictions, longest = gate.daemon, 0, 0.0
    print(f"\nseed {SEED}")
    for kill in range(KILLS):
        sub = Subscriber(gate.lab.suba, *[f"100.64.0.{11 + kill % 200}"] * 2, "residential")
        mark = daemon.mark()
        threads = [threading.Thread(target=c.run) for c in clients] + [threading.Thread(target=reloads, args=(gate, counts))]
        for thread in threads:
            thread.start()
        moment = dice.uniform(0.05, 1.2)
        time.sleep(moment / 2)
        gate.sender(sub.node).send(*flows(sub.address, HOST[4], 8, 25, 20000 + kill * 8))
        time.sleep(moment / 2)
        daemon.kill()
        for thread in threads:
            thread.join()
        # Before the restart: the disk alone has what was told.
        killed = time.time()
        agree("on disk", clients, state_now(gate, tmp_path / "copy"), killed)
        convicted = {e["enforcer"]["subscriber"] for e in daemon.events("quarantined", sub.name, since=mark)}
        began = time.monotonic()
        daemon.start()
        longest = max(longest, time.monotonic() - began)
        listed = compare(gate, clients, convicted, tmp_path / "copy")
        settle(clients, listed)
        if sub.name in listed:  # told or not: it may have been convicted in the kernel, and taken over
            convictions += 1
            daemon.call("quarantine.release", addresses=[sub.name])
    done = sum(c.count for c in clients)
    print(f"{KILLS} kills under {done} changes by hand, {counts['reloads']} reloads, {convictions} convictions; "
          f"{len(listed)} in quarantine at the end; the longest start {longest:.2f} s")
    assert done > KILLS and counts["reloads"] > 0 and convictions > 0
