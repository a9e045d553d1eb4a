/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which threshold a subscriber crossed, and by which observations. */
#include "enforcer/detect/judge.h"

#include "enforcer/detect/activity.h"

static bool is_trap(const struct enf_detector_settings *settings, const struct enf_addr *destination)
{
    for (size_t i = 0; i < settings->traps_len; i++)
        if (enf_addr_equal(&settings->traps[i], destination))
            return true;
    return false;
}

void judge(const struct subscriber *subscriber, const struct enf_observation *obs,
           const struct enf_detector_settings *settings, struct conviction *head)
{
    const struct activity *activity = subscriber->activity;
    uint32_t now = (uint32_t)subscriber->last_ms;
    head->cause = ENF_CAUSE_NONE;
    if (settings->traps_len > 0 && is_trap(settings, &obs->destination)) {
        head->cause = ENF_CAUSE_TRAP;
        head->limit = 0;
        head->per_ms = 0;
        return;
    }
    if (!activity)
        return;
    for (size_t i = 0; i < settings->connection_rate_len; i++) {
        const struct enf_window *window = &settings->connection_rate[i];
        if (!stamps_exceed(&activity->stamps, now, (uint32_t)window->per_ms, window->connections))
            continue;
        head->cause = ENF_CAUSE_CONNECTION_RATE;
        head->limit = window->connections;
        head->per_ms = window->per_ms;
        return;
    }
    /* Pruned a moment ago: all that are left lie in the window. */
    uint32_t limit = settings->distinct_destinations.count;
    if (limit > 0 && activity->destinations.len > limit) {
        head->cause = ENF_CAUSE_DISTINCT_DESTINATIONS;
        head->limit = limit;
        head->per_ms = settings->distinct_destinations.per_ms;
    }
}

static void gather_trap(struct conviction *out, const struct connection *connection)
{
    out->total = 1;
    out->len = 1;
    out->connections[0] = *connection;
    out->forgeable = (connection->flags & CONNECTION_FORGEABLE) != 0;
}

/* Exactly limit + 1 connections lie in the window (the one before would have convicted otherwise), so each of
 * them was needed, and one that could have been forged makes the whole forgeable. */
static void gather_rate(struct conviction *out, const struct subscriber *subscriber)
{
    const struct activity *activity = subscriber->activity;
    out->total = stamps_count(&activity->stamps, (uint32_t)subscriber->last_ms, (uint32_t)out->per_ms);
    out->len = activity->recent.len;
    if (out->len > out->total)
        out->len = (uint16_t)out->total;
    for (uint32_t i = 0; i < out->len; i++)
        out->connections[i] = *activity_recent(activity, activity->recent.len - out->len + i);
    out->forgeable = (subscriber->flags & SUBSCRIBER_FORGEABLE) &&
                     subscriber->last_ms - subscriber->forgeable_ms < out->per_ms;
}

static void gather_destinations(struct conviction *out, const struct subscriber *subscriber)
{
    const struct destinations *set = &subscriber->activity->destinations;
    out->total = set->len;
    out->len = set->len < ENF_EVIDENCE_MAX ? set->len : ENF_EVIDENCE_MAX;
    out->forgeable = false;
    uint32_t left = out->len;
    for (uint16_t id = set->newest; id != DESTINATION_NONE; id = set->nodes[id].older) {
        const struct destination *node = &set->nodes[id];
        if (node->flags & CONNECTION_FORGEABLE)
            out->forgeable = true;
        if (left == 0)
            continue;
        struct connection *connection = &out->connections[--left];
        *connection = (struct connection){
            .time_ms = subscriber->last_ms - (uint32_t)((uint32_t)subscriber->last_ms - node->time),
            .destination_port = node->port,
            .flags = node->flags,
        };
        memcpy(connection->destination, node->address, sizeof(connection->destination));
    }
}

void judge_gather(struct conviction *out, const struct subscriber *subscriber,
                  const struct connection *connection)
{
    switch (out->cause) {
    case ENF_CAUSE_TRAP:
        gather_trap(out, connection);
        break;
    case ENF_CAUSE_CONNECTION_RATE:
        gather_rate(out, subscriber);
        break;
    case ENF_CAUSE_DISTINCT_DESTINATIONS:
        gather_destinations(out, subscriber);
        break;
    case ENF_CAUSE_NONE:
        break;
    }
}
