/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Zeek's conn.log and smtp.log. */
#include "flow_columns.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The states of Zeek: what each says of the originator's SYN, and of an answer. */
static const struct {
    const char *name;
    enum syn syn;
    enum flow_outcome outcome;
} states[] = {
    {"S0", SYN_SEEN, FLOW_OUTCOME_UNANSWERED},     {"S1", SYN_SEEN, FLOW_OUTCOME_ANSWERED},
    {"SF", SYN_SEEN, FLOW_OUTCOME_ANSWERED},       {"REJ", SYN_SEEN, FLOW_OUTCOME_REFUSED},
    {"S2", SYN_SEEN, FLOW_OUTCOME_ANSWERED},       {"S3", SYN_SEEN, FLOW_OUTCOME_ANSWERED},
    {"RSTO", SYN_SEEN, FLOW_OUTCOME_ANSWERED},     {"RSTR", SYN_SEEN, FLOW_OUTCOME_ANSWERED},
    {"RSTOS0", SYN_SEEN, FLOW_OUTCOME_UNANSWERED}, {"RSTRH", SYN_NOT_SEEN, FLOW_OUTCOME_UNKNOWN},
    {"SH", SYN_SEEN, FLOW_OUTCOME_UNANSWERED},     {"SHR", SYN_NOT_SEEN, FLOW_OUTCOME_UNKNOWN},
    {"OTH", SYN_NOT_SEEN, FLOW_OUTCOME_UNKNOWN},
};

static enum flow_result judge_zeek(struct facts *facts, struct flow *out)
{
    struct text history = facts->fields[FLOW_FIELD_HISTORY];
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (!text_is(facts->fields[FLOW_FIELD_STATE], states[i].name))
            continue;
        facts->syn = states[i].syn;
        facts->outcome = states[i].outcome;
    }
    /* An S is the originator's SYN: more exact than the state, which guesses after a loss. */
    if (history.len > 0 && history.bytes[0] != '(')
        facts->syn = memchr(history.bytes, 'S', history.len) ? SYN_SEEN : SYN_NOT_SEEN;
    return facts_judge(facts, out);
}

/* A record of smtp.log: a mail, or a session without one. Its protocol is TCP, of course. */
static enum flow_result judge_session(const struct flow_parser *parser, struct facts *facts,
                                      struct session_facts *session, struct flow *out)
{
    struct text depth = facts->fields[FLOW_FIELD_DEPTH];
    facts->fields[FLOW_FIELD_PROTOCOL] = (struct text){"tcp", 3};
    facts->syn = SYN_SEEN;
    facts->outcome = FLOW_OUTCOME_ANSWERED;
    session->helo = facts->fields[FLOW_FIELD_HELO];
    session->reply = facts->fields[FLOW_FIELD_REPLY];
    session->first = depth.len == 0 || text_is(depth, "1");
    session->mail = facts->fields[FLOW_FIELD_MAIL].len > 0;
    return session_judge(facts, session, parser->seed, out);
}

/* --- the table --- */

/* "#unset_field<separator>-" */
static struct text value_of(const struct flow_parser *parser, struct text line, const char *key)
{
    size_t len = strlen(key) + 1;
    if (line.len <= len || !text_starts(line, key) || line.bytes[len - 1] != parser->separator)
        return (struct text){NULL, 0};
    return (struct text){line.bytes + len, line.len - len};
}

/* "\x09", or the character itself. */
static char separator_of(struct text text)
{
    uint8_t value;
    char copy[5] = "0x";
    if (text.len == 1)
        return text.bytes[0];
    if (text.len != 4 || text.bytes[0] != '\\' || text.bytes[1] != 'x')
        return '\t';
    memcpy(copy + 2, text.bytes + 2, 2);
    return text_flags((struct text){copy, 4}, &value) && value != 0 ? (char)value : '\t';
}

static void read_comment(struct flow_parser *parser, struct text line)
{
    static const char separator[] = "#separator ";
    if (text_starts(line, separator)) {
        parser->separator = separator_of(
            text_trim((struct text){line.bytes + sizeof(separator) - 1, line.len - sizeof(separator) + 1}));
        return;
    }
    struct text unset = value_of(parser, line, "#unset_field");
    if (unset.len > 0 && unset.len < sizeof(parser->unset)) {
        memcpy(parser->unset, unset.bytes, unset.len);
        parser->unset[unset.len] = '\0';
    }
    struct text empty = value_of(parser, line, "#empty_field");
    if (empty.len > 0 && empty.len < sizeof(parser->empty)) {
        memcpy(parser->empty, empty.bytes, empty.len);
        parser->empty[empty.len] = '\0';
    }
    struct text between = value_of(parser, line, "#set_separator");
    if (between.len == 1)
        parser->set_separator = between.bytes[0];
    struct text fields = value_of(parser, line, "#fields");
    if (fields.len > 0)
        columns_read(parser, fields);
}

static size_t members_of(const struct flow_parser *parser, struct text set)
{
    size_t members = set.len > 0 && !text_is(set, parser->empty);
    for (size_t i = 0; members > 0 && i < set.len; i++)
        members += set.bytes[i] == parser->set_separator;
    return members;
}

