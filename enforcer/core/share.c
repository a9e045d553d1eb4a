/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's hash of an address. */
#include "enforcer/core/share.h"

#include <string.h>

static uint32_t turn(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* One word takes from another what it does not need, six times round. */
static void mix(uint32_t w[3])
{
    static const unsigned char bits[] = {4, 6, 8, 16, 19, 4};

    for (unsigned i = 0; i < sizeof bits; i++) {
        uint32_t *a = &w[i % 3], *b = &w[(i + 1) % 3], *c = &w[(i + 2) % 3];
        *a = (*a - *c) ^ turn(*c, bits[i]);
        *c += *b;
    }
}

static uint32_t finish(uint32_t w[3])
{
    static const unsigned char bits[] = {14, 11, 25, 16, 4, 14, 24};

    for (unsigned i = 0; i < sizeof bits; i++) {
        uint32_t *to = &w[(i + 2) % 3], from = w[(i + 1) % 3];
        *to = (*to ^ from) - turn(from, bits[i]);
    }
    return w[2];
}

uint32_t enf_jhash(const void *data, size_t len, uint32_t seed)
{
    const unsigned char *at = data;
    uint32_t start = 0xdeadbeefu + (uint32_t)len + seed;
    uint32_t w[3] = {start, start, start};

    for (; len > 12; len -= 12, at += 12) {
        for (unsigned i = 0; i < 3; i++) {
            uint32_t word; /* in the machine's order, as the kernel reads it */
            memcpy(&word, at + 4 * (size_t)i, sizeof word);
            w[i] += word;
        }
        mix(w);
    }
    for (size_t i = 0; i < len; i++)
        w[i / 4] += (uint32_t)at[i] << (8 * (i % 4));
    return finish(w);
}

unsigned enf_share(const struct enf_prefix *subscriber)
{
    uint32_t hash = enf_jhash(subscriber->addr.bytes, enf_addr_len(&subscriber->addr), ENF_SHARE_SEED);

    return (unsigned)((uint64_t)hash * 100 >> 32);
}
