/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dialogues and the facts they give. Each is read as it is, and in every shape: cut, doubled, out of order.
 */
#include "tests/unit/inspect/feed.h"
#include "tests/unit/inspect/talk.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LINES_MAX 40
#define SEEDS     8

#define HELLO "S: 220 mx.example.net ESMTP", "C: EHLO client.example.org"
#define OFFER                                                                                                \
    "S: 250-mx.example.net", "S: 250-PIPELINING", "S: 250-SIZE 1000", "S: 250-CHUNKING", "S: 250-SMTPUTF8",  \
        "S: 250-AUTH PLAIN LOGIN", "S: 250 STARTTLS"
#define BYE "C: QUIT", "S: 221 bye"
/* What HELLO and OFFER (or a bare "250 mx") give; the text of the facts begins with the ends. */
#define HELLO_FACTS "helo_form=fqdn greeting_code=220 ehlo=1"
#define GREET_REPLY "reply_greeting=1/0/0/0 reply_ehlo=1/0/0/0"

struct row {
    const char *name;
    const char *facts; /* all of enf_smtp_facts_text */
    const char *lines[LINES_MAX];
};

static const struct row rows[] = {
    {"a message",
     "protocol=smtp client_end=quit server_end=none " HELLO_FACTS
     " mail=1 rcpt=2 rcpt_max=2 data=1 messages=1 body_bytes=30 quit=1 mail_domains=1 "
     "offered=0x3f " GREET_REPLY " reply_mail=1/0/0/0 reply_rcpt=1/0/1/0 reply_data=0/1/0/0 "
     "reply_end-of-data=1/0/0/0 reply_other=1/0/0/0",
     {HELLO, OFFER, "C: MAIL FROM:<a@example.org>", "S: 250 ok", "C: RCPT TO:<b@example.net>", "S: 250 ok",
      "C: RCPT TO:<c@example.net>", "S: 450 later", "C: DATA", "S: 354 go", "C: Subject: x",
      "C: ", "C: MAIL FROM:<", "C: .", "S: 250 taken", BYE}},
    {"speaks before the greeting",
     "protocol=smtp client_end=none server_end=none helo_form=bare-name greeting_code=220 early_talk=1 "
     "helo=1 "
     "reply_greeting=1/0/0/0 reply_ehlo=1/0/0/0",
     {"C+ HELO friend", "S: 220 mx", "S: 250 mx"}},
    {"speaks before the whole greeting",
     "protocol=smtp client_end=none server_end=none helo_form=bare-name greeting_code=220 early_talk=1 "
     "helo=1 "
     "reply_greeting=1/0/0/0 reply_ehlo=1/0/0/0",
     {"S: 220-wait", "C: HELO friend", "S: 220 mx", "S: 250 mx"}},
    {"greeting refuses with a list",
     "protocol=smtp client_end=quit server_end=none greeting_code=554 quit=1 refused_listed=1 "
     "reply_greeting=0/0/0/1 reply_other=1/0/0/0",
     {"S: 554-mx", "S: 554 Service unavailable; blocked using zen.spamhaus.org", BYE}},
    {"pipelining that was offered",
     "protocol=smtp client_end=quit server_end=none " HELLO_FACTS
     " mail=1 rcpt=2 rcpt_max=2 data=1 messages=1 body_bytes=6 quit=1 pipelined=4 mail_domains=1 "
     "offered=0x3f " GREET_REPLY " reply_mail=1/0/0/0 reply_rcpt=2/0/0/0 reply_data=0/1/0/0 "
     "reply_end-of-data=1/0/0/0 reply_other=1/0/0/0",
     {HELLO, OFFER, "C: MAIL FROM:<a@example.org>", "C+ RCPT TO:<b@example.net>",
      "C+ RCPT TO:<c@example.net>", "C+ DATA", "S: 250 ok", "S: 250 ok", "S: 250 ok", "S: 354 go", "C: x",
      "C+ .", "C+ QUIT", "S: 250 taken", "S: 221 bye"}},
    {"pipelining that was not offered",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " mail=1 rcpt=1 rcpt_max=1 pipelined=1 pipelined_unoffered=1 mail_domains=1 " GREET_REPLY
     " reply_mail=1/0/0/0 reply_rcpt=1/0/0/0",
     {HELLO, "S: 250 mx", "C: MAIL FROM:<a@example.org>", "C+ RCPT TO:<b@example.net>", "S: 250 ok",
      "S: 250 ok"}},
    {"pipelining behind EHLO, which nobody can offer",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " mail=1 pipelined=1 pipelined_unoffered=1 mail_domains=1 offered=0x3f " GREET_REPLY
     " reply_mail=1/0/0/0",
     {HELLO, "C+ MAIL FROM:<a@example.org>", OFFER, "S: 250 ok"}},
    {"pipelining behind a second EHLO",
     "protocol=smtp client_end=none server_end=none helo_form=fqdn greeting_code=220 ehlo=2 mail=1 "
     "pipelined=1 "
     "pipelined_unoffered=1 mail_domains=1 offered=0x3f reply_greeting=1/0/0/0 reply_ehlo=2/0/0/0 "
     "reply_mail=1/0/0/0",
     {HELLO, OFFER, "C: EHLO client.example.org", "C+ MAIL FROM:<a@example.org>", OFFER, "S: 250 ok"}},
    {"an offer that HELO takes back",
     "protocol=smtp client_end=none server_end=none helo_form=fqdn greeting_code=220 ehlo=1 helo=1 mail=1 "
     "rcpt=1 "
     "rcpt_max=1 size_declared=1 size_declared_max=5 size_unoffered=1 pipelined=1 pipelined_unoffered=1 "
     "mail_domains=1 offered=0x3f reply_greeting=1/0/0/0 reply_ehlo=2/0/0/0 reply_mail=1/0/0/0 "
     "reply_rcpt=1/0/0/0",
     {HELLO, OFFER, "C: HELO client.example.org", "S: 250 mx", "C: MAIL FROM:<a@example.org> SIZE=5",
      "C+ RCPT TO:<b@example.net>", "S: 250 ok", "S: 250 ok"}},
    {"body before 354",
     "protocol=smtp client_end=quit server_end=none helo_form=bare-name greeting_code=220 helo=1 mail=1 "
     "rcpt=1 "
     "rcpt_max=1 data=1 messages=1 body_bytes=6 quit=1 pipelined=4 pipelined_unoffered=4 early_data=1 "
     "mail_domains=1 " GREET_REPLY " reply_mail=1/0/0/0 reply_rcpt=1/0/0/0 reply_data=0/1/0/0 "
     "reply_end-of-data=1/0/0/0 reply_other=1/0/0/0",
     {"S: 220 mx", "C: HELO bot", "C+ MAIL FROM:<a@b.example>", "C+ RCPT TO:<c@d.example>", "C+ DATA", "C+ x",
      "C+ .", "C+ QUIT", "S: 250 mx", "S: 250 ok", "S: 250 ok", "S: 354 go", "S: 250 ok", "S: 221 bye"}},
    {"DATA refused",
     "protocol=smtp client_end=quit server_end=none " HELLO_FACTS " data=1 quit=1 " GREET_REPLY
     " reply_data=0/0/0/1 reply_other=1/0/0/0",
     {HELLO, "S: 250 mx", "C: DATA", "S: 503 no", BYE}},
    {"BDAT",
     "protocol=smtp client_end=quit server_end=none " HELLO_FACTS
     " mail=1 rcpt=1 rcpt_max=1 bdat=3 bdat_last=1 messages=1 body_bytes=110 quit=1 pipelined=1 "
     "mail_domains=1 "
     "offered=0x3f " GREET_REPLY
     " reply_mail=1/0/0/0 reply_rcpt=1/0/0/0 reply_end-of-data=3/0/0/0 reply_other=1/0/0/0",
     {HELLO, OFFER, "C: MAIL FROM:<a@example.org>", "S: 250 ok", "C: RCPT TO:<b@example.net>", "S: 250 ok",
      "C: BDAT 100", "C. 100", "S: 250 100", "C: bdat 10", "C. 10", "C+ BDAT 0 last", "S: 250 10",
      "S: 250 taken", BYE}},
    {"BDAT that was not offered",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " bdat=1 bdat_last=1 body_bytes=3 bdat_unoffered=1 " GREET_REPLY " reply_end-of-data=0/0/0/1",
     {HELLO, "S: 250 mx", "C: BDAT 3 LAST", "C. 3", "S: 502 what"}},
    {"BDAT without a size",
     "protocol=smtp client_end=lost server_end=none " HELLO_FACTS
     " bdat=1 bdat_last=1 bdat_unoffered=1 " GREET_REPLY " reply_end-of-data=0/0/0/1",
     {HELLO, "S: 250 mx", "C: BDAT -1 LAST", "C: MAIL FROM:<a@example.org>", "S: 501 what", "S: 250 ok"}},
    {"SIZE and SMTPUTF8",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " mail=2 size_declared=2 size_declared_max=18446744073709551615 smtputf8=1 mail_domains=2 "
     "offered=0x3f " GREET_REPLY " reply_mail=1/0/0/1",
     {HELLO, OFFER, "C: MAIL FROM:<\xc3\xa4@\xc3\xb6.example> SIZE=77 BODY=8BITMIME smtputf8", "S: 250 ok",
      "C: mail from: <a@b.example> size=18446744073709551615 SIZE=1", "S: 503 nested"}},
    {"SIZE and SMTPUTF8 that were not offered",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " mail=1 size_declared=1 size_declared_max=77 size_unoffered=1 smtputf8=1 smtputf8_unoffered=1 "
     "mail_domains=1 " GREET_REPLY " reply_mail=0/0/0/1",
     {HELLO, "S: 250 mx", "C: MAIL FROM:<a@b.example> SIZE=77 SMTPUTF8", "S: 555 what"}},
    {"STARTTLS",
     "protocol=smtp client_end=starttls server_end=starttls " HELLO_FACTS
     " starttls=1 tls_accepted=1 offered=0x3f " GREET_REPLY " reply_other=1/0/0/0",
     {HELLO, OFFER, "C: STARTTLS", "S: 220 go", "C: MAIL FROM:<a@example.org>", "S: 250 ok"}},
    {"STARTTLS with a command smuggled behind it",
     "protocol=smtp client_end=starttls server_end=starttls " HELLO_FACTS
     " starttls=1 tls_accepted=1 offered=0x3f " GREET_REPLY " reply_other=1/0/0/0",
     {HELLO, OFFER, "C: STARTTLS", "C+ MAIL FROM:<a@example.org>", "S: 220 go"}},
    {"STARTTLS refused",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " mail=1 starttls=1 mail_domains=1 offered=0x3f " GREET_REPLY " reply_mail=1/0/0/0 reply_other=0/0/1/0",
     {HELLO, OFFER, "C: STARTTLS", "S: 454 not now", "C: MAIL FROM:<a@example.org>", "S: 250 ok"}},
    {"AUTH with lines that look like commands",
     "protocol=smtp client_end=quit server_end=none " HELLO_FACTS
     " auth=1 auth_accepted=1 quit=1 offered=0x3f " GREET_REPLY " reply_other=2/2/0/0",
     {HELLO, OFFER, "C: AUTH LOGIN", "S: 334 dXNlcg==", "C: QUIT", "S: 334 cGFzcw==", "C: DATA", "S: 235 in",
      BYE}},
    {"AUTH at once, refused",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " auth=2 auth_refused=2 rset=1 offered=0x3f " GREET_REPLY " reply_other=1/1/0/2",
     {HELLO, OFFER, "C: AUTH PLAIN c2VjcmV0", "S: 535 no", "C: AUTH PLAIN", "S: 334 ", "C: *",
      "S: 501 cancelled", "C: RSET", "S: 250 ok"}},
    {"RSET starts another message",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " mail=2 mail_null=1 rcpt=3 rcpt_max=2 rset=1 mail_domains=1 " GREET_REPLY
     " reply_mail=2/0/0/0 reply_rcpt=0/0/0/3 reply_other=1/0/0/0",
     {HELLO, "S: 250 mx", "C: MAIL FROM:<>", "S: 250 ok", "C: RCPT TO:<a@b.example>", "S: 550 no",
      "C: RCPT TO:<b@b.example>", "S: 550 no", "C: RSET", "S: 250 ok", "C: MAIL FROM:<@a,@b:c@d.example>",
      "S: 250 ok", "C: RCPT TO:<c@b.example>", "S: 550 no"}},
    {"names that change",
     "protocol=smtp client_end=none server_end=none helo_form=literal greeting_code=220 ehlo=3 helo=1 "
     "helo_changes=2 "
     "reply_greeting=1/0/0/0 reply_ehlo=4/0/0/0",
     {HELLO, "S: 250 mx", "C: EHLO CLIENT.example.ORG.", "S: 250 mx", "C: HELO other.example.org",
      "S: 250 mx", "C: EHLO [192.0.2.1]", "S: 250 mx"}},
    {"HTTP",
     "protocol=http client_end=not-smtp server_end=none greeting_code=220 reply_greeting=1/0/0/0",
     {"S: 220 mx", "C: GET / HTTP/1.1", "C: Host: mx", "S: 500 what"}},
    {"HTTP at once",
     "protocol=http client_end=not-smtp server_end=none greeting_code=220 early_talk=1 "
     "reply_greeting=1/0/0/0",
     {"C+ POST / HTTP/1.1", "C+ MAIL FROM:<a@b.example>", "S: 220 mx"}},
    {"TLS from the first byte",
     "protocol=tls client_end=not-smtp server_end=not-smtp",
     {"C+ \x16\x03\x01\x02", "S: \x16\x03\x03"}},
    {"nearly TLS",
     "protocol=other client_end=not-smtp server_end=none greeting_code=220 reply_greeting=1/0/0/0",
     {"S: 220 mx", "C: \x16\x04\x01\x02"}},
    {"bytes",
     "protocol=other client_end=not-smtp server_end=none greeting_code=220 reply_greeting=1/0/0/0",
     {"S: 220 mx", "C: \x80\x01\x02"}},
    {"words of another language",
     "protocol=other client_end=not-smtp server_end=none greeting_code=220 reply_greeting=1/0/0/0",
     {"S: 220 mx", "C: {\"json\": 1}"}},
    {"unknown commands",
     "protocol=smtp client_end=none server_end=none helo_form=empty greeting_code=220 ehlo=1 other=1 "
     "unknown=2 "
     "reply_greeting=1/0/0/0 reply_ehlo=0/0/0/1 reply_other=1/0/0/2",
     {"S: 220 mx", "C: X-HELLO", "S: 500 what", "C: EHLO", "S: 501 name?", "C: MAILFROM:<a@b.example>",
      "S: 500 what", "C: NOOP", "S: 250 ok"}},
    {"no SMTP server",
     "protocol=smtp client_end=quit server_end=not-smtp helo_form=fqdn ehlo=1 quit=1",
     {"S: SSH-2.0-x", "C: EHLO client.example.org", BYE}},
    {"a first line that is no reply",
     "protocol=unknown client_end=none server_end=not-smtp malformed_replies=1",
     {"S: 22 mx"}},
    {"a line of nothing between replies",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS " malformed_replies=2 " GREET_REPLY,
     {HELLO, "S: 250-mx", "S: hm", "S: 999 x", "S: 250 ok"}},
    {"LMTP answers for each recipient",
     "protocol=smtp client_end=quit server_end=none helo_form=bare-name greeting_code=220 lhlo=1 mail=1 "
     "rcpt=3 "
     "rcpt_max=3 data=1 messages=1 body_bytes=3 quit=1 mail_domains=1 " GREET_REPLY
     " reply_mail=1/0/0/0 reply_rcpt=2/0/0/1 reply_data=0/1/0/0 reply_end-of-data=1/0/0/1 "
     "reply_other=1/0/0/0",
     {"S: 220 mx", "C: LHLO x", "S: 250 mx", "C: MAIL FROM:<a@b.example>", "S: 250 ok", "C: RCPT TO:<1>",
      "S: 250 ok", "C: RCPT TO:<2>", "S: 550 no", "C: RCPT TO:<3>", "S: 250 ok", "C: DATA", "S: 354 go",
      "C: .", "S: 250 for 1", "S: 550 for 3", BYE}},
    {"a timeout",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS " unsolicited=1 " GREET_REPLY,
     {HELLO, "S: 250 mx", "S: 421 too slow"}},
    {"listed at RCPT",
     "protocol=smtp client_end=none server_end=none " HELLO_FACTS
     " mail=1 rcpt=3 rcpt_max=3 refused_listed=2 mail_domains=1 " GREET_REPLY
     " reply_mail=1/0/0/0 reply_rcpt=0/0/1/2",
     {HELLO, "S: 250 mx", "C: MAIL FROM:<a@b.example>", "S: 250 ok", "C: RCPT TO:<1@b.example>",
      "S: 550 5.7.1 client [192.0.2.1] BLOCKED", "C: RCPT TO:<2@b.example>", "S: 552-5.7.511 Access denied",
      "S: 552 our block list", "C: RCPT TO:<3@b.example>", "S: 450 4.7.1 blocked"}},
};

