/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The only place where clocks are read. Safe from any thread. */
#pragma once

#include <stdint.h>

/* Milliseconds since 1970 by the wall clock: for ends of quarantines and times that people read. */
uint64_t enf_clock_wall_ms(void);
/* Milliseconds of a clock that never goes back. */
uint64_t enf_clock_steady_ms(void);

/* A timeline for the detector: looks like the wall clock of the moment it was made, and never jumps. */
struct enf_timeline {
    uint64_t offset_ms;
};
struct enf_timeline enf_timeline_start(void);
uint64_t enf_timeline_now_ms(const struct enf_timeline *timeline);
