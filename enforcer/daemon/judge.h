/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker makes of one packet. All functions are called with the worker's lock held. */
#pragma once

#include "enforcer/daemon/worker.h"

/* For enf_log_read and enf_queue_read; ctx is the worker. */
void enf_judge_logged(void *ctx, enum enf_log_reason reason, const struct enf_kernel_packet *packet);
bool enf_judge_queued(void *ctx, const struct enf_kernel_packet *packet);

/* About once a second: aggregates that are due, and losses that were not told. */
void enf_judge_tick(struct enf_worker *worker, uint64_t now_ms);
