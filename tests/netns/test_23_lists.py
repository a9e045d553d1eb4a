# SPDX-License-Identifier: GPL-2.0-or-later
"""23. Real lists ($ENFORCER_DATA/lists), as bogons and as quarantine by hand: the kernel's sets are exactly the list, by a
computation of its own here, and packets say the same: what is in it is dropped, its neighbours pass."""
import contextlib
import gzip
import ipaddress
import json
import os
import pathlib
import random
import time

import pytest

from craft import SYN, tcp
from daemon import Control, Rejected, merged
from lab import RELAY, SMARTHOST
from net import wait_for
from node import LabError

LONG = os.environ.get("LONG") == "1"
DATA = os.environ.get("ENFORCER_DATA")
LISTS = sorted((pathlib.Path(DATA) / "lists").glob("*.*")) if DATA else []
SHORT_LINES = {"bogons": 10000, "quarantine": 2000}  # longer lists wait for LONG=1
SAMPLE = 12         # ranges of a list that are tried with packets, but for the first and the last ones
PIECE = 10000       # addresses in one request: the most that it takes
BITS = {4: 32, 6: 128}
MAPPED = ipaddress.ip_network("::ffff:0:0/96")

pytestmark = pytest.mark.skipif(not LISTS, reason="ENFORCER_DATA names no folder with lists/")


# --- the independent computation --------------------------------------------------------------------------------
def text_of(path):
    return (gzip.open(path) if path.suffix == ".gz" else open(path, "rb")).read().decode("latin-1")


def entries(text):
    """The networks of a list, in its order."""
    for line in text.splitlines():
        words = line.replace("#", ";").split(";")[0].split()
        if words:
            yield ipaddress.ip_network(words[0], strict=False)


def union(ranges):
    """Sorted ranges (first, last) without overlaps; what touches is one."""
    out = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1][1] = max(out[-1][1], last)
        else:
            out.append([first, last])
    return [tuple(r) for r in out]


def without(ranges, taken):
    """Ranges less others; both are unions."""
    out = []
    for first, last in ranges:
        for a, b in taken:
            if b < first:
                continue
            if a > last:
                break
            if a > first:
                out.append((first, a - 1))
            first = b + 1
            if first > last:
                break
        if first <= last:
            out.append((first, last))
    return out


def ranges_of(networks, version):
    return union((int(n.network_address), int(n.broadcast_address)) for n in networks if n.version == version)


def inside(ranges, number):
    low, high = 0, len(ranges)
    while low < high:
        middle = (low + high) // 2
        if ranges[middle][1] < number:
            low = middle + 1
        else:
            high = middle
    return low < len(ranges) and ranges[low][0] <= number


def address(number, version):
    return str((ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address)(number))


# --- what the kernel has ----------------------------------------------------------------------------------------
def number_of(text):
    return int(ipaddress.ip_address(text))


def element_range(element):
    if isinstance(element, dict) and "elem" in element:
        element = element["elem"]["val"]
    if isinstance(element, dict) and "prefix" in element:
        net = ipaddress.ip_network((element["prefix"]["addr"], element["prefix"]["len"]))
        return int(net.network_address), int(net.broadcast_address)
    if isinstance(element, dict) and "range" in element:
        return tuple(number_of(t) for t in element["range"])
    return number_of(element), number_of(element)


def kernel_ranges(gate, name, bits=0):
    """The elements of a set as a union; bits: each element stands for so many further bits."""
    if name is None:
        return []
    out = json.loads(gate.lab.gw.run("nft", "-j", "list", "set", "inet", "enforcer", name, timeout=600).stdout)
    found = next(o["set"] for o in out["nftables"] if "set" in o)
    return union((first, last | (1 << bits) - 1) for first, last in map(element_range, found.get("elem", [])))


def real_name(gate, name):
    """Static sets have a new name at each load; one without elements is not there, nor are its rules."""
    text = gate.lab.gw.run("nft", "-t", "list", "table", "inet", "enforcer").stdout
    words = [line.split()[1] for line in text.splitlines() if line.strip().startswith("set ")]
    return next((w for w in words if w == name or w.startswith(name + "_g")), None)


