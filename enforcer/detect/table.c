/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slots in chunks that never move, an index by linear probing, a list a level. */
#include "enforcer/detect/table.h"

#include "enforcer/core/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CACHE_LINE     64
#define CHUNK_LEN      (ENF_HUGE_PAGE / sizeof(struct subscriber)) /* slots */
#define COUNTED_LEN    1024 /* slots: memory is in use from the first touch of a page on */
#define SECOND_CHANCES 4

static size_t chunks_max(size_t max)
{
    return (max + CHUNK_LEN - 1) / CHUNK_LEN;
}

/* Slots of a chunk: all, but in a table that is smaller than one. */
static size_t chunk_len(const struct table *table)
{
    return table->max < CHUNK_LEN ? table->max : CHUNK_LEN;
}

int table_init(struct table *table, size_t max, uint64_t seed)
{
    struct table fresh = {.max = max, .seed = seed, .unused = TABLE_NONE, .slots_len = 16};
    while (fresh.slots_len / 4 * 3 < max)
        fresh.slots_len *= 2;
    /* Both are as large as they ever get; pages that nobody touched cost nothing. */
    fresh.slots = calloc(fresh.slots_len, sizeof(*fresh.slots));
    fresh.chunks = calloc(chunks_max(max), sizeof(struct subscriber *));
    if (!fresh.slots || !fresh.chunks) {
        free(fresh.slots);
        free(fresh.chunks);
        return -ENOMEM;
    }
    for (size_t i = 0; i < TABLE_LEVELS; i++)
        fresh.levels[i] = (struct table_list){TABLE_NONE, TABLE_NONE};
    enf_pages_wish_huge(fresh.slots, fresh.slots_len * sizeof(*fresh.slots));
    *table = fresh;
    return 0;
}

void table_clear(struct table *table)
{
    for (size_t i = 0; i < table->chunks_len; i++)
        free(table->chunks[i]);
    free(table->chunks);
    free(table->slots);
    *table = (struct table){0};
}

static struct subscriber *slot_at(const struct table *table, uint32_t id)
{
    return &table->chunks[id / CHUNK_LEN][id % CHUNK_LEN];
}

struct subscriber *table_at(const struct table *table, uint32_t id)
{
    struct subscriber *subscriber = slot_at(table, id);
    return subscriber->key.addr.family == ENF_FAMILY_NONE ? NULL : subscriber;
}

/* --- the index --- */

static size_t next_slot(const struct table *table, size_t slot)
{
    return (slot + 1) & (table->slots_len - 1);
}

static size_t home_slot(const struct table *table, uint32_t tag)
{
    return tag & (table->slots_len - 1);
}

/* Almost all keys are one IPv4 address: one word. */
static uint32_t tag_of(const struct table *table, const struct enf_prefix *key)
{
    if (key->addr.family != ENF_FAMILY_V4)
        return (uint32_t)enf_prefix_hash(key, table->seed);
    uint32_t words[2] = {0, key->len};
    memcpy(&words[0], key->addr.bytes, sizeof(words[0]));
    return (uint32_t)XXH3_64bits_withSeed(words, sizeof(words), table->seed);
}

bool table_is(const struct subscriber *subscriber, const struct enf_prefix *key)
{
    return memcmp(&subscriber->key, key, sizeof(*key)) == 0;
}

/* The slot that holds key, or the free one where it belongs. */
static size_t probe(const struct table *table, const struct enf_prefix *key, uint32_t tag)
{
    size_t slot = home_slot(table, tag);
    while (table->slots[slot].id != 0) {
        const struct table_slot *here = &table->slots[slot];
        if (here->tag == tag && table_is(slot_at(table, here->id - 1), key))
            break;
        slot = next_slot(table, slot);
    }
    return slot;
}

struct subscriber *table_find(const struct table *table, const struct enf_prefix *key)
{
    uint32_t tag = tag_of(table, key);
    uint32_t id = table->slots[probe(table, key, tag)].id;
    return id ? slot_at(table, id - 1) : NULL;
}

uint32_t table_prefetch_index(const struct table *table, const struct enf_prefix *key)
{
    uint32_t tag = tag_of(table, key);
    __builtin_prefetch(&table->slots[home_slot(table, tag)]);
    return tag;
}

struct subscriber *table_prefetch_slot(const struct table *table, uint32_t tag)
{
    size_t slot = home_slot(table, tag);
    while (table->slots[slot].id != 0 && table->slots[slot].tag != tag)
        slot = next_slot(table, slot);
    if (table->slots[slot].id == 0)
        return NULL;
    struct subscriber *subscriber = slot_at(table, table->slots[slot].id - 1);
    __builtin_prefetch(subscriber, 1);
    __builtin_prefetch((const char *)subscriber + CACHE_LINE, 1);
    return subscriber;
}

/* Closes the gap: whatever lies behind it and could have stood there moves up. */
static void index_remove(struct table *table, size_t gap)
{
    size_t mask = table->slots_len - 1;
    for (size_t slot = next_slot(table, gap); table->slots[slot].id != 0; slot = next_slot(table, slot)) {
        size_t home = home_slot(table, table->slots[slot].tag);
        if (((slot - home) & mask) < ((slot - gap) & mask))
            continue;
        table->slots[gap] = table->slots[slot];
        gap = slot;
    }
    table->slots[gap] = (struct table_slot){0};
}

