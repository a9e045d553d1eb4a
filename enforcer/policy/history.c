/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conviction times by subscriber: a hash to records in one array, a list by last addition. */
#include "enforcer/policy/history.h"
#include "enforcer/policy/keymap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct record {
    struct enf_prefix subscriber; /* no family: free */
    uint32_t times_len;
    uint32_t older; /* in the list by last addition; of a free one: the next free one */
    uint32_t newer;
    uint64_t keep_ms;
    uint64_t times_ms[ENF_HISTORY_TIMES_MAX]; /* ascending */
};

struct enf_history {
    struct enf_keymap map;
    struct record *records; /* record 0 is the list's head: .older is the newest, .newer the oldest */
    uint32_t records_len;
    uint32_t records_cap;
    uint32_t free;
    size_t max_subscribers;
    uint32_t lengths[2][129]; /* records by family (IPv4, IPv6) and length of the subscriber's prefix */
};

int enf_history_new(size_t max_subscribers, uint64_t seed, struct enf_history **out)
{
    struct enf_history *history;

    if (!max_subscribers || max_subscribers > ENF_HISTORY_SUBSCRIBERS_LIMIT)
        return -EINVAL;
    history = calloc(1, sizeof(*history));
    if (!history)
        return -ENOMEM;
    history->records = calloc(64, sizeof(*history->records));
    if (!history->records) {
        free(history);
        return -ENOMEM;
    }
    history->records_cap = 64;
    history->records_len = 1;
    history->max_subscribers = max_subscribers;
    history->map.seed = seed;
    *out = history;
    return 0;
}

void enf_history_free(struct enf_history **history)
{
    if (!*history)
        return;
    enf_keymap_clear(&(*history)->map);
    free((*history)->records);
    free(*history);
    *history = NULL;
}

size_t enf_history_subscribers(const struct enf_history *history)
{
    return history->map.used;
}

static struct enf_key key_of(const struct enf_prefix *subscriber)
{
    struct enf_key key = {{0}};

    memcpy(key.bytes, &subscriber->addr, sizeof(subscriber->addr));
    key.bytes[sizeof(subscriber->addr)] = subscriber->len;
    return key;
}

static uint32_t *length_of(struct enf_history *history, const struct enf_prefix *subscriber)
{
    return &history->lengths[subscriber->addr.family == ENF_FAMILY_V6][subscriber->len];
}

/* --- records -----------------------------------------------------------------------------------------------
 */

static void list_remove(struct enf_history *history, uint32_t id)
{
    struct record *records = history->records;

    records[records[id].older].newer = records[id].newer;
    records[records[id].newer].older = records[id].older;
}

static void list_add_newest(struct enf_history *history, uint32_t id)
{
    struct record *records = history->records;

    records[id].older = records[0].older;
    records[id].newer = 0;
    records[records[0].older].newer = id;
    records[0].older = id;
}

static void record_drop(struct enf_history *history, uint32_t id)
{
    struct record *record = &history->records[id];
    struct enf_key key = key_of(&record->subscriber);

    enf_keymap_remove(&history->map, &key);
    list_remove(history, id);
    --*length_of(history, &record->subscriber);
    *record = (struct record){.older = history->free};
    history->free = id;
}

static int record_room(struct enf_history *history)
{
    struct record *records;
    uint32_t cap = history->records_cap * 2;

    if (history->free || history->records_len < history->records_cap)
        return 0;
    records = realloc(history->records, cap * sizeof(*records));
    if (!records)
        return -ENOMEM;
    history->records = records;
    history->records_cap = cap;
    return 0;
}

static int record_make(struct enf_history *history, const struct enf_key *key,
                       const struct enf_prefix *subscriber, uint32_t *out_id)
{
    uint32_t id;

    if (history->map.used >= history->max_subscribers)
        record_drop(history, history->records[0].newer);
    if (record_room(history) < 0)
        return -ENOMEM;
    id = history->free ? history->free : history->records_len;
    if (enf_keymap_add(&history->map, key, id) < 0)
        return -ENOMEM;
    if (history->free)
        history->free = history->records[id].older;
    else
        history->records_len++;
    history->records[id] = (struct record){.subscriber = *subscriber};
    list_add_newest(history, id);
    ++*length_of(history, subscriber);
    *out_id = id;
    return 0;
}

