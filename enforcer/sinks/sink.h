/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One sink: the file or the socket, what waits for it, and what it will never get. Private to sinks/. */
#pragma once

#include "enforcer/sinks/channel.h"
#include "enforcer/sinks/file.h"
#include "enforcer/sinks/hub.h"
#include "enforcer/sinks/spool.h"

struct enf_sink {
    char *name; /* owned: the path, or "tcp:[2001:db8::1]:514"; no two sinks have the same */
    enum enf_hub_sink_type type;
    enum enf_hub_format format;
    unsigned facility;
    uint64_t actions; /* a bit an action; 0: all */
    unsigned severity_min;
    struct enf_file file;       /* type file */
    struct enf_channel channel; /* all others */
    struct enf_spool spool;     /* lines of before `next`, this run's or an earlier one's */
    uint64_t next;              /* sequence of the line to be taken from memory next */
    uint64_t kept;              /* from here on what was sent may have to be sent again */
    uint64_t floor;             /* first of those sent from memory since the spool was last filled; 0: none */
    struct {
        bool set;
        uint64_t next;
        uint64_t bytes; /* sent by then */
        uint64_t since_ms;
    } mark;
    uint64_t retry_ms; /* no attempt before that */
    uint64_t backoff_ms;
    uint64_t written;
    uint64_t lost;
    uint64_t failures; /* of the channel */
    int error;         /* of the channel */
    struct {
        uint64_t first;
        uint64_t last;
        uint64_t count; /* 0: none is missing since the last report */
        bool told;      /* that there is one */
    } gap;
};

/* The name that wanted goes by, malloced; NULL without memory. */
char *enf_sink_name(const struct enf_hub_sink *wanted);
/* Opens nothing. spool_dir NULL: without a spool. 0, -ENOMEM or -ENAMETOOLONG. */
int enf_sink_init(const struct enf_hub_sink *wanted, const char *spool_dir, uint64_t spool_bytes,
                  struct enf_sink *out);
/* Format and filter as wanted: the rest of it is the same. */
void enf_sink_change(struct enf_sink *sink, const struct enf_hub_sink *wanted);
/* Opens the file, or sees whether such a socket can be made here; nobody need be at its other end. 0 or
 * -errno. */
int enf_sink_open(struct enf_sink *sink);
/* What is spooled stays on disk. */
void enf_sink_clear(struct enf_sink *sink);

/* Whether the filter lets such events through. */
bool enf_sink_wants(const struct enf_sink *sink, enum enf_event_action action, unsigned severity);
/* Whether what was sent may be lost all the same, so that it is kept until the receiver has it. */
bool enf_sink_holds(const struct enf_sink *sink);
/* errno of the last attempt, 0 where it succeeded; attempts that failed. */
int enf_sink_error(const struct enf_sink *sink);
uint64_t enf_sink_failures(const struct enf_sink *sink);

/* Whether an attempt makes sense now. */
bool enf_sink_is_due(const struct enf_sink *sink, uint64_t now_ms);
/* Writes or sends a line whole; a failure sets the time of the next attempt, and what was sent and is not
 * known to have arrived is to be sent again: next and the spool go back. 0 or -errno. */
int enf_sink_write(struct enf_sink *sink, uint64_t now_ms, const char *line, size_t len);
/* The same for several lines of a file, as enf_file_write. */
int enf_sink_write_lines(struct enf_sink *sink, uint64_t now_ms, const struct iovec *lines, size_t len,
                         size_t *done);
/* Writes what the spool has, up to about bytes_max. 0 when it is empty, 1 when there is more, or -errno. */
int enf_sink_drain(struct enf_sink *sink, uint64_t now_ms, size_t bytes_max);
/* Once a second: lets go of what the receiver has had for ENF_HUB_SETTLE_MS, notices one that is gone. */
void enf_sink_settle(struct enf_sink *sink, uint64_t now_ms);
/* At the end: what the receiver has not acknowledged is to be sent again (a short wait for it). */
void enf_sink_finish(struct enf_sink *sink);
/* The line of this number falls out of memory and was not taken. */
void enf_sink_miss(struct enf_sink *sink, uint64_t sequence);
