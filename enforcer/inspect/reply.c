/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Understands the server's lines: replies, what they answer, and what EHLO replies offer. */
#include "enforcer/inspect/smtp_private.h"

#include <string.h>
#include <strings.h>

#define CODE_LEN 3

static const struct {
    const char *name;
    uint16_t bit;
} extensions[] = {
    {"PIPELINING", ENF_SMTP_PIPELINING}, {"CHUNKING", ENF_SMTP_CHUNKING}, {"SIZE", ENF_SMTP_SIZE},
    {"SMTPUTF8", ENF_SMTP_SMTPUTF8},     {"STARTTLS", ENF_SMTP_STARTTLS}, {"AUTH", ENF_SMTP_AUTH},
    {"8BITMIME", ENF_SMTP_8BITMIME},
};

static const uint8_t stages[] = {
    [ENF_VERB_GREETING] = ENF_SMTP_STAGE_GREETING, [ENF_VERB_EHLO] = ENF_SMTP_STAGE_EHLO,
    [ENF_VERB_HELO] = ENF_SMTP_STAGE_EHLO,         [ENF_VERB_LHLO] = ENF_SMTP_STAGE_EHLO,
    [ENF_VERB_MAIL] = ENF_SMTP_STAGE_MAIL,         [ENF_VERB_RCPT] = ENF_SMTP_STAGE_RCPT,
    [ENF_VERB_DATA] = ENF_SMTP_STAGE_DATA,         [ENF_VERB_END_OF_DATA] = ENF_SMTP_STAGE_END_OF_DATA,
    [ENF_VERB_BDAT] = ENF_SMTP_STAGE_END_OF_DATA,  [ENF_VERB_BDAT_LAST] = ENF_SMTP_STAGE_END_OF_DATA,
    [ENF_VERB_STARTTLS] = ENF_SMTP_STAGE_OTHER,    [ENF_VERB_AUTH] = ENF_SMTP_STAGE_OTHER,
    [ENF_VERB_RSET] = ENF_SMTP_STAGE_OTHER,        [ENF_VERB_QUIT] = ENF_SMTP_STAGE_OTHER,
    [ENF_VERB_OTHER] = ENF_SMTP_STAGE_OTHER,       [ENF_VERB_UNKNOWN] = ENF_SMTP_STAGE_OTHER,
};

