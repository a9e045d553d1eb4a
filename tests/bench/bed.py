# SPDX-License-Identifier: GPL-2.0-or-later
"""The bed of a measurement: three network namespaces (client, gateway, server) named after this process, what runs in
them, and the kernel's own counters. All is gone when the bed is closed."""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", ROOT / "build")).resolve()
PROGRAMS = BUILD / "bench"
LIMIT = 30.0  # seconds for anything that should be quick
LAST = os.cpu_count() - 1  # the generator has CPU 0, what is measured the last one
CLIENT_NET, CLIENT, SERVER = "198.18.0.0/16", "198.18.0.2", "203.0.113.2"
PR_SET_PDEATHSIG = 1
PROMPT = ["chrt", "-f", "1"]

_libc = ctypes.CDLL(None)


class BenchError(Exception):
    """A measurement could not be made; the text is for people."""


def wait_for(what, condition, limit=LIMIT, step=0.01):
    end = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > end:
            raise BenchError(f"not within {limit:g} s: {what}")
        time.sleep(step)
    return value


def _start_child():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Bed:
    """with Bed() as bed: …; parts "client", "gateway", "server". c0 - g0, g1 - s0."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="enforcer-bench-"))
        self.names = {part: f"enfb{os.getpid()}{part[0]}" for part in ("client", "gateway", "server")}
        self.holders, self.procs = {}, []

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _build(self):
        for part, name in self.names.items():
            self._run("ip", "netns", "add", name)
            self._run("ip", "-n", name, "link", "set", "lo", "up")
            self.holders[part] = self.start(part, "sleep", "infinity")
        c, g, s = self.names.values()
        self._run("ip", "link", "add", "c0", "netns", c, "type", "veth", "peer", "name", "g0", "netns", g)
        self._run("ip", "link", "add", "g1", "netns", g, "type", "veth", "peer", "name", "s0", "netns", s)
        for name, link, address in ((c, "c0", "198.18.0.2/16"), (g, "g0", "198.18.0.1/16"), (g, "g1", "203.0.113.1/24"),
                                    (s, "s0", "203.0.113.2/24")):
            self._run("ip", "-n", name, "addr", "add", address, "dev", link)
            self._run("ip", "-n", name, "link", "set", link, "up")
        self._run("ip", "-n", c, "route", "add", "default", "via", "198.18.0.1")
        self._run("ip", "-n", s, "route", "add", "default", "via", "203.0.113.1")
        self.run("gateway", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                 "net.ipv4.conf.g0.rp_filter=0", "net.ipv4.conf.g1.rp_filter=0")
        self.mac = self._mac(g, "g0")
        self.neighbour(SERVER)
        self._run("ip", "-n", g, "neigh", "replace", CLIENT, "lladdr", self._mac(c, "c0"), "dev", "g0", "nud", "permanent")

    def neighbour(self, address):
        """One more address of the server, as the gateway knows it."""
        _, g, s = self.names.values()
        self._run("ip", "-n", g, "neigh", "replace", address, "lladdr", self._mac(s, "s0"), "dev", "g1", "nud", "permanent")

    def close(self):
        for proc in reversed(self.procs):
            self.stop(proc, signal.SIGKILL)
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    # --- commands and processes ---------------------------------------------------------------------------------
    @staticmethod
    def _run(*argv, text=None):
        done = subprocess.run([str(a) for a in argv], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"{' '.join(map(str, argv))}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _mac(self, name, link):
        return json.loads(self._run("ip", "-n", name, "-j", "link", "show", link))[0]["address"]

    def _inside(self, part, argv):
        return ["nsenter", f"--net=/run/netns/{self.names[part]}", "--", *map(str, argv)]

    def run(self, part, *argv, text=None):
        """Runs a command in a namespace to its end; its output."""
        return self._run(*self._inside(part, argv), text=text)

    def start(self, part, *argv, cpu=None, prompt=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        """Starts a process in a namespace, on one CPU where given; it ends with the bed. prompt: it runs as soon as it can, as on
        a machine without other work; else a busy one measures its scheduler, in ticks of 4 ms."""
        pin = [] if cpu is None else ["taskset", "-c", str(cpu)]
        pin += PROMPT if prompt else []
        proc = subprocess.Popen(self._inside(part, [*pin, *argv]), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                                text=True, preexec_fn=_start_child)
        self.procs.append(proc)
        return proc

    def stop(self, proc, number=signal.SIGTERM):
        """Ends a process; what it printed, where that went into a pipe."""
        if proc in self.procs:
            self.procs.remove(proc)
        if proc.poll() is None:
            proc.send_signal(number)
        try:
            return proc.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            proc.kill()
            return proc.communicate()[0]

    def rules(self, part, text):
        self.run(part, "nft", "-f", "-", text=text)

    # --- traffic ------------------------------------------------------------------------------------------------
    def sink(self, *ports):
        """Packets to these ports are dropped where they reach the server, so that it answers nothing."""
        self.rules("server", "table netdev sink {\n chain in { type filter hook ingress device s0 priority 0; policy accept;\n"
                             f"  tcp dport {{ {', '.join(map(str, ports))} }} drop\n }}\n}}\n")

    def generate(self, seconds, rate=0, port=25, mode="xdp", **more):
        """Starts the generator on CPU 0: live frames at the gateway, else (mode packet) from the client."""
        part, link = ("gateway", "g0") if mode == "xdp" else ("client", "c0")
        options = [str(x) for key, value in more.items() for x in ("-" + key, value)]
        return self.start(part, PROGRAMS / "generate", "-m", mode, "-i", link, "-M", self.mac, "-t", seconds, "-r", rate,
                          "-p", port, *options, cpu=0, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def generated(self, proc):
        """Waits for a generator; packets a second that it made."""
        out = proc.communicate(timeout=120)[0]
        self.procs.remove(proc)
        if proc.returncode != 0:
            raise BenchError(f"generate: {out.strip()}")
        result = json.loads(out)
        return result["sent"] / result["seconds"]

    # --- counters -----------------------------------------------------------------------------------------------
    def _proc_net(self, part, name):
        return pathlib.Path(f"/proc/{self.holders[part].pid}/net/{name}").read_text()

    def queues(self):
        """The gateway's queues, from the kernel: verdicts given, packets dropped because queue or socket was full."""
        total = {"queues": 0, "verdicts": 0, "full": 0, "unread": 0}
        for line in self._proc_net("gateway", "netfilter/nfnetlink_queue").splitlines():
            _, _, waiting, _, _, full, unread, last_id, *_ = map(int, line.split())
            total["queues"] += 1
            total["verdicts"] += last_id - waiting - unread
            total["full"] += full
            total["unread"] += unread
        return total

    def listening(self, part, port):
        """Somebody listens on this TCP port."""
        lines = [line.split() for name in ("tcp", "tcp6") for line in self._proc_net(part, name).splitlines()[1:]]
        return any(f[3] == "0A" and int(f[1].rsplit(":", 1)[1], 16) == port for f in lines)

    def arrived(self, part="server", link="s0"):
        """Packets that came to an interface so far."""
        for line in self._proc_net(part, "dev").splitlines():
            name, _, rest = line.partition(":")
            if name.strip() == link:
                return int(rest.split()[1])
        raise BenchError(f"no interface {link}")


def cpu_seconds(proc):
    """CPU time of a process so far, all its threads."""
    fields = pathlib.Path(f"/proc/{proc.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
