/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From observations to convictions. */
#include "enforcer/detect/detector.h"

#include "enforcer/detect/conduct.h"
#include "enforcer/detect/judge.h"
#include "enforcer/detect/state.h"

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define DEFAULT_BYTES_PER_SUBSCRIBER 32 /* with slots and index a million stay below 200 MB */
#define DEFAULT_BYTES                (16u << 20)
/* Enough to take back what one observation can add, in the long run; few enough to keep one observation
 * cheap. */
#define EVICTIONS_PER_OBSERVATION 8
/* By connections alone, of who may have a mail server. */
#define LEVEL_SERVER_MAX 2

int enf_detector_new(const struct enf_detector_params *params, struct enf_detector **out)
{
    if (params->max_subscribers < 1 || params->max_subscribers > ENF_DETECTOR_SUBSCRIBERS_MAX)
        return -EINVAL;
    struct enf_detector *det = calloc(1, sizeof(*det));
    if (!det)
        return -ENOMEM;
    int rc = table_init(&det->table, params->max_subscribers, params->seed);
    if (rc != 0) {
        free(det);
        return rc;
    }
    det->seed = params->seed;
    det->max_bytes = params->max_bytes;
    det->lends_slots = det->max_bytes == 0;
    if (det->max_bytes == 0)
        det->max_bytes = params->max_subscribers * DEFAULT_BYTES_PER_SUBSCRIBER + DEFAULT_BYTES;
    *out = det;
    return 0;
}

/* --- forgetting --- */

static void release(struct enf_detector *det, struct subscriber *subscriber)
{
    activity_clear(subscriber, &det->budget);
    conviction_free(&subscriber->conviction, &det->budget);
}

static void forget(struct enf_detector *det, struct subscriber *subscriber)
{
    release(det, subscriber);
    table_remove(&det->table, subscriber);
}

void enf_detector_free(struct enf_detector **det)
{
    if (!det || !*det)
        return;
    for (uint32_t id = 0; id < (*det)->table.used; id++) {
        struct subscriber *subscriber = table_at(&(*det)->table, id);
        if (subscriber)
            release(*det, subscriber);
    }
    table_clear(&(*det)->table);
    free(*det);
    *det = NULL;
}

static bool evict(struct enf_detector *det, uint8_t level_min, const struct subscriber *except)
{
    struct subscriber *victim = table_least(&det->table, level_min, except);
    if (!victim)
        return false;
    det->stats.evicted++;
    if (victim->level > 0)
        det->stats.evicted_active++;
    forget(det, victim);
    return true;
}

/* By default those who come often may use what slots that were never needed would take. It goes back as the
 * table fills, so that both together stay within the same bound. */
static size_t bytes_limit(const struct enf_detector *det)
{
    size_t lent = det->lends_slots ? (det->table.max - det->table.used) * sizeof(struct subscriber) : 0;
    return det->max_bytes + lent;
}

/* Those who came once hold no memory beside their slot: the search for bytes starts at the next level. */
static void stay_within_bytes(struct enf_detector *det, const struct subscriber *except)
{
    for (unsigned i = 0; i < EVICTIONS_PER_OBSERVATION && det->budget.used > bytes_limit(det); i++)
        if (!evict(det, 1, except))
            return;
}

size_t enf_detector_reset(struct enf_detector *det, const struct enf_prefix *prefix)
{
    size_t forgotten = 0;
    struct subscriber *subscriber = table_find(&det->table, prefix);
    if (subscriber) {
        forget(det, subscriber);
        forgotten++;
    }
    if (!table_may_hold_several(&det->table, prefix))
        return forgotten;
    for (uint32_t id = 0; id < det->table.used; id++) {
        subscriber = table_at(&det->table, id);
        if (!subscriber || !enf_prefix_covers(prefix, &subscriber->key))
            continue;
        forget(det, subscriber);
        forgotten++;
    }
    return forgotten;
}

