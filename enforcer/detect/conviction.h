/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A conviction with its evidence in a small form, and its rendering for people. */
#pragma once

#include "enforcer/detect/budget.h"
#include "enforcer/detect/connection.h"
#include "enforcer/detect/detector.h"

#include <stdint.h>

struct conviction {
    uint64_t time_ms;
    uint64_t total; /* observations that counted */
    uint64_t per_ms;
    uint32_t limit;
    uint32_t ifindex;
    enum enf_cause cause;
    enum enf_verdict verdict;
    uint16_t len; /* of connections: the last ones of total */
    bool forgeable;
    bool of_sessions; /* the sequential test, on what conduct.h counts */
    double score;     /* these three of the sequential test only */
    double threshold;
    double false_conviction;
    struct connection connections[];
};

static inline size_t conviction_size(size_t len)
{
    return sizeof(struct conviction) + len * sizeof(struct connection);
}

/* A copy that needs no more memory than it must, or NULL. */
struct conviction *conviction_copy(const struct conviction *from, struct budget *budget);
void conviction_free(struct conviction **conviction, struct budget *budget);

/* Writes the signal and up to ENF_EVIDENCE_MAX pieces of evidence, which it points to. */
void conviction_render(const struct conviction *conviction, const struct enf_prefix *subscriber,
                       struct enf_evidence evidence[static ENF_EVIDENCE_MAX], struct enf_signal *out);
