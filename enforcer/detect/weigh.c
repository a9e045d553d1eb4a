/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sequential test on connections. */
#include "enforcer/detect/weigh.h"

#define LEVEL_STEP (2 * ENF_SEQUENTIAL_UNIT)

static bool is_same(const struct enf_sequential_settings *a, const struct enf_sequential_settings *b)
{
    return a->false_conviction == b->false_conviction && a->missed == b->missed;
}

const struct enf_sequential_rules *weigher_rules(struct weigher *weigher,
                                                 const struct enf_sequential_settings *settings)
{
    if (!settings->enabled)
        return NULL;
    struct enf_sequential_settings *of = &weigher->models[settings->model == ENF_SEQUENTIAL_SERVER].of;
    struct enf_sequential_rules *rules = &weigher->models[settings->model == ENF_SEQUENTIAL_SERVER].rules;
    if (!of->enabled || !is_same(of, settings)) {
        of->enabled = false;
        if (enf_sequential_rules_make(settings, rules) != 0)
            return NULL;
        *of = *settings;
    }
    return rules;
}

static enum enf_sequential_result step(struct subscriber *subscriber,
                                       const struct enf_sequential_rules *rules,
                                       struct connection *connection, const struct enf_addr *destination,
                                       struct enf_sequential_step *out)
{
    struct enf_sequential *state = &subscriber->sequential;
    enum enf_sequential_result result =
        enf_sequential_connection(state, rules, destination, connection->time_ms, out);
    connection->weight = (uint8_t)out->kind;
    /* Forgeable evidence that speaks for the host proves nothing against it. */
    if (result == ENF_SEQUENTIAL_CONTINUE && out->step > 0 && (connection->flags & CONNECTION_FORGEABLE))
        state->seen |= ENF_SEQUENTIAL_FORGEABLE;
    return result;
}

void weigh(struct subscriber *subscriber, const struct enf_sequential_rules *rules,
           const struct enf_sequential_settings *settings, const struct enf_addr *destination,
           struct conviction *head)
{
    struct enf_sequential_step last;
    struct connection *connection = activity_newest(subscriber);
    /* The first connection of all changes nothing and needs no state: it is counted when a second one comes.
     */
    if (!subscriber->ring) {
        connection->weight = ENF_SEQUENTIAL_FIRST;
        return;
    }
    if (subscriber->sequential.tests == 0 && subscriber->len == 2) {
        struct connection *first = activity_before_newest(subscriber);
        struct enf_addr before = address_unpack(first->destination);
        if (!(first->flags & CONNECTION_SPENT))
            (void)step(subscriber, rules, first, &before, &last);
    }
    bool forgeable = (subscriber->sequential.seen & ENF_SEQUENTIAL_FORGEABLE) ||
                     (connection->flags & CONNECTION_FORGEABLE);
    if (step(subscriber, rules, connection, destination, &last) != ENF_SEQUENTIAL_CONVICT ||
        head->cause != ENF_CAUSE_NONE)
        return;
    head->cause = ENF_CAUSE_SEQUENTIAL;
    head->total = last.observations;
    head->forgeable = forgeable;
    head->score = last.score;
    head->threshold = last.threshold;
    head->false_conviction = settings->false_conviction;
}

void weigh_restart(struct subscriber *subscriber)
{
    if (subscriber->ring)
        enf_sequential_restart(&subscriber->sequential);
}

void weigh_gather(struct conviction *out, const struct subscriber *subscriber)
{
    const struct connection *found[ENF_RECENT_MAX];
    uint32_t len = 0;
    for (uint32_t i = subscriber->len; i-- > 0 && len < out->total && len < ENF_RECENT_MAX;) {
        const struct connection *connection = activity_at(subscriber, i);
        if (connection->flags & CONNECTION_SPENT)
            break;
        if (connection->weight != ENF_SEQUENTIAL_NONE)
            found[len++] = connection;
    }
    for (uint32_t i = 0; i < len; i++)
        out->connections[i] = *found[len - 1 - i];
    out->len = (uint16_t)len;
}

uint8_t weigh_level(const struct subscriber *subscriber)
{
    if (!subscriber->ring || subscriber->sequential.score <= 0)
        return 0;
    int level = 1 + subscriber->sequential.score / LEVEL_STEP;
    return (uint8_t)(level < TABLE_LEVEL_CONVICTED ? level : TABLE_LEVEL_CONVICTED - 1);
}
