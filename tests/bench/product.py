# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as it is measured: a configuration, the start, and its control socket."""
import json
import pathlib
import subprocess

from bed import BUILD, CLIENT_NET, LIMIT, BenchError, wait_for

LOG_GROUP = 2525  # the daemon's first, see docs/ruleset.md
# Nobody is convicted: the highest limits that the configuration takes.
UNLIMITED = {"connection_rate": [{"connections": 100000, "per": "1s"}], "distinct_destinations": None, "sequential": None}


def config(bed, policy, detector=None, **more):
    """One group, the client's network. As a router would have it: interfaces named, strict source check."""
    run = bed.dir
    return {
        "mode": "enforce",
        "interfaces": {"subscriber": ["g0"], "upstream": ["g1"]},
        "relays": [{"name": "mx", "addresses": ["192.0.2.10"], "interface": "g9"}],
        "smarthosts": [{"name": "smarthost", "addresses": ["198.51.100.25"]}],
        "groups": [{"name": "measured", "prefixes": [CLIENT_NET], "policy": policy,
                    "detector": UNLIMITED if detector is None else detector}],
        "antispoof": "strict",
        "queue": {"first": 0, "count": 1, "fail": "closed"},
        "control": {"socket": str(run / "control.sock")},
        "events": [{"type": "file", "path": str(run / "events.json")}],
        "state": str(run / "state"),
        **more,
    }


class Daemon:
    """enforcerd in the gateway's namespace, on one CPU (None: all)."""

    def __init__(self, bed, settings, cpu=None, prompt=False):
        self.bed, self.cpu, self.prompt = bed, cpu, prompt
        self.path = bed.dir / "enforcer.yaml"
        self.path.write_text(json.dumps(settings, indent=1))
        self.socket = settings["control"]["socket"]
        self.log = bed.dir / "enforcerd.log"
        self.proc = None

    def start(self, wait=True):
        pathlib.Path(self.socket).unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.proc = self.bed.start("gateway", BUILD / "enforcerd", "-c", self.path, "--user", "root", "--foreground",
                                       cpu=self.cpu, prompt=self.prompt, stdout=log, stderr=log)
        if wait:
            wait_for("enforcerd to answer", self._answers)
        return self

    def said(self, words):
        """Waits until these are in its log."""
        wait_for(f"enforcerd to say: {words}", lambda: words in self.log.read_text(errors="replace"), step=0.005)

    def install(self):
        """Rules and sets without the daemon: they stay when it has ended."""
        self.bed.run("gateway", BUILD / "enforcerd", "-c", self.path, "--install")

    def _answers(self):
        if self.proc.poll() is not None:
            raise BenchError(f"enforcerd ended: {self.log.read_text(errors='replace')[-1000:]}")
        return self.ctl("status").returncode == 0

    def ctl(self, *args):
        return subprocess.run([BUILD / "enforcerctl", "--socket", self.socket, "--json", *map(str, args)],
                              capture_output=True, text=True, timeout=LIMIT * 2, check=False)

    def status(self):
        done = self.ctl("status")
        if done.returncode != 0:
            raise BenchError(f"enforcerctl status: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def stop(self):
        self.bed.stop(self.proc)
