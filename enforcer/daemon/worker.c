/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker's thread: read, judge, wait; and what the control thread asks of it. */
#include "enforcer/daemon/worker.h"

#include "enforcer/daemon/judge.h"
#include "enforcer/daemon/seccomp.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS       200 /* aggregates are due by the second */
#define TICK_MS       250
#define FORGET_WORK   1024 /* subscribers looked at in one turn */
#define AGGREGATE_MAX 65536
#define BURSTS_MAX    64 /* of the queue in one turn: then the log has its turn */

int enf_worker_open(struct enf_worker *worker, const struct enf_worker_params *params,
                    struct enf_shared *shared)
{
    struct enf_detector_params detector = {.max_subscribers = params->max_subscribers, .seed = params->seed};
    struct enf_flows_params flows = {
        .max_flows = params->max_flows, .max_bytes = params->max_flow_bytes, .seed = params->seed};

    *worker = (struct enf_worker){.index = params->index, .shared = shared, .wake_fd = -1};
    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->errand_done, &steady);
    pthread_condattr_destroy(&steady);
    worker->view.running = params->running;
    worker->banned.seed = params->seed;
    int err = enf_log_open((uint16_t)(ENF_LOG_GROUP + params->index), &worker->log);
    if (err == 0)
        err = enf_detector_new(&detector, &worker->detector);
    if (err == 0)
        err = enf_flows_new(&flows, &worker->flows);
    if (err == 0)
        err = enf_aggregate_new(params->running->config->aggregate_ms, AGGREGATE_MAX, params->seed,
                                &worker->aggregate);
    if (err == 0)
        err = enf_senders_new(params->seed, &worker->senders);
    if (err == 0)
        err = enf_kernel_open(&worker->kernel);
    if (err == 0) {
        worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        err = worker->wake_fd < 0 ? -errno : 0;
    }
    if (err < 0)
        enf_worker_stop(worker);
    return err;
}

