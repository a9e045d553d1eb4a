/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What came out, by subscriber: unlike the detector it forgets nobody before the end. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/detect/detector.h"
#include "enforcer/policy/group.h"
#include "scope.h"
#include "trace.h"

#include <stddef.h>
#include <stdint.h>

/* Destinations of one subscriber are counted exactly up to here, then no further. */
#define LEDGER_DESTINATIONS_MAX 65536

struct account {
    struct enf_prefix subscriber;
    const struct enf_group *group;
    const struct enf_detector_settings *settings;
    uint64_t first_seen_ms;
    uint64_t connections;
    uint64_t convictions;
    uint64_t outcomes[FLOW_OUTCOME_COUNT]; /* of the connections */
    uint64_t last_seen_ms;
    struct trace trace; /* empty unless the ledger keeps traces */
    /* The set of destinations: hashes, open addressing, zero is free. */
    uint64_t *destinations;
    uint32_t destinations_len;
    uint32_t destinations_capacity;
    struct enf_signal first; /* conviction; its evidence belongs to the account */
    struct enf_evidence *evidence;
};

struct ledger {
    struct account *accounts;
    size_t len;
    size_t capacity;
    size_t max;
    uint32_t *slots; /* index + 1 */
    size_t slots_len;
    uint64_t seed;
    uint64_t unlisted; /* connections of subscribers that there was no room for */
    size_t zombies;
    size_t trace_max; /* connections to keep for the report; 0: none */
    size_t trace_len;
    uint64_t untraced; /* connections beyond */
};

/* Zero value with max and seed set is an empty ledger. */
void ledger_clear(struct ledger *ledger);
/* Notes a connection that the detector counted. 0 or -ENOMEM. */
int ledger_connection(struct ledger *ledger, const struct enf_observation *obs, const struct claim *claim,
                      enum flow_outcome outcome);
/* Asks for the memory that the next lookup of this subscriber touches first. */
void ledger_prefetch(const struct ledger *ledger, const struct enf_prefix *subscriber);
/* Notes how a connection went that was noted with FLOW_OUTCOME_UNKNOWN. */
void ledger_outcome(struct ledger *ledger, const struct enf_prefix *subscriber, enum flow_outcome outcome);
/* Notes a conviction of a subscriber whose connection was noted; only the first is kept. 0 or -ENOMEM. */
int ledger_conviction(struct ledger *ledger, const struct enf_signal *signal);
/* Zombies first, then by connections, then by address; ends the time of lookups. */
void ledger_sort(struct ledger *ledger);
