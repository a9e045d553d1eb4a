# SPDX-License-Identifier: GPL-2.0-or-later
"""16. Events prove that they are complete: numbered without gaps over rotations, full disks and SIGKILL."""
import json
import signal
import subprocess
import threading

import pytest

from daemon import Control, merged
from disk import small_disk
from net import wait_for


@pytest.fixture
def tmpfs(tmp_path):
    with small_disk(tmp_path / "small", "256k") as folder:
        yield folder


def numbers(*paths, torn=0):
    """Runs in their order, and the sequences of each, over files in the order given. Lines are JSON, but for at most `torn`
    that a killed daemon left half."""
    runs = {}
    for path in paths:
        for line in path.read_text().splitlines():
            if line:  # an empty one closes off what a full disk cut short
                try:
                    event = json.loads(line)
                except json.JSONDecodeError:
                    torn -= 1
                    assert torn >= 0, line
                    continue
                runs.setdefault(event["enforcer"]["run"], []).append(event["event"]["sequence"])
    return runs


def complete(runs):
    for run, found in runs.items():
        assert found == list(range(1, len(found) + 1)), (run, len(found), found[:5], found[-5:])


ADDRESSES = [f"100.64.0.{n}" for n in range(128, 178)]


def many(control):
    """A hundred events."""
    control.call("quarantine.add", addresses=ADDRESSES, **{"for": "1h"})
    control.call("quarantine.release", addresses=["100.64.0.128/26"])


def test_rotation_under_load(gate):
    """Renamed again and again while events come, half of the times with SIGHUP: nothing is missing, nothing is twice."""
    stop, rounds = threading.Event(), []

    def load():
        with Control(gate.daemon.socket, 60) as control:
            while not stop.is_set():
                many(control)
                rounds.append(1)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    path, old = gate.daemon.events_path, []
    for number in range(20):
        old.append(path.with_name(f"events.json.{number}"))
        path.rename(old[-1])
        if number % 2:
            mark = len(rounds)
            gate.daemon.proc.send_signal(signal.SIGHUP)
            wait_for("more events", lambda m=mark: len(rounds) > m + 1)
        wait_for("a new file", path.exists)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    status = gate.daemon.call("status")["events"]
    runs = numbers(*old, path)
    complete(runs)
    assert [len(found) for found in runs.values()] == [status["sequence"]] and status["lost"] == 0
    assert sum(len(f) for f in runs.values()) > 100 * len(rounds)
    print(f"{status['sequence']} events over {len(old) + 1} files")
    path.write_bytes(b"".join(p.read_bytes() for p in [*old, path]))  # for the tests behind this one


def test_full_disk_and_sigkill(make_gate, tmpfs):
    """The disk of the event file is full: events go to the spool beside the state. SIGKILL and a restart in between lose none."""
    gate = make_gate(lambda config: config.update(merged(config, {"events": [{"type": "file", "path": str(tmpfs / "e.json")}]})))
    daemon = gate.daemon.start()
    path, filler = tmpfs / "e.json", tmpfs / "filler"

    def fill():
        with open(filler, "ab", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass

    fill()
    with Control(daemon.socket, 60) as control:
        for _ in range(30):
            many(control)
        events = control.call("status")["events"]
    print(f"disk full: {events}")
    assert events["lost"] == 0 and events["spooled"] > 2000 and events["spooled"] == events["waiting"]
    daemon.kill()
    daemon.start()
    with Control(daemon.socket, 60) as control:
        many(control)
        events = control.call("status")["events"]
    assert events["lost"] == 0 and events["spooled"] > 2000
    subprocess.run(["mount", "-o", "remount,size=64m", tmpfs], check=True)
    wait_for("the events to be written", lambda: daemon.call("status")["events"]["waiting"] == 0)
    runs = numbers(path, torn=1)
    complete(runs)
    assert len(runs) == 2 and [len(found) for found in runs.values()][0] > 3000
    assert not list((daemon.dir / "state" / "spool").glob("*"))


def test_sink_that_cannot_be_opened(make_gate, tmp_path):
    """A daemon whose event file cannot be opened starts and enforces; the events come when it can be."""
    blocked = tmp_path / "in-the-way"
    blocked.mkdir()
    gate = make_gate(lambda config: config.update(merged(config, {"events": [{"type": "file", "path": str(blocked)}]})))
    daemon = gate.daemon.start()
    assert "in-the-way: cannot be opened for events" in daemon.log()
    sub = gate.fresh("residential", 4)
    assert gate.passes(sub, gate.syn(sub)) == [False]
    blocked.rmdir()
    wait_for("the events to be written", lambda: daemon.call("status")["events"]["waiting"] == 0)
    runs = numbers(blocked)
    complete(runs)
    assert len(runs) == 1
