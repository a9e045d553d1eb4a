/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a subscriber's memory, kept in step. */
#include "enforcer/detect/activity.h"

#include "enforcer/detect/conduct.h"
#include "enforcer/detect/detector.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define RING_MIN       4 /* after the one inside the slot */
#define CACHE_LINE     64
#define MANY_PRINTS    16 /* FEW_MAX and the next do not fit into one bucket */
#define PRINTS_FETCHED 32 /* of a set that has more, which ones are asked for is not known yet */

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
    keep.prints = (struct prints_rule){.young_ms = (uint32_t)ENF_RETRANSMISSION_MS,
                                       .max = clamp_prints(keep.stamps - 1)};
    keep.recent_ms = keep.longest_ms;
    if (keep.recent_ms < ENF_RETRANSMISSION_MS)
        keep.recent_ms = (uint32_t)ENF_RETRANSMISSION_MS;
    keep.silence_ms = keep.recent_ms;
    if (settings->sequential.enabled && keep.silence_ms < ENF_SEQUENTIAL_PERIOD_MS)
        keep.silence_ms = (uint32_t)ENF_SEQUENTIAL_PERIOD_MS;
    return keep;
}

/* --- the ring --- */

static struct connection *at(struct subscriber *subscriber, uint32_t i)
{
    struct connection *ring = subscriber->ring ? subscriber->ring : &subscriber->only;
    return &ring[(subscriber->first + i) & (subscriber->capacity - 1U)];
}

const struct connection *activity_at(const struct subscriber *subscriber, uint32_t i)
{
    const struct connection *ring = subscriber->ring ? subscriber->ring : &subscriber->only;
    return &ring[(subscriber->first + i) & (subscriber->capacity - 1U)];
}

struct connection *activity_newest(struct subscriber *subscriber)
{
    return at(subscriber, subscriber->len - 1U);
}

struct connection *activity_before_newest(struct subscriber *subscriber)
{
    return at(subscriber, subscriber->len - 2U);
}

static size_t ring_size(uint32_t capacity)
{
    return capacity * sizeof(struct connection) + sizeof(struct conduct *);
}

static void ring_drop_oldest(struct subscriber *subscriber)
{
    subscriber->first = (uint8_t)((subscriber->first + 1) & (subscriber->capacity - 1));
    subscriber->len--;
}

static void ring_free(struct subscriber *subscriber, struct budget *budget)
{
    budget_free(budget, subscriber->ring, ring_size(subscriber->capacity));
    subscriber->ring = NULL;
}

/* Into one of another size, which is enough. */
static bool ring_move(struct subscriber *subscriber, struct budget *budget, uint32_t capacity)
{
    struct connection *ring = budget_alloc(budget, ring_size(capacity));
    if (!ring)
        return false;
    struct conduct *conduct = subscriber->ring ? *activity_conduct(subscriber) : NULL;
    for (uint32_t i = 0; i < subscriber->len; i++)
        ring[i] = *at(subscriber, i);
    if (!subscriber->ring) /* takes the place of `only` */
        subscriber->sequential = (struct enf_sequential){0};
    ring_free(subscriber, budget);
    subscriber->ring = ring;
    subscriber->capacity = (uint8_t)capacity;
    subscriber->first = 0;
    *activity_conduct(subscriber) = conduct;
    return true;
}

static bool ring_grow(struct subscriber *subscriber, struct budget *budget)
{
    return ring_move(subscriber, budget, subscriber->ring ? subscriber->capacity * 2U : RING_MIN);
}

/* Drops what nobody will ask for any more: what is not recent and says nothing in the running test. Gives
 * memory back where little is left. */
static void ring_tidy(struct subscriber *subscriber, struct budget *budget, uint64_t now_ms,
                      uint32_t recent_ms)
{
    uint32_t weighed = subscriber->sequential.observations;
    uint32_t kept = subscriber->len; /* from here to the end */
    for (uint32_t i = subscriber->len; i-- > 0;) {
        const struct connection *connection = at(subscriber, i);
        bool recent = now_ms - connection->time_ms < recent_ms;
        bool says = connection->weight != ENF_SEQUENTIAL_NONE && weighed > 0;
        if (!recent && !says)
            continue;
        weighed -= says;
        kept--;
        if (kept != i)
            *at(subscriber, kept) = *connection;
    }
    subscriber->first = (uint8_t)((subscriber->first + kept) & (subscriber->capacity - 1U));
    subscriber->len = (uint8_t)(subscriber->len - kept);
    uint32_t capacity = subscriber->capacity;
    while (capacity > RING_MIN && subscriber->len <= capacity / 8)
        capacity /= 2;
    if (capacity < subscriber->capacity)
        (void)ring_move(subscriber, budget, capacity);
}

