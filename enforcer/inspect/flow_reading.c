/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts of a session into observations, each told once. */
#include "enforcer/inspect/flow_table.h"

#include <string.h>

/* What a watch needs while a packet is read. */
struct watching {
    struct flow *flow;
    const struct telling *telling;
};

static struct enf_observation observation(const struct flow *flow, const struct telling *telling)
{
    bool read = flow_list_of(flow) >= FLOW_HALF;
    struct enf_observation obs = {
        .time_ms = telling->time_ms,
        .subscriber = enf_flow_subscriber(flow),
        .source_port = flow->client_port,
        .destination_port = ENF_SMTP_PORT,
        .sequence = read ? flow->reading->session.client_isn : flow->isn,
        .ifindex = read ? flow->reading->ifindex : flow->ifindex,
        .forgeable = flow->flags & FLOW_FORGEABLE,
    };
    obs.source.family = obs.destination.family = obs.subscriber.addr.family;
    memcpy(obs.source.bytes, flow->client, sizeof(obs.source.bytes));
    memcpy(obs.destination.bytes, flow->server, sizeof(obs.destination.bytes));
    return obs;
}

void enf_flow_tell(const struct flow *flow, enum enf_observation_kind kind, uint64_t value,
                   const struct telling *telling)
{
    struct enf_observation obs = observation(flow, telling);
    obs.kind = kind;
    obs.value = value;
    telling->fn(telling->ctx, &obs);
}

static void tell_once(const struct watching *w, uint16_t bit, bool is_so, enum enf_observation_kind kind,
                      uint64_t value)
{
    struct reading *reading = w->flow->reading;
    if (!is_so || (reading->told & bit))
        return;
    reading->told |= bit;
    enf_flow_tell(w->flow, kind, value, w->telling);
}

static void tell_helo(const struct watching *w, const struct enf_smtp_facts *facts)
{
    struct reading *reading = w->flow->reading;
    if (facts->helo_form == ENF_HELO_NONE || (reading->helo_told && reading->helo_hash == facts->helo_hash))
        return;
    reading->helo_told = true;
    reading->helo_hash = facts->helo_hash;
    struct enf_observation obs = observation(w->flow, w->telling);
    obs.kind = ENF_OBSERVATION_HELO;
    obs.value = facts->helo_hash;
    obs.helo_form = facts->helo_form;
    w->telling->fn(w->telling->ctx, &obs);
}

static bool deferred(const struct enf_smtp_facts *facts)
{
    return facts->replies[ENF_SMTP_STAGE_MAIL][ENF_SMTP_CLASS_4] ||
           facts->replies[ENF_SMTP_STAGE_RCPT][ENF_SMTP_CLASS_4] ||
           facts->replies[ENF_SMTP_STAGE_DATA][ENF_SMTP_CLASS_4] ||
           facts->replies[ENF_SMTP_STAGE_END_OF_DATA][ENF_SMTP_CLASS_4];
}

/* How the SYN was answered; always the first that is told of a session. */
static void tell_answer(const struct watching *w, const struct enf_smtp_facts *facts)
{
    const struct enf_session *session = &w->flow->reading->session;
    if (w->flow->reading->told & (TOLD_ANSWERED | TOLD_FAILED))
        return;
    tell_once(w, TOLD_ANSWERED, session->answered || session->server.started, ENF_OBSERVATION_ANSWERED, 0);
    if (!session->answered && !session->server.started)
        tell_once(w, TOLD_FAILED, facts->reset_server, ENF_OBSERVATION_FAILED, 1);
}

/* What holds by the facts, as bits of what may be told. Looked at for each line: it must be cheap. */
static unsigned holds(const struct enf_smtp_facts *facts)
{
    const uint16_t *rcpt = facts->replies[ENF_SMTP_STAGE_RCPT];
    return (facts->early_talk ? TOLD_EARLY_TALK : 0U) |
           (facts->rcpt_max >= ENF_MANY_RECIPIENTS ? TOLD_RECIPIENTS : 0U) |
           (rcpt[ENF_SMTP_CLASS_2] ? TOLD_ACCEPTED : 0U) | (rcpt[ENF_SMTP_CLASS_5] ? TOLD_REFUSED : 0U) |
           (deferred(facts) ? TOLD_DEFERRED : 0U) | (facts->refused_listed ? TOLD_BLOCKLISTED : 0U) |
           (facts->protocol > ENF_SMTP_PROTOCOL_SMTP ? TOLD_NOT_SMTP : 0U) | (facts->quit ? TOLD_END : 0U);
}

