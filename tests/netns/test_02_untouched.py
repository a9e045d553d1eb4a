# SPDX-License-Identifier: GPL-2.0-or-later
"""2. What is not blocked is not touched: every other port and protocol comes out byte for byte as without rules, and
relays and smarthosts are reached on 25."""
import hashlib
import socket
import threading

import pytest

import craft
from craft import ACK, FIN, PSH, RST, SYN, fragment, icmp_echo, ip, segment, tcp, udp
from lab import ATTACKER, FAMILIES, HOST, RELAY, SMARTHOST
from net import Server, Wire, addresses, attempt, connect, wait_for
from scapy.packet import Raw

SOURCES = {  # where a packet comes from, by policy
    "blocked": {4: "100.64.0.7", 6: "2001:db8:1000:700::7"}, "inspected": {4: "100.64.1.7", 6: "2001:db8:1000:4007::7"},
    "observed": {4: "100.64.2.7", 6: "2001:db8:1000:8007::7"}, "in no group": {4: "100.64.3.7", 6: "2001:db8:1000:c007::7"},
    "relay": RELAY,
}
OFF = {}


def _named(number):
    """IP with a protocol number that is neither TCP nor UDP and, where ports would be, 25."""
    return lambda s, d: [bytes(ip(s, d, **{"proto" if craft.family(s) == 4 else "nh": number})
                               / Raw(b"\0\x19\0\x19" + b"payload" * 3))]


def _fragments(port, ident):
    def make(s, d):
        data = segment(s, d, 6000, port, data=b"y" * 40)
        return [fragment(s, d, ident, 0, 1, data[:24]), fragment(s, d, ident, 24, 0, data[24:])]
    return make


def _udp_fragments(s, d):
    data = udp(s, d, 25, 25, b"z" * 40)[20 if craft.family(s) == 4 else 40:]
    if craft.family(s) == 4:
        return [bytes(craft.IP(src=s, dst=d, id=9, proto=17, flags="MF") / Raw(data[:24])),
                bytes(craft.IP(src=s, dst=d, id=9, proto=17, frag=3) / Raw(data[24:]))]
    return [craft.v6_fragment(s, d, 9, 0, 1, data[:24], 17), craft.v6_fragment(s, d, 9, 24, 0, data[24:], 17)]


TRAFFIC = {
    "tcp 587": lambda s, d: [tcp(s, d, 5000, 587, f, data=x) for f, x in
                             ((SYN, b""), (ACK | PSH, b"EHLO a\r\n"), (FIN | ACK, b""), (RST, b""))],
    "tcp 465": lambda s, d: [tcp(s, d, 5001, 465, f, data=x) for f, x in
                             ((SYN, b""), (ACK | PSH, b"\x16\x03\x01\0\x05hello"), (RST | ACK, b""))],
    "neighbours of 25": lambda s, d: [tcp(s, d, 5002, p) for p in (24, 26, 2525, 6400, 0, 65535)],
    "web and dns": lambda s, d: [tcp(s, d, 5003, 80), tcp(s, d, 5003, 443), tcp(s, d, 5003, 53), udp(s, d, 5003, 53, b"q")],
    "udp 25": lambda s, d: [udp(s, d, 25, 25, b"not mail"), udp(s, d, 5004, 25, b"not mail")],
    "udp 25 in fragments": _udp_fragments,
    "sctp with port 25": _named(132), "gre": _named(47), "esp": _named(50), "ah": _named(51), "unknown protocol": _named(253),
    "ping": lambda s, d: [icmp_echo(s, d)],
    "tcp 587 in fragments": _fragments(587, 77),
    # Bytes where the ports would be in a first fragment, and what an IPv6 fragment header has in their place.
    "second fragment that looks like 25": lambda s, d: [fragment(s, d, 78, 24, more, b"\0\x19\0\x19" * 4) for more in (0, 1)],
    "answers of an own server": lambda s, d: [tcp(s, d, 25, 5005, f) for f in (SYN | ACK, ACK, RST)],
    "tos, ttl and options": lambda s, d: [
        bytes(craft.IP(src=s, dst=d, tos=0xB8, ttl=9, options=[b"\x01\x01\x01\x00"]) / craft.TCP(sport=5, dport=587))
        if craft.family(s) == 4 else
        bytes(craft.IPv6(src=s, dst=d, tc=0xB8, hlim=9, fl=0x12345) / craft.TCP(sport=5, dport=587))],
}
ROWS = [(f, who, what) for f in FAMILIES for who in SOURCES for what in TRAFFIC]


