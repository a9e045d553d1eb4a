/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the state's disk fails: what could not be written is kept apart and written later, a state that could
 * not be opened is tried again, and quarantine without a record is taken over from the kernel's own sets. */
#include "enforcer/core/rangemap.h"
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS    10000
#define REWRITE_MAX 20000 /* entries that are written anew at once; of more only those that are missing */

/* --- from the kernel --- */

struct adopting {
    struct enf_daemon *d;
    uint64_t now_ms;
    uint64_t until_ms; /* of the range that is being cut */
    enum enf_level level;
    size_t singles;
    size_t nets;
    int err;
};

static int adopt_one(struct adopting *a, const struct enf_prefix *prefix, uint64_t until_ms, bool net)
{
    const struct enf_group *group = enf_group_find(&a->d->running->groups, &prefix->addr);
    struct enf_quarantine entry = {
        .subscriber = *prefix,
        .net = net,
        .level = a->level,
        .since_ms = a->now_ms,
        .until_ms = until_ms,
        .convictions = net ? 0 : 1,
    };

    if (group && group->addresses == ENF_ADDRESSES_DYNAMIC && entry.until_ms > a->now_ms + group->lease_ms)
        entry.until_ms = a->now_ms + group->lease_ms;
    enf_text_copy(entry.actor, sizeof entry.actor, "recovery");
    enf_text_copy(entry.reason, sizeof entry.reason,
                  "taken over from the kernel's set: the state with its reason could not be read");
    if (group)
        enf_text_copy(entry.group, sizeof entry.group, group->name);
    int err = enf_quarantine_add(a->d->quarantine, &entry, 1, ENF_QUARANTINE_EXTEND, NULL);
    if (err < 0) {
        a->err = a->err ? a->err : err;
        return 0; /* the others all the same */
    }
    if (enf_store_quarantine_put(a->d->store, &entry) < 0)
        enf_unsaved_put(a->d, &entry);
    return 0;
}

static uint64_t end_of(const struct adopting *a, uint64_t expires_ms)
{
    return expires_ms == ENF_FOREVER ? ENF_FOREVER : a->now_ms + (expires_ms ? expires_ms : 1);
}

static int on_single(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct adopting *a = ctx;
    const struct enf_group *group = enf_group_find(&a->d->running->groups, &range->first);
    struct enf_prefix subscriber = enf_group_subscriber(group, &range->first);

    a->singles++;
    return adopt_one(a, &subscriber, end_of(a, expires_ms), false);
}

static int on_part(void *ctx, const struct enf_prefix *prefix)
{
    struct adopting *a = ctx;

    a->nets++;
    return adopt_one(a, prefix, a->until_ms, true);
}

static int on_range(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct adopting *a = ctx;

    a->until_ms = end_of(a, expires_ms);
    return enf_range_to_prefixes(range, on_part, a);
}

void enf_recover_from_kernel(struct enf_daemon *d)
{
    static const struct {
        enum enf_kernel_set set;
        enf_kernel_element_fn fn;
        enum enf_level level;
    } sets[] = {{ENF_KERNEL_FULL4, on_single, ENF_LEVEL_FULL},
                {ENF_KERNEL_FULL6, on_single, ENF_LEVEL_FULL},
                {ENF_KERNEL_FULL_NETS4, on_range, ENF_LEVEL_FULL},
                {ENF_KERNEL_FULL_NETS6, on_range, ENF_LEVEL_FULL},
                {ENF_KERNEL_QUARANTINE4, on_single, ENF_LEVEL_SMTP},
                {ENF_KERNEL_QUARANTINE6, on_single, ENF_LEVEL_SMTP},
                {ENF_KERNEL_QUARANTINE_NETS4, on_range, ENF_LEVEL_SMTP},
                {ENF_KERNEL_QUARANTINE_NETS6, on_range, ENF_LEVEL_SMTP},
                {ENF_KERNEL_THROTTLE4, on_single, ENF_LEVEL_THROTTLE},
                {ENF_KERNEL_THROTTLE6, on_single, ENF_LEVEL_THROTTLE},
                {ENF_KERNEL_THROTTLE_NETS4, on_range, ENF_LEVEL_THROTTLE},
                {ENF_KERNEL_THROTTLE_NETS6, on_range, ENF_LEVEL_THROTTLE}};
    struct adopting a = {.d = d, .now_ms = enf_clock_wall_ms()};
    bool open = enf_store_begin(d->store) == 0;

    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        a.level = sets[i].level;
        int err = enf_kernel_read_set(d->kernel, sets[i].set, sets[i].fn, &a);
        if (err < 0 && err != -ENOENT) /* a machine that has just booted has no table */
            a.err = a.err ? a.err : err;
    }
    if (open && enf_store_commit(d->store) < 0)
        enf_unsaved_all(d);
    if (a.singles + a.nets == 0 && a.err == 0)
        return;
    enf_log_line("state", "%zu quarantines and %zu prefixes are taken over from the kernel%s%s", a.singles,
                 a.nets, a.err ? ", not all: " : "", a.err ? strerror(-a.err) : "");
    if (d->hub)
        enf_tell_text(d, a.err ? ENF_EVENT_COVERAGE_LOST : ENF_EVENT_COVERAGE_RESTORED,
                      a.err ? ENF_OUTCOME_FAILURE : ENF_OUTCOME_SUCCESS, NULL,
                      "%zu quarantines and %zu prefixes are taken over from the kernel's sets, without their "
                      "reasons%s%s",
                      a.singles, a.nets, a.err ? ", not all: " : "", a.err ? strerror(-a.err) : "");
}

