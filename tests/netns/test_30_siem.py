# SPDX-License-Identifier: GPL-2.0-or-later
"""30. Events reach other programs whole: rsyslog over TCP and over a local socket, killed and started again, misses nothing;
a receiver that does not read holds nobody up; filters and CEF."""
import json
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import tomllib

import pytest

from daemon import Control, Rejected
from lab import BUILD, HOST, ROOT
from net import wait_for
from rsyslog import Rsyslog
from schemas import wrong_events

ADDRESSES = {4: [f"100.64.0.{n}" for n in range(128, 158)], 6: [f"2001:db8:1000:{n:x}00::5" for n in range(16, 46)]}
WHOLE = {4: ["100.64.0.128/25"], 6: ["2001:db8:1000::/50"]}
LONG = 90  # attempts on a receiver that was away come up to 30 s apart


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return tmp_path_factory.mktemp("s")


@pytest.fixture(scope="module")
def bed(make_gate, paths):
    """A daemon with all kinds of sinks, and the rsyslog that they lead to."""
    inputs = {"tcp4": ("tcp", HOST[4], 601), "tcp6": ("tcp", HOST[6], 601), "udp6": ("udp", HOST[6], 514),
              "local": ("unix", str(paths / "log"))}

    def configure(config):
        config["events"] += [
            {"type": "syslog", "transport": "tcp", "address": HOST[4], "port": 601},
            {"type": "syslog", "transport": "tcp", "address": HOST[6], "port": 601, "facility": "local0"},
            {"type": "syslog", "transport": "udp", "address": HOST[6], "actions": ["released"]},
            {"type": "syslog", "path": str(paths / "log")},
            {"type": "file", "path": str(paths / "high.cef"), "format": "cef", "severity": "high"},
        ]

    gate = make_gate(configure)
    receiver = Rsyslog(gate.lab.nodes["inet"], paths / "rsyslog", inputs).start()
    gate.daemon.start()
    yield gate, receiver
    if receiver.proc.poll() is None:
        receiver.kill()


class Load:
    """Events, from a thread of its own; the longest answer of the daemon."""

    def __init__(self, daemon):
        self.daemon, self.stop, self.rounds, self.longest = daemon, threading.Event(), 0, 0.0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with Control(self.daemon.socket, 60) as control:
            while not self.stop.is_set():
                for family in (4, 6):
                    begin = time.monotonic()
                    control.call("quarantine.add", addresses=ADDRESSES[family], **{"for": "1h"})
                    control.call("quarantine.release", addresses=WHOLE[family])
                    self.longest = max(self.longest, time.monotonic() - begin)
                self.rounds += 1
                time.sleep(0.05)

    def more(self, rounds=3):
        mark = self.rounds
        wait_for("more events", lambda: self.rounds >= mark + rounds)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(60)


def missing(receiver, name, run, last):
    return sorted(set(range(1, last + 1)) - receiver.sequences(name, run))


def test_killed_and_started_again(bed):
    """SIGKILL under load three times, once after it had stopped reading: every number is in every file that keeps."""
    gate, receiver = bed
    daemon = gate.daemon
    with Load(daemon) as load:
        for number in range(3):
            load.more(5)
            if number == 1:
                receiver.signal(signal.SIGSTOP)
                load.more(20)  # acknowledged by its kernel, read by nobody
            receiver.kill()
            load.more(5)
            receiver.start()
    status = daemon.call("status")
    run, last = status["run"], status["events"]["sequence"]
    assert last > 2000
    for name in ("tcp4", "tcp6", "local"):
        wait_for(f"all numbers in {name}", lambda n=name: not missing(receiver, n, run, last), LONG)
    sinks = {s["name"]: s for s in daemon.call("status")["events"]["sinks"]}
    print(f"{last} events; longest answer {load.longest:.2f} s;",
          {n: (len(receiver.lines(n)), "lines") for n in ("tcp4", "tcp6", "local")})
    assert daemon.call("status")["events"]["lost"] == 0
    assert sinks[f"tcp:[{HOST[6]}]:601"]["failures"] > 0
    # What came twice is the same event, and the structured data says the same as the text.
    events = {}
    for line in receiver.lines("tcp6"):
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        assert events.setdefault(event["event"]["id"], event) == event


def test_daemon_killed_while_the_receiver_is_away(bed):
    """What waited on disk is brought by the next daemon."""
    gate, receiver = bed
    daemon = gate.daemon
    receiver.kill()
    with Load(daemon) as load:
        load.more(4)
    status = daemon.call("status")
    run = status["run"]
    wait_for("the events to be on disk",
             lambda: all(s["waiting"] == s["spooled"] > 0 for s in daemon.call("status")["events"]["sinks"]
                         if s["name"].startswith(("tcp", "syslog"))))
    last = daemon.call("status")["events"]["sequence"]
    daemon.kill()
    receiver.start()
    daemon.start()
    for name in ("tcp4", "tcp6", "local"):
        wait_for(f"all numbers in {name}", lambda n=name: not missing(receiver, n, run, last), LONG)


