/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Templates: names, blocks, and what is a fault of the template. */
#include "enforcer/kernel/templates.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct enf_template_var outer_vars[] = {
    {"ip", "ip6"},
    {"shadowed", "outer"},
    {"outer_only", "o"},
};
static const struct enf_template_scope outer = {.vars = outer_vars, .vars_len = 3};
static const struct enf_template_var vars[] = {
    {"a", "one"},        {"b", "two"},       {"empty", ""},         {"null", NULL},
    {"on", "1"},         {"off", ""},        {"shadowed", "inner"}, {"lines", "  first\n  second\n"},
    {"braces", "{{a}}"}, {"percent", "%if"},
};
static const struct enf_template_scope scope = {
    .vars = vars, .vars_len = sizeof vars / sizeof *vars, .up = &outer};

/* expected NULL: -EINVAL. */
static const struct {
    const char *name;
    const char *text;
    const char *expected;
} rows[] = {
    {"nothing", "", ""},
    {"an empty line", "\n", "\n"},
    {"plain", "table inet x {\n}\n", "table inet x {\n}\n"},
    {"the last line without its end", "x", "x\n"},
    {"a name", "set {{a}} x\n", "set one x\n"},
    {"two names, one after the other", "x{{a}}{{b}}\n", "xonetwo\n"},
    {"an outer name", " {{ip}} saddr\n", " ip6 saddr\n"},
    {"the inner one of two", " {{shadowed}}\n", " inner\n"},
    {"an empty value in a line", "x {{empty}} y\n", "x  y\n"},
    {"no value in a line", "x {{null}} y\n", "x  y\n"},
    {"values are not read again", " {{braces}}\n", " {{a}}\n"},
    {"nor are they directives", "x\n{{percent}}\n", "x\n%if"},
    {"single braces are nft's", "set { {{a}} } \n", "set { one } \n"},
    {"lines of their own bring their last newline", "x\n{{lines}}\ny\n", "x\n  first\n  second\ny\n"},
    {"no lines leave none behind", "x\n{{empty}}\ny\n", "x\ny\n"},
    {"a line that begins with a name is a line", "{{ip}} saddr {{a}}\n", "ip6 saddr one\n"},
    {"also where that name is empty", "{{empty}} saddr\n", " saddr\n"},
    {"two names and nothing else are a line", "{{a}}{{b}}\n", "onetwo\n"},
    {"if", "%if on\nx\n%end\n", "x\n"},
    {"if not set", "%if off\nx\n%end\ny\n", "y\n"},
    {"NULL is not set", "%if null\nx\n%end\n", ""},
    {"negated", "%if !off\nx\n%end\n", "x\n"},
    {"negated, set", "%if !on\nx\n%end\n", ""},
    {"else", "%if off\nx\n%else\ny\n%end\n", "y\n"},
    {"else not taken", "%if on\nx\n%else\ny\n%end\n", "x\n"},
    {"nested", "%if on\n%if off\na\n%else\nb\n%end\nc\n%end\n", "b\nc\n"},
    {"nested in what does not stand", "%if off\n%if on\na\n%else\nb\n%end\nc\n%end\n", ""},
    {"nested in the other branch", "%if on\nx\n%else\n%if on\na\n%else\nb\n%end\n%end\n", "x\n"},
    {"a name in a branch that does not stand", "%if off\n{{nobody}}\n%end\n", ""},
    {"an outer name as condition", "%if outer_only\nx\n%end\n", "x\n"},
    {"unknown name", "x {{nobody}}\n", NULL},
    {"unknown name, alone", "{{nobody}}\n", NULL},
    {"the beginning of a name", "x {{shadow}}\n", NULL},
    {"empty name", "x {{}}\n", NULL},
    {"blanks around the name", "x {{ a }}\n", NULL},
    {"no end of the name", "x {{a\n}}\n", NULL},
    {"half an end", "x {{a}\n", NULL},
    {"unknown condition", "%if nobody\n%end\n", NULL},
    {"unknown condition in what does not stand", "%if off\n%if nobody\n%end\n%end\n", NULL},
    {"no condition", "%if\n%end\n", NULL},
    {"empty condition", "%if \n%end\n", NULL},
    {"negated nothing", "%if !\n%end\n", NULL},
    {"a tail behind a condition", "%if on \nx\n%end\n", NULL},
    {"unknown directive", "%fi on\n", NULL},
    {"a percent sign alone", "%\n", NULL},
    {"end without if", "%end\n", NULL},
    {"else without if", "%else\n", NULL},
    {"if without end", "%if on\nx\n", NULL},
    {"two ends", "%if on\n%end\n%end\n", NULL},
    {"two elses", "%if on\n%else\n%else\n%end\n", NULL},
    {"a tail behind end", "%if on\n%end if\n", NULL},
    {"a percent sign inside of a line is nft's", " x % y\n", " x % y\n"},
};

static int render(const char *text, char **out)
{
    size_t len = 0;
    FILE *stream = open_memstream(out, &len);

    assert_non_null(stream);
    int err = enf_template_render(text, &scope, stream);
    fclose(stream);
    return err;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *out = NULL;
        int err = render(rows[i].text, &out);
        if (err != (rows[i].expected ? 0 : -EINVAL))
            fail_msg("%s: %d", rows[i].name, err);
        if (rows[i].expected && strcmp(out, rows[i].expected) != 0)
            fail_msg("%s: \"%s\"", rows[i].name, out);
        free(out);
    }
}

/* 15 blocks in each other, and one more. */
static void test_nesting(void **state)
{
    (void)state;
    for (int depth = 14; depth <= 16; depth++) {
        char text[1024] = "", *out = NULL;
        for (int i = 0; i < depth; i++)
            strcat(text, "%if on\n");
        strcat(text, "x\n");
        for (int i = 0; i < depth; i++)
            strcat(text, "%end\n");
        assert_int_equal(render(text, &out), depth <= 15 ? 0 : -EINVAL);
        if (depth <= 15)
            assert_string_equal(out, "x\n");
        free(out);
    }
}

/* A stream that cannot be written to is noticed by whoever closes it, not a crash here. */
static void test_full_stream(void **state)
{
    char buf[4];
    FILE *out = fmemopen(buf, sizeof buf, "w");

    (void)state;
    assert_non_null(out);
    assert_int_equal(enf_template_render("a long line {{a}}\n", &scope, out), 0);
    assert_true(fclose(out) != 0);
}

/* Those of the program are whole: every block ends, every name does. */
static void test_own_templates(void **state)
{
    static const char *const texts[] = {enf_template_table, enf_template_family, enf_template_length,
                                        enf_template_group};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int depth = 0;
        assert_true(strlen(texts[i]) > 100);
        for (const char *line = texts[i]; *line; line += strcspn(line, "\n") + 1) {
            depth += strncmp(line, "%if ", 4) == 0;
            depth -= strncmp(line, "%end\n", 5) == 0;
            assert_true(depth >= 0);
            assert_non_null(strchr(line, '\n'));
        }
        assert_int_equal(depth, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_full_stream),
        cmocka_unit_test(test_own_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
