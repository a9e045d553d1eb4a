/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kinds have in common. */
#include "population.h"

#include "draw.h"

#define PROVIDER_NETWORKS 40

uint32_t network_of(uint64_t owner, uint32_t n)
{
    uint64_t state = owner ^ ((uint64_t)n << 32) ^ 0x5bd1e995;
    uint64_t bits = draw_bits(&state);
    return (uint32_t)(1 + bits % 223) << 24 | (uint32_t)(bits >> 40 & 0xff) << 16;
}

uint32_t network_of_provider(struct agent *agent)
{
    return network_of(1, draw_zipf(&agent->random, PROVIDER_NETWORKS)) | (1 + draw_below(&agent->random, 20));
}

double by_day(struct agent *agent, uint64_t now_ms, double gap_ms)
{
    double hour = fmod((double)now_ms + gap_ms, DAY_MS) / HOUR_MS;
    if (hour < 7 && draw_uniform(&agent->random) < 0.9)
        gap_ms += (7 - hour) * HOUR_MS + draw_exponential(&agent->random, HOUR_MS);
    return gap_ms;
}
