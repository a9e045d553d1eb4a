# SPDX-License-Identifier: GPL-2.0-or-later
"""4. From upstream with source port 25: dropped and reported unless it answers; with `stateless: true` judged by the
destination alone."""
import pytest

from craft import ACK, FIN, PSH, RST, SYN, fragment, segment, tcp
from lab import ATTACKER, FAMILIES, HOST, RELAY, SMARTHOST
from net import Server, Sniffer, Wire, attempt, connect, ports, tcp_flags, wait_for

KINDS = {"syn ack": (SYN | ACK, b""), "data": (ACK | PSH, b"220 mx ESMTP\r\n"), "rst": (RST, b""), "rst ack": (RST | ACK, b""),
         "fin": (FIN | ACK, b""), "no flags": (0, b""), "syn": (SYN, b"")}
VICTIM = {"block": {4: "100.64.0.7", 6: "2001:db8:1000:700::5"}, "inspect": {4: "100.64.1.7", 6: "2001:db8:1000:4007::5"},
          "none": {4: "100.64.3.7", 6: "2001:db8:1000:c007::5"}, "relay": RELAY}
OFF = {}


def forged(family, victim, kind):
    flags, data = KINDS[kind]
    return tcp(ATTACKER[family], VICTIM[victim][family], 25, 40001, flags, seq=77, ack=5, data=data)


def wire_to(gate, victim, family):
    node = gate.lab.relay if victim == "relay" else gate.lab.suba
    return Wire(gate.lab.atk, node, ATTACKER[family], VICTIM[victim][family])


def before(gate):
    for family in FAMILIES:
        for victim in VICTIM:
            wire = wire_to(gate, victim, family)
            for kind in KINDS:
                OFF[family, victim, kind] = wire.pass_through(forged(family, victim, kind))
            wire.close()


@pytest.mark.parametrize("victim", VICTIM)
def test_unasked(gate, family, victim):
    """The port of the victim is one it never used. Even a relay and a host in no group get nothing unasked."""
    mark = gate.daemon.mark()
    wire = wire_to(gate, victim, family)
    for kind in KINDS:
        assert OFF[family, victim, kind] == [True], f"{kind}: does not even arrive without rules"
        assert wire.pass_through(forged(family, victim, kind)) == [False], kind
    wire.close()
    event = gate.daemon.wait_event("inbound-spoofed", since=mark,
                                   where=lambda e: e["destination"]["ip"] == VICTIM[victim][family])
    assert event["source"]["ip"] == ATTACKER[family] and event["source"]["port"] == 25
    gate.probe()
    assert not gate.daemon.quarantined(), "somebody else's packets are no evidence"


def test_in_fragments(gate, family):
    victim = VICTIM["block"][family]
    data = segment(ATTACKER[family], victim, 25, 40002, SYN | ACK, data=b"x" * 16)
    wire = wire_to(gate, "block", family)
    first, second = (fragment(ATTACKER[family], victim, 500, *part) for part in ((0, 1, data[:8]), (8, 0, data[8:])))
    assert wire.pass_through(first, second)[0] is False
    assert wire.pass_through(second, first)[1] is False
    wire.close()


