/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pool of counted byte strings: chained hash over an array of slots with a free list. */
#include "enforcer/policy/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static int slots_grow(struct enf_intern *pool)
{
    uint32_t cap = pool->slots_cap ? pool->slots_cap * 2 : 64;
    struct enf_intern_slot *slots = realloc(pool->slots, cap * sizeof(*slots));

    if (!slots)
        return -ENOMEM;
    pool->slots = slots;
    pool->slots_cap = cap;
    if (!pool->slots_len)
        pool->slots_len = 1; /* id 0 means none */
    return 0;
}

static int buckets_grow(struct enf_intern *pool)
{
    uint32_t len = pool->buckets_len ? pool->buckets_len * 2 : 64;
    uint32_t *buckets = calloc(len, sizeof(*buckets));

    if (!buckets)
        return -ENOMEM;
    for (uint32_t id = 1; id < pool->slots_len; id++) {
        struct enf_intern_slot *slot = &pool->slots[id];

        if (!slot->bytes)
            continue;
        slot->next = buckets[slot->hash & (len - 1)];
        buckets[slot->hash & (len - 1)] = id;
    }
    free(pool->buckets);
    pool->buckets = buckets;
    pool->buckets_len = len;
    return 0;
}

static uint32_t lookup(const struct enf_intern *pool, const char *bytes, uint32_t len, uint32_t hash)
{
    uint32_t id = pool->buckets_len ? pool->buckets[hash & (pool->buckets_len - 1)] : 0;

    while (id) {
        const struct enf_intern_slot *slot = &pool->slots[id];

        if (slot->hash == hash && slot->len == len && memcmp(slot->bytes, bytes, len) == 0)
            break;
        id = slot->next;
    }
    return id;
}

int enf_intern_take(struct enf_intern *pool, const char *bytes, uint32_t len, uint32_t *out_id)
{
    uint32_t hash = (uint32_t)XXH3_64bits_withSeed(bytes, len, pool->seed);
    uint32_t id = lookup(pool, bytes, len, hash);
    char *copy;

    if (id) {
        pool->slots[id].refs++;
        *out_id = id;
        return 0;
    }
    if (!pool->free && pool->slots_len == pool->slots_cap && slots_grow(pool) < 0)
        return -ENOMEM;
    if (pool->used >= pool->buckets_len && buckets_grow(pool) < 0)
        return -ENOMEM;
    copy = malloc(len ? len : 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, bytes, len);

    if (pool->free) {
        id = pool->free;
        pool->free = pool->slots[id].refs;
    } else {
        id = pool->slots_len++;
    }
    pool->slots[id] = (struct enf_intern_slot){
        .bytes = copy,
        .len = len,
        .refs = 1,
        .next = pool->buckets[hash & (pool->buckets_len - 1)],
        .hash = hash,
    };
    pool->buckets[hash & (pool->buckets_len - 1)] = id;
    pool->used++;
    *out_id = id;
    return 0;
}

void enf_intern_ref(struct enf_intern *pool, uint32_t id)
{
    pool->slots[id].refs++;
}

void enf_intern_drop(struct enf_intern *pool, uint32_t id)
{
    struct enf_intern_slot *slot;
    uint32_t *link;

    if (!id)
        return;
    slot = &pool->slots[id];
    if (--slot->refs)
        return;
    link = &pool->buckets[slot->hash & (pool->buckets_len - 1)];
    while (*link != id)
        link = &pool->slots[*link].next;
    *link = slot->next;
    free(slot->bytes);
    slot->bytes = NULL;
    slot->refs = pool->free;
    pool->free = id;
    pool->used--;
}

const char *enf_intern_bytes(const struct enf_intern *pool, uint32_t id)
{
    return pool->slots[id].bytes;
}

void enf_intern_clear(struct enf_intern *pool)
{
    for (uint32_t id = 1; id < pool->slots_len; id++)
        free(pool->slots[id].bytes);
    free(pool->slots);
    free(pool->buckets);
    *pool = (struct enf_intern){.seed = pool->seed};
}
