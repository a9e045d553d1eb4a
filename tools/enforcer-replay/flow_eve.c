/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Suricata's EVE: records of type "flow" and "smtp"; the rest is passed over. */
#include "flow_text.h"

#include "enforcer/inspect/packet.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define FLAG(flags, bit) (((flags) & (bit)) != 0)

/* Most lines of an EVE file are about something else. Those are not taken apart. */
static bool may_name_port25(const char *line, size_t len)
{
    static const char key[] = "_port\"";
    const char *end = line + len;
    for (const char *p = line; (p = memmem(p, (size_t)(end - p), key, sizeof(key) - 1)) != NULL;) {
        p += sizeof(key) - 1;
        while (p < end && (*p == ' ' || *p == ':'))
            p++;
        if (end - p >= 3 && p[0] == '2' && p[1] == '5' && (p[2] < '0' || p[2] > '9'))
            return true;
    }
    return false;
}

static struct text string_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? (struct text){json_string_value(value), json_string_length(value)}
                                 : (struct text){NULL, 0};
}

static struct text number_of(const json_t *object, const char *key, char *buf, size_t buf_len)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return string_of(object, key);
    int len = snprintf(buf, buf_len, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return (struct text){buf, (size_t)len};
}

/* "1b": hexadecimal without a prefix. */
static bool flags_of(const json_t *tcp, const char *key, uint8_t *out)
{
    struct text text = string_of(tcp, key);
    char copy[8];
    if (text.len == 0 || text.len > 4)
        return false;
    (void)snprintf(copy, sizeof(copy), "0x%.*s", (int)text.len, text.bytes);
    return text_flags((struct text){copy, text.len + 2}, out);
}

static void read_state(const json_t *root, struct facts *facts)
{
    const json_t *flow = json_object_get(root, "flow");
    const json_t *tcp = json_object_get(root, "tcp");
    const json_t *back = json_object_get(flow, "pkts_toclient");
    struct text state = string_of(flow, "state");
    uint8_t sent;
    uint8_t answered;
    if (flags_of(tcp, "tcp_flags_ts", &sent))
        facts->syn = FLAG(sent, ENF_TCP_SYN) ? SYN_SEEN : SYN_NOT_SEEN;
    if (flags_of(tcp, "tcp_flags_tc", &answered) && answered != 0)
        facts->outcome = FLAG(answered, ENF_TCP_SYN)   ? FLOW_OUTCOME_ANSWERED
                         : FLAG(answered, ENF_TCP_RST) ? FLOW_OUTCOME_REFUSED
                                                       : FLOW_OUTCOME_UNKNOWN;
    else if (json_is_integer(back) && json_integer_value(back) == 0)
        facts->outcome = FLOW_OUTCOME_UNANSWERED;
    else if (text_is(state, "new"))
        facts->outcome = FLOW_OUTCOME_UNANSWERED;
    else if (text_is(state, "established"))
        facts->outcome = FLOW_OUTCOME_ANSWERED;
}

/* A transaction: names, and how many recipients. Replies are not logged, but that a message was sent is. */
static enum flow_result judge_smtp(const struct flow_parser *parser, const json_t *root,
                                   const struct facts *facts, struct flow *out)
{
    const json_t *smtp = json_object_get(root, "smtp");
    struct session_facts session = {
        .helo = string_of(smtp, "helo"),
        .recipients = json_array_size(json_object_get(smtp, "rcpt_to")),
        .first = json_integer_value(json_object_get(root, "tx_id")) == 0,
        .mail = string_of(smtp, "mail_from").len > 0,
        .body = json_is_object(json_object_get(root, "email")) ? SESSION_BODY_SENT : SESSION_BODY_UNKNOWN,
    };
    return session_judge(facts, &session, parser->seed, out);
}

static enum flow_result judge_eve(const struct flow_parser *parser, const json_t *root, struct flow *out)
{
    struct facts facts = {.syn = SYN_UNKNOWN};
    char numbers[3][24];
    struct text type = string_of(root, "event_type");
    if (type.len == 0)
        return FLOW_BAD;
    bool smtp = text_is(type, "smtp");
    if (!text_is(type, "flow") && !smtp)
        return FLOW_OTHER;
    struct text *fields = facts.fields;
    if (!smtp)
        fields[FLOW_FIELD_TIME] = string_of(json_object_get(root, "flow"), "start");
    if (fields[FLOW_FIELD_TIME].len == 0)
        fields[FLOW_FIELD_TIME] = string_of(root, "timestamp");
    fields[FLOW_FIELD_ID] = number_of(root, "flow_id", numbers[0], sizeof(numbers[0]));
    fields[FLOW_FIELD_SOURCE] = string_of(root, "src_ip");
    fields[FLOW_FIELD_SOURCE_PORT] = number_of(root, "src_port", numbers[1], sizeof(numbers[1]));
    fields[FLOW_FIELD_DESTINATION] = string_of(root, "dest_ip");
    fields[FLOW_FIELD_DESTINATION_PORT] = number_of(root, "dest_port", numbers[2], sizeof(numbers[2]));
    fields[FLOW_FIELD_PROTOCOL] = string_of(root, "proto");
    if (smtp) {
        facts.syn = SYN_SEEN;
        facts.outcome = FLOW_OUTCOME_ANSWERED;
        return judge_smtp(parser, root, &facts, out);
    }
    read_state(root, &facts);
    return facts_judge(&facts, out);
}

enum flow_result eve_parse(const struct flow_parser *parser, const char *line, size_t len, struct flow *out)
{
    json_error_t error;
    if (len < 2 || line[0] != '{' || line[len - 1] != '}')
        return FLOW_BAD;
    if (!may_name_port25(line, len))
        return FLOW_OTHER;
    json_t *root = json_loadb(line, len, 0, &error);
    enum flow_result result = root ? judge_eve(parser, root, out) : FLOW_BAD;
    json_decref(root);
    return result;
}
