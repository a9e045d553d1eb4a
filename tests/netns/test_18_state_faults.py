# SPDX-License-Identifier: GPL-2.0-or-later
"""18. The state's disk is full, read-only, broken, or written by a newer version: it is said, enforcement goes on, nothing is
overwritten, and what can be known again comes back."""
import contextlib
import ipaddress
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from datetime import datetime

import pytest

from daemon import Control, Rejected, merged
from disk import small_disk
from net import wait_for


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own for the state."""
    with small_disk(tmp_path / "disk", "2m") as folder:
        yield folder


@pytest.fixture
def home(make_gate, disk):
    """A gate whose state is there; its daemon runs."""
    gate = make_gate(lambda config: config.update(merged(config, {"state": str(disk / "state")})))
    gate.start()
    yield gate
    if gate.daemon.alive():
        gate.daemon.stop()


def fill(disk):
    with open(disk / "filler", "ab", buffering=0) as f:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                pass


def code_of(gate, method, **params):
    try:
        gate.daemon.call(method, **params)
    except Rejected as rejected:
        return rejected.code, str(rejected)
    return 0, ""


def ends(gate):
    """Subscriber -> end in seconds."""
    return {name: datetime.fromisoformat(entry["until"].replace("Z", "+00:00")).timestamp()
            for name, entry in gate.daemon.quarantined().items()}


def dropped(gate, *subs):
    return all(gate.passes(sub, gate.syn(sub)) == [False] for sub in subs)


def test_full_disk(home, disk):
    """People are told no; a conviction holds, is still there after a refused request, and is on disk once there is room."""
    gate, daemon = home, home.daemon
    wish = gate.fresh("business", 4)
    fill(disk)
    sub = gate.fresh("business", 4)
    daemon.write(merged(gate.config, {"detector": {"connection_rate": [{"connections": 3, "per": "60s"}]}}))
    daemon.ok("reload")
    mark = daemon.mark()
    gate.syns(sub, 4)
    gate.wait_quarantined(sub)
    daemon.wait_event("quarantined", sub.name)
    lost = daemon.wait_event("coverage-lost", since=mark)
    assert "state" in lost["event"]["reason"] and "full" in lost["event"]["reason"]
    code, words = code_of(gate, "quarantine.add", addresses=[wish.address])
    assert code == -32008 and "full" in words, words
    assert daemon.quarantined()[sub.name]["actor"] == "detector", "a refused request takes nothing else with it"
    code, words = code_of(gate, "quarantine.release", addresses=[sub.address])
    assert code == -32008, words
    code, words = code_of(gate, "quarantine.add", addresses=["203.0.113.192/27"])
    assert code == -32008, words
    code, words = code_of(gate, "mode.set", mode="enforce")
    assert code == -32008, words
    # But nobody has to go on dropping because a disk is full; and back again.
    assert daemon.call("mode.set", mode="observe") == {"mode": "observe", "origin": "hand", "saved": False}
    assert gate.passes(sub, gate.syn(sub)) == [True]
    assert daemon.call("mode.set", mode="enforce") == {"mode": "enforce", "origin": "hand", "saved": False}
    assert dropped(gate, sub)
    for _ in range(2):  # status compares with the kernel: nobody who was refused is found there and adopted
        assert daemon.call("status")["coverage"]["ratio"] == 1
    assert daemon.quarantined().keys() == {sub.name}
    assert gate.passes(wish, gate.syn(wish)) == [True] and dropped(gate, sub)
    assert "203.0.113.192" not in gate.kernel_set(4, "quarantine_nets")
    (disk / "filler").unlink()
    wait_for("the state to be written again", lambda: "can be written again" in daemon.log())
    assert daemon.call("quarantine.add", addresses=[wish.address])["quarantined"]
    before = daemon.quarantined()
    daemon.kill()
    daemon.start()
    after = daemon.quarantined()
    assert after == before and after[sub.name]["actor"] == "detector" and wish.name in after
    assert daemon.call("status")["mode_origin"] == "hand", "the mode was written later"
    assert daemon.call("mode.set", mode="file") == {"mode": "enforce", "origin": "file", "saved": True}
    assert dropped(gate, sub, wish)


def ask_at_once(daemon, asked):
    """(method, address) of one client each, all there before the daemon looks: the error codes, 0 for done."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Control(daemon.socket)) for _ in asked]
        for client in clients:
            client.call("quarantine.list", limit=1)
        daemon.proc.send_signal(signal.SIGSTOP)
        try:
            for client, (method, address) in zip(clients, asked):
                client.ask(method, addresses=[address])
        finally:
            daemon.proc.send_signal(signal.SIGCONT)
        return [answer.get("error", {"code": 0})["code"] for answer in (client.line() for client in clients)]


