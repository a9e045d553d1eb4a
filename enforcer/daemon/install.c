/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ruleset and the relays into the kernel; change of mode. */
#include "enforcer/core/array.h"
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Policy block and observe never depend on a queue, nor on a kernel that has one. */
static bool needs_queue(const struct enf_config *config, enum enf_mode mode)
{
    for (size_t i = 0; mode == ENF_MODE_ENFORCE && i < config->groups_len; i++) {
        if (config->groups[i].policy == ENF_POLICY_INSPECT)
            return true;
    }
    return false;
}

/* With a queue in the kernel's table there must be somebody who listens; the listener comes first. Queues of
 * other numbers are bound before the old ones are let go. */
static int prepare_queues(struct enf_daemon *d, const struct enf_config *config)
{
    const struct enf_config *old = d->running->config;
    bool fail_open = config->queue.fail == ENF_FAIL_OPEN;
    int err = 0;

    if (d->crew.len == 0) /* --install: the daemon that comes later listens */
        return 0;
    if (!enf_crew_listens(&d->crew) || config->queue.first != old->queue.first) {
        err = enf_crew_listen(&d->crew, config->queue.first, fail_open);
        enf_telemetry_rebase(d);
    } else if (config->queue.fail != old->queue.fail) {
        err = enf_crew_set_fail_open(&d->crew, fail_open);
    }
    return err;
}

static int words(char **error, const char *what, int err)
{
    if (error && !*error && asprintf(error, "%s: %s", what, strerror(-err)) < 0)
        *error = NULL;
    return err;
}

/* The queue statements in the kernel are those that are wanted: then no packet need meet the verdict behind
 * them, not for a moment. */
static bool keeps_queues(struct enf_daemon *d, const struct enf_config *config, enum enf_mode mode)
{
    const struct enf_config *old = d->running->config;

    return d->queued && needs_queue(config, mode) && enf_crew_listens(&d->crew) &&
           config->queue.first == old->queue.first && config->queue.fail == old->queue.fail &&
           enf_kernel_queue_check(d->kernel, config->queue.first, config->queue.count,
                                  config->queue.fail == ENF_FAIL_OPEN) == 0;
}

int enf_install(struct enf_daemon *d, const struct enf_running *running, enum enf_mode mode, char **error)
{
    const struct enf_config *config = running->config;
    bool keep = keeps_queues(d, config, mode);
    char *text = NULL;
    /* A repair makes what was there, and not what is wanted by now. */
    enum enf_garden_need garden = d->truth.repairing ? d->garden.open : enf_garden_wanted(d);
    int err = enf_running_ruleset(running, mode, garden, &text);

    if (err < 0)
        return words(error, "the ruleset could not be written", err);
    err = enf_truth_listen(d);
    if (err < 0) {
        free(text);
        return words(error, "changes of others cannot be listened to", err);
    }
    /* What an earlier daemon left says it. Else it stays what it was, or the native one is tried first. */
    if (!keep && needs_queue(config, mode))
        enf_kernel_queue_kind(d->kernel, &d->queue_kind);
    err = keep ? enf_ruleset_load_around_queues(text, d->truth.notify, error)
               : enf_ruleset_load(text, d->truth.notify, error);
    if (err < 0) {
        free(text);
        return words(error, "the kernel refused the ruleset", err);
    }
    free(d->ruleset);
    d->ruleset = text;
    d->garden.open = garden;
    d->queued = needs_queue(config, mode);
    if (d->queued && !keep) {
        err = prepare_queues(d, config);
        if (err < 0)
            return words(error, "NFQUEUE could not be bound (another program has the queue?)", err);
        err = enf_kernel_queue_install(d->kernel, config->queue.first, config->queue.count,
                                       config->queue.fail == ENF_FAIL_OPEN, &d->queue_kind);
        if (err < 0)
            return words(error,
                         "the queue statement was refused (kernel without nft queue and without xt NFQUEUE?)",
                         err);
    }
    err = enf_truth_settle(d);
    enf_cut_want_anew(d); /* who was only observed may be cut off now */
    return err < 0 ? err : enf_kernel_rule_count(d->kernel, &d->rules_expected);
}

