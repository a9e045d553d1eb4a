/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers events, keeps the latest in a ring, and brings every sink up to date from it. */
#include "enforcer/sinks/hub.h"

#include "enforcer/sinks/hub_private.h"
#include "enforcer/sinks/render.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lines a sink gets in one go: a backlog after a full disk must not hold up the control thread. */
#define FLUSH_LINES 256
#define HELD_MAX    64
#define DRAIN_BYTES (1u << 20)   /* of a spool in one go, the same */
#define UNREAD_MAX  (256u << 10) /* what a receiver that reads nothing may hold in its socket: sent again */

_Static_assert(ENF_EVENT_ACTION_COUNT <= 64, "a filter has a bit an action");

static struct enf_hub_entry *entry_at(const struct enf_hub *hub, size_t index)
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

static void clear_entry(struct enf_hub *hub, struct enf_hub_entry *entry)
{
    hub->ring_bytes -= entry->len + entry->cef_len;
    free(entry->text);
    free(entry->cef);
    free(entry->head);
    *entry = (struct enf_hub_entry){0};
}

/* Drops the oldest line; sinks that have not got it lose it. */
static void drop_oldest(struct enf_hub *hub)
{
    struct enf_hub_entry *oldest = entry_at(hub, 0);

    for (size_t i = 0; i < hub->sinks_len; i++) {
        struct enf_sink *sink = &hub->sinks[i];

        if (sink->next <= oldest->sequence && enf_sink_wants(sink, oldest->action, oldest->severity))
            enf_sink_miss(sink, oldest->sequence);
        else if (sink->next <= oldest->sequence)
            sink->next = oldest->sequence + 1;
        if (sink->kept <= oldest->sequence)
            sink->kept = oldest->sequence + 1;
    }
    clear_entry(hub, oldest);
    hub->ring_first = (hub->ring_first + 1) % hub->ring_cap;
    hub->ring_len--;
}

/* The sink has, or wants not, what is before sequence. */
static void advance(struct enf_sink *sink, uint64_t sequence, bool sent)
{
    bool clean = sink->kept == sink->next;

    sink->next = sequence;
    if (!enf_sink_holds(sink) || (!sent && clean))
        sink->kept = sequence;
}

/* Puts what the sink cannot take now from memory to the disk, as far as the disk takes it: a crash loses none
 * of that. What was sent and may have to be sent again goes before it. */
static void spool_up(struct enf_hub *hub, struct enf_sink *sink)
{
    for (size_t index = find(hub, sink->kept); index < hub->ring_len; index++) {
        const struct enf_hub_entry *entry = entry_at(hub, index);
        const char *line;
        size_t len;

        if (enf_sink_wants(sink, entry->action, entry->severity)) {
            if (enf_hub_dress(hub, sink, entry, &line, &len) != 0 ||
                enf_spool_put(&sink->spool, line, len) != 0)
                return;
            sink->floor = 0;
            if (entry->sequence < sink->next)
                enf_spool_put_taken(&sink->spool);
        }
        sink->kept = entry->sequence + 1;
        if (sink->next < sink->kept)
            sink->next = sink->kept;
    }
}

/* The receiver reset the connection: it may have held, unread, what it had acknowledged long ago. */
static void go_back(struct enf_hub *hub, struct enf_sink *sink)
{
    size_t index = find(hub, sink->next);
    size_t bytes = 0;

    sink->channel.reset = false;
    if (sink->type != ENF_HUB_SYSLOG_TCP || sink->floor == 0 || sink->spool.lines > 0)
        return;
    while (index > 0 && bytes < UNREAD_MAX && entry_at(hub, index - 1)->sequence >= sink->floor)
        bytes += entry_at(hub, --index)->len;
    if (index < hub->ring_len)
        sink->next = sink->kept = entry_at(hub, index)->sequence;
}

/* 0, or what enf_sink_write said. */
static int send_entry(struct enf_hub *hub, struct enf_sink *sink, const struct enf_hub_entry *entry,
                      uint64_t now_ms)
{
    const char *line;
    size_t len;
    int err = enf_hub_dress(hub, sink, entry, &line, &len);

    if (!err)
        err = enf_sink_write(sink, now_ms, line, len);
    if (err)
        return err;
    if (sink->floor == 0)
        sink->floor = entry->sequence;
    advance(sink, entry->sequence + 1, true);
    return 0;
}

/* Of a file many lines are written at once. *index: of the first, then behind the last that is dealt with. 0,
 * or what enf_file_write said. */