static void make(struct talk *talk, const char *const *lines)
{
    *talk = (struct talk){0};
    talk_open(talk);
    talk_script(talk, lines);
}

static struct enf_smtp_facts read_shape(const struct talk *talk, int shape, uint64_t *random)
{
    struct talk changed = {0};
    struct talk_reader reader;
    talk_reader_init(&reader);
    talk_reshape(talk, &changed, shape, 1, random);
    talk_read(&reader, &changed);
    talk_free(&changed);
    assert_int_equal(reader.memory.used, 0);
    return reader.session.smtp.facts;
}

static void test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct talk talk;
        make(&talk, rows[i].lines);
        for (uint64_t seed = 0; seed < (uint64_t)SEEDS * TALK_SHAPES; seed++) {
            int shape = (int)(seed % TALK_SHAPES);
            uint64_t random = seed;
            char text[ENF_SMTP_FACTS_TEXT];
            struct enf_smtp_facts facts = read_shape(&talk, shape, &random);
            enf_smtp_facts_text(&facts, text, sizeof(text));
            if (strcmp(text, rows[i].facts) != 0)
                fail_msg("%s, %s, seed %u:\n  expected %s\n  found    %s", rows[i].name,
                         talk_shape_names[shape], (unsigned)seed, rows[i].facts, text);
        }
        talk_free(&talk);
    }
}

