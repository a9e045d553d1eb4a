/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers events, keeps the latest in a ring, and brings every sink up to date from it. */
#include "enforcer/sinks/hub.h"

#include "enforcer/sinks/file.h"
#include "enforcer/sinks/render.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines a sink gets in one go: a backlog after a full disk must not hold up the control thread. */
#define FLUSH_LINES 256

struct entry {
    char *text; /* owned */
    size_t len;
    uint64_t sequence;
    uint64_t time_ms;
    enum enf_event_action action;
};

struct enf_hub {
    char *run;
    char *hostname;
    char *version;
    enf_hub_listener listener;
    void *listener_ctx;
    uint64_t sequence;
    struct entry *ring; /* ring_cap entries, the oldest at ring_first; sequences ascend */
    size_t ring_cap;
    size_t ring_first;
    size_t ring_len;
    size_t ring_bytes;
    size_t ring_bytes_max;
    struct enf_file sinks[ENF_HUB_SINKS_MAX];
    size_t sinks_len;
    uint64_t written_before; /* by sinks that are gone */
    uint64_t lost_before;    /* the same, and events that were not rendered */
};

static struct entry *entry_at(const struct enf_hub *hub, size_t index)
{
    return &hub->ring[(hub->ring_first + index) % hub->ring_cap];
}

static char *copy_or_null(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        *failed = true;
    return copy;
}

int enf_hub_new(const struct enf_hub_params *params, struct enf_hub **out)
{
    struct enf_hub *hub = calloc(1, sizeof(*hub));
    bool failed = false;

    if (!hub)
        return -ENOMEM;
    hub->run = copy_or_null(params->run, &failed);
    hub->hostname = copy_or_null(params->hostname, &failed);
    hub->version = copy_or_null(params->version, &failed);
    hub->listener = params->listener;
    hub->listener_ctx = params->listener_ctx;
    hub->ring_cap = params->ring_lines ? params->ring_lines : ENF_HUB_RING_LINES;
    hub->ring_bytes_max = params->ring_bytes ? params->ring_bytes : ENF_HUB_RING_BYTES;
    hub->ring = calloc(hub->ring_cap, sizeof(*hub->ring));
    if (failed || !hub->ring) {
        enf_hub_free(&hub);
        return -ENOMEM;
    }
    *out = hub;
    return 0;
}

