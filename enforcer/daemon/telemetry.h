/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was not read: lost copies, packets that a full queue dropped or let pass, workers that are stuck. All
 * of it belongs to the control thread. */
#pragma once

#include "enforcer/kernel/ruleset.h"

#include <stdbool.h>
#include <stdint.h>

struct enf_daemon;

/* A worker's telemetry as of the last look. Counts are since the daemon started. */
struct enf_worker_report {
    uint16_t queue;
    uint16_t log_group;
    bool stuck;
    uint64_t silent_ms; /* since its thread last came round */
    uint64_t queue_packets;
    uint64_t queue_waiting;
    uint64_t queue_refused; /* by our verdict */
    uint64_t queue_dropped; /* by the kernel: the queue or the socket was full, and the fail mode is closed */
    uint64_t queue_unread;  /* got the fail mode's verdict otherwise: passed by a full queue where it is open,
                               met no listener, could not be read */
    uint64_t log_messages;
    uint64_t log_lost;
};

/* Packets, or messages about them, that nobody read. */
struct enf_losses {
    uint64_t dropped; /* by the queue */
    uint64_t unread;  /* with the verdict of queue.fail */
    uint64_t lost;    /* copies */
};

/* Zero value: nothing looked at yet. */
struct enf_telemetry {
    struct enf_worker_report workers[ENF_RULESET_WORKERS_MAX];
    unsigned len;
    /* private to telemetry.c */
    bool proc_open;
    int proc_fd;
    struct enf_telemetry_base {
        bool known;
        uint64_t offered; /* the kernel's counter of packets on their way to the queue, at the start */
        uint64_t offered_last;
        uint64_t received;
        uint64_t dropped;
        uint64_t dropped_last; /* the kernel's own count */
        uint64_t unread;       /* confirmed */
        uint64_t failed;       /* could not be read, or no verdict reached the kernel */
        bool stuck_told;
        uint64_t stuck_since_ms;
    } bases[ENF_RULESET_WORKERS_MAX];
    struct enf_losses told;
    uint64_t told_ms; /* steady clock */
    uint64_t saved_offered;
    uint64_t saved_untold; /* losses that the state has as not told */
    uint64_t saved_ms;
};

#define ENF_STUCK_MS 3000 /* a worker comes round five times a second */

/* Opens what only root may open: the kernel's list of queues. It need not succeed; then what a full queue
 * dropped is not known. */
void enf_telemetry_open(struct enf_daemon *d);
void enf_telemetry_close(struct enf_daemon *d);
/* Reads all counters now. */
void enf_telemetry_look(struct enf_daemon *d);
/* Each second: looks, and tells what is new. */
void enf_telemetry_tick(struct enf_daemon *d);
/* The queues are other ones from now on, or the kernel's counters are. */
void enf_telemetry_rebase(struct enf_daemon *d);
/* At the start, when the rules are in force: what went by while nobody read, and what the run before was
 * killed before it told. */
void enf_telemetry_away(struct enf_daemon *d);
/* What the next start must know, to the disk. */
void enf_telemetry_save(struct enf_daemon *d);
/* At the end: tells what is left to tell, and saves. */
void enf_telemetry_end(struct enf_daemon *d);
