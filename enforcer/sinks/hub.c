/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers events, keeps the latest in a ring, and brings every sink up to date from it. */
#include "enforcer/sinks/hub.h"

#include "enforcer/sinks/render.h"
#include "enforcer/sinks/sink.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines a sink gets in one go: a backlog after a full disk must not hold up the control thread. */
#define FLUSH_LINES 256
#define DRAIN_BYTES (1u << 20) /* of a spool in one go, the same */

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
    char *spool;
    uint64_t spool_bytes;
    enf_hub_lost_fn lost;
    void *lost_ctx;
    struct enf_sink sinks[ENF_HUB_SINKS_MAX];
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
    hub->spool = copy_or_null(params->spool, &failed);
    hub->spool_bytes = params->spool_bytes ? params->spool_bytes : ENF_HUB_SPOOL_BYTES;
    hub->lost = params->lost;
    hub->lost_ctx = params->lost_ctx;
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

    for (size_t i = 0; i < hub->sinks_len; i++)
        if (hub->sinks[i].next <= oldest->sequence)
            enf_sink_miss(&hub->sinks[i], oldest->sequence);
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

/* Puts what the sink cannot take now from memory to the disk, as far as the disk takes it: a crash loses none
 * of that. */
static void spool_up(struct enf_hub *hub, struct enf_sink *sink)
{
    for (size_t index = find(hub, sink->next); index < hub->ring_len; index++) {
        const struct entry *entry = entry_at(hub, index);

        if (enf_spool_put(&sink->spool, entry->text, entry->len) != 0)
            return;
        sink->next = entry->sequence + 1;
    }
}

/* Brings the sink up to date: first the spool, then memory. */
static void flush(struct enf_hub *hub, struct enf_sink *sink, uint64_t now_ms, size_t lines_max,
                  size_t bytes_max)
{
    int more = -EAGAIN;
    size_t index;

    if (enf_sink_is_due(sink, now_ms)) {
        if (enf_file_removed(&sink->file))
            (void)enf_file_open(&sink->file);
        more = enf_sink_drain(sink, now_ms, bytes_max);
    }
    index = find(hub, sink->next);
    for (size_t n = 0; !more && n < lines_max && index < hub->ring_len; n++, index++) {
        const struct entry *entry = entry_at(hub, index);

        more = enf_sink_write(sink, now_ms, entry->text, entry->len);
        if (!more)
            sink->next = entry->sequence + 1;
    }
    if (more)
        spool_up(hub, sink);
}

void enf_hub_free(struct enf_hub **hub)
{
    struct enf_hub *h = *hub;

    if (!h)
        return;
    for (size_t i = 0; i < h->sinks_len; i++) {
        flush(h, &h->sinks[i], UINT64_MAX - ENF_HUB_RETRY_MS, h->ring_len, SIZE_MAX);
        spool_up(h, &h->sinks[i]);
        enf_sink_clear(&h->sinks[i]);
    }
    for (size_t i = 0; i < h->ring_len; i++)
        free(entry_at(h, i)->text);
    free(h->ring);
    free(h->spool);
    free(h->run);
    free(h->hostname);
    free(h->version);
    free(h);
    *hub = NULL;
}

