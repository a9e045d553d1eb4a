/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durations and times as text: both ways, at the bounds, and from hostile input. */
#include "enforcer/core/text.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000ULL
#define DAY    (86400 * SECOND)

static const struct {
    const char *text;
    int err;
    uint64_t ms;
    const char *printed; /* NULL: as text */
} durations[] = {
    {"1s", 0, SECOND, NULL},
    {"59s", 0, 59 * SECOND, NULL},
    {"60s", 0, 60 * SECOND, "1m"},
    {"61s", 0, 61 * SECOND, NULL},
    {"90m", 0, 90 * 60 * SECOND, NULL},
    {"24h", 0, DAY, "1d"},
    {"25h", 0, 25 * 3600 * SECOND, NULL},
    {"7d", 0, 7 * DAY, NULL},
    {"3649d", 0, 3649 * DAY, NULL},
    {"3650d", 0, ENF_DURATION_MAX, NULL},
    {"3651d", -ERANGE, 0, NULL},
    {"87600h", 0, ENF_DURATION_MAX, "3650d"},
    {"87601h", -ERANGE, 0, NULL},
    {"5256000m", 0, ENF_DURATION_MAX, "3650d"},
    {"5256001m", -ERANGE, 0, NULL},
    {"315360000s", 0, ENF_DURATION_MAX, "3650d"},
    {"315360001s", -ERANGE, 0, NULL},
    {"007d", 0, 7 * DAY, "7d"},
    {"0s", -ERANGE, 0, NULL},
    {"0d", -ERANGE, 0, NULL},
    {"000000000000000000000000s", -ERANGE, 0, NULL},
    {"18446744073709551616s", -ERANGE, 0, NULL}, /* 2^64 */
    {"18446744073709551617d", -ERANGE, 0, NULL},
    {"99999999999999999999999999999999999999999d", -ERANGE, 0, NULL},
    {"213503982334602d", -ERANGE, 0, NULL}, /* times 86400000 it wraps to a small number */
    {"99999999999999999999x", -EINVAL, 0, NULL},
    {"", -EINVAL, 0, NULL},
    {"s", -EINVAL, 0, NULL},
    {"1", -EINVAL, 0, NULL},
    {"10", -EINVAL, 0, NULL},
    {"-1s", -EINVAL, 0, NULL},
    {"+1s", -EINVAL, 0, NULL},
    {" 1s", -EINVAL, 0, NULL},
    {"1s ", -EINVAL, 0, NULL},
    {"1 s", -EINVAL, 0, NULL},
    {"1.5h", -EINVAL, 0, NULL},
    {"1e3s", -EINVAL, 0, NULL},
    {"0x10s", -EINVAL, 0, NULL},
    {"1h30m", -EINVAL, 0, NULL},
    {"1S", -EINVAL, 0, NULL},
    {"1w", -EINVAL, 0, NULL},
    {"1ms", -EINVAL, 0, NULL},
    {"250ms", -EINVAL, 0, NULL}, /* printed, never read: no setting is that short */
    {"forever", -EINVAL, 0, NULL},
    {"\xd9\xa1s", -EINVAL, 0, NULL}, /* an Arabic one */
};

static void test_durations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        const char *text = durations[i].text;
        const char *printed = durations[i].printed ? durations[i].printed : text;
        uint64_t ms = 4711;
        char buf[ENF_TIME_STR_LEN];
        int err = enf_duration_parse(text, &ms);
        if (err != durations[i].err || ms != (err ? 4711 : durations[i].ms))
            fail_msg("\"%s\": %d, %" PRIu64, text, err, ms);
        if (err == 0 && strcmp(enf_duration_str(ms, buf, sizeof buf), printed) != 0)
            fail_msg("\"%s\" is printed \"%s\"", text, buf);
    }
}

static void test_duration_printed(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {
        {0, "0ms"},
        {1, "1ms"},
        {250, "250ms"},
        {999, "999ms"},
        {1000, "1s"},
        {1001, "1001ms"},
        {90000, "90s"},
        {3600000, "1h"},
        {3600001, "3600001ms"},
        {86400000, "1d"},
        {ENF_FOREVER, "forever"},
        {ENF_FOREVER - 1, "18446744073709551614ms"},
    };
    char buf[ENF_TIME_STR_LEN], small[4];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(enf_duration_str(rows[i].ms, buf, sizeof buf), rows[i].text);
    assert_string_equal(enf_duration_str(ENF_FOREVER, small, sizeof small), "for");
}

