/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A binary heap. */
#include "flow_window.h"

#include <errno.h>
#include <stdlib.h>

#define CAPACITY_MIN 1024

void flow_window_clear(struct flow_window *window)
{
    free(window->heap);
    *window = (struct flow_window){.max = window->max};
}

static bool before(const struct held_flow *a, const struct held_flow *b)
{
    if (a->flow.start_ms != b->flow.start_ms)
        return a->flow.start_ms < b->flow.start_ms;
    return a->order < b->order;
}

static void sift_down(struct flow_window *window, struct held_flow moved)
{
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child + 1 < window->len && before(&window->heap[child + 1], &window->heap[child]))
            child++;
        if (child >= window->len || !before(&window->heap[child], &moved))
            break;
        window->heap[at] = window->heap[child];
        at = child;
    }
    window->heap[at] = moved;
}

bool flow_window_pop(struct flow_window *window, struct flow *out)
{
    if (window->len == 0)
        return false;
    *out = window->heap[0].flow;
    struct held_flow last = window->heap[--window->len];
    if (window->len > 0)
        sift_down(window, last);
    return true;
}

int flow_window_push(struct flow_window *window, const struct flow *flow, struct flow *out)
{
    bool full = window->len >= window->max;
    struct flow earliest;
    if (!full && window->len == window->capacity) {
        size_t capacity = window->capacity ? window->capacity * 2 : CAPACITY_MIN;
        struct held_flow *heap = reallocarray(window->heap, capacity, sizeof(*heap));
        if (!heap)
            return -ENOMEM;
        window->heap = heap;
        window->capacity = capacity;
    }
    struct held_flow added = {*flow, window->arrivals++};
    if (full) {
        if (window->len == 0 || before(&added, &window->heap[0])) {
            *out = *flow;
            return 1;
        }
        flow_window_pop(window, &earliest);
    }
    size_t at = window->len++;
    while (at > 0 && before(&added, &window->heap[(at - 1) / 2])) {
        window->heap[at] = window->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    window->heap[at] = added;
    if (full)
        *out = earliest;
    return full;
}