static void drain_wake(struct enf_worker *worker)
{
    uint64_t count;

    while (read(worker->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

static void wake(struct enf_worker *worker)
{
    const uint64_t one = 1;

    if (worker->wake_fd >= 0 && write(worker->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is awake anyway */
}

static void run_errand(struct enf_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    struct enf_errand *errand = worker->errand;
    if (errand) {
        errand->result = errand->fn(errand->ctx);
        errand->done = true;
        worker->errand = NULL;
        pthread_cond_broadcast(&worker->errand_done);
    }
    pthread_mutex_unlock(&worker->lock);
}

void enf_worker_set_moment(struct enf_worker *worker)
{
    worker->moment = enf_timeline_moment(&worker->shared->timeline);
    worker->now_ms = worker->moment.now_us / 1000;
}

/* Each takes the lock for a burst, inside (judge.c). True where there may be more. */
static bool read_queue(struct enf_worker *worker)
{
    int got = ENF_QUEUE_BURST;

    uint64_t before_ns = enf_clock_steady_ns();
    for (int i = 0; got == ENF_QUEUE_BURST && i < BURSTS_MAX; i++) {
        got = enf_queue_read(worker->queue, enf_judge_queued, worker);
        uint64_t after_ns = enf_clock_steady_ns();
        if (got > 0)
            enf_histogram_add(&worker->stats.verdicts, after_ns - before_ns);
        before_ns = after_ns;
    }
    struct enf_queue_stats stats = enf_queue_stats(worker->queue);
    atomic_store_explicit(&worker->stats.queue_refused, stats.dropped, memory_order_relaxed);
    atomic_store_explicit(&worker->stats.queue_failed, stats.malformed + stats.failed, memory_order_relaxed);
    return got == ENF_QUEUE_BURST;
}

static bool read_log(struct enf_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    enf_worker_set_moment(worker);
    int got = enf_log_read(worker->log, enf_judge_logged, worker);
    pthread_mutex_unlock(&worker->lock);
    struct enf_log_stats stats = enf_log_stats(worker->log);
    atomic_store_explicit(&worker->stats.log_messages, stats.messages, memory_order_relaxed);
    atomic_store_explicit(&worker->stats.log_lost, stats.lost + stats.overruns, memory_order_relaxed);
    return got > 0;
}

/* An answer may be among what was lost: for as long as one is waited for, silence says nothing. */
static void notice_losses(struct enf_worker *worker, uint64_t now_ms)
{
    struct enf_log_stats log = enf_log_stats(worker->log);
    uint64_t lost = log.lost + log.overruns;

    if (worker->queue) {
        struct enf_queue_stats queue = enf_queue_stats(worker->queue);
        lost += queue.lost + queue.overruns + queue.malformed;
    }
    if (lost != worker->lost_seen)
        worker->deaf_until_ms = now_ms + ENF_FLOWS_ANSWER_MS + TICK_MS;
    worker->lost_seen = lost;
}

static void housekeeping(struct enf_worker *worker, uint64_t *due_ms)
{
    uint64_t now_ms = enf_timeline_now_ms(&worker->shared->timeline);

    atomic_store_explicit(&worker->stats.beat_ms, enf_clock_steady_ms(), memory_order_relaxed);
    if (now_ms < *due_ms)
        return;
    *due_ms = now_ms + TICK_MS;
    notice_losses(worker, now_ms);
    pthread_mutex_lock(&worker->lock);
    worker->now_ms = now_ms;
    enf_judge_tick(worker);
    enf_detector_forget_idle(worker->detector, now_ms, FORGET_WORK);
    pthread_mutex_unlock(&worker->lock);
}

static void *run(void *arg)
{
    struct enf_worker *worker = arg;
    uint64_t due_ms = 0;
    bool queue_ready = true, log_ready = true;
    char name[16];

    /* By itself: another thread would need /proc for it. */
    snprintf(name, sizeof name, "worker%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    worker->sealed = worker->shared->filter ? enf_seccomp_apply(ENF_SECCOMP_WORKER) : 0;
    bool reads = worker->sealed == 0; /* no packet without the filter */
    while (!atomic_load(&worker->stop)) {
        bool more = reads && queue_ready && worker->queue && read_queue(worker);
        more |= reads && log_ready && read_log(worker);
        housekeeping(worker, &due_ms);
        struct pollfd fds[] = {
            {.fd = worker->wake_fd, .events = POLLIN},
            {.fd = enf_log_fd(worker->log), .events = POLLIN},
            {.fd = worker->queue ? enf_queue_fd(worker->queue) : -1, .events = POLLIN},
        };
        int ready = poll(fds, sizeof fds / sizeof *fds, more ? 0 : WAIT_MS);
        log_ready = ready > 0 && fds[1].revents != 0;
        queue_ready = ready > 0 && fds[2].revents != 0;
        if (ready > 0 && fds[0].revents) {
            drain_wake(worker);
            run_errand(worker);
        }
    }
    run_errand(worker);
    return NULL;
}

/* In the worker's thread. */
static int is_sealed(void *ctx)
{
    const struct enf_worker *worker = ctx;

    return worker->sealed;
}

int enf_worker_start(struct enf_worker *worker)
{
    atomic_store(&worker->stats.beat_ms, enf_clock_steady_ms());
    int err = pthread_create(&worker->thread, NULL, run, worker);
    worker->started = err == 0;
    return err == 0 ? enf_worker_do(worker, is_sealed, worker) : -err;
}

void enf_worker_stop(struct enf_worker *worker)
{
    if (worker->started) {
        atomic_store(&worker->stop, true);
        wake(worker);
        pthread_join(worker->thread, NULL);
        worker->started = false;
    }
    enf_queue_close(&worker->queue);
    enf_log_close(&worker->log);
    enf_detector_free(&worker->detector);
    enf_flows_free(&worker->flows);
    enf_aggregate_free(&worker->aggregate);
    enf_senders_free(&worker->senders);
    enf_kernel_close(&worker->kernel);
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    worker->wake_fd = -1;
    pthread_cond_destroy(&worker->errand_done);
    pthread_mutex_destroy(&worker->lock);
}

static struct timespec until(clockid_t clock)
{
    struct timespec end;

    clock_gettime(clock, &end);
    end.tv_sec += ENF_WORKER_PATIENCE_MS / 1000;
    return end;
}

bool enf_worker_lock(struct enf_worker *worker)
{
    struct timespec end = until(CLOCK_MONOTONIC);

    return pthread_mutex_clocklock(&worker->lock, CLOCK_MONOTONIC, &end) == 0;
}

void enf_worker_unlock(struct enf_worker *worker)
{
    pthread_mutex_unlock(&worker->lock);
}

int enf_worker_do(struct enf_worker *worker, int (*fn)(void *ctx), void *ctx)
{
    struct enf_errand errand = {.fn = fn, .ctx = ctx};
    struct timespec end = until(CLOCK_MONOTONIC);

    if (!worker->started)
        return fn(ctx);
    if (!enf_worker_lock(worker))
        return -ETIMEDOUT;
    worker->errand = &errand;
    wake(worker);
    while (!errand.done && pthread_cond_timedwait(&worker->errand_done, &worker->lock, &end) == 0)
        ;
    worker->errand = NULL;
    pthread_mutex_unlock(&worker->lock);
    return errand.done ? errand.result : -ETIMEDOUT;
}