static const struct {
    const char *text;
    int err;
    uint64_t ms;
    const char *printed; /* NULL: as text */
} times[] = {
    {"1970-01-01T00:00:00.000Z", 0, 0, NULL},
    {"1970-01-01T00:00:00.001Z", 0, 1, NULL},
    {"1969-12-31T23:59:59.999Z", -EINVAL, 0, NULL},
    {"2026-03-01T12:00:00.250Z", 0, 1772366400250, NULL},
    {"2026-03-01T12:00:00Z", 0, 1772366400000, "2026-03-01T12:00:00.000Z"},
    {"2026-03-01t12:00:00z", 0, 1772366400000, "2026-03-01T12:00:00.000Z"},
    {"2026-03-01T12:00:00.2Z", 0, 1772366400200, "2026-03-01T12:00:00.200Z"},
    {"2026-03-01T12:00:00.25Z", 0, 1772366400250, "2026-03-01T12:00:00.250Z"},
    {"2026-03-01T12:00:00.2509999999999999999999999Z", 0, 1772366400250, "2026-03-01T12:00:00.250Z"},
    {"2026-03-01T12:00:00.Z", -EINVAL, 0, NULL},
    {"2026-03-01T12:00:00,25Z", -EINVAL, 0, NULL},
    {"2024-02-29T00:00:00.000Z", 0, 1709164800000, NULL},
    {"2023-02-29T00:00:00.000Z", -EINVAL, 0, NULL},
    {"2000-02-29T00:00:00.000Z", 0, 951782400000, NULL},
    {"2100-02-29T00:00:00.000Z", -EINVAL, 0, NULL}, /* no leap year */
    {"2026-04-30T00:00:00.000Z", 0, 1777507200000, NULL},
    {"2026-04-31T00:00:00.000Z", -EINVAL, 0, NULL},
    {"2026-12-31T23:59:59.999Z", 0, 1798761599999, NULL},
    {"2016-12-31T23:59:60Z", 0, 1483228800000, "2017-01-01T00:00:00.000Z"}, /* a leap second */
    {"2016-12-31T23:59:61Z", -EINVAL, 0, NULL},
    {"2016-12-31T12:00:60Z", -EINVAL, 0, NULL}, /* there are none at noon */
    {"2016-12-31T24:00:00Z", -EINVAL, 0, NULL},
    {"2016-12-31T23:60:00Z", -EINVAL, 0, NULL},
    {"2026-00-01T00:00:00Z", -EINVAL, 0, NULL},
    {"2026-13-01T00:00:00Z", -EINVAL, 0, NULL},
    {"2026-01-00T00:00:00Z", -EINVAL, 0, NULL},
    {"2026-01-32T00:00:00Z", -EINVAL, 0, NULL},
    {"2038-01-19T03:14:08.000Z", 0, 2147483648000, NULL}, /* 2^31 s */
    {"9999-12-31T23:59:59.999Z", 0, 253402300799999, NULL},
    {"9999-12-31T23:59:60Z", -EINVAL, 0, NULL}, /* would be printed with five digits */
    {"10000-01-01T00:00:00Z", -EINVAL, 0, NULL},
    {"0000-01-01T00:00:00Z", -EINVAL, 0, NULL},
    {"2026-03-01T12:00:00", -EINVAL, 0, NULL}, /* whose time? */
    {"2026-03-01T12:00:00+00:00", -EINVAL, 0, NULL},
    {"2026-03-01 12:00:00Z", -EINVAL, 0, NULL},
    {"2026-03-01T12:00Z", -EINVAL, 0, NULL},
    {"2026-3-1T12:00:00Z", -EINVAL, 0, NULL},
    {"2026-03-01T12:00:00ZZ", -EINVAL, 0, NULL},
    {"2026-03-01T12:00:00Z\n", -EINVAL, 0, NULL},
    {" 2026-03-01T12:00:00Z", -EINVAL, 0, NULL},
    {"2026-03-01", -EINVAL, 0, NULL},
    {"2026-03-01T", -EINVAL, 0, NULL},
    {"-026-03-01T12:00:00Z", -EINVAL, 0, NULL},
    {"2026--3-01T12:00:00Z", -EINVAL, 0, NULL},
    {"2026-03-01T-1:00:00Z", -EINVAL, 0, NULL},
    {"2", -EINVAL, 0, NULL},
    {"", -EINVAL, 0, NULL},
};

