# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's rsyslog on a machine of the lab, unpacked into the build folder: a receiver for events that can be killed."""
import json
import pathlib
import signal
import socket

from fetch import fetch
from net import LIMIT, wait_for
from node import LabError


class Rsyslog:
    """inputs: name -> ("tcp"|"udp", address, port) or ("unix", path); what comes in by one goes to its own file."""

    def __init__(self, node, folder, inputs):
        self.node, self.dir, self.inputs, self.proc = node, pathlib.Path(folder), inputs, None
        self.dir.mkdir(parents=True, exist_ok=True)
        self.root = fetch("rsyslog")
        self.conf = self.dir / "rsyslog.conf"
        self.conf.write_text(self._text())

    def _text(self):
        """As docs/siem.md has it."""
        lines = ['global(maxMessageSize="128k" workDirectory="%s")' % self.dir,
                 'module(load="imtcp")', 'module(load="imudp")', 'module(load="imuxsock" SysSock.Use="off")',
                 'template(name="event" type="string" string="%msg%\\n")']
        for name, (kind, *where) in self.inputs.items():
            lines.append(f'ruleset(name="{name}") {{ action(type="omfile" file="{self.file(name)}" template="event" '
                         'fileCreateMode="0640") }')
            if kind == "unix":
                lines.append(f'input(type="imuxsock" Socket="{where[0]}" ruleset="{name}" UseSpecialParser="off" '
                             'ParseHostname="on" UseSysTimeStamp="off" RateLimit.Interval="0")')
            else:
                lines.append(f'input(type="im{kind}" address="{where[0]}" port="{where[1]}" ruleset="{name}")')
        return "\n".join(lines) + "\n"

    def file(self, name):
        return self.dir / f"{name}.json"

    def start(self):
        library = next(self.root.glob("usr/lib/*-linux-gnu"))
        with open(self.dir / "rsyslogd.log", "ab") as log:
            self.proc = self.node.start("env", f"LD_LIBRARY_PATH={library}", self.root / "usr/sbin/rsyslogd", "-n", "-f",
                                        self.conf, "-i", self.dir / "pid", "-M", library / "rsyslog", stdout=log, stderr=log)
        try:
            wait_for("rsyslog to listen", self._listens, LIMIT)
        except LabError as e:
            tasks = [f"{p.parent.name} {p.read_text()}" for p in pathlib.Path(f"/proc/{self.proc.pid}/task").glob("*/wchan")]
            raise LabError(f"{e}; its threads wait in {tasks}; it says: {(self.dir / 'rsyslogd.log').read_text()[-1000:]}") from e
        return self

    def _listens(self):
        if self.proc.poll() is not None:
            raise LabError("rsyslogd ended: " + (self.dir / "rsyslogd.log").read_text()[-1000:])
        for kind, *where in self.inputs.values():
            if kind == "udp":
                continue
            family = socket.AF_UNIX if kind == "unix" else socket.AF_INET6 if ":" in where[0] else socket.AF_INET
            with self.node.socket(family, socket.SOCK_DGRAM if kind == "unix" else socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(where[0] if kind == "unix" else (where[0], where[1]))
                except OSError:
                    return False
        return True

    def signal(self, number):
        self.proc.send_signal(number)

    def kill(self):
        """As the out-of-memory killer does, with all that it has not written."""
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait(LIMIT)

    def lines(self, name):
        path = self.file(name)
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def sequences(self, name, run):
        """The numbers of that run's events that are there."""
        found = set()
        for line in self.lines(name):
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut short by a kill
            if event["enforcer"]["run"] == run:
                found.add(event["event"]["sequence"])
        return found