/* --- the lists by level --- */

static void list_append(struct table *table, struct subscriber *subscriber, uint32_t id)
{
    struct table_list *list = &table->levels[subscriber->level];
    subscriber->next = TABLE_NONE;
    subscriber->prev = list->last;
    if (list->last != TABLE_NONE)
        slot_at(table, list->last)->next = id;
    else
        list->first = id;
    list->last = id;
}

/* Returns the id, which its neighbours know. */
static uint32_t list_take(struct table *table, struct subscriber *subscriber)
{
    struct table_list *list = &table->levels[subscriber->level];
    uint32_t id = subscriber->prev == TABLE_NONE ? list->first : slot_at(table, subscriber->prev)->next;
    if (subscriber->prev != TABLE_NONE)
        slot_at(table, subscriber->prev)->next = subscriber->next;
    else
        list->first = subscriber->next;
    if (subscriber->next != TABLE_NONE)
        slot_at(table, subscriber->next)->prev = subscriber->prev;
    else
        list->last = subscriber->prev;
    return id;
}

void table_set_level(struct table *table, struct subscriber *subscriber, uint8_t level)
{
    uint32_t id = list_take(table, subscriber);
    subscriber->level = level;
    list_append(table, subscriber, id);
}

static struct subscriber *least_of(struct table *table, uint8_t level, const struct subscriber *except)
{
    /* The first has been in the list longest. If it came again meanwhile it goes behind the others once more:
     * that keeps the order by last visit roughly, without moving anybody at each visit. */
    for (unsigned chances = SECOND_CHANCES;; chances--) {
        uint32_t id = table->levels[level].first;
        if (id != TABLE_NONE && slot_at(table, id) == except)
            id = except->next;
        if (id == TABLE_NONE)
            return NULL;
        struct subscriber *candidate = slot_at(table, id);
        if (!(candidate->flags & SUBSCRIBER_TOUCHED) || chances == 0)
            return candidate;
        candidate->flags &= (uint8_t)~SUBSCRIBER_TOUCHED;
        table_set_level(table, candidate, level);
    }
}

struct subscriber *table_least(struct table *table, uint8_t level_min, const struct subscriber *except)
{
    for (uint8_t level = level_min; level < TABLE_LEVELS; level++) {
        struct subscriber *found = least_of(table, level, except);
        if (found)
            return found;
    }
    return NULL;
}

/* --- adding and removing --- */

static uint32_t take_id(struct table *table)
{
    uint32_t id = table->unused;
    if (id != TABLE_NONE) {
        table->unused = slot_at(table, id)->next;
        return id;
    }
    if (table->used == table->chunks_len * CHUNK_LEN) {
        size_t size = chunk_len(table) * sizeof(struct subscriber);
        struct subscriber *chunk = aligned_alloc(size < ENF_HUGE_PAGE ? CACHE_LINE : ENF_HUGE_PAGE, size);
        if (!chunk)
            return TABLE_NONE;
        enf_pages_wish_huge(chunk, size);
        table->chunks[table->chunks_len++] = chunk;
    }
    return table->used++;
}

static void count_key(struct table *table, const struct enf_prefix *key, uint32_t by)
{
    if (key->addr.family == ENF_FAMILY_V4)
        table->v4_len += by;
    else
        table->v6_by_len[key->len <= 128 ? key->len : 128] += by;
}

struct subscriber *table_add(struct table *table, const struct enf_prefix *key)
{
    uint32_t id = take_id(table);
    if (id == TABLE_NONE)
        return NULL;
    uint32_t tag = tag_of(table, key);
    table->slots[probe(table, key, tag)] = (struct table_slot){tag, id + 1};
    struct subscriber *subscriber = slot_at(table, id);
    *subscriber = (struct subscriber){.key = *key, .capacity = 1};
    list_append(table, subscriber, id);
    count_key(table, key, 1);
    table->len++;
    return subscriber;
}

void table_remove(struct table *table, struct subscriber *subscriber)
{
    uint32_t tag = tag_of(table, &subscriber->key);
    index_remove(table, probe(table, &subscriber->key, tag));
    uint32_t id = list_take(table, subscriber);
    count_key(table, &subscriber->key, UINT32_MAX);
    *subscriber = (struct subscriber){.next = table->unused};
    table->unused = id;
    table->len--;
}

bool table_may_hold_several(const struct table *table, const struct enf_prefix *prefix)
{
    if (prefix->addr.family == ENF_FAMILY_V4)
        return prefix->len < 32;
    for (size_t len = prefix->len + 1U; len <= 128; len++)
        if (table->v6_by_len[len] > 0)
            return true;
    return false;
}

size_t table_bytes(const struct table *table)
{
    return (table->used + COUNTED_LEN - 1) / COUNTED_LEN * COUNTED_LEN * sizeof(struct subscriber) +
           table->slots_len * sizeof(*table->slots) + chunks_max(table->max) * sizeof(struct subscriber *);
}
