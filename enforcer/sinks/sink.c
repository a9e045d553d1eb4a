/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the order: what is in the spool goes before what is in memory. */
#include "enforcer/sinks/sink.h"

#include "enforcer/sinks/hub.h"

#include <errno.h>

int enf_sink_init(const char *path, const char *spool_dir, uint64_t spool_bytes, struct enf_sink *out)
{
    struct enf_sink sink = {.file = {.fd = -1}, .spool = {.fd = -1}};
    int err = enf_file_init(path, &sink.file);

    if (!err)
        err = enf_spool_open(spool_dir, path, spool_bytes, &sink.spool);
    if (err)
        enf_sink_clear(&sink);
    else
        *out = sink;
    return err;
}

void enf_sink_clear(struct enf_sink *sink)
{
    enf_file_clear(&sink->file);
    enf_spool_close(&sink->spool);
    *sink = (struct enf_sink){.file = {.fd = -1}, .spool = {.fd = -1}};
}

bool enf_sink_is_due(const struct enf_sink *sink, uint64_t now_ms)
{
    return !sink->file.error || now_ms >= sink->retry_ms;
}

int enf_sink_write(struct enf_sink *sink, uint64_t now_ms, const char *line, size_t len)
{
    int err = enf_file_write(&sink->file, line, len);

    if (err)
        sink->retry_ms = now_ms + ENF_HUB_RETRY_MS;
    else
        sink->written++;
    return err;
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

void enf_sink_miss(struct enf_sink *sink, uint64_t sequence)
{
    sink->next = sequence + 1;
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
