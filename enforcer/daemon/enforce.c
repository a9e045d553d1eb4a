/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quarantine from a wish to what is in force: the table says what changes, the kernel takes it, the disk
 * keeps it, and only then it is told. Where one of them refuses, the others go back. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/batch.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/tiers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The elements that changes touch, as the table wants them now: those that shall be there, or those that
 * shall not. In pieces, so that a ban made meanwhile does not wait. */
static int put_singles(struct enf_daemon *d, const struct enf_changes *changes, bool remove)
{
    struct enf_kernel_single singles[ENF_KERNEL_CHUNK];
    uint64_t now_ms = enf_clock_wall_ms();
    size_t len = 0;
    int err = 0;

    for (size_t i = 0; err == 0 && i < changes->elements_len; i++) {
        const struct enf_quarantine_element *e = &changes->elements[i];
        struct enf_quarantine_ends ends = enf_quarantine_ends(d->quarantine, &e->subscriber);
        for (unsigned tier = 0; tier < ENF_KERNEL_TIER_COUNT; tier++) {
            uint64_t until_ms = enf_tier_end(tier, &ends);
            if (!enf_tier_holds(tier, e->level) || remove != (until_ms == 0))
                continue;
            singles[len++] = (struct enf_kernel_single){
                .subscriber = e->subscriber,
                .tier = tier,
                .remove = remove,
                .timeout_ms = remove ? 0 : enf_left_ms(until_ms, now_ms),
            };
        }
        if (len + ENF_KERNEL_TIER_COUNT > ENF_KERNEL_CHUNK || i + 1 == changes->elements_len) {
            err = enf_kernel_singles(d->kernel, singles, len);
            len = 0;
        }
    }
    return err;
}

/* The kernel's part of a set of changes: what the table says now of all that they touch. Who changes from one
 * tier to another is in both for a moment, and never in none. */
static int put_kernel(struct enf_daemon *d, const struct enf_changes *changes)
{
    int err = put_singles(d, changes, false);

    if (err == 0)
        err = put_singles(d, changes, true);
    if (err == 0 && changes->nets4)
        err = enf_nets_change(d, ENF_FAMILY_V4);
    if (err == 0 && changes->nets6)
        err = enf_nets_change(d, ENF_FAMILY_V6);
    return err == 0 ? enf_garden_open(d) : err;
}

/* The same, and where somebody has taken the table away: once more, after it was put back. */
static int put_or_mend(struct enf_daemon *d, const struct enf_changes *changes)
{
    int err = put_kernel(d, changes);

    return err < 0 && enf_truth_mend(d, err) ? put_kernel(d, changes) : err;
}

static const char *history_action(enum enf_quarantine_change change)
{
    switch (change) {
    case ENF_QUARANTINE_CREATED:
        return "quarantined";
    case ENF_QUARANTINE_EXTENDED:
    case ENF_QUARANTINE_SHORTENED:
    case ENF_QUARANTINE_CHANGED:
    case ENF_QUARANTINE_UNCHANGED:
        return "changed";
    case ENF_QUARANTINE_RELEASED:
        return "released";
    case ENF_QUARANTINE_EXPIRED:
        return "expired";
    }
    return "changed";
}

static int put_store(struct enf_daemon *d, const struct enf_changes *changes, const char *actor,
                     const char *reason, uint64_t now_ms)
{
    int err = enf_store_begin(d->store);

    if (err < 0)
        return err;
    for (size_t i = 0; err == 0 && i < changes->rows_len; i++) {
        const struct enf_change_row *row = &changes->rows[i];
        err = row->present ? enf_store_quarantine_put(d->store, &row->entry)
                           : enf_store_quarantine_delete(d->store, &row->entry);
    }
    for (size_t i = 0; err == 0 && i < changes->told_len; i++) {
        const struct enf_change_told *told = &changes->told[i];
        struct enf_store_history line = {
            .subscriber = told->entry.subscriber,
            .time_ms = now_ms,
            .level = told->entry.level,
            .until_ms = told->entry.until_ms,
            .reason = reason ? reason : told->entry.reason,
            .actor = actor ? actor : told->entry.actor,
            .ticket = told->entry.ticket,
        };
        if (told->change != ENF_QUARANTINE_UNCHANGED)
            err = enf_store_history_add(d->store, history_action(told->change), &line);
    }
    if (err == 0)
        err = enf_audit_within(d);
    if (err < 0)
        enf_store_rollback(d->store);
    else
        err = enf_store_commit(d->store);
    enf_audit_committed(d, err == 0);
    return err;
}

