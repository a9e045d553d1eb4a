# SPDX-License-Identifier: GPL-2.0-or-later
"""31. Hooks: programs get events, in so many at once, within their time; failures and drops are told; the daemon itself may
still run nothing."""
import itertools
import json
import os
import re
import signal
import time

import pytest

from lab import TRAP
from net import wait_for

SCRIPTS = {
    # one file an event, written whole
    "keep": 'import sys, os, json, uuid\n'
            'text = sys.stdin.read()\n'
            'name = os.path.join(sys.argv[1], uuid.uuid4().hex)\n'
            'status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)\n'
            'out = {"event": json.loads(text), "argv": sys.argv[2:], "env": dict(os.environ), "cwd": os.getcwd(),\n'
            '       "fds": sorted(int(f) for f in os.listdir("/proc/self/fd")),\n'
            '       "caps": status["CapEff"] + status["CapBnd"], "nnp": status["NoNewPrivs"], "uid": status["Uid"]}\n'
            'open(name + ".new", "w").write(json.dumps(out))\n'
            'os.rename(name + ".new", name + ".json")\n',
    "fail": "import sys\nsys.exit(3)\n",
    # a grandchild in the group that would outlive its parent
    "hang": 'import os, sys, time\n'
            'child = os.fork()\n'
            'open(os.path.join(sys.argv[1], "hang.%d" % os.getpid()), "w").write(str(os.getpid()))\n'
            'time.sleep(600)\n',
    "slow": 'import os, sys, time, uuid\n'
            'name = os.path.join(sys.argv[1], "slowly." + uuid.uuid4().hex)\n'
            'open(name, "w").close()\n'
            'with open(os.path.join(sys.argv[1], "most"), "a") as f:\n'
            '    f.write("%d\\n" % sum(n.startswith("slowly.") for n in os.listdir(sys.argv[1])))\n'
            'time.sleep(0.3)\nos.unlink(name)\n',
}


@pytest.fixture(scope="module")
def bed(make_gate, tmp_path_factory):
    folder = tmp_path_factory.mktemp("h")
    for name, text in SCRIPTS.items():
        (folder / f"{name}.py").write_text(text)

    def run(name, *more):
        return ["/usr/bin/python3", str(folder / f"{name}.py"), str(folder), *more]

    def configure(config):
        config["hooks"] = [
            {"name": "keep", "actions": ["quarantined", "released"], "run": run("keep", "a b", "")},
            {"name": "fail", "actions": ["mode-changed"], "run": run("fail")},
            {"name": "missing", "actions": ["mode-changed"], "run": ["/nonexistent/program"]},
            {"name": "hang", "actions": ["relay-added"], "run": run("hang"), "timeout": "2s"},
            {"name": "slow", "actions": ["quarantined"], "run": run("slow")},
        ]

    gate = make_gate(configure)
    gate.daemon.start()
    return gate, folder


def kept(folder):
    return [json.loads(p.read_text()) for p in folder.glob("*.json")]


