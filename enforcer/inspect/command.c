/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Understands the client's lines: a table with a row a command. */
#include "enforcer/inspect/smtp_private.h"

#include <string.h>
#include <strings.h>

/* No server takes a larger chunk: a number that is meant to overflow something. */
#define CHUNK_MAX    (UINT64_C(1) << 40)
#define VERB_LEN_MIN 3
#define VERB_LEN_MAX 12

/* What stands behind the verb; len 0 also where the line was too long to be believed. */
struct argument {
    const char *text;
    size_t len;
};

struct command {
    const char *name;
    enum enf_smtp_verb verb;
    void (*act)(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg);
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct argument trim(struct argument arg)
{
    while (arg.len && is_blank(arg.text[0])) {
        arg.text++;
        arg.len--;
    }
    while (arg.len && is_blank(arg.text[arg.len - 1]))
        arg.len--;
    return arg;
}

/* Takes the next word off arg. */
static struct argument next_word(struct argument *arg)
{
    *arg = trim(*arg);
    struct argument word = {.text = arg->text};
    while (word.len < arg->len && !is_blank(arg->text[word.len]))
        word.len++;
    arg->text += word.len;
    arg->len -= word.len;
    return word;
}

static bool is_word(struct argument word, const char *text)
{
    return word.len == strlen(text) && (word.text[0] & 0x5f) == (text[0] & 0x5f) &&
           strncasecmp(word.text, text, word.len) == 0;
}

/* Decimal digits and nothing else. Larger than 64 bits hold: false. */
static bool read_number(struct argument word, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < word.len; i++) {
        if (word.text[i] < '0' || word.text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(word.text[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (word.len)
        *out = value;
    return word.len > 0;
}

void enf_command_stop(struct enf_smtp *smtp, enum enf_smtp_end why)
{
    smtp->client_state = ENF_CLIENT_STOPPED;
    smtp->client_done = true;
    smtp->facts.client_end = (uint8_t)why;
}

static void wait_for_reply(struct enf_smtp *smtp, enum enf_smtp_verb verb)
{
    smtp->client_state = ENF_CLIENT_WAIT;
    smtp->wait_verb = (uint8_t)verb;
    if (smtp->server_gone)
        enf_reply_assume(smtp);
}

static void act_greet(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    struct enf_smtp_facts *facts = &smtp->facts;
    enf_count16(verb == ENF_VERB_EHLO ? &facts->ehlo : verb == ENF_VERB_HELO ? &facts->helo : &facts->lhlo);
    facts->helo_form = smtp->client_long ? ENF_HELO_GARBAGE : (uint8_t)enf_name_helo_form(arg.text, arg.len);
    if (arg.len) {
        uint64_t hash = enf_name_hash(arg.text, arg.len, smtp->seed);
        if (facts->helo_hash && facts->helo_hash != hash)
            enf_count16(&facts->helo_changes);
        facts->helo_hash = hash;
    }
    smtp->message_rcpt = 0;
    enf_queue_push(smtp, verb, 0);
}

static void note_domain(struct enf_smtp *smtp, const struct enf_path *path)
{
    struct enf_smtp_facts *facts = &smtp->facts;
    uint64_t hash = enf_name_hash(path->domain, path->domain_len, smtp->seed);
    for (unsigned i = 0; i < facts->mail_domains_len; i++)
        if (facts->mail_domains[i] == hash)
            return;
    if (facts->mail_domains_len == ENF_SMTP_DOMAINS_MAX)
        facts->mail_domains_more = true;
    else
        facts->mail_domains[facts->mail_domains_len++] = hash;
}

/* The parameters behind the path; returns what they used, as flags of the awaited command. */
static uint8_t read_parameters(struct enf_smtp *smtp, struct argument arg)
{
    static const char size[] = "SIZE=";
    const size_t size_len = sizeof(size) - 1;
    struct enf_smtp_facts *facts = &smtp->facts;
    uint8_t flags = 0;
    for (struct argument word = next_word(&arg); word.len; word = next_word(&arg)) {
        uint64_t value;
        if (is_word(word, "SMTPUTF8")) {
            flags |= ENF_AWAITED_SMTPUTF8;
        } else if (word.len > size_len && strncasecmp(word.text, size, size_len) == 0 &&
                   read_number((struct argument){word.text + size_len, word.len - size_len}, &value)) {
            flags |= ENF_AWAITED_SIZE;
            if (value > facts->size_declared_max)
                facts->size_declared_max = value;
        }
    }
    if (flags & ENF_AWAITED_SIZE)
        enf_count16(&facts->size_declared);
    if (flags & ENF_AWAITED_SMTPUTF8)
        enf_count16(&facts->smtputf8);
    return flags;
}

/* What stands behind "FROM:", with blanks around the colon, as servers forgive. len 0 where it is none. */
static struct argument behind_from(struct argument arg)
{
    static const char from[] = "FROM";
    const size_t from_len = sizeof(from) - 1;
    struct argument none = {.len = 0};
    if (arg.len <= from_len || strncasecmp(arg.text, from, from_len) != 0)
        return none;
    arg = trim((struct argument){arg.text + from_len, arg.len - from_len});
    if (arg.len == 0 || arg.text[0] != ':')
        return none;
    return (struct argument){arg.text + 1, arg.len - 1};
}

static void act_mail(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    uint8_t flags = 0;
    enf_count16(&smtp->facts.mail);
    smtp->message_rcpt = 0;
    struct argument rest = behind_from(arg);
    struct enf_path path = {.valid = false};
    if (rest.len)
        path = enf_name_path(rest.text, rest.len);
    if (!path.valid) {
        enf_count16(&smtp->facts.mail_invalid);
    } else {
        if (path.null)
            enf_count16(&smtp->facts.mail_null);
        if (path.domain_len)
            note_domain(smtp, &path);
        flags = read_parameters(smtp, (struct argument){rest.text + path.end, rest.len - path.end});
    }
    enf_queue_push(smtp, verb, flags);
}

static void act_rcpt(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    (void)arg;
    if (smtp->facts.rcpt < UINT32_MAX)
        smtp->facts.rcpt++;
    enf_count16(&smtp->message_rcpt);
    if (smtp->message_rcpt > smtp->facts.rcpt_max)
        smtp->facts.rcpt_max = smtp->message_rcpt;
    enf_queue_push(smtp, verb, 0);
}

static void act_data(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    (void)arg;
    enf_count16(&smtp->facts.data);
    enf_queue_push(smtp, verb, 0);
    wait_for_reply(smtp, verb);
}

/* RFC 3030: as many bytes as it says follow at once, whatever the reply will be. */
static void act_bdat(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    uint64_t size = 0;
    struct argument word = next_word(&arg);
    bool valid = read_number(word, &size) && size <= CHUNK_MAX;
    word = next_word(&arg);
    bool last = is_word(word, "LAST");
    enf_count16(&smtp->facts.bdat);
    if (last) {
        enf_count16(&smtp->facts.bdat_last);
        smtp->message_rcpt = 0;
        verb = ENF_VERB_BDAT_LAST;
    }
    enf_queue_push(smtp, verb, ENF_AWAITED_BDAT);
    if (!valid) {
        enf_command_stop(smtp, ENF_SMTP_END_LOST);
        return;
    }
    smtp->chunk_left = size;
    if (size)
        smtp->client_state = ENF_CLIENT_CHUNK;
}

static void act_starttls(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    (void)arg;
    enf_count16(&smtp->facts.starttls);
    enf_queue_push(smtp, verb, 0);
    wait_for_reply(smtp, verb);
}

/* The argument may hold a credential (RFC 4954, initial response): it is not looked at, and wiped with the
 * line. */
static void act_auth(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    (void)arg;
    enf_count16(&smtp->facts.auth);
    enf_queue_push(smtp, verb, 0);
    wait_for_reply(smtp, verb);
}

static void act_rset(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    (void)arg;
    enf_count16(&smtp->facts.rset);
    smtp->message_rcpt = 0;
    enf_queue_push(smtp, verb, 0);
}

static void act_quit(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    (void)arg;
    smtp->facts.quit = true;
    enf_queue_push(smtp, verb, 0);
    enf_command_stop(smtp, ENF_SMTP_END_QUIT);
}

static void act_other(struct enf_smtp *smtp, enum enf_smtp_verb verb, struct argument arg)
{
    (void)arg;
    enf_count16(&smtp->facts.other);
    enf_queue_push(smtp, verb, 0);
}

static void act_unknown(struct enf_smtp *smtp)
{
    enf_count16(&smtp->facts.unknown);
    enf_queue_push(smtp, ENF_VERB_UNKNOWN, 0);
}

static const struct command commands[] = {
    {"EHLO", ENF_VERB_EHLO, act_greet},      {"HELO", ENF_VERB_HELO, act_greet},
    {"LHLO", ENF_VERB_LHLO, act_greet},      {"MAIL", ENF_VERB_MAIL, act_mail},
    {"RCPT", ENF_VERB_RCPT, act_rcpt},       {"DATA", ENF_VERB_DATA, act_data},
    {"BDAT", ENF_VERB_BDAT, act_bdat},       {"STARTTLS", ENF_VERB_STARTTLS, act_starttls},
    {"AUTH", ENF_VERB_AUTH, act_auth},       {"RSET", ENF_VERB_RSET, act_rset},
    {"QUIT", ENF_VERB_QUIT, act_quit},       {"NOOP", ENF_VERB_OTHER, act_other},
    {"VRFY", ENF_VERB_OTHER, act_other},     {"EXPN", ENF_VERB_OTHER, act_other},
    {"HELP", ENF_VERB_OTHER, act_other},     {"ETRN", ENF_VERB_OTHER, act_other},
    {"TURN", ENF_VERB_OTHER, act_other},     {"ATRN", ENF_VERB_OTHER, act_other},
    {"SEND", ENF_VERB_OTHER, act_other},     {"SOML", ENF_VERB_OTHER, act_other},
    {"SAML", ENF_VERB_OTHER, act_other},     {"XCLIENT", ENF_VERB_OTHER, act_other},
    {"XFORWARD", ENF_VERB_OTHER, act_other},
};

/* The row of the line, or NULL; *arg gets what stands behind the verb. */
static const struct command *find(const struct enf_smtp *smtp, struct argument *arg)
{
    *arg = (struct argument){smtp->client_line, smtp->client_len};
    struct argument word = next_word(arg);
    *arg = trim(*arg);
    if (smtp->client_long)
        arg->len = 0;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (is_word(word, commands[i].name))
            return &commands[i];
    /* "MAIL FROM:" and the like with the blank forgotten are refused by servers, and so they are unknown
     * here. */
    return NULL;
}

/* Browsers and scanners: none of these is a word of SMTP. */
static bool is_http(struct argument line)
{
    static const char *const methods[] = {"GET",     "HEAD",  "POST",  "PUT", "DELETE",
                                          "CONNECT", "TRACE", "PATCH", "PRI", "OPTIONS"};
    struct argument word = next_word(&line);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (is_word(word, methods[i]))
            return trim(line).len > 0;
    return false;
}

/* Could the first line be a command, of whatever extension? An empty one is none, but no other protocol
 * either. */
static bool is_text(struct argument line)
{
    struct argument word = next_word(&line);
    if (word.len == 0)
        return true;
    if (word.len < VERB_LEN_MIN || word.len > VERB_LEN_MAX)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char c = word.text[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!letter && (i == 0 || (c != '-' && (c < '0' || c > '9'))))
            return false;
    }
    return true;
}

bool enf_command_foreign(struct enf_smtp *smtp)
{
    const unsigned char *line = (const unsigned char *)smtp->client_line;
    size_t len = smtp->client_len;
    if (len == 0)
        return false;
    if (line[0] == 0x16) { /* a TLS record with a handshake: type, then version 3.0 to 3.4 */
        if ((len > 1 && line[1] != 3) || (len > 2 && line[2] > 4)) {
            smtp->facts.protocol = ENF_SMTP_PROTOCOL_OTHER;
        } else if (len < 3) {
            return false;
        } else if (smtp->facts.starttls) {
            /* With no server to say so. */
            enf_command_stop(smtp, ENF_SMTP_END_STARTTLS);
            return true;
        } else {
            smtp->facts.protocol = ENF_SMTP_PROTOCOL_TLS;
        }
    } else if (line[0] >= 0x80 || (line[0] < 0x20 && line[0] != '\t' && line[0] != '\r')) {
        smtp->facts.protocol = ENF_SMTP_PROTOCOL_OTHER;
    } else {
        return false;
    }
    enf_queue_note(smtp);
    enf_command_stop(smtp, ENF_SMTP_END_NOT_SMTP);
    return true;
}

/* The first line: HTTP, or no words at all? */
static bool foreign_line(struct enf_smtp *smtp)
{
    struct argument line = {smtp->client_line, smtp->client_len};
    smtp->client_first = false;
    if (is_http(line))
        smtp->facts.protocol = ENF_SMTP_PROTOCOL_HTTP;
    else if (!is_text(line))
        smtp->facts.protocol = ENF_SMTP_PROTOCOL_OTHER;
    else
        return false;
    enf_queue_note(smtp);
    enf_command_stop(smtp, ENF_SMTP_END_NOT_SMTP);
    return true;
}

void enf_command_line(struct enf_smtp *smtp)
{
    struct argument arg;
    const struct command *command = find(smtp, &arg);
    bool first = smtp->client_first;
    smtp->client_first = false;
    if (command) {
        smtp->facts.protocol = ENF_SMTP_PROTOCOL_SMTP;
        command->act(smtp, command->verb, arg);
    } else if (!first || smtp->facts.protocol == ENF_SMTP_PROTOCOL_SMTP || !foreign_line(smtp)) {
        act_unknown(smtp);
    }
}

static bool starts_something(const struct command *command)
{
    return command && (command->act == act_greet || command->verb == ENF_VERB_MAIL ||
                       command->verb == ENF_VERB_RSET || command->verb == ENF_VERB_QUIT);
}

void enf_command_guess(struct enf_smtp *smtp)
{
    struct argument arg;
    bool credential = smtp->client_state == ENF_CLIENT_MAYBE_CREDENTIAL;
    if (starts_something(find(smtp, &arg))) {
        smtp->client_state = ENF_CLIENT_COMMAND;
        enf_command_line(smtp);
    } else if (!credential) {
        enf_body_begin(smtp, false);
        smtp->facts.body_bytes += smtp->client_len;
        if (smtp->client_len == 1 && smtp->client_line[0] == '.')
            enf_body_end(smtp);
    }
}

void enf_command_seek(struct enf_smtp *smtp)
{
    struct argument arg;
    const struct command *command = find(smtp, &arg);
    bool greet = command && command->act == act_greet;
    bool mail = command && command->verb == ENF_VERB_MAIL && behind_from(arg).len;
    if (!greet && !mail)
        return;
    smtp->client_state = ENF_CLIENT_COMMAND;
    smtp->reply_end = smtp->line_ack;
    enf_command_line(smtp);
}
