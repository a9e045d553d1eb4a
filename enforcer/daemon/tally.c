/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quarantines by group and level. */
#include "enforcer/daemon/tally.h"

#include "enforcer/daemon/daemon.h"

#include <stdlib.h>
#include <string.h>

static void count_one(void *ctx, const struct enf_prefix *subscriber, enum enf_level level)
{
    struct enf_daemon *d = ctx;
    const struct enf_config *config = d->running->config;
    const struct enf_group *group = enf_group_find(&d->running->groups, &subscriber->addr);
    size_t row = group ? (size_t)(group - config->groups) : config->groups_len;

    d->metrics.tally.counts[row][level]++;
}

void enf_tally_free(struct enf_tally *tally)
{
    free(tally->counts);
    *tally = (struct enf_tally){0};
}

const size_t (*enf_tally_look(struct enf_daemon *d))[ENF_LEVEL_COUNT]
{
    struct enf_tally *tally = &d->metrics.tally;
    size_t rows = d->running->config->groups_len + 1;
    uint64_t began_ms = enf_clock_steady_ms();

    if (tally->rows != rows) {
        enf_tally_free(tally);
        tally->counts = calloc(rows, sizeof *tally->counts);
        if (!tally->counts)
            return NULL;
        tally->rows = rows;
    } else if (began_ms < tally->rest_until_ms) {
        return (const size_t(*)[ENF_LEVEL_COUNT])tally->counts;
    }
    memset(tally->counts, 0, rows * sizeof *tally->counts);
    enf_quarantine_tally(d->quarantine, count_one, d);
    uint64_t now_ms = enf_clock_steady_ms();
    tally->rest_until_ms = now_ms + 20 * (now_ms - began_ms);
    return (const size_t(*)[ENF_LEVEL_COUNT])tally->counts;
}
