/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rebuilds the table: the sets and who is in them before the rules, so that nothing passes once a rule is in
 * force. Where that takes long, the rules come first: they protect most, and the rest follows in pieces. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_large(const struct enf_daemon *d)
{
    return enf_quarantine_count(d->quarantine) > ENF_COMPARE_AT_ONCE;
}

static int rebuild(struct enf_daemon *d, bool gone, char **error)
{
    int err = enf_ruleset_load_sets(d->ruleset, error);

    if (err == 0 && gone && !is_large(d))
        err = enf_enforce_all(d);
    if (err == 0)
        err = enf_install_relays(d);
    if (err == 0 && gone)
        err = enf_governor_to_kernel(d);
    if (err == 0)
        err = enf_install(d, d->running, d->mode, error);
    if (err == 0 && gone && is_large(d)) {
        err = enf_nets_put(d, ENF_FAMILY_V4);
        if (err == 0)
            err = enf_nets_put(d, ENF_FAMILY_V6);
        d->coverage.desired = enf_quarantine_count(d->quarantine);
        d->coverage.enforced = 0;
        enf_patrol_start(d, true);
    }
    return err;
}

/* What a load cannot put right (a set of ours that was made anew with another type, a base chain with another
 * priority) goes with the table. */
static int start_over(struct enf_daemon *d, char **error)
{
    free(*error);
    *error = NULL;
    enf_log_line("ruleset", "the table is deleted and made anew");
    int err = enf_ruleset_remove(error);
    return err == 0 ? rebuild(d, true, error) : err;
}

/* How long it was so, as far as that is known. */
static void tell_restored(struct enf_daemon *d, bool gone)
{
    struct enf_truth *t = &d->truth;

    if (t->since_ms > 0 && !(gone && is_large(d))) {
        char words[192];
        struct enf_gap_counts counts = enf_gap_end(d);
        t->gap_ms = enf_clock_steady_ms() - t->since_ms;
        t->leaked += counts.quarantined + counts.blocked;
        enf_truth_tell(d, false,
                       "the table is complete again, %" PRIu64 " ms after the change was heard of; %s",
                       t->gap_ms, enf_gap_words(d, &counts, words, sizeof words));
    } else if (t->since_ms > 0) {
        t->gap_ms = enf_clock_steady_ms() - t->since_ms;
        enf_truth_tell(d, false,
                       "the table is complete again, %" PRIu64
                       " ms after the change was heard of; the quarantine is being filled in",
                       t->gap_ms);
    } else {
        enf_truth_tell(d, false,
                       "the table is complete again; since when it was not is not known, at most %" PRIu64
                       " s",
                       (enf_clock_steady_ms() - d->coverage.checked_steady_ms) / 1000 + 1);
    }
}

int enf_repair(struct enf_daemon *d, bool gone, const char *what)
{
    struct enf_truth *t = &d->truth;
    char *error = NULL, who[64];
    size_t transactions = (size_t)t->news.transactions;

    enf_truth_tell(d, true, "the table inet enforcer was %s by %s%s%s", gone ? "deleted" : "changed",
                   enf_truth_who(d, who, sizeof who), gone ? "" : ": ", gone ? "" : what);
    t->repairing = true;
    int err = rebuild(d, gone, &error);
    enf_truth_hear(d);
    /* Where somebody changed it again meanwhile, that is the reason, and the next look's business. */
    if (err < 0 && err != -EINTR && t->news.transactions == transactions && !t->news.overrun)
        err = start_over(d, &error);
    t->repairing = false;
    if (err == 0)
        tell_restored(d, gone);
    else if (!t->fight.on)
        enf_log_line("ruleset", "could not be put back: %s", error ? error : strerror(-err));
    free(error);
    return err;
}
