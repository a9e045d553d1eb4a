/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durations in buckets: written by one thread with plain stores, read by any. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_HISTOGRAM_BUCKETS 14
/* Upper bounds in nanoseconds: 10 us to 2.5 s; beyond them is one bucket more. */
extern const uint64_t enf_histogram_bounds_ns[ENF_HISTOGRAM_BUCKETS];

struct enf_histogram {
    atomic_uint_least64_t counts[ENF_HISTOGRAM_BUCKETS + 1];
    atomic_uint_least64_t sum_ns;
};

/* By the thread that owns it: no locked instruction. */
static inline void enf_histogram_add(struct enf_histogram *histogram, uint64_t ns)
{
    size_t at = 0;

    while (at < ENF_HISTOGRAM_BUCKETS && ns > enf_histogram_bounds_ns[at])
        at++;
    atomic_store_explicit(&histogram->counts[at],
                          atomic_load_explicit(&histogram->counts[at], memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&histogram->sum_ns,
                          atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed) + ns,
                          memory_order_relaxed);
}
