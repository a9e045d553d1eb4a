/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open intervals by key: a hash to records in chunks, and a queue by start, which is also the order in which
 * they end. */
#include "enforcer/policy/aggregate.h"
#include "enforcer/core/pages.h"
#include "enforcer/core/text.h"
#include "enforcer/policy/keymap.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK   ((uint32_t)(ENF_HUGE_PAGE / sizeof(struct record)))
#define COMMONS ENF_EVENT_ACTION_COUNT /* records 1 to COMMONS: one an action, for keys beyond the cap */

/* What every packet touches comes first, in one cache line. */
struct record {
    _Alignas(64) uint64_t start_ms;
    uint64_t count;   /* not told yet */
    uint32_t earlier; /* in the queue; of a free one: the next free one */
    uint32_t later;
    uint16_t destinations_len;
    bool open;
    struct enf_addr destinations[ENF_EVENT_DESTINATIONS_MAX];
    struct enf_aggregate_packet first; /* of the open interval; while count > 0 */
};
_Static_assert(offsetof(struct record, destinations[1]) <= 64, "the first destination is in the first line");

struct enf_aggregate {
    struct enf_keymap map;
    struct record **chunks;
    uint32_t chunks_len;
    uint32_t records_len; /* record 0 is the queue's head: .later is the first to end, .earlier the last */
    uint32_t free;
    uint64_t interval_ms;
    size_t max_keys;
};

static struct record *record_at(const struct enf_aggregate *aggregate, uint32_t id)
{
    return &aggregate->chunks[id / CHUNK][id % CHUNK];
}

static int chunk_add(struct enf_aggregate *aggregate)
{
    struct record **chunks;

    chunks = realloc(aggregate->chunks, (aggregate->chunks_len + 1) * sizeof(struct record *));
    if (!chunks)
        return -ENOMEM;
    aggregate->chunks = chunks;
    struct record *chunk = aligned_alloc(ENF_HUGE_PAGE, ENF_HUGE_PAGE);
    if (!chunk)
        return -ENOMEM;
    /* The first one takes small pages, as they are needed: many never see more than a few keys. */
    if (aggregate->chunks_len > 0)
        enf_pages_wish_huge(chunk, ENF_HUGE_PAGE);
    else
        memset(chunk, 0, (1 + COMMONS) * sizeof(*chunk));
    chunks[aggregate->chunks_len++] = chunk;
    return 0;
}

int enf_aggregate_set_interval(struct enf_aggregate *aggregate, uint64_t interval_ms)
{
    if (!interval_ms || interval_ms > ENF_DURATION_MAX)
        return -EINVAL;
    aggregate->interval_ms = interval_ms;
    return 0;
}

int enf_aggregate_new(uint64_t interval_ms, size_t max_keys, uint64_t seed, struct enf_aggregate **out)
{
    struct enf_aggregate *aggregate;

    if (!interval_ms || interval_ms > ENF_DURATION_MAX || !max_keys || max_keys > ENF_AGGREGATE_KEYS_LIMIT)
        return -EINVAL;
    aggregate = calloc(1, sizeof(*aggregate));
    if (!aggregate)
        return -ENOMEM;
    *aggregate = (struct enf_aggregate){
        .map = {.seed = seed}, .records_len = 1 + COMMONS, .interval_ms = interval_ms, .max_keys = max_keys};
    _Static_assert(1 + COMMONS <= CHUNK, "the first chunk holds the head and the common records");
    if (chunk_add(aggregate) < 0) {
        enf_aggregate_free(&aggregate);
        return -ENOMEM;
    }
    *out = aggregate;
    return 0;
}

void enf_aggregate_free(struct enf_aggregate **aggregate)
{
    if (!*aggregate)
        return;
    for (uint32_t i = 0; i < (*aggregate)->chunks_len; i++)
        free((*aggregate)->chunks[i]);
    free((*aggregate)->chunks);
    enf_keymap_clear(&(*aggregate)->map);
    free(*aggregate);
    *aggregate = NULL;
}

