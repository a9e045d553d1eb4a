/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the order: what is in the spool goes before what is in memory. */
#include "enforcer/sinks/sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BACKOFF_MAX_MS 30000
#define FINISH_TRIES   20 /* of 10 ms */

static bool is_inet(enum enf_hub_sink_type type)
{
    return type == ENF_HUB_SYSLOG_UDP || type == ENF_HUB_SYSLOG_TCP;
}

char *enf_sink_name(const struct enf_hub_sink *wanted)
{
    char address[ENF_PREFIX_STR_LEN];
    bool v6 = wanted->address.family == ENF_FAMILY_V6;
    char *name = NULL;
    int n = 0;

    if (wanted->type == ENF_HUB_FILE)
        return strdup(wanted->path);
    if (is_inet(wanted->type))
        n = asprintf(&name, "%s:%s%s%s:%u", wanted->type == ENF_HUB_SYSLOG_TCP ? "tcp" : "udp", v6 ? "[" : "",
                     enf_addr_str(&wanted->address, address, sizeof(address)), v6 ? "]" : "",
                     (unsigned)wanted->port);
    else
        n = asprintf(&name, "%s:%s", wanted->type == ENF_HUB_UNIX ? "unix" : "syslog", wanted->path);
    return n < 0 ? NULL : name;
}

void enf_sink_change(struct enf_sink *sink, const struct enf_hub_sink *wanted)
{
    sink->format = wanted->format;
    sink->facility = wanted->facility;
    sink->actions = wanted->actions;
    sink->severity_min = wanted->severity_min;
}

int enf_sink_init(const struct enf_hub_sink *wanted, const char *spool_dir, uint64_t spool_bytes,
                  struct enf_sink *out)
{
    struct enf_sink sink = {
        .type = wanted->type, .file = {.fd = -1}, .channel = {.fd = -1}, .spool = {.fd = -1}};
    int err = 0;

    enf_sink_change(&sink, wanted);
    sink.name = enf_sink_name(wanted);
    if (!sink.name)
        return -ENOMEM;
    if (is_inet(sink.type))
        err = enf_channel_inet(sink.type == ENF_HUB_SYSLOG_TCP ? ENF_CHANNEL_TCP : ENF_CHANNEL_UDP,
                               &wanted->address, wanted->port, &sink.channel);
    else if (sink.type != ENF_HUB_FILE)
        err = enf_channel_unix(wanted->path, &sink.channel);
    else
        err = enf_file_init(wanted->path, &sink.file);
    if (!err)
        err = enf_spool_open(spool_dir, sink.name, spool_bytes, &sink.spool);
    sink.spool.hold = enf_sink_holds(&sink);
    if (err)
        enf_sink_clear(&sink);
    else
        *out = sink;
    return err;
}

void enf_sink_clear(struct enf_sink *sink)
{
    enf_file_clear(&sink->file);
    enf_channel_close(&sink->channel);
    enf_spool_close(&sink->spool);
    free(sink->name);
    *sink = (struct enf_sink){.file = {.fd = -1}, .channel = {.fd = -1}, .spool = {.fd = -1}};
}

/* Errors that no receiver can cause: this process may not have such a socket. */
static bool is_forbidden(int err)
{
    return err == -ENOSYS || err == -EACCES || err == -EPERM || err == -EAFNOSUPPORT || err == -EMFILE ||
           err == -ENFILE;
}

int enf_sink_open(struct enf_sink *sink)
{
    int err;

    if (sink->type == ENF_HUB_FILE)
        return enf_file_open(&sink->file);
    err = enf_channel_open(&sink->channel);
    return is_inet(sink->type) && is_forbidden(err) ? err : 0;
}

bool enf_sink_wants(const struct enf_sink *sink, enum enf_event_action action, unsigned severity)
{
    return severity >= sink->severity_min && (sink->actions == 0 || (sink->actions >> action & 1));
}

bool enf_sink_holds(const struct enf_sink *sink)
{
    return sink->type != ENF_HUB_FILE && sink->type != ENF_HUB_SYSLOG_UDP;
}

int enf_sink_error(const struct enf_sink *sink)
{
    return sink->type == ENF_HUB_FILE ? sink->file.error : sink->error;
}

uint64_t enf_sink_failures(const struct enf_sink *sink)
{
    return sink->type == ENF_HUB_FILE ? sink->file.failures : sink->failures;
}

bool enf_sink_is_due(const struct enf_sink *sink, uint64_t now_ms)
{
    return !enf_sink_error(sink) || now_ms >= sink->retry_ms;
}

/* What is not known to have arrived is sent again, in order: first what the spool held, then from memory. */
static void rewind_sink(struct enf_sink *sink)
{
    sink->mark.set = false;
    if (!enf_sink_holds(sink))
        return;
    sink->next = sink->kept;
    enf_spool_rewind(&sink->spool);
}

static void failed(struct enf_sink *sink, uint64_t now_ms, int err)
{
    sink->error = -err;
    if (err == -EAGAIN) { /* not connected yet, or the receiver does not keep up */
        sink->retry_ms = now_ms;
        return;
    }
    sink->failures++;
    sink->backoff_ms = sink->backoff_ms ? sink->backoff_ms * 2 : ENF_HUB_RETRY_MS;
    if (sink->backoff_ms > BACKOFF_MAX_MS)
        sink->backoff_ms = BACKOFF_MAX_MS;
    sink->retry_ms = now_ms + sink->backoff_ms;
    rewind_sink(sink);
}

