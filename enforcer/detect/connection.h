/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection as the detector remembers it. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdint.h>
#include <string.h>

enum {
    CONNECTION_BLOCKED = 1,
    CONNECTION_FORGEABLE = 2,
    CONNECTION_SPENT = 4, /* a conviction has used it up: remembered only to know its retransmissions */
};

struct connection {
    uint8_t destination[16]; /* IPv4 in its mapped form, so that one comparison does */
    uint64_t time_ms;
    uint32_t
        print; /* hash of addresses, ports and sequence number: what a retransmission repeats. Never zero */
    uint16_t destination_port;
    uint8_t flags;
    uint8_t weight; /* what it was to the sequential test: enum enf_sequential_kind */
};

static inline void address_pack(const struct enf_addr *addr, uint8_t out[static 16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (addr->family == ENF_FAMILY_V6) {
        memcpy(out, addr->bytes, 16);
        return;
    }
    memcpy(out, mapped, sizeof(mapped));
    memcpy(out + sizeof(mapped), addr->bytes, 4);
}

static inline struct enf_addr address_unpack(const uint8_t packed[static 16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(packed, mapped, sizeof(mapped)) == 0)
        return enf_addr_from_bytes(ENF_FAMILY_V4, packed + sizeof(mapped));
    return enf_addr_from_bytes(ENF_FAMILY_V6, packed);
}
