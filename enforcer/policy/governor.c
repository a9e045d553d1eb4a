/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sliding window of conviction times an interface: a ring that grows to the limit and no further. */
#include "enforcer/policy/governor.h"
#include "enforcer/core/text.h"
#include "enforcer/policy/keymap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHARED (ENF_GOVERNOR_INTERFACES_MAX + 1) /* its counter's number; those of interfaces start at 1 */

struct counter {
    char interface[ENF_IFNAME_LEN];
    bool used;
    bool tripped;
    uint64_t since_ms;
    uint64_t held;
    uint64_t last_ms;
    uint64_t *times_ms; /* ring */
    uint32_t cap;
    uint32_t len;
    uint32_t head; /* the oldest */
};

struct enf_governor {
    uint32_t convictions; /* the limit; 0: none */
    uint64_t per_ms;
    struct enf_keymap map;
    struct counter counters[ENF_GOVERNOR_INTERFACES_MAX + 2];
};

static void window_clear(struct counter *counter)
{
    free(counter->times_ms);
    counter->times_ms = NULL;
    counter->cap = 0;
    counter->len = 0;
    counter->head = 0;
}

static int window_grow(struct counter *counter, uint32_t cap)
{
    uint64_t *times_ms = calloc(cap ? cap : 1, sizeof(*times_ms));

    if (!times_ms)
        return -ENOMEM;
    for (uint32_t i = 0; counter->cap && i < counter->len; i++)
        times_ms[i] = counter->times_ms[(counter->head + i) % counter->cap];
    free(counter->times_ms);
    counter->times_ms = times_ms;
    counter->cap = cap;
    counter->head = 0;
    return 0;
}

int enf_governor_configure(struct enf_governor *governor, uint32_t convictions, uint64_t per_ms)
{
    struct counter fresh = {.len = 0};

    if (convictions > ENF_GOVERNOR_CONVICTIONS_MAX || (convictions && !per_ms))
        return -EINVAL;
    /* the shared window has all its memory from the start: accounting cannot fail */
    if (window_grow(&fresh, convictions) < 0)
        return -ENOMEM;
    for (size_t i = 1; i <= SHARED; i++)
        window_clear(&governor->counters[i]);
    governor->counters[SHARED].times_ms = fresh.times_ms;
    governor->counters[SHARED].cap = fresh.cap;
    governor->convictions = convictions;
    governor->per_ms = per_ms;
    return 0;
}

int enf_governor_new(uint32_t convictions, uint64_t per_ms, uint64_t seed, struct enf_governor **out)
{
    struct enf_governor *governor = calloc(1, sizeof(*governor));
    int err;

    if (!governor)
        return -ENOMEM;
    governor->map.seed = seed;
    err = enf_governor_configure(governor, convictions, per_ms);
    if (err) {
        free(governor);
        return err;
    }
    *out = governor;
    return 0;
}

void enf_governor_free(struct enf_governor **governor)
{
    if (!*governor)
        return;
    for (size_t i = 1; i <= SHARED; i++)
        window_clear(&(*governor)->counters[i]);
    enf_keymap_clear(&(*governor)->map);
    free(*governor);
    *governor = NULL;
}

/* --- interfaces --------------------------------------------------------------------------------------------
 */

static struct enf_key key_of(const char *interface)
{
    struct enf_key key = {{0}};

    memcpy(key.bytes, interface, strnlen(interface, ENF_IFNAME_LEN - 1));
    return key;
}

static void window_expire(struct counter *counter, uint64_t now_ms, uint64_t per_ms)
{
    while (counter->len && now_ms - counter->times_ms[counter->head] >= per_ms) {
        counter->head = (counter->head + 1) % counter->cap;
        counter->len--;
    }
}

/* Gives up one interface that nothing is known of any more: names come and go with ppp. */
static uint32_t idle_evict(struct enf_governor *governor, uint64_t now_ms)
{
    for (uint32_t i = 1; i < SHARED; i++) {
        struct counter *counter = &governor->counters[i];
        struct enf_key key;

        if (counter->tripped)
            continue;
        if (now_ms >= counter->last_ms)
            window_expire(counter, now_ms, governor->per_ms);
        if (counter->len)
            continue;
        key = key_of(counter->interface);
        enf_keymap_remove(&governor->map, &key);
        window_clear(counter);
        *counter = (struct counter){.used = false};
        return i;
    }
    return 0;
}

static uint32_t free_counter(struct enf_governor *governor, uint64_t now_ms)
{
    if (governor->map.used == ENF_GOVERNOR_INTERFACES_MAX)
        return idle_evict(governor, now_ms);
    for (uint32_t i = 1; i < SHARED; i++)
        if (!governor->counters[i].used)
            return i;
    return 0;
}

