/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is remembered of a subscriber that came more than once within its windows. */
#pragma once

#include "enforcer/detect/budget.h"
#include "enforcer/detect/connection.h"
#include "enforcer/detect/destinations.h"
#include "enforcer/detect/prints.h"
#include "enforcer/detect/settings.h"
#include "enforcer/detect/stamps.h"

#include <stdbool.h>
#include <stdint.h>

/* The last connections whole: evidence of a conviction by rate. Capacity is a power of two, up to
 * ENF_RECENT_MAX. */
struct recent {
    struct connection *at;
    uint16_t capacity;
    uint16_t first;
    uint16_t len;
};

struct activity {
    struct stamps stamps;
    struct recent recent;
    struct prints prints;
    struct destinations destinations;
};

/* What the settings of a subscriber ask to be kept; cheap to make anew for each observation. */
struct keep {
    uint32_t longest_ms;   /* of all windows */
    uint32_t stamps;       /* connections: the largest limit and one */
    uint32_t destinations; /* the limit and one, or 0 */
    uint32_t distinct_ms;
    uint32_t prints;
};
struct keep keep_of(const struct enf_detector_settings *settings);

/* Accounts a connection that is no retransmission. False where memory was short and something is forgotten
 * early. */
bool activity_add(struct activity *activity, struct budget *budget, const struct keep *keep,
                  const struct connection *connection, uint16_t destination_hash);
/* The i-th of the last connections, 0 being the oldest that is remembered. */
const struct connection *activity_recent(const struct activity *activity, uint32_t i);
/* Empties the windows; retransmissions are still recognised. */
void activity_reset(struct activity *activity);
/* Accepts NULL content. */
void activity_free(struct activity **activity, struct budget *budget);