/* Keeps the latest times in order. */
static void time_insert(struct record *record, uint64_t time_ms)
{
    uint32_t at = record->times_len;

    if (at == ENF_HISTORY_TIMES_MAX) {
        if (time_ms <= record->times_ms[0])
            return;
        memmove(&record->times_ms[0], &record->times_ms[1], (at - 1) * sizeof(record->times_ms[0]));
        at--;
    } else {
        record->times_len++;
    }
    while (at > 0 && record->times_ms[at - 1] > time_ms) {
        record->times_ms[at] = record->times_ms[at - 1];
        at--;
    }
    record->times_ms[at] = time_ms;
}

int enf_history_add(struct enf_history *history, const struct enf_prefix *subscriber, uint64_t time_ms,
                    uint64_t keep_ms)
{
    struct enf_key key = key_of(subscriber);
    uint32_t id = enf_keymap_find(&history->map, &key);
    int err;

    if (subscriber->addr.family == ENF_FAMILY_NONE || subscriber->len > enf_addr_bits(&subscriber->addr))
        return -EINVAL;
    if (id) {
        list_remove(history, id);
        list_add_newest(history, id);
    } else {
        err = record_make(history, &key, subscriber, &id);
        if (err)
            return err;
    }
    history->records[id].keep_ms = keep_ms;
    time_insert(&history->records[id], time_ms);
    return 0;
}

/* --- reading and forgetting --------------------------------------------------------------------------------
 */

static bool within(uint64_t time_ms, uint64_t now_ms, uint64_t span_ms)
{
    return time_ms >= now_ms || now_ms - time_ms < span_ms;
}

/* A record outlives its keep_ms until the next prune, but no longer counts. */
static bool is_alive(const struct record *record, uint64_t now_ms, uint64_t memory_ms)
{
    uint64_t last_ms = record->times_ms[record->times_len - 1];

    return within(last_ms, now_ms, record->keep_ms) && within(last_ms, now_ms, memory_ms);
}

uint32_t enf_history_count(const struct enf_history *history, const struct enf_prefix *subscriber,
                           uint64_t now_ms, uint64_t memory_ms)
{
    struct enf_key key = key_of(subscriber);
    uint32_t id = enf_keymap_find(&history->map, &key);
    const struct record *record = &history->records[id];
    uint32_t count = 0;

    if (!id || !is_alive(record, now_ms, memory_ms))
        return 0;
    for (uint32_t i = 0; i < record->times_len; i++)
        count += within(record->times_ms[i], now_ms, memory_ms) &&
                 within(record->times_ms[i], now_ms, record->keep_ms);
    return count;
}

/* Whether any subscriber could be inside prefix without being it. */
static bool has_longer(struct enf_history *history, const struct enf_prefix *prefix)
{
    const uint32_t *lengths = history->lengths[prefix->addr.family == ENF_FAMILY_V6];

    for (unsigned len = prefix->len + 1u; len <= enf_addr_bits(&prefix->addr); len++)
        if (lengths[len])
            return true;
    return false;
}

size_t enf_history_forget(struct enf_history *history, const struct enf_prefix *prefix)
{
    struct enf_key key = key_of(prefix);
    uint32_t id = enf_keymap_find(&history->map, &key);
    size_t count = id != 0;

    if (id)
        record_drop(history, id);
    if (!has_longer(history, prefix))
        return count;
    for (id = 1; id < history->records_len; id++) {
        const struct enf_prefix *subscriber = &history->records[id].subscriber;

        if (subscriber->addr.family == ENF_FAMILY_NONE || !enf_prefix_covers(prefix, subscriber))
            continue;
        record_drop(history, id);
        count++;
    }
    return count;
}

size_t enf_history_prune(struct enf_history *history, uint64_t now_ms, uint64_t memory_ms)
{
    size_t count = 0;

    for (uint32_t id = 1; id < history->records_len; id++) {
        const struct record *record = &history->records[id];

        if (record->subscriber.addr.family == ENF_FAMILY_NONE || is_alive(record, now_ms, memory_ms))
            continue;
        record_drop(history, id);
        count++;
    }
    return count;
}
