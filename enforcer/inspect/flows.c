/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a packet does to its flow, and what time does. */
#include "enforcer/inspect/flows.h"

#include "enforcer/inspect/flow_table.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((ENF_FLOWS_ENOUGH & ENF_SESSION_OTHER) == 0, "read_packet answers both");

#define FEED_WORK  8     /* flows that a packet ends in passing because their time is over */
#define NEAR_BYTES 65536 /* how far from the SYN's number a packet may be that begins a dialogue */

/* One packet with all that goes with it. */
struct arrival {
    const struct enf_packet *packet;
    enum enf_direction direction;
    const struct enf_flow_context *context;
    struct flow_key key;
    uint32_t hash;
    uint64_t now_ms; /* never before an earlier packet's, for the lists */
    struct telling telling;
};

/* --- time --- */

static uint64_t due_ms(const struct flow *flow)
{
    switch (flow_list_of(flow)) {
    case FLOW_TOLD:
        return flow->time_ms + ENF_FLOWS_TOLD_MS;
    case FLOW_WAITING:
        return flow->time_ms + ENF_FLOWS_ANSWER_MS;
    case FLOW_HALF:
    case FLOW_READ:
        break;
    }
    return flow->time_ms + ENF_FLOWS_IDLE_MS;
}

/* Tells what the reader still holds back. The flow stays, with nothing left to say. */
static void end_reading(struct enf_flows *flows, struct flow *flow, uint64_t now_ms,
                        const struct telling *telling)
{
    enf_flow_reading_end(flow, telling);
    enf_flow_unread(flows, flow, now_ms);
}

static void run_out(struct enf_flows *flows, struct flow *flow, enf_flows_fn fn, void *ctx)
{
    struct telling telling = {fn, ctx, due_ms(flow)};
    switch (flow_list_of(flow)) {
    case FLOW_WAITING:
        if (!(flow->flags & FLOW_HELD))
            enf_flow_tell(flow, ENF_OBSERVATION_FAILED, 0, &telling);
        enf_flow_move(flows, flow, FLOW_TOLD, telling.time_ms);
        return;
    case FLOW_HALF:
    case FLOW_READ:
        end_reading(flows, flow, telling.time_ms, &telling);
        break;
    case FLOW_TOLD:
        break;
    }
    enf_flow_remove(flows, flow);
}

/* The flow that was due first. */
static struct flow *first_due(struct enf_flows *flows, uint64_t now_ms)
{
    struct flow *found = NULL;
    for (int list = 0; list < FLOW_LIST_COUNT; list++) {
        if (flows->lists[list].len == 0)
            continue;
        struct flow *first = &flows->flows[flows->lists[list].first];
        if (due_ms(first) <= now_ms && (!found || due_ms(first) < due_ms(found)))
            found = first;
    }
    return found;
}

/* A step back ends what was: nothing would be due for as long. */
static uint64_t advance(struct enf_flows *flows, uint64_t now_ms)
{
    if (now_ms + ENF_FLOWS_STEP_MS < flows->newest_ms) {
        enf_flow_empty(flows);
        flows->stats.clock_steps++;
        flows->newest_ms = now_ms;
    }
    if (now_ms > flows->newest_ms)
        flows->newest_ms = now_ms;
    return flows->newest_ms;
}

static size_t run(struct enf_flows *flows, uint64_t now_ms, size_t max_work, enf_flows_fn fn, void *ctx)
{
    struct flow *flow;
    size_t done = 0;
    for (; done < max_work && (flow = first_due(flows, now_ms)); done++)
        run_out(flows, flow, fn, ctx);
    return done;
}

size_t enf_flows_tick(struct enf_flows *flows, uint64_t now_ms, size_t max_work, enf_flows_fn fn, void *ctx)
{
    return run(flows, advance(flows, now_ms), max_work, fn, ctx);
}

void enf_flows_finish(struct enf_flows *flows, enf_flows_fn fn, void *ctx)
{
    struct telling telling = {fn, ctx, flows->newest_ms};
    for (int list = FLOW_HALF; list <= FLOW_READ; list++)
        while (flows->lists[list].len)
            end_reading(flows, &flows->flows[flows->lists[list].first], flows->newest_ms, &telling);
    enf_flow_empty(flows);
    flows->newest_ms = 0;
}

/* --- packets --- */

static void tell_plain(const struct arrival *a, enum enf_observation_kind kind, uint64_t value)
{
    const struct enf_packet *packet = a->packet;
    struct enf_observation obs = {
        .kind = kind,
        .time_ms = a->context->time_ms,
        .subscriber = a->context->subscriber,
        .source = packet->source,
        .destination = packet->destination,
        .source_port = packet->source_port,
        .destination_port = packet->destination_port,
        .sequence = kind == ENF_OBSERVATION_SYN ? packet->sequence : 0,
        .ifindex = a->context->ifindex,
        .blocked = a->context->blocked,
        .forgeable = a->context->forgeable,
        .value = value,
    };
    a->telling.fn(a->telling.ctx, &obs);
}