/* Three digits from 200 to 599 and then a blank, a hyphen or nothing; 0 for anything else. */
static uint16_t read_code(const char *line, size_t len)
{
    if (len < CODE_LEN || line[0] < '2' || line[0] > '5')
        return 0;
    for (size_t i = 1; i < CODE_LEN; i++)
        if (line[i] < '0' || line[i] > '9')
            return 0;
    if (len > CODE_LEN && line[CODE_LEN] != ' ' && line[CODE_LEN] != '-')
        return 0;
    return (uint16_t)((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0'));
}

/* A line of an EHLO reply but the first: a keyword and its parameters. "AUTH=" is an old way to write AUTH.
 */
static uint16_t read_extension(const char *text, size_t len)
{
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        size_t name_len = strlen(extensions[i].name);
        if (len < name_len || (text[0] & 0x5f) != (extensions[i].name[0] & 0x5f) ||
            strncasecmp(text, extensions[i].name, name_len) != 0)
            continue;
        if (len == name_len || text[name_len] == ' ' || text[name_len] == '=')
            return extensions[i].bit;
    }
    return 0;
}

void enf_reply_assume(struct enf_smtp *smtp)
{
    /* A server that closed has not accepted anything. */
    if (smtp->client_state != ENF_CLIENT_WAIT || smtp->facts.server_end == ENF_SMTP_END_FIN)
        return;
    switch (smtp->wait_verb) {
    case ENF_VERB_DATA:
        smtp->client_state = ENF_CLIENT_MAYBE_BODY;
        break;
    case ENF_VERB_AUTH:
        smtp->client_state = ENF_CLIENT_MAYBE_CREDENTIAL;
        break;
    default:
        smtp->client_state = ENF_CLIENT_COMMAND;
        smtp->client_first = true; /* look for TLS */
        break;
    }
    if (smtp->client_fin)
        enf_smtp_client_gone(smtp, ENF_SMTP_END_FIN);
}

static void answer_greet(struct enf_smtp *smtp, enum enf_smtp_verb verb)
{
    smtp->offered = verb == ENF_VERB_HELO ? 0 : smtp->offering;
    smtp->facts.offered |= smtp->offered;
    smtp->lmtp_accepted = 0;
}

/* An answer to what the client waits for. */
static void answer_wait(struct enf_smtp *smtp, enum enf_smtp_verb verb, enum enf_smtp_class class)
{
    if (smtp->client_state != ENF_CLIENT_WAIT)
        return;
    smtp->client_state = ENF_CLIENT_COMMAND;
    if (verb == ENF_VERB_DATA && class == ENF_SMTP_CLASS_3) {
        enf_body_begin(smtp, true);
    } else if (verb == ENF_VERB_AUTH) {
        if (class == ENF_SMTP_CLASS_3)
            smtp->client_state = ENF_CLIENT_CREDENTIAL;
        else
            enf_count16(class == ENF_SMTP_CLASS_2 ? &smtp->facts.auth_accepted : &smtp->facts.auth_refused);
    } else if (verb == ENF_VERB_STARTTLS && class == ENF_SMTP_CLASS_2) {
        smtp->facts.tls_accepted = true;
        smtp->facts.server_end = ENF_SMTP_END_STARTTLS;
        enf_command_stop(smtp, ENF_SMTP_END_STARTTLS);
    }
    if (smtp->client_fin)
        enf_smtp_client_gone(smtp, ENF_SMTP_END_FIN);
}

static void apply(struct enf_smtp *smtp, enum enf_smtp_verb verb, enum enf_smtp_class class)
{
    bool accepted = class == ENF_SMTP_CLASS_2;
    switch (verb) {
    case ENF_VERB_GREETING:
        smtp->facts.greeting_code = smtp->reply_code;
        break;
    case ENF_VERB_EHLO:
    case ENF_VERB_HELO:
    case ENF_VERB_LHLO:
        if (accepted)
            answer_greet(smtp, verb);
        break;
    case ENF_VERB_MAIL:
    case ENF_VERB_RSET:
        smtp->lmtp_accepted = 0;
        break;
    case ENF_VERB_RCPT:
        if (accepted)
            enf_count16(&smtp->lmtp_accepted);
        break;
    case ENF_VERB_END_OF_DATA:
    case ENF_VERB_BDAT_LAST:
        if (accepted)
            enf_count16(&smtp->facts.messages);
        break;
    case ENF_VERB_DATA:
    case ENF_VERB_AUTH:
    case ENF_VERB_STARTTLS:
        answer_wait(smtp, verb, class);
        break;
    case ENF_VERB_BDAT:
    case ENF_VERB_QUIT:
    case ENF_VERB_OTHER:
    case ENF_VERB_UNKNOWN:
        break;
    }
}

static void note_unoffered(struct enf_smtp *smtp, uint8_t flags)
{
    static const struct {
        uint8_t flag;
        uint16_t offer;
        size_t counter;
    } rows[] = {
        {ENF_AWAITED_SIZE, ENF_SMTP_SIZE, offsetof(struct enf_smtp_facts, size_unoffered)},
        {ENF_AWAITED_SMTPUTF8, ENF_SMTP_SMTPUTF8, offsetof(struct enf_smtp_facts, smtputf8_unoffered)},
        {ENF_AWAITED_BDAT, ENF_SMTP_CHUNKING, offsetof(struct enf_smtp_facts, bdat_unoffered)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if ((flags & rows[i].flag) && !(smtp->offered & rows[i].offer) && !smtp->facts.unsynchronised)
            enf_count16((uint16_t *)(void *)((char *)&smtp->facts + rows[i].counter));
}

/* The last line of a reply was read. */
static void finish_reply(struct enf_smtp *smtp, uint32_t sequence)
{
    enum enf_smtp_class class = (enum enf_smtp_class)(smtp->reply_code / 100 - 2);
    if (class == ENF_SMTP_CLASS_5 && smtp->reply_listed == ENF_BLOCKLIST_BOTH)
        enf_count16(&smtp->facts.refused_listed);
    if (smtp->queue_len == 0) {
        enf_count16(&smtp->facts.unsolicited);
    } else {
        struct enf_smtp_awaited head = *enf_queue_head(smtp);
        enf_count16(&smtp->facts.replies[stages[head.verb]][class]);
        note_unoffered(smtp, head.flags);
        enf_queue_pop(smtp, sequence);
        apply(smtp, (enum enf_smtp_verb)head.verb, class);
    }
    smtp->reply_code = 0;
    smtp->reply_listed = 0;
    smtp->offering = 0;
}

void enf_reply_line(struct enf_smtp *smtp, uint32_t sequence)
{
    const char *line = smtp->server_line;
    size_t len = smtp->server_len;
    bool greeting = smtp->queue_len && enf_queue_head(smtp)->verb == ENF_VERB_GREETING;
    /* Lines that the client had received before it sent what reading began with. */
    if (smtp->facts.unsynchronised && smtp->reply_end - sequence <= INT32_MAX)
        return;
    uint16_t code = read_code(line, len);
    if (code == 0) {
        enf_count16(&smtp->facts.malformed_replies);
        if (greeting && smtp->reply_code == 0)
            enf_smtp_server_gone(smtp, ENF_SMTP_END_NOT_SMTP);
        return;
    }
    if (smtp->reply_code && len > CODE_LEN + 1)
        smtp->offering |= read_extension(line + CODE_LEN + 1, len - CODE_LEN - 1);
    smtp->reply_code = code;
    smtp->reply_listed |= enf_blocklist_look(code, line, len);
    if (len == CODE_LEN || line[CODE_LEN] != '-')
        finish_reply(smtp, sequence);
}
