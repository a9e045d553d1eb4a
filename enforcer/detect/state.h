/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of a detector, for the files that make it up: detector.c feeds it, view.c shows it. */
#pragma once

#include "enforcer/detect/activity.h"
#include "enforcer/detect/budget.h"
#include "enforcer/detect/conviction.h"
#include "enforcer/detect/detector.h"
#include "enforcer/detect/table.h"
#include "enforcer/detect/weigh.h"

#define AHEAD_LEN 512 /* places; a power of two */

struct enf_detector {
    struct table table;
    struct budget budget; /* activities and convictions */
    size_t max_bytes;
    bool lends_slots; /* beside max_bytes, memory of slots not used yet may be used */
    uint64_t seed;
    uint32_t idle_cursor;
    struct weigher weigher;
    /* Slots that were fetched ahead or used lately, by a few bits of their keys: whoever is still in his need
     * not be looked up. Slots never move. */
    struct subscriber *ahead[AHEAD_LEN];
    struct enf_detector_stats stats;
    struct enf_evidence evidence[ENF_EVIDENCE_MAX]; /* what signals and views point to */
    /* The conviction that is being put together. */
    union {
        struct conviction conviction;
        char room[sizeof(struct conviction) + ENF_EVIDENCE_MAX * sizeof(struct connection)];
    } scratch;
};

/* Time since the subscriber was last seen; 0 where now is before that. */
static inline uint64_t silence_ms(const struct subscriber *subscriber, uint64_t now_ms)
{
    return now_ms > subscriber->last_ms ? now_ms - subscriber->last_ms : 0;
}
