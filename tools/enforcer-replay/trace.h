/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a subscriber connected and to whom, kept for the report: its timeline, and what other thresholds would
 * have made of it. */
#pragma once

#include "flow.h"

#define TRACE_TOTAL_MAX                                                                                      \
    (8u << 20) /* connections of all subscribers together; 128 MiB, up to twice that while it grows */

struct trace_point {
    uint64_t time_ms;
    uint32_t destination; /* a hash */
    uint32_t outcome;     /* enum flow_outcome */
};

/* A zero value is an empty trace. */
struct trace {
    struct trace_point *points;
    uint32_t len;
    uint32_t capacity;
};

void trace_clear(struct trace *trace);
/* 0 or -ENOMEM. */
int trace_add(struct trace *trace, const struct trace_point *point);
/* By time; what has the same one stays in order. Most are sorted already. 0 or -ENOMEM. */
int trace_sort(struct trace *trace);

/* A limit that looks back over a window, as in the configuration: more than limit in (t - per_ms, t]. */
struct rule {
    bool destinations; /* counts different ones, not connections */
    uint32_t limit;
    uint64_t per_ms;
};

/* Walks along a sorted trace and says, point by point, how much the window holds that ends there. */
struct trace_walk {
    const struct trace *trace;
    struct rule rule;
    uint32_t at;    /* the next point */
    uint32_t first; /* of the window */
    uint32_t count;
    uint32_t *table; /* for destinations: how often each is in the window, two words a slot */
    uint32_t table_len;
};
/* 0 or -ENOMEM; the trace must outlive the walk. */
int trace_walk_begin(struct trace_walk *walk, const struct trace *trace, const struct rule *rule);
/* False at the end. */
bool trace_walk_next(struct trace_walk *walk, const struct trace_point **out_point, uint32_t *out_count);
/* How much the window holds that ends at now_ms, which lies between the point given last and the next. */
uint32_t trace_walk_count(struct trace_walk *walk, uint64_t now_ms);
void trace_walk_end(struct trace_walk *walk);