/* What counts is what was known when a line was begun. */
static void test_begun_early(void **state)
{
    (void)state;
    static const char *const greeting[] = {"S: 220 mx", NULL};
    static const char *const reply[] = {"S: 250 mx", NULL};
    struct talk talk = {0};
    talk_open(&talk);
    talk_client_bytes(&talk, "HE", 2);
    talk_script(&talk, greeting);
    talk_client_bytes(&talk, "LO x\r\n", 6);
    talk_script(&talk, reply);
    for (uint64_t seed = 0; seed < (uint64_t)SEEDS * TALK_SHAPES; seed++) {
        uint64_t random = seed;
        struct enf_smtp_facts facts = read_shape(&talk, (int)(seed % TALK_SHAPES), &random);
        assert_true(facts.early_talk);
        assert_int_equal(facts.helo, 1);
    }
    talk_free(&talk);
}

/* --- bodies, byte by byte --- */

struct body_row {
    const char *name;
    const char *body;
    unsigned messages, loose_dots;
    size_t bytes;
};

/* In each the server answers 250 behind the whole text, and the client says NOOP with that answer received.
 */
static void test_bodies(void **state)
{
    (void)state;
    static const struct body_row bodies[] = {
        {"empty", ".\r\n", 1, 0, 3},
        {"a line", "x\r\n.\r\n", 1, 0, 6},
        {"a dot that is stuffed", "x\r\n..\r\n.\r\n", 1, 0, 10},
        {"a line that begins with a dot", ".x\r\n.\r\n", 1, 0, 7},
        {"two CR", "x\r\r\n.\r\n", 1, 0, 7},
        {"a dot and two CR", "x\r\n.\r\r\n.\r\n", 1, 0, 10},
        {"a CR alone", "x\r.\r\n.\r\n", 1, 0, 8},
        {"ended by LF alone, and answered", "x\n.\n", 1, 1, 4},
        {"ended by LF, dot, CRLF, and answered", "x\n.\r\n", 1, 1, 5},
        {"ended by CRLF, dot, LF, and answered", "x\r\n.\n", 1, 1, 5},
        {"a loose dot that is not answered", "x\n.\ny\r\n.\r\n", 1, 1, 10},
        {"a loose dot and CRLF, then the end", "x\n.\r\n.\r\n", 1, 1, 8},
        {"a command behind a loose dot", "x\n.\r\nMAIL FROM:<a@b.example>\r\n.\r\n", 1, 1, 33},
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        const struct body_row *row = &bodies[i];
        static const char *const before[] = {"S: 220 mx", "C: HELO x", "S: 250 mx",
                                             "C: DATA",   "S: 354 go", NULL};
        static const char *const after[] = {"S: 250 taken", "C: NOOP", "S: 250 ok", NULL};
        struct talk talk;
        make(&talk, before);
        talk_client_bytes(&talk, row->body, strlen(row->body));
        talk_script(&talk, after);
        for (uint64_t seed = 0; seed < TALK_SHAPES; seed++) {
            uint64_t random = seed;
            struct enf_smtp_facts facts = read_shape(&talk, (int)seed, &random);
            if (facts.messages != row->messages || facts.loose_dots != row->loose_dots ||
                facts.body_bytes != row->bytes || facts.other != 1 || facts.mail != 0)
                fail_msg("%s, %s: messages %u, loose dots %u, bytes %u, other %u, mail %u", row->name,
                         talk_shape_names[seed], facts.messages, facts.loose_dots, (unsigned)facts.body_bytes,
                         facts.other, facts.mail);
        }
        talk_free(&talk);
    }
}

