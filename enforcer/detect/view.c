/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a detector tells people about its subscribers. */
#include "enforcer/detect/state.h"

#include <errno.h>

/* Of who has few connections, in a list of all subscribers: their settings are not at hand there. */
#define FEW_WINDOW_MS (3600ULL * 1000)

static void show_sequential(struct enf_detector *det, const struct subscriber *subscriber,
                            const struct enf_sequential_settings *settings, uint64_t now_ms,
                            struct enf_detector_view *out)
{
    const struct enf_sequential_rules *rules = weigher_rules(&det->weigher, settings);
    if (!rules)
        return;
    struct enf_sequential first = {.networks_len = subscriber->len > 0};
    const struct enf_sequential *state = subscriber->ring ? &subscriber->sequential : &first;
    struct enf_sequential_step step;
    enf_sequential_show(state, rules, now_ms, &step);
    out->sequential.score = step.score;
    out->sequential.threshold = step.threshold;
    out->sequential.observations = step.observations;
    out->sequential.networks = state->networks_len;
}

int enf_detector_show(struct enf_detector *det, const struct enf_prefix *key,
                      const struct enf_detector_settings *settings, uint64_t now_ms,
                      struct enf_detector_view *out)
{
    const struct subscriber *subscriber = table_find(&det->table, key);
    if (!subscriber)
        return -ENOENT;
    if (now_ms < subscriber->last_ms)
        now_ms = subscriber->last_ms;
    *out = (struct enf_detector_view){
        .subscriber = subscriber->key,
        .first_seen_ms = subscriber->first_ms,
        .last_seen_ms = subscriber->last_ms,
        .connections = subscriber->connections,
        .blocked = subscriber->blocked,
        .retransmissions = subscriber->retransmissions,
        .convictions = subscriber->convictions,
        .windows_len = settings->connection_rate_len,
        .distinct_destinations = {.limit = settings->distinct_destinations.count,
                                  .per_ms = settings->distinct_destinations.per_ms},
    };
    for (size_t i = 0; i < settings->connection_rate_len; i++) {
        out->windows[i].limit = settings->connection_rate[i];
        out->windows[i].connections =
            activity_connections(subscriber, now_ms, settings->connection_rate[i].per_ms);
    }
    if (settings->distinct_destinations.count > 0)
        out->distinct_destinations.count =
            activity_destinations(subscriber, now_ms, settings->distinct_destinations.per_ms);
    show_sequential(det, subscriber, &settings->sequential, now_ms, out);
    if (subscriber->conviction)
        conviction_render(subscriber->conviction, &subscriber->key, det->evidence, &out->last);
    return 0;
}

/* All but the destinations, for which another place in memory is read. */
static void summarise_slot(const struct subscriber *subscriber, struct enf_detector_top *out)
{
    *out = (struct enf_detector_top){
        .subscriber = subscriber->key,
        .connections = subscriber->connections,
        .blocked = subscriber->blocked,
        .first_seen_ms = subscriber->first_ms,
        .last_seen_ms = subscriber->last_ms,
        .convicted = subscriber->conviction != NULL,
    };
}

static void summarise(const struct subscriber *subscriber, struct enf_detector_top *out)
{
    summarise_slot(subscriber, out);
    /* Those of many connections are what the last one left there: a count would walk over them. */
    out->destinations = subscriber->many
                            ? subscriber->many->destinations.len
                            : activity_destinations(subscriber, subscriber->last_ms, FEW_WINDOW_MS);
}