static void set_syn(struct flow *flow, const struct arrival *a)
{
    flow->isn = a->packet->sequence;
    flow->ifindex = a->context->ifindex;
    flow->flags &= (uint8_t) ~(FLOW_FORGEABLE | FLOW_HELD | FLOW_SYN_DATA | FLOW_UNREAD);
    if (a->context->unread)
        flow->flags |= FLOW_UNREAD;
    if (a->context->forgeable)
        flow->flags |= FLOW_FORGEABLE;
    if (a->packet->payload_len)
        flow->flags |= FLOW_SYN_DATA;
}

/* A SYN of a new flow, or one that takes the place of `flow` in which nothing is read. */
static unsigned begin(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    bool counted = flow && (flow->flags & FLOW_COUNTED);
    if (!counted && !enf_flow_subscriber_has_room(flows, &a->context->subscriber)) {
        flows->stats.over_subscriber++;
        return ENF_FLOWS_ENOUGH;
    }
    if (!flow) {
        flow = enf_flow_add(flows, &a->key, a->hash, FLOW_WAITING, a->now_ms, a->context->subscriber.len);
    } else {
        enf_flow_move(flows, flow, FLOW_TOLD,
                      a->now_ms); /* counted no more, while its subscriber may change */
        flow->prefix_len = a->context->subscriber.len;
        enf_flow_move(flows, flow, FLOW_WAITING, a->now_ms);
    }
    if (!flow) {
        flows->stats.unread++;
        return ENF_FLOWS_ENOUGH;
    }
    set_syn(flow, a);
    return 0;
}

/* A client's reset proves little, the server may not have taken it: what comes behind one is read. */
static bool is_over(const struct enf_session *session, unsigned answer)
{
    const struct enf_smtp_facts *facts = &session->smtp.facts;
    if (!(answer & ENF_SESSION_FINISHED))
        return false;
    return !facts->reset_client || facts->reset_server || (facts->fin_client && facts->fin_server) ||
           enf_smtp_finished(&session->smtp);
}

/* Returns ENF_FLOWS_ bits, or ENF_SESSION_OTHER. */
static unsigned read_packet(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    const struct enf_session *session = &flow->reading->session;
    unsigned answer = enf_flow_reading_feed(flow, a->packet, a->direction, &a->telling);
    if (answer & ENF_SESSION_OTHER)
        return ENF_SESSION_OTHER;
    if (is_over(session, answer)) {
        end_reading(flows, flow, a->now_ms, &a->telling);
        return ENF_FLOWS_ENOUGH;
    }
    bool alive = session->server.started && !session->smtp.facts.reset_client;
    enf_flow_move(flows, flow, alive ? FLOW_READ : FLOW_HALF, a->now_ms);
    return 0;
}

/* The packet makes that a dialogue: from now on it is read. */
static unsigned begin_reading(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    enum flow_list list = a->direction == ENF_DIRECTION_SERVER ? FLOW_READ : FLOW_HALF;
    if (!(flow->flags & FLOW_UNREAD) && enf_flow_read(flows, flow, list, a->now_ms))
        return read_packet(flows, flow, a);
    if (list == FLOW_READ)
        enf_flow_tell(flow, ENF_OBSERVATION_ANSWERED, 0, &a->telling);
    enf_flow_move(flows, flow, FLOW_TOLD, a->now_ms);
    return ENF_FLOWS_ENOUGH;
}

/* Sequence numbers that are taken are the SYN's and what it carried, so far as the server took it. */
static bool acknowledges(const struct flow *flow, const struct enf_packet *packet)
{
    uint32_t isn = flow_list_of(flow) >= FLOW_HALF ? flow->reading->session.client_isn : flow->isn;
    return (packet->tcp_flags & ENF_TCP_ACK) && packet->acknowledgment - (isn + 1) <= NEAR_BYTES;
}

static unsigned conclude(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    enf_flow_move(flows, flow, FLOW_TOLD, a->now_ms);
    return ENF_FLOWS_ENOUGH;
}

