/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ties replies to commands: they are answered in the order they were sent. Tells as well which command was
 * sent before the reply to the one before it had been received. */
#include "enforcer/inspect/smtp_private.h"

bool enf_queue_full(const struct enf_smtp *smtp)
{
    return smtp->queue_len == ENF_SMTP_QUEUE_MAX;
}

static struct enf_smtp_awaited *at(struct enf_smtp *smtp, unsigned i)
{
    return &smtp->queue[(smtp->queue_first + i) % ENF_SMTP_QUEUE_MAX];
}

const struct enf_smtp_awaited *enf_queue_head(const struct enf_smtp *smtp)
{
    return &smtp->queue[smtp->queue_first];
}

/* next is the command after the one that was answered last. The acknowledgment of its first byte is what its
 * sender had received: below the end of the reply, it did not wait for it. */
static void compare(struct enf_smtp *smtp, const struct enf_smtp_awaited *next)
{
    smtp->reply_waits = false;
    if (next->flags & ENF_AWAITED_ANSWER)
        return;
    bool heard = (next->flags & ENF_AWAITED_HAS_ACK) && next->ack - smtp->reply_end <= INT32_MAX;
    if (heard)
        return;
    if (smtp->reply_verb == ENF_VERB_GREETING) {
        smtp->facts.early_talk = true;
        return;
    }
    enf_count16(&smtp->facts.pipelined);
    /* RFC 2920, 3.1: nobody can know what is offered before the reply to EHLO. */
    bool ehlo = smtp->reply_verb == ENF_VERB_EHLO || smtp->reply_verb == ENF_VERB_HELO ||
                smtp->reply_verb == ENF_VERB_LHLO;
    if (ehlo || !(smtp->reply_offered & ENF_SMTP_PIPELINING))
        enf_count16(&smtp->facts.pipelined_unoffered);
}

void enf_queue_note(struct enf_smtp *smtp)
{
    struct enf_smtp_awaited entry = {.ack = smtp->line_ack};
    if (smtp->line_has_ack)
        entry.flags = ENF_AWAITED_HAS_ACK;
    if (smtp->reply_waits)
        compare(smtp, &entry);
}

void enf_queue_push(struct enf_smtp *smtp, enum enf_smtp_verb verb, uint8_t flags)
{
    struct enf_smtp_awaited entry = {.verb = (uint8_t)verb, .flags = flags, .count = 1};
    if (smtp->line_has_ack) {
        entry.flags |= ENF_AWAITED_HAS_ACK;
        entry.ack = smtp->line_ack;
    }
    if (smtp->reply_waits)
        compare(smtp, &entry);
    if (smtp->server_gone)
        return;
    if (smtp->queue_len) {
        struct enf_smtp_awaited *last = at(smtp, smtp->queue_len - 1U);
        if (last->verb == entry.verb && last->flags == entry.flags && last->ack == entry.ack &&
            last->count < UINT16_MAX) {
            last->count++;
            return;
        }
    }
    *at(smtp, smtp->queue_len) = entry;
    smtp->queue_len++;
}

void enf_queue_pop(struct enf_smtp *smtp, uint32_t sequence)
{
    struct enf_smtp_awaited *head = at(smtp, 0);
    bool end = head->verb == ENF_VERB_END_OF_DATA || head->verb == ENF_VERB_BDAT_LAST;
    smtp->reply_verb = head->verb;
    smtp->reply_end = sequence;
    smtp->reply_offered = smtp->offered;
    /* LMTP (RFC 2033) answers a message once for each recipient that was accepted. */
    if (end && smtp->facts.lhlo && smtp->lmtp_accepted > 1) {
        smtp->lmtp_accepted--;
        return;
    }
    if (--head->count == 0) {
        smtp->queue_first = (uint8_t)((smtp->queue_first + 1) % ENF_SMTP_QUEUE_MAX);
        smtp->queue_len--;
    }
    smtp->reply_waits = true;
    if (smtp->queue_len)
        compare(smtp, at(smtp, 0));
    else if (smtp->reply_verb == ENF_VERB_GREETING && smtp->facts.client_end == ENF_SMTP_END_NOT_SMTP)
        enf_queue_note(smtp);
}
