/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fingerprints of what one subscriber did lately, so that it counts once: connections, whose SYN may come
 * again; servers, of which only the first contact is evidence. */
#pragma once

#include "enforcer/detect/budget.h"

#include <stdbool.h>
#include <stdint.h>

struct print {
    uint32_t value; /* 0: free */
    uint32_t time;  /* low 32 bits of milliseconds */
};

/* Zero value: empty. Buckets of eight, one cache line each, two for every value. Where both are full of young
 * ones the set doubles, and at the cap the oldest of the first one goes. */
struct prints {
    struct print *slots;
    uint32_t len; /* slots: 0 or a power of two, at least eight */
};

#define PRINTS_BUCKET 8

/* How long and how many. */
struct prints_rule {
    uint32_t young_ms; /* what is older is forgotten */
    uint32_t max;      /* slots: a power of two, at least eight */
    bool refresh; /* what is seen again is young again. Without: the time of the first one stays, so that a
                     SYN repeated for ever is a new connection from time to time */
    bool full_is_seen; /* a full memory says that everything was seen. Without: the oldest goes */
};

/* Makes room for len values (a power of two, at least eight) in an empty set, where so many are sure to come:
 * it need not grow step by step. False where memory is short; it stays empty and may grow later. */
bool prints_reserve(struct prints *prints, struct budget *budget, uint32_t len);
/* True where value was added less than young_ms before now; else adds it. Memory that is short is a full one.
 */
bool prints_seen(struct prints *prints, struct budget *budget, uint32_t value, uint32_t now,
                 const struct prints_rule *rule);
void prints_clear(struct prints *prints, struct budget *budget);
