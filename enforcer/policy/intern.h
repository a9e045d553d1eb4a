/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Byte strings kept once and counted: a million quarantines share a few reasons, actors and groups. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct enf_intern_slot {
    char *bytes; /* NULL: free */
    uint32_t len;
    uint32_t refs; /* of a free slot: the next free one */
    uint32_t next; /* in its bucket; 0: last */
    uint32_t hash;
};

/* The zero value with a seed is an empty pool. Ids start at 1. */
struct enf_intern {
    uint64_t seed;
    struct enf_intern_slot *slots; /* slot 0 is unused */
    uint32_t slots_len;
    uint32_t slots_cap;
    uint32_t used;
    uint32_t free;
    uint32_t *buckets;
    uint32_t buckets_len; /* a power of two, or 0 */
};

/* Takes one reference to these bytes, copying them if they are new. 0 or -ENOMEM. */
int enf_intern_take(struct enf_intern *pool, const char *bytes, uint32_t len, uint32_t *out_id);
/* One more reference to an id that is held already. */
void enf_intern_ref(struct enf_intern *pool, uint32_t id);
/* Gives one reference back; the last one frees the bytes. Id 0 is ignored. */
void enf_intern_drop(struct enf_intern *pool, uint32_t id);
const char *enf_intern_bytes(const struct enf_intern *pool, uint32_t id);
void enf_intern_clear(struct enf_intern *pool);
