/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets into streams, streams into the reader. */
#include "enforcer/inspect/session.h"

#include <string.h>

void enf_session_init(struct enf_session *session, const struct enf_session_params *params)
{
    memset(session, 0, sizeof(*session));
    enf_smtp_init(&session->smtp, params->seed, true);
    enf_stream_init(&session->client, params->memory, params->client_budget);
    enf_stream_init(&session->server, params->memory, params->server_budget);
}

void enf_session_clear(struct enf_session *session)
{
    session->ended = true;
    enf_stream_clear(&session->client);
    enf_stream_clear(&session->server);
}

static enum enf_smtp_end end_of(const struct enf_stream *stream)
{
    switch ((enum enf_stream_end)stream->end) {
    case ENF_STREAM_OPEN:
        return ENF_SMTP_END_NONE;
    case ENF_STREAM_FIN:
        return ENF_SMTP_END_FIN;
    case ENF_STREAM_BUDGET:
        return ENF_SMTP_END_BUDGET;
    case ENF_STREAM_GAP:
        return ENF_SMTP_END_GAP;
    case ENF_STREAM_FULL:
        return ENF_SMTP_END_FULL;
    case ENF_STREAM_CUT:
        return ENF_SMTP_END_CUT;
    case ENF_STREAM_MEMORY:
        return ENF_SMTP_END_MEMORY;
    }
    return ENF_SMTP_END_NONE;
}

static void show(struct enf_session *session)
{
    if (session->watch)
        session->watch(session->watch_ctx, &session->smtp.facts);
}

/* Reads what one direction has; true where something was taken. */
static bool pump_client(struct enf_session *session)
{
    struct enf_stream_segment segment;
    bool any = false;
    size_t len;
    while ((len = enf_stream_peek(&session->client, &segment)) > 0) {
        size_t taken = enf_smtp_client_step(&session->smtp, segment.bytes, len, segment.ack, segment.has_ack);
        if (taken == 0)
            break;
        enf_stream_take(&session->client, taken);
        show(session);
        any = true;
    }
    if (session->client.end != ENF_STREAM_OPEN && session->smtp.facts.client_end == ENF_SMTP_END_NONE)
        enf_smtp_client_gone(&session->smtp, end_of(&session->client));
    return any;
}

static bool pump_server(struct enf_session *session)
{
    struct enf_stream_segment segment;
    bool any = false;
    size_t len;
    while ((len = enf_stream_peek(&session->server, &segment)) > 0) {
        size_t taken = enf_smtp_server(&session->smtp, segment.bytes, len, segment.sequence);
        enf_stream_take(&session->server, taken);
        any = any || taken > 0;
        show(session);
        if (taken < len)
            break;
    }
    if (session->server.end != ENF_STREAM_OPEN && session->smtp.facts.server_end == ENF_SMTP_END_NONE)
        enf_smtp_server_gone(&session->smtp, end_of(&session->server));
    return any;
}

/* Each direction may let the other one go on. Ends: every turn takes bytes. */
static void pump(struct enf_session *session)
{
    bool more;
    do {
        more = pump_client(session);
        more = pump_server(session) || more;
    } while (more);
}

/* The first packet says where reading begins. */
static void begin(struct enf_session *session, const struct enf_packet *packet, enum enf_direction direction)
{
    bool syn = packet->tcp_flags & ENF_TCP_SYN;
    bool ack = packet->tcp_flags & ENF_TCP_ACK;
    session->begun = true;
    if (syn && direction == ENF_DIRECTION_CLIENT && !ack) {
        session->client_isn = packet->sequence;
        enf_stream_start(&session->client, packet->sequence + 1, true);
    } else if (syn && direction == ENF_DIRECTION_SERVER && ack) {
        session->client_isn = packet->acknowledgment - 1;
        enf_stream_start(&session->client, packet->acknowledgment, true);
    } else {
        uint64_t seed = session->smtp.seed;
        enf_smtp_init(&session->smtp, seed, false);
    }
}

