/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers, the same from the same seed on every machine. */
#pragma once

#include <math.h>
#include <stdint.h>

static inline uint64_t draw_bits(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* In (0, 1). */
static inline double draw_uniform(uint64_t *state)
{
    return ((double)(draw_bits(state) >> 11) + 0.5) / 9007199254740992.0;
}

static inline uint32_t draw_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(((draw_bits(state) >> 32) * limit) >> 32);
}

static inline double draw_exponential(uint64_t *state, double mean)
{
    return -mean * log(draw_uniform(state));
}

/* Heavy tail: at least `least`, P(more than x) = (least / x)^shape. */
static inline double draw_pareto(uint64_t *state, double least, double shape)
{
    return least * pow(draw_uniform(state), -1 / shape);
}

static inline double draw_lognormal(uint64_t *state, double median, double sigma)
{
    double radius = sqrt(-2 * log(draw_uniform(state)));
    return median * exp(sigma * radius * cos(6.283185307179586 * draw_uniform(state)));
}

/* 1, 2, 3 …, each half as often as the one before for p = 0.5; at most max. */
static inline uint32_t draw_geometric(uint64_t *state, double p, uint32_t max)
{
    double n = 1 + floor(log(draw_uniform(state)) / log(1 - p));
    return n < max ? (uint32_t)n : max;
}

/* 0 to n - 1, the k-th with weight 1 / (k + 1) roughly. */
static inline uint32_t draw_zipf(uint64_t *state, uint32_t n)
{
    uint32_t k = (uint32_t)exp(log((double)n + 1) * draw_uniform(state)) - 1;
    return k < n ? k : n - 1;
}
