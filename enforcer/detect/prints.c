/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small set-associative memory with a time limit. */
#include "enforcer/detect/prints.h"

static bool is_young(const struct print *print, uint32_t now, uint32_t young_ms)
{
    return print->value != 0 && now - print->time < young_ms;
}

/* Two buckets for each value, from different bits of it: the second takes what the first has no room for, so
 * that nothing is forgotten early before the set is almost full. */
static struct print *bucket_of(const struct prints *prints, uint32_t value, unsigned which)
{
    uint32_t buckets = prints->len / PRINTS_BUCKET;
    uint32_t bits = which ? value >> 16 : value;
    return prints->slots + (size_t)(bits & (buckets - 1)) * PRINTS_BUCKET;
}

/* A free or outlived slot; otherwise NULL. */
static struct print *find_room(const struct prints *prints, uint32_t value, uint32_t now, uint32_t young_ms)
{
    for (unsigned which = 0; which < 2; which++) {
        struct print *bucket = bucket_of(prints, value, which);
        for (unsigned i = 0; i < PRINTS_BUCKET; i++)
            if (!is_young(&bucket[i], now, young_ms))
                return &bucket[i];
    }
    return NULL;
}

static struct print *find(const struct prints *prints, uint32_t value, uint32_t now, uint32_t young_ms)
{
    for (unsigned which = 0; which < 2; which++) {
        struct print *bucket = bucket_of(prints, value, which);
        for (unsigned i = 0; i < PRINTS_BUCKET; i++)
            if (bucket[i].value == value && is_young(&bucket[i], now, young_ms))
                return &bucket[i];
    }
    return NULL;
}

static struct print *oldest(struct print *bucket, uint32_t now)
{
    struct print *found = &bucket[0];
    for (unsigned i = 1; i < PRINTS_BUCKET; i++)
        if (now - bucket[i].time > now - found->time)
            found = &bucket[i];
    return found;
}

static bool grow(struct prints *prints, struct budget *budget, uint32_t now, uint32_t young_ms)
{
    struct prints bigger = {.len = prints->len ? prints->len * 2 : PRINTS_BUCKET};
    bigger.slots = budget_alloc(budget, bigger.len * sizeof(*bigger.slots));
    if (!bigger.slots)
        return false;
    for (uint32_t i = 0; i < prints->len; i++) {
        if (!is_young(&prints->slots[i], now, young_ms))
            continue;
        struct print *room = find_room(&bigger, prints->slots[i].value, now, young_ms);
        if (room) /* twice as many slots as there are values: as good as always */
            *room = prints->slots[i];
    }
    prints_clear(prints, budget);
    *prints = bigger;
    return true;
}

bool prints_seen(struct prints *prints, struct budget *budget, uint32_t value, uint32_t now,
                 const struct prints_rule *rule)
{
    if (prints->len == 0 && !grow(prints, budget, now, rule->young_ms))
        return rule->full_is_seen;
    struct print *found = find(prints, value, now, rule->young_ms);
    if (found) {
        if (rule->refresh)
            found->time = now;
        return true;
    }
    struct print *room = find_room(prints, value, now, rule->young_ms);
    while (!room && prints->len < rule->max && grow(prints, budget, now, rule->young_ms))
        room = find_room(prints, value, now, rule->young_ms);
    if (!room && rule->full_is_seen)
        return true;
    if (!room)
        room = oldest(bucket_of(prints, value, 0), now);
    *room = (struct print){value, now};
    return false;
}

void prints_clear(struct prints *prints, struct budget *budget)
{
    budget_free(budget, prints->slots, prints->len * sizeof(*prints->slots));
    *prints = (struct prints){0};
}
