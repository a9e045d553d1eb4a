/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One look at all that is not static: relays, interfaces of the governor, quarantine; and how much of the
 * quarantine is there. */
#include "enforcer/daemon/daemon.h"

#include <stdio.h>

void enf_coverage_set(struct enf_daemon *d, size_t desired, size_t missing)
{
    struct enf_event event = {.outcome = missing ? ENF_OUTCOME_FAILURE : ENF_OUTCOME_SUCCESS,
                              .count = missing};

    d->coverage.desired = desired;
    d->coverage.enforced = desired - (missing < desired ? missing : desired);
    d->coverage.checked_steady_ms = enf_clock_steady_ms();
    d->truth.mended |= missing > 0;
    if (d->truth.fight.on)
        return;
    if (missing > 0 && !d->coverage.lost) {
        event.action = ENF_EVENT_COVERAGE_LOST;
        char who[64];
        enf_truth_who(d, who, sizeof who);
        bool named = d->truth.news.transactions > 0;
        snprintf(event.reason, sizeof event.reason,
                 "%zu of %zu quarantines were missing in the kernel and are put back%s%s", missing, desired,
                 named ? "; the table was changed by " : "", named ? who : "");
        d->coverage.lost = true;
        enf_tell(d, &event);
    } else if (missing == 0 && d->coverage.lost) {
        char words[192];
        struct enf_gap_counts counts = enf_gap_end(d);
        event.action = ENF_EVENT_COVERAGE_RESTORED;
        event.count = counts.quarantined;
        d->truth.leaked += counts.quarantined;
        snprintf(event.reason, sizeof event.reason, "all %zu quarantines are in the kernel%s%s", desired,
                 counts.known ? "; " : "",
                 counts.known ? enf_gap_words(d, &counts, words, sizeof words) : "");
        d->coverage.lost = false;
        enf_tell(d, &event);
    }
}

/* A relay that is missing is somebody's mail; one too many is a hole. */
static int compare_relays(struct enf_daemon *d)
{
    size_t missing = 0, strange = 0;
    char who[64];
    int err = enf_relays_check(d, &missing, &strange);

    if (err < 0 || (missing == 0 && strange == 0))
        return err;
    enf_truth_tell(d, true, "the relay sets were changed by %s: %zu missing, %zu not ours",
                   enf_truth_who(d, who, sizeof who), missing, strange);
    err = enf_install_relays(d);
    if (err == 0)
        enf_truth_tell(d, false, "the relay sets are complete again");
    return err;
}

static int compare_governed(struct enf_daemon *d)
{
    bool same = true;
    char who[64];
    int err = enf_governor_check(d, &same);

    if (err < 0 || same)
        return err;
    enf_truth_tell(d, true, "the set governed_if was changed by %s", enf_truth_who(d, who, sizeof who));
    err = enf_governor_to_kernel(d);
    if (err == 0)
        enf_truth_tell(d, false, "the set governed_if is as it should be");
    return err;
}

int enf_compare(struct enf_daemon *d, enum enf_adopt adopting, bool due)
{
    int err = compare_relays(d);

    if (err == 0)
        err = compare_governed(d);
    if (err < 0)
        return err;
    if (enf_quarantine_count(d->quarantine) > ENF_COMPARE_AT_ONCE)
        return enf_compare_large(d, adopting, due);
    err = enf_compare_at_once(d, adopting);
    /* What was put back is looked for: then it is restored, and not before. */
    if (err == 1)
        err = enf_compare_at_once(d, adopting);
    enf_patrol_scan(d);
    return err < 0 ? err : 0;
}