static int send_lines(struct enf_hub *hub, struct enf_sink *sink, size_t *index, uint64_t now_ms)
{
    struct iovec lines[ENF_FILE_LINES_MAX];
    size_t places[ENF_FILE_LINES_MAX], len = 0, done = 0, first = *index, end = first;
    int err = 0;

    for (; len < ENF_FILE_LINES_MAX && end < hub->ring_len; end++) {
        const struct enf_hub_entry *entry = entry_at(hub, end);
        const char *line; /* the entry's own text: nothing is added to it for a file */

        if (!enf_sink_wants(sink, entry->action, entry->severity))
            continue;
        err = enf_hub_dress(hub, sink, entry, &line, &lines[len].iov_len);
        if (err)
            return err;
        lines[len].iov_base = (void *)(uintptr_t)line;
        places[len++] = end;
    }
    if (len > 0)
        err = enf_sink_write_lines(sink, now_ms, lines, len, &done);
    *index = done < len ? places[done] : end;
    if (*index > first)
        advance(sink, entry_at(hub, *index - 1)->sequence + 1, true);
    return err;
}

/* Brings the sink up to date: first the spool, then memory. */
static void flush(struct enf_hub *hub, struct enf_sink *sink, uint64_t now_ms, size_t lines_max,
                  size_t bytes_max)
{
    int more = -EAGAIN;
    size_t index, n = 0;

    if (enf_sink_is_due(sink, now_ms)) {
        if (enf_file_removed(&sink->file))
            (void)enf_file_open(&sink->file);
        more = enf_sink_drain(sink, now_ms, bytes_max);
    }
    index = find(hub, sink->next);
    for (; !more && sink->type == ENF_HUB_FILE && n < lines_max && index < hub->ring_len;
         n += ENF_FILE_LINES_MAX)
        more = send_lines(hub, sink, &index, now_ms);
    for (; !more && n < lines_max && index < hub->ring_len; index++) {
        const struct enf_hub_entry *entry = entry_at(hub, index);

        if (enf_sink_wants(sink, entry->action, entry->severity)) {
            more = send_entry(hub, sink, entry, now_ms);
            n++;
        } else {
            advance(sink, entry->sequence + 1, false);
        }
    }
    if (sink->channel.reset)
        go_back(hub, sink);
    if (more)
        spool_up(hub, sink);
}

void enf_hub_free(struct enf_hub **hub)
{
    struct enf_hub *h = *hub;

    if (!h)
        return;
    for (size_t i = 0; i < h->sinks_len; i++) {
        flush(h, &h->sinks[i], UINT64_MAX / 2, h->ring_len, SIZE_MAX);
        enf_sink_finish(&h->sinks[i]);
        spool_up(h, &h->sinks[i]);
        enf_sink_clear(&h->sinks[i]);
    }
    for (size_t i = 0; i < h->ring_len; i++)
        clear_entry(h, entry_at(h, i));
    free(h->scratch);
    free(h->ring);
    free(h->spool);
    free(h->run);
    free(h->hostname);
    free(h->version);
    free(h);
    *hub = NULL;
}

static struct enf_hub_line line_of(const struct enf_hub_entry *entry)
{
    return (struct enf_hub_line){entry->sequence, entry->time_ms, entry->action,
                                 entry->severity, entry->text,    entry->len};
}

/* As JSON, and as what else the sinks want. */
static int render(const struct enf_hub *hub, const struct enf_event *event, struct enf_hub_entry *entry)
{
    const struct enf_render_origin origin = {hub->run, hub->hostname, hub->version};
    int err = enf_event_render(event, &origin, &entry->text, &entry->len);

    if (!err && enf_hub_wants_format(hub, ENF_HUB_CEF))
        err = enf_event_render_cef(event, &origin, &entry->cef, &entry->cef_len);
    if (!err && enf_hub_wants_syslog(hub))
        err = enf_event_render_syslog(event, &origin, (int)getpid(), &entry->head);
    if (!err)
        return 0;
    free(entry->text);
    free(entry->cef);
    return err;
}

static void flush_all(struct enf_hub *hub, uint64_t now_ms)
{
    hub->held = 0;
    for (size_t i = 0; i < hub->sinks_len; i++)
        flush(hub, &hub->sinks[i], now_ms, FLUSH_LINES, DRAIN_BYTES);
}

static bool has_room(const struct enf_hub *hub, const struct enf_hub_entry *entry)
{
    return hub->ring_len < hub->ring_cap &&
           hub->ring_bytes + entry->len + entry->cef_len <= hub->ring_bytes_max;
}