/* The interface's counter, made if need be; the shared one where there is none for it. */
static struct counter *counter_of(struct enf_governor *governor, const char *interface, uint64_t now_ms)
{
    struct enf_key key = key_of(interface);
    uint32_t id = enf_keymap_find(&governor->map, &key);

    if (id)
        return &governor->counters[id];
    id = free_counter(governor, now_ms);
    if (!id || enf_keymap_add(&governor->map, &key, id) < 0)
        return &governor->counters[SHARED];
    governor->counters[id].used = true;
    enf_text_copy(governor->counters[id].interface, ENF_IFNAME_LEN, interface);
    return &governor->counters[id];
}

/* --- convictions -------------------------------------------------------------------------------------------
 */

/* True when this one is more than the limit allows. Otherwise it is in the window. */
static bool window_add(struct counter *counter, uint32_t convictions, uint64_t per_ms, uint64_t now_ms)
{
    if (counter->last_ms > now_ms && counter->last_ms - now_ms > per_ms)
        counter->len = 0;
    else if (counter->last_ms > now_ms)
        now_ms = counter->last_ms;
    counter->last_ms = now_ms;
    window_expire(counter, now_ms, per_ms);
    if (counter->len == convictions)
        return true;
    counter->times_ms[(counter->head + counter->len) % counter->cap] = now_ms;
    counter->len++;
    return false;
}

static int window_room(struct counter *counter, uint32_t limit)
{
    uint32_t cap = counter->cap ? counter->cap * 2 : 8;

    if (counter->len < counter->cap || counter->cap >= limit)
        return 0;
    return window_grow(counter, cap < limit ? cap : limit);
}

enum enf_governor_state enf_governor_conviction(struct enf_governor *governor, const char *interface,
                                                uint64_t now_ms)
{
    struct counter *counter = counter_of(governor, interface, now_ms);

    if (!counter->tripped && !governor->convictions)
        return ENF_GOVERNOR_OPEN;
    if (!counter->tripped && window_room(counter, governor->convictions) < 0)
        counter = &governor->counters[SHARED];
    if (counter->tripped) {
        counter->held++;
        return ENF_GOVERNOR_TRIPPED;
    }
    if (!window_add(counter, governor->convictions, governor->per_ms, now_ms))
        return ENF_GOVERNOR_OPEN;
    counter->tripped = true;
    counter->since_ms = now_ms;
    counter->held = 1;
    return ENF_GOVERNOR_TRIPPED_NOW;
}

void enf_governor_restore(struct enf_governor *governor, const struct enf_governor_trip *trip)
{
    struct counter *counter = &governor->counters[SHARED];

    if (!trip->shared)
        counter = counter_of(governor, trip->interface, trip->since_ms);
    counter->tripped = true;
    counter->since_ms = trip->since_ms;
    counter->held = trip->held;
}

bool enf_governor_tripped(const struct enf_governor *governor, const char *interface)
{
    struct enf_key key = key_of(interface);
    uint32_t id = enf_keymap_find(&governor->map, &key);

    if (!id && governor->map.used < ENF_GOVERNOR_INTERFACES_MAX)
        return false;
    return governor->counters[id ? id : SHARED].tripped;
}

int enf_governor_each(const struct enf_governor *governor,
                      int (*fn)(void *ctx, const struct enf_governor_trip *trip), void *ctx)
{
    int answer = 0;

    for (size_t i = 1; i <= SHARED && !answer; i++) {
        const struct counter *counter = &governor->counters[i];
        struct enf_governor_trip trip = {
            .shared = i == SHARED,
            .since_ms = counter->since_ms,
            .held = counter->held,
        };

        if (!counter->tripped)
            continue;
        enf_text_copy(trip.interface, sizeof(trip.interface), counter->interface);
        answer = fn(ctx, &trip);
    }
    return answer;
}

static size_t counter_reset(struct counter *counter)
{
    size_t was = counter->tripped;

    counter->len = 0;
    counter->tripped = false;
    counter->since_ms = 0;
    counter->held = 0;
    return was;
}

size_t enf_governor_reset(struct enf_governor *governor, const char *interface)
{
    struct enf_key key;
    uint32_t id;
    size_t count = 0;

    if (interface) {
        key = key_of(interface);
        id = enf_keymap_find(&governor->map, &key);
        return id ? counter_reset(&governor->counters[id]) : 0;
    }
    for (size_t i = 1; i <= SHARED; i++)
        count += counter_reset(&governor->counters[i]);
    return count;
}