def helper(daemon):
    """The process that runs hooks: by name, in the daemon's namespace."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if (open(f"/proc/{pid}/comm").read().strip() == "enforcer-hooks"
                    and os.readlink(f"/proc/{pid}/ns/net") == os.readlink(f"/proc/{daemon.proc.pid}/ns/net")):
                found.append(int(pid))
        except OSError:
            pass
    return found


def test_event_on_standard_input(bed, family):
    """The program gets the whole event, its arguments, no rights, no descriptors and nothing of our environment."""
    gate, folder = bed
    sub = gate.fresh("residential", family)
    gate.syns(sub, 1, TRAP[family])
    event = gate.wait_quarantined(sub)
    run = wait_for("the hook", lambda: next((k for k in kept(folder) if k["event"]["enforcer"]["subscriber"] == sub.name), None))
    assert run["event"] == event
    assert run["argv"] == ["a b", ""] and run["cwd"] == "/"
    assert set(run["env"]) <= {"PATH", "LANG", "LC_CTYPE"}
    assert [f for f in run["fds"] if f > 3] == []  # 3 is the listing itself
    assert run["caps"].strip("0") == "" and run["nnp"] == "1"


def test_failures_are_told(bed):
    """An exit code, a program that is not there."""
    gate, _ = bed
    gate.daemon.ok("mode", "observe")
    gate.daemon.ok("mode", "file")
    failed = gate.daemon.wait_event("hook-failed", where=lambda e: e["event"]["reason"].startswith("fail, for mode-changed "))
    assert failed["event"]["reason"].endswith(": exit code 3") and failed["rule"]["name"] == "hooks"
    missing = gate.daemon.wait_event("hook-failed", where=lambda e: e["event"]["reason"].startswith("missing, for "))
    assert missing["event"]["reason"].endswith("exit code 127 (there is no such program?)")


def test_time_limit_kills_the_group(bed):
    """Two seconds, then the program and what it started are gone."""
    gate, folder = bed
    gate.daemon.ok("relay", "add", "192.0.2.201")
    pid = int(wait_for("the program", lambda: next((p.read_text() for p in folder.glob("hang.*") if p.suffix != ".py" and p.read_text()), None)))
    event = gate.daemon.wait_event("hook-failed", where=lambda e: e["event"]["reason"].startswith("hang, for relay-added "))
    assert event["event"]["reason"].endswith("killed, it ran for longer than 2s")

    def group_is_gone():
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        return False
    wait_for("the group to be gone", group_is_gone)


def test_parallel_and_queue(bed):
    """At most four at once; 256 wait; more are dropped, and that is told. The daemon answers meanwhile."""
    gate, folder = bed
    before = gate.daemon.call("status")["hooks"]
    addresses = [f"100.64.8.{n}" for n in range(1, 251)] + [f"2001:db8:2000:{n:x}00::5" for n in range(1, 51)]
    gate.daemon.call("quarantine.add", addresses=addresses)
    begin = time.monotonic()
    for _ in range(10):
        gate.daemon.call("relay.list")
    taken = time.monotonic() - begin
    event = gate.daemon.wait_event("hook-dropped", limit=60)
    assert re.match(r"(keep|slow), for quarantined \w+-\d+: not run, 256 wait already", event["event"]["reason"])
    assert event["enforcer"]["count"] >= 1
    wait_for("a slow one", (folder / "most").exists)
    most = max(int(n) for n in (folder / "most").read_text().split())
    assert 1 <= most <= 4
    status = gate.daemon.call("status")["hooks"]
    print(f"ten answers while the queue is full: {taken * 1000:.0f} ms; at most {most} at once; {status}")
    assert status["dropped"] > before["dropped"] and status["running"]
    for pid in helper(gate.daemon):  # it would run what waits even when the daemon has ended: minutes of a slow machine's time
        os.kill(pid, signal.SIGKILL)


def lines_of(path):
    return path.read_text().split() if path.exists() else []


def test_reload(make_gate, tmp_path):
    """A reload changes programs and filters, in the same process; what goes back takes them back."""
    gate, out, all_runs, modes = make_gate(), tmp_path / "out", [], itertools.cycle(["observe", "enforce"])
    daemon = gate.daemon

    def hooks(*words, **more):
        gate.config["hooks"] = [{"name": w, "actions": ["mode-changed"], **more,
                                 "run": ["/bin/sh", "-c", f"echo {w} >> {out}"]} for w in words]
        daemon.write(gate.config)

    def runs(expected):
        """One event; exactly the expected programs run for it."""
        done = daemon.call("status")["hooks"]["done"]
        daemon.ok("mode", next(modes))
        wait_for("the programs", lambda: daemon.call("status")["hooks"]["done"] >= done + len(expected))
        all_runs.extend(expected)
        assert sorted(lines_of(out)) == sorted(all_runs)

    hooks("one")
    daemon.start()
    [pid] = helper(daemon)
    runs(["one"])
    hooks("two", "three")
    assert "hooks: those of the file are in force" in daemon.ok("reload")["changes"]
    runs(["two", "three"])
    assert not any(c.startswith("hooks") for c in daemon.ok("reload")["changes"])
    hooks("two", actions=["ruleset-tampered"])
    assert "hooks: those of the file are in force" in daemon.ok("reload")["changes"]
    assert daemon.call("status")["hooks"]["configured"] == 1
    runs([])
    hooks("four")
    daemon.ok("reload", "--confirm", "1h")
    runs(["four"])
    daemon.ok("reload", "--confirm", "1s")  # takes its place; both go back to what was before the first
    daemon.wait_event("config-reverted")
    runs([])
    assert daemon.call("status")["hooks"]["configured"] == 1
    hooks("four")
    daemon.ok("reload")
    runs(["four"])
    for n in range(10):  # more than it keeps
        hooks(f"n{n}")
        assert "hooks: those of the file are in force" in daemon.ok("reload")["changes"]
    runs(["n9"])
    assert helper(daemon) == [pid]
    daemon.stop()


def test_no_helper_without_hooks(make_gate):
    """Who has no hooks has no such process; a reload that adds some says that it waits for the next start."""
    gate = make_gate()
    daemon = gate.daemon.start()
    assert helper(daemon) == [] and daemon.call("status")["hooks"]["configured"] == 0
    gate.config["hooks"] = [{"name": "a", "severity": "high", "run": ["/bin/true"]}]
    daemon.write(gate.config)
    waits = "hooks: takes effect at the next start: there is no process yet that runs them"
    assert waits in daemon.ok("reload")["changes"] and waits in daemon.ok("reload")["changes"]
    daemon.stop()
    daemon.start()
    sub = gate.fresh("residential", 6)
    daemon.ok("quarantine", sub.address)
    wait_for("a run", lambda: daemon.call("status")["hooks"]["done"] >= 1)
    # The helper dies: told, and the daemon goes on.
    [pid] = helper(daemon)
    os.kill(pid, signal.SIGKILL)
    event = daemon.wait_event("hook-failed")
    assert "has ended" in event["event"]["reason"]
    assert daemon.call("status")["hooks"]["running"] is False
    gate.config["hooks"][0]["run"] = ["/bin/false"]
    daemon.write(gate.config)
    assert "hooks: takes effect at the next start: the process that runs them has ended" in daemon.ok("reload")["changes"]
    daemon.ok("release", sub.address)
    daemon.stop()
    wait_for("no helper left", lambda: not helper_anywhere(pid))


def helper_anywhere(pid):
    try:
        return open(f"/proc/{pid}/comm").read().strip() == "enforcer-hooks" and \
            open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
