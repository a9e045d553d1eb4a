/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quarantines by group and level, for metrics. Counted by walking through all of them, so not too often. On
 * the control thread. */
#pragma once

#include "enforcer/core/event.h"

#include <stddef.h>
#include <stdint.h>

struct enf_daemon;

/* Zero value: nothing was counted. */
struct enf_tally {
    size_t rows;
    size_t (*counts)[ENF_LEVEL_COUNT]; /* one row for each group, and one for those in none */
    uint64_t rest_until_ms; /* a count takes at most a twentieth of the thread's time; steady clock */
};

/* The rows, as of now or of a moment ago; NULL without memory. A prefix by hand counts once, in the group of
 * its first address. */
const size_t (*enf_tally_look(struct enf_daemon *d))[ENF_LEVEL_COUNT];
void enf_tally_free(struct enf_tally *tally);
