/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preloaded: the wall clock of this process is set by a test. The other clocks go on. */
#include "tests/faults/faults.h"

#include <dlfcn.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

#define SECOND_NS 1000000000L

int clock_gettime(clockid_t id, struct timespec *out)
{
    struct faults_page *page = faults_page();
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))(uintptr_t)dlsym(RTLD_NEXT, "clock_gettime");
    int err = real(id, out);

    if (err < 0 || !page || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return err;
    int64_t shift = page->clock_ns;
    page->clock_reads++;
    out->tv_sec += shift / SECOND_NS;
    out->tv_nsec += shift % SECOND_NS;
    if (out->tv_nsec >= SECOND_NS || out->tv_nsec < 0) {
        out->tv_sec += out->tv_nsec < 0 ? -1 : 1;
        out->tv_nsec += out->tv_nsec < 0 ? SECOND_NS : -SECOND_NS;
    }
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now = {0};

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0)
        return -1;
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