int enf_detector_each(const struct enf_detector *det,
                      int (*fn)(void *ctx, const struct enf_detector_top *subscriber), void *ctx)
{
    for (uint32_t id = 0; id < det->table.used; id++) {
        const struct subscriber *subscriber = table_at(&det->table, id);
        struct enf_detector_top row;
        if (!subscriber)
            continue;
        summarise(subscriber, &row);
        int rc = fn(ctx, &row);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* --- the busiest --- */

static uint64_t key_of(const struct enf_detector_top *row, enum enf_top by)
{
    switch (by) {
    case ENF_TOP_CONNECTIONS:
        return row->connections;
    case ENF_TOP_DESTINATIONS:
        return row->destinations;
    case ENF_TOP_BLOCKED:
        return row->blocked;
    }
    return 0;
}

/* Equal ones in order of address, so that the same state gives the same list. */
static bool is_before(const struct enf_detector_top *a, const struct enf_detector_top *b, enum enf_top by)
{
    uint64_t key_a = key_of(a, by);
    uint64_t key_b = key_of(b, by);
    return key_a != key_b ? key_a > key_b : enf_prefix_cmp(&a->subscriber, &b->subscriber) < 0;
}

/* A heap with the last of the list at its root. */
static void sift_down(struct enf_detector_top *rows, size_t len, size_t at, enum enf_top by)
{
    for (;;) {
        size_t last = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < len && is_before(&rows[last], &rows[child], by))
                last = child;
        if (last == at)
            return;
        struct enf_detector_top swap = rows[at];
        rows[at] = rows[last];
        rows[last] = swap;
        at = last;
    }
}

static void sift_up(struct enf_detector_top *rows, size_t at, enum enf_top by)
{
    while (at > 0 && is_before(&rows[(at - 1) / 2], &rows[at], by)) {
        struct enf_detector_top swap = rows[at];
        rows[at] = rows[(at - 1) / 2];
        rows[(at - 1) / 2] = swap;
        at = (at - 1) / 2;
    }
}

bool enf_detector_rank(const struct enf_detector *det, size_t *cursor, size_t max_work,
                       struct enf_ranking *ranking)
{
    for (; max_work > 0 && *cursor < det->table.used; max_work--, ++*cursor) {
        const struct subscriber *subscriber = table_at(&det->table, (uint32_t)*cursor);
        struct enf_detector_top row;
        if (!subscriber || ranking->limit == 0)
            continue;
        summarise(subscriber, &row);
        if (ranking->len < ranking->limit) {
            ranking->rows[ranking->len] = row;
            sift_up(ranking->rows, ranking->len++, ranking->by);
        } else if (is_before(&row, &ranking->rows[0], ranking->by)) {
            ranking->rows[0] = row;
            sift_down(ranking->rows, ranking->len, 0, ranking->by);
        }
    }
    return *cursor < det->table.used;
}

void enf_ranking_sort(struct enf_ranking *ranking)
{
    for (size_t left = ranking->len; left > 1; left--) {
        struct enf_detector_top swap = ranking->rows[0];
        ranking->rows[0] = ranking->rows[left - 1];
        ranking->rows[left - 1] = swap;
        sift_down(ranking->rows, left - 1, 0, ranking->by);
    }
}

size_t enf_detector_top(const struct enf_detector *det, enum enf_top by, size_t limit,
                        struct enf_detector_top *out)
{
    struct enf_ranking ranking = {by, limit < ENF_TOP_MAX ? limit : ENF_TOP_MAX, 0, out};
    size_t cursor = 0;
    enf_detector_rank(det, &cursor, SIZE_MAX, &ranking);
    enf_ranking_sort(&ranking);
    return ranking.len;
}

bool enf_detector_walk(const struct enf_detector *det, size_t *cursor, size_t max_work,
                       int (*fn)(void *ctx, const struct enf_detector_top *subscriber), void *ctx)
{
    for (; max_work > 0 && *cursor < det->table.used; max_work--, ++*cursor) {
        const struct subscriber *subscriber = table_at(&det->table, (uint32_t)*cursor);
        struct enf_detector_top row;
        if (!subscriber)
            continue;
        summarise_slot(subscriber, &row);
        if (fn(ctx, &row) != 0)
            *cursor = det->table.used;
    }
    return *cursor < det->table.used;
}

void enf_detector_stats(const struct enf_detector *det, struct enf_detector_stats *out)
{
    *out = det->stats;
    out->subscribers = det->table.len;
    out->max_subscribers = det->table.max;
    out->bytes = sizeof(*det) + table_bytes(&det->table) + det->budget.used;
}
