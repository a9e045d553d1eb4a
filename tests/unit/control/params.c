/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parameters: the values, and the exact words when they are wrong. */
#include "enforcer/control/params.h"

#include "enforcer/core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define NOW_MS       1772366400000ULL /* 2026-03-01T12:00:00Z */

/* Each kind prints what it read into out. */
enum kind {
    KNOWN,
    TEXT,
    BOOL,
    INTEGER,
    CHOICE,
    ADDR,
    PREFIX,
    PREFIXES,
    DURATION,
    SINCE,
    EXPIRY,
    LEVEL,
    ACTIONS,
};

static int read_simple(enum kind kind, const json_t *params, enum enf_param need, char *out, size_t len,
                       struct enf_control_error *error)
{
    static const char *const names[] = {"k", NULL};
    static const char *const choices[] = {"one", "two", "three", NULL};
    const char *text = "untouched";
    bool flag = false;
    int64_t number = 0;
    size_t index = 0;
    int rc = 0;

    if (kind == KNOWN) {
        rc = enf_params_known(params, names, error);
        snprintf(out, len, "known");
    } else if (kind == TEXT) {
        rc = enf_params_text(params, "k", need, 8, &text, error);
        snprintf(out, len, "%s", text);
    } else if (kind == BOOL) {
        rc = enf_params_bool(params, "k", need, &flag, error);
        snprintf(out, len, "%d", flag);
    } else if (kind == INTEGER) {
        rc = enf_params_integer(params, "k", need, 1, 1000, &number, error);
        snprintf(out, len, "%lld", (long long)number);
    } else {
        rc = enf_params_choice(params, "k", need, choices, &index, error);
        snprintf(out, len, "%zu", index);
    }
    return rc;
}

static int read_prefixes(const json_t *params, enum enf_param need, char *out, size_t len,
                         struct enf_control_error *error)
{
    struct enf_prefix *prefixes = NULL;
    size_t prefixes_len = 0;
    int rc = enf_params_prefixes(params, "k", need, &prefixes, &prefixes_len, error);
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < prefixes_len && used < len; i++) {
        char buf[ENF_PREFIX_STR_LEN];

        used +=
            (size_t)snprintf(out + used, len - used, "%s ", enf_prefix_str(&prefixes[i], buf, sizeof(buf)));
    }
    free(prefixes);
    return rc;
}

static int read_value(enum kind kind, const json_t *params, enum enf_param need, char *out, size_t len,
                      struct enf_control_error *error)
{
    enum enf_level level = ENF_LEVEL_NONE;
    struct enf_prefix prefix = {0};
    struct enf_addr addr = {0};
    uint64_t number = 0;
    int rc;

    if (kind == PREFIXES)
        return read_prefixes(params, need, out, len, error);
    if (kind == ADDR) {
        rc = enf_params_addr(params, "k", need, &addr, error);
        enf_addr_str(&addr, out, len);
    } else if (kind == PREFIX) {
        rc = enf_params_prefix(params, "k", need, &prefix, error);
        enf_prefix_str(&prefix, out, len);
    } else if (kind == LEVEL) {
        rc = enf_params_level(params, "k", need, &level, error);
        snprintf(out, len, "%d", level);
    } else {
        if (kind == DURATION)
            rc = enf_params_duration(params, "k", need, &number, error);
        else if (kind == SINCE)
            rc = enf_params_since(params, "k", need, NOW_MS, &number, error);
        else if (kind == EXPIRY)
            rc = enf_params_expiry(params, "k", need, NOW_MS, &number, error);
        else
            rc = enf_params_actions(params, "k", need, &number, error);
        snprintf(out, len, "%llu", (unsigned long long)number);
    }
    return rc;
}