static void watch(void *ctx, const struct enf_smtp_facts *facts)
{
    const struct watching *w = ctx;
    unsigned now = holds(facts);
    tell_answer(w, facts);
    if (facts->early_talk)
        tell_once(w, TOLD_EARLY_TALK, true, ENF_OBSERVATION_EARLY_TALK, 0);
    tell_helo(w, facts);
    if (!(now & ~w->flow->reading->told))
        return;
    tell_once(w, TOLD_RECIPIENTS, now & TOLD_RECIPIENTS, ENF_OBSERVATION_RECIPIENTS, facts->rcpt_max);
    /* Before what it explains. */
    tell_once(w, TOLD_BLOCKLISTED, now & TOLD_BLOCKLISTED, ENF_OBSERVATION_BLOCKLISTED, 0);
    tell_once(w, TOLD_ACCEPTED, now & TOLD_ACCEPTED, ENF_OBSERVATION_ACCEPTED, 0);
    tell_once(w, TOLD_REFUSED, now & TOLD_REFUSED, ENF_OBSERVATION_REFUSED, 0);
    tell_once(w, TOLD_DEFERRED, now & TOLD_DEFERRED, ENF_OBSERVATION_DEFERRED, 0);
    tell_once(w, TOLD_NOT_SMTP, now & TOLD_NOT_SMTP, ENF_OBSERVATION_NOT_SMTP, facts->protocol);
    tell_once(w, TOLD_END, now & TOLD_END, ENF_OBSERVATION_END, 1);
}

/* Without QUIT an end is told only where the whole dialogue was read up to it, so that no QUIT was missed:
 * what the client said, and what it had heard when it left. Whom the server left first did not leave. */
static void tell_end(const struct watching *w, const struct enf_packet *packet, enum enf_direction direction)
{
    struct reading *reading = w->flow->reading;
    const struct enf_session *session = &reading->session;
    const struct enf_smtp_facts *facts = &session->smtp.facts;
    bool server_read = session->answered &&
                       (session->server.end == ENF_STREAM_OPEN || session->server.end == ENF_STREAM_FIN) &&
                       (facts->server_end == ENF_SMTP_END_NONE || facts->server_end == ENF_SMTP_END_FIN);
    if ((reading->told & TOLD_END) || facts->protocol != ENF_SMTP_PROTOCOL_SMTP || facts->tls_accepted ||
        facts->unsynchronised || !server_read)
        return;
    const struct enf_stream *server = &session->server;
    bool left = false;
    if (facts->client_end == ENF_SMTP_END_FIN && reading->fin_known) {
        bool server_first = server->fin_seen && reading->fin_ack - server->fin == 1;
        left = !server_first && server->next - reading->fin_ack <= INT32_MAX;
    } else if (facts->client_end == ENF_SMTP_END_NONE && packet && direction == ENF_DIRECTION_CLIENT &&
               (packet->tcp_flags & ENF_TCP_RST) && facts->reset_client) {
        left = !server->fin_seen && !facts->reset_server && packet->sequence == session->client.next &&
               enf_stream_waiting(&session->client) == 0;
    }
    tell_once(w, TOLD_END, left, ENF_OBSERVATION_END, 0);
}

unsigned enf_flow_reading_feed(struct flow *flow, const struct enf_packet *packet,
                               enum enf_direction direction, const struct telling *telling)
{
    struct reading *reading = flow->reading;
    struct enf_session *session = &reading->session;
    struct watching w = {flow, telling};
    session->watch = watch;
    session->watch_ctx = &w;
    unsigned answer = enf_session_feed(session, packet, direction, telling->time_ms);
    session->watch = NULL;
    session->watch_ctx = NULL;
    if (answer & ENF_SESSION_OTHER)
        return answer;
    const struct enf_smtp_facts *facts = &session->smtp.facts;
    if (!reading->fin_known && direction == ENF_DIRECTION_CLIENT && facts->fin_client &&
        (packet->tcp_flags & ENF_TCP_FIN)) {
        reading->fin_known = true;
        reading->fin_ack = packet->acknowledgment;
    }
    if (answer & ENF_SESSION_CHANGED || !(reading->told & (TOLD_ANSWERED | TOLD_FAILED)))
        watch(&w, facts);
    tell_end(&w, packet, direction);
    return answer;
}

void enf_flow_reading_end(struct flow *flow, const struct telling *telling)
{
    struct reading *reading = flow->reading;
    struct watching w = {flow, telling};
    reading->session.watch = watch;
    reading->session.watch_ctx = &w;
    (void)enf_session_end(&reading->session);
    reading->session.watch = NULL;
    reading->session.watch_ctx = NULL;
    watch(&w, &reading->session.smtp.facts);
    tell_end(&w, NULL, ENF_DIRECTION_CLIENT);
}