bool activity_hold(struct subscriber *subscriber, struct budget *budget)
{
    return subscriber->ring || ring_grow(subscriber, budget);
}

/* Makes the place for one more, which is the newest then. True: there is room, or the oldest was due to go.
 */
static bool ring_push(struct subscriber *subscriber, struct budget *budget, uint32_t max)
{
    bool whole = true;
    if (subscriber->len == subscriber->capacity) {
        if (subscriber->capacity < max)
            whole = ring_grow(subscriber, budget);
        if (subscriber->len == subscriber->capacity)
            ring_drop_oldest(subscriber);
    }
    subscriber->len++;
    return whole;
}

/* --- from few to many --- */

static uint16_t destination_hash(const struct connection *connection, uint64_t seed)
{
    return (uint16_t)XXH3_64bits_withSeed(connection->destination, sizeof(connection->destination), seed);
}

static bool many_add(struct many *many, const struct activity_context *context,
                     const struct connection *connection)
{
    const struct keep *keep = context->keep;
    uint32_t now = (uint32_t)connection->time_ms;
    stamps_prune(&many->stamps, now, keep->longest_ms);
    bool whole = stamps_push(&many->stamps, context->budget, now, keep->stamps);
    if (keep->destinations == 0) {
        destinations_clear(&many->destinations, context->budget);
        return whole;
    }
    destinations_prune(&many->destinations, now, keep->distinct_ms);
    return destinations_add(&many->destinations, context->budget, connection,
                            destination_hash(connection, context->seed), keep->destinations) &&
           whole;
}

static uint32_t recent_of(const struct subscriber *subscriber, const struct activity_context *context)
{
    uint32_t count = 0;
    if (context->quiet_ms >= context->keep->recent_ms)
        return 0;
    while (count < subscriber->len &&
           subscriber->last_ms - activity_at(subscriber, subscriber->len - 1U - count)->time_ms <
               context->keep->recent_ms)
        count++;
    return count;
}

/* True where recent_of says at least FEW_MAX: one look, times rise. */
static bool is_many(const struct subscriber *subscriber, const struct activity_context *context)
{
    return subscriber->len >= FEW_MAX && context->quiet_ms < context->keep->recent_ms &&
           subscriber->last_ms - activity_at(subscriber, subscriber->len - FEW_MAX)->time_ms <
               context->keep->recent_ms;
}

static bool many_start(struct subscriber *subscriber, const struct activity_context *context)
{
    struct many *many = budget_alloc(context->budget, sizeof(*many));
    if (!many)
        return false;
    bool whole = true;
    (void)prints_reserve(&many->prints, context->budget, MANY_PRINTS);
    /* All that is recent: what was used up as well, its retransmissions may still come. */
    for (uint32_t i = subscriber->len - recent_of(subscriber, context); i < subscriber->len; i++) {
        const struct connection *connection = at(subscriber, i);
        prints_seen(&many->prints, context->budget, connection->print, (uint32_t)connection->time_ms,
                    &context->keep->prints);
        if (!(connection->flags & CONNECTION_SPENT))
            whole &= many_add(many, context, connection);
    }
    subscriber->many = many;
    return whole;
}

/* --- accounting --- */

bool activity_is_retransmission(struct subscriber *subscriber, const struct activity_context *context,
                                uint32_t print)
{
    if (subscriber->many)
        return prints_seen(&subscriber->many->prints, context->budget, print, (uint32_t)subscriber->last_ms,
                           &context->keep->prints);
    if (context->quiet_ms >= ENF_RETRANSMISSION_MS)
        return false;
    for (uint32_t i = subscriber->len; i-- > 0;) {
        const struct connection *before = at(subscriber, i);
        if (subscriber->last_ms - before->time_ms >= ENF_RETRANSMISSION_MS)
            break;
        if (before->print == print)
            return true;
    }
    return false;
}

static void many_free(struct subscriber *subscriber, struct budget *budget)
{
    if (!subscriber->many)
        return;
    stamps_clear(&subscriber->many->stamps, budget);
    prints_clear(&subscriber->many->prints, budget);
    destinations_clear(&subscriber->many->destinations, budget);
    budget_free(budget, subscriber->many, sizeof(*subscriber->many));
    subscriber->many = NULL;
}