/* --- limits --- */

static void test_long_lines(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t len; /* of the line without its end */
        const char *end;
        bool too_long;
    } cases[] = {
        {"just below", ENF_SMTP_LINE_MAX - 1, "\r\n", false},
        {"at the limit", ENF_SMTP_LINE_MAX, "\r\n", false},
        {"at the limit, bare LF", ENF_SMTP_LINE_MAX, "\n", false},
        {"above", ENF_SMTP_LINE_MAX + 1, "\r\n", true},
        {"above, bare LF", ENF_SMTP_LINE_MAX + 1, "\n", true},
        {"far above", 20000, "\r\n", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct enf_smtp smtp;
        uint32_t sequence = 100;
        static char line[20010];
        enf_smtp_init(&smtp, 1, true);
        feed_text(&smtp, "220 mx\r\n", &sequence);
        memset(line, 'x', cases[i].len);
        memcpy(line, "MAIL FROM:<a@b.example> X=", 26);
        strcpy(line + cases[i].len, cases[i].end);
        assert_int_equal(say(&smtp, line, sequence), strlen(line));
        assert_int_equal(say(&smtp, "RSET\r\n", sequence), 6);
        memset(line, 'y', cases[i].len);
        memcpy(line, "250 ", 4);
        strcpy(line + cases[i].len, cases[i].end);
        feed_text(&smtp, line, &sequence);
        feed_text(&smtp, "250 ok\r\n", &sequence);
        if (smtp.facts.long_lines != cases[i].too_long || smtp.facts.mail != 1 || smtp.facts.rset != 1 ||
            smtp.facts.mail_domains_len != !cases[i].too_long || smtp.facts.long_replies != cases[i].too_long)
            fail_msg("%s", cases[i].name);
        assert_int_equal(smtp.facts.replies[ENF_SMTP_STAGE_MAIL][ENF_SMTP_CLASS_2], 1);
        assert_int_equal(smtp.facts.replies[ENF_SMTP_STAGE_OTHER][ENF_SMTP_CLASS_2], 1);
    }
}

