# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets made by hand (scapy), and the tricks that try to get TCP/25 past a filter.

Everything is deterministic: the same arguments give the same bytes, so that what arrives can be compared.
"""
import ipaddress
from dataclasses import dataclass, field

from scapy.config import conf

conf.route_autoload = conf.route6_autoload = False
from scapy.layers.inet import IP, TCP, UDP, ICMP  # noqa: E402
from scapy.layers.inet6 import (IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,  # noqa: E402
                                IPv6ExtHdrRouting, PadN, HBHOptUnknown)
from scapy.packet import Raw  # noqa: E402

SYN, ACK, RST, FIN, PSH = 0x02, 0x10, 0x04, 0x01, 0x08
PROTO_TCP = 6


def family(address):
    return ipaddress.ip_address(address).version


def ip(src, dst, ident=0x1234, **more):
    if family(src) == 4:
        return IP(src=src, dst=dst, id=ident, **more)
    return IPv6(src=src, dst=dst, **more)


def tcp(src, dst, sport, dport, flags=SYN, seq=1000, ack=0, data=b"", **more):
    """One TCP packet as bytes."""
    return bytes(ip(src, dst) / TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, **more) / Raw(data))


def udp(src, dst, sport, dport, data=b""):
    return bytes(ip(src, dst) / UDP(sport=sport, dport=dport) / Raw(data))


def icmp_echo(src, dst, data=b"x"):
    if family(src) == 4:
        return bytes(ip(src, dst) / ICMP(id=7, seq=1) / Raw(data))
    from scapy.layers.inet6 import ICMPv6EchoRequest
    return bytes(ip(src, dst) / ICMPv6EchoRequest(id=7, seq=1) / Raw(data))


@dataclass
class Trick:
    """packets in sending order; decisive: those without which nothing is reached, none of which may pass;
    answered: the far end's stack takes it for a SYN and answers (a Linux host of today refuses an IPv6 first fragment
    without the whole TCP header, others do not); other_ports: the same with another port passes."""

    name: str
    packets: list
    decisive: list = field(default_factory=list)
    answered: bool = False
    other_ports: bool = True


def segment(src, dst, sport, dport, flags=SYN, seq=1000, data=b""):
    """TCP header and data with a right checksum, as bytes, for fragments."""
    raw = bytes(ip(src, dst) / TCP(sport=sport, dport=dport, flags=flags, seq=seq) / Raw(data))
    return raw[20:] if family(src) == 4 else raw[40:]


def v4_fragment(src, dst, ident, offset, more, payload):
    return bytes(IP(src=src, dst=dst, id=ident, proto=PROTO_TCP, frag=offset // 8, flags="MF" if more else 0)
                 / Raw(payload))


def v6_fragment(src, dst, ident, offset, more, payload, next_header=PROTO_TCP, before=None):
    base = IPv6(src=src, dst=dst)
    if before is not None:
        base = base / before
    return bytes(base / IPv6ExtHdrFragment(id=ident, offset=offset // 8, m=int(more), nh=next_header) / Raw(payload))


def fragment(src, dst, ident, offset, more, payload):
    make = v4_fragment if family(src) == 4 else v6_fragment
    return make(src, dst, ident, offset, more, payload)


def plain_tricks(src, dst, sport, dport):
    """Whole packets of every kind. sport is a base: each trick uses one of its own."""
    rows = (("syn", SYN, b""), ("syn with data", SYN, b"EHLO a\r\n"), ("syn ece cwr", SYN | 0xC0, b""),
            ("ack with data", ACK | PSH, b"MAIL FROM:<a@b.example>\r\n"), ("bare ack", ACK, b""), ("fin ack", FIN | ACK, b""),
            ("rst", RST, b""), ("no flags", 0, b""), ("xmas", 0x29, b""), ("syn fin", SYN | FIN, b""),
            ("syn ack", SYN | ACK, b""), ("all flags", 0x3F, b""))
    for number, (name, flags, data) in enumerate(rows):
        packet = tcp(src, dst, sport + number, dport, flags, data=data)
        yield Trick(name, [packet], [0], answered=flags & 0x17 == SYN and not flags & FIN)
    yield Trick("from port 25", [tcp(src, dst, 25, dport)], [0], answered=True)
    if family(src) == 4:
        options = IP(src=src, dst=dst, id=0x2222, options=[b"\x94\x04\0\0", b"\x01\x01\x01\x01"])
        yield Trick("ip options", [bytes(options / TCP(sport=sport + 20, dport=dport, flags=SYN, seq=1000))], [0],
                    answered=True)


def fragment_tricks(src, dst, sport, dport):
    """The fragments of both families: in order, out of order, tiny, overlapping."""
    def seg(number, port=dport, flags=SYN, data=b"x" * 16):
        return segment(src, dst, sport + number, port, flags, data=data)

    def frag(ident, offset, more, payload):
        return fragment(src, dst, ident, offset, more, payload)

    v4 = family(src) == 4
    s = seg(40)
    yield Trick("two fragments", [frag(0x4000, 0, 1, s[:24]), frag(0x4000, 24, 0, s[24:])], [0], True)
    s = seg(41)
    yield Trick("fragments out of order", [frag(0x4001, 24, 0, s[24:]), frag(0x4001, 0, 1, s[:24])], [1], True)
    s = seg(42)
    yield Trick("tiny first fragment", [frag(0x4002, 0, 1, s[:8]), frag(0x4002, 8, 0, s[8:])], [0], v4)
    s = seg(43)
    yield Trick("tiny first fragment last", [frag(0x4003, 8, 0, s[8:]), frag(0x4003, 0, 1, s[:8])], [1], v4)
    s = seg(44)
    yield Trick("flags in the second fragment", [frag(0x4004, 0, 1, s[:8]), frag(0x4004, 8, 1, s[8:16]),
                                                 frag(0x4004, 16, 0, s[16:])], [0], v4)
    # The first says another port and passes; the second lies over it and says 25.
    good, bad = seg(45, port=2525), seg(45)
    yield Trick("overlap: port rewritten", [frag(0x4005, 0, 1, good[:24]), frag(0x4005, 0, 1, bad[:8]),
                                            frag(0x4005, 24, 0, bad[24:])], [1])
    good, bad = seg(46, flags=ACK), seg(46)
    yield Trick("overlap: flags rewritten", [frag(0x4006, 0, 1, good[:16]), frag(0x4006, 8, 0, bad[8:])], [0])
    s = seg(47)
    yield Trick("first fragment twice", [frag(0x4007, 0, 1, s[:24]), frag(0x4007, 0, 1, s[:24]),
                                         frag(0x4007, 24, 0, s[24:])], [0, 1], True)


def v6_tricks(src, dst, sport, dport):
    """Extension headers, and header chains that go on in the second fragment."""
    def whole(number, *headers):
        packet = IPv6(src=src, dst=dst)
        for header in headers:
            packet = packet / header
        return bytes(packet / TCP(sport=sport + number, dport=dport, flags=SYN, seq=1000))

    def chained(number, *headers):
        raw = whole(number, *headers)
        return raw[6], raw[40:]

    pad = [PadN(optdata=b"\0" * 4)]
    hbh, dst_opts = IPv6ExtHdrHopByHop(options=pad), IPv6ExtHdrDestOpt(options=pad)
    yield Trick("hop-by-hop", [whole(60, hbh)], [0], True)
    yield Trick("destination options", [whole(61, dst_opts)], [0], True)
    yield Trick("hop-by-hop and destination options", [whole(62, hbh, dst_opts)], [0], True)
    yield Trick("eight destination options", [whole(63, *[IPv6ExtHdrDestOpt(options=pad) for _ in range(8)])], [0],
                True)
    unknown = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=b"\1\2\3\4")])
    yield Trick("unknown destination option", [whole(64, unknown)], [0], True)
    yield Trick("routing header", [whole(65, IPv6ExtHdrRouting(addresses=[], segleft=0, type=4, reserved=0))], [0])
    yield Trick("atomic fragment", [v6_fragment(src, dst, 0x6000, 0, 0, segment(src, dst, sport + 66, dport))], [0],
                True)
    nh, rest = chained(67, dst_opts)
    yield Trick("atomic fragment, then destination options",
                [v6_fragment(src, dst, 0x6001, 0, 0, rest, nh)], [0], True)
    s = segment(src, dst, sport + 68, dport, data=b"x" * 16)
    yield Trick("fragments behind hop-by-hop", [v6_fragment(src, dst, 0x6002, 0, 1, s[:24], before=hbh),
                                                v6_fragment(src, dst, 0x6002, 24, 0, s[24:], before=hbh)], [0], True)
    yield from _pushed_chains(src, dst, chained, hbh)


def _pushed_chains(src, dst, chained, hbh):
    """RFC 7112: a first fragment without its whole header chain is dropped, whatever the port."""
    pad4 = [PadN(optdata=b"\0" * 4)]
    long = [PadN(optdata=b"\0" * 28)]

    def two(name, ident, number, headers, cut, before=None):
        nh, rest = chained(number, *headers)
        parts = [v6_fragment(src, dst, ident, 0, 1, rest[:cut], nh, before),
                 v6_fragment(src, dst, ident, cut, 0, rest[cut:], nh, before)]
        return [Trick(name, parts, [0], other_ports=False),
                Trick(name + ", out of order", parts[::-1], [1], other_ports=False)]

    def opts(options):
        return IPv6ExtHdrDestOpt(options=options)

    yield from two("chain pushed: options first, tcp second", 0x6100, 70, [opts(pad4)], 8)
    yield from two("chain pushed: two options, tcp second", 0x6101, 71, [opts(pad4), opts(pad4)], 16)
    yield from two("chain cut inside the options", 0x6102, 72, [opts(long)], 16)
    yield from two("chain cut between two options", 0x6103, 73, [opts(pad4), opts(long)], 16)
    yield from two("chain pushed behind hop-by-hop", 0x6104, 74, [opts(pad4)], 8, before=hbh)
    yield from two("chain pushed behind a second fragment header", 0x6107, 77, [IPv6ExtHdrFragment(id=7, nh=PROTO_TCP)], 8)
    yield from two("chain pushed behind a routing header", 0x6108, 78,
                   [IPv6ExtHdrRouting(addresses=[], segleft=0, type=4, reserved=0), opts(pad4)], 16)
    nh, rest = chained(76, opts(pad4))
    yield Trick("chain pushed: nothing but one fragment more",
                [v6_fragment(src, dst, 0x6106, 0, 1, rest[:8], nh), v6_fragment(src, dst, 0x6106, 8, 1, rest[8:16], nh),
                 v6_fragment(src, dst, 0x6106, 16, 0, rest[16:], nh)], [0], other_ports=False)


def tricks(src, dst, sport, dport):
    """All tricks of the family of src."""
    yield from plain_tricks(src, dst, sport, dport)
    yield from fragment_tricks(src, dst, sport, dport)
    if family(src) == 6:
        yield from v6_tricks(src, dst, sport, dport)


def flows(src, dst, count, dport=25, first_port=1024, flags=SYN, seq=1, data=b""):
    """count packets that differ in source port and, from the 60,000th on, in sequence number; quickly made."""
    base = bytearray(tcp(src, dst, 0, dport, flags, seq=0, data=data))
    at = 20 if family(src) == 4 else 40
    check = int.from_bytes(base[at + 16:at + 18], "big")
    for number in range(count):
        sport, high = first_port + number % (65535 - first_port), seq + number // (65535 - first_port)
        total = (~check & 0xFFFF) + sport + (high & 0xFFFF) + (high >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        base[at:at + 2] = sport.to_bytes(2, "big")
        base[at + 4:at + 8] = high.to_bytes(4, "big")
        base[at + 16:at + 18] = (~total & 0xFFFF).to_bytes(2, "big")
        yield bytes(base)
