/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring of things that a subscriber did, in order of time, that grows up to a limit and then loses the
 * oldest. */
#pragma once

#include "enforcer/detect/budget.h"
#include "enforcer/detect/connection.h"

#include <stdbool.h>
#include <stdint.h>

/* Zero value: empty. */
struct trail {
    struct connection *at;
    uint16_t capacity; /* 0 or a power of two */
    uint16_t first;
    uint16_t len;
};

/* max is a power of two, at least 4. False where memory was short: then fewer are kept. */
bool trail_push(struct trail *trail, struct budget *budget, const struct connection *what, uint16_t max);
/* The i-th, 0 being the oldest. */
struct connection *trail_at(const struct trail *trail, uint32_t i);
/* Takes the i-th out; the order of the others stays. */
void trail_remove(struct trail *trail, uint32_t i);
/* Copies the last `len` of them, of which there must be so many. */
void trail_copy(const struct trail *trail, uint32_t len, struct connection *out);
void trail_clear(struct trail *trail, struct budget *budget);
