/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a packet to an observation, from a signal to a ban. Runs in the worker. */
#include "enforcer/daemon/judge.h"

#include "enforcer/core/text.h"
#include "enforcer/inspect/packet.h"
#include "enforcer/policy/decide.h"

#include <stdlib.h>
#include <string.h>

#define FULL_TELL_MS 60000 /* a full flow set is told once a minute */

/* One packet with what is known about it. */
struct sight {
    uint64_t now_ms;
    struct enf_packet packet;
    enum enf_packet_result result;
    const struct enf_ifmap_entry *in;
    const struct enf_group *group; /* of the source, may be NULL */
    struct enf_prefix subscriber;  /* of the source */
};

static void look(struct enf_worker *worker, const struct enf_kernel_packet *raw, struct sight *out)
{
    const struct enf_running *running = worker->view.running;

    *out = (struct sight){.now_ms = worker->now_ms};
    out->result = enf_packet_parse(raw->data, raw->len, &out->packet);
    out->in = enf_ifmap_find(&worker->ifmap, running->config, raw->ifindex, out->now_ms);
    if (out->packet.source.family != ENF_FAMILY_NONE) {
        out->group = enf_group_find(&running->groups, &out->packet.source);
        out->subscriber = enf_group_subscriber(out->group, &out->packet.source);
    }
}

static void post_event(struct enf_worker *worker, const struct enf_event *event)
{
    struct enf_report *report = calloc(1, sizeof *report);

    if (!report)
        return; /* the mailbox counts what does not fit; without memory there is nothing left to count with */
    report->kind = ENF_REPORT_EVENT;
    report->event = *event;
    enf_mailbox_put(worker->shared->mailbox, report);
}

/* An aggregate that is due: fills in what follows from the addresses. */
static void on_aggregate(void *ctx, const struct enf_event *aggregated)
{
    struct enf_worker *worker = ctx;
    const struct enf_running *running = worker->view.running;
    struct enf_event event = *aggregated;
    bool of_subscriber =
        event.action == ENF_EVENT_EGRESS_BLOCKED || event.action == ENF_EVENT_INBOUND_SPOOFED;

    if (of_subscriber && event.subscriber.addr.family != ENF_FAMILY_NONE) {
        const struct enf_group *group = enf_group_find(&running->groups, &event.subscriber.addr);
        if (group) {
            enf_text_copy(event.group, sizeof event.group, group->name);
            event.policy = group->policy;
        }
    }
    /* A forged source is nobody's doing who owns the address. */
    if (event.action == ENF_EVENT_SOURCE_SPOOFED || event.action == ENF_EVENT_BOGON_DROPPED)
        event.subscriber = (struct enf_prefix){0};
    const struct enf_group *judged = enf_group_find(
        &running->groups, event.action == ENF_EVENT_INBOUND_SPOOFED ? &event.destination : &event.source);
    bool passed = worker->view.mode == ENF_MODE_OBSERVE || (judged && judged->policy == ENF_POLICY_OBSERVE);
    event.outcome = passed ? ENF_OUTCOME_UNKNOWN : ENF_OUTCOME_SUCCESS;
    if (passed && !*event.reason)
        enf_text_copy(event.reason, sizeof event.reason, "observed only: not dropped");
    post_event(worker, &event);
}

static void aggregate(struct enf_worker *worker, const struct sight *s, enum enf_event_action action,
                      const struct enf_prefix *key)
{
    struct enf_aggregate_packet packet = {
        .action = action,
        .key = *key,
        .source = s->packet.source,
        .source_port = s->packet.source_port,
        .destination = s->packet.destination,
        .destination_port = s->packet.destination_port,
    };

    enf_text_copy(packet.interface, sizeof packet.interface, s->in->name);
    enf_aggregate_feed(worker->aggregate, s->now_ms, &packet, on_aggregate, worker);
}

static bool is_exempt(const struct enf_worker *worker, const struct enf_prefix *subscriber)
{
    const struct enf_running *running = worker->view.running;

    return enf_decide_touches(&running->never, subscriber) ||
           enf_decide_touches(&running->smarthosts, subscriber) ||
           (worker->view.relays && enf_decide_touches(worker->view.relays, subscriber));
}

static struct enf_report *make_report(const struct sight *s, const struct enf_signal *signal)
{
    struct enf_report *report = calloc(1, sizeof *report);