/* --- relays --- */

struct prefixes {
    struct enf_prefix *items;
    size_t len;
    size_t size;
    int err;
};

static void append(struct prefixes *list, const struct enf_prefix *prefix)
{
    struct enf_prefix *items = enf_array_grow(list->items, list->len, &list->size, sizeof *items);

    if (!items) {
        list->err = -ENOMEM;
        return;
    }
    list->items = items;
    list->items[list->len++] = *prefix;
}

static int append_forced(void *ctx, const struct enf_quarantine *entry)
{
    if (entry->forced)
        append(ctx, &entry->subscriber);
    return 0;
}

static int put_relays(struct enf_daemon *d, enum enf_family family, const struct enf_rangemap *relays)
{
    struct enf_kernel_net *nets = calloc(relays->len ? relays->len : 1, sizeof *nets);
    size_t len = 0;

    if (!nets)
        return -ENOMEM;
    for (size_t i = 0; i < relays->len; i++) {
        if (relays->entries[i].range.first.family == family)
            nets[len++] = (struct enf_kernel_net){.range = relays->entries[i].range};
    }
    int err = enf_kernel_relays_replace(d->kernel, family, nets, len);
    free(nets);
    return err;
}

/* Only what meets a relay counts: a million quarantines are not walked through for that. */
static int collect_relays(struct enf_daemon *d, struct prefixes *all, struct prefixes *forced)
{
    const struct enf_config *config = d->running->config;

    for (size_t i = 0; i < config->relays_len; i++) {
        for (size_t j = 0; j < config->relays[i].addresses_len && !enf_relay_lapsed(d, i); j++)
            append(all, &config->relays[i].addresses[j]);
    }
    for (size_t i = 0; i < d->hand_relays_len; i++) {
        if (!d->hand_relays[i].life.lapsed)
            append(all, &d->hand_relays[i].row.prefix);
    }
    for (size_t i = 0; d->quarantine && i < all->len; i++) {
        enf_quarantine_covering(d->quarantine, &all->items[i], append_forced, forced);
        enf_quarantine_inside(d->quarantine, &all->items[i], append_forced, forced);
    }
    return all->err ? all->err : forced->err;
}

/* enforced: less what is quarantined with force. known: all. Either may be NULL. */
static int wanted_relays(struct enf_daemon *d, struct enf_rangemap *enforced, struct enf_rangemap *known)
{
    struct prefixes all = {0}, forced = {0};
    int err = collect_relays(d, &all, &forced);

    if (err == 0)
        err = enf_rangemap_difference(all.items, all.len, forced.items, forced.len, enforced);
    if (err == 0 && known) {
        err = enf_rangemap_difference(all.items, all.len, NULL, 0, known);
        if (err < 0)
            enf_rangemap_clear(enforced);
    }
    free(all.items);
    free(forced.items);
    return err;
}

struct relay_check {
    const struct enf_rangemap *wanted;
    size_t found;
    size_t strange;
};

static int on_kernel_relay(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct relay_check *c = ctx;
    const struct enf_rangemap_entry *entry = enf_rangemap_find(c->wanted, &range->first);

    (void)expires_ms;
    bool same = entry && enf_addr_equal(&entry->range.first, &range->first) &&
                enf_addr_equal(&entry->range.last, &range->last);
    c->found += same;
    c->strange += !same;
    return 0;
}

int enf_relays_check(struct enf_daemon *d, size_t *missing, size_t *strange)
{
    struct enf_rangemap wanted = {0};
    struct relay_check check = {.wanted = &wanted};
    int err = wanted_relays(d, &wanted, NULL);

    if (err == 0)
        err = enf_kernel_read_set(d->kernel, ENF_KERNEL_RELAYS4, on_kernel_relay, &check);
    if (err == 0)
        err = enf_kernel_read_set(d->kernel, ENF_KERNEL_RELAYS6, on_kernel_relay, &check);
    if (err == 0) {
        *missing = wanted.len - check.found;
        *strange = check.strange;
    }
    enf_rangemap_clear(&wanted);
    return err;
}