def test_answers_to_the_relay(gate, family):
    server = Server(gate.lab.inet, 25, family=family)
    with connect(gate.lab.relay, RELAY[family], HOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
        sock.sendall(b"NOOP\r\n")
        assert sock.recv(100) == b"250 NOOP\r\n"
    server.close()
    # A refusal is an answer as well.
    assert attempt(gate.lab.relay, RELAY[family], ATTACKER[family]) == "refused"


def test_answers_to_an_inspected_subscriber(gate, family):
    """Its own flow is answered; the same packets with one number changed are not."""
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    with connect(sub.node, sub.address, HOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
        sock.sendall(b"NOOP\r\n")
        assert sock.recv(100) == b"250 NOOP\r\n"
        sport = sock.getsockname()[1]
        wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
        foreign = [tcp(HOST[family], sub.address, 25, sport + 1, ACK, data=b"x"), tcp(ATTACKER[family], sub.address, 25, sport, RST)]
        assert wire.pass_through(*foreign) == [False, False]
        wire.close()
        sock.sendall(b"NOOP\r\n")
        assert sock.recv(100) == b"250 NOOP\r\n"
    server.close()


def test_answers_of_the_smarthost(gate, family):
    server = Server(gate.lab.smart, 25, family=family)
    sub = gate.fresh(family=family)
    with connect(sub.node, sub.address, SMARTHOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
        own = sock.getsockname()[1]
    server.close()
    # But the smarthost's address alone opens nothing.
    wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
    assert wire.pass_through(tcp(SMARTHOST[family], sub.address, 25, own ^ 1, SYN | ACK)) == [False]
    wire.close()


def test_answers_to_a_host_in_no_group(gate, family):
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("none", family)
    with connect(sub.node, sub.address, HOST[family], timeout=5) as sock:
        assert sock.recv(100).startswith(b"220")
    server.close()


def test_a_flow_in_both_directions_is_closed_properly(gate, family):
    """FIN and RST of both sides pass: no connection hangs because the end of it was dropped."""
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    with Sniffer(gate.lab.suba, match=lambda p: (ports(p) or (0, 0, 0))[1] == 25) as sniffer:
        with connect(sub.node, sub.address, HOST[family], timeout=5) as sock:
            assert sock.recv(100)
        wait_for("the server's FIN", lambda: sniffer.find(lambda p: tcp_flags(p) & FIN))
    server.close()


@pytest.fixture(scope="module")
def stateless(make_gate):
    def configure(config):
        config["inbound"]["stateless"] = True
    return make_gate(configure).start()


def test_stateless(stateless, family):
    """Where the outgoing half goes another way, the destination decides: who may not send gets no answers, who may
    send gets them all."""
    gate = stateless
    mark = gate.daemon.mark()
    expected = {"block": False, "inspect": True, "none": True, "relay": True}
    for victim, passes in expected.items():
        wire = wire_to(gate, victim, family)
        for kind in ("syn ack", "data", "rst"):
            packet = forged(family, victim, kind)
            if victim == "inspect":
                assert wire.arrives(packet)
            else:
                assert wire.pass_through(packet) == [passes], (victim, kind)
        if victim == "block":  # the smarthost answers everybody
            assert wire.pass_through(tcp(SMARTHOST[family], VICTIM["block"][family], 25, 40004, SYN | ACK)) == [True]
        wire.close()
    gate.daemon.wait_event("inbound-spoofed", since=mark,
                           where=lambda e: e["destination"]["ip"] == VICTIM["block"][family])
    assert gate.daemon.alive()


def test_switched_off(make_gate, family):
    """drop_source_port_25: false lets all of it pass."""
    def configure(config):
        config["inbound"]["drop_source_port_25"] = False
    gate = make_gate(configure).start()
    for victim in VICTIM:
        wire = wire_to(gate, victim, family)
        assert wire.pass_through(forged(family, victim, "syn ack")) == [True], victim
        wire.close()
    gate.close()


def test_bogons(make_gate, tmp_path):
    """TCP/25 from or to a bogon is dropped and reported; other ports are not touched."""
    bogons = tmp_path / "bogons"
    bogons.write_text("# for a test\n203.0.113.192/26\n203.0.113.200\n2001:db8:f:1::/64\n")

    def configure(config):
        config["inbound"]["bogons"] = str(bogons)
    gate = make_gate(configure).start()
    for family, bogon in ((4, "203.0.113.201"), (6, "2001:db8:f:1::9")):
        sub = gate.fresh("business", family)
        mark = gate.daemon.mark()
        assert gate.passes(sub, gate.syn(sub, bogon), gate.syn(sub, bogon, 587), gate.syn(sub)) == [False, True, True]
        gate.daemon.wait_event("bogon-dropped", since=mark)
        wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
        assert wire.pass_through(tcp(bogon, sub.address, 3000, 25), tcp(bogon, sub.address, 3000, 26)) == [False, True]
        wire.close()
    gate.close()