/* Not a byte of a line, and least of all of a credential, stays in the reader once the line is over. */
static void test_nothing_kept(void **state)
{
    (void)state;
    struct enf_smtp smtp;
    uint32_t sequence = 100;
    enf_smtp_init(&smtp, 1, true);
    feed_text(&smtp, "220 SECRET\r\n", &sequence);
    say(&smtp, "EHLO SECRET.example\r\n", sequence);
    feed_text(&smtp, "250 SECRET\r\n", &sequence);
    say(&smtp, "AUTH PLAIN SECRET\r\n", sequence);
    feed_text(&smtp, "334 SECRET\r\n", &sequence);
    assert_int_equal(say(&smtp, "SECR", sequence), 4);
    assert_null(memmem(&smtp, sizeof(smtp), "SECR", 4)); /* not even while it comes */
    say(&smtp, "ET\r\n", sequence);
    feed_text(&smtp, "235 SECRET\r\n", &sequence);
    say(&smtp, "MAIL FROM:<SECRET@SECRET.example>\r\nRCPT TO:<SECRET@SECRET.example>\r\nDATA\r\n", sequence);
    feed_text(&smtp, "250 x\r\n250 x\r\n354 SECRET\r\n", &sequence);
    say(&smtp, "SECRET\r\nSECRET", sequence);
    assert_int_equal(smtp.facts.auth_accepted, 1);
    assert_int_equal(smtp.facts.data, 1);
    assert_null(memmem(&smtp, sizeof(smtp), "SECRET", 6));
    assert_null(memmem(&smtp, sizeof(smtp), "secret", 6));
}

