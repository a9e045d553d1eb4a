/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many packets, few events: the first of a key is told at once, the others as one event an interval, with
 * their count. Nothing is lost silently: the counts of all events add up to the packets fed. No I/O, no
 * clock; one thread at a time. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"

#include <stddef.h>
#include <stdint.h>

#define ENF_AGGREGATE_KEYS_LIMIT 4000000u /* the highest max_keys */

struct enf_aggregate;

/* One packet, or several at once, of one kind. */
struct enf_aggregate_packet {
    enum enf_event_action action;
    struct enf_prefix key; /* subscriber or source: with action the key */
    struct enf_addr source;
    uint16_t source_port;
    struct enf_addr destination;
    uint16_t destination_port;
    char interface[ENF_IFNAME_LEN];
    uint64_t count; /* packets this stands for; 0 is 1 */
};

/* Gets an event that is valid while the call runs; must not call back into the aggregate. */
typedef void (*enf_aggregate_fn)(void *ctx, const struct enf_event *event);

/* Events of up to max_keys keys are kept apart; packets of further ones are counted by action alone and told
 * without a subscriber, source or destinations. seed: random, secret. 0 with *out the caller's; -EINVAL,
 * -ENOMEM with *out untouched. */
int enf_aggregate_new(uint64_t interval_ms, size_t max_keys, uint64_t seed, struct enf_aggregate **out);
/* Accepts NULL content; clears the caller's pointer. What was not flushed is lost. */
void enf_aggregate_free(struct enf_aggregate **aggregate);
/* Another interval, at once also for what is open. 0 or -EINVAL. */
int enf_aggregate_set_interval(struct enf_aggregate *aggregate, uint64_t interval_ms);

/* Optional, before feeding what came together: has the memory of all these keys on its way while the first is
 * fed. Changes nothing but the speed; of more than ENF_AGGREGATE_PREFETCH_MAX keys the first ones. */
#define ENF_AGGREGATE_PREFETCH_MAX 64
void enf_aggregate_prefetch(const struct enf_aggregate *aggregate, enum enf_event_action action,
                            const struct enf_prefix *const *keys, size_t len);

/* Accounts packets at now_ms (wall clock). A key without an open interval is told at once and opens one. An
 * event has action, time, key as subscriber, count, the interval that count covers (0 for the one at once),
 * the distinct destinations of it as far as they fit, and source, destination, ports and interface of the
 * first packet. Cannot fail: without memory for a key its packets go the way of those beyond the cap. */
void enf_aggregate_feed(struct enf_aggregate *aggregate, uint64_t now_ms,
                        const struct enf_aggregate_packet *packet, enf_aggregate_fn fn, void *ctx);
/* Tells all intervals that are over at now_ms; those that had no packets close, their keys are dropped. A
 * clock set back moves starts that lie in the future to now_ms. */
void enf_aggregate_tick(struct enf_aggregate *aggregate, uint64_t now_ms, enf_aggregate_fn fn, void *ctx);
/* When the next interval is over; UINT64_MAX where none is open. O(1). */
uint64_t enf_aggregate_next(const struct enf_aggregate *aggregate);
/* Tells all that is counted and not told, and drops all keys: at stop. */
void enf_aggregate_flush(struct enf_aggregate *aggregate, uint64_t now_ms, enf_aggregate_fn fn, void *ctx);
/* Keys that are open now. */
size_t enf_aggregate_keys(const struct enf_aggregate *aggregate);
