/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker makes of packets. */
#pragma once

#include "enforcer/daemon/worker.h"

/* For enf_log_read; ctx is the worker, whose lock is held and whose now_ms is set. */
void enf_judge_logged(void *ctx, const struct enf_log_copy *copies, size_t len);
/* For enf_queue_read; ctx is the worker. Takes its lock. */
void enf_judge_queued(void *ctx, const struct enf_kernel_packet *packets, size_t len, bool *pass);

/* About once a second, with the lock held and now_ms set: aggregates that are due. */
void enf_judge_tick(struct enf_worker *worker);
