/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The only place where clocks are read. Safe from any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds since 1970 by the wall clock: for ends of quarantines and times that people read. */
uint64_t enf_clock_wall_ms(void);
/* Milliseconds of a clock that never goes back. */
uint64_t enf_clock_steady_ms(void);

/* The same in nanoseconds, for durations. */
uint64_t enf_clock_steady_ns(void);

/* A timeline for the detector: looks like the wall clock of the moment it was made, and never jumps. */
struct enf_timeline {
    uint64_t offset_us;
};
struct enf_timeline enf_timeline_start(void);
uint64_t enf_timeline_now_ms(const struct enf_timeline *timeline);

/* A moment on both clocks. */
struct enf_moment {
    uint64_t now_us;  /* in the timeline */
    uint64_t wall_us; /* since 1970 */
    bool stepped;     /* the wall clock was set since the timeline was made */
};
struct enf_moment enf_timeline_moment(const struct enf_timeline *timeline);
/* Milliseconds in the timeline of something that happened at wall_us, a little before the moment or after
 * it: wall_us itself where the wall clock was not set meanwhile. What is no such time (0, or further away) is
 * the moment. */
#define ENF_MOMENT_APART_MAX_US (5LL * 1000 * 1000)
uint64_t enf_moment_of_ms(const struct enf_moment *moment, uint64_t wall_us);