/* The index of the first entry whose sequence is at least the given one, or ring_len. */
static size_t find(const struct enf_hub *hub, uint64_t sequence)
{
    size_t low = 0;
    size_t high = hub->ring_len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (entry_at(hub, middle)->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Drops the oldest line; sinks that have not got it lose it. */
static void drop_oldest(struct enf_hub *hub)
{
    struct entry *oldest = entry_at(hub, 0);

    for (size_t i = 0; i < hub->sinks_len; i++) {
        struct enf_file *file = &hub->sinks[i];

        if (file->next > oldest->sequence)
            continue;
        file->next = oldest->sequence + 1;
        file->lost++;
        /* What is there of it is no line; the next one must not be glued to it. */
        if (file->partial > 0)
            file->torn = true;
        file->partial = 0;
    }
    hub->ring_bytes -= oldest->len;
    free(oldest->text);
    *oldest = (struct entry){0};
    hub->ring_first = (hub->ring_first + 1) % hub->ring_cap;
    hub->ring_len--;
}

/* Takes the text. The newest line is kept whatever its size. */
static void remember(struct enf_hub *hub, const struct enf_event *event, char *text, size_t len)
{
    while (hub->ring_len > 0 &&
           (hub->ring_len == hub->ring_cap || hub->ring_bytes + len > hub->ring_bytes_max))
        drop_oldest(hub);
    *entry_at(hub, hub->ring_len) = (struct entry){text, len, event->sequence, event->time_ms, event->action};
    hub->ring_len++;
    hub->ring_bytes += len;
}

static void flush(struct enf_hub *hub, struct enf_file *file, uint64_t now_ms, size_t lines_max)
{
    size_t index;

    if (file->error && now_ms < file->retry_ms)
        return;
    index = find(hub, file->next);
    for (size_t n = 0; n < lines_max && index < hub->ring_len; n++, index++) {
        const struct entry *entry = entry_at(hub, index);

        if (enf_file_write(file, entry->text, entry->len) != 0) {
            file->retry_ms = now_ms + ENF_HUB_RETRY_MS;
            return;
        }
        file->next = entry->sequence + 1;
        file->written++;
    }
}

void enf_hub_free(struct enf_hub **hub)
{
    struct enf_hub *h = *hub;

    if (!h)
        return;
    for (size_t i = 0; i < h->sinks_len; i++) {
        flush(h, &h->sinks[i], UINT64_MAX - ENF_HUB_RETRY_MS, h->ring_len);
        enf_file_clear(&h->sinks[i]);
    }
    for (size_t i = 0; i < h->ring_len; i++)
        free(entry_at(h, i)->text);
    free(h->ring);
    free(h->run);
    free(h->hostname);
    free(h->version);
    free(h);
    *hub = NULL;
}

static struct enf_file *find_sink(struct enf_hub *hub, const char *path)
{
    for (size_t i = 0; i < hub->sinks_len; i++)
        if (strcmp(hub->sinks[i].path, path) == 0)
            return &hub->sinks[i];
    return NULL;
}

static void explain(char *error, size_t error_len, const char *path, int err)
{
    if (error_len > 0)
        snprintf(error, error_len, "%s: cannot be opened for events: %s", path, strerror(-err));
}

/* True where an earlier row names the same file: it is written to once. */
static bool is_repeated(const struct enf_hub_sink *sinks, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(sinks[i].path, sinks[index].path) == 0)
            return true;
    return false;
}

/* Opens those of the wanted sinks that the hub does not have yet; kept[] says where it has the others. On
 * failure nothing stays open. */
static int open_wanted(struct enf_hub *hub, const struct enf_hub_sink *sinks, size_t sinks_len,
                       struct enf_file *files, struct enf_file **kept, size_t *files_len, char *error,
                       size_t error_len)
{
    size_t n = 0;

    for (size_t i = 0; i < sinks_len; i++) {
        int err = 0;

        if (is_repeated(sinks, i))
            continue;
        files[n] = (struct enf_file){.fd = -1};
        kept[n] = find_sink(hub, sinks[i].path);
        if (!kept[n]) {
            err = enf_file_init(sinks[i].path, &files[n]);
            if (!err)
                err = enf_file_open(&files[n]);
            files[n].next = hub->sequence + 1;
        }
        n++;
        if (!err)
            continue;
        explain(error, error_len, sinks[i].path, err);
        while (n > 0)
            enf_file_clear(&files[--n]);
        return err;
    }
    *files_len = n;
    return 0;
}

int enf_hub_set_sinks(struct enf_hub *hub, const struct enf_hub_sink *sinks, size_t sinks_len, char *error,
                      size_t error_len)
{
    struct enf_file files[ENF_HUB_SINKS_MAX];
    struct enf_file *kept[ENF_HUB_SINKS_MAX];
    size_t files_len = 0;
    int err;

    if (sinks_len > ENF_HUB_SINKS_MAX) {
        if (error_len > 0)
            snprintf(error, error_len, "more than %d event sinks", ENF_HUB_SINKS_MAX);
        return -E2BIG;
    }
    err = open_wanted(hub, sinks, sinks_len, files, kept, &files_len, error, error_len);
    if (err)
        return err;
    for (size_t i = 0; i < files_len; i++) {
        if (!kept[i])
            continue;
        files[i] = *kept[i];
        *kept[i] = (struct enf_file){.fd = -1};
    }
    for (size_t i = 0; i < hub->sinks_len; i++) {
        hub->written_before += hub->sinks[i].written;
        hub->lost_before += hub->sinks[i].lost;
        enf_file_clear(&hub->sinks[i]);
    }
    memcpy(hub->sinks, files, files_len * sizeof(*files));
    hub->sinks_len = files_len;
    return 0;
}

static struct enf_hub_line line_of(const struct entry *entry)
{
    return (struct enf_hub_line){entry->sequence, entry->time_ms, entry->action, entry->text, entry->len};
}

int enf_hub_emit(struct enf_hub *hub, uint64_t now_ms, struct enf_event *event)
{
    const struct enf_render_origin origin = {hub->run, hub->hostname, hub->version};
    char *text = NULL;
    size_t len = 0;
    int err;

    event->sequence = ++hub->sequence;
    err = enf_event_render(event, &origin, &text, &len);
    if (err) {
        hub->lost_before++;
        return err;
    }
    remember(hub, event, text, len);
    for (size_t i = 0; i < hub->sinks_len; i++)
        flush(hub, &hub->sinks[i], now_ms, FLUSH_LINES);
    if (hub->listener) {
        struct enf_hub_line line = line_of(entry_at(hub, hub->ring_len - 1));

        hub->listener(hub->listener_ctx, &line);
    }
    return 0;
}

void enf_hub_tick(struct enf_hub *hub, uint64_t now_ms)
{
    for (size_t i = 0; i < hub->sinks_len; i++) {
        if (enf_file_moved(&hub->sinks[i]))
            (void)enf_file_open(&hub->sinks[i]); /* where that fails, the old file is better than none */
        flush(hub, &hub->sinks[i], now_ms, FLUSH_LINES);
    }
}

int enf_hub_reopen(struct enf_hub *hub, char *error, size_t error_len)
{
    int first = 0;

    for (size_t i = 0; i < hub->sinks_len; i++) {
        int err = enf_file_open(&hub->sinks[i]);

        if (err && !first) {
            first = err;
            explain(error, error_len, hub->sinks[i].path, err);
        }
    }
    return first;
}

int enf_hub_next(const struct enf_hub *hub, uint64_t sequence, struct enf_hub_line *out)
{
    size_t index = find(hub, sequence);

    if (index == hub->ring_len)
        return 0;
    *out = line_of(entry_at(hub, index));
    return 1;
}

uint64_t enf_hub_since(const struct enf_hub *hub, uint64_t since_ms)
{
    /* Not bisected: a wall clock may have been set back. */
    for (size_t i = 0; i < hub->ring_len; i++)
        if (entry_at(hub, i)->time_ms >= since_ms)
            return entry_at(hub, i)->sequence;
    return hub->sequence + 1;
}

void enf_hub_stats(const struct enf_hub *hub, struct enf_hub_stats *out)
{
    struct enf_hub_stats stats = {
        .sequence = hub->sequence,
        .written = hub->written_before,
        .lost = hub->lost_before,
        .ring_lines = hub->ring_len,
        .ring_bytes = hub->ring_bytes,
    };

    for (size_t i = 0; i < hub->sinks_len; i++) {
        stats.written += hub->sinks[i].written;
        stats.lost += hub->sinks[i].lost;
        stats.waiting += hub->ring_len - find(hub, hub->sinks[i].next);
    }
    *out = stats;
}

int enf_hub_sink_stats(const struct enf_hub *hub, size_t index, struct enf_hub_sink_stats *out)
{
    const struct enf_file *file;

    if (index >= hub->sinks_len)
        return -ENOENT;
    file = &hub->sinks[index];
    *out = (struct enf_hub_sink_stats){file->path, file->written, file->lost, file->failures, file->error};
    return 0;
}