static void test_queue(void **state)
{
    (void)state;
    struct enf_smtp smtp;
    uint32_t sequence = 100;
    enf_smtp_init(&smtp, 1, true);
    feed_text(&smtp, "220 mx\r\n", &sequence);
    /* Like commands are one entry, however many. */
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(say(&smtp, "RCPT TO:<a@b.example>\r\n", sequence), 23);
    /* Unlike ones are not: the client waits at the cap, and goes on behind a reply. */
    for (unsigned i = 1; i < ENF_SMTP_QUEUE_MAX; i++)
        assert_int_equal(say(&smtp, i % 2 ? "NOOP\r\n" : "RSET\r\n", sequence), 6);
    assert_int_equal(say(&smtp, "QUIT\r\n", sequence), 0);
    for (unsigned i = 0; i < 999; i++)
        feed_text(&smtp, "250 ok\r\n", &sequence);
    assert_int_equal(say(&smtp, "QUIT\r\n", sequence), 0);
    feed_text(&smtp, "250 ok\r\n", &sequence);
    assert_int_equal(say(&smtp, "QUIT\r\n", sequence), 6);
    assert_int_equal(smtp.facts.rcpt, 1000);
    assert_int_equal(smtp.facts.pipelined, 1000);
    assert_int_equal(smtp.facts.replies[ENF_SMTP_STAGE_RCPT][ENF_SMTP_CLASS_2], 1000);
}