bool enf_detector_reset_some(struct enf_detector *det, const struct enf_prefix *prefix, size_t *cursor,
                             size_t max_work)
{
    if (*cursor == 0) {
        struct subscriber *subscriber = table_find(&det->table, prefix);
        if (subscriber)
            forget(det, subscriber);
        if (!table_may_hold_several(&det->table, prefix))
            return false;
    }
    for (; max_work > 0 && *cursor < det->table.used; max_work--, ++*cursor) {
        struct subscriber *subscriber = table_at(&det->table, (uint32_t)*cursor);
        if (subscriber && enf_prefix_covers(prefix, &subscriber->key))
            forget(det, subscriber);
    }
    return *cursor < det->table.used;
}

/* How suspicious: floor(log2(connections remembered)), or what the sequential test says; the convicted above
 * all. */
static uint8_t level_of(const struct subscriber *subscriber)
{
    uint8_t level = 0;
    if (subscriber->conviction)
        return TABLE_LEVEL_CONVICTED;
    uint8_t most = subscriber->flags & SUBSCRIBER_SERVER ? LEVEL_SERVER_MAX : TABLE_LEVEL_CONVICTED - 1;
    for (uint32_t n = activity_size(subscriber); n > 1 && level < most; n /= 2)
        level++;
    /* Whoever holds memory must be found where memory is looked for. */
    if (level == 0 && subscriber->ring)
        level = 1;
    uint8_t weight = weigh_level(subscriber);
    return weight > level ? weight : level;
}

static void lower_level(struct enf_detector *det, struct subscriber *subscriber)
{
    uint8_t level = level_of(subscriber);
    if (level < subscriber->level)
        table_set_level(&det->table, subscriber, level);
}

/* A convicted one keeps its slot and its conviction for people who ask, but no counters. */
static bool expire(struct enf_detector *det, struct subscriber *subscriber, uint64_t now_ms)
{
    uint64_t silence = silence_ms(subscriber, now_ms);
    if (silence < subscriber->keep_ms || now_ms < conduct_last_reply_ms(subscriber) + subscriber->keep_ms)
        return false;
    activity_clear(subscriber, &det->budget);
    subscriber->flags = 0;
    if (subscriber->conviction && silence < ENF_CONVICTION_MEMORY_MS)
        return false;
    forget(det, subscriber);
    det->stats.expired++;
    return true;
}

size_t enf_detector_forget_idle(struct enf_detector *det, uint64_t now_ms, size_t max_work)
{
    size_t forgotten = 0;
    if (max_work > det->table.used)
        max_work = det->table.used;
    for (size_t i = 0; i < max_work; i++) {
        if (det->idle_cursor >= det->table.used)
            det->idle_cursor = 0;
        struct subscriber *subscriber = table_at(&det->table, det->idle_cursor++);
        if (!subscriber)
            continue;
        if (expire(det, subscriber, now_ms))
            forgotten++;
        else
            lower_level(det, subscriber);
    }
    return forgotten;
}

/* --- accounting --- */

/* Its place among those who were fetched ahead. */
static struct subscriber **ahead_of(struct enf_detector *det, const struct enf_prefix *key)
{
    uint64_t words[2];
    memcpy(words, key->addr.bytes, sizeof(words));
    return &det->ahead[((words[0] ^ words[1]) * 0x9e3779b97f4a7c15 >> 32) % AHEAD_LEN];
}

static struct subscriber *find(struct enf_detector *det, const struct enf_prefix *key)
{
    struct subscriber **ahead = ahead_of(det, key);
    if (!*ahead || !table_is(*ahead, key))
        *ahead = table_find(&det->table, key);
    return *ahead;
}

