/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From packets to observations, and to verdicts. Runs in the worker. */
#include "enforcer/daemon/judge.h"

#include "enforcer/core/text.h"
#include "enforcer/daemon/convict.h"
#include "enforcer/inspect/packet.h"

#include <string.h>

#define FULL_TELL_MS 60000 /* a full flow set is told once a minute */
#define TICK_WORK    4096  /* flows whose time has come, in one turn */

/* One packet with what is known about it. */
struct sight {
    const struct enf_ifmap_entry *in;
    uint64_t time_ms;              /* when it came, in the crew's timeline */
    const struct enf_group *group; /* of the subscriber whose connection it is, may be NULL */
    struct enf_packet packet;
    enum enf_packet_result result;
    uint32_t ifindex;
    enum enf_side side;
    enum enf_direction direction;
    struct enf_prefix subscriber;
};

/* host: whose group counts */
static void set_subscriber(struct enf_worker *worker, struct sight *s, const struct enf_addr *host)
{
    s->group = enf_group_find(&worker->view.running->groups, host);
    s->subscriber = enf_group_subscriber(s->group, host);
}

static void look(struct enf_worker *worker, const struct enf_kernel_packet *raw, struct sight *s)
{
    s->result = enf_packet_parse(raw->data, raw->len, &s->packet);
    s->ifindex = raw->ifindex;
    s->time_ms = enf_moment_of_ms(&worker->moment, raw->time_us);
    s->in = enf_ifmap_find(&worker->ifmap, worker->view.running->config, raw->ifindex, worker->now_ms);
    s->side = s->in->side;
    s->direction = ENF_DIRECTION_CLIENT;
    s->group = NULL;
    memset(&s->subscriber, 0, sizeof s->subscriber);
    if (s->packet.source.family != ENF_FAMILY_NONE)
        set_subscriber(worker, s, &s->packet.source);
}

/* What comes from upstream under a subscriber's address anybody outside can forge; what comes from elsewhere
 * a neighbour can, where sources are not checked. */
static bool is_forgeable(const struct enf_worker *worker, const struct sight *s)
{
    return worker->view.running->config->antispoof != ENF_ANTISPOOF_STRICT || s->side != ENF_SIDE_SUBSCRIBER;
}

static struct enf_observation observation(const struct enf_worker *worker, const struct sight *s,
                                          enum enf_observation_kind kind, bool blocked)
{
    return (struct enf_observation){
        .kind = kind,
        .time_ms = s->time_ms,
        .subscriber = s->subscriber,
        .source = s->packet.source,
        .destination = s->packet.destination,
        .source_port = s->packet.source_port,
        .destination_port = s->packet.destination_port,
        .sequence = s->packet.sequence,
        .ifindex = s->ifindex,
        .blocked = blocked,
        .forgeable = is_forgeable(worker, s),
    };
}

/* What the packets of a burst will need is fetched for all of them at once. read: they are read, not only
 * counted. */
static void prefetch(struct enf_worker *worker, const struct sight *sights, size_t len, bool read)
{
    const struct enf_prefix *subscribers[ENF_QUEUE_BURST];
    const struct enf_packet *packets[ENF_QUEUE_BURST];
    size_t known = 0;

    for (size_t i = 0; i < len; i++) {
        if (!sights[i].group)
            continue;
        packets[known] = &sights[i].packet;
        subscribers[known++] = &sights[i].subscriber;
    }
    if (read)
        enf_flows_prefetch(worker->flows, packets, subscribers, known);
    else
        enf_aggregate_prefetch(worker->aggregate, ENF_EVENT_EGRESS_BLOCKED, subscribers, known);
    enf_detector_prefetch(worker->detector, subscribers, known);
}
_Static_assert(ENF_LOG_BURST <= ENF_QUEUE_BURST, "both are prefetched by the same function");

/* A connection seen as a copy, of which nothing more will be seen. */
static void account_copy(struct enf_worker *worker, const struct sight *s, bool blocked)
{
    if (s->side == ENF_SIDE_UPSTREAM || !enf_packet_is_connection(&s->packet))
        return;
    struct enf_observation obs = observation(worker, s, ENF_OBSERVATION_SYN, blocked);
    enf_convict_account(worker, &obs, s->group);
}

/* --- flows that are read --- */

