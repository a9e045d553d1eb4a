/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hash table whose entries also form a list by age. */
#include "enforcer/detect/destinations.h"

#include <string.h>

#define CAPACITY_MIN 4

static size_t memory_size(uint32_t capacity, uint32_t bucket_count)
{
    return capacity * sizeof(struct destination) + bucket_count * sizeof(uint16_t);
}

static uint16_t *bucket_of(const struct destinations *set, uint16_t hash)
{
    return &set->buckets[hash & (set->bucket_count - 1)];
}

static void chain_in(struct destinations *set, uint16_t id)
{
    uint16_t *bucket = bucket_of(set, set->nodes[id].hash);
    set->nodes[id].chain = *bucket;
    *bucket = id;
}

static void chain_out(struct destinations *set, uint16_t id)
{
    uint16_t *link = bucket_of(set, set->nodes[id].hash);
    while (*link != id)
        link = &set->nodes[*link].chain;
    *link = set->nodes[id].chain;
}

static void list_in(struct destinations *set, uint16_t id)
{
    struct destination *node = &set->nodes[id];
    node->older = set->newest;
    node->newer = DESTINATION_NONE;
    if (set->newest != DESTINATION_NONE)
        set->nodes[set->newest].newer = id;
    else
        set->oldest = id;
    set->newest = id;
}

static void list_out(struct destinations *set, uint16_t id)
{
    struct destination *node = &set->nodes[id];
    if (node->newer != DESTINATION_NONE)
        set->nodes[node->newer].older = node->older;
    else
        set->newest = node->older;
    if (node->older != DESTINATION_NONE)
        set->nodes[node->older].newer = node->newer;
    else
        set->oldest = node->newer;
}

static void drop_oldest(struct destinations *set)
{
    uint16_t id = set->oldest;
    list_out(set, id);
    chain_out(set, id);
    set->nodes[id].chain = set->unused;
    set->unused = id;
    set->len--;
}

void destinations_reset(struct destinations *set)
{
    if (set->capacity == 0)
        return;
    memset(set->buckets, 0xff, set->bucket_count * sizeof(*set->buckets));
    for (uint32_t i = 0; i < set->capacity; i++)
        set->nodes[i].chain = i + 1U < set->capacity ? (uint16_t)(i + 1) : DESTINATION_NONE;
    set->unused = 0;
    set->newest = DESTINATION_NONE;
    set->oldest = DESTINATION_NONE;
    set->len = 0;
}

static bool grow(struct destinations *set, struct budget *budget, uint32_t max)
{
    struct destinations bigger = {.bucket_count = CAPACITY_MIN};
    uint32_t capacity = set->capacity ? set->capacity * 2U : CAPACITY_MIN;
    if (capacity > max)
        capacity = max;
    while (bigger.bucket_count < capacity)
        bigger.bucket_count *= 2;
    bigger.nodes = budget_alloc(budget, memory_size(capacity, bigger.bucket_count));
    if (!bigger.nodes)
        return false;
    bigger.capacity = (uint16_t)capacity;
    bigger.buckets = (uint16_t *)(void *)(bigger.nodes + capacity);
    destinations_reset(&bigger);
    for (uint16_t id = set->len ? set->oldest : DESTINATION_NONE; id != DESTINATION_NONE;
         id = set->nodes[id].newer) {
        uint16_t copy = bigger.unused;
        bigger.unused = bigger.nodes[copy].chain;
        bigger.nodes[copy] = set->nodes[id];
        bigger.len++;
        list_in(&bigger, copy);
        chain_in(&bigger, copy);
    }
    destinations_clear(set, budget);
    *set = bigger;
    return true;
}

void destinations_prune(struct destinations *set, uint32_t now, uint32_t per)
{
    while (set->len > 0 && now - set->nodes[set->oldest].time >= per)
        drop_oldest(set);
}

static uint16_t find(const struct destinations *set, const uint8_t address[static 16], uint16_t hash)
{
    if (set->capacity == 0)
        return DESTINATION_NONE;
    uint16_t id = *bucket_of(set, hash);
    while (id != DESTINATION_NONE && memcmp(set->nodes[id].address, address, 16) != 0)
        id = set->nodes[id].chain;
    return id;
}

/* A free node, which the list and the buckets do not know yet; or none. */
static uint16_t take_unused(struct destinations *set)
{
    uint16_t id = set->unused;
    set->unused = set->nodes[id].chain;
    set->len++;
    return id;
}

bool destinations_add(struct destinations *set, struct budget *budget, const struct connection *connection,
                      uint16_t hash, uint32_t max)
{
    bool whole = true;
    uint16_t id = find(set, connection->destination, hash);
    if (id != DESTINATION_NONE) {
        list_out(set, id);
    } else {
        while (set->len >= max && set->len > 0)
            drop_oldest(set);
        if (set->len == set->capacity && !grow(set, budget, max)) {
            whole = false;
            if (set->len == 0)
                return whole;
            drop_oldest(set);
        }
        id = take_unused(set);
        memcpy(set->nodes[id].address, connection->destination, 16);
        set->nodes[id].hash = hash;
        chain_in(set, id);
    }
    set->nodes[id].time = (uint32_t)connection->time_ms;
    set->nodes[id].port = connection->destination_port;
    set->nodes[id].flags = connection->flags;
    list_in(set, id);
    return whole;
}

uint32_t destinations_count(const struct destinations *set, uint32_t now, uint32_t per)
{
    uint32_t count = 0;
    if (set->len == 0)
        return 0;
    for (uint16_t id = set->newest; id != DESTINATION_NONE && now - set->nodes[id].time < per;
         id = set->nodes[id].older)
        count++;
    return count;
}

void destinations_clear(struct destinations *set, struct budget *budget)
{
    budget_free(budget, set->nodes, memory_size(set->capacity, set->bucket_count));
    *set = (struct destinations){0};
}
