/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks. */
#include "enforcer/daemon/clock.h"

#include <time.h>

static uint64_t read_ms(clockid_t id)
{
    struct timespec now = {0};

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t enf_clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

uint64_t enf_clock_steady_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

struct enf_timeline enf_timeline_start(void)
{
    return (struct enf_timeline){.offset_ms = enf_clock_wall_ms() - enf_clock_steady_ms()};
}

uint64_t enf_timeline_now_ms(const struct enf_timeline *timeline)
{
    return enf_clock_steady_ms() + timeline->offset_ms;
}
