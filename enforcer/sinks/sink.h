/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One sink: the file, what waits for it, and what it will never get. Private to sinks/. */
#pragma once

#include "enforcer/sinks/file.h"
#include "enforcer/sinks/spool.h"

struct enf_sink {
    struct enf_file file;
    struct enf_spool spool; /* lines of before `next`, this run's or an earlier one's */
    uint64_t next;          /* sequence of the line to be taken from memory next */
    uint64_t retry_ms;      /* no attempt before that */
    uint64_t written;
    uint64_t lost;
    struct {
        uint64_t first;
        uint64_t last;
        uint64_t count; /* 0: none is missing since the last report */
        bool told;      /* that there is one */
    } gap;
};

/* Does not open the file. spool_dir NULL: without a spool. 0 or -ENOMEM. */
int enf_sink_init(const char *path, const char *spool_dir, uint64_t spool_bytes, struct enf_sink *out);
/* What is spooled stays on disk. */
void enf_sink_clear(struct enf_sink *sink);

/* Whether an attempt makes sense now. */
bool enf_sink_is_due(const struct enf_sink *sink, uint64_t now_ms);
/* Writes a line whole; a failure sets the time of the next attempt. 0 or -errno. */
int enf_sink_write(struct enf_sink *sink, uint64_t now_ms, const char *line, size_t len);
/* Writes what the spool has, up to about bytes_max. 0 when it is empty, 1 when there is more, or -errno. */
int enf_sink_drain(struct enf_sink *sink, uint64_t now_ms, size_t bytes_max);
/* The line of this number falls out of memory and was not taken. */
void enf_sink_miss(struct enf_sink *sink, uint64_t sequence);
