/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names, paths, refusals and greetings, as they are and as they should not be. */
#include "tests/unit/inspect/feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_helo_forms(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum enf_helo_form form;
    } cases[] = {
        {"host.example.net", ENF_HELO_FQDN},
        {"HOST-1.example.net.", ENF_HELO_FQDN},
        {"win_pc.example.net", ENF_HELO_FQDN},
        {"b\xc3\xbc"
         "cher.example",
         ENF_HELO_FQDN},
        {"localhost", ENF_HELO_BARE_NAME},
        {"x", ENF_HELO_BARE_NAME},
        {"", ENF_HELO_EMPTY},
        {"   ", ENF_HELO_EMPTY},
        {"[192.0.2.1]", ENF_HELO_LITERAL},
        {"[IPv6:2001:db8::1]", ENF_HELO_LITERAL},
        {"[ipv6:::1]", ENF_HELO_LITERAL},
        {"[2001:db8::1]", ENF_HELO_GARBAGE},
        {"[IPv6:192.0.2.1]", ENF_HELO_GARBAGE},
        {"[192.0.2.256]", ENF_HELO_GARBAGE},
        {"[]", ENF_HELO_GARBAGE},
        {"[", ENF_HELO_GARBAGE},
        {"192.0.2.1", ENF_HELO_BARE_ADDRESS},
        {"2001:db8::1", ENF_HELO_BARE_ADDRESS},
        {"two words", ENF_HELO_GARBAGE},
        {"-x.example", ENF_HELO_GARBAGE},
        {"x-.example", ENF_HELO_GARBAGE},
        {"a..b", ENF_HELO_GARBAGE},
        {".", ENF_HELO_GARBAGE},
        {".a", ENF_HELO_GARBAGE},
        {"user@host.example", ENF_HELO_GARBAGE},
        {"ab\x01.example", ENF_HELO_GARBAGE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct enf_smtp smtp;
        char line[128];
        enf_smtp_init(&smtp, 1, true);
        (void)snprintf(line, sizeof(line), "EHLO %s\r\n", cases[i].name);
        say(&smtp, line, 0);
        if (smtp.facts.helo_form != cases[i].form)
            fail_msg("\"%s\": %s", cases[i].name,
                     enf_helo_form_name((enum enf_helo_form)smtp.facts.helo_form));
    }
    for (unsigned len = 62; len <= 64; len++) {
        struct enf_smtp smtp;
        char line[128];
        enf_smtp_init(&smtp, 1, true);
        (void)snprintf(line, sizeof(line), "EHLO %.*s.example\r\n", (int)len,
                       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        say(&smtp, line, 0);
        assert_int_equal(smtp.facts.helo_form, len > 63 ? ENF_HELO_GARBAGE : ENF_HELO_FQDN);
    }
}

static void test_paths(void **state)
{
    (void)state;
    /* All with a domain are of d.example. */
    static const struct {
        const char *line;
        bool invalid, null, domain;
    } cases[] = {
        {"MAIL FROM:<a@d.example>", false, false, true},
        {"mail  from : <a@D.Example.> SIZE=1", false, false, true},
        {"MAIL FROM:a@d.example", false, false, true},
        {"MAIL FROM:a@d.example BODY=7BIT", false, false, true},
        {"MAIL FROM:<@x.example,@y.example:a@d.example>", false, false, true},
        {"MAIL FROM:<\"a@b> c\"@d.example>", false, false, true},
        {"MAIL FROM:<\"a\\\"@b>\"@d.example>", false, false, true},
        {"MAIL FROM:<a@d.example>BODY=7BIT", false, false, true},
        {"MAIL FROM:<>", false, true, false},
        {"MAIL FROM:<postmaster>", false, false, false},
        {"MAIL FROM:<a@>", false, false, false},
        {"MAIL FROM:", true, false, false},
        {"MAIL FROM:<a@d.example", true, false, false},
        {"MAIL FROM:<\"a@d.example>", true, false, false},
        {"MAIL FROM:<\"a\\", true, false, false},
        {"MAIL FROM a@d.example", true, false, false},
        {"MAIL", true, false, false},
        {"MAIL TO:<a@d.example>", true, false, false},
    };
    struct enf_smtp reference;
    enf_smtp_init(&reference, 1, true);
    say(&reference, "MAIL FROM:<x@d.example>\r\n", 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct enf_smtp smtp;
        char line[128];
        enf_smtp_init(&smtp, 1, true);
        (void)snprintf(line, sizeof(line), "%s\r\n", cases[i].line);
        say(&smtp, line, 0);
        bool domain = smtp.facts.mail_domains_len == 1;
        if (smtp.facts.mail != 1 || smtp.facts.mail_invalid != cases[i].invalid ||
            smtp.facts.mail_null != cases[i].null || domain != cases[i].domain ||
            (domain && smtp.facts.mail_domains[0] != reference.facts.mail_domains[0]))
            fail_msg("\"%s\": invalid %u, null %u, domains %u", cases[i].line, smtp.facts.mail_invalid,
                     smtp.facts.mail_null, smtp.facts.mail_domains_len);
    }
}

static void test_blocklist(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        bool listed;
    } cases[] = {
        {"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", true},
        {"550 SC-001 Mail rejected for policy reasons: IP on our Block List", true},
        {"550 5.7.1 192.0.2.1 has been blocked by psbl", true},
        {"553 sorry, your mailserver is listed in bl.example", true},
        {"571 http://rbl.example/", true},
        {"521 DNSBL:RBL 521< 192.0.2.1 >_is_blocked", true},
        {"599 5.7.1 blacklisted", true},
        {"550 5.1.1 User unknown", false},
        {"550 5.1.1 Verbly unblockedness", false},
        {"552 5.2.2 mailbox blocked", false},
        {"500 blocked", false},
        {"450 4.7.1 blocked using zen.spamhaus.org", false},
        {"250 2.0.0 blocklist", false},
        {"550", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct enf_smtp smtp;
        uint32_t sequence = 0;
        char line[128];
        enf_smtp_init(&smtp, 1, true);
        (void)snprintf(line, sizeof(line), "%s\r\n", cases[i].reply);
        feed_text(&smtp, line, &sequence);
        if (smtp.facts.refused_listed != cases[i].listed)
            fail_msg("\"%s\"", cases[i].reply);
    }
}

/* --- real greetings --- */

/* Calls fn for each text of an <example> element; the marks that matter are unescaped. Returns how many. */
static unsigned each_example(char *xml, void (*fn)(const char *text))
{
    unsigned count = 0;
    for (char *at = strstr(xml, "<example"); at; at = strstr(at, "<example")) {
        char *text = strchr(at, '>');
        char *end = text ? strstr(text, "</example>") : NULL;
        if (!end)
            break;
        at = end + 1;
        if (text[-1] == '/' || memchr(text, '\n', (size_t)(end - text)))
            continue;
        *end = '\0';
        fn(text + 1);
        count++;
    }
    return count;
}

static void try_banner(const char *text)
{
    struct enf_smtp smtp;
    uint32_t sequence = 0;
    char line[1024];
    enf_smtp_init(&smtp, 1, true);
    (void)snprintf(line, sizeof(line), "220-%s\r\n220 %s\r\n", text, text);
    feed_text(&smtp, line, &sequence);
    assert_int_equal(smtp.facts.greeting_code, 220);
    say(&smtp, "EHLO client.example.org\r\n", sequence);
    (void)snprintf(line, sizeof(line), "250-%s\r\n250-SIZE\r\n250 PIPELINING\r\n", text);
    feed_text(&smtp, line, &sequence);
    assert_int_equal(smtp.facts.offered, ENF_SMTP_SIZE | ENF_SMTP_PIPELINING);
    assert_int_equal(smtp.facts.refused_listed, 0);
    assert_int_equal(smtp.facts.malformed_replies, 0);
    assert_false(smtp.facts.early_talk);
}

static void test_real_banners(void **state)
{
    (void)state;
    static char xml[1 << 20];
    const char *data = getenv("ENFORCER_DATA");
    char command[600];
    if (!data) {
        print_message("skipped: ENFORCER_DATA names no folder with dialogues\n");
        skip();
    }
    (void)snprintf(command, sizeof(command), "gzip -dc '%s/dialogues/recog_smtp_banners.xml.gz'", data);
    FILE *pipe = popen(command, "r"); /* NOLINT: a path of whoever runs the tests */
    assert_non_null(pipe);
    size_t len = fread(xml, 1, sizeof(xml) - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    xml[len] = '\0';
    assert_true(each_example(xml, try_banner) > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_helo_forms),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_blocklist),
        cmocka_unit_test(test_real_banners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
