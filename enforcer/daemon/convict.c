/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From an observation to a signal, from a signal to a ban. Runs in the worker. */
#include "enforcer/daemon/convict.h"

#include "enforcer/core/text.h"
#include "enforcer/daemon/tiers.h"
#include "enforcer/policy/decide.h"

#include <stdlib.h>
#include <string.h>

#define OUTBOX_MAX 32 /* more do not wait for the end of the burst */

static void hand_over(struct enf_worker *worker, struct enf_report *report)
{
    enf_reports_add(&worker->outbox, report);
    if (worker->outbox.len >= OUTBOX_MAX)
        enf_mailbox_put(worker->shared->mailbox, &worker->outbox);
}

void enf_convict_post(struct enf_worker *worker, const struct enf_event *event)
{
    struct enf_report *report = calloc(1, sizeof *report);

    if (!report)
        return; /* the mailbox counts what does not fit; without memory there is nothing left to count with */
    report->kind = ENF_REPORT_EVENT;
    report->event = *event;
    hand_over(worker, report);
}

static bool is_exempt(const struct enf_worker *worker, const struct enf_prefix *subscriber)
{
    const struct enf_running *running = worker->view.running;

    return enf_decide_touches(&running->never, subscriber) ||
           enf_decide_touches(&running->smarthosts, subscriber) ||
           (worker->view.relays && enf_decide_touches(worker->view.relays, subscriber));
}

static const struct enf_ifmap_entry *interface_of(struct enf_worker *worker,
                                                  const struct enf_observation *obs)
{
    return enf_ifmap_find(&worker->ifmap, worker->view.running->config, obs->ifindex, worker->now_ms);
}

static struct enf_report *make_report(struct enf_worker *worker, const struct enf_observation *obs,
                                      const struct enf_group *group, const struct enf_signal *signal)
{
    struct enf_report *report = calloc(1, sizeof *report);

    if (!report)
        return NULL;
    report->kind = signal->verdict == ENF_VERDICT_SUSPECT ? ENF_REPORT_SUSPECT : ENF_REPORT_CONVICTION;
    report->event.time_ms = signal->time_ms;
    report->event.subscriber = signal->subscriber;
    report->event.source = obs->source;
    report->event.source_port = obs->source_port;
    report->event.destination = obs->destination;
    report->event.destination_port = obs->destination_port;
    enf_text_copy(report->event.interface, sizeof report->event.interface, interface_of(worker, obs)->name);
    if (group) {
        enf_text_copy(report->event.group, sizeof report->event.group, group->name);
        report->event.policy = group->policy;
    }
    report->cause = signal->cause;
    report->forgeable = signal->forgeable;
    enf_text_copy(report->setting, sizeof report->setting, signal->setting);
    report->evidence_total = signal->evidence_total;
    if (signal->evidence && signal->evidence_len > 0)
        report->evidence = malloc(signal->evidence_len * sizeof *report->evidence);
    if (report->evidence && signal->evidence) {
        memcpy(report->evidence, signal->evidence, signal->evidence_len * sizeof *report->evidence);
        report->evidence_len = signal->evidence_len;
    }
    return report;
}

/* Whether automatic quarantine goes on there, this conviction counted. */
static bool ask_governor(struct enf_worker *worker, struct enf_report *report)
{
    pthread_mutex_lock(&worker->shared->lock);
    enum enf_governor_state state =
        enf_governor_conviction(worker->shared->governor, report->event.interface, worker->now_ms);
    pthread_mutex_unlock(&worker->shared->lock);
    report->governor_tripped = state == ENF_GOVERNOR_TRIPPED_NOW;
    report->governor_holds = state != ENF_GOVERNOR_OPEN;
    return state == ENF_GOVERNOR_OPEN;
}

/* May this conviction become a ban here and now? What needs history comes later, in the control thread. */
static bool may_ban(struct enf_worker *worker, const struct enf_group *group, struct enf_report *report)
{
    if (!worker->view.running->config->quarantine.automatic || worker->view.mode == ENF_MODE_OBSERVE ||
        !group || enf_group_policy(group, &report->event.subscriber.addr) == ENF_POLICY_OBSERVE ||
        is_exempt(worker, &report->event.subscriber))
        return false;
    return ask_governor(worker, report);
}