/* True for a SYN-ACK that answers the SYN of this connection; it may acknowledge data that came with it. */
static bool answers_syn(const struct enf_session *session, const struct enf_packet *packet)
{
    uint32_t more = packet->acknowledgment - (session->client_isn + 1);
    uint32_t sent = session->client.next - (session->client_isn + 1);
    return more == 0 || (!session->answered && more <= sent);
}

/* A SYN where a connection is known already: its retransmission, or the ports are used again. A lone SYN
 * proves nothing as long as the old connection lives, anybody can send one in the middle of it: it waits for
 * the server's answer. */
static bool is_other(struct enf_session *session, const struct enf_packet *packet,
                     enum enf_direction direction)
{
    const struct enf_smtp_facts *facts = &session->smtp.facts;
    /* A client's RST proves nothing either: it may die on its way to the server. */
    bool over = facts->reset_server || (facts->fin_client && facts->fin_server);
    bool from_client = direction == ENF_DIRECTION_CLIENT;
    bool ack = packet->tcp_flags & ENF_TCP_ACK;
    if (!(packet->tcp_flags & ENF_TCP_SYN) || from_client == ack)
        return false;
    if (from_client) {
        if (session->client.synchronised && packet->sequence == session->client_isn)
            return false;
        /* Its first SYN was not answered: the later one is as good. */
        if (over || (session->client.synchronised && !session->answered && !session->server.started))
            return true;
        session->candidate = packet->sequence;
        session->has_candidate = true;
        return false;
    }
    if (session->client.synchronised && answers_syn(session, packet))
        return false;
    return over || (session->has_candidate && packet->acknowledgment == session->candidate + 1);
}

static void note_reset(struct enf_session *session, const struct enf_packet *packet,
                       enum enf_direction direction)
{
    if (!(packet->tcp_flags & ENF_TCP_RST))
        return;
    struct enf_smtp_facts *facts = &session->smtp.facts;
    if (direction == ENF_DIRECTION_CLIENT) {
        if (enf_stream_plausible(&session->client, packet->sequence))
            facts->reset_client = true;
        return;
    }
    /* A refusal has no sequence of its own, but acknowledges the SYN. */
    bool refusal = !session->server.started && (packet->tcp_flags & ENF_TCP_ACK) &&
                   packet->acknowledgment == session->client_isn + 1;
    if (refusal || enf_stream_plausible(&session->server, packet->sequence))
        facts->reset_server = true;
}

/* Starts the stream of a direction at its first packet. */
static void start(struct enf_session *session, const struct enf_packet *packet, enum enf_direction direction)
{
    struct enf_stream *stream = direction == ENF_DIRECTION_CLIENT ? &session->client : &session->server;
    bool syn = packet->tcp_flags & ENF_TCP_SYN;
    if (direction == ENF_DIRECTION_SERVER && syn)
        session->answered = true;
    if (stream->started || (packet->tcp_flags & ENF_TCP_RST))
        return;
    enf_stream_start(stream, packet->sequence + (syn ? 1 : 0), syn);
    /* One direction from its start and the other from the middle: who answers what is not known. */
    if (!syn && !session->smtp.facts.unsynchronised)
        enf_smtp_server_gone(&session->smtp, ENF_SMTP_END_MISSING);
}

/* What cannot be kept ends the reading of its direction; but where the other direction was never seen, it is
 * read alone. */
static void settle(struct enf_session *session, struct enf_stream *stream)
{
    while (!enf_stream_settle(stream)) {
        bool client = stream == &session->client;
        if (client && !session->server.started && session->smtp.facts.server_end == ENF_SMTP_END_NONE)
            enf_smtp_server_gone(&session->smtp, ENF_SMTP_END_MISSING);
        else if (!pump_client(session) && !pump_server(session))
            enf_stream_stop(stream, enf_stream_why(stream));
        pump(session);
    }
}

