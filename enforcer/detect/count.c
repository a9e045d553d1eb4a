/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a subscriber's memory says about windows. */
#include "enforcer/detect/activity.h"

uint32_t activity_within(const struct subscriber *subscriber, uint64_t now_ms, uint64_t per_ms)
{
    uint32_t count = 0;
    while (count < subscriber->len) {
        const struct connection *connection = activity_at(subscriber, subscriber->len - 1U - count);
        if (now_ms - connection->time_ms >= per_ms || (connection->flags & CONNECTION_SPENT))
            break;
        count++;
    }
    return count;
}

/* True where none of the connections after the i-th goes to the same destination. */
static bool is_last_to_destination(const struct subscriber *subscriber, uint32_t i)
{
    const struct connection *connection = activity_at(subscriber, i);
    for (uint32_t k = i + 1; k < subscriber->len; k++)
        if (memcmp(activity_at(subscriber, k)->destination, connection->destination, 16) == 0)
            return false;
    return true;
}

uint32_t activity_connections(const struct subscriber *subscriber, uint64_t now_ms, uint64_t per_ms)
{
    if (now_ms - subscriber->last_ms >= per_ms)
        return 0;
    if (subscriber->many)
        return stamps_count(&subscriber->many->stamps, (uint32_t)now_ms, (uint32_t)per_ms);
    return activity_within(subscriber, now_ms, per_ms);
}

uint32_t activity_destinations(const struct subscriber *subscriber, uint64_t now_ms, uint64_t per_ms)
{
    if (now_ms - subscriber->last_ms >= per_ms)
        return 0;
    if (subscriber->many)
        return destinations_count(&subscriber->many->destinations, (uint32_t)now_ms, (uint32_t)per_ms);
    uint32_t count = 0;
    for (uint32_t i = subscriber->len - activity_within(subscriber, now_ms, per_ms); i < subscriber->len; i++)
        count += is_last_to_destination(subscriber, i);
    return count;
}

bool activity_connections_exceed(const struct subscriber *subscriber, uint64_t per_ms, uint32_t limit)
{
    if (subscriber->many)
        return stamps_exceed(&subscriber->many->stamps, (uint32_t)subscriber->last_ms, (uint32_t)per_ms,
                             limit);
    return subscriber->len > limit && activity_within(subscriber, subscriber->last_ms, per_ms) > limit;
}

bool activity_destinations_exceed(const struct subscriber *subscriber, uint64_t per_ms, uint32_t limit)
{
    if (subscriber->many)
        return subscriber->many->destinations.len > limit;
    return subscriber->len > limit && activity_within(subscriber, subscriber->last_ms, per_ms) > limit &&
           activity_destinations(subscriber, subscriber->last_ms, per_ms) > limit;
}

uint32_t activity_size(const struct subscriber *subscriber)
{
    return subscriber->many ? subscriber->many->stamps.len : subscriber->len;
}

static uint32_t copy_few(const struct subscriber *subscriber, uint64_t per_ms, uint32_t max,
                         struct connection *out)
{
    uint32_t total = activity_destinations(subscriber, subscriber->last_ms, per_ms);
    uint32_t skip = total > max ? total - max : 0;
    uint32_t first = subscriber->len - activity_within(subscriber, subscriber->last_ms, per_ms);
    for (uint32_t i = first; i < subscriber->len; i++) {
        if (!is_last_to_destination(subscriber, i))
            continue;
        if (skip > 0)
            skip--;
        else
            *out++ = *activity_at(subscriber, i);
    }
    return total;
}

uint32_t activity_copy_destinations(const struct subscriber *subscriber, uint64_t per_ms, uint32_t max,
                                    struct connection *out)
{
    if (!subscriber->many)
        return copy_few(subscriber, per_ms, max, out);
    const struct destinations *set = &subscriber->many->destinations;
    uint32_t now = (uint32_t)subscriber->last_ms;
    uint32_t total = destinations_count(set, now, (uint32_t)per_ms);
    uint32_t left = total < max ? total : max;
    for (uint16_t id = set->newest; left > 0; id = set->nodes[id].older) {
        const struct destination *node = &set->nodes[id];
        struct connection *connection = &out[--left];
        *connection = (struct connection){
            .time_ms = subscriber->last_ms - (uint32_t)(now - node->time),
            .destination_port = node->port,
            .flags = node->flags,
        };
        memcpy(connection->destination, node->address, sizeof(connection->destination));
    }
    return total;
}
