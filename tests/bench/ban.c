/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long one ban takes, from the decision to the kernel's answer: `ban COUNT [GAP-us]` puts subscribers
 * into quarantine one at a time, in the table that stands in this namespace; SIGTERM ends it before. Prints
 * percentiles in microseconds, and when (CLOCK_MONOTONIC) the slow ones began. */
#include "common.h"
#include "enforcer/kernel/kernel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOW_US  2000
#define SLOW_MAX 5000

static volatile sig_atomic_t over;

static void on_term(int number)
{
    (void)number;
    over = 1;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)atoi(argv[1]) : 1000;
    long gap_us = argc > 2 ? atol(argv[2]) : 1000;
    double *took = calloc(count, sizeof *took);
    struct enf_kernel *kernel = NULL;
    static double slow[SLOW_MAX][2];
    size_t done = 0, slow_len = 0;
    int err = enf_kernel_open(&kernel);

    signal(SIGTERM, on_term);
    for (size_t i = 0; took && err == 0 && i < count && !over; i++) {
        uint8_t bytes[4] = {198, 18, (uint8_t)(i >> 8), (uint8_t)i};
        struct enf_addr addr = enf_addr_from_bytes(ENF_FAMILY_V4, bytes);
        struct enf_kernel_single single = {.subscriber = enf_prefix_host(&addr), .timeout_ms = 3600000};
        double began = now_us();
        err = enf_kernel_singles(kernel, &single, 1);
        took[done] = now_us() - began;
        if (took[done++] > SLOW_US && slow_len < SLOW_MAX) {
            slow[slow_len][0] = began;
            slow[slow_len++][1] = took[done - 1];
        }
        nanosleep(&(struct timespec){.tv_nsec = gap_us * 1000}, NULL);
    }
    enf_kernel_close(&kernel);
    if (err < 0 || !took || done == 0) {
        fprintf(stderr, "ban: %s\n", strerror(-err));
        free(took);
        return 1;
    }
    qsort(took, done, sizeof *took, by_size);
    printf("{\"bans\": %zu, \"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f, \"slow\": [", done, took[done / 2],
           took[done * 99 / 100], took[done - 1]);
    for (size_t i = 0; i < slow_len; i++)
        printf("%s[%.0f, %.1f]", i ? ", " : "", slow[i][0], slow[i][1]);
    puts("]}");
    free(took);
    return 0;
}