/* Takes the texts of the entry. The newest line is kept whatever its size. */
static void remember(struct enf_hub *hub, const struct enf_hub_entry *entry, uint64_t now_ms)
{
    while (hub->ring_len > 0 && !has_room(hub, entry)) {
        if (hub->held >= hub->ring_len) /* what is held must not fall out of memory */
            flush_all(hub, now_ms);
        drop_oldest(hub);
    }
    *entry_at(hub, hub->ring_len) = *entry;
    hub->ring_len++;
    hub->ring_bytes += entry->len + entry->cef_len;
}

void enf_hub_hold(struct enf_hub *hub)
{
    hub->holds = true;
}

void enf_hub_release(struct enf_hub *hub, uint64_t now_ms)
{
    hub->holds = false;
    if (hub->held > 0)
        flush_all(hub, now_ms);
}

int enf_hub_emit(struct enf_hub *hub, uint64_t now_ms, struct enf_event *event)
{
    const struct enf_event_class *class = enf_event_classify(event->action);
    struct enf_hub_entry entry = {.time_ms = event->time_ms, .action = event->action};
    int err;

    event->sequence = entry.sequence = ++hub->sequence;
    entry.severity = class ? class->severity : 0;
    err = render(hub, event, &entry);
    if (err) {
        hub->lost_before++;
        return err;
    }
    remember(hub, &entry, now_ms);
    if (!hub->holds || ++hub->held == HELD_MAX)
        flush_all(hub, now_ms);
    if (hub->listener) {
        struct enf_hub_line line = line_of(entry_at(hub, hub->ring_len - 1));

        hub->listener(hub->listener_ctx, &line);
    }
    return 0;
}

/* Tells a gap soon after it began, and whole when it is over: the sink takes lines again. */
static void tell_gap(struct enf_hub *hub, struct enf_sink *sink)
{
    bool over = !enf_sink_error(sink) && enf_spool_is_empty(&sink->spool);
    bool due = sink->gap.count > 0 && (over || !sink->gap.told);

    if (!due || !hub->lost)
        return;
    sink->gap.told = true;
    uint64_t first = sink->gap.first, last = sink->gap.last, count = sink->gap.count;
    if (over)
        memset(&sink->gap, 0, sizeof(sink->gap));
    hub->lost(hub->lost_ctx, sink->name, first, last, count, over);
}

void enf_hub_tick(struct enf_hub *hub, uint64_t now_ms)
{
    hub->held = 0;
    for (size_t i = 0; i < hub->sinks_len; i++) {
        if (enf_file_moved(&hub->sinks[i].file))
            (void)enf_file_open(&hub->sinks[i].file); /* where that fails, the old file is better than none */
        enf_sink_settle(&hub->sinks[i], now_ms);
        flush(hub, &hub->sinks[i], now_ms, FLUSH_LINES, DRAIN_BYTES);
    }
    for (size_t i = 0; i < hub->sinks_len; i++)
        tell_gap(hub, &hub->sinks[i]);
}

static bool is_busy(const struct enf_sink *sink)
{
    return sink->type != ENF_HUB_FILE && sink->error == EAGAIN;
}

bool enf_hub_is_busy(const struct enf_hub *hub)
{
    for (size_t i = 0; i < hub->sinks_len; i++)
        if (is_busy(&hub->sinks[i]))
            return true;
    return false;
}

size_t enf_hub_pump(struct enf_hub *hub, uint64_t now_ms)
{
    uint64_t sent = 0;

    for (size_t i = 0; i < hub->sinks_len; i++) {
        struct enf_sink *sink = &hub->sinks[i];
        uint64_t before = sink->written;

        if (!is_busy(sink))
            continue;
        sink->error = 0; /* set again where there is still no room; else there is nothing more to send */
        flush(hub, sink, now_ms, FLUSH_LINES, DRAIN_BYTES);
        sent += sink->written - before;
    }
    return (size_t)sent;
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

/* Lines that the sink has still to get: on disk, and in memory as far as it wants them. */
static uint64_t waiting(const struct enf_hub *hub, const struct enf_sink *sink)
{
    uint64_t lines = sink->spool.lines - sink->spool.held;

    for (size_t i = find(hub, sink->next); i < hub->ring_len; i++)
        lines += enf_sink_wants(sink, entry_at(hub, i)->action, entry_at(hub, i)->severity);
    return lines;
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
        stats.spooled += hub->sinks[i].spool.lines - hub->sinks[i].spool.held;
        stats.waiting += waiting(hub, &hub->sinks[i]);
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
        .path = sink->name,
        .written = sink->written,
        .lost = sink->lost,
        .waiting = waiting(hub, sink),
        .spooled = sink->spool.lines - sink->spool.held,
        .failures = enf_sink_failures(sink),
        .error = enf_sink_error(sink),
    };
    return 0;
}
