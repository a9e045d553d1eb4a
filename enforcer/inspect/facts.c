/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts as one line of text, for people, logs and golden files. */
#include "enforcer/inspect/smtp.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *enf_smtp_protocol_name(enum enf_smtp_protocol protocol)
{
    static const char *const names[ENF_SMTP_PROTOCOL_COUNT] = {"unknown", "smtp", "tls", "http", "other"};
    return (unsigned)protocol < ENF_SMTP_PROTOCOL_COUNT ? names[protocol] : NULL;
}

const char *enf_smtp_end_name(enum enf_smtp_end end)
{
    static const char *const names[ENF_SMTP_END_COUNT] = {"none",     "fin",  "quit",    "starttls",
                                                          "not-smtp", "lost", "missing", "budget",
                                                          "gap",      "full", "cut",     "memory"};
    return (unsigned)end < ENF_SMTP_END_COUNT ? names[end] : NULL;
}

const char *enf_helo_form_name(enum enf_helo_form form)
{
    static const char *const names[ENF_HELO_FORM_COUNT] = {"none",      "fqdn",  "literal", "bare-address",
                                                           "bare-name", "empty", "garbage"};
    return (unsigned)form < ENF_HELO_FORM_COUNT ? names[form] : NULL;
}

const char *enf_smtp_stage_name(enum enf_smtp_stage stage)
{
    static const char *const names[ENF_SMTP_STAGE_COUNT] = {"greeting", "ehlo",        "mail", "rcpt",
                                                            "data",     "end-of-data", "other"};
    return (unsigned)stage < ENF_SMTP_STAGE_COUNT ? names[stage] : NULL;
}

bool enf_smtp_facts_equal(const struct enf_smtp_facts *a, const struct enf_smtp_facts *b)
{
    /* enf_smtp_init clears the holes, and only fields are written afterwards. */
    return memcmp(a, b, sizeof(*a)) == 0; /* NOLINT */
}

struct writer {
    char *buf;
    size_t len;
    size_t at;
};

__attribute__((format(printf, 2, 3))) static void add(struct writer *w, const char *format, ...);

static void add(struct writer *w, const char *format, ...)
{
    if (w->at >= w->len)
        return;
    va_list args;
    va_start(args, format);
    int wrote = vsnprintf(w->buf + w->at, w->len - w->at, format, args);
    va_end(args);
    w->at += wrote > 0 ? (size_t)wrote : 0;
}

enum kind { KIND_BOOL, KIND_16, KIND_32, KIND_64 };

static const struct {
    const char *name;
    enum kind kind;
    size_t offset;
} numbers[] = {
#define ROW(name, kind)                                                                                      \
    {                                                                                                        \
#name, kind, offsetof(struct enf_smtp_facts, name)                                                   \
    }
    ROW(greeting_code, KIND_16),
    ROW(early_talk, KIND_BOOL),
    ROW(ehlo, KIND_16),
    ROW(helo, KIND_16),
    ROW(lhlo, KIND_16),
    ROW(helo_changes, KIND_16),
    ROW(mail, KIND_16),
    ROW(mail_null, KIND_16),
    ROW(mail_invalid, KIND_16),
    ROW(mail_domains_more, KIND_BOOL),
    ROW(rcpt, KIND_32),
    ROW(rcpt_max, KIND_16),
    ROW(data, KIND_16),
    ROW(bdat, KIND_16),
    ROW(bdat_last, KIND_16),
    ROW(messages, KIND_16),
    ROW(body_bytes, KIND_64),
    ROW(size_declared, KIND_16),
    ROW(size_declared_max, KIND_64),
    ROW(size_unoffered, KIND_16),
    ROW(smtputf8, KIND_16),
    ROW(smtputf8_unoffered, KIND_16),
    ROW(bdat_unoffered, KIND_16),
    ROW(starttls, KIND_16),
    ROW(tls_accepted, KIND_BOOL),
    ROW(auth, KIND_16),
    ROW(auth_accepted, KIND_16),
    ROW(auth_refused, KIND_16),
    ROW(rset, KIND_16),
    ROW(quit, KIND_BOOL),
    ROW(other, KIND_16),
    ROW(unknown, KIND_16),
    ROW(pipelined, KIND_16),
    ROW(pipelined_unoffered, KIND_16),
    ROW(early_data, KIND_16),
    ROW(long_lines, KIND_16),
    ROW(long_replies, KIND_16),
    ROW(bare_lf, KIND_16),
    ROW(loose_dots, KIND_16),
    ROW(refused_listed, KIND_16),
    ROW(unsolicited, KIND_16),
    ROW(malformed_replies, KIND_16),
    ROW(unsynchronised, KIND_BOOL),
    ROW(fin_client, KIND_BOOL),
    ROW(fin_server, KIND_BOOL),
    ROW(reset_client, KIND_BOOL),
    ROW(reset_server, KIND_BOOL),
#undef ROW
};

static uint64_t value_of(const struct enf_smtp_facts *facts, size_t i)
{
    const void *field = (const char *)facts + numbers[i].offset;
    switch (numbers[i].kind) {
    case KIND_BOOL:
        return *(const bool *)field;
    case KIND_16:
        return *(const uint16_t *)field;
    case KIND_32:
        return *(const uint32_t *)field;
    case KIND_64:
        return *(const uint64_t *)field;
    }
    return 0;
}

static void add_replies(struct writer *w, const struct enf_smtp_facts *facts)
{
    for (unsigned stage = 0; stage < ENF_SMTP_STAGE_COUNT; stage++) {
        const uint16_t *n = facts->replies[stage];
        if (n[0] || n[1] || n[2] || n[3])
            add(w, " reply_%s=%u/%u/%u/%u", enf_smtp_stage_name((enum enf_smtp_stage)stage), n[0], n[1], n[2],
                n[3]);
    }
}

const char *enf_smtp_facts_text(const struct enf_smtp_facts *facts, char *buf, size_t buf_len)
{
    struct writer w = {.buf = buf, .len = buf_len};
    add(&w, "protocol=%s client_end=%s server_end=%s",
        enf_smtp_protocol_name((enum enf_smtp_protocol)facts->protocol),
        enf_smtp_end_name((enum enf_smtp_end)facts->client_end),
        enf_smtp_end_name((enum enf_smtp_end)facts->server_end));
    if (facts->helo_form)
        add(&w, " helo_form=%s", enf_helo_form_name((enum enf_helo_form)facts->helo_form));
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (value_of(facts, i))
            add(&w, " %s=%" PRIu64, numbers[i].name, value_of(facts, i));
    if (facts->mail_domains_len)
        add(&w, " mail_domains=%u", facts->mail_domains_len);
    if (facts->offered)
        add(&w, " offered=0x%02x", facts->offered);
    add_replies(&w, facts);
    return buf;
}
