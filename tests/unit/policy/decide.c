/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every way a conviction can end, row by row, with the words a help desk reads out. */
#include "enforcer/policy/decide.h"
#include "enforcer/core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR 3600000ULL
#define NOW  1772366400000ULL /* 2026-03-01T12:00:00Z */

/* Of every row: a first conviction in a group of policy block, automatic on, level smtp, 1h 6h 24h 7d. */
#define GROUP(of) .now_ms = NOW, .policy = (of)
#define MANUAL    GROUP(ENF_POLICY_BLOCK)
#define PLAIN     MANUAL, .automatic = true
#define Q         ENF_DECISION_QUARANTINE

struct row {
    const char *name;
    struct enf_decide_facts facts;
    enum enf_level level; /* of the settings; NONE: smtp */
    enum enf_decision_kind kind;
    enum enf_level given;
    uint64_t hours;
    const char *words; /* to be found in the reason */
};

static const struct row ROWS[] = {
    {"first", {PLAIN}, 0, Q, ENF_LEVEL_SMTP, 1, "TCP/25 is refused for 1h (1st conviction)"},
    {"second", {PLAIN, .convictions = 1}, 0, Q, ENF_LEVEL_SMTP, 6, "for 6h (2nd conviction)"},
    {"third", {PLAIN, .convictions = 2}, 0, Q, ENF_LEVEL_SMTP, 24, "for 1d (3rd conviction)"},
    {"fourth", {PLAIN, .convictions = 3}, 0, Q, ENF_LEVEL_SMTP, 168, "for 7d (4th conviction)"},
    {"fifth repeats the last step", {PLAIN, .convictions = 4}, 0, Q, ENF_LEVEL_SMTP, 168, "(5th conviction)"},
    {"eleventh", {PLAIN, .convictions = 10}, 0, Q, ENF_LEVEL_SMTP, 168, "(11th conviction)"},
    {"22nd", {PLAIN, .convictions = 21}, 0, Q, ENF_LEVEL_SMTP, 168, "(22nd conviction)"},
    {"detector's words",
     {PLAIN, .what = "21 connections in 60s"},
     0,
     Q,
     ENF_LEVEL_SMTP,
     1,
     "21 connections in 60s: TCP/25 is refused"},
    {"inspect", {GROUP(ENF_POLICY_INSPECT), .automatic = true}, 0, Q, ENF_LEVEL_SMTP, 1, "TCP/25 is refused"},
    {"throttle", {PLAIN}, ENF_LEVEL_THROTTLE, Q, ENF_LEVEL_THROTTLE, 1, "only a few new connections"},
    {"full", {PLAIN}, ENF_LEVEL_FULL, Q, ENF_LEVEL_FULL, 1, "everything but the portal"},
    {"forgeable never leads to full",
     {PLAIN, .forgeable_only = true},
     ENF_LEVEL_FULL,
     Q,
     ENF_LEVEL_SMTP,
     1,
     "TCP/25"},
    {"forgeable at smtp", {PLAIN, .forgeable_only = true}, 0, Q, ENF_LEVEL_SMTP, 1, "TCP/25"},
    {"forgeable at throttle",
     {PLAIN, .forgeable_only = true},
     ENF_LEVEL_THROTTLE,
     Q,
     ENF_LEVEL_THROTTLE,
     1,
     ""},
    {"dynamic below the lease",
     {PLAIN, .dynamic = true, .lease_ms = 2 * HOUR},
     0,
     Q,
     ENF_LEVEL_SMTP,
     1,
     "1h"},
    {"dynamic at the lease", {PLAIN, .dynamic = true, .lease_ms = HOUR}, 0, Q, ENF_LEVEL_SMTP, 1, "1h"},
    {"dynamic above the lease",
     {PLAIN, .dynamic = true, .lease_ms = 5 * HOUR, .convictions = 1},
     0,
     Q,
     ENF_LEVEL_SMTP,
     5,
     "for 5h"},
    {"static has no lease", {PLAIN, .lease_ms = 1}, 0, Q, ENF_LEVEL_SMTP, 1, "1h"},
    {"relay", {PLAIN, .relay = true}, 0, ENF_DECISION_EXEMPT, ENF_LEVEL_NONE, 0, "authorised relay"},
    {"smarthost", {PLAIN, .smarthost = true}, 0, ENF_DECISION_EXEMPT, ENF_LEVEL_NONE, 0, "smarthost"},
    {"never", {PLAIN, .never = true}, 0, ENF_DECISION_EXEMPT, ENF_LEVEL_NONE, 0, "quarantine.never"},
    {"no group",
     {GROUP(ENF_POLICY_NONE), .automatic = true},
     0,
     ENF_DECISION_EXEMPT,
     ENF_LEVEL_NONE,
     0,
     "no group"},
    {"relay though observed",
     {PLAIN, .relay = true, .observe_mode = true},
     0,
     ENF_DECISION_EXEMPT,
     ENF_LEVEL_NONE,
     0,
     "not quarantined"},
    {"policy observe",
     {GROUP(ENF_POLICY_OBSERVE), .automatic = true},
     0,
     ENF_DECISION_WOULD_QUARANTINE,
     ENF_LEVEL_SMTP,
     1,
     "nothing is done; otherwise: TCP/25 is refused for 1h"},
    {"mode observe",
     {PLAIN, .observe_mode = true, .convictions = 1},
     0,
     ENF_DECISION_WOULD_QUARANTINE,
     ENF_LEVEL_SMTP,
     6,
     "observed only"},
    {"observed with a tripped governor",
     {PLAIN, .observe_mode = true, .governor_held = true},
     0,
     ENF_DECISION_WOULD_QUARANTINE,
     ENF_LEVEL_SMTP,
     1,
     "observed only"},
    {"automatic off",
     {MANUAL},
     0,
     ENF_DECISION_REPORT_ONLY,
     ENF_LEVEL_SMTP,
     1,
     "automatic is off; otherwise: TCP/25 is refused for 1h"},
    {"governor",
     {PLAIN, .governor_held = true},
     0,
     ENF_DECISION_HELD_BY_GOVERNOR,
     ENF_LEVEL_SMTP,
     1,
     "governor"},
    {"automatic off and governor",
     {MANUAL, .governor_held = true},
     0,
     ENF_DECISION_REPORT_ONLY,
     ENF_LEVEL_SMTP,
     1,
     "automatic is off"},
    {"serves a conviction",
     {PLAIN, .quarantined = {true, true, ENF_LEVEL_SMTP, NOW + 1}},
     0,
     ENF_DECISION_ALREADY,
     ENF_LEVEL_SMTP,
     1,
     "level smtp, by conviction, until 2026-03-01T12:00:00.001Z"},
    {"serves it at a weaker level",
     {PLAIN, .quarantined = {true, true, ENF_LEVEL_THROTTLE, NOW + 1}},
     0,
     Q,
     ENF_LEVEL_SMTP,
     1,
     "TCP/25 is refused"},
    {"by hand and shorter",
     {PLAIN, .quarantined = {true, false, ENF_LEVEL_SMTP, NOW + HOUR - 1}},
     0,
     Q,
     ENF_LEVEL_SMTP,
     1,
     "TCP/25 is refused"},
    {"by hand and as long",
     {PLAIN, .quarantined = {true, false, ENF_LEVEL_SMTP, NOW + HOUR}},
     0,
     ENF_DECISION_ALREADY,
     ENF_LEVEL_SMTP,
     1,
     "by hand"},
    {"by hand without end",
     {PLAIN, .quarantined = {true, false, ENF_LEVEL_SMTP, ENF_FOREVER}},
     0,
     ENF_DECISION_ALREADY,
     ENF_LEVEL_SMTP,
     1,
     "until released"},
    {"by hand, stronger and shorter",
     {PLAIN, .quarantined = {true, false, ENF_LEVEL_FULL, NOW + 1}},
     0,
     ENF_DECISION_ALREADY,
     ENF_LEVEL_SMTP,
     1,
     "level full"},
    {"already, and the governor",
     {PLAIN, .governor_held = true, .quarantined = {true, true, ENF_LEVEL_SMTP, NOW + 1}},
     0,
     ENF_DECISION_ALREADY,
     ENF_LEVEL_SMTP,
     1,
     "already"},
};

