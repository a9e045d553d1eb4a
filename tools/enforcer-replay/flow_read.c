/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of flow records: lines, counted and sorted by start. */
#include "enforcer/inspect/smtp.h"
#include "replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_LEN (256u << 10)

/* What the record says of the connection's answer, at the time of its start: nothing tells a better one. */
static int feed_outcome(struct replay *replay, struct enf_observation *obs, enum flow_outcome outcome)
{
    if (outcome == FLOW_OUTCOME_UNKNOWN)
        return 0;
    obs->kind = outcome == FLOW_OUTCOME_ANSWERED ? ENF_OBSERVATION_ANSWERED : ENF_OBSERVATION_FAILED;
    obs->value = outcome == FLOW_OUTCOME_REFUSED;
    int rc = replay_observe(replay, obs, outcome);
    return rc < 0 ? rc : 0;
}

static int feed_connection(struct replay *replay, struct enf_observation *obs, enum flow_outcome outcome)
{
    int rc = replay_observe(replay, obs, outcome);
    if (rc == 1)
        return feed_outcome(replay, obs, outcome);
    return rc < 0 ? rc : 0;
}

/* In the order in which a session tells them: a blocklist explains the refusal behind it. */
static int feed_session(struct replay *replay, const struct flow *flow, struct enf_observation *obs)
{
    const struct {
        uint8_t says;
        enum enf_observation_kind kind;
        uint64_t value;
    } kinds[] = {
        {FLOW_SAYS_HELO, ENF_OBSERVATION_HELO, flow->helo_hash},
        {FLOW_SAYS_RECIPIENTS, ENF_OBSERVATION_RECIPIENTS, flow->recipients},
        {FLOW_SAYS_BLOCKLISTED, ENF_OBSERVATION_BLOCKLISTED, 0},
        {FLOW_SAYS_ACCEPTED, ENF_OBSERVATION_ACCEPTED, 0},
        {FLOW_SAYS_REFUSED, ENF_OBSERVATION_REFUSED, 0},
        {FLOW_SAYS_DEFERRED, ENF_OBSERVATION_DEFERRED, 0},
        {FLOW_SAYS_QUIT, ENF_OBSERVATION_END, 1},
    };
    int rc = 0;
    /* A log of sessions alone: the session proves its connection. */
    if (flow_joins_is_new(&replay->joins, flow->session)) {
        replay->port25_packets++;
        replay->port25_syns++;
        rc = feed_connection(replay, obs, flow->outcome);
    }
    uint8_t says = flow_joins_untold(&replay->joins, flow->session, flow->says);
    obs->sequence = 0;
    for (size_t i = 0; rc >= 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!(says & kinds[i].says))
            continue;
        obs->kind = kinds[i].kind;
        obs->value = kinds[i].value;
        obs->helo_form = kinds[i].kind == ENF_OBSERVATION_HELO ? flow->helo_form : ENF_HELO_NONE;
        rc = replay_observe(replay, obs, FLOW_OUTCOME_UNKNOWN);
    }
    return rc < 0 ? rc : 0;
}

static int feed(struct replay *replay, const struct flow *flow)
{
    struct enf_observation obs = {
        .kind = ENF_OBSERVATION_SYN,
        .time_ms = flow->start_ms,
        .source = flow->source,
        .destination = flow->destination,
        .source_port = flow->source_port,
        .destination_port = flow->destination_port,
        .sequence = flow->sequence,
    };
    /* Displaced so far that the window could not help: the detector will start the subscriber's windows anew.
     */
    if (flow->start_ms + ENF_DISORDER_MS < replay->last_flow_ms)
        replay->late++;
    else if (flow->start_ms > replay->last_flow_ms)
        replay->last_flow_ms = flow->start_ms;
    return flow->of_session ? feed_session(replay, flow, &obs) : feed_connection(replay, &obs, flow->outcome);
}

int flow_finish(struct replay *replay)
{
    struct flow flow;
    int rc = 0;
    while (rc == 0 && flow_window_pop(&replay->window, &flow))
        rc = feed(replay, &flow);
    replay->last_flow_ms = 0;
    flow_window_clear(&replay->window);
    return rc;
}

