/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fingerprints of the connections that one subscriber opened lately, so that a retransmitted SYN counts once.
 */
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

/* True where value was added less than ENF_RETRANSMISSION_MS before now; else adds it. The time of the first
 * one stays: a SYN repeated for ever is a new connection from time to time. max is a power of two, at least
 * eight. Memory that is short shows only in what is forgotten early. */
bool prints_seen(struct prints *prints, struct budget *budget, uint32_t value, uint32_t now, uint32_t max);
void prints_clear(struct prints *prints, struct budget *budget);