size_t enf_aggregate_keys(const struct enf_aggregate *aggregate)
{
    return aggregate->map.used;
}

/* --- the queue ---------------------------------------------------------------------------------------------
 */

static void queue_remove(struct enf_aggregate *aggregate, uint32_t id)
{
    struct record *record = record_at(aggregate, id);

    record_at(aggregate, record->earlier)->later = record->later;
    record_at(aggregate, record->later)->earlier = record->earlier;
}

static void queue_append(struct enf_aggregate *aggregate, uint32_t id)
{
    struct record *head = record_at(aggregate, 0);
    struct record *record = record_at(aggregate, id);

    record->earlier = head->earlier;
    record->later = 0;
    record_at(aggregate, head->earlier)->later = id;
    head->earlier = id;
}

/* Starts never lie in the future, or a clock that was set back would keep everything quiet for as long. They
 * are in order, so those to mend are the last ones. */
static void clock_mend(struct enf_aggregate *aggregate, uint64_t now_ms)
{
    uint32_t id = record_at(aggregate, 0)->earlier;

    while (id && record_at(aggregate, id)->start_ms > now_ms) {
        record_at(aggregate, id)->start_ms = now_ms;
        id = record_at(aggregate, id)->earlier;
    }
}

/* --- records -----------------------------------------------------------------------------------------------
 */

static struct enf_key key_from(enum enf_event_action action, const struct enf_prefix *prefix)
{
    struct enf_key key = {{0}};

    memcpy(key.bytes, &prefix->addr, sizeof(prefix->addr));
    key.bytes[sizeof(prefix->addr)] = prefix->len;
    key.bytes[sizeof(prefix->addr) + 1] = (uint8_t)action;
    return key;
}

static struct enf_key key_of(const struct enf_aggregate_packet *packet)
{
    return key_from(packet->action, &packet->key);
}

static bool is_common(uint32_t id)
{
    return id <= COMMONS;
}

/* A record for a new key, or 0 at the cap or without memory. */
static uint32_t record_make(struct enf_aggregate *aggregate, const struct enf_key *key)
{
    uint32_t id = aggregate->free ? aggregate->free : aggregate->records_len;

    if (aggregate->map.used >= aggregate->max_keys)
        return 0;
    if (id / CHUNK == aggregate->chunks_len && chunk_add(aggregate) < 0)
        return 0;
    if (enf_keymap_add(&aggregate->map, key, id) < 0)
        return 0;
    if (aggregate->free)
        aggregate->free = record_at(aggregate, id)->earlier;
    else
        aggregate->records_len++;
    *record_at(aggregate, id) = (struct record){.open = false};
    return id;
}

static void record_close(struct enf_aggregate *aggregate, uint32_t id)
{
    struct record *record = record_at(aggregate, id);
    struct enf_key key = key_of(&record->first);

    queue_remove(aggregate, id);
    record->open = false;
    if (is_common(id))
        return;
    enf_keymap_remove(&aggregate->map, &key);
    record->earlier = aggregate->free;
    aggregate->free = id;
}

static uint32_t record_of(struct enf_aggregate *aggregate, const struct enf_aggregate_packet *packet)
{
    struct enf_key key = key_of(packet);
    uint32_t id = enf_keymap_find(&aggregate->map, &key);

    if (!id)
        id = record_make(aggregate, &key);
    return id ? id : 1 + (uint32_t)packet->action;
}

/* --- counting and telling ----------------------------------------------------------------------------------
 */

static void destination_note(struct record *record, const struct enf_addr *destination)
{
    if (destination->family == ENF_FAMILY_NONE || record->destinations_len == ENF_EVENT_DESTINATIONS_MAX)
        return;
    for (uint32_t i = 0; i < record->destinations_len; i++)
        if (enf_addr_equal(&record->destinations[i], destination))
            return;
    record->destinations[record->destinations_len++] = *destination;
}

