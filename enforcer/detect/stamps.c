/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring of times. */
#include "enforcer/detect/stamps.h"

#define CAPACITY_MIN 16 /* whoever has stamps had eight connections: a cache line from the start */

static uint32_t stamp(const struct stamps *stamps, uint32_t i)
{
    return stamps->at[(stamps->first + i) & (stamps->capacity - 1)];
}

static void drop_oldest(struct stamps *stamps)
{
    stamps->first = (stamps->first + 1) & (stamps->capacity - 1);
    stamps->len--;
}

static bool grow(struct stamps *stamps, struct budget *budget)
{
    uint32_t capacity = stamps->capacity ? stamps->capacity * 2 : CAPACITY_MIN;
    uint32_t *at = budget_alloc(budget, capacity * sizeof(*at));
    if (!at)
        return false;
    for (uint32_t i = 0; i < stamps->len; i++)
        at[i] = stamp(stamps, i);
    budget_free(budget, stamps->at, stamps->capacity * sizeof(*at));
    stamps->at = at;
    stamps->capacity = capacity;
    stamps->first = 0;
    return true;
}

bool stamps_push(struct stamps *stamps, struct budget *budget, uint32_t now, uint32_t max)
{
    bool whole = true;
    while (stamps->len >= max && stamps->len > 0)
        drop_oldest(stamps);
    if (stamps->len == stamps->capacity && !grow(stamps, budget)) {
        whole = false;
        if (stamps->len == 0)
            return whole;
        drop_oldest(stamps);
    }
    stamps->at[(stamps->first + stamps->len) & (stamps->capacity - 1)] = now;
    stamps->len++;
    return whole;
}

void stamps_prune(struct stamps *stamps, uint32_t now, uint32_t per)
{
    while (stamps->len > 0 && now - stamp(stamps, 0) >= per)
        drop_oldest(stamps);
}

uint32_t stamps_count(const struct stamps *stamps, uint32_t now, uint32_t per)
{
    /* The first one inside, by bisection: ages fall from the oldest to the newest. */
    uint32_t low = 0;
    uint32_t high = stamps->len;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (now - stamp(stamps, middle) >= per)
            low = middle + 1;
        else
            high = middle;
    }
    return stamps->len - low;
}

bool stamps_exceed(const struct stamps *stamps, uint32_t now, uint32_t per, uint32_t limit)
{
    return stamps->len > limit && now - stamp(stamps, stamps->len - 1 - limit) < per;
}

void stamps_clear(struct stamps *stamps, struct budget *budget)
{
    budget_free(budget, stamps->at, stamps->capacity * sizeof(*stamps->at));
    *stamps = (struct stamps){0};
}