def counter(gate, name):
    out = json.loads(gate.lab.gw.run("nft", "-j", "list", "counter", "inet", "enforcer", name).stdout)
    return next(o["counter"]["packets"] for o in out["nftables"] if "counter" in o)


# --- packets ----------------------------------------------------------------------------------------------------
def travels(number, version):
    """Would a router forward it, were there no rules? And is it nobody's of the lab."""
    if not 0 <= number < 1 << BITS[version]:
        return False
    host = ipaddress.ip_address(address(number, version))
    if version == 4:
        own = ("10.0.0.0/29", "100.64.0.0/20", "192.0.2.0/24", "198.18.0.0/30", "198.51.100.0/24")
        return 0x01000000 <= number < 0xe0000000 and number >> 24 != 127 and not any(
            host in ipaddress.ip_network(n) for n in own)
    return 0x2000 <= number >> 112 < 0xfe80 and not any(
        host in ipaddress.ip_network(n) for n in ("2001:db8::/32",))


def sample(ranges, version):
    """Addresses of a list, and of its neighbours that are not in it, by all kinds of edges; only those that travel."""
    dice = random.Random(len(ranges))
    some = {*range(min(3, len(ranges))), *range(max(0, len(ranges) - 3), len(ranges)),
            *(dice.randrange(len(ranges)) for _ in range(SAMPLE if ranges else 0))}
    there, near = set(), set()
    for first, last in (ranges[i] for i in sorted(some)):
        there.update((first, last, dice.randint(first, last)))
        near.update((first - 1, last + 1))
    return ([n for n in sorted(there) if travels(n, version)],
            [n for n in sorted(near) if travels(n, version) and not inside(ranges, n)])


def says(gate, version, packet_of, there, near, counted):
    """What is there is dropped, and by the rule that counts here; what is near passes."""
    before = counter(gate, counted)
    packets = [packet_of(n, i) for i, n in enumerate(there + near)]
    wire = gate.wire("suba", version)
    arrived = wire.pass_through(*packets)
    if not all(arrived[len(there):]):  # some wait in the daemon's queue; each in its turn
        with contextlib.suppress(LabError):
            wait_for("the neighbours", lambda: all(wire.sniffer.has(p) for p in packets[len(there):]))
        arrived = [wire.sniffer.has(p) for p in packets]
    passed = [address(n, version) for n, a in zip(there, arrived) if a]
    lost = [address(n, version) for n, a in zip(near, arrived[len(there):]) if not a]
    assert not passed and not lost, f"passed: {passed[:5]}; neighbours that did not pass: {lost[:5]}"
    assert counter(gate, counted) - before == len(there)


# --- the lab ----------------------------------------------------------------------------------------------------
def configure(config):
    # Any source may come from a subscriber: else its neighbours were forged, and dropped for that.
    config["antispoof"] = "off"
    config["quarantine"]["automatic"] = False


def before(gate):
    # What passes ends there, whatever its destination: no table of routes of this lab knows the whole internet.
    gate.lab.inet.ip("route replace blackhole default")


def needs_time(path, use):
    return not LONG and sum(1 for _ in entries(text_of(path))) > SHORT_LINES[use]


def names(paths):
    return [p.name.split(".")[0] for p in paths]


