/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What came of a run, for people and for programs. */
#include "run.h"

#include "enforcer/core/text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the zombies of one kind that were convicted. */
struct delays {
    uint64_t median_ms, p95_ms;
    uint32_t median_connections, p95_connections;
};

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static struct delays delays_of(const struct run *run, size_t kind)
{
    struct delays delays = {0};
    uint64_t *values = calloc(run->detections_len + 1, sizeof(*values));
    if (!values)
        return delays;
    for (int connections = 0; connections < 2; connections++) {
        size_t len = 0;
        for (size_t i = 0; i < run->detections_len; i++)
            if (run->detections[i].kind == kind)
                values[len++] = connections ? run->detections[i].connections : run->detections[i].after_ms;
        if (len == 0)
            break;
        qsort(values, len, sizeof(*values), compare_u64);
        uint64_t median = values[len / 2];
        uint64_t p95 = values[len - 1 - (len - 1) / 20];
        if (connections) {
            delays.median_connections = (uint32_t)median;
            delays.p95_connections = (uint32_t)p95;
        } else {
            delays.median_ms = median;
            delays.p95_ms = p95;
        }
    }
    free(values);
    return delays;
}

struct totals {
    uint64_t zombies, found, within_day; /* subscribers */
    uint64_t honest, wrong;
    uint64_t wrong_convictions;
};

static struct totals totals_of(const struct run *run)
{
    struct totals totals = {0};
    for (size_t k = 0; k < run->kinds_len; k++) {
        const struct tally *tally = &run->tallies[k];
        if (run->kinds[k]->zombie) {
            totals.zombies += tally->subscribers;
            totals.found += tally->convicted;
            totals.within_day += tally->within_day;
        } else {
            totals.honest += tally->subscribers;
            totals.wrong += tally->convicted;
            totals.wrong_convictions += tally->convictions;
        }
    }
    return totals;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static double precision_of(const struct totals *totals)
{
    return ratio((double)totals->found, (double)(totals->found + totals->wrong));
}

static void print_honest(const struct run *run)
{
    printf("%-10s %12s %14s %14s %10s %10s   %s\n", "honest", "subscribers", "subscr.-days", "connections",
           "sequential", "windows", "convictions a subscriber and day");
    for (size_t k = 0; k < run->kinds_len; k++) {
        const struct tally *tally = &run->tallies[k];
        if (run->kinds[k]->zombie)
            continue;
        double days = (double)tally->subscribers * run->options->days;
        uint64_t sequential = tally->by_cause[ENF_CAUSE_SEQUENTIAL];
        printf("%-10s %12" PRIu64 " %14.0f %14" PRIu64 " %10" PRIu64 " %10" PRIu64 "   %.3g\n",
               run->kinds[k]->name, tally->subscribers, days, tally->connections, sequential,
               tally->convicted - sequential, ratio((double)tally->convictions, days));
    }
}

static void print_zombies(const struct run *run)
{
    printf("\n%-10s %12s %10s %10s %10s %19s %19s\n", "zombies", "subscribers", "convicted", "in 24 h",
           "sequential", "after: half, 95 %", "connections");
    for (size_t k = 0; k < run->kinds_len; k++) {
        const struct tally *tally = &run->tallies[k];
        if (!run->kinds[k]->zombie)
            continue;
        struct delays delays = delays_of(run, k);
        char half[ENF_TIME_STR_LEN];
        char most[ENF_TIME_STR_LEN];
        enf_duration_str(delays.median_ms / 1000 * 1000, half, sizeof(half));
        enf_duration_str(delays.p95_ms / 1000 * 1000, most, sizeof(most));
        printf("%-10s %12" PRIu64 " %10.4f %10.4f %10" PRIu64 " %9s %9s %9u %9u\n", run->kinds[k]->name,
               tally->subscribers, ratio((double)tally->convicted, (double)tally->subscribers),
               ratio((double)tally->within_day, (double)tally->subscribers),
               tally->by_cause[ENF_CAUSE_SEQUENTIAL], half, most, delays.median_connections,
               delays.p95_connections);
    }
}

void report_tables(const struct run *run)
{
    struct totals totals = totals_of(run);
    print_honest(run);
    if (totals.zombies > 0) {
        print_zombies(run);
        printf("\nrecall %.4f, within 24 h %.4f; precision %.4f\n",
               ratio((double)totals.found, (double)totals.zombies),
               ratio((double)totals.within_day, (double)totals.zombies), precision_of(&totals));
    }
    printf("\n%" PRIu64 " connections, %" PRIu64 " observations; %zu subscribers tracked, %zu MB, %" PRIu64
           " evicted; ",
           run->connections, run->observations, run->stats.subscribers, run->stats.bytes / 1000000,
           run->stats.evicted);
    printf("%.2f million of them a second of processor time in the detector, %.1f s in all\n",
           ratio((double)run->observations, run->feed_seconds) / 1e6, run->wall_seconds);
}

static json_t *json_kind(const struct run *run, size_t k)
{
    const struct tally *tally = &run->tallies[k];
    struct delays delays = delays_of(run, k);
    return json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:i, s:i}", "kind",
        run->kinds[k]->name, "zombie", run->kinds[k]->zombie, "subscribers", (json_int_t)tally->subscribers,
        "active", (json_int_t)tally->active, "connections", (json_int_t)tally->connections, "convictions",
        (json_int_t)tally->convictions, "convicted", (json_int_t)tally->convicted, "convicted_within_24h",
        (json_int_t)tally->within_day, "first_by_sequential",
        (json_int_t)tally->by_cause[ENF_CAUSE_SEQUENTIAL], "first_by_connection_rate",
        (json_int_t)tally->by_cause[ENF_CAUSE_CONNECTION_RATE], "first_by_distinct_destinations",
        (json_int_t)tally->by_cause[ENF_CAUSE_DISTINCT_DESTINATIONS], "median_seconds",
        (double)delays.median_ms / 1000, "p95_seconds", (double)delays.p95_ms / 1000, "median_connections",
        (int)delays.median_connections, "p95_connections", (int)delays.p95_connections);
}

int report_json(const struct run *run)
{
    struct totals totals = totals_of(run);
    json_t *list = json_array();
    for (size_t k = 0; k < run->kinds_len; k++)
        json_array_append_new(list, json_kind(run, k));
    json_t *object = json_pack(
        "{s:I, s:f, s:f, s:o, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "seed",
        (json_int_t)run->options->seed, "days", run->options->days, "false_conviction",
        run->options->false_conviction, "kinds", list, "recall",
        ratio((double)totals.found, (double)totals.zombies), "recall_within_24h",
        ratio((double)totals.within_day, (double)totals.zombies), "precision", precision_of(&totals),
        "false_convictions_per_day",
        ratio((double)totals.wrong_convictions, (double)totals.honest * run->options->days), "connections",
        (json_int_t)run->connections, "observations", (json_int_t)run->observations, "subscribers_tracked",
        (json_int_t)run->stats.subscribers, "bytes", (json_int_t)run->stats.bytes, "evicted",
        (json_int_t)run->stats.evicted, "observations_per_second_in_detector",
        ratio((double)run->observations, run->feed_seconds), "seconds", run->wall_seconds);
    if (!object)
        return -1;
    int rc = json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(8));
    (void)fputc('\n', stdout);
    json_decref(object);
    return rc;
}
