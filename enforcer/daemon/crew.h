/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All workers together, as the control thread sees them. Its calls hold a worker up for microseconds: what
 * takes longer is done in pieces. Where a worker is stuck, its part is left out, after a wait that is
 * bounded. */
#pragma once

#include "enforcer/daemon/worker.h"

struct enf_crew {
    struct enf_worker *workers;
    unsigned len;
    struct enf_shared shared;
};

/* As many workers as the configuration says. -EBUSY: another daemon has this network namespace. Close it
 * whatever came. */
int enf_crew_open(struct enf_crew *crew, const struct enf_running *running, struct enf_mailbox *mailbox,
                  uint64_t seed);
int enf_crew_start(struct enf_crew *crew);
/* Ends all threads and frees; accepts one that is zeroed. */
void enf_crew_close(struct enf_crew *crew);

/* Milliseconds in the workers' timeline. */
uint64_t enf_crew_now_ms(const struct enf_crew *crew);

/* Replaces the view of all; waits for the bursts that are being worked on. -ETIMEDOUT: a worker is stuck, and
 * still uses the old one. */
int enf_crew_set_view(struct enf_crew *crew, const struct enf_worker_view *view);

/* Binds the queues first, first + 1 …, one a worker, and lets those of before go. All or none. */
int enf_crew_listen(struct enf_crew *crew, uint16_t first, bool fail_open);
bool enf_crew_listens(const struct enf_crew *crew);
int enf_crew_set_fail_open(struct enf_crew *crew, bool fail_open);

/* Another interval of the aggregated events. */
void enf_crew_set_aggregate(struct enf_crew *crew, uint64_t interval_ms);

/* Forgets counters, evidence and recent bans of all subscribers in the prefix. */
void enf_crew_forget(struct enf_crew *crew, const struct enf_prefix *prefix);

/* Shows one subscriber: fn is called with the lock of its worker held, because the view's evidence is the
 * detector's own; NULL where nothing is known. */
typedef void (*enf_crew_show_fn)(void *ctx, const struct enf_detector_view *view);
void enf_crew_show(struct enf_crew *crew, const struct enf_prefix *subscriber,
                   const struct enf_detector_settings *settings, enf_crew_show_fn fn, void *ctx);
/* As enf_detector_top. */
size_t enf_crew_top(struct enf_crew *crew, enum enf_top by, size_t limit, struct enf_detector_top *out);
/* Each subscriber once, as enf_detector_walk: without its destinations. */
void enf_crew_each(struct enf_crew *crew, int (*fn)(void *ctx, const struct enf_detector_top *subscriber),
                   void *ctx);
/* Calls fn for each host whose sessions were answered, until it answers other than 0; returns that. The
 * worker waits meanwhile: fn must be short. */
int enf_crew_senders(struct enf_crew *crew, int (*fn)(void *ctx, const struct enf_sender *sender), void *ctx);
/* The sums. */
void enf_crew_flow_stats(struct enf_crew *crew, struct enf_flows_stats *out);
void enf_crew_detector_stats(struct enf_crew *crew, struct enf_detector_stats *out);

/* The governor, under its lock. */
void enf_crew_governor_each(struct enf_crew *crew, int (*fn)(void *ctx, const struct enf_governor_trip *trip),
                            void *ctx);
int enf_crew_governor_configure(struct enf_crew *crew, uint32_t convictions, uint64_t per_ms);
void enf_crew_governor_reset(struct enf_crew *crew);
void enf_crew_governor_restore(struct enf_crew *crew, const struct enf_governor_trip *trip);
