/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon remembers over a restart: quarantine, history, relays by hand, mode, the governor. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WOULD_MAX   65536
#define HISTORY_MAX 1000000

struct loading {
    struct enf_quarantine_table *table;
    struct enf_restore *restore; /* NULL: none */
    int err;
};

static int load_entry(void *ctx, const struct enf_quarantine *entry)
{
    struct loading *l = ctx;
    /* One that ended while nobody was there is loaded too: the first look at the clock reports it as expired.
     */
    l->err = enf_quarantine_add(l->table, entry, 1, ENF_QUARANTINE_EXTEND, NULL);
    if (l->err == 0 && l->restore)
        enf_restore_take(l->restore, entry);
    if (l->err == -EINVAL) {
        char text[ENF_PREFIX_STR_LEN];
        enf_log_line("state", "entry for %s makes no sense and is left out",
                     enf_prefix_str(&entry->subscriber, text, sizeof text));
        l->err = 0;
    }
    return l->err;
}

int enf_load_quarantine(struct enf_daemon *d)
{
    struct loading l = {.restore = d->restore};
    size_t skipped = 0;
    /* What is in force stays, also where the configuration has a lower limit by now. */
    int err = enf_quarantine_new(ENF_QUARANTINE_ENTRIES_LIMIT, d->seed, &l.table);

    if (err < 0)
        return err;
    err = enf_store_quarantine_each(d->store, load_entry, &l, &skipped);
    if (skipped > 0)
        enf_log_line("state", "%zu rows of the quarantine make no sense and are left out", skipped);
    if (err != 0) {
        enf_log_line("state", "the quarantine could not be read: %s", enf_store_message(d->store));
        enf_quarantine_free(&l.table);
        return err;
    }
    enf_quarantine_set_max(l.table, d->running->config->quarantine.max_entries);
    enf_quarantine_free(&d->quarantine);
    d->quarantine = l.table;
    return 0;
}

static uint64_t keep_ms(const struct enf_daemon *d, const struct enf_prefix *subscriber)
{
    const struct enf_group *group = enf_group_find(&d->running->groups, &subscriber->addr);

    return group && group->addresses == ENF_ADDRESSES_DYNAMIC ? group->lease_ms : ENF_FOREVER;
}

/* Lines come oldest first: a new customer starts with a clean sheet, whatever stood before. */
static int load_history(void *ctx, const struct enf_store_history *line)
{
    struct enf_daemon *d = ctx;

    if (strcmp(line->action, "reassigned") == 0)
        enf_history_forget(d->history, &line->subscriber);
    if (strcmp(line->action, "convicted") != 0)
        return 0;
    int err = enf_history_add(d->history, &line->subscriber, line->time_ms, keep_ms(d, &line->subscriber));
    return err == -ENOMEM ? err : 0;
}

static int load_relay(void *ctx, const struct enf_store_relay *relay)
{
    struct enf_daemon *d = ctx;

    if (d->hand_relays_len == ENF_HAND_RELAYS_MAX)
        return 0;
    struct enf_hand_relay *hand = &d->hand_relays[d->hand_relays_len++];
    *hand = (struct enf_hand_relay){.row = *relay, .life.lapsed = relay->lapsed};
    return 0;
}

/* Moves a broken file aside and begins a new one: what the kernel still has is taken over. */
static int start_anew(struct enf_daemon *d)
{
    const char *directory = d->running->config->state;
    char text[512], aside[2 * ENF_PATH_LEN];
    int err = enf_store_set_aside(directory, enf_clock_wall_ms(), aside, sizeof aside);

    if (err < 0)
        return err;
    enf_log_line("state", "set aside as %s; a new one is made", aside);
    err = enf_store_open(directory, &d->store, text, sizeof text);
    if (err < 0)
        enf_log_line("state", "%s", text);
    else
        enf_audit(d, "enforcerd", "state", "done", "the state file was broken and is set aside as %s", aside);
    if (d->hub)
        enf_tell_text(
            d, ENF_EVENT_COVERAGE_LOST, ENF_OUTCOME_FAILURE, NULL,
            "the state file was broken and is set aside as %s: history and relays by hand are lost, "
            "what the kernel has in quarantine is taken over",
            aside);
    d->state_lost = true;
    return err;
}

/* A disk that refuses, or a file of a newer version: nothing there is touched, and the daemon does what it
 * can without memory. */
static int do_without(struct enf_daemon *d, const char *why)
{
    char text[ENF_STORE_MESSAGE_LEN];

    snprintf(text, sizeof text, "%s; nothing is remembered until it can be opened", why);
    int err = enf_store_open_none(text, &d->store);
    if (err < 0)
        return err;
    enf_log_line("state", "%s", text);
    if (d->hub)
        enf_tell_text(
            d, ENF_EVENT_COVERAGE_LOST, ENF_OUTCOME_FAILURE, NULL,
            "the state cannot be opened: %s. What people ask for is refused; what the kernel has in "
            "quarantine is taken over",
            why);
    d->forgetful = d->state_failed = d->state_lost = true;
    return 0;
}

static bool is_disk(enum enf_store_fault fault)
{
    return fault == ENF_STORE_FUTURE || fault == ENF_STORE_READ_ONLY || fault == ENF_STORE_FULL ||
           fault == ENF_STORE_DENIED || fault == ENF_STORE_IO;
}

