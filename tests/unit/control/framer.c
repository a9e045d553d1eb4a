/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines come out the same however the bytes come in; the limit is exact. */
#include "enforcer/control/framer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MAX          8

/* Feeds input in pieces of `piece` bytes, prints what comes out as "line|line|!" (! for too long). */
static void run(const char *input, size_t piece, char *out, size_t out_len)
{
    struct enf_framer framer = {0};
    const char *line;
    size_t len;
    size_t left = strlen(input);
    int rc = 0;

    out[0] = '\0';
    while (left > 0 && rc >= 0) {
        size_t n = left < piece ? left : piece;

        assert_int_equal(enf_framer_feed(&framer, input, n), 0);
        input += n;
        left -= n;
        while ((rc = enf_framer_next(&framer, MAX, &line, &len)) == 1) {
            strncat(out, line, len);
            strncat(out, "|", out_len);
        }
    }
    if (rc < 0)
        strncat(out, "!", out_len);
    else if (enf_framer_rest(&framer, &line, &len) == 1)
        strncat(out, line, len);
    enf_framer_clear(&framer);
    enf_framer_clear(&framer);
}

static void test_lines(void **state)
{
    static const struct {
        const char *name;
        const char *input;
        const char *expected;
    } rows[] = {
        {"nothing", "", ""},
        {"one", "abc\n", "abc|"},
        {"no newline", "abc", "abc"},
        {"two and a rest", "a\nb\nc", "a|b|c"},
        {"empty lines", "\n\na\n", "||a|"},
        {"just below", "1234567\n", "1234567|"},
        {"at", "12345678\n", "12345678|"},
        {"just above", "123456789\n", "!"},
        {"above without newline", "123456789", "!"},
        {"above after a good one", "a\n123456789\n", "a|!"},
        {"many", "a\nbb\nccc\ndddd\neeeee\n", "a|bb|ccc|dddd|eeeee|"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece < 24; piece++) {
            char out[256];

            run(rows[i].input, piece, out, sizeof(out) - 1);
            if (strcmp(out, rows[i].expected) != 0)
                fail_msg("%s in pieces of %zu: %s", rows[i].name, piece, out);
        }
}

static void test_too_long_stays(void **state)
{
    struct enf_framer framer = {0};
    const char *line;
    size_t len;

    (void)state;
    assert_int_equal(enf_framer_feed(&framer, "0123456789\nab\n", 14), 0);
    assert_int_equal(enf_framer_next(&framer, MAX, &line, &len), -EMSGSIZE);
    assert_int_equal(enf_framer_next(&framer, MAX, &line, &len), -EMSGSIZE);
    enf_framer_clear(&framer);
}

static void test_idle_costs_nothing(void **state)
{
    struct enf_framer framer = {0};
    const char *line;
    size_t len;

    (void)state;
    assert_int_equal(enf_framer_feed(&framer, "ab\n", 3), 0);
    assert_int_equal(enf_framer_next(&framer, MAX, &line, &len), 1);
    assert_int_equal(enf_framer_next(&framer, MAX, &line, &len), 0);
    assert_null(framer.buf);
    assert_int_equal(enf_framer_rest(&framer, &line, &len), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_too_long_stays),
        cmocka_unit_test(test_idle_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
