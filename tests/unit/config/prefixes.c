/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of prefixes: rows of our own, and lists as they are published ($ENFORCER_DATA/lists). */
#include "enforcer/config/config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    const char *text;
    const char *expected; /* prefixes with a blank behind each, or the errors, one a line */
    int ret;
} rows[] = {
    {"nothing", "", "", 0},
    {"only comments", "# a\n; b\n\n \t\r\n", "", 0},
    {"one, no newline", "10.0.0.0/8", "10.0.0.0/8 ", 0},
    {"mixed families, order kept", "2001:db8::/32\n10.0.0.0/8\n::/8\n192.0.2.1\n",
     "2001:db8::/32 10.0.0.0/8 ::/8 192.0.2.1 ", 0},
    {"blanks, comments behind, CRLF", " 10.0.0.0/8\t# private\r\n\t1.10.16.0/20 ; SBL256894\r\n",
     "10.0.0.0/8 1.10.16.0/20 ", 0},
    {"overlapping and twice", "10.0.0.0/8\n10.1.0.0/16\n10.0.0.0/8\n", "10.0.0.0/8 10.1.0.0/16 10.0.0.0/8 ",
     0},
    {"host bits", "10.1.2.3/8\n2001:db8::1/32\n192.0.2.255/31\n0.0.0.1/0\n",
     "10.0.0.0/8 2001:db8::/32 192.0.2.254/31 0.0.0.0/0 ", 0},
    {"the range of mapped addresses is one of IPv6", "::ffff:0:0/96\n::ffff:10.0.0.0/95\n::/80\n",
     "::ffff:0.0.0.0/96 ::fffe:0:0/95 ::/80 ", 0},
    {"longer, it is a notation for IPv4", "::ffff:10.1.2.3/104\n::ffff:192.0.2.1\n::ffff:0:0/97\n",
     "10.0.0.0/8 192.0.2.1 0.0.0.0/1 ", 0},
    {"ends of the families",
     "0.0.0.0/0\n255.255.255.255/32\n::/0\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128\n",
     "0.0.0.0/0 255.255.255.255 ::/0 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ", 0},
    {"all errors",
     "10.0.0.0/33\n10.0.0.0/8\nexample.net # a name\n10.0.0.0 11.0.0.0\n10.0.0.0/\n/8\n2001:db8::/129\n",
     "1: prefix: expected an address or a prefix, found 10.0.0.0/33\n"
     "3: prefix: expected an address or a prefix, found example.net\n"
     "4: prefix: expected an address or a prefix, found 10.0.0.0 11.0.0.0\n"
     "5: prefix: expected an address or a prefix, found 10.0.0.0/\n"
     "6: prefix: expected an address or a prefix, found /8\n"
     "7: prefix: expected an address or a prefix, found 2001:db8::/129\n",
     -EINVAL},
    {"escape sequences and long lines",
     "\x1b[2J\n00000000000000000000000000000000000000000000000000000000000000010.0.0.0\n",
     "1: prefix: expected an address or a prefix, found \\x1b[2J\n"
     "2: prefix: expected an address or a prefix, found "
     "000000000000000000000000000000000000000000000000000000000000...\n",
     -EINVAL},
};

static char *render(const struct enf_prefix_list *list, const struct enf_config_errors *errors)
{
    char *all = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&all, &size);
    char shown[ENF_PREFIX_STR_LEN];

    assert_non_null(out);
    for (size_t i = 0; i < list->len; i++)
        fprintf(out, "%s ", enf_prefix_str(&list->items[i], shown, sizeof(shown)));
    for (size_t i = 0; i < errors->len; i++)
        fprintf(out, "%s\n", errors->lines[i] + strlen("list:"));
    fclose(out);
    return all;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_prefix_list list = {0};
        struct enf_config_errors errors;
        int ret = enf_config_parse_prefixes("list", rows[i].text, strlen(rows[i].text), &list, &errors);
        char *found = render(&list, &errors);

        if (ret != rows[i].ret || strcmp(found, rows[i].expected) != 0)
            fail_msg("%s: returned %d, %s", rows[i].name, ret, found);
        assert_true((list.items == NULL) == (list.len == 0));
        free(found);
        enf_prefix_list_clear(&list);
        enf_config_errors_clear(&errors);
    }
}

static void test_zero_byte(void **state)
{
    static const char text[] = "10.0.0.0/8\n10.0.0.1\0junk\n";
    struct enf_prefix_list list = {0};
    struct enf_config_errors errors;

    (void)state;
    assert_int_equal(enf_config_parse_prefixes("f", text, sizeof(text) - 1, &list, &errors), -EINVAL);
    assert_int_equal(errors.len, 1);
    assert_string_equal(errors.lines[0],
                        "f:2: prefix: expected an address or a prefix, found 10.0.0.1\\x00junk");
    assert_null(list.items);
    enf_config_errors_clear(&errors);
}

