/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The workers, asked one after the other. */
#include "enforcer/daemon/crew.h"

#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(ENF_WORKERS_MAX == ENF_RULESET_WORKERS_MAX, "two rooms, one bound");

/* Of all workers together: connections that are followed, and memory of those that are read. */
#define MAX_FLOWS      ENF_FLOWS_DEFAULT
#define MAX_FLOW_BYTES (256U << 20)

#define PIECE 2048 /* subscribers looked at while a worker waits */

int enf_crew_open(struct enf_crew *crew, const struct enf_running *running, struct enf_mailbox *mailbox,
                  uint64_t seed)
{
    const struct enf_config *config = running->config;
    unsigned count = config->queue.count > 0 ? config->queue.count : 1;

    *crew = (struct enf_crew){.shared = {.mailbox = mailbox, .timeline = enf_timeline_start()}};
    pthread_mutex_init(&crew->shared.lock, NULL);
    crew->workers = calloc(count, sizeof *crew->workers);
    int err = crew->workers ? 0 : -ENOMEM;
    if (err == 0)
        err = enf_governor_new(config->quarantine.governor.convictions, config->quarantine.governor.per_ms,
                               seed, &crew->shared.governor);
    for (unsigned i = 0; err == 0 && i < count; i++) {
        struct enf_worker_params params = {
            .index = i,
            .running = running,
            .max_subscribers = (config->max_subscribers + count - 1) / count,
            .max_flows = MAX_FLOWS / count,
            .max_flow_bytes = MAX_FLOW_BYTES / count,
            .seed = seed,
        };
        err = enf_worker_open(&crew->workers[i], &params, &crew->shared);
        crew->len += err == 0;
    }
    return err;
}

int enf_crew_start(struct enf_crew *crew)
{
    int err = 0;

    for (unsigned i = 0; err == 0 && i < crew->len; i++)
        err = enf_worker_start(&crew->workers[i]);
    return err;
}

void enf_crew_close(struct enf_crew *crew)
{
    if (!crew->workers && !crew->shared.governor)
        return;
    for (unsigned i = 0; i < crew->len; i++)
        enf_worker_stop(&crew->workers[i]);
    free(crew->workers);
    crew->workers = NULL;
    crew->len = 0;
    enf_governor_free(&crew->shared.governor);
    pthread_mutex_destroy(&crew->shared.lock);
}

uint64_t enf_crew_now_ms(const struct enf_crew *crew)
{
    return enf_timeline_now_ms(&crew->shared.timeline);
}

int enf_crew_set_view(struct enf_crew *crew, const struct enf_worker_view *view)
{
    int err = 0;

    for (unsigned i = 0; i < crew->len; i++) {
        struct enf_worker *worker = &crew->workers[i];
        if (!enf_worker_lock(worker)) {
            err = -ETIMEDOUT;
            continue;
        }
        worker->view = *view;
        memset(&worker->ifmap, 0, sizeof worker->ifmap);
        enf_worker_unlock(worker);
    }
    return err;
}

void enf_crew_set_aggregate(struct enf_crew *crew, uint64_t interval_ms)
{
    for (unsigned i = 0; i < crew->len; i++) {
        if (!enf_worker_lock(&crew->workers[i]))
            continue;
        enf_aggregate_set_interval(crew->workers[i].aggregate, interval_ms);
        enf_worker_unlock(&crew->workers[i]);
    }
}

/* --- queues --- */

struct exchange {
    struct enf_worker *worker;
    struct enf_queue *queue;
    bool fail_open;
};

/* In the worker's thread. */
static int exchange_queue(void *ctx)
{
    struct exchange *e = ctx;
    struct enf_queue *old = e->worker->queue;

    e->worker->queue = e->queue;
    e->queue = old;
    return 0;
}

static int change_fail_mode(void *ctx)
{
    struct exchange *e = ctx;

    return e->worker->queue ? enf_queue_set_fail_open(e->worker->queue, e->fail_open) : 0;
}

int enf_crew_listen(struct enf_crew *crew, uint16_t first, bool fail_open)
{
    struct exchange *all = calloc(crew->len + 1, sizeof *all);
    int err = all ? 0 : -ENOMEM;

    for (unsigned i = 0; err == 0 && i < crew->len; i++) {
        all[i].worker = &crew->workers[i];
        err = enf_queue_open((uint16_t)(first + i), fail_open, &all[i].queue);
    }
    for (unsigned i = 0; err == 0 && i < crew->len; i++)
        err = enf_worker_do(all[i].worker, exchange_queue, &all[i]);
    for (unsigned i = 0; all && i < crew->len; i++)
        enf_queue_close(&all[i].queue);
    free(all);
    return err;
}

bool enf_crew_listens(const struct enf_crew *crew)
{
    return crew->len > 0 && crew->workers[0].queue;
}

int enf_crew_set_fail_open(struct enf_crew *crew, bool fail_open)
{
    int err = 0;

    for (unsigned i = 0; err == 0 && i < crew->len; i++) {
        struct exchange e = {.worker = &crew->workers[i], .fail_open = fail_open};
        err = enf_worker_do(e.worker, change_fail_mode, &e);
    }
    return err;
}

/* --- the detectors --- */

/* Between two pieces the worker gets its lock. */
static bool next_piece(struct enf_worker *worker)
{
    enf_worker_unlock(worker);
    sched_yield();
    return enf_worker_lock(worker);
}

void enf_crew_forget(struct enf_crew *crew, const struct enf_prefix *prefix)
{
    for (unsigned i = 0; i < crew->len; i++) {
        struct enf_worker *worker = &crew->workers[i];
        size_t cursor = 0;
        if (!enf_worker_lock(worker))
            continue;
        enf_banned_remove(&worker->banned, prefix);
        enf_senders_forget(worker->senders, prefix);
        bool locked = true;
        while (locked && enf_detector_reset_some(worker->detector, prefix, &cursor, PIECE))
            locked = next_piece(worker);
        if (locked)
            enf_worker_unlock(worker);
    }
}