static struct enf_sink *find_sink(struct enf_hub *hub, const char *path)
{
    for (size_t i = 0; i < hub->sinks_len; i++)
        if (strcmp(hub->sinks[i].file.path, path) == 0)
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

/* What set_sinks makes before anything changes. */
struct wanted {
    struct enf_sink sinks[ENF_HUB_SINKS_MAX];
    struct enf_sink *kept[ENF_HUB_SINKS_MAX]; /* where the hub has it already; NULL: it is new */
    size_t len;
};

static void wanted_clear(struct wanted *wanted)
{
    for (size_t i = 0; i < wanted->len; i++)
        if (!wanted->kept[i])
            enf_sink_clear(&wanted->sinks[i]);
    wanted->len = 0;
}

/* A new sink gets the events from now on, and what an earlier process spooled for it. */
static int open_sink(struct enf_hub *hub, const char *path, struct enf_sink *out)
{
    int err = enf_sink_init(path, hub->spool, hub->spool_bytes, out);

    if (err)
        return err;
    out->next = hub->sequence + 1;
    return enf_file_open(&out->file);
}

static int open_wanted(struct enf_hub *hub, const struct enf_hub_sink *sinks, size_t sinks_len,
                       bool broken_too, struct wanted *wanted, char *error, size_t error_len)
{
    int first = 0;

    for (size_t i = 0; i < sinks_len; i++) {
        struct enf_sink *sink = &wanted->sinks[wanted->len];
        int err = 0;

        if (is_repeated(sinks, i))
            continue;
        wanted->kept[wanted->len] = find_sink(hub, sinks[i].path);
        if (!wanted->kept[wanted->len]) {
            *sink = (struct enf_sink){.file = {.fd = -1}, .spool = {.fd = -1}};
            err = open_sink(hub, sinks[i].path, sink);
        }
        wanted->len++;
        if (err && !first)
            explain(error, error_len, sinks[i].path, err);
        if (err && !first)
            first = err;
        if (err && (!broken_too || !sink->file.path)) {
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
    hub->lost_before += sink->lost + sink->spool.lines;
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
        *wanted.kept[i] = (struct enf_sink){.file = {.fd = -1}, .spool = {.fd = -1}};
    }
    for (size_t i = 0; i < hub->sinks_len; i++)
        if (hub->sinks[i].file.path)
            retire(hub, &hub->sinks[i]);
    memcpy(hub->sinks, wanted.sinks, wanted.len * sizeof(*wanted.sinks));
    hub->sinks_len = wanted.len;
    return err;
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
        flush(hub, &hub->sinks[i], now_ms, FLUSH_LINES, DRAIN_BYTES);
    if (hub->listener) {
        struct enf_hub_line line = line_of(entry_at(hub, hub->ring_len - 1));

        hub->listener(hub->listener_ctx, &line);
    }
    return 0;
}

/* Tells a gap soon after it began, and whole when it is over: the sink takes lines again. */
static void tell_gap(struct enf_hub *hub, struct enf_sink *sink)
{
    bool over = !sink->file.error && enf_spool_is_empty(&sink->spool);
    bool due = sink->gap.count > 0 && (over || !sink->gap.told);

    if (!due || !hub->lost)
        return;
    sink->gap.told = true;
    uint64_t first = sink->gap.first, last = sink->gap.last, count = sink->gap.count;
    if (over)
        memset(&sink->gap, 0, sizeof(sink->gap));
    hub->lost(hub->lost_ctx, sink->file.path, first, last, count, over);
}

void enf_hub_tick(struct enf_hub *hub, uint64_t now_ms)
{
    for (size_t i = 0; i < hub->sinks_len; i++) {
        if (enf_file_moved(&hub->sinks[i].file))
            (void)enf_file_open(&hub->sinks[i].file); /* where that fails, the old file is better than none */
        flush(hub, &hub->sinks[i], now_ms, FLUSH_LINES, DRAIN_BYTES);
    }
    for (size_t i = 0; i < hub->sinks_len; i++)
        tell_gap(hub, &hub->sinks[i]);
}

int enf_hub_reopen(struct enf_hub *hub, char *error, size_t error_len)
{
    int first = 0;

    for (size_t i = 0; i < hub->sinks_len; i++) {
        int err = enf_file_open(&hub->sinks[i].file);

        if (err && !first) {
            first = err;
            explain(error, error_len, hub->sinks[i].file.path, err);
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
        stats.spooled += hub->sinks[i].spool.lines;
        stats.waiting += hub->sinks[i].spool.lines + hub->ring_len - find(hub, hub->sinks[i].next);
    }
    *out = stats;
}

int enf_hub_sink_stats(const struct enf_hub *hub, size_t index, struct enf_hub_sink_stats *out)
{
    const struct enf_sink *sink;

    if (index >= hub->sinks_len)
        return -ENOENT;
    sink = &hub->sinks[index];
    *out = (struct enf_hub_sink_stats){
        .path = sink->file.path,
        .written = sink->written,
        .lost = sink->lost,
        .spooled = sink->spool.lines,
        .failures = sink->file.failures,
        .error = sink->file.error,
    };
    return 0;
}