/* Whether a relay is cut by force depends on the entries. */
static bool touches_relays(const struct enf_changes *changes)
{
    for (size_t i = 0; i < changes->told_len; i++) {
        if (changes->told[i].entry.forced)
            return true;
    }
    return false;
}

/* Kernel, then disk; what follows from it is concluded later. What a person asked for is refused where the
 * disk cannot keep it, and the caller makes the kernel equal to the table again; what protects others, or
 * ends by itself, is done all the same and said. */
static int carry_out(struct enf_daemon *d, struct enf_conclusion *c, const char *actor, const char *reason)
{
    uint64_t now_ms = enf_clock_wall_ms();
    int err = c->changes.err;

    if (err == 0)
        err = put_or_mend(d, &c->changes);
    if (err == 0 && put_store(d, &c->changes, actor, reason, now_ms) < 0) {
        if (c->needs_disk)
            err = -EIO;
        else
            enf_keep_unsaved(d, &c->changes);
    }
    if (err == 0 && touches_relays(&c->changes))
        enf_install_relays(d);
    return err;
}

static void arm_expiry(struct enf_daemon *d);

/* After a refusal the table holds what nobody else has: read it anew from the disk, with what the disk
 * refused before. */
static int recall(struct enf_daemon *d)
{
    int err = enf_load_quarantine(d);

    if (err == 0)
        enf_unsaved_restore(d);
    return err;
}

static void log_fallen(int err)
{
    if (err < 0)
        enf_log_line("quarantine", "a refused change could not be taken back whole: %s", strerror(-err));
}

/* Then make the kernel equal. */
static void fall_back(struct enf_daemon *d, const struct enf_changes *changes)
{
    int err = recall(d);

    log_fallen(err == 0 ? put_kernel(d, changes) : err);
}

void enf_enforce_take_back(struct enf_daemon *d, const struct enf_conclusion *items, size_t len)
{
    bool relays = false;
    int err = recall(d);

    for (size_t i = 0; err == 0 && i < len; i++) {
        err = put_kernel(d, &items[i].changes);
        relays |= touches_relays(&items[i].changes);
    }
    if (relays)
        enf_install_relays(d);
    log_fallen(err);
    arm_expiry(d);
}

int enf_enforce_add(struct enf_daemon *d, const struct enf_quarantine *entries, size_t len,
                    enum enf_quarantine_how how)
{
    struct enf_conclusion c = {.needs_disk = how == ENF_QUARANTINE_SET};
    int err = enf_conclusion_init(d, &c);

    if (err == 0)
        err = enf_quarantine_add(d->quarantine, entries, len, how, &c.changes.sink);
    if (err == 0) {
        enf_changes_seal(&c.changes);
        err = carry_out(d, &c, NULL, NULL);
        if (err < 0)
            fall_back(d, &c.changes);
        else
            enf_conclude(d, &c, NULL, NULL);
    }
    enf_conclusion_clear(d, &c);
    arm_expiry(d);
    return err;
}

/* From the table: up to ENF_RELEASE_AT_ONCE entries of the prefixes from *at on, which moves to the first
 * that is not done. released has room for a number of each. */
static int release_from_table(struct enf_daemon *d, const struct enf_release *r, struct enf_changes *changes,
                              size_t *at, size_t *released)
{
    size_t room = ENF_RELEASE_AT_ONCE;
    int err = 0;

    for (size_t i = *at; err == 0 && i < r->len; i++) {
        bool more = false;
        err = enf_quarantine_release_some(d->quarantine, &r->prefixes[i], room, &changes->sink, &released[i],
                                          &more);
        room -= released[i] < room ? released[i] : room;
        *at = i;
        if (more)
            return 0;
    }
    *at = r->len;
    return err;
}

