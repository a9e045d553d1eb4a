# SPDX-License-Identifier: GPL-2.0-or-later
"""The package, and a Debian system to install it on: a tree by debootstrap, with systemd as its first process in namespaces of its
own (network too). The tree is made once and kept packed in the build folder."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

from lab import BUILD, PREFIX, ROOT
from net import wait_for
from node import LabError

PACKED = BUILD / "tree.tar"
INCLUDE = ("systemd,systemd-sysv,dbus,nftables,iproute2,kmod,procps,logrotate,netbase,ca-certificates,libnetfilter-log1,libnetfilter-queue1,"
           "libnftables1,libjansson4,libyaml-0-2,libsqlite3-0,libuv1,libxxhash0,libpcap0.8,libseccomp2,libmicrohttpd12")
CONFIG = """\
mode: enforce
groups:
  - {name: residential, prefixes: [100.64.0.0/16], policy: block}
"""


def _run(*argv, check=True, timeout=600, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, timeout=timeout, **more)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def make_package():
    """The path of a fresh .deb of this tree."""
    _run("make", "--no-print-directory", "deb", cwd=ROOT, env={**os.environ, "MAKEFLAGS": ""})
    return next(p for p in (BUILD / "deb").glob("enforcer_*.deb"))


def newer(package):
    """The same package with the next version: what an upgrade brings."""
    folder = package.parent / "newer"
    shutil.rmtree(folder, ignore_errors=True)
    _run("dpkg-deb", "-R", package, folder)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+next", control.read_text(), flags=re.M))
    made = package.parent / "enforcer-newer.deb"
    _run("dpkg-deb", "--root-owner-group", "-b", folder, made)
    return made


def _remove(folder):
    with contextlib.suppress(FileNotFoundError):
        try:
            os.rmdir(folder)
        except OSError:
            return False
    return True


class System:
    """A tree that runs. write, read, exists: files in it; run: a command in it."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder) / "root"
        self.root.mkdir()
        if not PACKED.exists():
            fresh = pathlib.Path(folder) / "fresh"
            _run("debootstrap", "--variant=minbase", f"--include={INCLUDE}", "bookworm", fresh, timeout=1800)
            _run("tar", "-C", fresh, "-cf", f"{PACKED}.new", ".")
            os.rename(f"{PACKED}.new", PACKED)
            shutil.rmtree(fresh)
        _run("tar", "-C", self.root, "-xpf", PACKED)
        (self.root / "etc/machine-id").write_text("")
        for unit in ("systemd-resolved", "systemd-networkd", "getty.target", "systemd-logind", "console-getty", "systemd-udevd"):
            name = unit if "." in unit else unit + ".service"
            (self.root / "etc/systemd/system" / name).unlink(missing_ok=True)
            (self.root / "etc/systemd/system" / name).symlink_to("/dev/null")
        self.pid, self.cgroup = None, f"{PREFIX}-{os.getpid()}"
        self._boot()

    def _boot(self):
        """systemd as process 1 of its own PID, mount, network, IPC, host name and control group namespaces."""
        script = f"""
            set -e
            mount --make-rprivate /
            mount --bind {self.root} {self.root}
            cd {self.root}
            mount -t proc proc proc
            mount -t sysfs -o ro sysfs sys || true
            mount -t cgroup2 cgroup2 sys/fs/cgroup
            mkdir sys/fs/cgroup/{self.cgroup}
            echo 1 >sys/fs/cgroup/{self.cgroup}/cgroup.procs
            mount -t tmpfs tmpfs run
            mount -t tmpfs tmpfs tmp
            mount -t tmpfs -o mode=755 tmpfs dev
            for d in null zero full random urandom tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done
            mkdir dev/shm dev/pts
            touch dev/console
            ln -s pts/ptmx dev/ptmx
            ip link set lo up
            pivot_root . mnt
            umount -l /mnt
            exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=kmsg --log-level=err
        """
        self._proc = subprocess.Popen(["unshare", "--fork", "--kill-child", "--pid", "--mount", "--net", "--ipc", "--uts",
                                       "--cgroup", "bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=open(self.root.parent / "boot.log", "wb"))

        def first():
            children = pathlib.Path(f"/proc/{self._proc.pid}/task/{self._proc.pid}/children").read_text().split()
            if self._proc.poll() is not None:
                raise LabError("the system did not start: " + (self.root.parent / "boot.log").read_text())
            return children and pathlib.Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd" and children[0]

        self.pid = wait_for("systemd as the first process", first)
        wait_for("the system has booted", lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in
                 ("running", "degraded"), 120)

    def run(self, *argv, check=True):
        return _run("nsenter", "-t", self.pid, "-m", "-n", "-p", "-i", "-u", "-C", "-r", "-w", "env", "-i",
                    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *argv, check=check)

    def install(self, package):
        inside = f"/var/cache/{pathlib.Path(package).name}"
        shutil.copy(package, self.root / inside[1:])
        return self.run("apt-get", "install", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", inside)

    def ctl(self, *args):
        text = self.run("enforcerctl", "--json", *args).stdout
        return json.loads(text) if text.strip() else {}

    def active(self, unit):
        return self.run("systemctl", "is-active", unit, check=False).stdout.strip() == "active"

    def kernel_set(self):
        return self.run("nft", "list", "set", "inet", "enforcer", "quarantine4").stdout

    def table_handle(self):
        return re.search(r"table inet enforcer \{ # handle (\d+)", self.run("nft", "-a", "list", "table", "inet", "enforcer").stdout)[1]

    def write(self, path, text):
        (self.root / path[1:]).write_text(text)

    def read(self, path):
        return (self.root / path[1:]).read_text()

    def exists(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def close(self):
        if self._proc.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(self.pid or self._proc.pid), signal.SIGKILL)
            self._proc.wait(60)
        for root in re.findall(r"^\S+ (\S+) cgroup2 ", pathlib.Path("/proc/mounts").read_text(), re.M):
            for folder, _, _ in os.walk(pathlib.Path(root) / self.cgroup, topdown=False):
                wait_for(f"{folder} can be removed", lambda gone=folder: _remove(gone))
