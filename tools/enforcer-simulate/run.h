/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One simulation: the population, the detector and what came of it. */
#pragma once

#include "agenda.h"
#include "options.h"
#include "population.h"

#include "enforcer/detect/detector.h"

#define START_MS       1704067200000ULL /* a midnight */
#define DETECTIONS_MAX 1000000          /* of zombies that times are kept of; counted are all */

struct detection {
    uint8_t kind;
    uint32_t connections;
    uint64_t after_ms; /* since its first connection */
};

struct tally {
    uint64_t subscribers;
    uint64_t active; /* that made a connection */
    uint64_t connections;
    uint64_t convictions;
    uint64_t suspicions;
    uint64_t convicted; /* subscribers */
    uint64_t within_day;
    uint64_t by_cause[ENF_CAUSE_COUNT];
};

#define TALLIES_MAX 32

struct run {
    const struct options *options;
    const struct kind *kinds[TALLIES_MAX];
    struct tally tallies[TALLIES_MAX];
    size_t kinds_len;
    struct agent *agents;
    size_t agents_len;
    struct agenda agenda;
    struct enf_detector *detector;
    struct enf_detector_settings settings[ENF_POLICY_COUNT];
    struct detection *detections;
    size_t detections_len;
    uint64_t observations;
    uint64_t connections;
    double feed_seconds; /* of the processor, inside the detector */
    double wall_seconds;
    struct enf_detector_stats stats;
};

/* 0 with *out set up, or a negative errno with nothing to free. options must outlive the run. */
int run_init(const struct options *options, struct run *out);
void run_clear(struct run *run);
/* Simulates all days. 0 or a negative errno. */
int run_simulate(struct run *run);

/* report.c: to stdout. */
void report_tables(const struct run *run);
int report_json(const struct run *run);