static void test_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        const char *text = times[i].text;
        uint64_t ms = 4711;
        char buf[ENF_TIME_STR_LEN];
        int err = enf_time_parse(text, &ms);
        if (err != times[i].err || ms != (err ? 4711 : times[i].ms))
            fail_msg("\"%s\": %d, %" PRIu64, text, err, ms);
        if (err == 0 &&
            strcmp(enf_time_str(ms, buf, sizeof buf), times[i].printed ? times[i].printed : text) != 0)
            fail_msg("\"%s\" is printed \"%s\"", text, buf);
    }
}

/* What no calendar has is still terminated text that fits. */
static void test_time_far_away(void **state)
{
    static const uint64_t rows[] = {253402300800000, UINT64_MAX - 1, ENF_FOREVER, UINT64_MAX / 2};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char buf[ENF_TIME_STR_LEN];
        memset(buf, 'x', sizeof buf);
        enf_time_str(rows[i], buf, sizeof buf);
        assert_non_null(memchr(buf, '\0', sizeof buf));
        assert_true(buf[strlen(buf) - 1] == 'Z' || strcmp(buf, "-") == 0);
    }
}

static void test_expiry(void **state)
{
    static const struct {
        const char *text;
        int err;
        uint64_t ms;
    } rows[] = {
        {"2026-02-28", 0, 1772323200000}, /* until 1 March begins */
        {"2026-03-01T00:00:00Z", 0, 1772323200000},
        {"2026-02-30", -EINVAL, 0},
        {"2026-2-28Z", -EINVAL, 0},
        {"2026-02-2", -EINVAL, 0},
        {"1969-12-31", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"30d", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t ms = 4711;
        int err = enf_expiry_parse(rows[i].text, &ms);

        if (err != rows[i].err || ms != (err ? 4711 : rows[i].ms))
            fail_msg("\"%s\": %d, %" PRIu64, rows[i].text, err, ms);
    }
}

static void test_copy(void **state)
{
    static const struct {
        const char *text;
        size_t room;
        const char *copy;
    } rows[] = {
        {"", 1, ""},
        {"abc", 1, ""},
        {"abc", 3, "ab"},
        {"abc", 4, "abc"},
        {"abc", 5, "abc"},
        {"a\xc3\xa9", 4, "a\xc3\xa9"}, /* e with acute: two bytes, whole or not at all */
        {"a\xc3\xa9", 3, "a"},
        {"a\xc3\xa9", 2, "a"},
        {"a\xe2\x82\xac", 5, "a\xe2\x82\xac"}, /* euro: three */
        {"a\xe2\x82\xac", 4, "a"},
        {"a\xe2\x82\xac", 3, "a"},
        {"\xf0\x9f\x93\xa7z", 6, "\xf0\x9f\x93\xa7z"}, /* four */
        {"\xf0\x9f\x93\xa7z", 5, "\xf0\x9f\x93\xa7"},
        {"\xf0\x9f\x93\xa7z", 4, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char buf[16];
        memset(buf, 'x', sizeof buf);
        assert_ptr_equal(enf_text_copy(buf, rows[i].room, rows[i].text), buf);
        assert_string_equal(buf, rows[i].copy);
        assert_int_equal(buf[rows[i].room], 'x');
    }
    char none = 'x';
    enf_text_copy(&none, 0, "abc");
    assert_int_equal(none, 'x');
    char self[8] = "abcdef";
    enf_text_copy(self, 4, self + 1);
    assert_string_equal(self, "bcd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations), cmocka_unit_test(test_duration_printed),
        cmocka_unit_test(test_times),     cmocka_unit_test(test_time_far_away),
        cmocka_unit_test(test_expiry),    cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
