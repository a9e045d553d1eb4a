/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Observations a second of processor time, and memory, by number of subscribers: `detector [OBSERVATIONS
 * [MAX [LOAD]]]`.
 *
 * Every subscriber has come VISITS times before the clock starts, so what is measured is a table that is
 * full, not the making of it; "making" is the time of that, for comparison. `quiet`: each subscriber comes
 * once an hour, as most of a network that come at all. `busy`: each comes once a minute, which no network
 * does. */
#include "enforcer/detect/detector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VISITS 4
#define BATCH  64
#define HOUR   (3600 * 1000.0)

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Processor time: other work on the machine counts only by what it does to the caches. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct load {
    const char *name;
    enum enf_policy policy;
    bool sequential;
    double between_ms; /* two visits of one subscriber */
    size_t subscribers_max;
};

struct bench {
    struct enf_detector *det;
    struct enf_detector_settings settings;
    size_t subscribers;
    double step_ms;
    double now_ms;
    uint64_t random;
    uint64_t convictions;
    uint32_t serial;
    struct enf_observation batch[BATCH];
};

static struct enf_addr v4(uint32_t host_order)
{
    uint8_t bytes[4] = {(uint8_t)(host_order >> 24), (uint8_t)(host_order >> 16), (uint8_t)(host_order >> 8),
                        (uint8_t)host_order};
    return enf_addr_from_bytes(ENF_FAMILY_V4, bytes);
}

/* A connection to one of ten servers in three networks of which the first is the usual one. */
static void make(struct bench *bench, uint32_t subscriber, struct enf_observation *obs)
{
    uint64_t r = next_random(&bench->random);
    uint32_t network = r % 16 < 14 ? 0 : (uint32_t)(r % 16) - 13;
    bench->now_ms += bench->step_ms;
    *obs = (struct enf_observation){
        .kind = ENF_OBSERVATION_SYN,
        .time_ms = 1700000000000 + (uint64_t)bench->now_ms,
        .source = v4(0x64400000 + subscriber),
        .destination = v4(0xc6120000 + (network << 16) + (uint32_t)(r >> 8) % 10),
        .source_port = (uint16_t)(r >> 16),
        .destination_port = 25,
        .sequence = bench->serial++,
    };
    obs->subscriber = enf_prefix_host(&obs->source);
}

static void feed(struct bench *bench)
{
    const struct enf_prefix *keys[BATCH];
    struct enf_signal signal;
    for (size_t k = 0; k < BATCH; k++)
        keys[k] = &bench->batch[k].subscriber;
    enf_detector_prefetch(bench->det, keys, BATCH);
    for (size_t k = 0; k < BATCH; k++)
        bench->convictions += enf_detector_feed(bench->det, &bench->batch[k], &bench->settings, &signal) > 0;
}

/* Everybody in turn. */
static void make_table(struct bench *bench)
{
    size_t k = 0;
    for (size_t visit = 0; visit < VISITS; visit++)
        for (size_t i = 0; i < bench->subscribers; i++) {
            make(bench, (uint32_t)i, &bench->batch[k++]);
            if (k == BATCH)
                feed(bench);
            k %= BATCH;
        }
}

/* Without what the benchmark itself needs to think up its observations: that is measured apart. */
static double visits(struct bench *bench, size_t observations, bool feeding)
{
    double start = seconds();
    for (size_t i = 0; i < observations; i += BATCH) {
        for (size_t k = 0; k < BATCH; k++)
            make(bench, (uint32_t)((next_random(&bench->random) >> 32) * bench->subscribers >> 32),
                 &bench->batch[k]);
        if (feeding)
            feed(bench);
    }
    return seconds() - start;
}

static int run(const struct load *load, size_t subscribers, size_t observations)
{
    struct enf_detector_params params = {.max_subscribers = subscribers, .max_bytes = SIZE_MAX, .seed = 42};
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench || enf_detector_new(&params, &bench->det) != 0) {
        free(bench);
        return 1;
    }
    bench->settings = enf_detector_defaults(load->policy);
    bench->settings.sequential.enabled = load->sequential;
    bench->subscribers = subscribers;
    bench->step_ms = load->between_ms / (double)subscribers;
    bench->random = 0x9e3779b97f4a7c15;
    double making = seconds();
    make_table(bench);
    making = (seconds() - making) / (double)(subscribers * VISITS);
    double idle = visits(bench, observations, false);
    double took = visits(bench, observations, true) - idle;
    struct enf_detector_stats stats;
    enf_detector_stats(bench->det, &stats);
    (void)printf("%10zu %8.2f %6.0f %9.0f %10.1f %10.0f %12lu\n", subscribers,
                 (double)observations / took / 1e6, took / (double)observations * 1e9, making * 1e9,
                 (double)stats.bytes / 1e6, (double)stats.bytes / (double)subscribers,
                 (unsigned long)bench->convictions);
    enf_detector_free(&bench->det);
    free(bench);
    return 0;
}

int main(int argc, char **argv)
{
    size_t observations = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : 5000000;
    size_t max = argc > 2 ? (size_t)strtoull(argv[2], NULL, 10) : 10000000;
    static const size_t sizes[] = {1000, 10000, 100000, 1000000, 10000000};
    static const struct load loads[] = {
        {"quiet, block, windows alone", ENF_POLICY_BLOCK, false, HOUR, 10000000},
        {"quiet, block, defaults", ENF_POLICY_BLOCK, true, HOUR, 10000000},
        {"quiet, inspect, defaults", ENF_POLICY_INSPECT, true, HOUR, 10000000},
        {"busy, block, windows alone", ENF_POLICY_BLOCK, false, HOUR / 60, 1000000},
        {"busy, block, defaults", ENF_POLICY_BLOCK, true, HOUR / 60, 1000000},
    };
    for (size_t l = 0; l < sizeof(loads) / sizeof(loads[0]); l++) {
        if (argc > 3 && !strstr(loads[l].name, argv[3]))
            continue;
        (void)printf("\n%s\n%10s %8s %6s %9s %10s %10s %12s\n", loads[l].name, "subscr.", "M/s", "ns",
                     "making ns", "MB", "bytes each", "convictions");
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            if (sizes[i] <= max && sizes[i] <= loads[l].subscribers_max &&
                run(&loads[l], sizes[i], observations) != 0)
                return 1;
    }
    return 0;
}
