/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring of connections and of what came of them. */
#include "enforcer/detect/trail.h"

#define CAPACITY_MIN 4

struct connection *trail_at(const struct trail *trail, uint32_t i)
{
    return &trail->at[(trail->first + i) & (trail->capacity - 1U)];
}

static bool grow(struct trail *trail, struct budget *budget)
{
    struct trail bigger = {.capacity = trail->capacity ? (uint16_t)(trail->capacity * 2) : CAPACITY_MIN,
                           .len = trail->len};
    bigger.at = budget_alloc(budget, bigger.capacity * sizeof(*bigger.at));
    if (!bigger.at)
        return false;
    for (uint32_t i = 0; i < trail->len; i++)
        bigger.at[i] = *trail_at(trail, i);
    trail_clear(trail, budget);
    *trail = bigger;
    return true;
}

bool trail_push(struct trail *trail, struct budget *budget, const struct connection *what, uint16_t max)
{
    bool whole = true;
    if (trail->len == trail->capacity) {
        if (trail->capacity < max)
            whole = grow(trail, budget);
        if (trail->capacity == 0)
            return false;
        if (trail->len == trail->capacity)
            trail_remove(trail, 0);
    }
    trail->len++;
    *trail_at(trail, trail->len - 1U) = *what;
    return whole;
}

void trail_remove(struct trail *trail, uint32_t i)
{
    if (i == 0) {
        trail->first = (uint16_t)((trail->first + 1U) & (trail->capacity - 1U));
    } else {
        for (uint32_t k = i; k + 1 < trail->len; k++)
            *trail_at(trail, k) = *trail_at(trail, k + 1);
    }
    trail->len--;
}

void trail_copy(const struct trail *trail, uint32_t len, struct connection *out)
{
    for (uint32_t i = 0; i < len; i++)
        out[i] = *trail_at(trail, trail->len - len + i);
}

void trail_clear(struct trail *trail, struct budget *budget)
{
    budget_free(budget, trail->at, trail->capacity * sizeof(*trail->at));
    *trail = (struct trail){0};
}
