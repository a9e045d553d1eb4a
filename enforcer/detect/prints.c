/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small set-associative memory with a time limit. */
#include "enforcer/detect/prints.h"

#include "enforcer/detect/detector.h"

static bool is_young(const struct print *print, uint32_t now)
{
    return print->value != 0 && now - print->time < ENF_RETRANSMISSION_MS;
}

static struct print *bucket_of(const struct prints *prints, uint32_t value)
{
    uint32_t buckets = prints->len / PRINTS_BUCKET;
    return prints->slots + (size_t)(value & (buckets - 1)) * PRINTS_BUCKET;
}

/* A free or outlived slot; otherwise NULL. */
static struct print *find_room(struct print *bucket, uint32_t now)
{
    for (unsigned i = 0; i < PRINTS_BUCKET; i++)
        if (!is_young(&bucket[i], now))
            return &bucket[i];
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

static bool grow(struct prints *prints, struct budget *budget, uint32_t now)
{
    struct prints bigger = {.len = prints->len ? prints->len * 2 : PRINTS_BUCKET};
    bigger.slots = budget_alloc(budget, bigger.len * sizeof(*bigger.slots));
    if (!bigger.slots)
        return false;
    /* A bucket falls into two, so all of it finds room. */
    for (uint32_t i = 0; i < prints->len; i++) {
        if (!is_young(&prints->slots[i], now))
            continue;
        struct print *room = find_room(bucket_of(&bigger, prints->slots[i].value), now);
        if (room)
            *room = prints->slots[i];
    }
    prints_clear(prints, budget);
    *prints = bigger;
    return true;
}

bool prints_seen(struct prints *prints, struct budget *budget, uint32_t value, uint32_t now, uint32_t max)
{
    if (prints->len == 0 && !grow(prints, budget, now))
        return false;
    struct print *bucket = bucket_of(prints, value);
    for (unsigned i = 0; i < PRINTS_BUCKET; i++)
        if (bucket[i].value == value && is_young(&bucket[i], now))
            return true;
    struct print *room = find_room(bucket, now);
    while (!room && prints->len < max && grow(prints, budget, now))
        room = find_room(bucket_of(prints, value), now);
    if (!room)
        room = oldest(bucket_of(prints, value), now);
    *room = (struct print){value, now};
    return false;
}

void prints_clear(struct prints *prints, struct budget *budget)
{
    budget_free(budget, prints->slots, prints->len * sizeof(*prints->slots));
    *prints = (struct prints){0};
}
