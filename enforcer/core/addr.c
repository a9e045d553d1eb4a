/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP addresses and prefixes as values. */
#include "enforcer/core/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint8_t enf_addr_len(const struct enf_addr *addr)
{
    return addr->family == ENF_FAMILY_V4 ? 4 : addr->family == ENF_FAMILY_V6 ? 16 : 0;
}

uint8_t enf_addr_bits(const struct enf_addr *addr)
{
    return (uint8_t)(enf_addr_len(addr) * 8);
}

/* ::ffff:a.b.c.d stands for a.b.c.d (RFC 4291, 2.5.5.2); kept apart they would be two names for one host. */
static struct enf_addr unmap(const uint8_t bytes[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return enf_addr_from_bytes(ENF_FAMILY_V4, bytes + sizeof mapped);
    return enf_addr_from_bytes(ENF_FAMILY_V6, bytes);
}

int enf_addr_parse(const char *text, struct enf_addr *out)
{
    uint8_t bytes[16];

    if (inet_pton(AF_INET, text, bytes) == 1)
        *out = enf_addr_from_bytes(ENF_FAMILY_V4, bytes);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        *out = unmap(bytes);
    else
        return -EINVAL;
    return 0;
}

/* One to three digits, nothing else and no zero in front, at most max; -1 otherwise. */
static int parse_len(const char *text, int max)
{
    int len = 0;

    if (!*text || strlen(text) > 3 || (text[0] == '0' && text[1]))
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        len = len * 10 + (*text - '0');
    }
    return len <= max ? len : -1;
}

int enf_prefix_meant(const char *text, struct enf_prefix *out)
{
    char buf[ENF_PREFIX_STR_LEN];
    const char *slash = strchr(text, '/');
    size_t addr_len = slash ? (size_t)(slash - text) : strlen(text);
    struct enf_addr addr;
    int len;

    if (addr_len >= sizeof buf)
        return -EINVAL;
    memcpy(buf, text, addr_len);
    buf[addr_len] = '\0';
    if (enf_addr_parse(buf, &addr) < 0)
        return -EINVAL;
    if (!slash) {
        *out = enf_prefix_host(&addr);
        return 0;
    }
    /* A length counts the bits of the text's own family. */
    bool mapped = addr.family == ENF_FAMILY_V4 && strchr(buf, ':');
    len = parse_len(slash + 1, mapped ? 128 : enf_addr_bits(&addr));
    /* ::ffff:0:0/96 names the notation; read as 0.0.0.0/0 it would be the whole Internet. */
    if (mapped)
        len = len > 96 ? len - 96 : -1;
    if (len < 0)
        return -EINVAL;
    *out = enf_prefix_make(&addr, (uint8_t)len);
    return enf_addr_equal(&out->addr, &addr) ? 0 : -EDOM;
}

int enf_prefix_parse(const char *text, struct enf_prefix *out)
{
    struct enf_prefix prefix;
    int err = enf_prefix_meant(text, &prefix);

    if (err == 0)
        *out = prefix;
    return err;
}

static char *put_byte(char *at, unsigned value)
{
    if (value >= 100)
        *at++ = (char)('0' + value / 100);
    if (value >= 10)
        *at++ = (char)('0' + value / 10 % 10);
    *at++ = (char)('0' + value % 10);
    return at;
}

/* As inet_ntop writes it, in a tenth of the time. */
static void v4_str(const uint8_t bytes[4], char buf[INET_ADDRSTRLEN])
{
    for (int i = 0; i < 4; i++) {
        buf = put_byte(buf, bytes[i]);
        *buf++ = '.';
    }
    buf[-1] = '\0';
}

const char *enf_addr_str(const struct enf_addr *addr, char *buf, size_t buf_len)
{
    if (buf_len == 0)
        return buf;
    if (addr->family == ENF_FAMILY_V4 && buf_len >= INET_ADDRSTRLEN)
        v4_str(addr->bytes, buf);
    else if (addr->family == ENF_FAMILY_NONE || !inet_ntop(addr->family == ENF_FAMILY_V4 ? AF_INET : AF_INET6,
                                                           addr->bytes, buf, (socklen_t)buf_len))
        snprintf(buf, buf_len, "-");
    return buf;
}

const char *enf_prefix_str(const struct enf_prefix *prefix, char *buf, size_t buf_len)
{
    enf_addr_str(&prefix->addr, buf, buf_len);
    if (buf_len > 0 && prefix->addr.family != ENF_FAMILY_NONE && !enf_prefix_is_host(prefix)) {
        size_t used = strlen(buf);
        snprintf(buf + used, buf_len - used, "/%u", prefix->len);
    }
    return buf;
}