static struct subscriber *find_or_add(struct enf_detector *det, const struct enf_observation *obs)
{
    struct subscriber *subscriber = find(det, &obs->subscriber);
    if (subscriber) {
        subscriber->flags |= SUBSCRIBER_TOUCHED;
        return subscriber;
    }
    if (det->table.len >= det->table.max && !evict(det, 0, NULL))
        return NULL;
    subscriber = table_add(&det->table, &obs->subscriber);
    if (subscriber) {
        subscriber->first_ms = obs->time_ms;
        subscriber->last_ms = obs->time_ms;
    }
    return subscriber;
}

void enf_detector_prefetch(struct enf_detector *det, const struct enf_prefix *const *subscribers, size_t len)
{
    uint32_t tags[ENF_PREFETCH_MAX];
    struct subscriber *found[ENF_PREFETCH_MAX];
    if (len > ENF_PREFETCH_MAX)
        len = ENF_PREFETCH_MAX;
    /* Each round follows pointers that the round before asked for. */
    for (size_t i = 0; i < len; i++)
        tags[i] = table_prefetch_index(&det->table, subscribers[i]);
    for (size_t i = 0; i < len; i++)
        found[i] = table_prefetch_slot(&det->table, tags[i]);
    for (size_t i = 0; i < len; i++)
        if (found[i]) {
            activity_prefetch(found[i]);
            *ahead_of(det, subscribers[i]) = found[i];
        }
    for (size_t i = 0; i < len; i++)
        if (found[i])
            activity_prefetch_many(found[i]);
}

static void start_anew(struct enf_detector *det, struct subscriber *subscriber)
{
    activity_clear(subscriber, &det->budget);
    subscriber->flags &= SUBSCRIBER_TOUCHED;
}

/* The time that the observation counts as made at. */
static uint64_t advance(struct enf_detector *det, struct subscriber *subscriber, uint64_t time_ms,
                        const struct keep *keep)
{
    if (time_ms < subscriber->last_ms && subscriber->last_ms - time_ms > ENF_DISORDER_MS) {
        det->stats.clock_steps++;
        start_anew(det, subscriber);
        subscriber->last_ms = time_ms;
        if (time_ms < subscriber->first_ms)
            subscriber->first_ms = time_ms;
    }
    uint64_t now_ms = time_ms > subscriber->last_ms ? time_ms : subscriber->last_ms;
    if (now_ms - subscriber->last_ms >= subscriber->keep_ms && subscriber->keep_ms > 0)
        start_anew(det, subscriber);
    subscriber->last_ms = now_ms;
    subscriber->keep_ms = keep->silence_ms;
    if ((uint32_t)now_ms - subscriber->forgeable >= keep->longest_ms)
        subscriber->flags &= (uint8_t)~SUBSCRIBER_FORGEABLE;
    return now_ms;
}

/* In whole words. The subscriber's other connections are of the same family, as good as always. */
static uint32_t print_of(const struct enf_detector *det, const struct enf_observation *obs)
{
    uint64_t words[5] = {0};
    size_t len = 0;
    if (obs->source.family == ENF_FAMILY_V4) {
        uint32_t ends[2];
        memcpy(&ends[0], obs->source.bytes, sizeof(ends[0]));
        memcpy(&ends[1], obs->destination.bytes, sizeof(ends[1]));
        words[len++] = (uint64_t)ends[0] << 32 | ends[1];
    } else {
        memcpy(&words[0], obs->source.bytes, 16);
        memcpy(&words[2], obs->destination.bytes, 16);
        len = 4;
    }
    words[len++] = (uint64_t)obs->source_port << 48 | (uint64_t)obs->destination_port << 32 | obs->sequence;
    uint32_t print = (uint32_t)XXH3_64bits_withSeed(words, len * sizeof(words[0]), det->seed);
    return print ? print : 1;
}

static void count(uint32_t *counter, bool really)
{
    if (really && *counter < UINT32_MAX)
        (*counter)++;
}

/* --- convicting --- */