def agree(gate, names):
    """Table, state and kernel have these and no other."""
    assert gate.daemon.quarantined().keys() == names
    with contextlib.closing(sqlite3.connect(f"file:{gate.daemon.config['state']}/state.db?mode=ro", uri=True)) as db:
        assert {str(ipaddress.ip_address(row[0])) for row in db.execute("SELECT addr FROM quarantine")} == names
    kernel = set(re.findall(r"(198\.18\.\S+) timeout", gate.kernel_set(4)))
    assert kernel == names
    assert gate.daemon.call("status")["coverage"]["ratio"] == 1


def test_many_clients_share_the_disk(home, disk):
    """Changes that come together share a wait for the disk; where it is full, each of them is refused and nothing is done."""
    gate, daemon = home, home.daemon
    ring = [f"198.18.0.{n}" for n in range(1, 33)]

    def fewer_waits():
        before = daemon.call("status")["state"]
        assert ask_at_once(daemon, [("quarantine.add", name) for name in ring]) == [0] * len(ring)
        agree(gate, set(ring))
        assert ask_at_once(daemon, [("quarantine.release", name) for name in ring]) == [0] * len(ring)
        agree(gate, set())
        after = daemon.call("status")["state"]
        changes, commits = (after[what] - before[what] for what in ("changes", "commits"))
        assert changes == 2 * len(ring)
        print(f"\n{changes} changes, {commits} waits for the disk")
        return commits <= changes // 2  # a busy machine may break off each turn
    wait_for("changes to share waits for the disk", fewer_waits)

    assert ask_at_once(daemon, [("quarantine.add", name) for name in ring[:8]]) == [0] * 8
    fill(disk)
    held = set(ring[:8])
    asked = [("quarantine.release", name) for name in ring[:8]] + [("quarantine.add", name) for name in ring[8:]]

    def all_refused():
        mark = daemon.mark()
        codes = ask_at_once(daemon, asked)
        for (method, name), code in zip(asked, codes):  # what still fitted is done and told, the rest is neither
            assert code in (0, -32003, -32008), codes
            if code == 0:
                (held.add if method == "quarantine.add" else held.discard)(name)
        agree(gate, held)
        told = {e["enforcer"]["subscriber"] for what in ("quarantined", "released") for e in daemon.events(what, since=mark)}
        assert told == {name for (_, name), code in zip(asked, codes) if code == 0}
        return set(codes) == {-32008}
    wait_for("the disk to refuse all", all_refused)
    (disk / "filler").unlink()
    assert ask_at_once(daemon, asked) == [0] * len(asked)
    agree(gate, set(ring[8:]))


def test_read_only_disk(home, disk):
    """A start without a writable state: rules and quarantine hold, changes are refused; when it is writable again all is back."""
    gate, daemon = home, home.daemon
    single, net = gate.fresh("business", 4), gate.fresh("business", 6)
    daemon.call("quarantine.add", addresses=[single.address, net.address], reason="before", ticket="T-1", **{"for": "2h"})
    daemon.call("relay.add", address="192.0.2.99", name="by-hand")
    daemon.kill()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    files = {p.name: p.read_bytes() for p in (disk / "state").iterdir() if p.is_file()}
    daemon.start()
    assert "read-only" in daemon.log() or "Read-only" in daemon.log()
    assert daemon.quarantined().keys() >= {single.name, net.name} and dropped(gate, single, net)
    blocked = gate.fresh("residential", 4)
    assert dropped(gate, blocked)
    for method, params in (("quarantine.add", {"addresses": [blocked.address]}), ("quarantine.release", {"addresses": [single.address]}),
                           ("relay.add", {"address": "192.0.2.98"}), ("mode.set", {"mode": "enforce"})):
        code, words = code_of(gate, method, **params)
        assert code == -32008 and "state" in words, (method, code, words)
    assert dropped(gate, single), "what was refused was not done"
    assert {p.name: p.read_bytes() for p in (disk / "state").iterdir() if p.is_file()} == files
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    wait_for("the state to be opened", lambda: "can be written again" in daemon.log())
    assert daemon.call("quarantine.list")["total"] == 2
    assert any(r["address"] == "192.0.2.99" for r in daemon.call("relay.list")["relays"])
    assert daemon.call("quarantine.release", addresses=[single.address])["released"]
    daemon.kill()
    daemon.start()
    assert daemon.quarantined().keys() == {net.name}