struct enf_prefix enf_prefix_make(const struct enf_addr *addr, uint8_t len)
{
    struct enf_prefix prefix = {.addr = *addr, .len = len};
    uint8_t bits = enf_addr_bits(addr);

    if (prefix.len > bits)
        prefix.len = bits;
    for (unsigned i = prefix.len; i < bits; i = (i | 7) + 1)
        prefix.addr.bytes[i / 8] &= (uint8_t)(0xff00u >> (i % 8));
    return prefix;
}

struct enf_prefix enf_prefix_host(const struct enf_addr *addr)
{
    return (struct enf_prefix){.addr = *addr, .len = enf_addr_bits(addr)};
}

bool enf_prefix_is_valid(const struct enf_prefix *prefix)
{
    struct enf_addr clean;
    struct enf_prefix cut;

    if (prefix->addr.family != ENF_FAMILY_V4 && prefix->addr.family != ENF_FAMILY_V6)
        return false;
    if (prefix->len > enf_addr_bits(&prefix->addr))
        return false;
    clean = enf_addr_from_bytes((enum enf_family)prefix->addr.family, prefix->addr.bytes);
    cut = enf_prefix_make(&clean, prefix->len);
    return enf_prefix_equal(&cut, prefix);
}

bool enf_prefix_contains(const struct enf_prefix *outer, const struct enf_addr *addr)
{
    if (outer->addr.family != addr->family || addr->family == ENF_FAMILY_NONE)
        return false;
    unsigned whole = outer->len / 8, rest = outer->len % 8;
    if (memcmp(outer->addr.bytes, addr->bytes, whole) != 0)
        return false;
    return rest == 0 || ((outer->addr.bytes[whole] ^ addr->bytes[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

bool enf_prefix_covers(const struct enf_prefix *outer, const struct enf_prefix *inner)
{
    return outer->len <= inner->len && enf_prefix_contains(outer, &inner->addr);
}

bool enf_prefix_overlaps(const struct enf_prefix *a, const struct enf_prefix *b)
{
    return enf_prefix_covers(a, b) || enf_prefix_covers(b, a);
}

bool enf_prefix_is_host(const struct enf_prefix *prefix)
{
    return prefix->addr.family != ENF_FAMILY_NONE && prefix->len == enf_addr_bits(&prefix->addr);
}

struct enf_range enf_prefix_range(const struct enf_prefix *prefix)
{
    struct enf_range range = {.first = prefix->addr, .last = prefix->addr};
    uint8_t bits = enf_addr_bits(&prefix->addr);

    for (unsigned i = prefix->len; i < bits; i = (i | 7) + 1)
        range.last.bytes[i / 8] |= (uint8_t)(0xffu >> (i % 8));
    return range;
}

int enf_addr_cmp(const struct enf_addr *a, const struct enf_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

int enf_prefix_cmp(const struct enf_prefix *a, const struct enf_prefix *b)
{
    int order = enf_addr_cmp(&a->addr, &b->addr);

    return order ? order : (int)a->len - (int)b->len;
}

bool enf_addr_equal(const struct enf_addr *a, const struct enf_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool enf_prefix_equal(const struct enf_prefix *a, const struct enf_prefix *b)
{
    return a->len == b->len && enf_addr_equal(&a->addr, &b->addr);
}

bool enf_addr_increment(struct enf_addr *addr)
{
    struct enf_addr next = *addr;

    for (unsigned i = enf_addr_len(addr); i-- > 0;) {
        if (++next.bytes[i] != 0) {
            *addr = next;
            return true;
        }
    }
    return false;
}

bool enf_addr_decrement(struct enf_addr *addr)
{
    struct enf_addr previous = *addr;

    for (unsigned i = enf_addr_len(addr); i-- > 0;) {
        if (previous.bytes[i]-- != 0) {
            *addr = previous;
            return true;
        }
    }
    return false;
}

uint64_t enf_addr_hash(const struct enf_addr *addr, uint64_t seed)
{
    return XXH3_64bits_withSeed(addr, sizeof *addr, seed);
}

uint64_t enf_prefix_hash(const struct enf_prefix *prefix, uint64_t seed)
{
    return XXH3_64bits_withSeed(prefix, sizeof *prefix, seed);
}

/* The hashes and comparisons read whole structs: there must be no padding in them. */
_Static_assert(sizeof(struct enf_addr) == 17, "enf_addr has padding");
_Static_assert(sizeof(struct enf_prefix) == 18, "enf_prefix has padding");
