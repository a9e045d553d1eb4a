# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab: a gateway between two subscriber networks, a relay, a smarthost, the internet and an attacker.

Every machine is a network namespace. docs/lab.md has the plan of addresses.

    lab.py stop NAME     ends a lab that was left up (KEEP=1)
    lab.py clean         removes what labs of dead processes left behind
"""
import atexit
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from node import LabError, Node, kill_recorded, start_time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ENFORCER_BUILD", ROOT / "build")).resolve()
PREFIX = "enflab"
BASE = pathlib.Path("/tmp")

RELAY = {4: "192.0.2.10", 6: "2001:db8:1::10"}
SMARTHOST = {4: "198.51.100.25", 6: "2001:db8:f:25::25"}
MX = {4: "203.0.113.25", 6: "2001:db8:f::25"}
TRAP = {4: "203.0.113.66", 6: "2001:db8:f::66"}
HOST = {4: "203.0.113.80", 6: "2001:db8:f::80"}
ATTACKER = {4: "198.51.100.130", 6: "2001:db8:f:bad::130"}
GATEWAY_UP = {4: "198.18.0.1", 6: "2001:db8:e::1"}
FAMILIES = (4, 6)

# machine, its interface, router, the router's interface, then (router's, machine's) address of each family
LINKS = (
    ("suba", "eth0", "gw", "sub0", "10.0.0.1/30", "10.0.0.2/30", "2001:db8:e:a::1/64", "2001:db8:e:a::2/64"),
    ("subb", "eth0", "gw", "sub1", "10.0.0.5/30", "10.0.0.6/30", "2001:db8:e:b::1/64", "2001:db8:e:b::2/64"),
    ("relay", "eth0", "gw", "relay0", "192.0.2.1/24", "192.0.2.10/24", "2001:db8:1::1/64", "2001:db8:1::10/64"),
    ("inet", "gw0", "gw", "up0", "198.18.0.1/30", "198.18.0.2/30", "2001:db8:e::1/64", "2001:db8:e::2/64"),
    ("smart", "eth0", "inet", "smart0", "198.51.100.26/30", "198.51.100.25/30", "2001:db8:f:25::1/64",
     "2001:db8:f:25::25/64"),
    ("atk", "eth0", "inet", "atk0", "198.51.100.129/25", "198.51.100.130/25", "2001:db8:f:bad::1/64",
     "2001:db8:f:bad::130/64"),
)
NODES = ("gw", "suba", "subb", "relay", "inet", "smart", "atk")
# What a machine owns as a whole: any address in it may be used and answers. The router gets the way there.
OWNED = {
    "suba": ("100.64.0.0/22", "2001:db8:1000::/48"),
    "subb": ("100.64.8.0/22", "2001:db8:2000::/48"),
    "inet": ("203.0.113.0/24", "198.51.100.64/26", "2001:db8:f::/64", "2001:db8:f:1::/64"),
}


def _ip(*args, check=True):
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise LabError(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def _alive(pid, started):
    return started is not None and start_time(pid) == started


class Lab:
    """Use as a context manager, or call close(). name gives the namespaces' names; dir is for sockets and logs."""

    _serial = itertools.count()
    _open = []

    def __init__(self, keep=False):
        if os.geteuid() != 0:
            raise LabError("the lab needs root: it makes network namespaces")
        clean()
        self.keep = keep
        self.name = f"{PREFIX}{os.getpid()}{chr(ord('a') + next(Lab._serial) % 26)}"
        self.dir = BASE / self.name
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(mode=0o755)
        self._processes = []
        self._write_state()
        Lab._open.append(self)
        self.nodes = {n: Node(self, n, f"{self.name}-{n}") for n in NODES}
        for name, node in self.nodes.items():
            setattr(self, name, node)
        self.macs = {}
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- what it is made of ---------------------------------------------------------------------------------
    def _build(self):
        for node in self.nodes.values():
            _ip("netns", "add", node.netns)
            node.ip("link set lo up")
            node.sysctl(net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0,
                        net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__default__router_solicitations=0,
                        net__ipv6__conf__default__accept_ra=0, net__ipv6__ip_nonlocal_bind=1,
                        net__ipv4__tcp_syncookies=0)
        for index, link in enumerate(LINKS):
            self._link(index, *link)
        for router in (self.gw, self.inet):
            router.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1,
                          net__ipv4__conf__all__accept_local=1, net__ipv4__icmp_ratelimit=0)
        for name, prefixes in OWNED.items():
            self.nodes[name].ip(*(f"route add local {p} dev lo" for p in prefixes))
        self.gw.ip("route add default via 198.18.0.2", "route add default via 2001:db8:e::2",
                   "route add 100.64.0.0/22 via 10.0.0.2", "route add 100.64.8.0/22 via 10.0.0.6",
                   "route add 2001:db8:1000::/48 via 2001:db8:e:a::2",
                   "route add 2001:db8:2000::/48 via 2001:db8:e:b::2")
        self.inet.ip("route add default via 198.18.0.1", "route add default via 2001:db8:e::1")

    def _link(self, index, name, iface, router, router_iface, r4, n4, r6, n6):
        node, other = self.nodes[name], self.nodes[router]
        near, far = f"02:00:00:00:{index:02x}:02", f"02:00:00:00:{index:02x}:01"
        _ip("link", "add", iface, "address", near, "netns", node.netns, "type", "veth",
            "peer", "name", router_iface, "address", far, "netns", other.netns)
        other.ip(f"addr add {r4} dev {router_iface}", f"addr add {r6} dev {router_iface} nodad",
                 f"link set {router_iface} up")
        node.iface = iface
        node.ip(f"addr add {n4} dev {iface}", f"addr add {n6} dev {iface} nodad", f"link set {iface} up")
        # Neighbours are given, so that the first packet is not the one that waits.
        node.ip(*(f"neigh replace {a.split('/')[0]} lladdr {far} dev {iface} nud permanent" for a in (r4, r6)))
        other.ip(*(f"neigh replace {a.split('/')[0]} lladdr {near} dev {router_iface} nud permanent"
                   for a in (n4, n6)))
        if name != "inet":
            node.ip(f"route add default via {r4.split('/')[0]}", f"route add default via {r6.split('/')[0]}")
        self.macs[name, iface] = (near, far)
        self.macs[router, router_iface] = (far, near)

    # --- options of a gateway -------------------------------------------------------------------------------
    def masquerade(self):
        """Another table hides the subscribers behind the gateway's address; that switches conntrack on."""
        for family in ("ip", "ip6"):
            self.gw.nft(f"""table {family} nat {{
                chain post {{
                    type nat hook postrouting priority 100; policy accept;
                    oifname "up0" masquerade
                }}
            }}""")

    def conntrack(self):
        """Another table that asks for connection states."""
        self.gw.nft("""table inet stateful {
            chain through {
                type filter hook forward priority 10; policy accept;
                ct state invalid counter
            }
        }""")

    def flowtable(self):
        """Another table hands established TCP over to a flowtable: from then on it passes no hook but the first.
        LabError where the kernel has none."""
        self.gw.nft("""table inet fast {
            flowtable ft {
                hook ingress priority 0; devices = { sub0, sub1, up0 };
            }
            chain through {
                type filter hook forward priority 0; policy accept;
                tcp dport 25 counter comment "outward"
                meta l4proto tcp ct state established flow add @ft
            }
        }""")

    def tracked(self):
        """Tracked connections of the gateway, a line each as conntrack prints them."""
        lines = []
        for family in ("ipv4", "ipv6"):
            lines += self.gw.run("conntrack", "-L", "-f", family).stdout.splitlines()
        return lines

    def other_table(self):
        """A table of the operator's own, which must stay as it is."""
        self.gw.nft("""table inet other {
            set friends { type ipv4_addr; flags timeout; elements = { 203.0.113.9 } }
            set nets6 { type ipv6_addr; flags interval; elements = { 2001:db8:abcd::/48 } }
            map marks { type ipv4_addr : mark; elements = { 203.0.113.10 : 0x7 } }
            chain through {
                type filter hook forward priority -10; policy accept;
                ip saddr @friends accept comment "friends"
                meta mark set ip daddr map @marks
                tcp dport 8080 drop
            }
            chain input {
                type filter hook input priority 0; policy accept;
            }
        }""")

    def conntrack_count(self):
        return int(self.gw.read_sysctl("net/netfilter/nf_conntrack_count", "0"))

    # --- the end --------------------------------------------------------------------------------------------
    def record(self, proc):
        """proc is the lab's to end, also by `lab.py stop` when this process is gone."""
        self._processes.append((proc, proc.pid, start_time(proc.pid)))
        self._write_state()

    def _write_state(self):
        state = {"owner": os.getpid(), "owner_started": start_time(os.getpid()), "keep": self.keep,
                 "processes": [(pid, started) for _, pid, started in self._processes]}
        tmp = self.dir / "lab.json.new"
        tmp.write_text(json.dumps(state), encoding="ascii")
        tmp.rename(self.dir / "lab.json")

    def leave(self):
        """Leaves the lab up after this process: `lab.py stop NAME` ends it."""
        self.keep = True
        self._write_state()
        Lab._open.remove(self)

    def close(self):
        if self not in Lab._open:
            return
        Lab._open.remove(self)
        _end([(pid, started) for _, pid, started in reversed(self._processes)])
        for proc, _, _ in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                proc.wait(5)
        _remove(self.name)


