/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hash table of accounts. */
#include "ledger.h"

#include "enforcer/core/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN        64
#define DESTINATIONS_MIN 8

void ledger_clear(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->len; i++) {
        free(ledger->accounts[i].destinations);
        free(ledger->accounts[i].evidence);
        trace_clear(&ledger->accounts[i].trace);
    }
    free(ledger->accounts);
    free(ledger->slots);
    *ledger = (struct ledger){0};
}

static size_t find_slot(const struct ledger *ledger, const struct enf_prefix *key)
{
    size_t mask = ledger->slots_len - 1;
    size_t slot = enf_prefix_hash(key, ledger->seed) & mask;
    while (ledger->slots[slot] != 0 &&
           !enf_prefix_equal(&ledger->accounts[ledger->slots[slot] - 1].subscriber, key))
        slot = (slot + 1) & mask;
    return slot;
}

static struct account *find(const struct ledger *ledger, const struct enf_prefix *key)
{
    if (ledger->slots_len == 0)
        return NULL;
    uint32_t id = ledger->slots[find_slot(ledger, key)];
    return id ? &ledger->accounts[id - 1] : NULL;
}

void ledger_prefetch(const struct ledger *ledger, const struct enf_prefix *subscriber)
{
    if (ledger->slots_len > 0)
        __builtin_prefetch(
            &ledger->slots[enf_prefix_hash(subscriber, ledger->seed) & (ledger->slots_len - 1)]);
}

static int make_room(struct ledger *ledger)
{
    struct account *accounts =
        enf_array_grow(ledger->accounts, ledger->len, &ledger->capacity, sizeof(*accounts));
    if (!accounts)
        return -ENOMEM;
    ledger->accounts = accounts;
    if (ledger->len * 2 < ledger->slots_len)
        return 0;
    size_t slots_len = ledger->slots_len ? ledger->slots_len * 2 : SLOTS_MIN;
    uint32_t *slots = calloc(slots_len, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    free(ledger->slots);
    ledger->slots = slots;
    ledger->slots_len = slots_len;
    for (size_t i = 0; i < ledger->len; i++)
        slots[find_slot(ledger, &ledger->accounts[i].subscriber)] = (uint32_t)i + 1;
    return 0;
}

static size_t set_slot(const uint64_t *set, uint32_t capacity, uint64_t hash)
{
    size_t slot = hash & (capacity - 1);
    while (set[slot] != 0 && set[slot] != hash)
        slot = (slot + 1) & (capacity - 1);
    return slot;
}

static int add_destination(struct account *account, uint64_t hash)
{
    if (hash == 0)
        hash = 1;
    if (account->destinations_len * 2 >= account->destinations_capacity) {
        uint32_t capacity =
            account->destinations_capacity ? account->destinations_capacity * 2 : DESTINATIONS_MIN;
        uint64_t *set = calloc(capacity, sizeof(*set));
        if (!set)
            return -ENOMEM;
        for (uint32_t i = 0; i < account->destinations_capacity; i++)
            if (account->destinations[i] != 0)
                set[set_slot(set, capacity, account->destinations[i])] = account->destinations[i];
        free(account->destinations);
        account->destinations = set;
        account->destinations_capacity = capacity;
    }
    size_t slot = set_slot(account->destinations, account->destinations_capacity, hash);
    if (account->destinations[slot] == 0 && account->destinations_len < LEDGER_DESTINATIONS_MAX) {
        account->destinations[slot] = hash;
        account->destinations_len++;
    }
    return 0;
}

static int add_trace(struct ledger *ledger, struct account *account, const struct enf_observation *obs,
                     uint64_t hash, enum flow_outcome outcome)
{
    struct trace_point point = {obs->time_ms, (uint32_t)(hash >> 32), outcome};
    if (ledger->trace_len >= ledger->trace_max) {
        ledger->untraced++;
        return 0;
    }
    ledger->trace_len++;
    return trace_add(&account->trace, &point);
}

int ledger_connection(struct ledger *ledger, const struct enf_observation *obs, const struct claim *claim,
                      enum flow_outcome outcome)
{
    struct account *account = find(ledger, &obs->subscriber);
    if (!account) {
        if (ledger->len >= ledger->max) {
            ledger->unlisted++;
            return 0;
        }
        int rc = make_room(ledger);
        if (rc != 0)
            return rc;
        account = &ledger->accounts[ledger->len++];
        *account = (struct account){.subscriber = obs->subscriber,
                                    .group = claim->group,
                                    .settings = claim->settings,
                                    .first_seen_ms = obs->time_ms};
        ledger->slots[find_slot(ledger, &obs->subscriber)] = (uint32_t)ledger->len;
    }
    account->connections++;
    account->outcomes[outcome]++;
    if (obs->time_ms > account->last_seen_ms)
        account->last_seen_ms = obs->time_ms;
    if (obs->time_ms < account->first_seen_ms)
        account->first_seen_ms = obs->time_ms;
    uint64_t hash = enf_addr_hash(&obs->destination, ledger->seed);
    int rc = add_trace(ledger, account, obs, hash, outcome);
    return rc == 0 ? add_destination(account, hash) : rc;
}

void ledger_outcome(struct ledger *ledger, const struct enf_prefix *subscriber, enum flow_outcome outcome)
{
    struct account *account = find(ledger, subscriber);
    if (!account || account->outcomes[FLOW_OUTCOME_UNKNOWN] == 0)
        return;
    account->outcomes[FLOW_OUTCOME_UNKNOWN]--;
    account->outcomes[outcome]++;
}

int ledger_conviction(struct ledger *ledger, const struct enf_signal *signal)
{
    struct account *account = find(ledger, &signal->subscriber);
    if (!account || account->convictions++ > 0)
        return 0;
    ledger->zombies++;
    account->first = *signal;
    account->first.evidence = NULL;
    account->first.evidence_len = 0;
    if (signal->evidence_len == 0)
        return 0;
    account->evidence = malloc(signal->evidence_len * sizeof(*account->evidence));
    if (!account->evidence)
        return -ENOMEM;
    memcpy(account->evidence, signal->evidence, signal->evidence_len * sizeof(*account->evidence));
    account->first.evidence = account->evidence;
    account->first.evidence_len = signal->evidence_len;
    return 0;
}

static int compare(const void *left, const void *right)
{
    const struct account *a = left;
    const struct account *b = right;
    if (!a->convictions != !b->convictions)
        return a->convictions ? -1 : 1;
    if (a->connections != b->connections)
        return a->connections > b->connections ? -1 : 1;
    return enf_prefix_cmp(&a->subscriber, &b->subscriber);
}

void ledger_sort(struct ledger *ledger)
{
    if (ledger->len > 0)
        qsort(ledger->accounts, ledger->len, sizeof(*ledger->accounts), compare);
    free(ledger->slots);
    ledger->slots = NULL;
    ledger->slots_len = 0;
}
