/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes lines out of the bytes of both directions and gives them to those who understand them. */
#include "enforcer/inspect/smtp.h"

#include "enforcer/inspect/smtp_private.h"

#include <string.h>

#define TLS_START_LEN 3 /* bytes that tell a TLS record from anything else */

void enf_smtp_init(struct enf_smtp *smtp, uint64_t seed, bool synchronised)
{
    memset(smtp, 0, sizeof(*smtp)); /* holes too: facts are compared as memory */
    smtp->seed = seed;
    if (synchronised) {
        smtp->client_state = ENF_CLIENT_COMMAND;
        smtp->client_first = true;
        enf_queue_push(smtp, ENF_VERB_GREETING, 0);
        return;
    }
    smtp->facts.unsynchronised = true;
    smtp->client_state = ENF_CLIENT_SEEK;
    smtp->client_partial = true;
    smtp->server_partial = true;
}

/* Adds to a line what fits; the CR that ends it has a place of its own. */
static void append(char *line, uint16_t *line_len, bool *too_long, const uint8_t *bytes, size_t len)
{
    size_t room = ENF_SMTP_LINE_MAX + 1U - *line_len;
    size_t fits = len < room ? len : room;
    memcpy(line + *line_len, bytes, fits);
    *line_len = (uint16_t)(*line_len + fits);
    if (fits < len)
        *too_long = true;
}

/* Takes the CR off a line. True where the line is too long. */
static bool strip(const char *line, uint16_t *line_len, bool too_long)
{
    if (!too_long && *line_len && line[*line_len - 1] == '\r')
        (*line_len)--;
    if (*line_len <= ENF_SMTP_LINE_MAX)
        return too_long;
    *line_len = ENF_SMTP_LINE_MAX;
    return true;
}

/* What a line held, and the CR that strip took off. */
static void wipe(char *line, size_t len)
{
    explicit_bzero(line, len + 1);
}

static void dispatch_client_line(struct enf_smtp *smtp)
{
    if (smtp->client_partial) {
        smtp->client_partial = false;
        return;
    }
    switch ((enum enf_client_state)smtp->client_state) {
    case ENF_CLIENT_COMMAND:
        if (smtp->client_long)
            enf_count16(&smtp->facts.long_lines);
        if (!smtp->client_cr)
            enf_count16(&smtp->facts.bare_lf);
        enf_command_line(smtp);
        break;
    case ENF_CLIENT_CREDENTIAL:
        smtp->client_state = ENF_CLIENT_WAIT;
        smtp->wait_verb = ENF_VERB_AUTH;
        enf_queue_push(smtp, ENF_VERB_AUTH, ENF_AWAITED_ANSWER);
        break;
    case ENF_CLIENT_MAYBE_BODY:
    case ENF_CLIENT_MAYBE_CREDENTIAL:
        enf_command_guess(smtp);
        break;
    case ENF_CLIENT_SEEK:
        enf_command_seek(smtp);
        break;
    case ENF_CLIENT_WAIT:
    case ENF_CLIENT_BODY:
    case ENF_CLIENT_CHUNK:
    case ENF_CLIENT_STOPPED:
        break;
    }
}

static void end_client_line(struct enf_smtp *smtp)
{
    smtp->client_long = strip(smtp->client_line, &smtp->client_len, smtp->client_long);
    dispatch_client_line(smtp);
    wipe(smtp->client_line, smtp->client_len);
    smtp->client_len = 0;
    smtp->client_long = false;
    smtp->client_begun = false;
    smtp->client_cr = false;
}

/* Takes bytes up to the end of a line at most. */
static size_t take_client_line(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t ack,
                               bool has_ack)
{
    if (enf_queue_full(smtp))
        return 0;
    if (!smtp->client_begun) {
        smtp->client_begun = true;
        smtp->line_ack = has_ack ? ack : 0;
        smtp->line_has_ack = has_ack;
    }
    const uint8_t *lf = memchr(bytes, '\n', len);
    size_t text_len = lf ? (size_t)(lf - bytes) : len;
    bool watch = smtp->client_first && smtp->client_len < TLS_START_LEN;
    if (smtp->client_state != ENF_CLIENT_CREDENTIAL && !smtp->client_partial)
        append(smtp->client_line, &smtp->client_len, &smtp->client_long, bytes, text_len);
    if (text_len)
        smtp->client_cr = bytes[text_len - 1] == '\r';
    if (watch && text_len && enf_command_foreign(smtp))
        return text_len;
    if (!lf)
        return text_len;
    end_client_line(smtp);
    return text_len + 1;
}

size_t enf_smtp_client_step(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t ack,
                            bool has_ack)
{
    switch ((enum enf_client_state)smtp->client_state) {
    case ENF_CLIENT_WAIT:
        return 0;
    case ENF_CLIENT_STOPPED:
        return len;
    case ENF_CLIENT_CHUNK:
        return enf_body_skip_chunk(smtp, len);
    case ENF_CLIENT_BODY: {
        size_t taken = enf_body_skip(smtp, bytes, len, ack, has_ack);
        if (taken == 0 && smtp->client_state == ENF_CLIENT_COMMAND)
            return take_client_line(smtp, bytes, len, ack, has_ack);
        return taken;
    }
    case ENF_CLIENT_SEEK:
    case ENF_CLIENT_COMMAND:
    case ENF_CLIENT_CREDENTIAL:
    case ENF_CLIENT_MAYBE_BODY:
    case ENF_CLIENT_MAYBE_CREDENTIAL:
        break;
    }
    return take_client_line(smtp, bytes, len, ack, has_ack);
}