/* The prefixes from first on that something was released of. */
static void note_released(const struct enf_release *r, struct enf_conclusion *c, size_t first,
                          const size_t *released, size_t *out_released)
{
    for (size_t i = first; i < r->len; i++) {
        *out_released += released[i];
        if (released[i] > 0)
            c->released[c->released_len++] = r->prefixes[i];
    }
    for (size_t i = 0; r->fn && i < c->changes.told_len; i++) {
        if (c->changes.told[i].change == ENF_QUARANTINE_RELEASED)
            r->fn(r->ctx, &c->changes.told[i].entry);
    }
}

/* One change. *at: where it begins, then where the next one does. */
static int release_some(struct enf_daemon *d, const struct enf_release *r, size_t *at, size_t *out_released)
{
    struct enf_conclusion c = {.needs_disk = true};
    struct enf_changes *changes = &c.changes;
    size_t first = *at, *released = calloc(r->len, sizeof *released);
    int err = enf_conclusion_init(d, &c);

    c.released = calloc(r->len, sizeof *c.released);
    if (err == 0 && (!released || !c.released))
        err = -ENOMEM;
    if (err == 0) {
        err = release_from_table(d, r, changes, at, released);
        enf_changes_seal(changes);
        if (err == 0 && changes->told_len + changes->rows_len > 0)
            err = carry_out(d, &c, r->actor, r->reason);
        else if (err == 0)
            err = changes->err;
        if (err < 0 && (changes->err < 0 || changes->rows_len > 0))
            fall_back(d, changes);
    }
    if (err == 0) {
        note_released(r, &c, first, released, out_released);
        enf_conclude(d, &c, r->actor, r->reason);
    }
    free(released);
    enf_conclusion_clear(d, &c);
    return err;
}

int enf_enforce_release(struct enf_daemon *d, const struct enf_release *release, size_t *out_released)
{
    size_t at = 0;
    int err = 0;

    *out_released = 0;
    while (err == 0 && at < release->len)
        err = release_some(d, release, &at, out_released);
    arm_expiry(d);
    return err;
}

#define EXPIRE_AT_ONCE  1000
#define EXPIRY_AHEAD_MS 5000

void enf_enforce_expire(struct enf_daemon *d)
{
    struct enf_conclusion c = {0};

    if (enf_conclusion_init(d, &c) < 0)
        return; /* at the next tick */
    enf_quarantine_expire(d->quarantine, enf_clock_wall_ms(), EXPIRE_AT_ONCE, &c.changes.sink);
    enf_changes_seal(&c.changes);
    if (c.changes.told_len > 0) {
        int err = carry_out(d, &c, NULL, NULL);
        if (err < 0)
            enf_log_line("quarantine", "expired entries could not be written: %s", strerror(-err));
        else
            enf_conclude(d, &c, NULL, NULL);
        enf_forget_ended(d, &c.changes);
    }
    enf_conclusion_clear(d, &c);
    arm_expiry(d);
}

static void on_expiry(uv_timer_t *timer)
{
    enf_enforce_expire(timer->data);
}

static void arm_expiry(struct enf_daemon *d)
{
    uint64_t next_ms = enf_quarantine_next_expiry(d->quarantine), now_ms = enf_clock_wall_ms();

    if (!d->loop_ready || d->stopping)
        return;
    d->expiry.data = d;
    if (next_ms == ENF_FOREVER) {
        uv_timer_stop(&d->expiry);
        return;
    }
    /* Not far ahead: the wall clock may be set meanwhile. */
    uint64_t wait_ms = next_ms > now_ms ? next_ms - now_ms : 1;
    uv_timer_start(&d->expiry, on_expiry, wait_ms < EXPIRY_AHEAD_MS ? wait_ms : EXPIRY_AHEAD_MS, 0);
}
