/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps over messages without keeping a byte of them. */
#include "enforcer/inspect/smtp_private.h"

#include <string.h>

void enf_body_begin(struct enf_smtp *smtp, bool answered)
{
    smtp->client_state = ENF_CLIENT_BODY;
    smtp->body_state = ENF_BODY_AFTER_CRLF;
    smtp->body_first = true;
    smtp->body_has_ack = answered;
    smtp->body_ack = smtp->reply_end;
}

bool enf_body_maybe_ended(const struct enf_smtp *smtp)
{
    return smtp->client_state == ENF_CLIENT_BODY &&
           (smtp->body_state == ENF_BODY_MAYBE_END || smtp->body_state == ENF_BODY_MAYBE_END_CRLF);
}

void enf_body_end(struct enf_smtp *smtp)
{
    smtp->client_state = ENF_CLIENT_COMMAND;
    smtp->message_rcpt = 0;
    enf_queue_push(smtp, ENF_VERB_END_OF_DATA, ENF_AWAITED_ANSWER);
}

static void note_first(struct enf_smtp *smtp, uint32_t ack, bool has_ack)
{
    smtp->body_first = false;
    if (smtp->body_has_ack) {
        if (!has_ack || ack - smtp->body_ack > INT32_MAX)
            enf_count16(&smtp->facts.early_data);
        return;
    }
    smtp->body_ack = ack;
    smtp->body_has_ack = has_ack;
}

/* True where the sender of this byte had received more than the reply that let the body begin. */
static bool heard_more(const struct enf_smtp *smtp, uint32_t ack, bool has_ack)
{
    uint32_t distance = ack - smtp->body_ack;
    return has_ack && smtp->body_has_ack && distance != 0 && distance <= INT32_MAX;
}

/* The state behind the next byte at the start of a line; *line_end where it ends the body. */
static enum enf_body_state step(enum enf_body_state state, uint8_t byte, bool *line_end)
{
    bool cr = byte == '\r';
    bool lf = byte == '\n';
    *line_end = false;
    switch (state) {
    case ENF_BODY_AFTER_CRLF:
    case ENF_BODY_AFTER_LF:
        if (byte == '.')
            return state == ENF_BODY_AFTER_CRLF ? ENF_BODY_DOT : ENF_BODY_LOOSE_DOT;
        break;
    case ENF_BODY_DOT:
    case ENF_BODY_LOOSE_DOT:
        if (cr)
            return state == ENF_BODY_DOT ? ENF_BODY_DOT_CR : ENF_BODY_LOOSE_DOT_CR;
        if (lf)
            return ENF_BODY_MAYBE_END;
        break;
    case ENF_BODY_DOT_CR:
        *line_end = lf;
        break;
    case ENF_BODY_LOOSE_DOT_CR:
        if (lf)
            return ENF_BODY_MAYBE_END_CRLF;
        break;
    case ENF_BODY_TEXT_CR:
        if (lf)
            return ENF_BODY_AFTER_CRLF;
        break;
    case ENF_BODY_TEXT:
    case ENF_BODY_MAYBE_END:
    case ENF_BODY_MAYBE_END_CRLF:
        break;
    }
    if (lf)
        return ENF_BODY_AFTER_LF;
    return cr ? ENF_BODY_TEXT_CR : ENF_BODY_TEXT;
}

size_t enf_body_skip(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t ack, bool has_ack)
{
    if (smtp->body_first)
        note_first(smtp, ack, has_ack);
    if (enf_body_maybe_ended(smtp)) {
        if (heard_more(smtp, ack, has_ack)) {
            enf_body_end(smtp);
            return 0;
        }
        smtp->body_state = smtp->body_state == ENF_BODY_MAYBE_END ? ENF_BODY_AFTER_LF : ENF_BODY_AFTER_CRLF;
    }
    size_t i = 0;
    while (i < len && smtp->client_state == ENF_CLIENT_BODY && !enf_body_maybe_ended(smtp)) {
        if (smtp->body_state == ENF_BODY_TEXT) {
            const uint8_t *lf = memchr(bytes + i, '\n', len - i);
            size_t stop = lf ? (size_t)(lf - bytes) : len;
            /* Only the byte before the LF matters of all that stands there. */
            if (stop > i)
                smtp->body_state = bytes[stop - 1] == '\r' ? ENF_BODY_TEXT_CR : ENF_BODY_TEXT;
            i = stop;
            if (!lf)
                break;
        }
        bool line_end;
        smtp->body_state = (uint8_t)step((enum enf_body_state)smtp->body_state, bytes[i], &line_end);
        i++;
        if (line_end)
            enf_body_end(smtp);
        else if (enf_body_maybe_ended(smtp))
            enf_count16(&smtp->facts.loose_dots);
    }
    smtp->facts.body_bytes += i;
    return i;
}

size_t enf_body_skip_chunk(struct enf_smtp *smtp, size_t len)
{
    size_t taken = len < smtp->chunk_left ? len : (size_t)smtp->chunk_left;
    smtp->chunk_left -= taken;
    smtp->facts.body_bytes += taken;
    if (smtp->chunk_left == 0)
        smtp->client_state = ENF_CLIENT_COMMAND;
    return taken;
}