/* Lines of a stream. What is longer than FLOW_LINE_MAX is skipped up to its end. */
struct lines {
    char *buffer; /* FLOW_LINE_MAX + CHUNK_LEN */
    size_t len;
    uint64_t number;
    uint64_t bad;
    uint64_t first_bad;
    bool skipping;
};

static void note_bad(struct replay *replay, struct lines *lines)
{
    replay->undecodable++;
    if (lines->bad++ == 0)
        lines->first_bad = lines->number;
}

static int read_line(struct replay *replay, struct flow_parser *parser, struct lines *lines, const char *line,
                     size_t len)
{
    struct flow flow = {0};
    struct flow earliest;
    int rc = 0;
    switch (flow_parse(parser, line, len, &flow)) {
    case FLOW_NOT_A_RECORD:
        return 0;
    case FLOW_OTHER:
        replay->records++;
        return 0;
    case FLOW_SMTP:
        replay->records++;
        replay->port25_packets++;
        return flow_joins_note(&replay->joins, flow.session);
    case FLOW_BAD:
        note_bad(replay, lines);
        return 0;
    case FLOW_CONNECTION:
        replay->port25_packets++;
        replay->port25_syns++;
        rc = flow_joins_note(&replay->joins, flow.session);
        break;
    case FLOW_SESSION:
        break;
    }
    replay->records++;
    if (rc != 0)
        return rc;
    rc = flow_window_push(&replay->window, &flow, &earliest);
    return rc == 1 ? feed(replay, &earliest) : rc;
}

/* Hands on the whole lines of the buffer and keeps the rest. */
static int take_lines(struct replay *replay, struct flow_parser *parser, struct lines *lines, bool at_end)
{
    char *start = lines->buffer;
    char *end = lines->buffer + lines->len;
    int rc = 0;
    while (rc == 0 && start < end) {
        char *newline = memchr(start, '\n', (size_t)(end - start));
        if (!newline && !at_end)
            break;
        size_t len = (size_t)((newline ? newline : end) - start);
        if (!lines->skipping) {
            lines->number++;
            rc = read_line(replay, parser, lines, start, len);
        }
        lines->skipping = false;
        start += newline ? len + 1 : len;
    }
    lines->len = (size_t)(end - start);
    if (lines->len > FLOW_LINE_MAX && !lines->skipping) {
        lines->skipping = true;
        lines->number++;
        note_bad(replay, lines);
    }
    if (lines->skipping)
        lines->len = 0;
    memmove(lines->buffer, start, lines->len);
    return rc;
}

bool flow_read(struct replay *replay, enum flow_format format, FILE *stream, char *error, size_t error_len)
{
    struct flow_parser parser = flow_parser_make(format, replay->seed);
    struct lines lines = {.buffer = malloc(FLOW_LINE_MAX + CHUNK_LEN)};
    uint64_t records_before = replay->records;
    bool at_end = false;
    int rc = lines.buffer ? 0 : -ENOMEM;
    while (rc == 0 && !at_end) {
        size_t n = fread(lines.buffer + lines.len, 1, CHUNK_LEN, stream);
        at_end = n == 0;
        lines.len += n;
        rc = take_lines(replay, &parser, &lines, at_end);
    }
    bool failed = ferror(stream) != 0;
    free(lines.buffer);
    (void)fclose(stream);
    if (rc != 0)
        (void)snprintf(error, error_len, "%s", strerror(-rc));
    else if (format != FLOW_FORMAT_EVE && !parser.ever_usable && replay->records > records_before)
        (void)snprintf(error, error_len,
                       "no header names the fields of a connection (time, addresses, ports, protocol)");
    else if (lines.bad > 0)
        (void)snprintf(error, error_len, "%" PRIu64 " %s not decoded, the first is line %" PRIu64, lines.bad,
                       lines.bad == 1 ? "line was" : "lines were", lines.first_bad);
    else
        return !failed;
    return false;
}