/* Which side it is from, and whose connection it is. */
static void orient(struct enf_worker *worker, struct sight *s)
{
    if (s->packet.source_port != ENF_SMTP_PORT)
        return;
    s->direction = enf_flows_direction(worker->flows, &s->packet);
    if (s->direction == ENF_DIRECTION_SERVER)
        set_subscriber(worker, s, &s->packet.destination);
}

/* Proves nothing against the subscriber that it claims to be from. */
static bool is_outsider(const struct sight *s)
{
    return s->direction == ENF_DIRECTION_CLIENT && s->side == ENF_SIDE_UPSTREAM;
}

static void read_flow(struct enf_worker *worker, const struct sight *s)
{
    struct enf_flow_context context = {
        .time_ms = s->time_ms,
        .subscriber = s->subscriber,
        .ifindex = s->ifindex,
        .forgeable = is_forgeable(worker, s),
    };

    if (!s->group || is_outsider(s))
        return;
    enf_flows_feed(worker->flows, s->result, &s->packet, s->direction, &context, enf_convict_observe, worker);
}

/* --- copies --- */

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
    const struct enf_addr *host =
        event.action == ENF_EVENT_INBOUND_SPOOFED ? &event.destination : &event.source;
    bool passed = worker->view.mode == ENF_MODE_OBSERVE ||
                  enf_group_policy(enf_group_find(&running->groups, host), host) == ENF_POLICY_OBSERVE;
    event.outcome = passed ? ENF_OUTCOME_UNKNOWN : ENF_OUTCOME_SUCCESS;
    if (passed && !*event.reason)
        enf_text_copy(event.reason, sizeof event.reason, "observed only: not dropped");
    enf_convict_post(worker, &event);
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
    enf_aggregate_feed(worker->aggregate, worker->now_ms, &packet, on_aggregate, worker);
}

static void on_full(struct enf_worker *worker, const struct sight *s)
{
    if (worker->now_ms < worker->full_told_ms + FULL_TELL_MS)
        return;
    worker->full_told_ms = worker->now_ms;
    struct enf_event event = {
        .action = ENF_EVENT_TELEMETRY_LOST, .outcome = ENF_OUTCOME_FAILURE, .time_ms = worker->now_ms};
    enf_text_copy(event.reason, sizeof event.reason,
                  "a flow set of the kernel is full: new flows to port 25 are refused (counter flows_full)");
    event.source = s->packet.source;
    enf_convict_post(worker, &event);
}

/* From port 25 to somebody who asked for nothing. A reply of SMTP says that somebody uses the address as the
 * source of mail that leaves by another way; a lone SYN-ACK or RST is backscatter. */
static void on_inbound(struct enf_worker *worker, struct sight *s)
{
    uint16_t code = s->result == ENF_PACKET_OK ? enf_flows_reply_code(&s->packet) : 0;

    set_subscriber(worker, s, &s->packet.destination);
    aggregate(worker, s, ENF_EVENT_INBOUND_SPOOFED, &s->subscriber);
    if (code == 0)
        return;
    struct enf_observation obs = observation(worker, s, ENF_OBSERVATION_REPLY, false);
    obs.value = code;
    obs.forgeable = true;
    enf_convict_account(worker, &obs, s->group);
}

static void on_meter(struct enf_worker *worker, const struct sight *s)
{
    struct enf_observation obs = observation(worker, s, ENF_OBSERVATION_SYN, true);

    enf_convict_metered(worker, &obs, s->group);
}

/* Counted under its own address, beside the subscriber in whose prefix it may lie. */
static void on_relay(struct enf_worker *worker, const struct sight *s)
{
    struct enf_observation obs = observation(worker, s, ENF_OBSERVATION_SYN, false);

    obs.subscriber = enf_prefix_host(&s->packet.source);
    enf_convict_relay(worker, &obs);
}

