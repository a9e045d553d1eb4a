# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon on the lab's gateway: configuration, start and stop, enforcerctl, the control socket, events."""
import copy
import itertools
import json
import os
import pwd
import signal
import socket
import struct
import subprocess

from lab import BUILD, RELAY, SMARTHOST, TRAP
from net import LIMIT, wait_for
from node import LabError
from schemas import method_of, wrong_call, wrong_events

# Where the groups' subscribers are: network -> group -> (IPv4 /24, IPv6 /50, length of an IPv6 subscriber)
PLACES = {
    "a": {"residential": ("100.64.0", "2001:db8:1000", 0x0000, 56), "business": ("100.64.1", "2001:db8:1000", 0x4000, 64),
          "pilot": ("100.64.2", "2001:db8:1000", 0x8000, 64), "none": ("100.64.3", "2001:db8:1000", 0xC000, 64)},
    "b": {"residential": ("100.64.8", "2001:db8:2000", 0x0000, 56), "business": ("100.64.9", "2001:db8:2000", 0x4000, 64)},
}


def prefixes(group):
    found = []
    for groups in PLACES.values():
        if group in groups:
            v4, v6, base, _ = groups[group]
            found += [f"{v4}.0/24", f"{v6}:{base:x}::/50"]
    return found


class Subscriber:
    """One customer: node and address to send from; name: as the daemon prints it."""

    def __init__(self, node, address, name, group):
        self.node, self.address, self.name, self.group = node, address, name, group
        self.family = 6 if ":" in address else 4


class Subscribers:
    """Hands out subscribers that no test has used before."""

    def __init__(self, lab):
        self._lab = lab
        self._numbers = {}

    def fresh(self, group="residential", family=4, net="a"):
        number = next(self._numbers.setdefault((group, family, net), itertools.count(11)))
        v4, v6, base, length = PLACES[net][group]
        node = self._lab.nodes["sub" + net]
        if family == 4:
            if number > 250:
                raise LabError("no more addresses in this group")
            return Subscriber(node, f"{v4}.{number}", f"{v4}.{number}", group)
        if length == 56:
            return Subscriber(node, f"{v6}:{base + (number << 8):x}::5", f"{v6}:{base + (number << 8):x}::/56", group)
        return Subscriber(node, f"{v6}:{base + number:x}::5", f"{v6}:{base + number:x}::/64", group)


def base_config(lab):
    """A configuration with everything the lab has; tests change what they need."""
    run = lab.dir / "enforcer"
    run.mkdir(exist_ok=True)
    groups = [{"name": n, "prefixes": prefixes(n), "policy": p} for n, p in
              (("residential", "block"), ("business", "inspect"), ("pilot", "observe"))]
    groups[0]["subscriber_prefix_v6"] = 56
    return {
        "mode": "enforce",
        "interfaces": {"subscriber": ["sub0", "sub1"], "upstream": ["up0"]},
        "relays": [{"name": "mx-out", "addresses": list(RELAY.values()), "interface": "relay0"}],
        "smarthosts": [{"name": "smarthost", "addresses": list(SMARTHOST.values())}],
        "groups": groups,
        "detector": {"connection_rate": [{"connections": 20, "per": "60s"}],
                     "distinct_destinations": {"count": 15, "per": "10m"},
                     "traps": list(TRAP.values())},
        "quarantine": {"automatic": True, "level": "smtp", "duration": "1h"},
        "inbound": {"drop_source_port_25": True},
        "antispoof": "strict",
        "queue": {"first": 0, "count": int(os.environ.get("ENFORCER_WORKERS", "1")), "fail": "closed"},
        "control": {"socket": str(run / "control.sock"), "admins": ["root"], "viewers": ["nobody"]},
        "events": [{"type": "file", "path": str(run / "events.json")}],
        "aggregate": "1s",
        "state": str(run / "state"),
    }


def merged(base, changes):
    """base with changes laid over it, key by key; None takes a key out."""
    out = copy.deepcopy(base)
    for key, value in (changes or {}).items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = copy.deepcopy(value)
    return out


class Rejected(Exception):
    """The control socket answered with an error: .code and the text."""

    def __init__(self, error):
        super().__init__(error.get("message"))
        self.code = error.get("code")