static struct enf_decide_settings settings(enum enf_level level)
{
    return (struct enf_decide_settings){
        .level = level ? level : ENF_LEVEL_SMTP,
        .duration_ms = 2 * HOUR,
        .escalation = {{HOUR}, {6 * HOUR}, {24 * HOUR}, {168 * HOUR}},
        .escalation_len = 4,
    };
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        struct enf_decide_settings set = settings(row->level);
        struct enf_decision got = enf_decide(&row->facts, &set);

        if (got.kind != row->kind || got.level != row->given || got.duration_ms != row->hours * HOUR ||
            got.until_ms != (row->hours ? NOW + row->hours * HOUR : 0) || !strstr(got.reason, row->words))
            fail_msg("%s: %s, %s, %llu ms, \"%s\"", row->name, enf_decision_kind_name(got.kind),
                     enf_level_name(got.level), (unsigned long long)got.duration_ms, got.reason);
        assert_int_equal(got.convictions, row->facts.convictions + 1);
    }
}

static void test_without_escalation(void **state)
{
    struct enf_decide_settings set = settings(0);
    struct enf_decide_facts facts = {PLAIN, .convictions = 7};
    struct enf_decision got;

    (void)state;
    set.escalation_len = 0;
    assert_true(enf_decide_duration(&set, 0) == 2 * HOUR);
    assert_true(enf_decide(&facts, &set).duration_ms == 2 * HOUR);
    set.duration_ms = ENF_FOREVER;
    facts.convictions = UINT32_MAX;
    got = enf_decide(&facts, &set);
    assert_true(got.until_ms == ENF_FOREVER);
    assert_int_equal(got.convictions, UINT32_MAX);
    assert_non_null(strstr(got.reason, "without end"));
    facts.dynamic = true;
    facts.lease_ms = HOUR;
    assert_true(enf_decide(&facts, &set).until_ms == NOW + HOUR);
}

