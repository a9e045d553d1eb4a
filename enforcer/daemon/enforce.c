/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quarantine from a wish to what is in force: the table says what changes, the kernel takes it, the disk
 * keeps it, and only then it is told. Where one of them refuses, the others go back. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/changes.h"
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

static void tell_change(struct enf_daemon *d, const struct enf_change_told *told, const char *actor,
                        const char *reason)
{
    const struct enf_quarantine *entry = &told->entry;
    struct enf_event event = {
        .outcome = ENF_OUTCOME_SUCCESS,
        .subscriber = entry->subscriber,
        .level = entry->level,
        .until_ms = entry->until_ms,
        .count = entry->convictions,
    };

    switch (told->change) {
    case ENF_QUARANTINE_CREATED:
        event.action = ENF_EVENT_QUARANTINED;
        break;
    case ENF_QUARANTINE_EXTENDED:
    case ENF_QUARANTINE_SHORTENED:
    case ENF_QUARANTINE_CHANGED:
        event.action = ENF_EVENT_QUARANTINE_EXTENDED;
        break;
    case ENF_QUARANTINE_RELEASED:
        event.action = ENF_EVENT_RELEASED;
        break;
    case ENF_QUARANTINE_EXPIRED:
        event.action = ENF_EVENT_QUARANTINE_EXPIRED;
        break;
    case ENF_QUARANTINE_UNCHANGED:
        return;
    }
    const struct enf_group *group = enf_group_find(&d->running->groups, &entry->subscriber.addr);
    if (d->mode == ENF_MODE_OBSERVE || (group && group->policy == ENF_POLICY_OBSERVE) ||
        (!entry->net && enf_group_policy(group, &entry->subscriber.addr) == ENF_POLICY_OBSERVE))
        event.outcome = ENF_OUTCOME_UNKNOWN; /* recorded, nothing is dropped */
    enf_text_copy(event.reason, sizeof event.reason, reason && *reason ? reason : entry->reason);
    enf_text_copy(event.actor, sizeof event.actor, actor ? actor : entry->actor);
    enf_text_copy(event.ticket, sizeof event.ticket, entry->ticket);
    enf_tell(d, &event);
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

/* The meter's element is keyed by the subscriber; a wide prefix holds more than can be named one by one. */
static bool is_named(const struct enf_prefix *prefix)
{
    return enf_prefix_is_host(prefix) || prefix->addr.family == ENF_FAMILY_V6;
}

void enf_enforce_forget(struct enf_daemon *d, const struct enf_prefix *prefixes, size_t len)
{
    bool wide = false;

    for (size_t i = 0; i < len; i++) {
        enf_crew_forget(&d->crew, &prefixes[i]);
        wide |= !is_named(&prefixes[i]);
    }
    if (wide)
        enf_kernel_meters_flush(d->kernel);
    else if (len > 0)
        enf_kernel_meters_reset(d->kernel, prefixes, len);
}

/* What a person asked for is refused where the disk cannot keep it; what protects others, or ends by itself,
 * is done all the same and said. */
enum need {
    DISK_REQUIRED,
    DISK_WANTED,
};

static void keep_unsaved(struct enf_daemon *d, const struct enf_changes *changes)
{
    for (size_t i = 0; i < changes->rows_len; i++) {
        if (changes->rows[i].present)
            enf_unsaved_put(d, &changes->rows[i].entry);
    }
    /* Said once for each failure, not for each conviction: a full disk lasts. */
    if (!d->state_failed) {
        enf_log_line("state", "could not be written, it is in force and will be tried again: %s",
                     enf_store_message(d->store));
        enf_tell_text(d, ENF_EVENT_COVERAGE_LOST, ENF_OUTCOME_FAILURE, NULL,
                      "the state cannot be written: %s; quarantines are in force, but a restart would forget "
                      "the latest",
                      enf_store_message(d->store));
    }
    d->state_failed = true;
}

/* Kernel, then disk, then told. After a refusal of the disk the caller makes the kernel equal to the table
 * again. */
static int carry_out(struct enf_daemon *d, struct enf_changes *changes, enum need need, const char *actor,
                     const char *reason)
{
    uint64_t now_ms = enf_clock_wall_ms();
    int err = changes->err;

    if (err == 0)
        err = put_or_mend(d, changes);
    if (err == 0 && put_store(d, changes, actor, reason, now_ms) < 0) {
        if (need == DISK_REQUIRED)
            err = -EIO;
        else
            keep_unsaved(d, changes);
    }
    if (err < 0)
        return err;
    if (touches_relays(changes))
        enf_install_relays(d);
    for (size_t i = 0; i < changes->told_len; i++) {
        tell_change(d, &changes->told[i], actor, reason);
        if (changes->told[i].change != ENF_QUARANTINE_RELEASED &&
            changes->told[i].change != ENF_QUARANTINE_EXPIRED)
            enf_cut_want(d, changes->told[i].entry.level == ENF_LEVEL_FULL);
    }
    return 0;
}

static void arm_expiry(struct enf_daemon *d);

/* After a refusal the table holds what nobody else has: read it anew from the disk, with what the disk
 * refused before, then make the kernel equal. */
static void fall_back(struct enf_daemon *d, const struct enf_changes *changes)
{
    int err = enf_load_quarantine(d);

    if (err == 0) {
        enf_unsaved_restore(d);
        err = put_kernel(d, changes);
    }
    if (err < 0)
        enf_log_line("quarantine", "a refused change could not be taken back whole: %s", strerror(-err));
}

int enf_enforce_add(struct enf_daemon *d, const struct enf_quarantine *entries, size_t len,
                    enum enf_quarantine_how how)
{
    struct enf_changes changes;

    enf_changes_init(&changes);
    int err = enf_quarantine_add(d->quarantine, entries, len, how, &changes.sink);
    if (err == 0) {
        enf_changes_seal(&changes);
        err = carry_out(d, &changes, how == ENF_QUARANTINE_SET ? DISK_REQUIRED : DISK_WANTED, NULL, NULL);
        if (err < 0)
            fall_back(d, &changes);
    }
    enf_changes_clear(&changes);
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
static void after_release(struct enf_daemon *d, const struct enf_release *r,
                          const struct enf_changes *changes, size_t first, const size_t *released)
{
    for (size_t i = first; i < r->len; i++) {
        if (released[i] > 0)
            enf_unsaved_release(d, &r->prefixes[i]);
    }
    /* Runs of them: nearly always all. */
    for (size_t i = first, end; i < r->len; i = end + 1) {
        for (end = i; end < r->len && released[end] > 0; end++)
            ;
        enf_enforce_forget(d, &r->prefixes[i], end - i);
    }
    for (size_t i = 0; r->fn && i < changes->told_len; i++) {
        if (changes->told[i].change == ENF_QUARANTINE_RELEASED)
            r->fn(r->ctx, &changes->told[i].entry);
    }
}

/* One change. *at: where it begins, then where the next one does. */
static int release_some(struct enf_daemon *d, const struct enf_release *r, size_t *at, size_t *out_released)
{
    struct enf_changes changes;
    size_t first = *at, *released = calloc(r->len, sizeof *released);

    if (!released)
        return -ENOMEM;
    enf_changes_init(&changes);
    int err = release_from_table(d, r, &changes, at, released);
    enf_changes_seal(&changes);
    if (err == 0 && changes.told_len + changes.rows_len > 0)
        err = carry_out(d, &changes, DISK_REQUIRED, r->actor, r->reason);
    else if (err == 0)
        err = changes.err;
    if (err < 0 && (changes.err < 0 || changes.rows_len > 0))
        fall_back(d, &changes);
    if (err == 0) {
        after_release(d, r, &changes, first, released);
        for (size_t i = first; i < r->len; i++)
            *out_released += released[i];
    }
    free(released);
    enf_changes_clear(&changes);
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

static void forget_told(struct enf_daemon *d, const struct enf_changes *changes)
{
    struct enf_prefix subscribers[256];

    for (size_t i = 0; i < changes->told_len;) {
        size_t n = 0;
        for (; n < sizeof subscribers / sizeof *subscribers && i < changes->told_len; i++)
            subscribers[n++] = changes->told[i].entry.subscriber;
        enf_enforce_forget(d, subscribers, n);
    }
}

void enf_enforce_expire(struct enf_daemon *d)
{
    struct enf_changes changes;

    enf_changes_init(&changes);
    enf_quarantine_expire(d->quarantine, enf_clock_wall_ms(), EXPIRE_AT_ONCE, &changes.sink);
    enf_changes_seal(&changes);
    if (changes.told_len > 0) {
        int err = carry_out(d, &changes, DISK_WANTED, NULL, NULL);
        if (err < 0)
            enf_log_line("quarantine", "expired entries could not be written: %s", strerror(-err));
        forget_told(d, &changes);
    }
    enf_changes_clear(&changes);
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
