# SPDX-License-Identifier: GPL-2.0-or-later
"""Which share of the subscribers an address belongs to: a second opinion on enforcer/core/share.c and on the kernel."""
import ipaddress

SEED = 0x0E6F2CD1
MASK = 0xFFFFFFFF


def _rol(word, bits):
    return (word << bits | word >> (32 - bits)) & MASK


def jhash(data, seed):
    """lookup3 as the kernel has it, on a little-endian machine."""
    a = b = c = (0xDEADBEEF + len(data) + seed) & MASK
    while len(data) > 12:
        x, y, z = (int.from_bytes(data[i:i + 4], "little") for i in (0, 4, 8))
        a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
        a = (a - c) & MASK ^ _rol(c, 4)
        c = (c + b) & MASK
        b = (b - a) & MASK ^ _rol(a, 6)
        a = (a + c) & MASK
        c = (c - b) & MASK ^ _rol(b, 8)
        b = (b + a) & MASK
        a = (a - c) & MASK ^ _rol(c, 16)
        c = (c + b) & MASK
        b = (b - a) & MASK ^ _rol(a, 19)
        a = (a + c) & MASK
        c = (c - b) & MASK ^ _rol(b, 4)
        b = (b + a) & MASK
        data = data[12:]
    rest = data.ljust(12, b"\0")
    x, y, z = (int.from_bytes(rest[i:i + 4], "little") for i in (0, 4, 8))
    a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
    for bits_c, bits_a, bits_b in ((14, 11, 25), (16, 4, 14)):
        c = ((c ^ b) - _rol(b, bits_c)) & MASK
        a = ((a ^ c) - _rol(c, bits_a)) & MASK
        b = ((b ^ a) - _rol(a, bits_b)) & MASK
    return ((c ^ b) - _rol(b, 24)) & MASK


def share(address, length):
    """0 to 99; length: of an IPv6 subscriber's prefix."""
    if ":" in address:
        network = ipaddress.ip_network(f"{address}/{length}", strict=False)
        data = network.network_address.packed
    else:
        data = ipaddress.ip_address(address).packed
    return jhash(data, SEED) * 100 >> 32
