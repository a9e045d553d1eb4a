/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorted points and windows over them. */
#include "trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4
#define TABLE_MIN    8

void trace_clear(struct trace *trace)
{
    free(trace->points);
    *trace = (struct trace){0};
}

int trace_add(struct trace *trace, const struct trace_point *point)
{
    if (trace->len == trace->capacity) {
        uint32_t capacity = trace->capacity ? trace->capacity * 2 : CAPACITY_MIN;
        struct trace_point *points = reallocarray(trace->points, capacity, sizeof(*points));
        if (!points)
            return -ENOMEM;
        trace->points = points;
        trace->capacity = capacity;
    }
    trace->points[trace->len++] = *point;
    return 0;
}

/* Merges the runs [from, middle) and [middle, to) of a into b. */
static void merge(const struct trace_point *a, struct trace_point *b, size_t from, size_t middle, size_t to)
{
    size_t left = from;
    size_t right = middle;
    for (size_t i = from; i < to; i++)
        b[i] = right >= to || (left < middle && a[left].time_ms <= a[right].time_ms) ? a[left++] : a[right++];
}

static bool is_sorted(const struct trace *trace)
{
    for (uint32_t i = 1; i < trace->len; i++)
        if (trace->points[i].time_ms < trace->points[i - 1].time_ms)
            return false;
    return true;
}

int trace_sort(struct trace *trace)
{
    if (is_sorted(trace))
        return 0;
    size_t len = trace->len;
    struct trace_point *from = trace->points;
    struct trace_point *to = reallocarray(NULL, trace->capacity, sizeof(*to));
    if (!to)
        return -ENOMEM;
    for (size_t run = 1; run < len; run *= 2) {
        for (size_t i = 0; i < len; i += 2 * run) {
            size_t middle = i + run < len ? i + run : len;
            merge(from, to, i, middle, middle + run < len ? middle + run : len);
        }
        struct trace_point *swap = from;
        from = to;
        to = swap;
    }
    trace->points = from;
    free(to);
    return 0;
}

int trace_walk_begin(struct trace_walk *walk, const struct trace *trace, const struct rule *rule)
{
    *walk = (struct trace_walk){.trace = trace, .rule = *rule};
    if (!rule->destinations)
        return 0;
    walk->table_len = TABLE_MIN;
    while (walk->table_len < trace->len * 2ULL && walk->table_len < 1u << 30)
        walk->table_len *= 2;
    walk->table = calloc(walk->table_len, 2 * sizeof(*walk->table));
    return walk->table ? 0 : -ENOMEM;
}

void trace_walk_end(struct trace_walk *walk)
{
    free(walk->table);
    *walk = (struct trace_walk){0};
}

/* The slot of a destination. Slots stay with their destination once given: there is room for all. */
static uint32_t *slot_of(struct trace_walk *walk, uint32_t destination)
{
    uint32_t key = destination | 1; /* zero is free */
    uint32_t slot = (destination >> 1) & (walk->table_len - 1);
    while (walk->table[slot * 2ULL] != 0 && walk->table[slot * 2ULL] != key)
        slot = (slot + 1) & (walk->table_len - 1);
    walk->table[slot * 2ULL] = key;
    return &walk->table[slot * 2ULL + 1];
}

static void enter(struct trace_walk *walk, const struct trace_point *point)
{
    if (!walk->rule.destinations || (*slot_of(walk, point->destination))++ == 0)
        walk->count++;
}

static void leave(struct trace_walk *walk, const struct trace_point *point)
{
    if (!walk->rule.destinations || --(*slot_of(walk, point->destination)) == 0)
        walk->count--;
}

uint32_t trace_walk_count(struct trace_walk *walk, uint64_t now_ms)
{
    const struct trace_point *points = walk->trace->points;
    while (walk->first < walk->at && now_ms - points[walk->first].time_ms >= walk->rule.per_ms)
        leave(walk, &points[walk->first++]);
    return walk->count;
}

bool trace_walk_next(struct trace_walk *walk, const struct trace_point **out_point, uint32_t *out_count)
{
    const struct trace_point *points = walk->trace->points;
    if (walk->at >= walk->trace->len)
        return false;
    const struct trace_point *point = &points[walk->at++];
    enter(walk, point);
    *out_point = point;
    *out_count = trace_walk_count(walk, point->time_ms);
    return true;
}