/* The packet's time is known to the millisecond, rounded down: what is noted is up to one too long. */
static void note_time_to_block(struct enf_worker *worker, const struct enf_signal *signal)
{
    uint64_t now_us = enf_timeline_moment(&worker->shared->timeline).now_us, then_us = signal->time_ms * 1000;

    enf_histogram_add(&worker->stats.blocks, now_us > then_us ? (now_us - then_us) * 1000 : 0);
}

/* Returns whether the subscriber is banned now. */
static bool convict(struct enf_worker *worker, const struct enf_observation *obs,
                    const struct enf_group *group, const struct enf_signal *signal)
{
    struct enf_report *report = make_report(worker, obs, group, signal);

    if (!report)
        return false;
    if (report->kind == ENF_REPORT_CONVICTION && may_ban(worker, group, report)) {
        struct enf_kernel_single single = {
            .subscriber = signal->subscriber,
            .tier = enf_tier_of_first(enf_running_first_level(worker->view.running->config)),
            .timeout_ms = enf_running_first_quarantine_ms(worker->view.running->config),
        };
        /* Where the kernel refuses (the table was deleted), the control thread repairs and tries again. */
        report->banned = enf_kernel_singles(worker->kernel, &single, 1) == 0;
        if (report->banned)
            note_time_to_block(worker, signal);
        report->tier = single.tier;
        if (single.tier != ENF_KERNEL_TIER_THROTTLE) /* whose connections go on */
            enf_banned_add(&worker->banned, &signal->subscriber, worker->now_ms);
    }
    bool banned = report->banned;
    hand_over(worker, report);
    return banned;
}

bool enf_convict_account(struct enf_worker *worker, const struct enf_observation *obs,
                         const struct enf_group *group)
{
    const struct enf_running *running = worker->view.running;
    struct enf_signal signal;

    if (!group)
        return false;
    const struct enf_addr *host = obs->kind == ENF_OBSERVATION_REPLY ? &obs->destination : &obs->source;
    const struct enf_detector_settings *settings = enf_group_detector(&running->groups, group, host);
    return enf_detector_feed(worker->detector, obs, settings, &signal) == 1 &&
           convict(worker, obs, group, &signal);
}

/* Silence is evidence only where an answer would have been seen: not where it may take another way, and not
 * where copies or packets were lost. */
static bool is_silence(const struct enf_observation *obs)
{
    return obs->kind == ENF_OBSERVATION_FAILED && obs->value == 0;
}

void enf_convict_observe(void *ctx, const struct enf_observation *obs)
{
    struct enf_worker *worker = ctx;
    const struct enf_running *running = worker->view.running;

    if (obs->kind != ENF_OBSERVATION_SYN)
        enf_senders_feed(worker->senders, obs, interface_of(worker, obs)->name);
    if (is_silence(obs) && (running->config->inbound.stateless || worker->now_ms < worker->deaf_until_ms))
        return;
    enf_convict_account(worker, obs, enf_group_find(&running->groups, &obs->source));
}

void enf_convict_relay(struct enf_worker *worker, const struct enf_observation *obs)
{
    const struct enf_config *config = worker->view.running->config;
    struct enf_detector_settings settings = enf_detector_defaults(ENF_POLICY_INSPECT);
    struct enf_signal signal;

    settings.traps = config->traps;
    settings.traps_len = config->traps_len;
    if (enf_detector_feed(worker->detector, obs, &settings, &signal) != 1)
        return;
    struct enf_report *report = make_report(worker, obs, NULL, &signal);
    if (!report)
        return;
    report->kind = ENF_REPORT_RELAY;
    hand_over(worker, report);
}

void enf_convict_metered(struct enf_worker *worker, const struct enf_observation *obs,
                         const struct enf_group *group)
{
    struct enf_signal signal = {
        .verdict = ENF_VERDICT_ZOMBIE, .subscriber = obs->subscriber, .time_ms = obs->time_ms};
    struct enf_report *report = group ? make_report(worker, obs, group, &signal) : NULL;

    if (!report)
        return;
    report->kind = ENF_REPORT_METER;
    report->banned = true;
    report->tier = enf_tier_of_first(enf_running_first_level(worker->view.running->config));
    report->forgeable = true; /* it has counted SYNs: a neighbour can send them under another's address */
    /* The meter's convictions count like the detector's: too many of them mean that we are wrong. */
    if (ask_governor(worker, report) && report->tier != ENF_KERNEL_TIER_THROTTLE)
        enf_banned_add(&worker->banned, &obs->subscriber, worker->now_ms);
    hand_over(worker, report);
}
