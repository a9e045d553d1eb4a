/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much a configuration may hold, and what is said about one that holds more. */
#include "enforcer/config/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* So many unknown keys, one a line. */
static char *many_errors(size_t len)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    for (size_t i = 0; i < len; i++)
        fprintf(out, "k%zu: 1\n", i);
    fclose(out);
    return text;
}

static void test_cap(void **state)
{
    static const size_t counts[] = {ENF_CONFIG_ERRORS_MAX - 1, ENF_CONFIG_ERRORS_MAX,
                                    ENF_CONFIG_ERRORS_MAX + 1, ENF_CONFIG_ERRORS_MAX + 5000};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        char *text = many_errors(counts[i]);
        struct enf_config *config = NULL;
        struct enf_config_errors errors;
        char last[96];

        assert_int_equal(enf_config_parse("f", text, strlen(text), &config, &errors), -EINVAL);
        if (counts[i] <= ENF_CONFIG_ERRORS_MAX) {
            assert_int_equal(errors.len, counts[i]);
            snprintf(last, sizeof(last), "f:%zu: k%zu: expected the key ", counts[i], counts[i] - 1);
        } else {
            assert_int_equal(errors.len, ENF_CONFIG_ERRORS_MAX + 1);
            snprintf(last, sizeof(last), "f:200: %zu more errors from here on are not shown",
                     counts[i] - ENF_CONFIG_ERRORS_MAX);
        }
        assert_int_equal(strncmp(errors.lines[errors.len - 1], last, strlen(last)), 0);
        enf_config_errors_clear(&errors);
        free(text);
    }
}

/* Without the zero behind it. */
static void put(char *at, const char *text)
{
    while (*text != '\0')
        *at++ = *text++;
}

static void test_too_long(void **state)
{
    size_t len = ENF_CONFIG_TEXT_MAX;
    char *text = malloc(len + 1);
    struct enf_config_errors errors;
    struct enf_config *config = NULL;

    (void)state;
    assert_non_null(text);
    memset(text, '\n', len + 1);
    put(text, "mode: observe");
    assert_int_equal(enf_config_parse("f", text, len, &config, &errors), 0);
    enf_config_free(&config);
    assert_int_equal(enf_config_parse("f", text, len + 1, &config, &errors), -EINVAL);
    assert_int_equal(errors.len, 1);
    assert_string_equal(errors.lines[0], "f:1: document: expected at most 16777216 bytes, found 16777217");
    enf_config_errors_clear(&errors);
    free(text);
}

/* Two bytes a value: the cheapest way to make libyaml build a tree that fills the memory. */
static void test_too_many_nodes(void **state)
{
    const size_t len = 4000000;
    char *text = malloc(len);
    struct enf_config_errors errors;
    struct enf_config *config = NULL;

    (void)state;
    assert_non_null(text);
    put(text, "mode: [");
    for (size_t i = 7; i < len; i += 2)
        memcpy(text + i, i + 1 < len ? "a," : "]", i + 1 < len ? 2 : 1);
    assert_int_equal(enf_config_parse("f", text, len, &config, &errors), -EINVAL);
    assert_int_equal(errors.len, 1);
    assert_string_equal(errors.lines[0],
                        "f:1: document: expected at most 1000000 keys and values, found more");
    enf_config_errors_clear(&errors);
    free(text);
}

static void put_entry(FILE *out, const char *entry, size_t number)
{
    for (; *entry != '\0'; entry++) {
        if (*entry == '#')
            fprintf(out, "%zx", number);
        else
            fputc(*entry, out);
    }
}

/* Lists with a cap: an entry less is fine, an entry more is told. */
static void test_lists(void **state)
{
    static const struct {
        const char *before;
        const char *entry; /* `#`: a number of its own */
        const char *after;
        const char *path;
        size_t max;
    } rows[] = {
        {"interfaces: {upstream: [", "e#, ", "]}", "interfaces.upstream", ENF_INTERFACES_MAX},
        {"relays: [", "{addresses: [2001:db8::#]}, ", "]", "relays", ENF_RELAYS_MAX},
        {"smarthosts: [", "{addresses: [2001:db8::#]}, ", "]", "smarthosts", ENF_SMARTHOSTS_MAX},
        {"relays: [{addresses: [", "2001:db8::#, ", "]}]", "relays[0].addresses", ENF_ADDRESSES_MAX},
        {"groups: [", "{name: g#, prefixes: [\"2001:db8:#::/64\"]}, ", "]", "groups", ENF_GROUPS_MAX},
        {"quarantine: {never: [", "2001:db8::#, ", "]}", "quarantine.never", ENF_PREFIXES_MAX},
        {"detector: {traps: [", "2001:db8::#, ", "]}", "detector.traps", ENF_TRAPS_MAX},
        {"control: {admins: [", "u#, ", "]}", "control.admins", ENF_PRINCIPALS_MAX},
        {"events: [", "{type: file, path: /e#}, ", "]", "events", ENF_EVENT_SINKS_MAX},
        {"hooks: [", "{name: h#, run: [/a], severity: high}, ", "]", "hooks", ENF_HOOKS_MAX},
        {"hooks: [{name: h, severity: high, run: [", "/a#, ", "]}]", "hooks[0].run", ENF_HOOK_WORDS_MAX},
        {"groups: [{name: a, prefixes: [\"2001:db8::/32\"], subscribers: {", "\"2001:db8:0:#::/64\": {}, ",
         "}}]", "groups[0].subscribers", ENF_OVERRIDES_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t extra = 0; extra < 2; extra++) {
            char *text = NULL;
            size_t size = 0;
            FILE *out = open_memstream(&text, &size);
            struct enf_config *config = NULL;
            struct enf_config_errors errors;
            char expected[128];

            assert_non_null(out);
            fputs(rows[i].before, out);
            for (size_t j = 0; j < rows[i].max + extra; j++)
                put_entry(out, rows[i].entry, j);
            fputs(rows[i].after, out);
            fclose(out);
            int ret = enf_config_parse("f", text, size, &config, &errors);
            snprintf(expected, sizeof(expected), "f:1: %s: expected at most %zu entries, found %zu",
                     rows[i].path, rows[i].max, rows[i].max + 1);
            if (ret != (extra ? -EINVAL : 0) || (extra && strcmp(errors.lines[0], expected) != 0))
                fail_msg("%s with %zu more: %d %s", rows[i].path, extra, ret, ret < 0 ? errors.lines[0] : "");
            enf_config_free(&config);
            enf_config_errors_clear(&errors);
            free(text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_too_many_nodes),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
