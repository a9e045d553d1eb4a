/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Probes write a record when a flow ends; the detector wants them by start. Holds back up to a number of
 * connections and gives out the earliest first, so what comes out is sorted wherever no record is displaced
 * by more than that many. */
#pragma once

#include "flow.h"

#define FLOW_WINDOW_MAX (1u << 20) /* records held back; 104 MiB */

struct held_flow {
    struct flow flow;
    uint64_t order; /* of arrival: what starts at the same time stays in order */
};

/* A zero value with max set is an empty window. */
struct flow_window {
    struct held_flow *heap;
    size_t len;
    size_t capacity;
    size_t max;
    uint64_t arrivals;
};

void flow_window_clear(struct flow_window *window);
/* 1 with *out, the earliest one, where the window was full; 0; -ENOMEM. */
int flow_window_push(struct flow_window *window, const struct flow *flow, struct flow *out);
/* False where nothing is held back. */
bool flow_window_pop(struct flow_window *window, struct flow *out);
