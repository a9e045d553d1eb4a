/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a long run is, on one line of a terminal that is wiped in the end. Shown nowhere else, and not
 * before the run has lasted a moment. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *to; /* NULL: no terminal */
    const char *name;
    uint64_t began_ms;
    uint64_t shown_ms;
    bool visible;
};

/* Writes to `to` where that is a terminal that can wipe a line. */
struct progress progress_make(FILE *to);
/* What is read from now on; the name must outlive that. */
void progress_begin(struct progress *progress, const char *name);
/* total 0: not known. Cheap; draws a few times a second. */
void progress_step(struct progress *progress, uint64_t done, uint64_t total);
/* Before anything else is written to the terminal. */
void progress_wipe(struct progress *progress);
