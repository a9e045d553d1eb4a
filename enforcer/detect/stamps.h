/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times of the last connections of one subscriber, in order: what the exact windows are counted on. Times are
 * the low 32 bits of milliseconds; who uses this prunes before anything is 49 days old. */
#pragma once

#include "enforcer/detect/budget.h"

#include <stdbool.h>
#include <stdint.h>

/* Zero value: empty. A ring whose capacity is a power of two and grows as it fills. */
struct stamps {
    uint32_t *at;
    uint32_t capacity;
    uint32_t first;
    uint32_t len;
};

/* Adds now, which is not before any other. At most max are kept, the oldest goes. False where memory was
 * short: then fewer than max are kept, and what is counted later is too little, never too much. */
bool stamps_push(struct stamps *stamps, struct budget *budget, uint32_t now, uint32_t max);
/* Drops what is per or longer ago. */
void stamps_prune(struct stamps *stamps, uint32_t now, uint32_t per);
/* How many lie in (now - per, now]. */
uint32_t stamps_count(const struct stamps *stamps, uint32_t now, uint32_t per);
/* True where more than limit lie in (now - per, now]. One look, whatever the limit. */
bool stamps_exceed(const struct stamps *stamps, uint32_t now, uint32_t per, uint32_t limit);
void stamps_clear(struct stamps *stamps, struct budget *budget);