static void test_table(void **state)
{
    static const struct {
        const char *name;
        enum kind kind;
        int rc;
        const char *params;
        const char *out; /* what was read, or the message */
    } rows[] = {
        {"known", KNOWN, 0, "{\"k\":1}", "known"},
        {"known, none", KNOWN, 0, "{}", "known"},
        {"unknown", KNOWN, -1, "{\"k\":1,\"kk\":2}", "unknown parameter \"kk\""},
        {"text", TEXT, 1, "{\"k\":\"abc\"}", "abc"},
        {"text, empty", TEXT, 1, "{\"k\":\"\"}", ""},
        {"text, at", TEXT, 1, "{\"k\":\"12345678\"}", "12345678"},
        {"text, above", TEXT, -1, "{\"k\":\"123456789\"}",
         "k: expected text of at most 8 bytes, found \"123456789\""},
        {"text, number", TEXT, -1, "{\"k\":5}", "k: expected text, found 5"},
        {"text, missing", TEXT, -1, "{}", "k: missing, expected text"},
        {"text, null", TEXT, -1, "{\"k\":null}", "k: missing, expected text"},
        {"text, newline", TEXT, -1, "{\"k\":\"a\\nb\"}",
         "k: expected text without control characters, found \"a?b\""},
        {"text, escape", TEXT, -1, "{\"k\":\"a\\u001bb\"}",
         "k: expected text without control characters, found \"a?b\""},
        {"text, c1", TEXT, -1, "{\"k\":\"a\\u009bb\"}",
         "k: expected text without control characters, found \"a??b\""},
        {"text, beyond c1", TEXT, 1, "{\"k\":\"\\u00a0\"}", "\xc2\xa0"},
        {"bool", BOOL, 1, "{\"k\":true}", "1"},
        {"bool, false", BOOL, 1, "{\"k\":false}", "0"},
        {"bool, text", BOOL, -1, "{\"k\":\"yes\"}", "k: expected true or false, found \"yes\""},
        {"integer, below", INTEGER, -1, "{\"k\":0}", "k: expected a whole number from 1 to 1000, found 0"},
        {"integer, at low", INTEGER, 1, "{\"k\":1}", "1"},
        {"integer, at high", INTEGER, 1, "{\"k\":1000}", "1000"},
        {"integer, above", INTEGER, -1, "{\"k\":1001}",
         "k: expected a whole number from 1 to 1000, found 1001"},
        {"integer, real", INTEGER, -1, "{\"k\":1.5}",
         "k: expected a whole number from 1 to 1000, found a number with a fraction"},
        {"choice", CHOICE, 1, "{\"k\":\"three\"}", "2"},
        {"choice, wrong", CHOICE, -1, "{\"k\":\"four\"}",
         "k: expected \"one\", \"two\" or \"three\", found \"four\""},
        {"choice, list", CHOICE, -1, "{\"k\":[\"one\"]}",
         "k: expected \"one\", \"two\" or \"three\", found a list"},
        {"addr", ADDR, 1, "{\"k\":\"192.0.2.1\"}", "192.0.2.1"},
        {"addr, prefix", ADDR, -1, "{\"k\":\"192.0.2.0/24\"}",
         "k: expected an address, found \"192.0.2.0/24\""},
        {"prefix", PREFIX, 1, "{\"k\":\"2001:db8::/32\"}", "2001:db8::/32"},
        {"prefix, host bits", PREFIX, -1, "{\"k\":\"192.0.2.1/24\"}",
         "k: expected a prefix without bits beyond its length (192.0.2.0/24), found \"192.0.2.1/24\""},
        {"prefix, nonsense", PREFIX, -1, "{\"k\":\"mail\"}",
         "k: expected an address or a prefix, found \"mail\""},
        {"prefixes", PREFIXES, 1, "{\"k\":[\"192.0.2.1\",\"192.0.2.0/24\",\"2001:db8::1\"]}",
         "192.0.2.1 192.0.2.0/24 2001:db8::1 "},
        {"prefixes, none", PREFIXES, -1, "{\"k\":[]}", "k: expected a list, found an empty list"},
        {"prefixes, text", PREFIXES, -1, "{\"k\":\"192.0.2.1\"}", "k: expected a list, found \"192.0.2.1\""},
        {"prefixes, number", PREFIXES, -1, "{\"k\":[\"192.0.2.1\",7]}", "k[1]: expected text, found 7"},
        {"prefixes, bad", PREFIXES, -1, "{\"k\":[\"192.0.2.1\",\"192.0.2.256\"]}",
         "k[1]: expected an address or a prefix, found \"192.0.2.256\""},
        {"duration", DURATION, 1, "{\"k\":\"10m\"}", "600000"},
        {"duration, forever", DURATION, 1, "{\"k\":\"forever\"}", "18446744073709551615"},
        {"duration, zero", DURATION, -1, "{\"k\":\"0s\"}",
         "k: expected a duration from 1s to 3650d, or \"forever\", found \"0s\""},
        {"duration, no unit", DURATION, -1, "{\"k\":\"10\"}",
         "k: expected a duration like \"30s\", \"10m\", \"1h\", \"7d\", or \"forever\", found \"10\""},
        {"since, duration", SINCE, 1, "{\"k\":\"1h\"}", "1772362800000"},
        {"since, time", SINCE, 1, "{\"k\":\"2026-03-01T11:00:00Z\"}", "1772362800000"},
        {"expiry, duration", EXPIRY, 1, "{\"k\":\"1h\"}", "1772370000000"},
        {"expiry, time", EXPIRY, 1, "{\"k\":\"2026-03-01T13:00:00Z\"}", "1772370000000"},
        {"expiry, last day", EXPIRY, 1, "{\"k\":\"2026-03-01\"}", "1772409600000"},
        {"expiry, never", EXPIRY, 1, "{\"k\":\"forever\"}", "18446744073709551615"},
        {"expiry, over", EXPIRY, -1, "{\"k\":\"2026-02-28\"}",
         "k: expected a time to come, found \"2026-02-28\""},
        {"expiry, now", EXPIRY, -1, "{\"k\":\"2026-03-01T12:00:00Z\"}",
         "k: expected a time to come, found \"2026-03-01T12:00:00Z\""},
        {"expiry, nonsense", EXPIRY, -1, "{\"k\":\"soon\"}",
         "k: expected a date like \"2027-01-31\", a time like \"2027-01-31T12:00:00Z\", a duration like "
         "\"30d\", or "
         "\"forever\", found \"soon\""},
        {"since, nonsense", SINCE, -1, "{\"k\":\"yesterday\"}",
         "k: expected a duration like \"10m\" or a time like \"2026-03-01T12:00:00Z\", found \"yesterday\""},
        {"level", LEVEL, 1, "{\"k\":\"full\"}", "3"},
        {"level, none", LEVEL, -1, "{\"k\":\"none\"}",
         "k: expected \"throttle\", \"smtp\" or \"full\", found \"none\""},
        {"actions", ACTIONS, 1, "{\"k\":[\"started\",\"ruleset-installed\"]}", "5"},
        {"actions, unknown", ACTIONS, -1, "{\"k\":[\"started\",\"stoped\"]}",
         "k[1]: expected the name of an event, like \"quarantined\", found \"stoped\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct enf_control_error error = {0};
        json_t *params = json_loads(rows[i].params, 0, NULL);
        char out[512] = "";
        int rc;

        assert_non_null(params);
        rc = rows[i].kind <= CHOICE
                 ? read_simple(rows[i].kind, params, ENF_PARAM_REQUIRED, out, sizeof(out), &error)
                 : read_value(rows[i].kind, params, ENF_PARAM_REQUIRED, out, sizeof(out), &error);
        if ((rc < 0 ? -1 : rc) != rows[i].rc || strcmp(rc < 0 ? error.message : out, rows[i].out) != 0)
            fail_msg("%s: %d %s", rows[i].name, rc, rc < 0 ? error.message : out);
        assert_int_equal(error.code, rc < 0 ? ENF_CONTROL_PARAMS : 0);
        enf_control_error_clear(&error);
        json_decref(params);
    }
}

static void test_absent(void **state)
{
    json_t *params = json_object();

    (void)state;
    for (int kind = TEXT; kind <= ACTIONS; kind++) {
        struct enf_control_error error = {0};
        char out[512];
        int rc = kind <= CHOICE
                     ? read_simple((enum kind)kind, params, ENF_PARAM_OPTIONAL, out, sizeof(out), &error)
                     : read_value((enum kind)kind, params, ENF_PARAM_OPTIONAL, out, sizeof(out), &error);

        assert_int_equal(rc, 0);
        assert_int_equal(error.code, 0);
    }
    json_decref(params);
}

static void test_list_cap(void **state)
{
    (void)state;
    for (size_t len = ENF_PARAM_ADDRESSES_MAX - 1; len <= ENF_PARAM_ADDRESSES_MAX + 1; len++) {
        struct enf_control_error error = {0};
        json_t *params = json_pack("{s:[]}", "k");
        struct enf_prefix *out = NULL;
        size_t out_len = 0;
        int rc;

        for (size_t i = 0; i < len; i++)
            json_array_append_new(json_object_get(params, "k"), json_string("192.0.2.1"));
        rc = enf_params_prefixes(params, "k", ENF_PARAM_REQUIRED, &out, &out_len, &error);
        if (len <= ENF_PARAM_ADDRESSES_MAX) {
            assert_int_equal(rc, 1);
            assert_int_equal(out_len, len);
        } else {
            assert_true(rc < 0);
            assert_string_equal(error.message, "k: expected at most 10000, found 10001");
            assert_string_equal(json_string_value(json_object_get(error.data, "param")), "k");
        }
        free(out);
        enf_control_error_clear(&error);
        json_decref(params);
    }
}

static void test_long_message_is_cut(void **state)
{
    struct enf_control_error error = {0};
    char text[2 * ENF_CONTROL_MESSAGE_LEN];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    enf_control_fail(&error, ENF_CONTROL_REFUSED, "%s", text);
    assert_int_equal(strlen(error.message), ENF_CONTROL_MESSAGE_LEN - 1);
    enf_control_error_clear(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_list_cap),
        cmocka_unit_test(test_long_message_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
