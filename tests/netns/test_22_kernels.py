# SPDX-License-Identifier: GPL-2.0-or-later
"""22. What differs between kernels: how they queue, and whether an element that is added again gets its new time. The
daemon does the same on all of them."""
import os
import re

import pytest

from net import Server, wait_for

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


def seconds(text):
    """What nft prints as a time: 1h2m3s4ms."""
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[dhms])", text))


def left(gate, sub):
    """Seconds until the kernel's element ends."""
    found = re.search(re.escape(sub.name.split("/")[0]) + r" (?:timeout \S+ )?expires (\w+)", gate.kernel_set(sub.family))
    return seconds(found[1]) if found else 0


def test_queue_statement(gate):
    """Native where the kernel has it; in tests/vm it must be."""
    kind = gate.daemon.call("status")["queue_kind"]
    assert kind in ("native", "xt")
    assert kind == os.environ.get("ENFORCER_QUEUE", kind)


def test_inspected_mail(gate, family):
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    assert gate.attempt(sub, timeout=10) == "open"
    wait_for("the connection counted", lambda: gate.connections(sub) == 1)
    server.close()


def test_the_kernel_and_an_element_added_again(gate):
    """Not enforcer: what this kernel does. Since about 6.12 the second add sets the time, before it is ignored."""
    gw = gate.lab.gw
    gw.nft("table inet again { set s { type ipv4_addr; flags timeout; }; }")
    gw.nft("add element inet again s { 192.0.2.1 timeout 1h }")
    gw.nft("add element inet again s { 192.0.2.1 timeout 2h }")
    text = gw.run("nft", "list", "set", "inet", "again", "s").stdout
    refreshed = seconds(re.search(r"expires (\w+)", text)[1]) > 5400
    gw.nft("delete table inet again")
    release = tuple(int(n) for n in os.uname().release.split(".")[:2])
    if release <= (6, 1):
        assert not refreshed
    if release >= (6, 12):
        assert refreshed


@pytest.mark.parametrize("group", ["residential", "business"])
def test_ends_are_set_anew(gate, family, group):
    """Longer, shorter, longer: the kernel's element ends when the answer said."""
    sub = gate.fresh(group, family)
    for given, wanted in (("10m", 600), ("2h", 7200), ("5m", 300), ("1h", 3600)):
        gate.daemon.ok("quarantine", sub.address, "--for", given)
        assert wanted - 120 < left(gate, sub) <= wanted + 3, given
    gate.daemon.ok("release", sub.address)
    assert left(gate, sub) == 0


def test_prefix_ends_are_set_anew(gate):
    for given, wanted in (("10m", 600), ("2h", 7200), ("5m", 300)):
        gate.daemon.ok("quarantine", "100.64.0.128/28", "--for", given)
        text = gate.kernel_set(4, "quarantine_nets")
        ends = seconds(re.search(r"100\.64\.0\.128/28 (?:timeout \S+ )?expires (\w+)", text)[1])
        assert wanted - 120 < ends <= wanted + 3, given
    gate.daemon.ok("release", "100.64.0.128/28")
