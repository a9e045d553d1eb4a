# SPDX-License-Identifier: GPL-2.0-or-later
"""1. A blocked or quarantined subscriber gets nothing to TCP/25, by no trick. Each trick is shown arriving with the
rules off first."""
import json
import time

import pytest

from craft import flows, tricks
from lab import ATTACKER, FAMILIES, HOST, MX, RELAY
from net import Pacer, Server, Sniffer, Wire, attempt, ports, tcp_flags, wait_for

SOURCE = {"blocked": {4: "100.64.0.7", 6: "2001:db8:1000:700::7"},
          "quarantined": {4: "100.64.1.7", 6: "2001:db8:1000:4007::7"}}
FAR = {4: HOST[4], 6: HOST[6]}
# Each state of the rules and each kind of subscriber has ports of its own, so that no connection is met twice.
FIRST_PORT = {"off": 30000, "blocked": 31000, "quarantined": 32000, "other": 33000}
OFF = {}  # (family, trick) -> (which packets arrived, whether the far end answered)


def rows(family, kind, state, dport=25):
    return {t.name: t for t in tricks(SOURCE[kind][family], FAR[family], FIRST_PORT[state], dport)}


ALL = [(f, name) for f in FAMILIES for name in rows(f, "blocked", "off")]


def configure(config):
    # Here the policy is tested, so nobody is to be convicted.
    config["detector"] = {"connection_rate": None, "distinct_destinations": None}
    config["quarantine"]["automatic"] = False
    config["groups"].append({"name": "resetting", "prefixes": ["100.64.3.0/24", "2001:db8:1000:c000::/50"],
                             "policy": "block", "block_with": "reset"})


def before(gate):
    """Rules off: every trick arrives."""
    for family in FAMILIES:
        for port in (25, 587):
            Server(gate.lab.inet, port, family=family)
        wire = gate.wire("suba", family)
        with Sniffer(gate.lab.suba) as back:
            for name, trick in rows(family, "blocked", "off").items():
                back.clear()
                arrived = wire.pass_through(*trick.packets)
                if trick.answered:
                    wait_for(f"an answer to {name}", lambda: back.find(_is_syn_ack))
                OFF[family, name] = arrived, bool(back.find(_is_syn_ack))


def _is_syn_ack(packet):
    tuple_ = ports(packet)
    return tuple_ is not None and tuple_[:2] == (6, 25) and tcp_flags(packet) & 0x12 == 0x12


@pytest.fixture(scope="module")
def quarantined(gate):
    gate.daemon.ok("quarantine", *SOURCE["quarantined"].values(), "--for", "1h", "--reason", "a test of tricks")


@pytest.mark.parametrize("kind", SOURCE)
@pytest.mark.parametrize("family,name", ALL, ids=[f"ipv{f}-{n}" for f, n in ALL])
def test_trick(gate, quarantined, family, name, kind):
    arrived, answered = OFF[family, name]
    trick = rows(family, kind, kind)[name]
    assert all(arrived), "the trick does not even work without rules"
    assert answered or not trick.answered

    wire = gate.wire("suba", family)
    with Sniffer(gate.lab.suba) as back:
        arrived = wire.pass_through(*trick.packets)
        assert not any(arrived[n] for n in trick.decisive), f"passed: {arrived}"
        assert not back.find(_is_syn_ack)
    if trick.other_ports:
        other = rows(family, kind, "other", dport=587)[name]
        assert all(wire.pass_through(*other.packets)), "the same to port 587 must pass"


def test_anywhere(gate, family):
    sub = gate.fresh(family=family)
    for destination in (HOST[family], MX[family], RELAY[family], ATTACKER[family]):
        assert gate.attempt(sub, destination, timeout=0.5) == "timeout"
    event = gate.daemon.wait_event("egress-blocked", sub.name)
    assert event["source"]["ip"] == sub.address and event["event"]["outcome"]
    assert event["enforcer"]["group"] == "residential" and event["enforcer"]["policy"] == "block"
    wait_for("four connections", lambda: gate.show(sub)["connections_total"] == 4)


def test_reports_are_summed_up(gate, family):
    """The first attempt is reported at once, the others once an interval."""
    sub = gate.fresh(family=family)
    mark = gate.daemon.mark()
    gate.syns(sub, 1)
    gate.daemon.wait_event("egress-blocked", sub.name, since=mark)
    gate.syns(sub, 50)

    def counted():
        return sum(e["enforcer"].get("count", 1) for e in gate.daemon.events("egress-blocked", sub.name, mark))
    wait_for("51 attempts in the events", lambda: counted() == 51)
    assert len(gate.daemon.events("egress-blocked", sub.name, mark)) <= 4


def test_reset(gate, family):
    """block_with: reset answers at once, and still nothing passes."""
    sub = gate.fresh("none", family)
    with Sniffer(gate.lab.inet) as sniffer:
        assert attempt(sub.node, sub.address, HOST[family], timeout=10) == "refused"
        assert gate.passes(sub, gate.syn(sub)) == [False]
        assert not sniffer.find(lambda p: (ports(p) or (0, 0, 0))[::2] == (6, 25))
    assert gate.attempt(sub, port=587) == "open"


def test_resets_are_few(gate, family):
    """A host that floods is answered 1,000 times, then 1,000 times a second; nothing passes, and the next one is answered again."""
    sub = gate.fresh("none", family)
    gate.attempt(sub, port=587)  # whoever has to find whom has done so
    before, began = _received(sub.node), time.monotonic()
    pacer = Pacer(sub.node, flows(sub.address, HOST[family], 5000, first_port=10000), 20000)

    def most():
        return 1000 + 1000 * (time.monotonic() - began) + 100  # others speak as well
    with Sniffer(gate.lab.inet) as sniffer:
        wait_for("a flood of three times as many as may be answered", lambda: pacer.sent() > 3 * most())
        sent = pacer.stop()
        assert not sniffer.find(lambda p: (ports(p) or (0, 0, 0))[::2] == (6, 25))
    time.sleep(0.1)
    received = _received(sub.node) - before
    assert 900 < received < most() < sent
    wait_for("an answer to one", lambda: gate.attempt(sub, timeout=1) == "refused")


def _received(node):
    return json.loads(node.run("ip", "-j", "-s", "link", "show", node.iface).stdout)[0]["stats64"]["rx"]["packets"]


def test_between_the_networks(gate, family):
    """From one subscriber interface to the other is anywhere as well."""
    a, b = gate.fresh(family=family), gate.fresh("none", family)
    wire = Wire(a.node, gate.lab.subb, b.address, "100.64.8.200" if family == 4 else "2001:db8:2000:100::200")
    assert wire.pass_through(gate.syn(a, "100.64.8.9" if family == 4 else "2001:db8:2000:900::9")) == [False]
    wire.close()


def test_nobody_was_convicted(gate, quarantined):
    assert set(gate.daemon.quarantined()) == {"100.64.1.7", "2001:db8:1000:4007::/64"}
