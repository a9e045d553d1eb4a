/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When which subscriber was convicted, as far as escalation needs it. In memory and bounded; the store keeps
 * the rest. No I/O, no clock; one thread at a time. */
#pragma once

#include "enforcer/core/addr.h"

#include <stddef.h>
#include <stdint.h>

#define ENF_HISTORY_TIMES_MAX         16 /* of one subscriber, the latest ones: as many as escalation has steps */
#define ENF_HISTORY_SUBSCRIBERS_LIMIT 4000000u /* the highest max_subscribers */

struct enf_history;

/* Remembers up to max_subscribers; at the cap the one whose last conviction was added longest ago is
 * forgotten. seed: random, secret. 0 with *out the caller's; -EINVAL, -ENOMEM with *out untouched. */
int enf_history_new(size_t max_subscribers, uint64_t seed, struct enf_history **out);
/* Accepts NULL content; clears the caller's pointer. */
void enf_history_free(struct enf_history **history);

/* Adds a conviction at time_ms (wall clock), in any order of times; at start from the store, oldest first.
 * Nothing that is older than keep_ms (ENF_FOREVER: no limit) counts any more: the lease where addresses are
 * dynamic. The keep_ms of the last call holds for the subscriber. 0; -EINVAL for no prefix; -ENOMEM. On
 * failure nothing was added. */
int enf_history_add(struct enf_history *history, const struct enf_prefix *subscriber, uint64_t time_ms,
                    uint64_t keep_ms);

/* How many convictions lie in (now_ms - memory_ms, now_ms] and within keep_ms, at most ENF_HISTORY_TIMES_MAX.
 * Times after now_ms count too: a clock that is set back must not wash anybody clean. 0 for a subscriber that
 * is not known. */
uint32_t enf_history_count(const struct enf_history *history, const struct enf_prefix *subscriber,
                           uint64_t now_ms, uint64_t memory_ms);

/* Forgets all subscribers inside prefix. O(1) where none can be inside without being it, else O(n). Returns
 * how many. */
size_t enf_history_forget(struct enf_history *history, const struct enf_prefix *prefix);
/* Forgets those with no conviction within memory_ms or their keep_ms. O(n), now and then. Returns how many.
 */
size_t enf_history_prune(struct enf_history *history, uint64_t now_ms, uint64_t memory_ms);
/* Subscribers that are remembered. */
size_t enf_history_subscribers(const struct enf_history *history);
