/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's thread: wait, read, judge; and what the control thread changes about it. */
#include "enforcer/daemon/worker.h"

#include "enforcer/daemon/judge.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_MS       200  /* aggregates are due by the second */
#define FORGET_WORK   2048 /* subscribers looked at in one turn */
#define AGGREGATE_MAX 65536

int enf_worker_open(struct enf_worker *worker, const struct enf_running *running, struct enf_mailbox *mailbox,
                    uint64_t seed)
{
    const struct enf_config *config = running->config;
    struct enf_detector_params params = {.max_subscribers = config->max_subscribers, .seed = seed};

    *worker = (struct enf_worker){.mailbox = mailbox, .timeline = enf_timeline_start(), .wake_fd = -1};
    pthread_mutex_init(&worker->lock, NULL);
    worker->view.running = running;
    worker->banned.seed = seed;
    int err = enf_log_open(ENF_LOG_GROUP, &worker->log);
    if (err == 0)
        err = enf_detector_new(&params, &worker->detector);
    if (err == 0)
        err = enf_aggregate_new(config->aggregate_ms, AGGREGATE_MAX, seed, &worker->aggregate);
    if (err == 0)
        err = enf_governor_new(config->quarantine.governor.convictions, config->quarantine.governor.per_ms,
                               seed, &worker->governor);
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

/* One turn under the lock: what is there is read, in bursts that keep the lock short. */
static void turn(struct enf_worker *worker, bool log_ready, bool queue_ready)
{
    pthread_mutex_lock(&worker->lock);
    if (queue_ready && worker->queue) {
        enf_queue_read(worker->queue, enf_judge_queued, worker);
        struct enf_queue_stats stats = enf_queue_stats(worker->queue);
        atomic_store(&worker->queue_packets, stats.packets);
        atomic_store(&worker->queue_dropped, stats.dropped);
        atomic_store(&worker->unread, stats.overruns + stats.malformed + stats.failed);
    }
    if (log_ready) {
        enf_log_read(worker->log, enf_judge_logged, worker);
        struct enf_log_stats stats = enf_log_stats(worker->log);
        atomic_store(&worker->log_messages, stats.messages);
        atomic_store(&worker->log_lost, stats.lost);
    }
    pthread_mutex_unlock(&worker->lock);
}

static void housekeeping(struct enf_worker *worker, uint64_t *due_ms)
{
    uint64_t now_ms = enf_timeline_now_ms(&worker->timeline);

    if (now_ms < *due_ms)
        return;
    *due_ms = now_ms + 1000;
    pthread_mutex_lock(&worker->lock);
    enf_judge_tick(worker, now_ms);
    enf_detector_forget_idle(worker->detector, now_ms, FORGET_WORK);
    pthread_mutex_unlock(&worker->lock);
}

static void *run(void *arg)
{
    struct enf_worker *worker = arg;
    uint64_t due_ms = 0;

    while (!atomic_load(&worker->stop)) {
        pthread_mutex_lock(&worker->lock);
        int queue_fd = worker->queue ? enf_queue_fd(worker->queue) : -1;
        pthread_mutex_unlock(&worker->lock);
        struct pollfd fds[] = {
            {.fd = worker->wake_fd, .events = POLLIN},
            {.fd = enf_log_fd(worker->log), .events = POLLIN},
            {.fd = queue_fd, .events = POLLIN},
        };
        int ready = poll(fds, sizeof fds / sizeof *fds, WAIT_MS);
        if (ready > 0 && fds[0].revents)
            drain_wake(worker);
        if (ready > 0)
            turn(worker, fds[1].revents != 0, fds[2].revents != 0);
        housekeeping(worker, &due_ms);
    }
    return NULL;
}

int enf_worker_start(struct enf_worker *worker)
{
    int err = pthread_create(&worker->thread, NULL, run, worker);

    worker->started = err == 0;
    return -err;
}

static void wake(struct enf_worker *worker)
{
    const uint64_t one = 1;

    if (worker->wake_fd >= 0 && write(worker->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is awake anyway */
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
    enf_aggregate_free(&worker->aggregate);
    enf_governor_free(&worker->governor);
    enf_kernel_close(&worker->kernel);
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    worker->wake_fd = -1;
    pthread_mutex_destroy(&worker->lock);
}

void enf_worker_set_view(struct enf_worker *worker, const struct enf_worker_view *view)
{
    pthread_mutex_lock(&worker->lock);
    worker->view = *view;
    memset(&worker->ifmap, 0, sizeof worker->ifmap);
    pthread_mutex_unlock(&worker->lock);
}

void enf_worker_set_queue(struct enf_worker *worker, struct enf_queue *queue)
{
    pthread_mutex_lock(&worker->lock);
    struct enf_queue *old = worker->queue;
    worker->queue = queue;
    pthread_mutex_unlock(&worker->lock);
    /* The thread may still poll the old descriptor: harmless, at most one turn on a number that is somebody
     * else's. */
    enf_queue_close(&old);
    wake(worker);
}
