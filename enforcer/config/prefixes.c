/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of prefixes, one a line: bogon lists as they are published. */
#include "enforcer/config/errors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_KEY "prefix"

/* A piece of the text, not terminated. */
struct span {
    const char *start;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Without the comment and the blanks around. */
static struct span trim(struct span line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.start[i] == '#' || line.start[i] == ';')
            line.len = i;
    }
    while (line.len > 0 && is_blank(line.start[line.len - 1]))
        line.len--;
    while (line.len > 0 && is_blank(line.start[0])) {
        line.start++;
        line.len--;
    }
    return line;
}

static struct span next_line(const char **next, const char *end)
{
    const char *newline = memchr(*next, '\n', (size_t)(end - *next));
    struct span line = {*next, (size_t)((newline != NULL ? newline : end) - *next)};

    *next = newline != NULL ? newline + 1 : end;
    return line;
}

/* The number behind the slash, or -1. */
static int length_of(const char *slash)
{
    size_t digits = strspn(slash + 1, "0123456789");

    return digits > 0 && digits <= 3 && slash[1 + digits] == '\0' ? atoi(slash + 1) : -1;
}

/* "ADDR/LEN", not by enf_prefix_parse: a list means two things otherwise. Bits set beyond the length are
 * cleared, as every user of such lists does. And ::ffff:0:0/96, which full bogon lists have, is a range of
 * IPv6: as a notation for IPv4 it would be all of it. */
static int parse_with_len(char *text, struct enf_prefix *out)
{
    char *slash = strchr(text, '/');
    struct enf_addr addr;
    int len;
    int ret;

    *slash = '\0';
    ret = enf_addr_parse(text, &addr);
    *slash = '/';
    len = length_of(slash);
    if (ret < 0 || len < 0)
        return -EINVAL;
    if (addr.family == ENF_FAMILY_V4 && strchr(text, ':') != NULL) {
        uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

        memcpy(bytes + 12, addr.bytes, 4);
        if (len <= 96)
            addr = enf_addr_from_bytes(ENF_FAMILY_V6, bytes);
        else
            len -= 96;
    }
    if (len > enf_addr_bits(&addr))
        return -EINVAL;
    *out = enf_prefix_make(&addr, (uint8_t)len);
    return 0;
}

static int parse_entry(struct span entry, struct enf_prefix *out)
{
    char text[ENF_PREFIX_STR_LEN];

    if (entry.len >= sizeof(text) || memchr(entry.start, '\0', entry.len) != NULL)
        return -EINVAL;
    memcpy(text, entry.start, entry.len);
    text[entry.len] = '\0';
    return strchr(text, '/') != NULL ? parse_with_len(text, out) : enf_prefix_parse(text, out);
}

static size_t count_lines(const char *text, size_t len)
{
    const char *next = text;
    size_t lines = 0;

    while (next < text + len) {
        next_line(&next, text + len);
        lines++;
    }
    return lines;
}

static void parse_lines(struct enf_error_list *errors, const char *text, size_t len,
                        struct enf_prefix_list *list)
{
    const char *next = text;

    for (size_t number = 1; next < text + len; number++) {
        struct span entry = trim(next_line(&next, text + len));
        char found[ENF_QUOTE_LEN];

        if (entry.len == 0)
            continue;
        if (parse_entry(entry, &list->items[list->len]) < 0)
            enf_error_list_add(errors, number, PREFIX_KEY, "expected an address or a prefix, found %s",
                               enf_error_quote(found, sizeof(found), entry.start, entry.len));
        else
            list->len++;
    }
}

int enf_config_parse_prefixes(const char *file_name, const char *text, size_t len,
                              struct enf_prefix_list *out, struct enf_config_errors *errors)
{
    struct enf_prefix_list list = {0};
    struct enf_error_list found;
    size_t lines = len > 0 ? count_lines(text, len) : 0;
    int ret;

    *errors = (struct enf_config_errors){0};
    enf_error_list_init(&found, file_name);
    if (lines > ENF_PREFIX_LINES_MAX) {
        enf_error_list_add(&found, ENF_PREFIX_LINES_MAX + 1, PREFIX_KEY,
                           "expected at most %d lines, found %zu", ENF_PREFIX_LINES_MAX, lines);
    } else if (lines > 0) {
        list.items = calloc(lines, sizeof(*list.items));
        if (list.items != NULL)
            parse_lines(&found, text, len, &list);
        else
            found.oom = true;
    }
    ret = enf_error_list_finish(&found, errors);
    if (ret != 0) {
        free(list.items);
        return ret;
    }
    if (list.len == 0)
        enf_prefix_list_clear(&list); /* comments only */
    *out = list;
    return 0;
}

void enf_prefix_list_clear(struct enf_prefix_list *list)
{
    if (list == NULL)
        return;
    free(list->items);
    list->items = NULL;
    list->len = 0;
}