void enf_crew_show(struct enf_crew *crew, const struct enf_prefix *subscriber,
                   const struct enf_detector_settings *settings, enf_crew_show_fn fn, void *ctx)
{
    uint64_t now_ms = enf_crew_now_ms(crew);
    bool shown = false;

    for (unsigned i = 0; i < crew->len && !shown; i++) {
        struct enf_worker *worker = &crew->workers[i];
        struct enf_detector_view view = {0};
        if (!enf_worker_lock(worker))
            continue;
        shown = enf_detector_show(worker->detector, subscriber, settings, now_ms, &view) == 0;
        if (shown)
            fn(ctx, &view);
        enf_worker_unlock(worker);
    }
    if (!shown)
        fn(ctx, NULL);
}

size_t enf_crew_top(struct enf_crew *crew, enum enf_top by, size_t limit, struct enf_detector_top *out)
{
    struct enf_ranking ranking = {by, limit < ENF_TOP_MAX ? limit : ENF_TOP_MAX, 0, out};

    for (unsigned i = 0; i < crew->len; i++) {
        size_t cursor = 0;
        bool locked = enf_worker_lock(&crew->workers[i]);
        while (locked && enf_detector_rank(crew->workers[i].detector, &cursor, PIECE, &ranking))
            locked = next_piece(&crew->workers[i]);
        if (locked)
            enf_worker_unlock(&crew->workers[i]);
    }
    enf_ranking_sort(&ranking);
    return ranking.len;
}

void enf_crew_each(struct enf_crew *crew, int (*fn)(void *ctx, const struct enf_detector_top *subscriber),
                   void *ctx)
{
    for (unsigned i = 0; i < crew->len; i++) {
        size_t cursor = 0;
        bool locked = enf_worker_lock(&crew->workers[i]);
        while (locked && enf_detector_walk(crew->workers[i].detector, &cursor, PIECE, fn, ctx))
            locked = next_piece(&crew->workers[i]);
        if (locked)
            enf_worker_unlock(&crew->workers[i]);
    }
}

int enf_crew_senders(struct enf_crew *crew, int (*fn)(void *ctx, const struct enf_sender *sender), void *ctx)
{
    int answer = 0;

    for (unsigned i = 0; answer == 0 && i < crew->len; i++) {
        if (!enf_worker_lock(&crew->workers[i]))
            continue;
        answer = enf_senders_each(crew->workers[i].senders, fn, ctx);
        enf_worker_unlock(&crew->workers[i]);
    }
    return answer;
}

void enf_crew_detector_stats(struct enf_crew *crew, struct enf_detector_stats *out)
{
    struct enf_detector_stats sum = {0};

    for (unsigned i = 0; i < crew->len; i++) {
        struct enf_detector_stats one;
        if (!enf_worker_lock(&crew->workers[i]))
            continue;
        enf_detector_stats(crew->workers[i].detector, &one);
        enf_worker_unlock(&crew->workers[i]);
        sum.observations += one.observations;
        sum.retransmissions += one.retransmissions;
        sum.convictions += one.convictions;
        sum.subscribers += one.subscribers;
        sum.max_subscribers += one.max_subscribers;
        sum.evicted += one.evicted;
        sum.evicted_active += one.evicted_active;
        sum.expired += one.expired;
        sum.clock_steps += one.clock_steps;
        sum.starved += one.starved;
        sum.bytes += one.bytes;
    }
    *out = sum;
}

void enf_crew_flow_stats(struct enf_crew *crew, struct enf_flows_stats *out)
{
    struct enf_flows_stats sum = {0};

    for (unsigned i = 0; i < crew->len; i++) {
        struct enf_flows_stats one;
        if (!enf_worker_lock(&crew->workers[i]))
            continue;
        enf_flows_stats(crew->workers[i].flows, &one);
        enf_worker_unlock(&crew->workers[i]);
        sum.flows += one.flows;
        sum.waiting += one.waiting;
        sum.read += one.read;
        sum.bytes += one.bytes + one.bytes_fixed;
        sum.sessions += one.sessions;
        sum.evicted_waiting += one.evicted_waiting;
        sum.evicted_read += one.evicted_read;
        sum.over_subscriber += one.over_subscriber;
        sum.unread += one.unread;
    }
    *out = sum;
}

/* --- the governor --- */

void enf_crew_governor_each(struct enf_crew *crew, int (*fn)(void *ctx, const struct enf_governor_trip *trip),
                            void *ctx)
{
    pthread_mutex_lock(&crew->shared.lock);
    enf_governor_each(crew->shared.governor, fn, ctx);
    pthread_mutex_unlock(&crew->shared.lock);
}

int enf_crew_governor_configure(struct enf_crew *crew, uint32_t convictions, uint64_t per_ms)
{
    pthread_mutex_lock(&crew->shared.lock);
    int err = enf_governor_configure(crew->shared.governor, convictions, per_ms);
    pthread_mutex_unlock(&crew->shared.lock);
    return err;
}

void enf_crew_governor_reset(struct enf_crew *crew)
{
    pthread_mutex_lock(&crew->shared.lock);
    enf_governor_reset(crew->shared.governor, NULL);
    pthread_mutex_unlock(&crew->shared.lock);
}

void enf_crew_governor_restore(struct enf_crew *crew, const struct enf_governor_trip *trip)
{
    pthread_mutex_lock(&crew->shared.lock);
    enf_governor_restore(crew->shared.governor, trip);
    pthread_mutex_unlock(&crew->shared.lock);
}
