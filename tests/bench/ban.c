/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long one ban takes, from the decision to the kernel's answer: `ban COUNT [GAP-us]` puts subscribers
 * into quarantine one at a time, in the table that stands in this namespace. Prints percentiles in
 * microseconds. */
#include "common.h"
#include "enforcer/kernel/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    int err = enf_kernel_open(&kernel);

    for (size_t i = 0; took && err == 0 && i < count; i++) {
        uint8_t bytes[4] = {198, 18, (uint8_t)(i >> 8), (uint8_t)i};
        struct enf_addr addr = enf_addr_from_bytes(ENF_FAMILY_V4, bytes);
        struct enf_kernel_single single = {.subscriber = enf_prefix_host(&addr), .timeout_ms = 3600000};
        double began = now_us();
        err = enf_kernel_singles(kernel, &single, 1);
        took[i] = now_us() - began;
        nanosleep(&(struct timespec){.tv_nsec = gap_us * 1000}, NULL);
    }
    enf_kernel_close(&kernel);
    if (err < 0 || !took || count == 0) {
        fprintf(stderr, "ban: %s\n", strerror(-err));
        free(took);
        return 1;
    }
    qsort(took, count, sizeof *took, by_size);
    printf("{\"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f}\n", took[count / 2], took[count * 99 / 100],
           took[count - 1]);
    free(took);
    return 0;
}