def garble(path, how):
    data = bytearray(path.read_bytes())
    if how == "whole":
        data[:] = bytes(n * 37 % 251 for n in range(len(data)))
    elif how == "pages":  # the first page is good: opening sees nothing
        for at in range(4096, len(data), 64):
            data[at:at + 64] = bytes(64 - n for n in range(64))
    else:
        del data[:]
        data += b"SQLite format 3\0"
    path.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize("how", ["whole", "pages", "short"])
def test_broken_file(home, disk, how):
    """It is set aside byte by byte; singles and prefixes come back from the kernel's sets, with their ends."""
    gate, daemon = home, home.daemon
    single, six, inside = gate.fresh("business", 4), gate.fresh("business", 6), gate.fresh("pilot", 4)
    daemon.call("quarantine.add", addresses=[single.address, six.address], **{"for": "2h"})
    daemon.call("quarantine.add", addresses=["203.0.113.192/27", "100.64.1.0/26", "2001:db8:3000::/40"], **{"for": "3h"}, force=True)
    daemon.call("quarantine.release", addresses=["100.64.1.32"])
    daemon.call("quarantine.add", addresses=[f"198.18.77.{n}" for n in range(200)], **{"for": "1h"}, reason="many, for many pages")
    want = ends(gate)
    sets = {kind: gate.kernel_set(4, kind) for kind in ("quarantine", "quarantine_nets")}
    daemon.stop()
    path = disk / "state" / "state.db"
    broken = garble(path, how)
    for beside in ("state.db-wal", "state.db-shm"):
        (disk / "state" / beside).unlink(missing_ok=True)
    daemon.start()
    assert "set aside as" in daemon.log()
    aside = [p for p in (disk / "state").iterdir() if p.name.startswith("state.db.") and p.suffix not in (".db-wal", ".db-shm")]
    assert any(p.read_bytes() == broken for p in aside), aside
    found = ends(gate)
    assert found.keys() == want.keys()
    assert all(abs(found[name] - want[name]) <= 3 for name in want), {n: found[n] - want[n] for n in want}
    assert {kind: gate.kernel_set(4, kind) for kind in sets}.keys() == sets.keys()
    assert all(e["actor"] == "recovery" for e in daemon.quarantined().values())
    assert dropped(gate, single, six) and inside
    # And they are on disk now.
    daemon.kill()
    daemon.start()
    assert ends(gate) == found


def test_newer_version(home, disk):
    """The file of a newer version is not touched; the daemon enforces without it."""
    gate, daemon = home, home.daemon
    single = gate.fresh("business", 4)
    daemon.call("quarantine.add", addresses=[single.address, "100.64.1.0/26"], **{"for": "2h"})
    daemon.stop()
    path = disk / "state" / "state.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    data = path.read_bytes()
    daemon.start()
    assert "version 99" in daemon.log()
    assert daemon.quarantined().keys() == {single.name, "100.64.1.0/26"} and dropped(gate, single)
    code, words = code_of(gate, "quarantine.add", addresses=["100.64.0.77"])
    assert code == -32008 and "version 99" in words
    sub = gate.fresh("residential", 4)
    gate.syns(sub, 21)
    gate.wait_quarantined(sub)
    daemon.kill()
    assert path.read_bytes() == data and dropped(gate, single, sub)


def test_copies_at_random_moments(home, disk, tmp_path):
    """The file and its log, copied while the daemon is stopped in the middle of whatever it does: what was answered is there."""
    gate, daemon = home, home.daemon
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    told, asked, stop = set(), set(), threading.Event()

    def load():
        with Control(daemon.socket, 60) as control:
            for number in range(60000):
                if stop.is_set():
                    return
                address = f"198.18.{number // 250}.{number % 250}"
                asked.add(address)
                control.call("quarantine.add", addresses=[address], **{"for": "1h"})
                told.add(address)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    for moment in range(30):
        time.sleep(0.013 * (moment * 7 % 11))
        folder = tmp_path / f"copy{moment}"
        folder.mkdir()
        daemon.proc.send_signal(signal.SIGSTOP)
        before = set(told)
        for name in ("state.db", "state.db-wal"):
            if (disk / "state" / name).exists():
                shutil.copy(disk / "state" / name, folder)
        daemon.proc.send_signal(signal.SIGCONT)
        after = set(asked)
        db = sqlite3.connect(folder / "state.db")
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = {".".join(map(str, addr)) for (addr,) in db.execute("SELECT addr FROM quarantine")}
        assert before <= rows <= after, (sorted(before - rows)[:3], sorted(rows - after)[:3])
        db.close()
        shutil.rmtree(folder)
    stop.set()
    thread.join(60)
    assert len(told) > 100
    print(f"{len(told)} additions, 30 copies")
