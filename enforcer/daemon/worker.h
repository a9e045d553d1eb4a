/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker: reads what the kernel reports and queues, feeds the detector, and puts a convicted subscriber
 * into the kernel's set at once. All the rest (names, ends, rows, events) is the control thread's work.
 *
 * The worker's thread owns everything in struct enf_worker but for what is said to be under the lock. */
#pragma once

#include "enforcer/core/rangemap.h"
#include "enforcer/daemon/banned.h"
#include "enforcer/daemon/clock.h"
#include "enforcer/daemon/ifmap.h"
#include "enforcer/daemon/report.h"
#include "enforcer/daemon/running.h"
#include "enforcer/detect/detector.h"
#include "enforcer/kernel/kernel.h"
#include "enforcer/kernel/telemetry.h"
#include "enforcer/policy/aggregate.h"
#include "enforcer/policy/governor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* What the worker must know of the world; set by the control thread under the lock. Pointers are not owned:
 * the control thread keeps them alive until it has set others. */
struct enf_worker_view {
    const struct enf_running *running;
    enum enf_mode mode;
    const struct enf_rangemap *relays; /* of the file and by hand */
};

struct enf_worker {
    pthread_mutex_t lock;            /* taken for a burst by the worker, for a moment by the control thread */
    struct enf_worker_view view;     /* under the lock */
    struct enf_detector *detector;   /* under the lock */
    struct enf_governor *governor;   /* under the lock */
    struct enf_aggregate *aggregate; /* under the lock */
    struct enf_banned banned;        /* under the lock */
    struct enf_ifmap ifmap;          /* under the lock */
    struct enf_log *log;
    struct enf_queue *queue;   /* NULL where nothing is inspected; replaced under the lock */
    struct enf_kernel *kernel; /* the worker's own socket */
    struct enf_mailbox *mailbox;
    struct enf_timeline timeline;
    uint64_t lost_told; /* of the log's and queue's losses, already said */
    uint64_t full_told_ms;
    pthread_t thread;
    bool started;
    atomic_bool stop;
    int wake_fd; /* eventfd: the queue was replaced, or stop */
    atomic_uint_least64_t log_messages, log_lost, queue_packets, queue_dropped, unread;
};

/* Opens the log group; the rest by enf_worker_start. -EBUSY: another daemon has this network namespace. */
int enf_worker_open(struct enf_worker *worker, const struct enf_running *running, struct enf_mailbox *mailbox,
                    uint64_t seed);
/* The thread begins. */
int enf_worker_start(struct enf_worker *worker);
/* Ends the thread and frees; fine for one that was not opened whole. */
void enf_worker_stop(struct enf_worker *worker);

/* Replaces the view; waits for the burst that is being worked on. */
void enf_worker_set_view(struct enf_worker *worker, const struct enf_worker_view *view);
/* Replaces the queue (NULL: none); the old one is closed. */
void enf_worker_set_queue(struct enf_worker *worker, struct enf_queue *queue);
