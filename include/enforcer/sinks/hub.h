/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where all events of the daemon go through: numbers them, renders them, writes them to the sinks and
 * remembers the latest. Used by one thread (the control thread). Times come in as arguments: now_ms is of a
 * clock that does not go back (monotonic), the events carry their own wall clock. */
#pragma once

#include "enforcer/core/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_HUB_RING_LINES  16384u      /* kept in memory: as many lines … */
#define ENF_HUB_RING_BYTES  (16u << 20) /* … and as many bytes, whatever is reached first; the oldest go */
#define ENF_HUB_SPOOL_BYTES (64u << 20)
#define ENF_HUB_SINKS_MAX   16
#define ENF_HUB_RETRY_MS    1000 /* between attempts on a sink that failed */

struct enf_hub; /* private to hub.c */

/* One rendered event of the ring. The text ends with a newline, len counts it. Valid until the next call that
 * takes an event. */
struct enf_hub_line {
    uint64_t sequence;
    uint64_t time_ms;
    enum enf_event_action action;
    const char *text;
    size_t len;
};

/* Called once an event, after the sinks had their turn. It must not call the hub with another event. */
typedef void (*enf_hub_listener)(void *ctx, const struct enf_hub_line *line);

/* Lines that a sink will never get, told by enf_hub_tick: once soon after the first of them, and once when
 * the sink takes lines again, with all that it missed. first and last are sequences of this run. It may call
 * enf_hub_emit. */
typedef void (*enf_hub_lost_fn)(void *ctx, const char *sink, uint64_t first, uint64_t last, uint64_t count,
                                bool over);

/* Strings are copied. ring_lines and ring_bytes: 0 means the defaults above. */
struct enf_hub_params {
    const char *run;      /* id of this start of the daemon, unique among starts */
    const char *hostname; /* NULL: left out of the events */
    const char *version;  /* NULL: left out of the events */
    size_t ring_lines;
    size_t ring_bytes;
    const char *spool;    /* folder for what sinks cannot take; made when it is needed. NULL: memory only */
    uint64_t spool_bytes; /* of each sink; 0: ENF_HUB_SPOOL_BYTES */
    enf_hub_lost_fn lost; /* NULL: nobody wants to know */
    void *lost_ctx;
    enf_hub_listener listener; /* NULL: nobody listens */
    void *listener_ctx;
};

/* A file that gets one line an event. */
struct enf_hub_sink {
    const char *path;
};

struct enf_hub_stats {
    uint64_t sequence; /* of the last event */
    uint64_t written;  /* lines written whole, summed over the sinks, also those since removed */
    uint64_t
        lost; /* lines that a sink never got, summed in the same way, and events that were not rendered */
    uint64_t waiting; /* lines in spools and in memory that a failing sink has still to get */
    uint64_t spooled; /* of these, in spools on disk */
    size_t ring_lines;
    size_t ring_bytes;
};

struct enf_hub_sink_stats {
    const char *path; /* valid until the sinks are replaced */
    uint64_t written;
    uint64_t lost;
    uint64_t spooled;  /* lines on disk that wait for it */
    uint64_t failures; /* attempts to write or open that failed */
    int error;         /* errno of the last attempt, 0 where it succeeded */
};

/* 0 with *out set (it has no sinks yet), or -ENOMEM. */
int enf_hub_new(const struct enf_hub_params *params, struct enf_hub **out);
/* Makes a last attempt to write what waits; what cannot be written stays in the spool for the next hub.
 * Accepts NULL content; clears *hub. */
void enf_hub_free(struct enf_hub **hub);

/* Replaces the sinks; numbering and memory go on. A path that is there already keeps its file and its
 * backlog; a new one gets the events from now on. All or nothing: a file that cannot be opened leaves the old
 * sinks in place, and error (if error_len > 0) says which one and why; with broken_too they become sinks that
 * fail for now, and error names the first. What the spool of a sink that is gone holds is thrown away and
 * counted as lost. Files are made with mode 0640, their folder (one level) with 0750. 0, -E2BIG for more than
 * ENF_HUB_SINKS_MAX, -ENOMEM, or what open() said. */
int enf_hub_set_sinks(struct enf_hub *hub, const struct enf_hub_sink *sinks, size_t sinks_len,
                      bool broken_too, char *error, size_t error_len);

/* Gives event the next sequence (event->sequence), renders and writes it. A sink that fails keeps its place:
 * the line goes into its spool on disk, or waits in memory where that is full, and is written later, in
 * order; what falls out of memory first is counted as lost. Never waits for anything but the file system. 0;
 * -EINVAL or -ENOMEM where it could not be rendered: its number is used up, so that the gap shows. */
int enf_hub_emit(struct enf_hub *hub, uint64_t now_ms, struct enf_event *event);

/* To be called about once a second: retries sinks that failed, reopens files that were moved or removed. */
void enf_hub_tick(struct enf_hub *hub, uint64_t now_ms);

/* Opens all files anew, for log rotation. A file that cannot be opened is written to under its old name; the
 * first such error is returned, and error says which one and why. */
int enf_hub_reopen(struct enf_hub *hub, char *error, size_t error_len);

/* The oldest remembered event whose sequence is at least the given one: 1 with *out set; 0: there is none
 * yet. An answer beyond the sequence asked for means that those between are no longer remembered. */
int enf_hub_next(const struct enf_hub *hub, uint64_t sequence, struct enf_hub_line *out);
/* The sequence of the oldest remembered event at or after since_ms (wall clock); if there is none, that of
 * the event to come next. */
uint64_t enf_hub_since(const struct enf_hub *hub, uint64_t since_ms);

void enf_hub_stats(const struct enf_hub *hub, struct enf_hub_stats *out);
/* The counters of sink number index (in the order of enf_hub_set_sinks). 0, or -ENOENT beyond the last. */
int enf_hub_sink_stats(const struct enf_hub *hub, size_t index, struct enf_hub_sink_stats *out);
