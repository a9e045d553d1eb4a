/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which threshold a subscriber crossed, and by which observations. */
#include "enforcer/detect/judge.h"

#include "enforcer/detect/activity.h"
#include "enforcer/detect/conduct.h"
#include "enforcer/detect/weigh.h"

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
    if (settings->traps_len > 0 && is_trap(settings, &obs->destination)) {
        head->cause = ENF_CAUSE_TRAP;
        return;
    }
    for (size_t i = 0; i < settings->connection_rate_len; i++) {
        const struct enf_window *window = &settings->connection_rate[i];
        if (!activity_connections_exceed(subscriber, window->per_ms, window->connections))
            continue;
        head->cause = ENF_CAUSE_CONNECTION_RATE;
        head->limit = window->connections;
        head->per_ms = window->per_ms;
        return;
    }
    uint32_t limit = settings->distinct_destinations.count;
    uint64_t per_ms = settings->distinct_destinations.per_ms;
    if (limit > 0 && activity_destinations_exceed(subscriber, per_ms, limit)) {
        head->cause = ENF_CAUSE_DISTINCT_DESTINATIONS;
        head->limit = limit;
        head->per_ms = per_ms;
    }
}

static void gather_trap(struct conviction *out, const struct connection *connection)
{
    out->total = 1;
    out->len = 1;
    out->connections[0] = *connection;
    out->forgeable = (connection->flags & CONNECTION_FORGEABLE) != 0;
}

/* Exactly limit + 1 lie in the window (the one before would have convicted otherwise), so each of them was
 * needed, and one that could have been forged makes the whole forgeable. */
static bool is_forgeable(const struct conviction *conviction, const struct subscriber *subscriber)
{
    return (subscriber->flags & SUBSCRIBER_FORGEABLE) &&
           (uint32_t)subscriber->last_ms - subscriber->forgeable < conviction->per_ms;
}

static void gather_rate(struct conviction *out, const struct subscriber *subscriber)
{
    out->total = activity_connections(subscriber, subscriber->last_ms, out->per_ms);
    out->len = subscriber->len;
    if (out->len > out->total)
        out->len = (uint16_t)out->total;
    for (uint32_t i = 0; i < out->len; i++)
        out->connections[i] = *activity_at(subscriber, subscriber->len - out->len + i);
    out->forgeable = is_forgeable(out, subscriber);
}

static void gather_destinations(struct conviction *out, const struct subscriber *subscriber)
{
    uint32_t total = activity_copy_destinations(subscriber, out->per_ms, ENF_EVIDENCE_MAX, out->connections);
    out->total = total;
    out->len = (uint16_t)(total < ENF_EVIDENCE_MAX ? total : ENF_EVIDENCE_MAX);
    out->forgeable = is_forgeable(out, subscriber);
}

void judge_gather(struct conviction *out, const struct subscriber *subscriber,
                  const struct connection *connection)
{
    switch (out->cause) {
    case ENF_CAUSE_TRAP:
        if (connection) /* no trap without one */
            gather_trap(out, connection);
        break;
    case ENF_CAUSE_CONNECTION_RATE:
        gather_rate(out, subscriber);
        break;
    case ENF_CAUSE_DISTINCT_DESTINATIONS:
        gather_destinations(out, subscriber);
        break;
    case ENF_CAUSE_SEQUENTIAL:
        if (out->of_sessions)
            conduct_gather(out, subscriber);
        else
            weigh_gather(out, subscriber);
        break;
    case ENF_CAUSE_UNREQUESTED_REPLIES: /* complete */
    case ENF_CAUSE_NONE:
        break;
    }
}
