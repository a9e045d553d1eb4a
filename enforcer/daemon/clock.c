/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks. */
#include "enforcer/daemon/clock.h"

#include <stdlib.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec now = {0};

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t enf_clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

uint64_t enf_clock_steady_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t enf_clock_steady_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct enf_timeline enf_timeline_start(void)
{
    uint64_t best_us = UINT64_MAX;
    struct enf_timeline timeline = {0};

    /* Whoever is interrupted between the two readings tries again: the closest pair counts. */
    for (int i = 0; i < 8; i++) {
        uint64_t before_us = read_us(CLOCK_MONOTONIC), wall_us = read_us(CLOCK_REALTIME);
        uint64_t took_us = read_us(CLOCK_MONOTONIC) - before_us;
        if (took_us >= best_us)
            continue;
        best_us = took_us;
        timeline.offset_us = wall_us - before_us;
    }
    return timeline;
}

uint64_t enf_timeline_now_ms(const struct enf_timeline *timeline)
{
    return (read_us(CLOCK_MONOTONIC) + timeline->offset_us) / 1000;
}

/* The two clocks run alike. This much may lie between two readings of them, or more on a machine that is
 * busy: then they are read again. */
#define SAME_US 1000
#define TRIES   4

struct enf_moment enf_timeline_moment(const struct enf_timeline *timeline)
{
    struct enf_moment moment;

    for (int i = 0; i < TRIES; i++) {
        moment.now_us = read_us(CLOCK_MONOTONIC) + timeline->offset_us;
        moment.wall_us = read_us(CLOCK_REALTIME);
        uint64_t apart_us =
            moment.wall_us > moment.now_us ? moment.wall_us - moment.now_us : moment.now_us - moment.wall_us;
        moment.stepped = apart_us > SAME_US;
        if (!moment.stepped)
            break;
    }
    return moment;
}

uint64_t enf_moment_of_ms(const struct enf_moment *moment, uint64_t wall_us)
{
    int64_t age_us = (int64_t)(moment->wall_us - wall_us);

    if (wall_us == 0 || llabs(age_us) > ENF_MOMENT_APART_MAX_US)
        return moment->now_us / 1000;
    return (moment->stepped ? moment->now_us - (uint64_t)age_us : wall_us) / 1000;
}