static void convict(struct enf_detector *det, struct subscriber *subscriber,
                    const struct enf_observation *obs, const struct connection *connection, uint64_t now_ms,
                    struct enf_signal *out)
{
    struct conviction *conviction = &det->scratch.conviction;
    conviction->time_ms = now_ms;
    conviction->ifindex = obs->ifindex;
    judge_gather(conviction, subscriber, connection);
    conviction_free(&subscriber->conviction, &det->budget);
    subscriber->conviction = conviction_copy(conviction, &det->budget);
    det->stats.starved += !subscriber->conviction;
    conviction_render(conviction, &subscriber->key, det->evidence, out);

    subscriber->flags &= (uint8_t)~SUBSCRIBER_FORGEABLE;
    activity_spend(subscriber);
    if (conviction->cause != ENF_CAUSE_SEQUENTIAL)
        weigh_restart(subscriber);
    count(&subscriber->convictions, true);
    det->stats.convictions++;
}

/* A suspicion is told and forgotten. */
static void suspect(struct enf_detector *det, const struct subscriber *subscriber,
                    const struct enf_observation *obs, uint64_t now_ms, struct enf_signal *out)
{
    struct conviction *conviction = &det->scratch.conviction;
    conviction->time_ms = now_ms;
    conviction->ifindex = obs->ifindex;
    judge_gather(conviction, subscriber, NULL);
    conviction_render(conviction, &subscriber->key, det->evidence, out);
    det->stats.suspicions++;
}

static struct conviction *fresh_head(struct enf_detector *det)
{
    det->scratch.conviction = (struct conviction){.verdict = ENF_VERDICT_ZOMBIE};
    return &det->scratch.conviction;
}

/* Moving down waits for lower_level: a move touches the memory of two others. */
static void raise_level(struct enf_detector *det, struct subscriber *subscriber)
{
    uint8_t level = level_of(subscriber);
    if (level > subscriber->level)
        table_set_level(&det->table, subscriber, level);
}

/* --- feeding --- */

static void account_connection(struct enf_detector *det, struct subscriber *subscriber,
                               const struct enf_observation *obs, uint32_t print,
                               const struct activity_context *context)
{
    count(&subscriber->connections, true);
    count(&subscriber->blocked, obs->blocked);
    if (obs->forgeable) {
        subscriber->forgeable = (uint32_t)subscriber->last_ms;
        subscriber->flags |= SUBSCRIBER_FORGEABLE;
    }
    det->stats.starved += !activity_add(subscriber, context, obs, print);
}

/* The sequential test on what a host does in its sessions. */
static void account_conduct(struct enf_detector *det, struct subscriber *subscriber,
                            const struct enf_observation *obs, uint64_t silence_ms,
                            const struct enf_sequential_rules *rules,
                            const struct enf_detector_settings *settings, struct conviction *head)
{
    struct conduct_context context = {&det->budget, det->seed, subscriber->last_ms,
                                      silence_ms,   rules,     &settings->sequential};
    head->of_sessions = head->cause == ENF_CAUSE_NONE;
    det->stats.starved += !conduct_account(subscriber, &context, obs, head);
}

static int conclude(struct enf_detector *det, struct subscriber *subscriber,
                    const struct enf_observation *obs, const struct connection *connection, uint64_t now_ms,
                    struct enf_signal *out)
{
    const struct conviction *head = &det->scratch.conviction;
    bool crossed = head->cause != ENF_CAUSE_NONE;
    if (crossed && head->verdict == ENF_VERDICT_ZOMBIE)
        convict(det, subscriber, obs, connection, now_ms, out);
    else if (crossed)
        suspect(det, subscriber, obs, now_ms, out);
    raise_level(det, subscriber);
    stay_within_bytes(det, subscriber);
    return crossed;
}