static void test_domains(void **state)
{
    (void)state;
    for (unsigned n = ENF_SMTP_DOMAINS_MAX - 1; n <= ENF_SMTP_DOMAINS_MAX + 1; n++) {
        struct enf_smtp smtp;
        uint32_t sequence = 100;
        char line[64];
        enf_smtp_init(&smtp, 1, true);
        feed_text(&smtp, "220 mx\r\n", &sequence);
        for (unsigned i = 0; i < 2 * n; i++) {
            (void)snprintf(line, sizeof(line), "MAIL FROM:<u%u@%s%u.example>\r\n", i, i % 2 ? "D" : "d",
                           i / 2);
            say(&smtp, line, sequence);
        }
        bool more = n > ENF_SMTP_DOMAINS_MAX;
        assert_int_equal(smtp.facts.mail_domains_len, more ? ENF_SMTP_DOMAINS_MAX : n);
        assert_int_equal(smtp.facts.mail_domains_more, more);
    }
}

static void test_seed(void **state)
{
    (void)state;
    struct enf_smtp a, b, c;
    enf_smtp_init(&a, 1, true);
    enf_smtp_init(&b, 1, true);
    enf_smtp_init(&c, 2, true);
    say(&a, "HELO Host.example\r\n", 0);
    say(&b, "EHLO hosT.EXAMPLE.\r\n", 0);
    say(&c, "HELO Host.example\r\n", 0);
    assert_int_not_equal(a.facts.helo_hash, 0);
    assert_true(a.facts.helo_hash == b.facts.helo_hash);
    assert_true(a.facts.helo_hash != c.facts.helo_hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),  cmocka_unit_test(test_begun_early),  cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_long_lines), cmocka_unit_test(test_nothing_kept), cmocka_unit_test(test_queue),
        cmocka_unit_test(test_domains),    cmocka_unit_test(test_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
