# SPDX-License-Identifier: GPL-2.0-or-later
"""13. Forged sources: dropped, reported as spoofed, and never counted against the one whose address it is."""
import pytest

from craft import ACK, SYN, flows, tcp
from lab import ATTACKER, HOST, RELAY, SMARTHOST
from net import Sender, Server, Wire, attempt, wait_for


def spoofed(gate, mark, source):
    return gate.daemon.wait_event("source-spoofed", since=mark, where=lambda e: e["source"]["ip"] == source)


def innocent(gate, sub, mark):
    gate.probe()
    assert not gate.is_quarantined(sub) and gate.connections(sub) == 0
    assert not gate.daemon.events("zombie-detected", sub.name, mark)
    assert not gate.daemon.events("egress-blocked", sub.name, mark)
    assert not gate.daemon.events("trap-hit", sub.name, mark)


@pytest.mark.parametrize("net", ["a", "b"])
def test_relay_from_a_subscriber_interface(gate, family, net):
    mark = gate.daemon.mark()
    wire = gate.wire("sub" + net, family)
    packets = list(flows(RELAY[family], HOST[family], 30)) + [tcp(RELAY[family], HOST[family], 9, 25, ACK, data=b"x")]
    assert not any(wire.pass_through(*packets))
    spoofed(gate, mark, RELAY[family])

    def told():
        # Reports are summed up by source; the interface is that of the first packet of an interval.
        wire.sender.send(packets[0])
        return [e for e in gate.daemon.events("source-spoofed", since=mark) if e["source"]["ip"] == RELAY[family]
                and e["observer"]["ingress"]["interface"]["name"] == ("sub0" if net == "a" else "sub1")]
    wait_for("an event that names the interface", told)
    gate.probe()
    assert RELAY[family] not in gate.daemon.quarantined()
    server = Server(gate.lab.inet, 25, family=family)
    assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open", "the real one still may"
    server.close()


def test_relay_from_upstream(gate, family):
    """To a subscriber's own server, or from one subscriber's to another: not with a relay's address."""
    mark = gate.daemon.mark()
    sub = gate.fresh("business", family)
    wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
    assert wire.pass_through(tcp(RELAY[family], sub.address, 5000, 25), tcp(RELAY[family], sub.address, 25, 5000, SYN | ACK),
                             tcp(RELAY[family], sub.address, 5000, 587)) == [False, False, True]
    spoofed(gate, mark, RELAY[family])
    wire.close()


def test_smarthost_from_upstream(gate, family):
    """Its address as source opens nothing: unasked is unasked."""
    mark = gate.daemon.mark()
    sub = gate.fresh("residential", family)
    wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
    assert wire.pass_through(tcp(SMARTHOST[family], sub.address, 25, 5000, SYN | ACK),
                             tcp(SMARTHOST[family], sub.address, 25, 5001, ACK, data=b"220 x\r\n")) == [False, False]
    gate.daemon.wait_event("inbound-spoofed", since=mark, where=lambda e: e["source"]["ip"] == SMARTHOST[family])
    wire.close()


def test_smarthost_from_a_subscriber_interface(gate, family):
    mark = gate.daemon.mark()
    assert gate.wire("suba", family).pass_through(tcp(SMARTHOST[family], HOST[family], 5000, 25)) == [False]
    spoofed(gate, mark, SMARTHOST[family])


@pytest.mark.parametrize("group", ["residential", "business", "pilot"])
def test_subscriber_from_another_interface(gate, family, group):
    """A neighbour on sub1 sends with the address of somebody on sub0, more than enough to convict."""
    victim = gate.fresh(group, family)
    mark = gate.daemon.mark()
    arrived = gate.wire("subb", family).pass_through(*flows(victim.address, HOST[family], 60),
                                                     tcp(victim.address, "203.0.113.66" if family == 4 else "2001:db8:f::66",
                                                         7000, 25))
    assert not any(arrived) or group == "pilot"
    spoofed(gate, mark, victim.address)
    innocent(gate, victim, mark)


@pytest.mark.parametrize("group", ["residential", "business"])
def test_subscriber_from_upstream(gate, family, group):
    """The internet sends with a subscriber's address to port 25 of another one."""
    victim, target = gate.fresh(group, family), gate.fresh(group, family, "b")
    mark = gate.daemon.mark()
    wire = Wire(gate.lab.atk, gate.lab.subb, ATTACKER[family], target.address)
    assert not any(wire.pass_through(*flows(victim.address, target.address, 60)))
    spoofed(gate, mark, victim.address)
    innocent(gate, victim, mark)
    wire.close()


def test_address_of_nobody(gate, family):
    """A source that is routed elsewhere, on a subscriber interface."""
    mark = gate.daemon.mark()
    source = "198.51.100.200" if family == 4 else "2001:db8:f:bad::77"
    assert gate.wire("suba", family).pass_through(tcp(source, HOST[family], 5000, 25), tcp(source, HOST[family], 5000, 26)) == \
        [False, True]
    spoofed(gate, mark, source)


def test_forged_answers(gate, family):
    """Source port 25 with a neighbour's address from a subscriber interface is forged as well."""
    victim = gate.fresh("business", family)
    mark = gate.daemon.mark()
    assert gate.wire("subb", family).pass_through(tcp(victim.address, HOST[family], 25, 5000, SYN | ACK)) == [False]
    spoofed(gate, mark, victim.address)


def test_both_ports_25_from_upstream(gate, family):
    """Neither an answer nor evidence: a stranger's packet from 25 to 25 with a subscriber's address."""
    victim = gate.fresh("residential", family)
    mark = gate.daemon.mark()
    sender = Sender(gate.lab.atk)
    sender.send(*(tcp(victim.address, "100.64.8.30" if family == 4 else "2001:db8:2000:1e00::5", 25, 25, SYN, seq=n)
                  for n in range(40)))
    sender.close()
    gate.probe()
    innocent(gate, victim, mark)


@pytest.fixture(scope="module")
def by_groups(make_gate):
    def configure(config):
        config["antispoof"] = "groups"
    return make_gate(configure).start()


def test_antispoof_groups(by_groups, family):
    """`groups`: a source that is in no group is forged, wherever its route leads; one of a group is believed."""
    gate = by_groups
    stranger, member = gate.fresh("none", family), gate.fresh("business", family)
    mark = gate.daemon.mark()
    assert gate.passes(stranger, gate.syn(stranger), gate.syn(stranger, dport=26)) == [False, True]
    spoofed(gate, mark, stranger.address)
    assert gate.passes(member, gate.syn(member)) == [True]
    packet, wire = gate.syn(member), gate.wire("subb", family)
    wire.sender.send(packet)
    wait_for("the packet, which is inspected", lambda: wire.sniffer.has(packet))


def test_antispoof_off(make_gate, family):
    """`off`: sources are believed; a relay on a wrong interface still is not."""
    def configure(config):
        config["antispoof"] = "off"
    gate = make_gate(configure).start()
    member = gate.fresh("business", family)
    packet, wire = gate.syn(member), gate.wire("subb", family)
    assert wire.pass_through(tcp(RELAY[family], HOST[family], 5000, 25), packet)[0] is False
    wait_for("the packet, which is inspected", lambda: wire.sniffer.has(packet))
    wait_for("the connection counted", lambda: gate.connections(member) == 1)
    gate.close()
