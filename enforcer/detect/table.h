/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All subscribers that are tracked: found by hash, kept in lists by how suspicious they are, so that the
 * least suspicious is at hand when one has to go. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/detect/connection.h"
#include "enforcer/detect/sequential.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_NONE            UINT32_MAX
#define TABLE_LEVELS          16
#define TABLE_LEVEL_CONVICTED (TABLE_LEVELS - 1)

struct many;       /* see activity.h */
struct conviction; /* see conviction.h */

enum {
    SUBSCRIBER_TOUCHED = 1,   /* came again since the last search for one to forget */
    SUBSCRIBER_FORGEABLE = 2, /* forgeable means something */
    SUBSCRIBER_SERVER = 4,    /* may have a mail server: many connections are no suspicion */
};

/* Two cache lines, and of a connection nothing else but its place in the ring is touched. Who came once needs
 * no ring; activity.h tells how more is kept. */
struct subscriber {
    _Alignas(64) struct enf_prefix key;
    uint8_t level; /* which list; see detector.c. May be too high until the next look for silent ones */
    uint8_t flags;
    uint8_t capacity; /* of the ring of connections: a power of two; 1 is `only` */
    uint8_t first;
    uint8_t len;
    uint32_t keep_ms;   /* silence after which nothing here counts any more */
    uint32_t forgeable; /* time of the last forgeable connection, low 32 bits of milliseconds */
    uint64_t last_ms;
    struct connection *ring;       /* where capacity is more than 1; see activity.h */
    struct many *many;             /* NULL while the ring holds all that is remembered */
    struct conviction *conviction; /* the last one, or NULL */
    uint64_t first_ms;
    uint32_t prev, next; /* in the list of its level; next also in the list of free slots */
    uint32_t connections;
    uint32_t blocked;
    uint32_t retransmissions;
    uint32_t convictions;
    union {
        struct connection only;           /* where there is no ring */
        struct enf_sequential sequential; /* where there is one */
    };
};
_Static_assert(sizeof(struct subscriber) == 128, "a subscriber takes two cache lines");

struct table_slot {
    uint32_t tag; /* low half of the hash: also says where the slot belongs */
    uint32_t id;  /* + 1; 0: free */
};

struct table_list {
    uint32_t first, last;
};

struct table {
    struct subscriber **chunks; /* each of a huge page, where the table is large */
    size_t chunks_len;
    struct table_slot *slots;
    size_t slots_len; /* a power of two */
    uint32_t unused;  /* first of the freed ids */
    uint32_t used;    /* ids ever given out: those below may be in use */
    size_t len;
    size_t max;
    uint64_t seed;
    struct table_list levels[TABLE_LEVELS];
    uint32_t v4_len;
    uint32_t v6_by_len[129];
};

/* 0 or -ENOMEM with nothing to free. */
int table_init(struct table *table, size_t max, uint64_t seed);
/* The caller has released what its subscribers point to. */
void table_clear(struct table *table);

struct subscriber *table_find(const struct table *table, const struct enf_prefix *key);
/* The same in two steps for those who wait for memory: asks for the place in the index; then for the slot
 * that is probably meant, which is returned (or NULL) and may be another one. */
uint32_t table_prefetch_index(const struct table *table, const struct enf_prefix *key);
struct subscriber *table_prefetch_slot(const struct table *table, uint32_t tag);
/* True where a slot, once given out, is that of key now. */
bool table_is(const struct subscriber *subscriber, const struct enf_prefix *key);
/* key is not in the table, and the table is not full. NULL without memory. */
struct subscriber *table_add(struct table *table, const struct enf_prefix *key);
void table_remove(struct table *table, struct subscriber *subscriber);
void table_set_level(struct table *table, struct subscriber *subscriber, uint8_t level);

/* The least suspicious at level_min or above, but not `except`; or NULL. */
struct subscriber *table_least(struct table *table, uint8_t level_min, const struct subscriber *except);

/* By number, from 0 to table->used: NULL for one that is free. */
struct subscriber *table_at(const struct table *table, uint32_t id);

/* False where prefix can hold no subscriber but the one that equals it. */
bool table_may_hold_several(const struct table *table, const struct enf_prefix *prefix);

/* What is in use, all subscribers' slots and the index. */
size_t table_bytes(const struct table *table);