class Control:
    """One connection to the control socket; raw() and lines() for abuse."""

    def __init__(self, path, timeout=LIMIT):
        self.sock = socket.socket(socket.AF_UNIX)
        # With a time limit of its own Python would not wait where more want to connect than the kernel keeps waiting.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout) + 1, 0))
        self.sock.connect(str(path))
        self.sock.settimeout(timeout)
        self._buffer, self._len = b"", 0
        self._ids = itertools.count(1)

    def raw(self, data):
        self.sock.sendall(data)

    def line(self):
        """The next line as an object; None when the daemon closed the connection."""
        while b"\n" not in self._buffer:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        self._len = len(line)
        return json.loads(line)

    def ask(self, method, **params):
        """Does not wait for the answer; its id."""
        number = next(self._ids)
        self.raw(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n")
        return number

    def call(self, method, **params):
        """The result; Rejected where it is an error. What was done must fit docs/schemas/control.json."""
        number = self.ask(method, **params)
        while True:
            answer = self.line()
            if answer is None:
                raise LabError("the daemon closed the control connection")
            if answer.get("id") == number:
                break
        if "error" in answer:
            raise Rejected(answer["error"])
        wrong = wrong_call(method, params, answer["result"], self._len)
        if wrong:
            raise LabError(f"a call does not fit docs/schemas/control.json: {wrong}")
        return answer["result"]

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Daemon:
    """enforcerd in the gateway's namespace. config: an object, written as JSON, which is YAML too, or text."""

    def __init__(self, lab, config=None, text=None, node=None):
        self.lab, self.node = lab, node or lab.gw
        self.dir = lab.dir / "enforcer"
        self.dir.mkdir(exist_ok=True)
        self.config_path = self.dir / "enforcer.yaml"
        self.socket = self.dir / "control.sock"
        self.events_path = self.dir / "events.json"
        self.log_path = self.dir / "enforcerd.log"
        self.proc = None
        self.write(config, text)

    def write(self, config=None, text=None):
        """Writes the configuration file; reload() or start() makes it count."""
        self.config = config
        self.config_path.write_text(text if text is not None else json.dumps(config, indent=2) + "\n")

    # --- life -----------------------------------------------------------------------------------------------
    def start(self, *options, user="root", limit=LIMIT):
        """user: whom it becomes; None: what it chooses itself. The lab's folder is root's. limit: seconds; a large state takes more."""
        self.socket.unlink(missing_ok=True)
        if user:
            options += ("--user", user)
        with open(self.log_path, "ab") as log:
            self.proc = self.node.start(BUILD / "enforcerd", "-c", self.config_path, "--foreground", *options,
                                        stdout=log, stderr=log)
        wait_for("enforcerd to answer on its control socket", self.answers, limit)
        return self

    def answers(self):
        if self.proc.poll() is not None:
            raise LabError(f"enforcerd ended with {self.proc.returncode}: {self.log()[-2000:]}")
        try:
            with Control(self.socket, 5) as control:
                control.call("status")
            return True
        except OSError:
            return False

    def stop(self):
        """SIGTERM, as the system does; answers the exit code. What it told must fit docs/schemas/event.json."""
        self.proc.terminate()
        code = self.proc.wait(LIMIT)
        wrong = wrong_events(self.events_path.read_text(errors="replace").splitlines()) if self.events_path.exists() else None
        if wrong:
            raise LabError(f"an event does not fit docs/schemas/event.json: {wrong}")
        return code

    def kill(self):
        """SIGKILL: as a crash or the out-of-memory killer do."""
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait(LIMIT)

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # --- what the NOC does ----------------------------------------------------------------------------------
    def ctl(self, *args, user=None):
        """enforcerctl; CompletedProcess. user: run as this account."""
        argv = [BUILD / "enforcerctl", "--socket", self.socket, *args]
        if user:
            argv = ["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups", *argv]
        return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, check=False)

    def ok(self, *args):
        """enforcerctl --json that must succeed; its result object."""
        done = self.ctl("--json", *args)
        if done.returncode != 0:
            raise LabError(f"enforcerctl {' '.join(map(str, args))}: {done.returncode}: {done.stderr.strip()}")
        result = json.loads(done.stdout) if done.stdout.strip() else {}
        wrong = wrong_call(method_of(args), None, result, len(done.stdout)) if result and method_of(args) else None
        if wrong:
            raise LabError(f"enforcerctl {' '.join(map(str, args))}: it does not fit docs/schemas/control.json: {wrong}")
        return result

    def call(self, method, **params):
        with Control(self.socket) as control:
            return control.call(method, **params)

    def quarantined(self):
        """Subscribers in quarantine: name -> entry."""
        return {e["subscriber"]: e for e in self.call("quarantine.list")["entries"]}

    # --- events ---------------------------------------------------------------------------------------------
    def events(self, action=None, subscriber=None, since=0):
        """Events of the file from number `since` on, oldest first."""
        found = []
        text = self.events_path.read_text() if self.events_path.exists() else ""
        for line in text.split("\n")[:-1][since:]:
            event = json.loads(line)
            if action and event["event"]["action"] != action:
                continue
            if subscriber and event.get("enforcer", {}).get("subscriber") != subscriber:
                continue
            found.append(event)
        return found

    def mark(self):
        """The number of events so far, for since=."""
        return self.events_path.read_text().count("\n") if self.events_path.exists() else 0

    def wait_event(self, action, subscriber=None, where=None, since=0, limit=LIMIT):
        """The first such event; waits for it."""
        def look():
            return next((e for e in self.events(action, subscriber, since) if where is None or where(e)), None)
        return wait_for(f"event {action}" + (f" of {subscriber}" if subscriber else ""), look, limit)
