# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's ufw and firewalld on the gateway, unpacked into the build folder: their packages would start them on this machine."""
import pathlib
import re
import shutil

from fetch import fetch
from net import LIMIT, wait_for
from node import LabError

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth><policy context="default">
<allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_requested_reply="true"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
<allow receive_type="signal"/></policy></busconfig>
"""


class Ufw:
    """With its rules in a folder of the lab; what is forwarded is accepted, as an administrator of a router has it."""

    def __init__(self, node, folder):
        self.node, self.root = node, pathlib.Path(folder)
        self.package = fetch("ufw")
        for part in ("etc", "lib", "usr/share/ufw"):
            shutil.copytree(self.package / part, self.root / part, dirs_exist_ok=True)
        for part in ("", "iptables"):
            for path in (self.root / "usr/share/ufw" / part).glob("*.rules"):
                shutil.copy(path, self.root / "etc/ufw")
        shutil.copy(self.root / "usr/share/ufw/ufw.conf", self.root / "etc/ufw")
        defaults = self.root / "etc/default/ufw"
        defaults.write_text(defaults.read_text().replace('FORWARD_POLICY="DROP"', 'FORWARD_POLICY="ACCEPT"'))

    def __call__(self, *words):
        return self.node.run("env", f"PYTHONPATH={self.package}/usr/lib/python3/dist-packages", "/usr/bin/python3",
                             self.package / "usr/sbin/ufw", f"--rootdir={self.root}", f"--datadir={self.root}", *words,
                             timeout=10 * LIMIT)

    def start(self):
        self("--force", "enable")

    def reload(self):
        self("reload")

    recover = reload  # after somebody flushed the ruleset

    def rules(self):
        text = self.node.run("iptables-save").stdout + self.node.run("ip6tables-save").stdout
        return [re.sub(r"\[\d+:\d+\]", "", line) for line in text.splitlines() if not line.startswith("#")]


class Firewalld:
    """With a system bus and configuration of its own. All interfaces are trusted: what is forwarded is accepted."""

    def __init__(self, node, folder):
        self.node, self.dir = node, pathlib.Path(folder)
        self.package = fetch("firewalld")
        (self.dir / "etc").mkdir(parents=True)
        (self.dir / "etc/firewalld.conf").write_text("DefaultZone=trusted\n")
        (self.dir / "bus.conf").write_text(BUS % (self.dir / "bus"))
        self.env = ["env", f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.dir}/bus",
                    f"PYTHONPATH={self.package}/usr/lib/python3/dist-packages", "/usr/bin/python3"]

    def start(self):
        self.node.start("dbus-daemon", f"--config-file={self.dir}/bus.conf", "--nofork", "--nopidfile")
        wait_for("the bus", (self.dir / "bus").exists)
        self.begin()

    def begin(self):
        with open(self.dir / "log", "wb") as log:
            self.proc = self.node.start(*self.env, self.package / "usr/sbin/firewalld", "--nofork", "--nopid",
                                        "--system-config", self.dir / "etc", "--default-config",
                                        self.package / "usr/lib/firewalld", "--log-target", "console", stdout=log, stderr=log)

        def runs():
            if self.proc.poll() is not None:
                raise LabError(f"firewalld ended with {self.proc.returncode}: {(self.dir / 'log').read_text()[-2000:]}")
            return self.command("--state", check=False).stdout.strip() == "running"
        wait_for("firewalld", runs, 10 * LIMIT)

    def command(self, *words, check=True):
        return self.node.run(*self.env, self.package / "usr/bin/firewall-cmd", *words, check=check, timeout=10 * LIMIT)

    def reload(self):
        self.command("--reload")

    def recover(self):
        """Its reload deletes its own table first, and fails where that is gone: it takes a restart."""
        assert "No such file or directory" in self.command("--reload", check=False).stderr
        self.proc.terminate()
        self.proc.wait(LIMIT)
        self.begin()

    def rules(self):
        return self.node.run("nft", "-s", "list", "table", "inet", "firewalld").stdout.splitlines()