static void read_data(struct enf_session *session, const struct enf_packet *packet,
                      enum enf_direction direction)
{
    struct enf_stream *stream = direction == ENF_DIRECTION_CLIENT ? &session->client : &session->server;
    bool syn = packet->tcp_flags & ENF_TCP_SYN;
    struct enf_stream_segment segment = {
        .sequence = packet->sequence + (syn ? 1 : 0),
        .ack = packet->acknowledgment,
        .has_ack = packet->tcp_flags & ENF_TCP_ACK,
        .bytes = packet->payload,
        .captured_len = packet->payload_captured_len,
        .len = packet->payload_len,
    };
    /* Servers throw away a SYN with a FIN. */
    enf_stream_offer(stream, &segment, (packet->tcp_flags & ENF_TCP_FIN) && !syn);
    pump(session);
    settle(session, stream);
    pump(session);
}

/* True for what belongs to no side of this connection, and is not read. */
static bool is_stray(const struct enf_session *session, const struct enf_packet *packet,
                     enum enf_direction direction)
{
    bool syn = packet->tcp_flags & ENF_TCP_SYN;
    /* No receiver takes data without an acknowledgment, but in a SYN. */
    if (!(packet->tcp_flags & (ENF_TCP_SYN | ENF_TCP_ACK | ENF_TCP_RST)))
        return true;
    if (!syn || !session->begun)
        return false;
    if (!session->client.synchronised)
        return true;
    if (direction == ENF_DIRECTION_CLIENT)
        return packet->sequence != session->client_isn;
    return !answers_syn(session, packet);
}

static void take_packet(struct enf_session *session, const struct enf_packet *packet,
                        enum enf_direction direction)
{
    const struct enf_stream *stream = direction == ENF_DIRECTION_CLIENT ? &session->client : &session->server;
    if (!session->begun)
        begin(session, packet, direction);
    note_reset(session, packet, direction);
    start(session, packet, direction);
    if (stream->started && !(packet->tcp_flags & ENF_TCP_RST))
        read_data(session, packet, direction);
    session->smtp.facts.fin_client = session->client.fin_seen;
    session->smtp.facts.fin_server = session->server.fin_seen;
}

unsigned enf_session_feed(struct enf_session *session, const struct enf_packet *packet,
                          enum enf_direction direction, uint64_t now_ms)
{
    const struct enf_smtp_facts *facts = &session->smtp.facts;
    if (session->ended)
        return ENF_SESSION_FINISHED;
    if (session->begun && is_other(session, packet, direction))
        return ENF_SESSION_OTHER;
    if (!session->begun)
        session->first_ms = now_ms;
    session->last_ms = now_ms;
    struct enf_smtp_facts before = *facts;
    if (!is_stray(session, packet, direction))
        take_packet(session, packet, direction);

    bool over = facts->reset_client || facts->reset_server ||
                (session->client.end == ENF_STREAM_FIN && session->server.end == ENF_STREAM_FIN);
    unsigned answer = enf_smtp_facts_equal(&before, facts) ? 0 : ENF_SESSION_CHANGED;
    if (over || enf_smtp_finished(&session->smtp))
        answer |= ENF_SESSION_FINISHED;
    return answer;
}

bool enf_session_end(struct enf_session *session)
{
    struct enf_smtp_facts before = session->smtp.facts;
    if (session->begun && !session->ended) {
        if (!session->server.started)
            enf_smtp_server_gone(&session->smtp, ENF_SMTP_END_MISSING);
        pump(session);
        if (!session->client.started)
            enf_smtp_client_gone(&session->smtp, ENF_SMTP_END_MISSING);
        enf_smtp_flush(&session->smtp);
        pump(session);
    }
    enf_session_clear(session);
    return !enf_smtp_facts_equal(&before, &session->smtp.facts);
}
