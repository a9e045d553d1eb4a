/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every program of the measurements needs. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The monotonic clock, in microseconds. */
static inline double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Ends the program: says what did not work, and errno. */
_Noreturn static inline void die(const char *what)
{
    perror(what);
    exit(2);
}