static void judge_copy(struct enf_worker *worker, enum enf_log_reason reason, struct sight *s)
{
    struct enf_prefix source;

    if (s->packet.source.family == ENF_FAMILY_NONE)
        return;
    source = enf_prefix_host(&s->packet.source);
    switch (reason) {
    case ENF_LOG_BLOCK:
        aggregate(worker, s, ENF_EVENT_EGRESS_BLOCKED, &s->subscriber);
        account_copy(worker, s, true);
        break;
    case ENF_LOG_OBSERVE:
        if (s->group && s->group->policy == ENF_POLICY_BLOCK)
            aggregate(worker, s, ENF_EVENT_EGRESS_BLOCKED, &s->subscriber);
        account_copy(worker, s, false);
        break;
    case ENF_LOG_COPY:
        orient(worker, s);
        /* outside of a canary's share, or in mode observe: what would be refused */
        if (s->group && s->group->policy == ENF_POLICY_BLOCK && !is_outsider(s) &&
            enf_packet_is_connection(&s->packet))
            aggregate(worker, s, ENF_EVENT_EGRESS_BLOCKED, &s->subscriber);
        read_flow(worker, s);
        break;
    case ENF_LOG_QUARANTINED:
        aggregate(worker, s, ENF_EVENT_EGRESS_BLOCKED, &s->subscriber);
        break;
    case ENF_LOG_METER:
        on_meter(worker, s);
        break;
    case ENF_LOG_RELAY:
        on_relay(worker, s);
        break;
    case ENF_LOG_SPOOFED:
        aggregate(worker, s, ENF_EVENT_SOURCE_SPOOFED, &source);
        break;
    case ENF_LOG_BOGON:
        aggregate(worker, s, ENF_EVENT_BOGON_DROPPED, &source);
        break;
    case ENF_LOG_INBOUND:
        on_inbound(worker, s);
        break;
    case ENF_LOG_FULL:
        on_full(worker, s);
        break;
    case ENF_LOG_HEADERS: /* its port is unknown: the kernel's counter says how many */
    case ENF_LOG_UNKNOWN:
        break;
    }
}

void enf_judge_logged(void *ctx, const struct enf_log_copy *copies, size_t len)
{
    struct sight sights[ENF_LOG_BURST];
    struct enf_worker *worker = ctx;

    if (len == 0 || len > ENF_LOG_BURST)
        return;
    for (size_t i = 0; i < len; i++)
        look(worker, &copies[i].packet, &sights[i]);
    prefetch(worker, sights, len, false);
    for (size_t i = 0; i < len; i++)
        judge_copy(worker, copies[i].reason, &sights[i]);
    enf_mailbox_put(worker->shared->mailbox, &worker->outbox);
}

/* --- queued packets --- */

static bool judge_one(struct enf_worker *worker, const struct sight *s)
{
    bool of_client = s->direction == ENF_DIRECTION_CLIENT;

    /* What cannot be read goes the way of the fail mode: the flow is allowed by policy, only unread. */
    if (s->result != ENF_PACKET_OK)
        return worker->view.running->config->queue.fail == ENF_FAIL_OPEN;
    if (of_client && enf_banned_has(&worker->banned, &s->subscriber, worker->now_ms))
        return false;
    read_flow(worker, s);
    /* By this packet, perhaps. Answers pass: the kernel's set stops them from now on. */
    return !of_client || !enf_banned_has(&worker->banned, &s->subscriber, worker->now_ms);
}

void enf_judge_queued(void *ctx, const struct enf_kernel_packet *packets, size_t len, bool *pass)
{
    struct sight sights[ENF_QUEUE_BURST];
    struct enf_worker *worker = ctx;

    /* Before the verdicts: telemetry.c counts on it. */
    atomic_fetch_add(&worker->stats.queue_packets, len);
    pthread_mutex_lock(&worker->lock);
    enf_worker_set_moment(worker);
    for (size_t i = 0; i < len; i++) {
        look(worker, &packets[i], &sights[i]);
        orient(worker, &sights[i]);
    }
    prefetch(worker, sights, len, true);
    for (size_t i = 0; i < len; i++)
        pass[i] = judge_one(worker, &sights[i]);
    enf_mailbox_put(worker->shared->mailbox, &worker->outbox);
    pthread_mutex_unlock(&worker->lock);
}

void enf_judge_tick(struct enf_worker *worker)
{
    enf_flows_tick(worker->flows, worker->now_ms, TICK_WORK, enf_convict_observe, worker);
    enf_aggregate_tick(worker->aggregate, worker->now_ms, on_aggregate, worker);
    enf_mailbox_put(worker->shared->mailbox, &worker->outbox);
}
