/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which sinks the hub has: replacing them whole or not at all, and opening their files anew. */
#include "enforcer/sinks/hub_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct enf_sink *find_sink(struct enf_hub *hub, const char *name)
{
    for (size_t i = 0; i < hub->sinks_len; i++)
        if (hub->sinks[i].name && strcmp(hub->sinks[i].name, name) == 0)
            return &hub->sinks[i];
    return NULL;
}

static void explain(char *error, size_t error_len, const char *path, int err)
{
    if (error_len > 0)
        snprintf(error, error_len, "%s: cannot be opened for events: %s", path, strerror(-err));
}

/* What set_sinks makes before anything changes. */
struct wanted {
    struct enf_sink sinks[ENF_HUB_SINKS_MAX];
    struct enf_sink *kept[ENF_HUB_SINKS_MAX]; /* where the hub has it already; NULL: it is new */
    const struct enf_hub_sink *rows[ENF_HUB_SINKS_MAX];
    size_t len;
};

static void wanted_clear(struct wanted *wanted)
{
    for (size_t i = 0; i < wanted->len; i++)
        if (!wanted->kept[i])
            enf_sink_clear(&wanted->sinks[i]);
    wanted->len = 0;
}

static bool is_repeated(const struct wanted *wanted, const char *name)
{
    for (size_t i = 0; i < wanted->len; i++) {
        const struct enf_sink *sink = wanted->kept[i] ? wanted->kept[i] : &wanted->sinks[i];
        if (strcmp(sink->name, name) == 0)
            return true;
    }
    return false;
}

/* A new sink gets the events from now on, and what an earlier process spooled for it. */
static int open_sink(struct enf_hub *hub, const struct enf_hub_sink *sink, struct enf_sink *out)
{
    int err = enf_sink_init(sink, hub->spool, hub->spool_bytes, out);

    if (err)
        return err;
    out->next = out->kept = hub->sequence + 1;
    return enf_sink_open(out);
}

/* One more row. *named: for the message, malloced. */
static int open_one(struct enf_hub *hub, const struct enf_hub_sink *row, struct wanted *wanted, char **named)
{
    struct enf_sink *sink = &wanted->sinks[wanted->len];
    int err = 0;

    *named = enf_sink_name(row);
    if (!*named)
        return -ENOMEM;
    if (is_repeated(wanted, *named)) /* it is written to once */
        return 0;
    wanted->rows[wanted->len] = row;
    wanted->kept[wanted->len] = find_sink(hub, *named);
    if (!wanted->kept[wanted->len]) {
        *sink = (struct enf_sink){.file = {.fd = -1}, .channel = {.fd = -1}, .spool = {.fd = -1}};
        err = open_sink(hub, row, sink);
        if (!sink->name)
            return err;
    }
    wanted->len++;
    return err;
}

static int open_wanted(struct enf_hub *hub, const struct enf_hub_sink *sinks, size_t sinks_len,
                       bool broken_too, struct wanted *wanted, char *error, size_t error_len)
{
    int first = 0;

    for (size_t i = 0; i < sinks_len; i++) {
        size_t before = wanted->len;
        char *named = NULL;
        int err = open_one(hub, &sinks[i], wanted, &named);

        if (err && !first) {
            explain(error, error_len, named ? named : "a sink", err);
            first = err;
        }
        free(named);
        if (err && (!broken_too || wanted->len == before)) {
            wanted_clear(wanted);
            return err;
        }
    }
    return first;
}

/* It is wanted no more: nobody will take what waits for it. */
static void retire(struct enf_hub *hub, struct enf_sink *sink)
{
    hub->written_before += sink->written;
    hub->lost_before += sink->lost + sink->spool.lines - sink->spool.held;
    enf_spool_discard(&sink->spool);
    enf_sink_clear(sink);
}

int enf_hub_set_sinks(struct enf_hub *hub, const struct enf_hub_sink *sinks, size_t sinks_len,
                      bool broken_too, char *error, size_t error_len)
{
    struct wanted wanted = {.len = 0};
    int err;

    if (sinks_len > ENF_HUB_SINKS_MAX) {
        if (error_len > 0)
            snprintf(error, error_len, "more than %d event sinks", ENF_HUB_SINKS_MAX);
        return -E2BIG;
    }
    err = open_wanted(hub, sinks, sinks_len, broken_too, &wanted, error, error_len);
    if (err && wanted.len == 0)
        return err;
    for (size_t i = 0; i < wanted.len; i++) {
        if (!wanted.kept[i])
            continue;
        wanted.sinks[i] = *wanted.kept[i];
        enf_sink_change(&wanted.sinks[i], wanted.rows[i]);
        *wanted.kept[i] = (struct enf_sink){.file = {.fd = -1}, .channel = {.fd = -1}, .spool = {.fd = -1}};
    }
    for (size_t i = 0; i < hub->sinks_len; i++)
        if (hub->sinks[i].name)
            retire(hub, &hub->sinks[i]);
    memcpy(hub->sinks, wanted.sinks, wanted.len * sizeof(*wanted.sinks));
    hub->sinks_len = wanted.len;
    return err;
}

int enf_hub_reopen(struct enf_hub *hub, char *error, size_t error_len)
{
    int first = 0;

    for (size_t i = 0; i < hub->sinks_len; i++) {
        int err = hub->sinks[i].type == ENF_HUB_FILE ? enf_file_open(&hub->sinks[i].file) : 0;

        if (err && !first) {
            first = err;
            explain(error, error_len, hub->sinks[i].name, err);
        }
    }
    return first;
}