static unsigned server_answers(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    const struct enf_packet *packet = a->packet;
    bool exact = packet->acknowledgment == flow->isn + 1;
    if (!acknowledges(flow, packet))
        return 0;
    if (packet->tcp_flags & ENF_TCP_RST) {
        if (!exact && !(flow->flags & FLOW_SYN_DATA))
            return 0;
        enf_flow_tell(flow, ENF_OBSERVATION_FAILED, 1, &a->telling);
        return conclude(flows, flow, a);
    }
    if (!(packet->tcp_flags & ENF_TCP_SYN) || exact)
        return begin_reading(flows, flow, a);
    if (!(flow->flags & FLOW_SYN_DATA))
        return 0;
    /* The server took data out of the SYN (RFC 7413): said before any banner, and gone. */
    enf_flow_tell(flow, ENF_OBSERVATION_ANSWERED, 0, &a->telling);
    enf_flow_tell(flow, ENF_OBSERVATION_EARLY_TALK, 0, &a->telling);
    return conclude(flows, flow, a);
}

static unsigned client_goes_on(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    const struct enf_packet *packet = a->packet;
    if (packet->sequence - flow->isn > NEAR_BYTES)
        return 0;
    if (packet->tcp_flags & ENF_TCP_RST)
        return conclude(flows, flow, a);
    if (!(packet->tcp_flags & ENF_TCP_ACK))
        return 0;
    /* It has heard something that did not come by here. */
    flow->flags |= FLOW_HELD;
    if (packet->payload_len == 0 && !(packet->tcp_flags & ENF_TCP_FIN))
        return 0;
    return begin_reading(flows, flow, a);
}

static unsigned feed_waiting(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    const struct enf_packet *packet = a->packet;
    bool syn = packet->tcp_flags & ENF_TCP_SYN;
    if (a->direction == ENF_DIRECTION_SERVER)
        return server_answers(flows, flow, a);
    if (!syn)
        return client_goes_on(flows, flow, a);
    if (packet->tcp_flags & ENF_TCP_ACK)
        return 0;
    if (packet->sequence == flow->isn)
        return 0;
    /* The same ports again: what was asked before is answered by nobody. */
    if (!(flow->flags & FLOW_HELD))
        enf_flow_tell(flow, ENF_OBSERVATION_FAILED, 0, &a->telling);
    return begin(flows, flow, a);
}

static unsigned feed_read(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    const struct enf_packet *packet = a->packet;
    bool first = a->direction == ENF_DIRECTION_SERVER && !flow->reading->session.server.started;
    if (first && !(packet->tcp_flags & ENF_TCP_SYN) && !acknowledges(flow, packet))
        return 0;
    unsigned answer = read_packet(flows, flow, a);
    if (!(answer & ENF_SESSION_OTHER))
        return answer;
    end_reading(flows, flow, a->now_ms, &a->telling);
    if (a->direction == ENF_DIRECTION_CLIENT)
        return begin(flows, flow, a);
    /* Its SYN came in the middle of the old session, which waited for this answer. */
    enf_flow_move(flows, flow, FLOW_WAITING, a->now_ms);
    flow->isn = packet->acknowledgment - 1;
    flow->flags &= (uint8_t) ~(FLOW_HELD | FLOW_SYN_DATA);
    return server_answers(flows, flow, a);
}

static unsigned feed_told(struct enf_flows *flows, struct flow *flow, const struct arrival *a)
{
    if (enf_packet_is_connection(a->packet) && a->direction == ENF_DIRECTION_CLIENT &&
        (a->packet->sequence != flow->isn || flow->prefix_len == 0))
        return begin(flows, flow, a);
    enf_flow_move(flows, flow, FLOW_TOLD, a->now_ms);
    return ENF_FLOWS_ENOUGH;
}

/* A packet of a flow that is not known. */
static unsigned feed_unknown(struct enf_flows *flows, const struct arrival *a)
{
    if (a->direction == ENF_DIRECTION_CLIENT && enf_packet_is_connection(a->packet))
        return begin(flows, NULL, a);
    if (a->direction == ENF_DIRECTION_SERVER) {
        uint16_t code = a->context->unrequested ? enf_flows_reply_code(a->packet) : 0;
        if (code == 0)
            return ENF_FLOWS_ENOUGH;
        tell_plain(a, ENF_OBSERVATION_REPLY, code);
    }
    /* From the middle: who reads there can be misled by a message's text. Remembered, so that a server's
     * answer is not taken for one that nobody asked for, or is told once. */
    (void)enf_flow_add(flows, &a->key, a->hash, FLOW_TOLD, a->now_ms, 0);
    return ENF_FLOWS_ENOUGH;
}

static struct flow_key key_of(const struct enf_packet *packet, enum enf_direction direction)
{
    if (direction == ENF_DIRECTION_CLIENT)
        return (struct flow_key){packet->source, packet->destination, packet->source_port};
    return (struct flow_key){packet->destination, packet->source, packet->destination_port};
}

