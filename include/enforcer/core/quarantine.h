/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One quarantine as a plain value: shared by the policy that makes it, the store that remembers it, the
 * kernel adapter that enforces it and the control socket that shows it. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"

#include <stdbool.h>
#include <stdint.h>

struct enf_quarantine {
    struct enf_prefix subscriber; /* one subscriber or a prefix by hand */
    bool net;    /* a prefix by hand: lives in quarantine_nets4/6, the others in quarantine4/6 */
    bool forced; /* given with force: also cuts relays */
    enum enf_level level;
    uint64_t since_ms;    /* wall clock */
    uint64_t until_ms;    /* wall clock; ENF_FOREVER: no end */
    uint32_t convictions; /* within memory, this one included; 0 by hand */
    char reason[ENF_REASON_LEN];
    char actor[ENF_ACTOR_LEN]; /* "detector", "meter", "user:NAME" */
    char ticket[ENF_TICKET_LEN];
    char group[ENF_NAME_LEN];
};