@pytest.mark.parametrize("path", LISTS, ids=names(LISTS))
def test_bogons(gate, path):
    if needs_time(path, "bogons"):
        pytest.skip("a long list: LONG=1 does it")
    text = text_of(path)
    networks = list(entries(text))
    target = gate.daemon.dir / "bogons.txt"  # beside the configuration: other folders are closed to the daemon
    target.write_text(text, encoding="latin-1")
    gate.daemon.write(merged(gate.config, {"inbound": {"bogons": str(target)}}))
    began = time.monotonic()
    with Control(gate.daemon.socket, 300) as control:
        control.call("config.reload")
    seconds = time.monotonic() - began
    # What is ours is never one: groups, relays, smarthosts.
    ours = [ipaddress.ip_network(p) for g in gate.config["groups"] for p in g["prefixes"]] + [
        ipaddress.ip_network(a) for a in (*RELAY.values(), *SMARTHOST.values())]
    for version in (4, 6):
        want = without(ranges_of(networks, version), ranges_of(ours, version))
        assert kernel_ranges(gate, real_name(gate, f"bogons{version}")) == want
        there, near = sample(want, version)
        source = gate.fresh("business", version)  # of a group, and so no bogon itself
        says(gate, source.family, lambda n, i: tcp(source.address, address(n, version), 20000 + i, 25, SYN), there, near, "bogon")
        print(f"\n{path.name}: IPv{version}: {len(want)} ranges in the kernel as computed; packets to {len(there)} addresses in them "
              f"dropped, to {len(near)} neighbours passed")
    print(f"{len(networks)} entries loaded in {seconds:.1f} s")


def as_quarantined(network):
    """A host address of IPv6 is its subscriber, a /64."""
    return network.supernet(new_prefix=64) if network.version == 6 and network.prefixlen == 128 else network


def nobody(gate):
    """Releases everybody."""
    with Control(gate.daemon.socket, 300) as control:
        there = control.call("status")["quarantine"]["entries"]
        if there:
            assert control.call("quarantine.release", addresses=["0.0.0.0/0", "::/0"], reason="the next list")["total"] >= there
        assert control.call("status")["quarantine"]["entries"] == 0


def by_hand(gate, networks):
    """In pieces, as a list comes in; answers the longest request."""
    longest = 0.0
    with Control(gate.daemon.socket, 300) as control:
        for at in range(0, len(networks), PIECE):
            began = time.monotonic()
            done = control.call("quarantine.add", addresses=[str(n) for n in networks[at:at + PIECE]], force=True,
                                reason="a list", **{"for": "10h"})
            assert len(done["quarantined"]) == len(networks[at:at + PIECE])
            longest = max(longest, time.monotonic() - began)
    return longest


@pytest.mark.parametrize("path", LISTS, ids=names(LISTS))
def test_quarantine_by_hand(gate, path):
    if needs_time(path, "quarantine"):
        pytest.skip("a long list: LONG=1 does it")
    networks = list(entries(text_of(path)))
    if MAPPED in networks:  # names a notation: all of IPv4, if somebody took it by its word
        with pytest.raises(Rejected, match="::ffff:0:0/96"):
            gate.daemon.call("quarantine.add", addresses=[str(MAPPED)], force=True)
        networks.remove(MAPPED)
    gate.daemon.write(gate.config)  # no bogons any more
    gate.daemon.ok("reload")
    nobody(gate)
    began = time.monotonic()
    longest = by_hand(gate, networks)
    seconds = time.monotonic() - began
    for version in (4, 6):
        want = ranges_of(map(as_quarantined, networks), version)
        singles = kernel_ranges(gate, f"quarantine{version}", bits=64 if version == 6 else 0)
        nets = kernel_ranges(gate, f"quarantine_nets{version}")
        assert union(singles + nets) == want
        there, near = sample(want, version)
        host = {4: "203.0.113.80", 6: "2001:db8:f::80"}[version]
        says(gate, version, lambda n, i: tcp(address(n, version), host, 20000 + i, 25, SYN), there, near, "quarantined")
        print(f"\n{path.name}: IPv{version}: {len(want)} ranges in the kernel as computed; packets from {len(there)} addresses in them "
              f"dropped, from {len(near)} neighbours passed")
    began = time.monotonic()
    nobody(gate)
    for name in ("quarantine4", "quarantine6", "quarantine_nets4", "quarantine_nets6"):
        assert kernel_ranges(gate, name) == []
    print(f"{len(networks)} entries by hand in {seconds:.1f} s, the longest request of {PIECE}: {longest:.2f} s; all released in "
          f"{time.monotonic() - began:.1f} s")
