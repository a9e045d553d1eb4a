/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is remembered of one subscriber, in three sizes: one connection inside its slot; a ring of connections
 * of which up to FEW_MAX lie in the longest window, in which everything is found by looking through those;
 * beyond that a structure for each question, until the subscriber was silent for that window. The ring goes
 * on as the evidence of the last connections. Most subscribers never leave the first two. */
#pragma once

#include "enforcer/detect/budget.h"
#include "enforcer/detect/connection.h"
#include "enforcer/detect/destinations.h"
#include "enforcer/detect/prints.h"
#include "enforcer/detect/sequential.h"
#include "enforcer/detect/settings.h"
#include "enforcer/detect/stamps.h"
#include "enforcer/detect/table.h"
#include "enforcer/inspect/observation.h"

#include <stdbool.h>
#include <stdint.h>

#define FEW_MAX 8

struct many {
    struct stamps stamps;
    struct prints prints;
    struct destinations destinations;
};

/* What the settings of a subscriber ask to be kept; cheap to make anew for each observation. */
struct keep {
    uint32_t longest_ms; /* of all windows */
    uint32_t recent_ms;  /* that, or the time in which retransmissions are known */
    uint32_t silence_ms; /* after which nothing counts: that, the time in which retransmissions are known, or
                            the period of the sequential test */
    uint32_t stamps;     /* connections: the largest limit and one */
    uint32_t destinations; /* the limit and one, or 0 */
    uint32_t distinct_ms;
    struct prints_rule prints;
};
struct keep keep_of(const struct enf_detector_settings *settings);

/* Where everything is counted: memory, and the seed of hashes. */
struct activity_context {
    struct budget *budget;
    const struct keep *keep;
    uint64_t seed;
    uint64_t quiet_ms; /* of the subscriber, before this observation: saves looking at what is older */
};

/* True where the connection with this print (see struct connection), made at subscriber->last_ms, was seen
 * before. Remembers it for the next time where there is a memory for that only. */
bool activity_is_retransmission(struct subscriber *subscriber, const struct activity_context *context,
                                uint32_t print);
/* Accounts a connection that is no retransmission, made at subscriber->last_ms. False where memory was short
 * and something is forgotten early: what is counted later is too little, never too much. */
bool activity_add(struct subscriber *subscriber, const struct activity_context *context,
                  const struct enf_observation *obs, uint32_t print);

/* What the host did in its sessions (see conduct.h): a pointer behind the last connection of the ring, which
 * it lives as long as, so that the connections lie in as few cache lines as they can. Only where there is a
 * ring. */
static inline struct conduct **activity_conduct(const struct subscriber *subscriber)
{
    return (struct conduct **)(void *)(subscriber->ring + subscriber->capacity);
}

/* Makes sure that there is a ring, for what lives in it. False without memory. */
bool activity_hold(struct subscriber *subscriber, struct budget *budget);

/* The i-th connection of the ring, 0 being the oldest. */
const struct connection *activity_at(const struct subscriber *subscriber, uint32_t i);
/* How many of the last ones lie in the window and were not used up by a conviction. */
uint32_t activity_within(const struct subscriber *subscriber, uint64_t now_ms, uint64_t per_ms);
/* The one accounted last, and the one before it: there must be so many. */
struct connection *activity_newest(struct subscriber *subscriber);
struct connection *activity_before_newest(struct subscriber *subscriber);
/* Connections, different destinations in (now - per, now] since the last conviction; now_ms not before
 * last_ms. */
uint32_t activity_connections(const struct subscriber *subscriber, uint64_t now_ms, uint64_t per_ms);
uint32_t activity_destinations(const struct subscriber *subscriber, uint64_t now_ms, uint64_t per_ms);
/* True where more than limit of them lie in the window that ends at last_ms, where a connection was added
 * just now: one look, whatever the limit. The window of destinations is that of the settings. */
bool activity_connections_exceed(const struct subscriber *subscriber, uint64_t per_ms, uint32_t limit);
bool activity_destinations_exceed(const struct subscriber *subscriber, uint64_t per_ms, uint32_t limit);
/* How many connections are remembered: what makes a subscriber worth keeping. */
uint32_t activity_size(const struct subscriber *subscriber);

/* Asks for the memory that the next connection will touch, as far as it is known without it: first what the
 * subscriber points to, then what that points to. */
void activity_prefetch(const struct subscriber *subscriber);
void activity_prefetch_many(const struct subscriber *subscriber);

/* Copies the last connection to each destination in the window that ends at last_ms, in order of time: of
 * more than max the last ones. Returns how many there are in all. */
uint32_t activity_copy_destinations(const struct subscriber *subscriber, uint64_t per_ms, uint32_t max,
                                    struct connection *out);

/* Empties the windows; retransmissions are still recognised. */
void activity_spend(struct subscriber *subscriber);
/* Forgets everything and frees it. */
void activity_clear(struct subscriber *subscriber, struct budget *budget);