def test_filters(bed, paths):
    """UDP got nothing but releases; the CEF file nothing below high."""
    gate, receiver = bed
    sub = gate.fresh("residential", 6)
    gate.daemon.ok("quarantine", sub.address)
    gate.daemon.ok("release", sub.address, "--reason", "a|b=c")
    wait_for("the release over UDP", lambda: any(sub.name in line for line in receiver.lines("udp6")))
    events = [json.loads(line) for line in receiver.lines("udp6")]
    assert {e["event"]["action"] for e in events} == {"released"}
    lines = (paths / "high.cef").read_text().splitlines()
    assert lines
    for line in lines:
        head = re.match(r"CEF:0\|enforcer\|enforcer\|[\d.]+\|([a-z-]+)\|[A-Z][a-z ]+\|(8|10)\|rt=\d{13} externalId=", line)
        assert head, line
    assert f"cs1={sub.name} cs1Label=subscriber" in "\n".join(lines)


def test_stuck_receiver(bed, paths):
    """A datagram socket that nobody reads: requests are answered, the events wait on disk, and come when it is read."""
    gate, _ = bed
    daemon = gate.daemon
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stuck:
        stuck.bind(str(paths / "stuck"))
        gate.config["events"].append({"type": "unix", "path": str(paths / "stuck"), "actions": ["quarantined"]})
        daemon.write(gate.config)
        daemon.ok("reload")
        with Load(daemon) as load:
            load.more(10)
        sink = next(s for s in daemon.call("status")["events"]["sinks"] if s["name"].startswith("unix:"))
        assert sink["waiting"] == sink["spooled"] > 100, sink
        got = []
        stuck.settimeout(0.2)

        def read():
            try:
                while True:
                    got.append(json.loads(stuck.recv(1 << 17)))
            except TimeoutError:
                pass
            return len({e["event"]["id"] for e in got}) >= load.rounds * 60
        wait_for("all of them", read, LONG)
    assert {e["event"]["action"] for e in got} == {"quarantined"}
    assert load.longest < 10


def test_first_network_sink_takes_a_restart(make_gate):
    """A daemon without such sinks has no sockets for them: the reload is refused and says so."""
    gate = make_gate()
    daemon = gate.daemon.start()
    if "system calls filtered" not in daemon.log():
        pytest.skip("this build has no filters")
    gate.config["events"].append({"type": "syslog", "transport": "udp", "address": HOST[4]})
    daemon.write(gate.config)
    with pytest.raises(Rejected):
        daemon.call("config.reload")
    assert "the first such sink takes a restart" in daemon.wait_event("config-rejected")["event"]["reason"]
    daemon.stop()
    daemon.start()
    daemon.ok("reload")


def test_events_fit_their_schema(bed):
    """What this file's daemon told, and what docs/events.md shows; and the schema does refuse."""
    gate, _ = bed
    text = (pathlib.Path(__file__).resolve().parents[2] / "docs/events.md").read_text()
    shown = [line for line in text.splitlines() if line.startswith('{"@timestamp"')]
    assert len(shown) > 25 and wrong_events(shown) is None
    lines = gate.daemon.events_path.read_text().splitlines()
    assert lines and wrong_events(lines) is None
    event = json.loads(shown[0])
    for change in ({"event": {**event["event"], "severity": 11}}, {"surprise": 1}, {"@timestamp": "now"}):
        assert wrong_events([json.dumps({**event, **change})])


def test_examples_can_be_read(tmp_path):
    """docs/siem.md: each example in YAML and TOML is that, has what makes it work, and our side of it is a good configuration.
    The programs themselves are not here."""
    yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed (tests/deps)")
    text = (ROOT / "docs/siem.md").read_text()
    blocks = {kind: re.findall(rf"```{kind}\n(.*?)```", text, re.S) for kind in ("yaml", "toml")}
    [filebeat] = [yaml.safe_load(b) for b in blocks["yaml"] if "filebeat" in b]
    [source] = filebeat["filebeat.inputs"]
    assert source["type"] == "filestream" and source["paths"] == ["/var/log/enforcer/events.json"]
    assert source["parsers"] == [{"ndjson": {"target": "", "overwrite_keys": True, "add_error_key": True}}]
    assert [list(p) for p in filebeat["processors"]] == [["add_fields"], ["fingerprint"]]
    [vector] = [tomllib.loads(b) for b in blocks["toml"]]
    assert vector["sources"]["enforcer"]["mode"] == "unix_datagram" and vector["sources"]["enforcer"]["max_length"] >= 65000
    assert all(i in vector["sources"] for t in vector["transforms"].values() for i in t["inputs"])
    ours = [b for b in blocks["yaml"] if b.startswith("events:")]
    assert len(ours) >= 2 and any(vector["sources"]["enforcer"]["path"] in b for b in ours)
    for number, block in enumerate(ours):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        done = subprocess.run([BUILD / "enforcerd", "--check", "-c", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
