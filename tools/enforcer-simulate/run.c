/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes who is next from the agenda, asks what they do, feeds the detector. */
#include "run.h"

#include "draw.h"
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define BATCH           32
#define IDLE_EVERY      4096 /* observations between two looks for the silent */
#define SUBSCRIBERS_NET 0x0b000000u

/* --- the population --- */

static size_t add_kind(struct run *run, const struct kind *kind, double number)
{
    size_t count = (size_t)(number + 0.5);
    if (count == 0)
        return 0;
    size_t id = run->kinds_len++;
    run->kinds[id] = kind;
    run->tallies[id].subscribers = count;
    return count;
}

static void choose_kinds(struct run *run)
{
    const struct options *options = run->options;
    size_t len = 0;
    if (options->chosen_len > 0) {
        unsigned zombies = 0;
        for (unsigned i = 0; i < options->chosen_len; i++)
            zombies += options->chosen[i]->zombie;
        for (unsigned i = 0; i < options->chosen_len; i++) {
            bool zombie = options->chosen[i]->zombie;
            double all = zombie ? options->bots : options->subscribers;
            len += add_kind(run, options->chosen[i],
                            floor(all / (zombie ? zombies : options->chosen_len - zombies)));
        }
    } else {
        for (size_t i = 0; i < honest_kinds_len; i++)
            len += add_kind(run, &honest_kinds[i], honest_kinds[i].share * options->subscribers);
        for (size_t i = 0; i < zombie_kinds_len; i++)
            len += add_kind(run, &zombie_kinds[i], zombie_kinds[i].share * options->bots);
    }
    run->agents_len = len;
}

static void settle(struct run *run)
{
    uint32_t id = 0;
    for (size_t k = 0; k < run->kinds_len; k++)
        for (uint64_t i = 0; i < run->tallies[k].subscribers; i++, id++) {
            struct agent *agent = &run->agents[id];
            uint64_t seed = run->options->seed * 0x2545f4914f6cdd1d + id;
            agent->random = draw_bits(&seed);
            agent->kind = (uint8_t)k;
            agent->d = (uint32_t)draw_bits(&agent->random);
            if (run->kinds[k]->session)
                session_start(agent, run->kinds[k]->session);
            double wait = run->kinds[k]->start(agent);
            agenda_push(&run->agenda, (struct agenda_entry){START_MS + (uint64_t)wait, id});
        }
}

/* --- life of a run --- */

static void set_up_settings(struct run *run)
{
    for (unsigned policy = 0; policy < ENF_POLICY_COUNT; policy++) {
        struct enf_detector_settings *settings = &run->settings[policy];
        *settings = enf_detector_defaults((enum enf_policy)policy);
        settings->sequential.enabled = run->options->sequential;
        settings->sequential.false_conviction = run->options->false_conviction;
        settings->sequential.missed = run->options->missed;
        if (run->options->destinations > 0 && policy != ENF_POLICY_INSPECT)
            settings->distinct_destinations.count = run->options->destinations;
        if (!run->options->windows) {
            settings->connection_rate_len = 0;
            settings->distinct_destinations.count = 0;
        }
    }
}

int run_init(const struct options *options, struct run *out)
{
    struct run run = {.options = options};
    choose_kinds(&run);
    set_up_settings(&run);
    if (run.agents_len == 0)
        return -EINVAL;
    struct enf_detector_params params = {
        .max_subscribers = run.agents_len, .max_bytes = (size_t)options->max_bytes, .seed = options->seed};
    run.agents = calloc(run.agents_len, sizeof(*run.agents));
    run.detections = calloc(DETECTIONS_MAX, sizeof(*run.detections));
    int rc = run.agents && run.detections ? agenda_init(&run.agenda, run.agents_len) : -ENOMEM;
    if (rc == 0)
        rc = enf_detector_new(&params, &run.detector);
    if (rc != 0) {
        run_clear(&run);
        return rc;
    }
    settle(&run);
    *out = run;
    return 0;
}

void run_clear(struct run *run)
{
    enf_detector_free(&run->detector);
    agenda_clear(&run->agenda);
    free(run->agents);
    free(run->detections);
    *run = (struct run){0};
}

/* --- simulating --- */

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct enf_addr v4(uint32_t host_order)
{
    uint8_t bytes[4] = {(uint8_t)(host_order >> 24), (uint8_t)(host_order >> 16), (uint8_t)(host_order >> 8),
                        (uint8_t)host_order};
    return enf_addr_from_bytes(ENF_FAMILY_V4, bytes);
}

static const struct enf_detector_settings *settings_of(const struct run *run, const struct kind *kind)
{
    enum enf_policy policy = run->options->policy != ENF_POLICY_NONE ? run->options->policy : kind->policy;
    return &run->settings[policy];
}

static void make(struct agent *agent, uint32_t id, uint32_t destination, uint64_t now_ms, bool blocked,
                 struct enf_observation *out)
{
    uint32_t n = agent->connections++;
    *out = (struct enf_observation){
        .kind = ENF_OBSERVATION_SYN,
        .time_ms = now_ms,
        .source = v4(SUBSCRIBERS_NET + id),
        .destination = v4(destination),
        .source_port = (uint16_t)(1024 + n % 60000),
        .destination_port = 25,
        .sequence = n * 2654435761U,
        .blocked = blocked,
    };
    out->subscriber = enf_prefix_host(&out->source);
}

