/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What follows from a change of the quarantine once the disk has it: what is told, what is forgotten. Several
 * changes may wait for the disk together. */
#include "enforcer/daemon/batch.h"

#include "enforcer/core/array.h"
#include "enforcer/core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void tell_change(struct enf_daemon *d, const struct enf_change_told *told)
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
    enf_text_copy(event.reason, sizeof event.reason, entry->reason);
    enf_text_copy(event.actor, sizeof event.actor, entry->actor);
    enf_text_copy(event.ticket, sizeof event.ticket, entry->ticket);
    enf_tell(d, &event);
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

void enf_forget_ended(struct enf_daemon *d, const struct enf_changes *changes)
{
    struct enf_prefix subscribers[256];

    for (size_t i = 0; i < changes->told_len;) {
        size_t n = 0;
        for (; n < sizeof subscribers / sizeof *subscribers && i < changes->told_len; i++)
            subscribers[n++] = changes->told[i].entry.subscriber;
        enf_enforce_forget(d, subscribers, n);
    }
}

void enf_keep_unsaved(struct enf_daemon *d, const struct enf_changes *changes)
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

/* --- one change --- */

int enf_conclusion_init(struct enf_daemon *d, struct enf_conclusion *c)
{
    struct enf_enforce_batch *batch = &d->batch;

    if (batch->on) {
        struct enf_conclusion *items =
            enf_array_grow(batch->items, batch->len + batch->reserved, &batch->size, sizeof *items);
        if (!items)
            return -ENOMEM;
        batch->items = items;
        batch->reserved++;
        c->reserved = true;
    }
    enf_changes_init(&c->changes);
    return 0;
}

void enf_conclusion_clear(struct enf_daemon *d, struct enf_conclusion *c)
{
    if (c->reserved)
        d->batch.reserved--;
    enf_changes_clear(&c->changes);
    free(c->released);
    *c = (struct enf_conclusion){0};
}

static void conclude(struct enf_daemon *d, const struct enf_conclusion *c)
{
    for (size_t i = 0; i < c->changes.told_len; i++) {
        const struct enf_change_told *told = &c->changes.told[i];
        tell_change(d, told);
        if (told->change != ENF_QUARANTINE_RELEASED && told->change != ENF_QUARANTINE_EXPIRED)
            enf_cut_want(d, told->entry.level == ENF_LEVEL_FULL);
    }
    for (size_t i = 0; i < c->released_len; i++)
        enf_unsaved_release(d, &c->released[i]);
    enf_enforce_forget(d, c->released, c->released_len);
}

void enf_conclude(struct enf_daemon *d, struct enf_conclusion *c, const char *actor, const char *reason)
{
    for (size_t i = 0; i < c->changes.told_len; i++) {
        struct enf_quarantine *entry = &c->changes.told[i].entry;
        if (actor)
            enf_text_copy(entry->actor, sizeof entry->actor, actor);
        if (reason && *reason)
            enf_text_copy(entry->reason, sizeof entry->reason, reason);
    }
    if (!c->reserved) {
        conclude(d, c);
        return;
    }
    d->batch.reserved--;
    c->reserved = false;
    d->batch.items[d->batch.len++] = *c;
    *c = (struct enf_conclusion){0};
}

/* --- several --- */

bool enf_enforce_batch_begin(struct enf_daemon *d)
{
    /* A state that fails is asked for each change alone: what it says is about that one. */
    if (d->state_failed || d->forgetful || d->batch.on)
        return false;
    d->batch.on = enf_store_batch_begin(d->store) == 0;
    return d->batch.on;
}

int enf_enforce_batch_end(struct enf_daemon *d)
{
    struct enf_enforce_batch batch = d->batch;
    bool back = false;

    if (!batch.on)
        return 0;
    int err = enf_store_batch_end(d->store);
    d->batch = (struct enf_enforce_batch){0};
    for (size_t i = 0; i < batch.len; i++) {
        struct enf_conclusion *c = &batch.items[i];
        if (err < 0 && !c->needs_disk)
            enf_keep_unsaved(d, &c->changes);
        if (err < 0 && c->needs_disk)
            back = true;
        else
            conclude(d, c);
    }
    if (back)
        enf_enforce_take_back(d, batch.items, batch.len);
    for (size_t i = 0; i < batch.len; i++)
        enf_conclusion_clear(d, &batch.items[i]);
    free(batch.items);
    return err;
}