def _end(processes):
    for sig, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
        left = [p for p in processes if kill_recorded(*p, sig)]
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            for pid, _ in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            left = [p for p in left if _alive(*p)]
            time.sleep(0.01)
        if not left:
            return


def _remove(name):
    """Namespaces and folder of one lab, by its exact name."""
    for netns in pathlib.Path("/run/netns").glob(f"{name}-*"):
        _ip("netns", "del", netns.name, check=False)
    shutil.rmtree(BASE / name, ignore_errors=True)


def stop(name):
    """Ends a lab of another process by name."""
    state = BASE / name / "lab.json"
    if not name.startswith(PREFIX) or not state.exists():
        raise LabError(f"no lab is called {name}")
    _end([tuple(p) for p in reversed(json.loads(state.read_text())["processes"])])
    _remove(name)


def clean():
    """Removes labs whose process is dead, unless they were left up on purpose."""
    for state in BASE.glob(f"{PREFIX}*/lab.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(state.read_text())
            if not known["keep"] and not _alive(known["owner"], known["owner_started"]):
                stop(state.parent.name)


@atexit.register
def _close_all():
    for lab in list(Lab._open):
        with contextlib.suppress(Exception):
            lab.close()


def end_on_signals():
    """SIGTERM and SIGHUP become an ordinary end, so that everything is cleaned up."""
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _: sys.exit(128 + number))


def main(argv):
    if argv[1:] == ["clean"]:
        clean()
    elif len(argv) == 3 and argv[1] == "stop":
        stop(argv[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv)
    except LabError as e:
        sys.exit(str(e))
