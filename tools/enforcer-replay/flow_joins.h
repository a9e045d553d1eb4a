/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which connections are known by a record, and what was told of their sessions: joins records of a connection
 * with those of what was said in it, by the identifier that both name. Bounded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FLOW_JOINS_MAX (1u << 20) /* connections remembered; 8 MiB */

/* A zero value is empty. */
struct flow_joins {
    uint64_t *entries;
    bool forgot; /* some connection: from then on an unknown one may be a known one */
};

void flow_joins_clear(struct flow_joins *joins);
/* Notes that the connection (see struct flow; 0 is none) has a record. 0 or -ENOMEM. */
int flow_joins_note(struct flow_joins *joins, uint64_t session);
/* True where the connection surely has no record; it has one from then on. */
bool flow_joins_is_new(struct flow_joins *joins, uint64_t session);
/* Which of these bits were not told of the session yet; now they are. All of them where it is not known. */
uint8_t flow_joins_untold(struct flow_joins *joins, uint64_t session, uint8_t says);
