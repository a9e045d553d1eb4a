/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Observations a second and memory, by number of subscribers: `detector [OBSERVATIONS]`. */
#include "enforcer/detect/detector.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#define BATCH 32

/* Random subscribers and destinations; 1,000 observations a millisecond would be unkind to retransmission
 * memories, so time runs so that each subscriber comes once a minute. */
static void make(struct enf_observation *obs, uint64_t i, uint64_t r, size_t subscribers, uint32_t servers)
{
    uint32_t source = 0x64400000 + (uint32_t)((r >> 32) % subscribers);
    uint32_t destination = 0xc6000000 + (uint32_t)(r & 0xffff) % servers;
    uint8_t from[4] = {(uint8_t)(source >> 24), (uint8_t)(source >> 16), (uint8_t)(source >> 8),
                       (uint8_t)source};
    uint8_t to[4] = {(uint8_t)(destination >> 24), (uint8_t)(destination >> 16), (uint8_t)(destination >> 8),
                     (uint8_t)destination};
    *obs = (struct enf_observation){
        .kind = ENF_OBSERVATION_SYN,
        .time_ms = 1700000000000 + i * 60000 / subscribers,
        .source = enf_addr_from_bytes(ENF_FAMILY_V4, from),
        .destination = enf_addr_from_bytes(ENF_FAMILY_V4, to),
        .source_port = (uint16_t)(r >> 16),
        .destination_port = 25,
        .sequence = (uint32_t)i,
    };
    obs->subscriber = enf_prefix_host(&obs->source);
}

static int run(enum enf_policy policy, size_t subscribers, size_t observations, uint32_t servers)
{
    struct enf_detector_params params = {.max_subscribers = subscribers, .max_bytes = SIZE_MAX, .seed = 42};
    struct enf_detector_settings settings = enf_detector_defaults(policy);
    struct enf_detector *det = NULL;
    if (enf_detector_new(&params, &det) != 0)
        return 1;
    uint64_t random = 0x9e3779b97f4a7c15;
    uint64_t convictions = 0;
    struct enf_signal signal;
    struct enf_observation batch[BATCH];
    const struct enf_prefix *keys[BATCH];
    double start = seconds();
    for (size_t i = 0; i < observations; i += BATCH) {
        for (size_t k = 0; k < BATCH; k++) {
            make(&batch[k], i + k, next_random(&random), subscribers, servers);
            keys[k] = &batch[k].subscriber;
        }
        enf_detector_prefetch(det, keys, BATCH);
        for (size_t k = 0; k < BATCH; k++) {
            int rc = enf_detector_feed(det, &batch[k], &settings, &signal);
            if (rc < 0)
                return 1;
            convictions += (uint64_t)rc;
        }
    }
    double took = seconds() - start;
    struct enf_detector_stats stats;
    enf_detector_stats(det, &stats);
    (void)printf("%10zu subscribers %8.2f M/s %7.0f ns %8.1f MB %9lu convictions\n", subscribers,
                 (double)observations / took / 1e6, took / (double)observations * 1e9,
                 (double)stats.bytes / 1e6, (unsigned long)convictions);
    enf_detector_free(&det);
    return 0;
}

int main(int argc, char **argv)
{
    size_t observations = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : 5000000;
    static const size_t sizes[] = {1, 1000, 10000, 100000, 1000000, 10000000};
    static const enum enf_policy policies[] = {ENF_POLICY_BLOCK, ENF_POLICY_INSPECT};
    for (size_t p = 0; p < sizeof(policies) / sizeof(policies[0]); p++) {
        (void)printf("defaults of %s\n", enf_policy_name(policies[p]));
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            if (run(policies[p], sizes[i], observations, 10) != 0)
                return 1;
    }
    return 0;
}