/* Comes from outside, under anybody's address: the subscriber did nothing, so its clock does not move. */
static int feed_reply(struct enf_detector *det, const struct enf_observation *obs,
                      const struct enf_detector_settings *settings, struct enf_signal *out)
{
    struct subscriber *subscriber = settings->unrequested_replies.count > 0 ? find_or_add(det, obs) : NULL;
    if (!subscriber)
        return settings->unrequested_replies.count > 0 ? -ENOMEM : 0;
    det->stats.observations++;
    uint64_t last_ms = conduct_last_reply_ms(subscriber);
    struct conduct_context context = {.budget = &det->budget,
                                      .now_ms = obs->time_ms > last_ms ? obs->time_ms : last_ms};
    if (subscriber->keep_ms < settings->unrequested_replies.per_ms)
        subscriber->keep_ms = (uint32_t)settings->unrequested_replies.per_ms;
    det->stats.starved += !conduct_reply(subscriber, &context, obs, settings, fresh_head(det));
    return conclude(det, subscriber, obs, NULL, context.now_ms, out);
}

static int feed_connection(struct enf_detector *det, const struct enf_observation *obs,
                           const struct enf_detector_settings *settings, struct enf_signal *out)
{
    struct subscriber *subscriber = find_or_add(det, obs);
    if (!subscriber)
        return -ENOMEM;
    det->stats.observations++;

    struct keep keep = keep_of(settings);
    uint64_t before_ms = subscriber->last_ms;
    uint64_t now_ms = advance(det, subscriber, obs->time_ms, &keep);
    uint64_t quiet_ms = now_ms - before_ms;
    struct activity_context context = {&det->budget, &keep, det->seed, quiet_ms};
    uint32_t print = print_of(det, obs);
    if (activity_is_retransmission(subscriber, &context, print)) {
        count(&subscriber->retransmissions, true);
        det->stats.retransmissions++;
        return 0;
    }
    account_connection(det, subscriber, obs, print, &context);

    struct conviction *head = fresh_head(det);
    judge(subscriber, obs, settings, head);
    const struct enf_sequential_rules *rules = weigher_rules(&det->weigher, &settings->sequential);
    if (rules && settings->sequential.model == ENF_SEQUENTIAL_LINE) {
        subscriber->flags &= (uint8_t)~SUBSCRIBER_SERVER;
        weigh(subscriber, rules, &settings->sequential, &obs->destination, head);
    } else if (rules) {
        subscriber->flags |= SUBSCRIBER_SERVER;
        account_conduct(det, subscriber, obs, quiet_ms, rules, settings, head);
    }
    return conclude(det, subscriber, obs, activity_newest(subscriber), now_ms, out);
}

/* What came of a connection. */
static int feed_outcome(struct enf_detector *det, const struct enf_observation *obs,
                        const struct enf_detector_settings *settings, struct enf_signal *out)
{
    const struct enf_sequential_rules *rules = weigher_rules(&det->weigher, &settings->sequential);
    if (!rules || settings->sequential.model == ENF_SEQUENTIAL_LINE || obs->kind == ENF_OBSERVATION_NOT_SMTP)
        return 0;
    struct subscriber *subscriber = find_or_add(det, obs);
    if (!subscriber)
        return -ENOMEM;
    det->stats.observations++;
    struct keep keep = keep_of(settings);
    uint64_t before_ms = subscriber->last_ms;
    uint64_t now_ms = advance(det, subscriber, obs->time_ms, &keep);
    account_conduct(det, subscriber, obs, now_ms - before_ms, rules, settings, fresh_head(det));
    return conclude(det, subscriber, obs, NULL, now_ms, out);
}

int enf_detector_feed(struct enf_detector *det, const struct enf_observation *obs,
                      const struct enf_detector_settings *settings, struct enf_signal *out)
{
    if (obs->subscriber.addr.family == ENF_FAMILY_NONE)
        return -EINVAL;
    switch (obs->kind) {
    case ENF_OBSERVATION_SYN:
        return feed_connection(det, obs, settings, out);
    case ENF_OBSERVATION_REPLY:
        return feed_reply(det, obs, settings, out);
    default:
        return feed_outcome(det, obs, settings, out);
    }
}