static void test_cap(void **state)
{
    size_t len = ENF_PREFIX_LINES_MAX;
    char *text = malloc(len + 1);
    struct enf_prefix_list list = {0};
    struct enf_config_errors errors;

    (void)state;
    assert_non_null(text);
    memset(text, '\n', len + 1);
    text[0] = text[1] = ':'; /* an entry, and one line less */
    assert_int_equal(enf_config_parse_prefixes("f", text, len, &list, &errors), 0);
    assert_int_equal(list.len, 1);
    enf_prefix_list_clear(&list);
    memset(text, '\n', len + 1);
    assert_int_equal(enf_config_parse_prefixes("f", text, len + 1, &list, &errors), -EINVAL);
    assert_string_equal(errors.lines[0], "f:2000001: prefix: expected at most 2000000 lines, found 2000001");
    enf_config_errors_clear(&errors);
    free(text);
}

/* --- real lists, read a second time in another way ------------------------------------------------------ */

/* The whole of a list, unpacked; the caller frees. */
static char *read_list(const char *path, size_t *len)
{
    char command[512];
    size_t size = 16u << 20;
    char *text = malloc(size);
    FILE *pipe;

    assert_non_null(text);
    assert_true(snprintf(command, sizeof(command), "gzip -cdf '%s'", path) < (int)sizeof(command));
    pipe = popen(command, "re"); /* NOLINT(cert-env33-c): a path of the tests' own */
    assert_non_null(pipe);
    *len = fread(text, 1, size, pipe);
    assert_true(*len < size);
    assert_int_equal(pclose(pipe), 0);
    return text;
}

/* By inet_pton, with the bits beyond the length cleared one by one. */
static bool read_simply(char *line, struct enf_prefix *out)
{
    char *comment = strpbrk(line, "#; \r\n");
    char *slash;
    unsigned char bytes[16] = {0};
    bool v6 = strchr(line, ':') != NULL;
    unsigned bits = v6 ? 128 : 32;
    unsigned len = bits;

    if (comment != NULL)
        *comment = '\0';
    if (line[0] == '\0')
        return false;
    slash = strchr(line, '/');
    if (slash != NULL) {
        *slash = '\0';
        len = (unsigned)atoi(slash + 1);
    }
    assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, line, bytes), 1);
    for (unsigned i = len; i < bits; i++)
        bytes[i / 8] &= (unsigned char)~(0x80u >> (i % 8));
    memset(out, 0, sizeof(*out));
    out->addr.family = v6 ? ENF_FAMILY_V6 : ENF_FAMILY_V4;
    memcpy(out->addr.bytes, bytes, sizeof(bytes));
    out->len = (uint8_t)len;
    return true;
}

static size_t compare_list(const char *path)
{
    size_t len = 0;
    char *text = read_list(path, &len);
    struct enf_prefix_list list = {0};
    struct enf_config_errors errors;
    int ret = enf_config_parse_prefixes(path, text, len, &list, &errors);
    size_t found = 0;
    FILE *lines = fmemopen(text, len, "r");
    char line[256];

    if (ret != 0)
        fail_msg("%s", errors.len > 0 ? errors.lines[0] : path);
    assert_non_null(lines);
    while (fgets(line, sizeof(line), lines) != NULL) {
        struct enf_prefix prefix;

        if (!read_simply(line, &prefix))
            continue;
        assert_true(found < list.len);
        if (!enf_prefix_equal(&prefix, &list.items[found]))
            fail_msg("%s: entry %zu differs at %s", path, found, line);
        found++;
    }
    assert_int_equal(found, list.len);
    fclose(lines);
    free(text);
    enf_prefix_list_clear(&list);
    return found;
}

static void test_real_lists(void **state)
{
    const char *data = getenv("ENFORCER_DATA");
    char folder[256];
    DIR *dir;
    size_t lists = 0;
    size_t entries = 0;

    (void)state;
    if (data == NULL) {
        print_message("skipped: ENFORCER_DATA is not set, so there are no real lists to read\n");
        skip();
    }
    snprintf(folder, sizeof(folder), "%s/lists", data);
    dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[600];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        entries += compare_list(path);
        lists++;
    }
    closedir(dir);
    assert_true(lists > 0);
    print_message("%zu lists, %zu entries\n", lists, entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_zero_byte),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_real_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
