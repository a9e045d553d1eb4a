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

/* Of a value: its slot, or NULL; where it is NULL, a free or outlived slot for it, or NULL. */
struct place {
    struct print *found;
    struct print *room;
};

/* One look at both buckets, which are in two cache lines. */
static struct place place_of(const struct prints *prints, uint32_t value, uint32_t now, uint32_t young_ms)
{
    struct place place = {0};
    for (unsigned which = 0; which < 2; which++) {
        struct print *bucket = bucket_of(prints, value, which);
        for (unsigned i = 0; i < PRINTS_BUCKET; i++) {
            bool young = is_young(&bucket[i], now, young_ms);
            if (young && bucket[i].value == value) {
                place.found = &bucket[i];
                return place;
            }
            if (!young && !place.room)
                place.room = &bucket[i];
        }
        if (prints->len == PRINTS_BUCKET)
            break; /* both are the same */
    }
    return place;
}

static struct print *oldest(struct print *bucket, uint32_t now)
{
    struct print *found = &bucket[0];
    for (unsigned i = 1; i < PRINTS_BUCKET; i++)
        if (now - bucket[i].time > now - found->time)
            found = &bucket[i];
    return found;
}

bool prints_reserve(struct prints *prints, struct budget *budget, uint32_t len)
{
    prints->slots = budget_alloc(budget, len * sizeof(*prints->slots));
    prints->len = prints->slots ? len : 0;
    return prints->slots;
}

static bool grow(struct prints *prints, struct budget *budget, uint32_t now, uint32_t young_ms)
{
    struct prints bigger;
    if (!prints_reserve(&bigger, budget, prints->len ? prints->len * 2 : PRINTS_BUCKET))
        return false;
    for (uint32_t i = 0; i < prints->len; i++) {
        if (!is_young(&prints->slots[i], now, young_ms))
            continue;
        struct print *room = place_of(&bigger, prints->slots[i].value, now, young_ms).room;
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
    struct place place = place_of(prints, value, now, rule->young_ms);
    if (place.found) {
        if (rule->refresh)
            place.found->time = now;
        return true;
    }
    while (!place.room && prints->len < rule->max && grow(prints, budget, now, rule->young_ms))
        place = place_of(prints, value, now, rule->young_ms);
    if (!place.room && rule->full_is_seen)
        return true;
    if (!place.room)
        place.room = oldest(bucket_of(prints, value, 0), now);
    *place.room = (struct print){value, now};
    return false;
}

void prints_clear(struct prints *prints, struct budget *budget)
{
    budget_free(budget, prints->slots, prints->len * sizeof(*prints->slots));
    *prints = (struct prints){0};
}