int enf_sink_write_lines(struct enf_sink *sink, uint64_t now_ms, const struct iovec *lines, size_t len,
                         size_t *done)
{
    int err = enf_file_write(&sink->file, lines, len, done);

    if (err)
        sink->retry_ms = now_ms + ENF_HUB_RETRY_MS;
    sink->written += *done;
    return err;
}

static int write_file(struct enf_sink *sink, uint64_t now_ms, const char *line, size_t len)
{
    /* writev promises not to write to it */
    const struct iovec one = {.iov_base = (void *)(uintptr_t)line, .iov_len = len};
    size_t done;

    return enf_sink_write_lines(sink, now_ms, &one, 1, &done);
}

int enf_sink_write(struct enf_sink *sink, uint64_t now_ms, const char *line, size_t len)
{
    int err;

    if (sink->type == ENF_HUB_FILE)
        return write_file(sink, now_ms, line, len);
    err = enf_channel_send(&sink->channel, line, len - 1);
    if (err == -EMSGSIZE) { /* no receiver will ever get it */
        sink->lost++;
        sink->gap.count++;
        return 0;
    }
    if (err) {
        failed(sink, now_ms, err);
        return err;
    }
    sink->error = 0;
    sink->backoff_ms = 0;
    sink->written++;
    return 0;
}

/* Lines that nobody can read any more; their numbers are not known. */
static void count_damage(struct enf_sink *sink, uint64_t before)
{
    sink->lost += before;
    sink->gap.count += before;
    sink->file.torn = sink->file.torn || sink->file.partial > 0;
    sink->file.partial = 0;
}

int enf_sink_drain(struct enf_sink *sink, uint64_t now_ms, size_t bytes_max)
{
    size_t bytes = 0;
    int err = 0;

    while (!enf_spool_is_empty(&sink->spool) && bytes < bytes_max && !err) {
        uint64_t before = sink->spool.lines;
        const char *line;
        size_t len;
        int more = enf_spool_first(&sink->spool, &line, &len);

        if (more < 0)
            return more;
        if (more == 0) {
            count_damage(sink, before);
            break;
        }
        err = enf_sink_write(sink, now_ms, line, len);
        if (!err)
            enf_spool_drop(&sink->spool);
        bytes += len;
    }
    enf_spool_sync(&sink->spool);
    if (err)
        return err;
    return enf_spool_is_empty(&sink->spool) ? 0 : 1;
}

static void confirm(struct enf_sink *sink, uint64_t next)
{
    if (sink->kept < next)
        sink->kept = next;
    enf_spool_confirm(&sink->spool);
    enf_spool_sync(&sink->spool);
    sink->mark.set = false;
}

void enf_sink_settle(struct enf_sink *sink, uint64_t now_ms)
{
    if (!enf_sink_holds(sink) || sink->channel.fd < 0 || sink->channel.connecting)
        return;
    if (!enf_channel_alive(&sink->channel)) {
        failed(sink, now_ms, -EPIPE);
        return;
    }
    int err = enf_channel_push(&sink->channel);
    if (err && err != -EAGAIN) {
        failed(sink, now_ms, err);
        return;
    }
    if (sink->mark.set && now_ms - sink->mark.since_ms >= ENF_HUB_SETTLE_MS &&
        enf_channel_taken(&sink->channel) >= sink->mark.bytes)
        confirm(sink, sink->mark.next);
    if (sink->mark.set || (sink->kept == sink->next && sink->spool.held == 0))
        return;
    sink->mark.set = true;
    sink->mark.next = sink->next;
    sink->mark.since_ms = now_ms;
    /* half a frame that waits here is part of a line before next */
    sink->mark.bytes = sink->channel.sent + sink->channel.out_len - sink->channel.out_at;
    enf_spool_mark(&sink->spool);
}

void enf_sink_finish(struct enf_sink *sink)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct enf_channel *channel = &sink->channel;
    bool all = false;

    if (!enf_sink_holds(sink))
        return;
    for (int i = 0; i < FINISH_TRIES && !all && enf_channel_alive(channel) && !channel->connecting; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        all = enf_channel_push(channel) == 0 && enf_channel_taken(channel) >= channel->sent;
    }
    if (all && enf_channel_alive(channel)) {
        enf_spool_mark(&sink->spool);
        confirm(sink, sink->next);
    } else {
        rewind_sink(sink);
    }
}

void enf_sink_miss(struct enf_sink *sink, uint64_t sequence)
{
    sink->next = sequence + 1;
    sink->kept = sink->next;
    sink->lost++;
    if (sink->gap.count++ == 0 || !sink->gap.first)
        sink->gap.first = sequence;
    sink->gap.last = sequence;
    /* What is there of it is no line; the next one must not be glued to it. Of the spool's first line it is
     * half, and the rest comes. */
    if (!enf_spool_is_empty(&sink->spool))
        return;
    sink->file.torn = sink->file.torn || sink->file.partial > 0;
    sink->file.partial = 0;
}
