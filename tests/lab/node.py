# SPDX-License-Identifier: GPL-2.0-or-later
"""One machine of the lab: a network namespace, what runs in it and sockets that live in it."""
import contextlib
import ctypes
import os
import signal
import socket
import subprocess

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
SO_RCVBUFFORCE = 33

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something that the lab needs did not work; the text is for people."""


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        err = ctypes.get_errno()
        raise OSError(err, "setns: " + os.strerror(err))


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_time(pid):
    """The kernel's start time of a process, or None: a pid alone may have been used again."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None


def kill_recorded(pid, started, sig):
    """Signals the process group of pid, but only while it is the process that was recorded."""
    if start_time(pid) != started:
        return False
    with contextlib.suppress(OSError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, sig)
        else:
            os.kill(pid, sig)
    return True


class Node:
    """name: its part in the lab ("gw"); netns: the namespace's name; iface: its first interface."""

    def __init__(self, lab, name, netns):
        self.lab, self.name, self.netns = lab, name, netns
        self.path = f"/run/netns/{netns}"
        self.iface = "eth0"

    @contextlib.contextmanager
    def inside(self):
        """This thread is in the namespace meanwhile: sockets made here stay there, /proc/sys/net is its own."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(self.path, "rb") as there:
            _setns(there.fileno())
            try:
                yield self
            finally:
                _setns(home.fileno())

    def socket(self, *args):
        with self.inside():
            return socket.socket(*args)

    def packet_socket(self, iface=None):
        """A raw socket on one interface that sees and sends whole frames."""
        with self.inside():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            sock.bind((iface or self.iface, 3))  # ETH_P_ALL
        return sock

    def command(self, argv):
        return ["nsenter", f"--net={self.path}", "--", *map(str, argv)]

    def run(self, *argv, check=True, text=None, timeout=60):
        """Runs a command to its end; answers CompletedProcess with text output."""
        done = subprocess.run(self.command(argv), input=text, capture_output=True, text=True, timeout=timeout,
                              check=False)
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(map(str, argv))}: {(done.stderr or done.stdout).strip()}")
        return done

    def start(self, *argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more):
        """Starts a process that the lab ends when it ends itself."""
        proc = subprocess.Popen(self.command(argv), stdin=stdin, stdout=stdout, stderr=stderr,
                                start_new_session=True, preexec_fn=None if self.lab.keep else _die_with_parent,
                                **more)
        self.lab.record(proc)
        return proc

    def sysctl(self, **values):
        """sysctl(net__ipv4__ip_forward=1): a double underscore stands for the dot."""
        with self.inside():
            for key, value in values.items():
                with open("/proc/sys/" + key.replace("__", "/"), "w", encoding="ascii") as f:
                    f.write(str(value))

    def read_sysctl(self, path, default=None):
        with self.inside():
            try:
                with open("/proc/sys/" + path, encoding="ascii") as f:
                    return f.read().strip()
            except FileNotFoundError:
                return default

    def ip(self, *lines):
        """ip commands, one a line, without the word ip."""
        done = subprocess.run(["ip", "-n", self.netns, "-batch", "-"], input="\n".join(lines) + "\n",
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"{self.name}: ip: {done.stderr.strip()}")

    def nft(self, text):
        """Loads nft text in the namespace."""
        return self.run("nft", "-f", "-", text=text)