static void account(struct run *run, struct agent *agent, const struct enf_signal *signal)
{
    struct tally *tally = &run->tallies[agent->kind];
    tally->convictions++;
    if (agent->convictions < UINT16_MAX)
        agent->convictions++;
    if (agent->convictions > 1)
        return;
    uint64_t after_ms = signal->time_ms - agent->first_ms;
    tally->convicted++;
    tally->within_day += after_ms <= (uint64_t)DAY_MS;
    tally->by_cause[signal->cause]++;
    if (run->kinds[agent->kind]->zombie && run->detections_len < DETECTIONS_MAX)
        run->detections[run->detections_len++] =
            (struct detection){agent->kind, agent->connections, after_ms};
}

struct batch {
    struct enf_observation observations[BATCH + SESSION_OBSERVATIONS_MAX + 1];
    const struct enf_prefix *keys[BATCH + SESSION_OBSERVATIONS_MAX + 1];
    uint32_t agents[BATCH + SESSION_OBSERVATIONS_MAX + 1];
    size_t len;
};

static int feed(struct run *run, struct batch *batch)
{
    double began = seconds(CLOCK_THREAD_CPUTIME_ID);
    int rc = 0;
    enf_detector_prefetch(run->detector, batch->keys, batch->len);
    for (size_t i = 0; i < batch->len && rc >= 0; i++) {
        struct agent *agent = &run->agents[batch->agents[i]];
        const struct kind *kind = run->kinds[agent->kind];
        struct enf_signal signal;
        rc = enf_detector_feed(run->detector, &batch->observations[i], settings_of(run, kind), &signal);
        if (rc == 1 && signal.verdict == ENF_VERDICT_SUSPECT)
            run->tallies[agent->kind].suspicions++;
        else if (rc == 1)
            account(run, agent, &signal);
    }
    run->feed_seconds += seconds(CLOCK_THREAD_CPUTIME_ID) - began;
    run->observations += batch->len;
    batch->len = 0;
    return rc < 0 ? rc : 0;
}

/* The connection, and what is said in it where somebody reads that. */
static void connect_out(struct run *run, struct batch *batch, uint32_t id, uint64_t now_ms,
                        const struct act *act)
{
    struct agent *agent = &run->agents[id];
    const struct session_kind *session = run->kinds[agent->kind]->session;
    struct enf_observation *first = &batch->observations[batch->len];
    size_t len = 1;
    make(agent, id, act->destination, now_ms, session == NULL, first);
    if (session && run->options->policy != ENF_POLICY_BLOCK)
        len += session_hold(agent, session, act, first, START_MS, first + 1);
    run->connections++;
    for (size_t i = 0; i < len; i++, batch->len++) {
        batch->keys[batch->len] = &batch->observations[batch->len].subscriber;
        batch->agents[batch->len] = id;
    }
}

/* One step of who is next. */
static void step(struct run *run, struct batch *batch, uint64_t end_ms)
{
    struct agenda_entry next = agenda_pop(&run->agenda);
    struct agent *agent = &run->agents[next.agent];
    const struct kind *kind = run->kinds[agent->kind];
    /* A zombie that was convicted is off the net; an honest one calls and comes back. */
    if (kind->zombie && agent->convictions > 0)
        return;
    struct act act = {0};
    if (agent->wait_ms > 0) {
        act = (struct act){.destination = agent->retry_to, .gap_ms = agent->wait_ms};
        agent->wait_ms = 0;
    } else {
        kind->act(agent, next.time_ms, &act);
    }
    if (act.destination != 0) {
        struct tally *tally = &run->tallies[agent->kind];
        if (agent->first_ms == 0) {
            agent->first_ms = next.time_ms;
            tally->active++;
        }
        tally->connections++;
        connect_out(run, batch, next.agent, next.time_ms, &act);
    }
    next.time_ms += 1 + (uint64_t)act.gap_ms;
    uint64_t retry_ms = START_MS + (uint64_t)agent->retry_s * 1000;
    if (agent->retry_to != 0 && retry_ms < next.time_ms) {
        /* A second try comes between. */
        agent->wait_ms = (uint32_t)(next.time_ms - retry_ms);
        next.time_ms = retry_ms;
    }
    if (next.time_ms < end_ms)
        agenda_push(&run->agenda, next);
}

int run_simulate(struct run *run)
{
    uint64_t end_ms = START_MS + (uint64_t)(run->options->days * DAY_MS);
    struct batch batch = {.len = 0};
    double began = seconds(CLOCK_MONOTONIC);
    uint64_t idle_at = IDLE_EVERY;
    int rc = 0;
    while (rc == 0 && run->agenda.len > 0) {
        uint64_t now_ms = run->agenda.entries[0].time_ms;
        if (now_ms >= end_ms)
            break;
        step(run, &batch, end_ms);
        if (batch.len >= BATCH)
            rc = feed(run, &batch);
        if (run->observations >= idle_at) {
            enf_detector_forget_idle(run->detector, now_ms, IDLE_EVERY / 4);
            idle_at += IDLE_EVERY;
        }
    }
    if (rc == 0)
        rc = feed(run, &batch);
    run->wall_seconds = seconds(CLOCK_MONOTONIC) - began;
    enf_detector_stats(run->detector, &run->stats);
    return rc;
}