size_t enf_smtp_client(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t ack, bool has_ack)
{
    size_t taken = 0;
    while (taken < len) {
        size_t step = enf_smtp_client_step(smtp, bytes + taken, len - taken, ack, has_ack);
        if (step == 0)
            break;
        taken += step;
    }
    return taken;
}

static void end_server_line(struct enf_smtp *smtp, uint32_t sequence)
{
    smtp->server_long = strip(smtp->server_line, &smtp->server_len, smtp->server_long);
    if (smtp->server_partial)
        smtp->server_partial = false;
    else if (smtp->client_state != ENF_CLIENT_SEEK) {
        if (smtp->server_long)
            enf_count16(&smtp->facts.long_replies);
        enf_reply_line(smtp, sequence);
    }
    wipe(smtp->server_line, smtp->server_len);
    smtp->server_len = 0;
    smtp->server_long = false;
}

/* A greeting begins with a digit: what does not is no SMTP, and need not be waited for to the end of its
 * line. */
static bool foreign_server(struct enf_smtp *smtp, uint8_t byte)
{
    bool greeting = smtp->queue_len && enf_queue_head(smtp)->verb == ENF_VERB_GREETING;
    if (!greeting || smtp->reply_code || smtp->server_len || (byte >= '0' && byte <= '9'))
        return false;
    enf_smtp_server_gone(smtp, ENF_SMTP_END_NOT_SMTP);
    return true;
}

/* Takes bytes up to the end of a line at most. sequence: of bytes[0]. */
static size_t take_server_line(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t sequence)
{
    bool seeking = smtp->client_state == ENF_CLIENT_SEEK;
    if (smtp->facts.server_end != ENF_SMTP_END_NONE || (smtp->client_done && smtp->queue_len == 0))
        return len;
    if (smtp->queue_len == 0 && !smtp->flushing && !seeking)
        return 0;
    if (foreign_server(smtp, bytes[0]))
        return len;
    const uint8_t *lf = memchr(bytes, '\n', len);
    size_t text_len = lf ? (size_t)(lf - bytes) : len;
    append(smtp->server_line, &smtp->server_len, &smtp->server_long, bytes, text_len);
    if (!lf)
        return len;
    end_server_line(smtp, sequence + (uint32_t)text_len + 1);
    return text_len + 1;
}

size_t enf_smtp_server(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t sequence)
{
    size_t taken = 0;
    while (taken < len) {
        size_t step = take_server_line(smtp, bytes + taken, len - taken, sequence + (uint32_t)taken);
        if (step == 0)
            break;
        taken += step;
    }
    return taken;
}

void enf_smtp_client_gone(struct enf_smtp *smtp, enum enf_smtp_end why)
{
    if (smtp->client_state == ENF_CLIENT_STOPPED)
        return;
    if (why != ENF_SMTP_END_FIN && why != ENF_SMTP_END_MISSING) {
        enf_command_stop(smtp, why);
        return;
    }
    if (smtp->client_state == ENF_CLIENT_WAIT && !smtp->flushing) {
        smtp->client_fin = true;
        return;
    }
    smtp->client_fin = false;
    /* Everything it said is known: what the server says beyond is an answer to nothing. */
    enf_smtp_flush(smtp);
    smtp->client_state = ENF_CLIENT_STOPPED;
    smtp->facts.client_end = (uint8_t)why;
}

void enf_smtp_server_gone(struct enf_smtp *smtp, enum enf_smtp_end why)
{
    if (smtp->facts.server_end == ENF_SMTP_END_NONE)
        smtp->facts.server_end = (uint8_t)why;
    if (smtp->server_gone)
        return;
    smtp->server_gone = true;
    smtp->queue_len = 0;
    enf_reply_assume(smtp);
}

void enf_smtp_flush(struct enf_smtp *smtp)
{
    if (enf_body_maybe_ended(smtp))
        enf_body_end(smtp);
    smtp->flushing = true;
    if (smtp->client_fin)
        enf_smtp_client_gone(smtp, ENF_SMTP_END_FIN);
}

enum enf_helo_form enf_smtp_helo(const char *name, size_t len, uint64_t seed, uint64_t *out_hash)
{
    bool fits = len <= ENF_SMTP_LINE_MAX;
    *out_hash = len ? enf_name_hash(name, fits ? len : ENF_SMTP_LINE_MAX, seed) : 0;
    return fits ? enf_name_helo_form(name, len) : ENF_HELO_GARBAGE;
}

bool enf_smtp_names_blocklist(uint16_t code, const char *line, size_t len)
{
    return enf_blocklist_look(code, line, len < ENF_SMTP_LINE_MAX ? len : ENF_SMTP_LINE_MAX) ==
           ENF_BLOCKLIST_BOTH;
}

bool enf_smtp_finished(const struct enf_smtp *smtp)
{
    const struct enf_smtp_facts *facts = &smtp->facts;
    if (smtp->client_done)
        return smtp->queue_len == 0 || facts->server_end != ENF_SMTP_END_NONE;
    return facts->client_end != ENF_SMTP_END_NONE && facts->server_end != ENF_SMTP_END_NONE;
}