static void record_tell(struct enf_aggregate *aggregate, uint32_t id, uint64_t now_ms, uint64_t interval_ms,
                        enf_aggregate_fn fn, void *ctx)
{
    struct record *record = record_at(aggregate, id);
    struct enf_event event = {
        .action = record->first.action,
        .time_ms = now_ms,
        .count = record->count,
        .interval_ms = interval_ms,
    };

    if (is_common(id)) {
        snprintf(event.reason, sizeof(event.reason),
                 "of sources beyond the %zu that are told apart: the count is exact, the rest is not kept",
                 aggregate->max_keys);
    } else {
        event.subscriber = record->first.key;
        event.source = record->first.source;
        event.source_port = record->first.source_port;
        event.destination = record->first.destination;
        event.destination_port = record->first.destination_port;
        enf_text_copy(event.interface, sizeof(event.interface), record->first.interface);
        memcpy(event.destinations, record->destinations, sizeof(event.destinations));
        event.destinations_len = record->destinations_len;
    }
    record->count = 0;
    record->destinations_len = 0;
    fn(ctx, &event);
}

void enf_aggregate_prefetch(const struct enf_aggregate *aggregate, enum enf_event_action action,
                            const struct enf_prefix *const *keys, size_t len)
{
    size_t homes[ENF_AGGREGATE_PREFETCH_MAX];

    if (len > ENF_AGGREGATE_PREFETCH_MAX)
        len = ENF_AGGREGATE_PREFETCH_MAX;
    for (size_t i = 0; i < len; i++) {
        struct enf_key key = key_from(action, keys[i]);
        homes[i] = enf_keymap_prefetch(&aggregate->map, &key);
    }
    for (size_t i = 0; i < len; i++) {
        uint32_t id = enf_keymap_at(&aggregate->map, homes[i]);
        if (id)
            __builtin_prefetch(record_at(aggregate, id), 1);
    }
}

void enf_aggregate_feed(struct enf_aggregate *aggregate, uint64_t now_ms,
                        const struct enf_aggregate_packet *packet, enf_aggregate_fn fn, void *ctx)
{
    struct record *record;
    uint32_t id;

    if ((unsigned)packet->action >= ENF_EVENT_ACTION_COUNT)
        return;
    enf_aggregate_tick(aggregate, now_ms, fn, ctx);
    id = record_of(aggregate, packet);
    record = record_at(aggregate, id);
    if (!record->count)
        record->first = *packet;
    record->count += packet->count ? packet->count : 1;
    if (!is_common(id))
        destination_note(record, &packet->destination);
    if (record->open)
        return;
    record->open = true;
    record->start_ms = now_ms;
    queue_append(aggregate, id);
    record_tell(aggregate, id, now_ms, 0, fn, ctx);
}

void enf_aggregate_tick(struct enf_aggregate *aggregate, uint64_t now_ms, enf_aggregate_fn fn, void *ctx)
{
    uint32_t id;

    clock_mend(aggregate, now_ms);
    while ((id = record_at(aggregate, 0)->later) != 0) {
        struct record *record = record_at(aggregate, id);
        uint64_t span_ms = now_ms - record->start_ms;

        if (span_ms < aggregate->interval_ms)
            break;
        if (!record->count) {
            record_close(aggregate, id);
            continue;
        }
        queue_remove(aggregate, id);
        record->start_ms = now_ms;
        queue_append(aggregate, id);
        record_tell(aggregate, id, now_ms, span_ms, fn, ctx);
    }
}

uint64_t enf_aggregate_next(const struct enf_aggregate *aggregate)
{
    uint32_t id = record_at(aggregate, 0)->later;

    return id ? record_at(aggregate, id)->start_ms + aggregate->interval_ms : UINT64_MAX;
}

void enf_aggregate_flush(struct enf_aggregate *aggregate, uint64_t now_ms, enf_aggregate_fn fn, void *ctx)
{
    uint32_t id;

    clock_mend(aggregate, now_ms);
    while ((id = record_at(aggregate, 0)->later) != 0) {
        struct record *record = record_at(aggregate, id);

        if (record->count)
            record_tell(aggregate, id, now_ms, now_ms - record->start_ms, fn, ctx);
        record_close(aggregate, id);
    }
}