/* Each step at its own level; what can be forged does not lead to full. */
static void test_ladder(void **state)
{
    struct enf_decide_settings set = settings(ENF_LEVEL_SMTP);
    static const enum enf_level wanted[] = {ENF_LEVEL_THROTTLE, ENF_LEVEL_SMTP, ENF_LEVEL_FULL,
                                            ENF_LEVEL_FULL};

    (void)state;
    set.escalation[0].level = ENF_LEVEL_THROTTLE;
    set.escalation[2].level = ENF_LEVEL_FULL;
    set.escalation_len = 3;
    for (uint32_t i = 0; i < 4; i++) {
        struct enf_decide_facts facts = {PLAIN, .convictions = i};
        assert_int_equal(enf_decide(&facts, &set).level, wanted[i]);
        assert_int_equal(enf_decide_level(&set, i + 1), wanted[i]);
        facts.forgeable_only = true;
        assert_true(enf_decide(&facts, &set).level <= ENF_LEVEL_SMTP);
        /* At the level of the first step, by conviction: the next step is more, and is given. */
        facts.quarantined.is = facts.quarantined.automatic = true;
        facts.quarantined.level = ENF_LEVEL_THROTTLE;
        facts.quarantined.until_ms = NOW + HOUR;
        assert_int_equal(enf_decide(&facts, &set).kind, i ? ENF_DECISION_QUARANTINE : ENF_DECISION_ALREADY);
    }
}

/* The longest words there are fit, and what was done is never what is cut. */
static void test_long_words(void **state)
{
    struct enf_decide_settings set = settings(ENF_LEVEL_THROTTLE);
    struct enf_decide_facts facts = {PLAIN, .convictions = UINT32_MAX - 1, .governor_held = true};
    char what[1000];

    (void)state;
    memset(what, 'w', sizeof(what) - 1);
    what[sizeof(what) - 1] = '\0';
    facts.what = what;
    set.escalation[3].duration_ms = 12345678901ULL;
    assert_non_null(strstr(enf_decide(&facts, &set).reason, "conviction)"));
    facts.governor_held = false;
    facts.automatic = false;
    assert_non_null(strstr(enf_decide(&facts, &set).reason, "conviction)"));
}

static struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out;

    assert_int_equal(enf_prefix_parse(text, &out), 0);
    return out;
}

static void test_touches(void **state)
{
    struct enf_rangemap_input input[] = {
        {prefix("192.0.2.0/24"), 0}, {prefix("198.51.100.7"), 0}, {prefix("2001:db8:0:105::9"), 0}};
    static const struct {
        const char *prefix;
        bool touches;
    } rows[] = {
        {"192.0.2.0", true},      {"192.0.2.255", true},         {"192.0.1.255", false},
        {"192.0.3.0", false},     {"198.51.100.6", false},       {"198.51.100.7", true},
        {"198.51.100.8", false},  {"198.51.100.0/24", true},     {"192.0.0.0/23", false},
        {"0.0.0.0/0", true},      {"255.255.255.255", false},    {"2001:db8:0:100::/56", true},
        {"2001:db8::/56", false}, {"2001:db8:0:105::/64", true}, {"::/0", true},
        {"ffff::/16", false},
    };
    struct enf_rangemap map = {0};
    struct enf_rangemap empty = {0};

    (void)state;
    assert_int_equal(enf_rangemap_build(input, 3, &map), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_prefix p = prefix(rows[i].prefix);

        if (enf_decide_touches(&map, &p) != rows[i].touches)
            fail_msg("%s", rows[i].prefix);
        assert_false(enf_decide_touches(&empty, &p));
    }
    enf_rangemap_clear(&map);
}

static void test_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ENF_DECISION_KIND_COUNT; i++)
        assert_non_null(enf_decision_kind_name((enum enf_decision_kind)i));
    assert_null(enf_decision_kind_name((enum enf_decision_kind)ENF_DECISION_KIND_COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_without_escalation),
        cmocka_unit_test(test_ladder),  cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_touches), cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
