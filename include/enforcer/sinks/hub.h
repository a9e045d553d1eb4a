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
#define ENF_HUB_RETRY_MS                                                                                     \
    1000 /* between attempts on a sink that failed; a socket: twice as long each time, up to 30 s */
#define ENF_HUB_SETTLE_MS 5000 /* what a receiver has had for so long, on a connection that lives, it has */

struct enf_hub; /* private to hub.c */

/* One rendered event of the ring. The text ends with a newline, len counts it. Valid until the next call that
 * takes an event. */
struct enf_hub_line {
    uint64_t sequence;
    uint64_t time_ms;
    enum enf_event_action action;
    unsigned severity;
    const char *text; /* JSON */
    size_t len;
};

/* Called once an event, after the sinks had their turn (while they are held: before). It must not call the
 * hub with another event. */
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

enum enf_hub_sink_type {
    ENF_HUB_FILE,         /* one line an event */
    ENF_HUB_UNIX,         /* one datagram an event */
    ENF_HUB_SYSLOG_LOCAL, /* RFC 5424, in datagrams to a Unix socket, */
    ENF_HUB_SYSLOG_UDP,   /* in datagrams over UDP (RFC 5426), which may be lost, */
    ENF_HUB_SYSLOG_TCP,   /* or over TCP with octet counting (RFC 6587) */
};

enum enf_hub_format {
    ENF_HUB_ECS, /* JSON in the words of ECS */
    ENF_HUB_CEF, /* ArcSight's Common Event Format */
};

/* Two are the same sink where type and target (path, or address and port) are. */
struct enf_hub_sink {
    const char *path; /* of file, unix and syslog-local; must not be NULL there */
    enum enf_hub_sink_type type;
    struct enf_addr address; /* of UDP and TCP */
    uint16_t port;           /* host order */
    enum enf_hub_format format;
    unsigned facility; /* of syslog: 0 to 23 */
    uint64_t actions;  /* 1 << action for each one that is wanted; 0: all */
    unsigned severity_min;
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
    const char *path; /* or another name: "tcp:192.0.2.1:514"; valid until the sinks are replaced */
    uint64_t written; /* what had to be sent twice counts twice */
    uint64_t lost;
    uint64_t waiting;  /* lines that it has still to get */
    uint64_t spooled;  /* of these, on disk */
    uint64_t failures; /* attempts to write, open or send that failed */
    int error;         /* errno of the last attempt, 0 where it succeeded */
};

/* 0 with *out set (it has no sinks yet), or -ENOMEM. */
int enf_hub_new(const struct enf_hub_params *params, struct enf_hub **out);
/* Makes a last attempt to write what waits; what cannot be written stays in the spool for the next hub.
 * Accepts NULL content; clears *hub. */
void enf_hub_free(struct enf_hub **hub);

/* Replaces the sinks; numbering and memory go on. A target that is there already keeps its file or connection
 * and its backlog, which stays as it was rendered; a new one gets the events from now on. All or nothing: a
 * file that cannot be opened, or a kind of socket that the process may not have, leaves the old sinks in
 * place (that nobody listens does not), and error (if error_len > 0) says which one and why; with broken_too
 * they become sinks that fail for now, and error names the first. What the spool of a sink that is gone holds
 * is thrown away and counted as lost. Files are made with mode 0640, their folder (one level) with 0750. 0,
 * -E2BIG for more than ENF_HUB_SINKS_MAX, -ENOMEM, or what open() said. */
int enf_hub_set_sinks(struct enf_hub *hub, const struct enf_hub_sink *sinks, size_t sinks_len,
                      bool broken_too, char *error, size_t error_len);

/* Gives event the next sequence (event->sequence), renders and writes it. A sink that fails keeps its place:
 * the line goes into its spool on disk, or waits in memory where that is full, and is written later, in
 * order; what falls out of memory first is counted as lost. What was sent to a Unix socket or over TCP is
 * remembered until the receiver has had it for ENF_HUB_SETTLE_MS; where the connection ends before, it is
 * sent again, so that lines may come twice but are never missing. Over UDP they may be. Never waits for
 * anything but the file system. 0; -EINVAL or -ENOMEM where it could not be rendered: its number is used up,
 * so that the gap shows. */
int enf_hub_emit(struct enf_hub *hub, uint64_t now_ms, struct enf_event *event);

/* Between the two, events go to the sinks some at a time, which is cheaper by half where there are many: at
 * most 64 of them are only in memory, and none of them after the release. */
void enf_hub_hold(struct enf_hub *hub);
void enf_hub_release(struct enf_hub *hub, uint64_t now_ms);

/* To be called about once a second: retries sinks that failed, reopens files that were moved or removed. */
void enf_hub_tick(struct enf_hub *hub, uint64_t now_ms);

/* Whether a receiver had no room, or its connection is not made yet, while something waits for it: worth
 * another look in a few milliseconds. */
bool enf_hub_is_busy(const struct enf_hub *hub);
/* Another attempt on those. How many lines were sent. */
size_t enf_hub_pump(struct enf_hub *hub, uint64_t now_ms);

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