int enf_install_relays(struct enf_daemon *d)
{
    struct enf_rangemap enforced = {0}, known = {0};
    size_t missing = 0, strange = 0;
    int err = wanted_relays(d, &enforced, &known);

    if (err < 0)
        return err;
    /* Kernels 6.1 and 6.12 miss elements of an interval set while it is replaced: not without need. */
    if (enf_relays_check(d, &missing, &strange) < 0 || missing > 0 || strange > 0) {
        err = put_relays(d, ENF_FAMILY_V4, &enforced);
        if (err == 0)
            err = put_relays(d, ENF_FAMILY_V6, &enforced);
    }
    if (err == 0) {
        enf_rangemap_clear(&d->relays);
        d->relays = known;
        known = (struct enf_rangemap){0};
        err = enf_install_view(d);
    }
    enf_rangemap_clear(&enforced);
    enf_rangemap_clear(&known);
    return err;
}

int enf_install_view(struct enf_daemon *d)
{
    struct enf_rangemap *relays = calloc(1, sizeof *relays);
    struct enf_rangemap *old = d->worker_relays;

    if (!relays)
        return -ENOMEM;
    relays->entries = calloc(d->relays.len ? d->relays.len : 1, sizeof *relays->entries);
    if (!relays->entries) {
        free(relays);
        return -ENOMEM;
    }
    if (d->relays.len > 0)
        memcpy(relays->entries, d->relays.entries, d->relays.len * sizeof *relays->entries);
    relays->len = d->relays.len;
    struct enf_worker_view view = {.running = d->running, .mode = d->mode, .relays = relays};
    int err = enf_crew_set_view(&d->crew, &view);
    d->worker_relays = relays;
    if (err < 0) /* a stuck worker may still look at the old ones */
        return err;
    if (old) {
        enf_rangemap_clear(old);
        free(old);
    }
    return 0;
}

/* --- mode --- */

static int save_mode(struct enf_daemon *d, enum enf_mode mode, bool by_hand)
{
    return by_hand ? enf_store_setting_set(d->store, "mode", mode == ENF_MODE_OBSERVE ? "observe" : "enforce")
                   : enf_store_setting_delete(d->store, "mode");
}

int enf_mode_save_again(struct enf_daemon *d)
{
    int err = d->mode_unsaved ? save_mode(d, d->mode, d->mode_by_hand) : 0;

    if (err == 0)
        d->mode_unsaved = false;
    return err;
}

int enf_set_mode(struct enf_daemon *d, enum enf_mode mode, bool by_hand, const char *actor, char **error)
{
    const char *name = mode == ENF_MODE_OBSERVE ? "observe" : "enforce";
    int err = mode == d->mode ? 0 : enf_install(d, d->running, mode, error);

    if (err < 0)
        return err;
    /* The disk before the answer: a mode by hand is kept over a restart. But dropping can be stopped whatever
     * the disk says (decision 0023), and then be taken up again. */
    err = save_mode(d, mode, by_hand);
    bool urgent = by_hand && mode == ENF_MODE_OBSERVE;
    if (err < 0 && (urgent || d->mode_unsaved)) {
        enf_log_line("mode", "%s is in force, but could not be written: %s; it is tried again", name,
                     enf_store_message(d->store));
        d->state_failed = d->mode_unsaved = true;
        err = 0;
    } else if (err == 0) {
        d->mode_unsaved = false;
    }
    if (err < 0) {
        if (mode != d->mode)
            enf_install(d, d->running, d->mode, NULL);
        if (error && !*error &&
            asprintf(error, "the state could not be written: %s", enf_store_message(d->store)) < 0)
            *error = NULL;
        return -EIO;
    }
    bool changed = mode != d->mode || by_hand != d->mode_by_hand;
    d->mode = mode;
    d->mode_by_hand = by_hand;
    err = enf_install_view(d);
    if (changed)
        enf_tell_text(d, ENF_EVENT_MODE_CHANGED, ENF_OUTCOME_SUCCESS, actor, "mode is %s (%s)%s", name,
                      by_hand ? "by hand" : "as the configuration says",
                      d->mode_unsaved ? "; not on disk, so a restart forgets it" : "");
    return err;
}