/* Whoever had many connections, and none lately, has few again. */
static void calm_down(struct subscriber *subscriber, const struct activity_context *context, uint64_t now_ms)
{
    if (subscriber->len > 0 && now_ms - activity_newest(subscriber)->time_ms < context->keep->recent_ms)
        return;
    many_free(subscriber, context->budget);
    ring_tidy(subscriber, context->budget, now_ms, context->keep->recent_ms);
}

/* Straight into its place: a copy by way of the stack is written in small pieces and read in large ones, for
 * which a processor waits. */
static void write_connection(struct connection *out, const struct enf_observation *obs, uint64_t time_ms,
                             uint32_t print)
{
    address_pack(&obs->destination, out->destination);
    out->time_ms = time_ms;
    out->print = print;
    out->destination_port = obs->destination_port;
    out->flags = (obs->blocked ? CONNECTION_BLOCKED : 0) | (obs->forgeable ? CONNECTION_FORGEABLE : 0);
    out->weight = 0;
}

bool activity_add(struct subscriber *subscriber, const struct activity_context *context,
                  const struct enf_observation *obs, uint32_t print)
{
    bool whole = true;
    uint64_t now_ms = subscriber->last_ms;
    if (subscriber->many)
        calm_down(subscriber, context, now_ms);
    if (!subscriber->many && is_many(subscriber, context)) {
        whole = many_start(subscriber, context);
        if (subscriber->many)
            prints_seen(&subscriber->many->prints, context->budget, print, (uint32_t)now_ms,
                        &context->keep->prints);
    }
    if (!subscriber->many && subscriber->ring && subscriber->len == subscriber->capacity)
        ring_tidy(subscriber, context->budget, now_ms, context->keep->recent_ms);
    whole &= ring_push(subscriber, context->budget, ENF_RECENT_MAX);
    struct connection *connection = at(subscriber, subscriber->len - 1U);
    write_connection(connection, obs, now_ms, print);
    if (subscriber->many)
        whole &= many_add(subscriber->many, context, connection);
    return whole;
}

void activity_prefetch(const struct subscriber *subscriber)
{
    if (subscriber->many)
        __builtin_prefetch(subscriber->many, 1);
    if (!subscriber->ring)
        return;
    /* The place of the next, and the newest; all, where there is nothing else that knows a retransmission. */
    const struct connection *ring = subscriber->ring;
    uint32_t mask = subscriber->capacity - 1U;
    uint32_t next = subscriber->first + subscriber->len;
    uint32_t len = !subscriber->many && subscriber->len <= FEW_MAX ? subscriber->len + 1U : 2;
    for (uint32_t back = 0; back < len; back++) {
        __builtin_prefetch(&ring[(next - back) & mask], 1);
        __builtin_prefetch((const char *)(&ring[(next - back) & mask] + 1) - 1, 1);
    }
    if (subscriber->flags & SUBSCRIBER_SERVER)
        __builtin_prefetch(activity_conduct(subscriber));
}

void activity_prefetch_many(const struct subscriber *subscriber)
{
    const struct many *many = subscriber->many;
    if (!many)
        return;
    for (uint32_t i = 0; i < many->prints.len && i < PRINTS_FETCHED; i += CACHE_LINE / sizeof(struct print))
        __builtin_prefetch(&many->prints.slots[i], 1);
    if (many->stamps.len > 0) {
        uint32_t mask = many->stamps.capacity - 1;
        __builtin_prefetch(&many->stamps.at[many->stamps.first], 0);
        __builtin_prefetch(&many->stamps.at[(many->stamps.first + many->stamps.len) & mask], 1);
    }
    if (many->destinations.len > 0) {
        __builtin_prefetch(&many->destinations.nodes[many->destinations.oldest], 1);
        __builtin_prefetch(&many->destinations.nodes[many->destinations.newest], 1);
    }
}

void activity_spend(struct subscriber *subscriber)
{
    if (subscriber->many) {
        subscriber->many->stamps.len = 0;
        destinations_reset(&subscriber->many->destinations);
    }
    for (uint32_t i = 0; i < subscriber->len; i++)
        at(subscriber, i)->flags |= CONNECTION_SPENT;
}

void activity_clear(struct subscriber *subscriber, struct budget *budget)
{
    if (subscriber->ring)
        conduct_free(activity_conduct(subscriber), budget);
    ring_free(subscriber, budget);
    subscriber->capacity = 1;
    subscriber->first = 0;
    subscriber->len = 0;
    many_free(subscriber, budget);
}
