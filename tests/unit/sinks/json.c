/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the writer writes, an independent reader (jansson) reads back: any bytes as text, any number, objects
 * within objects. */
#include "enforcer/sinks/json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RANDOM_TEXTS 200000
#define TEXT_MAX     24

static uint64_t state = 1;

static unsigned random_below(unsigned limit)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(state >> 33) % limit;
}

/* The line of what was written, read by jansson. */
static json_t *read_back(struct enf_json *json)
{
    char *text = NULL;
    size_t len = 0;

    assert_int_equal(enf_json_take(json, &text, &len), 0);
    assert_int_equal(strlen(text), len);
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    json_error_t error;
    json_t *read = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!read)
        fail_msg("%s: %s", text, error.text);
    free(text);
    return read;
}

static json_t *field(void (*put)(struct enf_json *json, const void *value), const void *value)
{
    struct enf_json json = {.text = NULL};
    size_t began = enf_json_begin(&json, NULL, '{');

    put(&json, value);
    enf_json_end(&json, began, '}', true);
    return read_back(&json);
}

static void put_text(struct enf_json *json, const void *text)
{
    enf_json_text(json, "x", text, TEXT_MAX);
}

/* As text is taken: whole, or with '?' for each byte that is not ASCII. */
static void check_text(const char *text)
{
    json_t *read = field(put_text, text), *whole = json_string(text);
    char expected[TEXT_MAX + 1] = {0};

    for (size_t i = 0; i < strlen(text); i++)
        expected[i] = whole || (unsigned char)text[i] < 0x80 ? text[i] : '?';
    assert_string_equal(json_string_value(json_object_get(read, "x")), expected);
    json_decref(whole);
    json_decref(read);
}

/* Bytes at which readers of UTF-8 decide, more often than others. */
static void test_any_text(void **unused)
{
    static const unsigned char edges[] = {0x01, 0x1f, '"',  '\\', '/',  0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                          0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff};

    (void)unused;
    for (int i = 0; i < RANDOM_TEXTS; i++) {
        char text[TEXT_MAX + 1] = {0};
        for (unsigned at = 0, len = random_below(TEXT_MAX + 1); at < len; at++)
            text[at] = (char)(random_below(4) ? edges[random_below(sizeof edges)] : 1 + random_below(255));
        check_text(text);
    }
}

/* Every character of up to two bytes, every beginning of longer ones with every second byte. */
static void test_every_beginning(void **unused)
{
    (void)unused;
    for (unsigned a = 1; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const char texts[3][5] = {{(char)a, (char)b},
                                      {(char)a, (char)b, (char)0x80},
                                      {(char)a, (char)b, (char)0x80, (char)0xbf}};
            for (int i = 0; i < 3; i++)
                check_text(texts[i]);
        }
    }
}

static void put_count(struct enf_json *json, const void *value)
{
    enf_json_count(json, "x", *(const uint64_t *)value);
}

static void put_real(struct enf_json *json, const void *value)
{
    enf_json_real(json, "x", *(const double *)value);
}

static void test_numbers(void **unused)
{
    const uint64_t counts[] = {0, 1, 9, 10, 25, 65535, 4294967296, INT64_MAX};
    const double reals[] = {0, -0.5, 1, 12, 1e20, 1e-9, -1e90, 2.75, 1.0 / 3, 123456789, 1e300, 5e-324};

    (void)unused;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        json_t *read = field(put_count, &counts[i]);
        assert_int_equal(json_integer_value(json_object_get(read, "x")), counts[i]);
        json_decref(read);
    }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        json_t *read = field(put_real, &reals[i]);
        assert_true(json_is_real(json_object_get(read, "x")));
        assert_true(fabs(json_real_value(json_object_get(read, "x")) - reals[i]) <= fabs(reals[i]) * 1e-11);
        json_decref(read);
    }
    const double none[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < 3; i++) {
        json_t *read = field(put_real, &none[i]);
        assert_int_equal(json_object_size(read), 0);
        json_decref(read);
    }
}

static void test_nesting(void **unused)
{
    struct enf_json json = {.text = NULL};
    char *text = NULL;
    size_t len = 0, whole = enf_json_begin(&json, NULL, '{');

    (void)unused;
    for (int i = 0; i < 2; i++) { /* the one that says nothing leaves no trace */
        size_t outer = enf_json_begin(&json, "empty", '{'), inner = enf_json_begin(&json, "within", '{');
        enf_json_end(&json, inner, '}', false);
        enf_json_end(&json, outer, '}', false);
    }
    enf_json_word(&json, "word", "ends in [");
    size_t list = enf_json_begin(&json, "list", '[');
    enf_json_bool(&json, NULL, true);
    enf_json_null(&json, NULL);
    size_t item = enf_json_begin(&json, NULL, '{');
    enf_json_bool(&json, "no", false);
    enf_json_end(&json, item, '}', false);
    enf_json_end(&json, list, ']', true);
    size_t none = enf_json_begin(&json, "none", '[');
    enf_json_end(&json, none, ']', true);
    enf_json_end(&json, whole, '}', false);
    assert_int_equal(enf_json_take(&json, &text, &len), 0);
    assert_string_equal(text, "{\"word\":\"ends in [\",\"list\":[true,null,{\"no\":false}],\"none\":[]}\n");
    free(text);
}

/* Longer than any room it begins with, and cut where asked. */
static void test_long(void **unused)
{
    struct enf_json json = {.text = NULL};
    char *long_text = calloc(1, 100001);

    (void)unused;
    assert_non_null(long_text);
    memset(long_text, 'a', 100000);
    size_t began = enf_json_begin(&json, NULL, '{');
    enf_json_text(&json, "whole", long_text, 100001);
    enf_json_text(&json, "cut", long_text, 10);
    enf_json_end(&json, began, '}', true);
    json_t *read = read_back(&json);
    assert_string_equal(json_string_value(json_object_get(read, "whole")), long_text);
    assert_string_equal(json_string_value(json_object_get(read, "cut")), "aaaaaaaaaa");
    json_decref(read);
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_text), cmocka_unit_test(test_every_beginning),
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
