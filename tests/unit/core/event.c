/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the enumerations: each has one, no two the same, and the way back gives the value. */
#include "enforcer/core/event.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* One enumeration behind plain numbers. from may be NULL: no way back. */
struct family {
    const char *what;
    unsigned count;
    const char *(*name)(unsigned value);
    int (*from)(const char *name, unsigned *out);
};

#define NAME(function, type)                                                                                 \
    static const char *function##_(unsigned value)                                                           \
    {                                                                                                        \
        return function((type)value);                                                                        \
    }
#define FROM(function, type)                                                                                 \
    static int function##_(const char *name, unsigned *out)                                                  \
    {                                                                                                        \
        type value = (type)*out;                                                                             \
        int err = function(name, &value);                                                                    \
        *out = (unsigned)value;                                                                              \
        return err;                                                                                          \
    }
NAME(enf_policy_name, enum enf_policy)
NAME(enf_level_name, enum enf_level)
NAME(enf_verdict_name, enum enf_verdict)
NAME(enf_evidence_kind_name, enum enf_evidence_kind)
NAME(enf_event_action_name, enum enf_event_action)
NAME(enf_event_outcome_name, enum enf_event_outcome)
FROM(enf_policy_from_name, enum enf_policy)
FROM(enf_level_from_name, enum enf_level)
FROM(enf_event_action_from_name, enum enf_event_action)

static const struct family families[] = {
    {"policy", ENF_POLICY_COUNT, enf_policy_name_, enf_policy_from_name_},
    {"level", ENF_LEVEL_COUNT, enf_level_name_, enf_level_from_name_},
    {"verdict", ENF_VERDICT_COUNT, enf_verdict_name_, NULL},
    {"evidence", ENF_EVIDENCE_KIND_COUNT, enf_evidence_kind_name_, NULL},
    {"action", ENF_EVENT_ACTION_COUNT, enf_event_action_name_, enf_event_action_from_name_},
    {"outcome", ENF_EVENT_OUTCOME_COUNT, enf_event_outcome_name_, NULL},
};
#define FAMILIES (sizeof families / sizeof *families)

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < FAMILIES; i++) {
        const struct family *f = &families[i];
        for (unsigned v = 0; v < f->count; v++) {
            const char *name = f->name(v);
            if (!name || !*name)
                fail_msg("%s %u has no name", f->what, v);
            for (const char *p = name; *p; p++)
                assert_true(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '-');
            for (unsigned w = 0; w < v; w++) {
                if (strcmp(name, f->name(w)) == 0)
                    fail_msg("%s %u and %u are both %s", f->what, w, v, name);
            }
            unsigned back = f->count;
            if (f->from && (f->from(name, &back) != 0 || back != v))
                fail_msg("%s %s comes back as %u", f->what, name, back);
        }
    }
}

static void test_out_of_range(void **state)
{
    static const unsigned beyond[] = {0, 1, 1000, 0x7fffffff};

    (void)state;
    for (size_t i = 0; i < FAMILIES; i++) {
        for (size_t j = 0; j < sizeof beyond / sizeof *beyond; j++)
            assert_null(families[i].name(families[i].count + beyond[j]));
        assert_null(families[i].name((unsigned)-1));
    }
}

static void test_unknown_names(void **state)
{
    static const char *const names[] = {"", " ", "Block", "block ", "blockx", "bloc", "smtpx", "-", "nobody"};

    (void)state;
    for (size_t i = 0; i < FAMILIES; i++) {
        for (size_t j = 0; families[i].from && j < sizeof names / sizeof *names; j++) {
            unsigned value = 2;
            assert_int_equal(families[i].from(names[j], &value), -EINVAL);
            assert_int_equal(value, 2);
        }
    }
}

/* The contract with users: these spellings never change. */
static void test_spelling(void **state)
{
    (void)state;
    assert_string_equal(enf_policy_name(ENF_POLICY_INSPECT), "inspect");
    assert_string_equal(enf_level_name(ENF_LEVEL_THROTTLE), "throttle");
    assert_string_equal(enf_level_name(ENF_LEVEL_SMTP), "smtp");
    assert_string_equal(enf_level_name(ENF_LEVEL_FULL), "full");
    assert_string_equal(enf_verdict_name(ENF_VERDICT_ZOMBIE), "zombie");
    static const char *const actions[] = {
        "started",
        "stopped",
        "ruleset-installed",
        "ruleset-tampered",
        "ruleset-restored",
        "config-reloaded",
        "config-rejected",
        "egress-blocked",
        "source-spoofed",
        "inbound-spoofed",
        "bogon-dropped",
        "trap-hit",
        "zombie-detected",
        "suspect",
        "would-quarantine",
        "quarantined",
        "quarantine-extended",
        "released",
        "quarantine-expired",
        "relay-added",
        "relay-removed",
        "mode-changed",
        "access-denied",
        "telemetry-lost",
        "telemetry-restored",
        "governor-tripped",
        "governor-reset",
        "coverage-lost",
        "coverage-restored",
        "subscriber-reassigned",
        "connections-cut",
        "hook-failed",
        "hook-dropped",
        "config-confirmed",
        "config-reverted",
        "relay-unused",
        "relay-expired",
        "relay-lapsed",
        "relay-suspect",
    };
    for (unsigned i = 0; i < sizeof actions / sizeof *actions; i++)
        assert_string_equal(enf_event_action_name((enum enf_event_action)i), actions[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