unsigned enf_flows_feed(struct enf_flows *flows, enum enf_packet_result result,
                        const struct enf_packet *packet, enum enf_direction direction,
                        const struct enf_flow_context *context, enf_flows_fn fn, void *ctx)
{
    bool syn = direction == ENF_DIRECTION_CLIENT && enf_packet_is_connection(packet);
    flows->stats.packets++;
    if (!enf_packet_is_smtp(packet) || (result != ENF_PACKET_OK && !syn))
        return 0;
    struct arrival a = {packet, direction, context, .telling = {fn, ctx, context->time_ms}};
    a.now_ms = advance(flows, context->time_ms);
    (void)run(flows, a.now_ms, FEED_WORK, fn, ctx);
    if (syn)
        tell_plain(&a, ENF_OBSERVATION_SYN, 0);
    if (syn && context->blocked)
        return ENF_FLOWS_ENOUGH;
    a.key = key_of(packet, direction);
    a.hash = enf_flow_hash(flows, &a.key);
    uint32_t id = enf_flow_find(flows, &a.key, a.hash);
    if (id == FLOW_NONE)
        return feed_unknown(flows, &a);
    struct flow *flow = &flows->flows[id];
    switch (flow_list_of(flow)) {
    case FLOW_TOLD:
        return feed_told(flows, flow, &a);
    case FLOW_WAITING:
        return feed_waiting(flows, flow, &a);
    case FLOW_HALF:
    case FLOW_READ:
        break;
    }
    return feed_read(flows, flow, &a);
}

enum enf_direction enf_flows_direction(const struct enf_flows *flows, const struct enf_packet *packet)
{
    if (packet->destination_port != ENF_SMTP_PORT)
        return ENF_DIRECTION_SERVER;
    if (packet->source_port != ENF_SMTP_PORT)
        return ENF_DIRECTION_CLIENT;
    if (packet->tcp_flags & ENF_TCP_SYN)
        return packet->tcp_flags & ENF_TCP_ACK ? ENF_DIRECTION_SERVER : ENF_DIRECTION_CLIENT;
    struct flow_key key = key_of(packet, ENF_DIRECTION_SERVER);
    return enf_flow_find(flows, &key, enf_flow_hash(flows, &key)) != FLOW_NONE ? ENF_DIRECTION_SERVER
                                                                               : ENF_DIRECTION_CLIENT;
}

/* The parts of a reader that each packet touches. */
static void fetch_reading(const struct reading *reading)
{
    const char *at = (const char *)reading;
    for (size_t i = 0; i < sizeof(reading->session.smtp.facts); i += 64)
        __builtin_prefetch(at + i, 1);
    for (size_t i = offsetof(struct reading, session.client); i < sizeof(*reading); i += 64)
        __builtin_prefetch(at + i, 1);
}

void enf_flows_prefetch(const struct enf_flows *flows, const struct enf_packet *const *packets,
                        const struct enf_prefix *const *subscribers, size_t len)
{
    uint32_t hashes[ENF_FLOWS_PREFETCH_MAX];
    if (len > ENF_FLOWS_PREFETCH_MAX)
        len = ENF_FLOWS_PREFETCH_MAX;
    for (size_t i = 0; i < len; i++) {
        struct flow_key key =
            key_of(packets[i], packets[i]->destination_port == ENF_SMTP_PORT ? ENF_DIRECTION_CLIENT
                                                                             : ENF_DIRECTION_SERVER);
        hashes[i] = enf_flow_hash(flows, &key);
        __builtin_prefetch(&flows->slots[hashes[i] & flows->slots_mask], 1);
        if (subscribers && (packets[i]->tcp_flags & ENF_TCP_SYN))
            enf_flow_prefetch_count(flows, subscribers[i]);
    }
    for (size_t i = 0; i < len; i++) {
        uint32_t id = flows->slots[hashes[i] & flows->slots_mask].id;
        if (id)
            __builtin_prefetch(&flows->flows[id - 1], 1);
    }
    for (size_t i = 0; i < len; i++) {
        uint32_t id = flows->slots[hashes[i] & flows->slots_mask].id;
        if (id && flow_list_of(&flows->flows[id - 1]) >= FLOW_HALF)
            fetch_reading(flows->flows[id - 1].reading);
    }
}

uint16_t enf_flows_reply_code(const struct enf_packet *packet)
{
    static const struct {
        char text[4];
        uint16_t code;
    } codes[] = {{"220", 220}, {"250", 250}, {"354", 354}};
    const uint8_t *bytes = packet->payload;
    if (packet->source_port != ENF_SMTP_PORT || !bytes || packet->payload_captured_len < 4 ||
        (bytes[3] != ' ' && bytes[3] != '-' && bytes[3] != '\r' && bytes[3] != '\n'))
        return 0;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (memcmp(bytes, codes[i].text, 3) == 0)
            return codes[i].code;
    return 0;
}
