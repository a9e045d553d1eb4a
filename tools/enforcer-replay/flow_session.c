/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a record of a mail session says, by its fields. No text of it is kept. */
#include "flow_text.h"

#include "enforcer/inspect/observation.h"
#include "enforcer/inspect/packet.h"
#include "enforcer/inspect/smtp.h"

#define CODE_LEN 3

/* "550 5.1.1 User unknown"; 0 where it is none. */
static uint16_t code_of(struct text reply)
{
    uint64_t code;
    if (reply.len < CODE_LEN || (reply.len > CODE_LEN && reply.bytes[CODE_LEN] != ' ') ||
        !text_number((struct text){reply.bytes, CODE_LEN}, 599, &code) || code < 200)
        return 0;
    return (uint16_t)code;
}

/* The last reply stands for itself alone: what came before it, and to which command, is not known. So a
 * refusal is one of recipients only where no message followed, and a recipient was taken only where one did.
 */
static uint8_t judge_reply(const struct session_facts *facts)
{
    uint16_t code = code_of(facts->reply);
    bool sent = facts->body == SESSION_BODY_SENT || code == 354;
    uint8_t says = 0;
    if (facts->recipients > 0 && sent)
        says |= FLOW_SAYS_ACCEPTED;
    if (code == 221)
        says |= FLOW_SAYS_QUIT;
    if (code >= 500 && facts->recipients > 0 && facts->body == SESSION_BODY_NONE)
        says |= FLOW_SAYS_REFUSED;
    if (code >= 500 && enf_smtp_names_blocklist(code, facts->reply.bytes, facts->reply.len))
        says |= FLOW_SAYS_BLOCKLISTED;
    if (code >= 400 && code < 500 && facts->mail)
        says |= FLOW_SAYS_DEFERRED;
    return says;
}

enum flow_result session_judge(const struct facts *facts, const struct session_facts *session, uint64_t seed,
                               struct flow *out)
{
    struct flow flow;
    enum flow_result result = facts_judge(facts, &flow);
    if (result != FLOW_CONNECTION)
        return result == FLOW_SMTP ? FLOW_OTHER : result;
    flow.of_session = true;
    flow.says = judge_reply(session);
    flow.recipients = session->recipients < UINT16_MAX ? (uint16_t)session->recipients : UINT16_MAX;
    if (session->recipients >= ENF_MANY_RECIPIENTS)
        flow.says |= FLOW_SAYS_RECIPIENTS;
    if (session->first && session->helo.len > 0) {
        flow.says |= FLOW_SAYS_HELO;
        flow.helo_form =
            (uint8_t)enf_smtp_helo(session->helo.bytes, session->helo.len, seed, &flow.helo_hash);
    }
    *out = flow;
    return FLOW_SESSION;
}
