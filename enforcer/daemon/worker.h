/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker: reads what the kernel reports and queues of its share of the subscribers, feeds the detector, and
 * puts a convicted one into the kernel's set at once. All the rest (names, ends, rows, events) is the control
 * thread's work. The kernel gives each subscriber to one worker (nft-templates/worker.nft), so no two share
 * anything but what is in struct enf_crew.
 *
 * The worker's thread owns everything in struct enf_worker but for what is said to be under the lock. */
#pragma once

#include "enforcer/core/rangemap.h"
#include "enforcer/daemon/banned.h"
#include "enforcer/daemon/clock.h"
#include "enforcer/daemon/histogram.h"
#include "enforcer/daemon/ifmap.h"
#include "enforcer/daemon/report.h"
#include "enforcer/daemon/running.h"
#include "enforcer/detect/detector.h"
#include "enforcer/inspect/flows.h"
#include "enforcer/kernel/kernel.h"
#include "enforcer/kernel/telemetry.h"
#include "enforcer/policy/aggregate.h"
#include "enforcer/policy/governor.h"
#include "enforcer/policy/senders.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* What a worker must know of the world; set by the control thread under the lock. Pointers are not owned:
 * the control thread keeps them alive until it has set others. */
struct enf_worker_view {
    const struct enf_running *running;
    enum enf_mode mode;
    const struct enf_rangemap *relays; /* of the file and by hand */
};

/* What workers share. */
struct enf_shared {
    pthread_mutex_t lock;
    struct enf_governor
        *governor;                /* under the lock: counts by interface, whoever the subscriber belongs to */
    struct enf_mailbox *mailbox;  /* has a lock of its own */
    struct enf_timeline timeline; /* read-only */
    bool filter;                  /* read-only once workers run: each takes a system call filter of its own */
};

/* Something that the worker's thread does for another one between two bursts. */
struct enf_errand {
    int (*fn)(void *ctx);
    void *ctx;
    int result;
    bool done;
};

/* Counted by the worker, read by anybody. */
struct enf_worker_stats {
    atomic_uint_least64_t log_messages;
    atomic_uint_least64_t log_lost; /* messages, and one for each overrun that hides how many */
    atomic_uint_least64_t queue_packets;
    atomic_uint_least64_t queue_refused; /* by our verdict */
    atomic_uint_least64_t queue_failed;  /* could not be read, or no verdict reached the kernel */
    atomic_uint_least64_t beat_ms;       /* steady clock: when the thread last came round */
    struct enf_histogram verdicts;       /* from reading a burst of the queue to the verdicts on it */
    struct enf_histogram blocks;         /* from the convicting packet to the element in the kernel */
};

struct enf_worker {
    unsigned index;
    struct enf_shared *shared;
    pthread_mutex_t lock;            /* taken for a burst by the worker, for a moment by the control thread */
    pthread_cond_t errand_done;      /* with lock */
    struct enf_errand *errand;       /* under the lock; NULL: none */
    struct enf_worker_view view;     /* under the lock */
    struct enf_detector *detector;   /* under the lock */
    struct enf_flows *flows;         /* under the lock: connections that are read */
    struct enf_aggregate *aggregate; /* under the lock */
    struct enf_senders *senders;     /* under the lock: hosts whose sessions were answered */
    struct enf_banned banned;        /* under the lock */
    struct enf_reports outbox;       /* under the lock: what a burst has to say, empty between two of them */
    struct enf_ifmap ifmap;          /* under the lock */
    struct enf_log *log;
    struct enf_queue *queue;   /* NULL where nothing is inspected */
    struct enf_kernel *kernel; /* the worker's own socket */
    struct enf_moment moment;  /* of the burst that is worked on */
    uint64_t now_ms;           /* the same, in the crew's timeline */
    uint64_t deaf_until_ms;    /* something was lost: until then silence proves nothing */
    uint64_t lost_seen;
    uint64_t full_told_ms;
    pthread_t thread;
    bool started;
    int sealed; /* 0, or -errno: the filter that is asked for could not be installed, and nothing is read */
    atomic_bool stop;
    int wake_fd; /* eventfd: an errand waits, or stop */
    struct enf_worker_stats stats;
};

struct enf_worker_params {
    unsigned index;
    const struct enf_running *running;
    size_t max_subscribers; /* its share, as those below */
    size_t max_flows;
    size_t max_flow_bytes;
    uint64_t seed;
};

/* Opens the log group ENF_LOG_GROUP + index; the rest by enf_worker_start. -EBUSY: another daemon has this
 * network namespace. */
int enf_worker_open(struct enf_worker *worker, const struct enf_worker_params *params,
                    struct enf_shared *shared);
/* The thread begins. 0 once its filter is in place, where there is to be one; -errno. */
int enf_worker_start(struct enf_worker *worker);
/* Ends the thread and frees; fine for one that was not opened whole. */
void enf_worker_stop(struct enf_worker *worker);

/* For the worker, with its lock held: reads the clocks. */
void enf_worker_set_moment(struct enf_worker *worker);

/* For the control thread: waits at most ENF_WORKER_PATIENCE_MS, so that a stuck worker does not stop the
 * control socket as well. False: not locked. */
#define ENF_WORKER_PATIENCE_MS 2000
bool enf_worker_lock(struct enf_worker *worker);
void enf_worker_unlock(struct enf_worker *worker);

/* Has fn run by the worker's thread between two bursts and waits for its result; where the thread does not
 * run yet, runs it here. -ETIMEDOUT where the worker is stuck: then fn was not run and will not be. */
int enf_worker_do(struct enf_worker *worker, int (*fn)(void *ctx), void *ctx);
