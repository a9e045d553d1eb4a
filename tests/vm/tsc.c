/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints the rate of this machine's cycle counter in kHz, measured over a tenth of a second. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

/* Both clocks at one moment: of some tries the one that was not interrupted. */
static void read_both(uint64_t *cycles, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 20; i++) {
        struct timespec now;
        uint64_t before = __rdtsc();
        clock_gettime(CLOCK_MONOTONIC_RAW, &now);
        uint64_t after = __rdtsc();
        if (after - before < best) {
            best = after - before;
            *cycles = before + (after - before) / 2;
            *ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
        }
    }
}

int main(void)
{
    const struct timespec wait = {.tv_nsec = 100000000};
    uint64_t cycles[2] = {0}, ns[2] = {0};

    read_both(&cycles[0], &ns[0]);
    nanosleep(&wait, NULL);
    read_both(&cycles[1], &ns[1]);
    printf("%" PRIu64 "\n", (cycles[1] - cycles[0]) * 1000000 / (ns[1] - ns[0]));
    return 0;
}