/* --- what the disk refused --- */

void enf_unsaved_put(struct enf_daemon *d, const struct enf_quarantine *entry)
{
    if (!d->unsaved && enf_quarantine_new(ENF_QUARANTINE_ENTRIES_LIMIT, d->seed, &d->unsaved) < 0)
        return;
    if (enf_quarantine_add(d->unsaved, entry, 1, ENF_QUARANTINE_EXTEND, NULL) < 0)
        enf_log_line("state", "a quarantine that the disk refused could not be kept in memory");
}

static int put_one(void *ctx, const struct enf_quarantine *entry)
{
    enf_unsaved_put(ctx, entry);
    return 0;
}

void enf_unsaved_all(struct enf_daemon *d)
{
    enf_quarantine_each(d->quarantine, put_one, d);
}

static int restore_one(void *ctx, const struct enf_quarantine *entry)
{
    struct enf_daemon *d = ctx;

    if (entry->until_ms > enf_clock_wall_ms())
        enf_quarantine_add(d->quarantine, entry, 1, ENF_QUARANTINE_EXTEND, NULL);
    return 0;
}

void enf_unsaved_restore(struct enf_daemon *d)
{
    if (d->unsaved)
        enf_quarantine_each(d->unsaved, restore_one, d);
}

void enf_unsaved_release(struct enf_daemon *d, const struct enf_prefix *prefix)
{
    size_t released;

    if (d->unsaved)
        enf_quarantine_release(d->unsaved, prefix, NULL, &released);
}

static int save_one(void *ctx, const struct enf_quarantine *entry)
{
    struct enf_daemon *d = ctx;

    return enf_store_quarantine_put(d->store, entry);
}

/* Where there are few, all rows anew: rows that could not be deleted go as well. */
static int save(struct enf_daemon *d)
{
    bool all = enf_quarantine_count(d->quarantine) <= REWRITE_MAX;
    int err = enf_store_begin(d->store);

    if (err == 0 && all)
        err = enf_store_quarantine_clear(d->store);
    if (err == 0)
        err = enf_quarantine_each(all || !d->unsaved ? d->quarantine : d->unsaved, save_one, d);
    if (err < 0) {
        enf_store_rollback(d->store);
        return err;
    }
    return enf_store_commit(d->store);
}

/* The state of the disk comes to what is in force now: nothing was released meanwhile, so both are right. */
static int open_again(struct enf_daemon *d)
{
    struct enf_store *store = NULL, *none = d->store;
    char text[512];
    int err = enf_store_open(d->running->config->state, &store, text, sizeof text);

    if (err < 0)
        return err;
    enf_unsaved_all(d);
    d->store = store;
    err = enf_remember_rows(d);
    if (err < 0) {
        d->store = none;
        enf_store_close(&store);
        return err;
    }
    enf_store_close(&none);
    d->forgetful = false;
    return 0;
}

/* What the state knew: relays by hand, quarantine, and the mode, if that was set by hand. */
static void enforce_again(struct enf_daemon *d, enum enf_mode before)
{
    char *error = NULL;
    int err = d->mode == before ? 0 : enf_install(d, d->running, d->mode, &error);

    if (err == 0)
        err = enf_install_relays(d);
    if (err == 0)
        err = enf_truth_check(d, ENF_ADOPT_NONE);
    if (err < 0)
        enf_log_line("state", "what it knew could not be put in force: %s", error ? error : strerror(-err));
    free(error);
}

void enf_state_retry(struct enf_daemon *d)
{
    uint64_t now_ms = enf_clock_steady_ms();
    bool was_forgetful = d->forgetful;
    enum enf_mode mode = d->mode;

    if ((!d->forgetful && !d->state_failed) || now_ms < d->state_retry_ms)
        return;
    d->state_retry_ms = now_ms + RETRY_MS;
    if (d->forgetful && open_again(d) < 0)
        return;
    size_t len = d->unsaved ? enf_quarantine_count(d->unsaved) : 0;
    if (save(d) < 0 || enf_mode_save_again(d) < 0) {
        d->state_failed = true;
        return;
    }
    d->state_failed = false;
    enf_quarantine_free(&d->unsaved);
    if (was_forgetful)
        enforce_again(d, mode);
    enf_log_line("state", "can be written again; %zu quarantines of meanwhile are written", len);
    enf_audit(d, "enforcerd", "state", "done",
              "can be written again; %zu quarantines of meanwhile are written", len);
    enf_tell_text(d, ENF_EVENT_COVERAGE_RESTORED, ENF_OUTCOME_SUCCESS, NULL,
                  "the state can be written again; %zu quarantines of meanwhile are written", len);
}
