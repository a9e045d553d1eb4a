/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a subscriber's memory, kept in step. */
#include "enforcer/detect/activity.h"

#include "enforcer/detect/detector.h"

#define RECENT_MIN 4

static uint32_t clamp_prints(uint32_t connections)
{
    uint32_t prints = ENF_RETRANSMISSIONS_MIN;
    while (prints < connections && prints < ENF_RETRANSMISSIONS_MAX)
        prints *= 2;
    return prints;
}

struct keep keep_of(const struct enf_detector_settings *settings)
{
    struct keep keep = {.longest_ms = 1, .stamps = 1};
    for (size_t i = 0; i < settings->connection_rate_len; i++) {
        const struct enf_window *window = &settings->connection_rate[i];
        if (window->per_ms > keep.longest_ms)
            keep.longest_ms = (uint32_t)window->per_ms;
        if (window->connections >= keep.stamps)
            keep.stamps = window->connections + 1;
    }
    uint32_t limit = settings->distinct_destinations.count;
    if (limit > 0) {
        keep.destinations = (limit < ENF_DISTINCT_MAX ? limit : ENF_DISTINCT_MAX) + 1;
        keep.distinct_ms = (uint32_t)settings->distinct_destinations.per_ms;
        if (keep.distinct_ms > keep.longest_ms)
            keep.longest_ms = keep.distinct_ms;
    }
    keep.prints = clamp_prints(keep.stamps - 1);
    return keep;
}

static bool recent_grow(struct recent *recent, struct budget *budget)
{
    struct recent bigger = {.capacity = recent->capacity ? (uint16_t)(recent->capacity * 2) : RECENT_MIN,
                            .len = recent->len};
    bigger.at = budget_alloc(budget, bigger.capacity * sizeof(*bigger.at));
    if (!bigger.at)
        return false;
    for (uint16_t i = 0; i < recent->len; i++)
        bigger.at[i] = recent->at[(recent->first + i) & (recent->capacity - 1)];
    budget_free(budget, recent->at, recent->capacity * sizeof(*recent->at));
    *recent = bigger;
    return true;
}

static bool recent_push(struct recent *recent, struct budget *budget, const struct connection *connection)
{
    bool whole = true;
    if (recent->len == recent->capacity) {
        if (recent->capacity < ENF_RECENT_MAX)
            whole = recent_grow(recent, budget);
        if (recent->capacity == 0)
            return false;
        if (recent->len == recent->capacity) {
            recent->first = (recent->first + 1) & (recent->capacity - 1);
            recent->len--;
        }
    }
    recent->at[(recent->first + recent->len) & (recent->capacity - 1)] = *connection;
    recent->len++;
    return whole;
}

const struct connection *activity_recent(const struct activity *activity, uint32_t i)
{
    const struct recent *recent = &activity->recent;
    return &recent->at[(recent->first + i) & (recent->capacity - 1U)];
}

bool activity_add(struct activity *activity, struct budget *budget, const struct keep *keep,
                  const struct connection *connection, uint16_t destination_hash)
{
    uint32_t now = (uint32_t)connection->time_ms;
    stamps_prune(&activity->stamps, now, keep->longest_ms);
    bool whole = stamps_push(&activity->stamps, budget, now, keep->stamps);
    whole &= recent_push(&activity->recent, budget, connection);
    if (keep->destinations > 0) {
        destinations_prune(&activity->destinations, now, keep->distinct_ms);
        whole &= destinations_add(&activity->destinations, budget, connection, destination_hash,
                                  keep->destinations);
    } else {
        destinations_clear(&activity->destinations, budget);
    }
    return whole;
}

void activity_reset(struct activity *activity)
{
    activity->stamps.len = 0;
    activity->recent.len = 0;
    destinations_reset(&activity->destinations);
}

void activity_free(struct activity **activity, struct budget *budget)
{
    if (!*activity)
        return;
    stamps_clear(&(*activity)->stamps, budget);
    budget_free(budget, (*activity)->recent.at, (*activity)->recent.capacity * sizeof(struct connection));
    prints_clear(&(*activity)->prints, budget);
    destinations_clear(&(*activity)->destinations, budget);
    budget_free(budget, *activity, sizeof(**activity));
    *activity = NULL;
}
