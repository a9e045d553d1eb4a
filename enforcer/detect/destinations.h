/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The destinations that one subscriber reached lately, each once, in order of their last connection. Exact:
 * to know whether more than N lie in a window it is enough to keep the last N + 1. */
#pragma once

#include "enforcer/detect/budget.h"
#include "enforcer/detect/connection.h"

#include <stdbool.h>
#include <stdint.h>

struct destination {
    uint8_t address[16]; /* as in struct connection */
    uint32_t time;       /* of the last connection, low 32 bits of milliseconds */
    uint16_t newer;
    uint16_t older;
    uint16_t chain; /* the next in its bucket, or in the list of free ones */
    uint16_t hash;
    uint16_t port;
    uint8_t flags;
};

#define DESTINATION_NONE UINT16_MAX

/* Zero value: empty. */
struct destinations {
    struct destination *nodes;
    uint16_t *buckets; /* bucket_count of them, in the same piece of memory behind the nodes */
    uint32_t bucket_count;
    uint16_t capacity;
    uint16_t len;
    uint16_t newest; /* these three mean something only where capacity is not zero */
    uint16_t oldest;
    uint16_t unused;
};

/* Drops what is per or longer ago. */
void destinations_prune(struct destinations *set, uint32_t now, uint32_t per);
/* Notes a connection. hash is a seeded one of the destination. At most max (below DESTINATION_NONE) are kept,
 * the one longest ago goes. False where memory was short: then fewer are kept. */
bool destinations_add(struct destinations *set, struct budget *budget, const struct connection *connection,
                      uint16_t hash, uint32_t max);
/* How many lie in (now - per, now]. */
uint32_t destinations_count(const struct destinations *set, uint32_t now, uint32_t per);
/* Empties the set and keeps its memory. */
void destinations_reset(struct destinations *set);
void destinations_clear(struct destinations *set, struct budget *budget);