static enum flow_result judge_session_row(const struct flow_parser *parser, struct facts *facts,
                                          struct flow *out)
{
    struct session_facts session = {.recipients = members_of(parser, facts->fields[FLOW_FIELD_RECIPIENTS])};
    if (parser->columns[FLOW_FIELD_FILES] != 0)
        session.body =
            members_of(parser, facts->fields[FLOW_FIELD_FILES]) > 0 ? SESSION_BODY_SENT : SESSION_BODY_NONE;
    return judge_session(parser, facts, &session, out);
}

/* --- one JSON object a line --- */

static const char *const keys[FLOW_FIELD_COUNT] = {
    [FLOW_FIELD_TIME] = "ts",
    [FLOW_FIELD_ID] = "uid",
    [FLOW_FIELD_SOURCE] = "id.orig_h",
    [FLOW_FIELD_SOURCE_PORT] = "id.orig_p",
    [FLOW_FIELD_DESTINATION] = "id.resp_h",
    [FLOW_FIELD_DESTINATION_PORT] = "id.resp_p",
    [FLOW_FIELD_PROTOCOL] = "proto",
    [FLOW_FIELD_STATE] = "conn_state",
    [FLOW_FIELD_HISTORY] = "history",
    [FLOW_FIELD_DEPTH] = "trans_depth",
    [FLOW_FIELD_HELO] = "helo",
    [FLOW_FIELD_MAIL] = "mailfrom",
    [FLOW_FIELD_REPLY] = "last_reply",
};

static struct text scalar_of(const json_t *value, char *buf, size_t buf_len)
{
    int len = 0;
    if (json_is_string(value))
        return (struct text){json_string_value(value), json_string_length(value)};
    if (json_is_integer(value))
        len = snprintf(buf, buf_len, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value) && fabs(json_real_value(value)) < 1e15)
        len = snprintf(buf, buf_len, "%.6f", json_real_value(value));
    return (struct text){buf, len > 0 ? (size_t)len : 0};
}

static enum flow_result judge_session_json(const struct flow_parser *parser, const json_t *root,
                                           struct facts *facts, struct flow *out)
{
    const json_t *files = json_object_get(root, "fuids");
    struct session_facts session = {.recipients = json_array_size(json_object_get(root, "rcptto"))};
    if (files)
        session.body = json_array_size(files) > 0 ? SESSION_BODY_SENT : SESSION_BODY_NONE;
    return judge_session(parser, facts, &session, out);
}

static enum flow_result judge_json(const struct flow_parser *parser, const json_t *root, struct flow *out)
{
    struct facts facts = {.syn = SYN_UNKNOWN};
    char numbers[FLOW_FIELD_COUNT][32];
    const char *path = json_string_value(json_object_get(root, "_path"));
    bool smtp = path && strcmp(path, "smtp") == 0;
    if (path && !smtp && strcmp(path, "conn") != 0)
        return FLOW_OTHER;
    for (size_t i = 0; i < FLOW_FIELD_COUNT; i++)
        if (keys[i])
            facts.fields[i] = scalar_of(json_object_get(root, keys[i]), numbers[i], sizeof(numbers[i]));
    /* Logs with a file of their own name no path; all but conn.log name no protocol either. */
    bool speaks = facts.fields[FLOW_FIELD_HELO].len > 0 || facts.fields[FLOW_FIELD_REPLY].len > 0;
    if (smtp || (!path && facts.fields[FLOW_FIELD_PROTOCOL].len == 0 &&
                 facts.fields[FLOW_FIELD_DEPTH].len > 0 && speaks))
        return judge_session_json(parser, root, &facts, out);
    if (facts.fields[FLOW_FIELD_PROTOCOL].len == 0)
        return FLOW_OTHER;
    return judge_zeek(&facts, out);
}

static enum flow_result parse_json(struct flow_parser *parser, const char *line, size_t len, struct flow *out)
{
    json_error_t error;
    parser->ever_usable = true;
    if (line[len - 1] != '}')
        return FLOW_BAD;
    if (!memmem(line, len, "25", 2))
        return FLOW_OTHER;
    json_t *root = json_loadb(line, len, 0, &error);
    enum flow_result result = root ? judge_json(parser, root, out) : FLOW_BAD;
    json_decref(root);
    return result;
}

enum flow_result zeek_parse(struct flow_parser *parser, const char *line, size_t len, struct flow *out)
{
    struct facts facts = {.syn = SYN_UNKNOWN};
    if (line[0] == '#') {
        read_comment(parser, (struct text){line, len});
        return FLOW_NOT_A_RECORD;
    }
    if (line[0] == '{')
        return parse_json(parser, line, len, out);
    if (!parser->usable)
        return FLOW_OTHER;
    if (!columns_split(parser, (struct text){line, len}, facts.fields))
        return FLOW_BAD;
    if (parser->sessions)
        return judge_session_row(parser, &facts, out);
    return judge_zeek(&facts, out);
}