static bool is_broken(int err)
{
    return err < 0 &&
           (enf_store_fault(err) == ENF_STORE_CORRUPT || enf_store_fault(err) == ENF_STORE_FOREIGN);
}

/* One level is made; a missing parent is more likely a typing error than a wish. */
static int open_store(struct enf_daemon *d)
{
    const char *directory = d->running->config->state;
    char text[512];
    int err = 0;

    if (mkdir(directory, 0700) < 0 && errno != EEXIST) {
        err = errno == EACCES || errno == EPERM ? -EACCES : errno == EDQUOT ? -ENOSPC : -errno;
        snprintf(text, sizeof text, "%s: cannot be made: %s", directory, strerror(errno));
    } else {
        err = enf_store_open(directory, &d->store, text, sizeof text);
    }
    if (err == 0)
        return 0;
    if (is_broken(err)) {
        enf_log_line("state", "%s", text);
        err = start_anew(d);
    }
    if (err < 0 && is_disk(enf_store_fault(err)))
        return do_without(d, text);
    if (err < 0)
        enf_log_line("state", "%s", text);
    return err;
}

/* What the tables are made of. */
static int make_tables(struct enf_daemon *d)
{
    enf_quarantine_free(&d->would);
    enf_history_free(&d->history);
    int err = enf_quarantine_new(WOULD_MAX, d->seed, &d->would);
    if (err == 0)
        err = enf_history_new(HISTORY_MAX, d->seed, &d->history);
    d->hand_relays_len = 0;
    return err;
}

static int recall_mode(struct enf_daemon *d)
{
    char mode[32];
    int has = enf_store_setting_get(d->store, "mode", mode, sizeof mode);

    if (has == 1 && !d->mode_unsaved) { /* else what was said later holds */
        d->mode_by_hand = true;
        d->mode = strcmp(mode, "observe") == 0 ? ENF_MODE_OBSERVE : ENF_MODE_ENFORCE;
    }
    return has < 0 ? has : 0;
}

int enf_remember_rows(struct enf_daemon *d)
{
    const struct enf_config *config = d->running->config;
    uint64_t memory_ms = config->quarantine.memory_ms, now_ms = enf_clock_wall_ms();
    uint64_t since_ms = now_ms > memory_ms ? now_ms - memory_ms : 0;
    int err = enf_load_quarantine(d);

    if (err < 0)
        return err;
    enf_unsaved_restore(d);
    err = enf_store_history_since(d->store, NULL, since_ms, load_history, d);
    if (err == 0)
        err = enf_store_relay_each(d->store, load_relay, d);
    enf_relays_changed(d);
    return err < 0 ? err : recall_mode(d);
}

int enf_remember(struct enf_daemon *d)
{
    int err = open_store(d);

    if (err < 0)
        return err;
    d->hand_relays = calloc(ENF_HAND_RELAYS_MAX, sizeof *d->hand_relays);
    if (!d->hand_relays)
        return -ENOMEM;
    d->mode = d->running->config->mode;
    err = make_tables(d);
    if (err == 0) {
        enf_restore_begin(d);
        err = enf_remember_rows(d);
        enf_restore_end(d);
    }
    if (is_broken(err)) { /* damage that opening does not see */
        enf_log_line("state", "%s", enf_store_message(d->store));
        enf_store_close(&d->store);
        d->restored = false; /* in part */
        err = start_anew(d);
        if (err == 0)
            err = make_tables(d);
        if (err == 0)
            err = enf_remember_rows(d);
    }
    if (err == 0 && d->state_lost)
        enf_recover_from_kernel(d);
    return err;
}

/* The governor's trips as lines "INTERFACE"; the shared counter is an empty one. */
static int append_trip(void *ctx, const struct enf_governor_trip *trip)
{
    FILE *out = ctx;

    fprintf(out, "%s\n", trip->shared ? "" : trip->interface);
    return 0;
}

void enf_remember_governor(struct enf_daemon *d)
{
    struct enf_text written;
    char *text = NULL;
    FILE *out = enf_text_open(&written);

    if (!out)
        return;
    enf_crew_governor_each(&d->crew, append_trip, out);
    if (enf_text_close(out, &written, &text) == 0) {
        int err = *text ? enf_store_setting_set(d->store, "governor", text)
                        : enf_store_setting_delete(d->store, "governor");
        if (err < 0)
            enf_log_line("state", "the governor could not be written: %s", enf_store_message(d->store));
    }
    free(text);
}

void enf_recall_governor(struct enf_daemon *d)
{
    char text[ENF_STORE_VALUE_MAX + 1];

    if (enf_store_setting_get(d->store, "governor", text, sizeof text) != 1)
        return;
    for (char *line = text, *end; *line; line = end + 1) {
        struct enf_governor_trip trip = {.since_ms = enf_clock_wall_ms(), .held = 1, .shared = *line == '\n'};
        end = strchr(line, '\n');
        if (!end)
            break;
        *end = '\0';
        enf_text_copy(trip.interface, sizeof trip.interface, line);
        enf_crew_governor_restore(&d->crew, &trip);
    }
    if (enf_governor_to_kernel(d) < 0)
        enf_log_line("governor", "the kernel's meter could not be told");
}
