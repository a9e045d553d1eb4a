/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP addresses and prefixes as values. No I/O, no allocation, safe from any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Longest text: an IPv6 address, a slash, three digits and the terminating zero. */
#define ENF_PREFIX_STR_LEN 64

enum enf_family {
    ENF_FAMILY_NONE = 0, /* no address: the zero value of every struct here */
    ENF_FAMILY_V4 = 4,
    ENF_FAMILY_V6 = 6,
};

/* bytes are in network order; IPv4 uses the first four and the others are zero, so that two
 * addresses are equal exactly when their memory is. */
struct enf_addr {
    uint8_t family; /* enum enf_family */
    uint8_t bytes[16];
};

/* A prefix has no bit set beyond len (see enf_prefix_make). A subscriber is one of these. */
struct enf_prefix {
    struct enf_addr addr;
    uint8_t len; /* bits: 0 to 32 or 0 to 128 */
};

/* An inclusive range of addresses of one family. */
struct enf_range {
    struct enf_addr first;
    struct enf_addr last;
};

/* Bits of a whole address: 32, 128, or 0 for ENF_FAMILY_NONE. */
uint8_t enf_addr_bits(const struct enf_addr *addr);
/* Bytes of a whole address: 4, 16 or 0. */
uint8_t enf_addr_len(const struct enf_addr *addr);

/* From network-order bytes, 4 or 16 of them as family says. Here, because every packet needs two: copies of
 * known sizes go by registers. */
static inline struct enf_addr enf_addr_from_bytes(enum enf_family family, const void *bytes)
{
    struct enf_addr addr = {.family = (uint8_t)family};

    if (family == ENF_FAMILY_V4)
        memcpy(addr.bytes, bytes, 4);
    else if (family == ENF_FAMILY_V6)
        memcpy(addr.bytes, bytes, 16);
    return addr;
}

/* Reads "192.0.2.1" or "2001:db8::1" (RFC 4291 text, no zone, no port, no blanks). An IPv4-mapped IPv6
 * address becomes the IPv4 address that it stands for. 0, or -EINVAL with *out untouched. */
int enf_addr_parse(const char *text, struct enf_addr *out);

/* Reads an address or "ADDR/LEN". Without a length it is the whole address. Bits set beyond the
 * length are refused: -EDOM, with *out untouched, so that the caller can say so; any other fault is -EINVAL.
 */
int enf_prefix_parse(const char *text, struct enf_prefix *out);
/* The same, but with -EDOM *out is what was meant, without those bits: for a message. */
int enf_prefix_meant(const char *text, struct enf_prefix *out);

/* Text of RFC 5952 into buf, always terminated; returns buf. A buffer of ENF_PREFIX_STR_LEN always suffices.
 */
const char *enf_addr_str(const struct enf_addr *addr, char *buf, size_t buf_len);
/* As above; a prefix that is one whole address is printed without "/32" or "/128". */
const char *enf_prefix_str(const struct enf_prefix *prefix, char *buf, size_t buf_len);

/* The prefix of length len that addr lies in; len is cut to the family's bits. */
struct enf_prefix enf_prefix_make(const struct enf_addr *addr, uint8_t len);
/* The prefix that is this one address. */
struct enf_prefix enf_prefix_host(const struct enf_addr *addr);

/* True where a prefix that somebody else made up is one: a family that exists, a length that fits, no bit set
 * beyond it nor behind the address. For what comes from files, sockets and the kernel. */
bool enf_prefix_is_valid(const struct enf_prefix *prefix);

bool enf_prefix_contains(const struct enf_prefix *outer, const struct enf_addr *addr);
/* True where every address of inner is in outer (also when they are equal). */
bool enf_prefix_covers(const struct enf_prefix *outer, const struct enf_prefix *inner);
bool enf_prefix_overlaps(const struct enf_prefix *a, const struct enf_prefix *b);
bool enf_prefix_is_host(const struct enf_prefix *prefix);
struct enf_range enf_prefix_range(const struct enf_prefix *prefix);

/* Order: family, then numeric value; for prefixes the shorter one first. Like memcmp. */
int enf_addr_cmp(const struct enf_addr *a, const struct enf_addr *b);
int enf_prefix_cmp(const struct enf_prefix *a, const struct enf_prefix *b);
bool enf_addr_equal(const struct enf_addr *a, const struct enf_addr *b);
bool enf_prefix_equal(const struct enf_prefix *a, const struct enf_prefix *b);

/* The next or previous address in place; false (and unchanged) at the family's end. */
bool enf_addr_increment(struct enf_addr *addr);
bool enf_addr_decrement(struct enf_addr *addr);

/* Seeded hashes (xxHash, XXH3), for tables that hold addresses strangers choose. */
uint64_t enf_addr_hash(const struct enf_addr *addr, uint64_t seed);
uint64_t enf_prefix_hash(const struct enf_prefix *prefix, uint64_t seed);