    if (!report)
        return NULL;
    report->kind = ENF_REPORT_CONVICTION;
    report->event.time_ms = signal->time_ms;
    report->event.subscriber = signal->subscriber;
    report->event.source = s->packet.source;
    report->event.source_port = s->packet.source_port;
    report->event.destination = s->packet.destination;
    report->event.destination_port = s->packet.destination_port;
    enf_text_copy(report->event.interface, sizeof report->event.interface, s->in->name);
    if (s->group) {
        enf_text_copy(report->event.group, sizeof report->event.group, s->group->name);
        report->event.policy = s->group->policy;
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
static bool ask_governor(struct enf_worker *worker, const struct sight *s, struct enf_report *report)
{
    pthread_mutex_lock(&worker->shared->lock);
    enum enf_governor_state state = enf_governor_conviction(worker->shared->governor, s->in->name, s->now_ms);
    pthread_mutex_unlock(&worker->shared->lock);
    report->governor_tripped = state == ENF_GOVERNOR_TRIPPED_NOW;
    report->governor_holds = state != ENF_GOVERNOR_OPEN;
    return state == ENF_GOVERNOR_OPEN;
}

/* May this conviction become a ban here and now? What needs history comes later, in the control thread. */
static bool may_ban(struct enf_worker *worker, const struct sight *s, struct enf_report *report)
{
    const struct enf_config *config = worker->view.running->config;

    if (!config->quarantine.automatic || worker->view.mode == ENF_MODE_OBSERVE || !s->group ||
        s->group->policy == ENF_POLICY_OBSERVE || is_exempt(worker, &s->subscriber))
        return false;
    return ask_governor(worker, s, report);
}

/* Returns whether the subscriber is banned now. */
static bool convict(struct enf_worker *worker, const struct sight *s, const struct enf_signal *signal)
{
    struct enf_report *report = make_report(s, signal);

    if (!report)
        return false;
    if (may_ban(worker, s, report)) {
        struct enf_kernel_single single = {
            .subscriber = signal->subscriber,
            .timeout_ms = enf_running_first_quarantine_ms(worker->view.running->config),
        };
        /* Where the kernel refuses (the table was deleted), the control thread repairs and tries again. */
        report->banned = enf_kernel_singles(worker->kernel, &single, 1) == 0;
        enf_banned_add(&worker->banned, &signal->subscriber, s->now_ms);
    }
    bool banned = report->banned;
    enf_mailbox_put(worker->shared->mailbox, report);
    return banned;
}

/* A connection of a subscriber, seen as a copy or in the queue. Returns whether it is banned by this one. */
static bool account(struct enf_worker *worker, const struct sight *s, bool blocked)
{
    const struct enf_running *running = worker->view.running;
    struct enf_observation obs = {
        .kind = ENF_OBSERVATION_SYN,
        .time_ms = s->now_ms,
        .subscriber = s->subscriber,
        .source = s->packet.source,
        .destination = s->packet.destination,
        .source_port = s->packet.source_port,
        .destination_port = s->packet.destination_port,
        .sequence = s->packet.sequence,
        .blocked = blocked,
        .forgeable = running->config->antispoof != ENF_ANTISPOOF_STRICT || s->in->side != ENF_SIDE_SUBSCRIBER,
    };
    struct enf_signal signal;

    /* What comes from upstream under a subscriber's address anybody outside can forge: it proves nothing. */
    if (!s->group || s->in->side == ENF_SIDE_UPSTREAM || !enf_packet_is_connection(&s->packet))
        return false;
    const struct enf_detector_settings *settings =
        enf_group_detector(&running->groups, s->group, &s->packet.source);
    return enf_detector_feed(worker->detector, &obs, settings, &signal) == 1 && convict(worker, s, &signal);
}

static void on_meter(struct enf_worker *worker, const struct sight *s)
{
    struct enf_signal signal = {.subscriber = s->subscriber, .time_ms = s->now_ms};
    struct enf_report *report = s->group ? make_report(s, &signal) : NULL;

    if (!report)
        return;
    report->kind = ENF_REPORT_METER;
    report->banned = true;
    /* The meter's convictions count like the detector's: too many of them mean that we are wrong. */
    if (ask_governor(worker, s, report))
        enf_banned_add(&worker->banned, &s->subscriber, s->now_ms);
    enf_mailbox_put(worker->shared->mailbox, report);
}

static void on_full(struct enf_worker *worker, const struct sight *s)
{
    if (s->now_ms < worker->full_told_ms + FULL_TELL_MS)
        return;
    worker->full_told_ms = s->now_ms;
    struct enf_event event = {
        .action = ENF_EVENT_TELEMETRY_LOST, .outcome = ENF_OUTCOME_FAILURE, .time_ms = s->now_ms};
    enf_text_copy(event.reason, sizeof event.reason,
                  "a flow set of the kernel is full: new flows to port 25 are refused (counter flows_full)");
    event.source = s->packet.source;
    post_event(worker, &event);
}

void enf_judge_logged(void *ctx, enum enf_log_reason reason, const struct enf_kernel_packet *raw)
{
    struct enf_worker *worker = ctx;
    struct sight s;
    struct enf_prefix source;

    look(worker, raw, &s);
    if (s.packet.source.family == ENF_FAMILY_NONE)
        return;
    source = enf_prefix_host(&s.packet.source);
    switch (reason) {
    case ENF_LOG_BLOCK:
        aggregate(worker, &s, ENF_EVENT_EGRESS_BLOCKED, &s.subscriber);
        account(worker, &s, true);
        break;
    case ENF_LOG_OBSERVE:
        if (s.group && s.group->policy == ENF_POLICY_BLOCK)
            aggregate(worker, &s, ENF_EVENT_EGRESS_BLOCKED, &s.subscriber);
        account(worker, &s, false);
        break;
    case ENF_LOG_COPY:
        account(worker, &s, false);
        break;
    case ENF_LOG_QUARANTINED:
        aggregate(worker, &s, ENF_EVENT_EGRESS_BLOCKED, &s.subscriber);
        break;
    case ENF_LOG_METER:
        on_meter(worker, &s);
        break;
    case ENF_LOG_SPOOFED:
        aggregate(worker, &s, ENF_EVENT_SOURCE_SPOOFED, &source);
        break;
    case ENF_LOG_BOGON:
        aggregate(worker, &s, ENF_EVENT_BOGON_DROPPED, &source);
        break;
    case ENF_LOG_INBOUND: {
        const struct enf_group *group = enf_group_find(&worker->view.running->groups, &s.packet.destination);
        struct enf_prefix target = enf_group_subscriber(group, &s.packet.destination);
        aggregate(worker, &s, ENF_EVENT_INBOUND_SPOOFED, &target);
        break;
    }
    case ENF_LOG_FULL:
        on_full(worker, &s);
        break;
    case ENF_LOG_HEADERS: /* its port is unknown: the kernel's counter says how many */
    case ENF_LOG_UNKNOWN:
        break;
    }
}

static bool judge_one(struct enf_worker *worker, const struct sight *s)
{
    /* What cannot be read goes the way of the fail mode: the flow is allowed by policy, only unread. */
    if (s->result != ENF_PACKET_OK)
        return worker->view.running->config->queue.fail == ENF_FAIL_OPEN;
    if (s->packet.destination_port != ENF_SMTP_PORT)
        return true;
    if (enf_banned_has(&worker->banned, &s->subscriber, s->now_ms))
        return false;
    return !account(worker, s, false);
}

void enf_judge_queued(void *ctx, const struct enf_kernel_packet *packets, size_t len, bool *pass)
{
    const struct enf_prefix *subscribers[ENF_QUEUE_BURST];
    struct sight sights[ENF_QUEUE_BURST];
    struct enf_worker *worker = ctx;
    size_t known = 0;

    /* Before the verdicts: telemetry.c counts on it. */
    atomic_fetch_add(&worker->stats.queue_packets, len);
    pthread_mutex_lock(&worker->lock);
    worker->now_ms = enf_timeline_now_ms(&worker->shared->timeline);
    for (size_t i = 0; i < len; i++) {
        look(worker, &packets[i], &sights[i]);
        if (sights[i].group)
            subscribers[known++] = &sights[i].subscriber;
    }
    enf_detector_prefetch(worker->detector, subscribers, known);
    for (size_t i = 0; i < len; i++)
        pass[i] = judge_one(worker, &sights[i]);
    pthread_mutex_unlock(&worker->lock);
}

void enf_judge_tick(struct enf_worker *worker)
{
    enf_aggregate_tick(worker->aggregate, worker->now_ms, on_aggregate, worker);
}