def _send(gate, family, who, what):
    """The bytes that come out at the other end."""
    source = SOURCES[who][family]
    wire = gate.wire("relay" if who == "relay" else "suba", family)
    packets = TRAFFIC[what](source, HOST[family])
    wire.pass_through(*packets)
    return len(packets), [p for p in wire.sniffer.packets if b"marker" not in p and addresses(p)[0] == source]


def before(gate):
    for row in ROWS:
        OFF[row] = _send(gate, *row)[1]


@pytest.mark.parametrize("family,who,what", ROWS, ids=[f"ipv{f}-{w}-{t}" for f, w, t in ROWS])
def test_same_bytes(gate, family, who, what):
    count, arrived = _send(gate, family, who, what)
    assert len(OFF[family, who, what]) == count, "it does not even pass without rules"
    assert arrived == OFF[family, who, what]


def test_from_upstream(gate, family):
    """To a subscriber from the internet: everything but unasked packets from port 25."""
    sub = gate.fresh(family=family)
    wire = Wire(gate.lab.atk, gate.lab.suba, ATTACKER[family], sub.address)
    s, d = ATTACKER[family], sub.address
    packets = [tcp(s, d, 6000, 25), tcp(s, d, 6000, 25, ACK, data=b"EHLO x\r\n"), tcp(s, d, 587, 6001, SYN | ACK),
               tcp(s, d, 26, 6001, SYN | ACK), udp(s, d, 25, 6001, b"no mail"), udp(s, d, 25, 25, b"no mail"), icmp_echo(s, d),
               *_fragments(587, 90)(s, d), fragment(s, d, 92, 24, 0, b"\0\x19\0\x19" * 4)]
    assert all(wire.pass_through(*packets))
    wire.close()


@pytest.mark.parametrize("port", [587, 465])
def test_submission_of_a_large_mail(gate, family, port):
    """Two megabytes to 587 and 465, from a blocked subscriber who is in quarantine besides."""
    sub = gate.fresh(family=family)
    gate.daemon.ok("quarantine", sub.address)
    data = hashlib.sha256(b"seed").digest() * 65536
    got = hashlib.sha256()
    sock = _listen(gate.lab.inet, port, family)
    done = threading.Thread(target=_drain, args=(sock, got))
    done.start()
    with connect(sub.node, sub.address, HOST[family], port) as out:
        out.settimeout(20)
        out.sendall(data)
    done.join(20)
    assert got.hexdigest() == hashlib.sha256(data).hexdigest()
    sock.close()


def _listen(node, port, family):
    sock = node.socket({4: socket.AF_INET, 6: socket.AF_INET6}[family], socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::" if family == 6 else "0.0.0.0", port))
    sock.listen()
    sock.settimeout(20)
    return sock


def _drain(sock, digest):
    conn, _ = sock.accept()
    with conn:
        while data := conn.recv(65536):
            digest.update(data)


def test_smarthost(gate, family):
    """A blocked subscriber reaches the smarthost on 25, and that is nothing against it."""
    server = Server(gate.lab.smart, 25, family=family)
    sub = gate.fresh(family=family)
    for _ in range(25):
        assert attempt(sub.node, sub.address, SMARTHOST[family]) == "open"
    gate.probe()
    assert not gate.is_quarantined(sub)
    gate.daemon.ok("quarantine", sub.address)
    assert attempt(sub.node, sub.address, SMARTHOST[family], timeout=1) == "timeout"
    server.close()


def test_relay_to_anywhere(gate, family):
    """The relay reaches everybody on 25: hosts of the internet, the attacker, a subscriber, as often as it likes."""
    inet, atk = Server(gate.lab.inet, 25, family=family), Server(gate.lab.atk, 25, family=family)
    own = Server(gate.lab.suba, 25, family=family)
    sub = gate.fresh(family=family)
    for destination in (HOST[family], ATTACKER[family], sub.address):
        assert attempt(gate.lab.relay, RELAY[family], destination) == "open"
    for _ in range(100):
        assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open"
    wire = gate.wire("relay", family)
    data = segment(RELAY[family], HOST[family], 7000, 25, data=b"y" * 40)
    assert all(wire.pass_through(fragment(RELAY[family], HOST[family], 91, 0, 1, data[:24]),
                                 fragment(RELAY[family], HOST[family], 91, 24, 0, data[24:])))
    gate.probe()
    assert RELAY[family] not in gate.daemon.quarantined()
    for server in (inet, atk, own):
        server.close()


def test_no_group_is_not_touched(gate, family):
    """Addresses in no group send mail as if nobody was there."""
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("none", family)
    for _ in range(30):
        assert gate.attempt(sub) == "open"
    gate.probe()
    assert not gate.is_quarantined(sub)
    wait_for("thirty connections at the server", lambda: len(server.accepted) >= 30)
    server.close()
