/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Row readers for single values. */
#include "enforcer/config/value.h"

#include "enforcer/core/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *enf_value_text(const yaml_node_t *node)
{
    size_t len = 0;
    const char *text = enf_document_text(node, &len);

    return text != NULL && !enf_document_is_null(node) && strlen(text) == len ? text : NULL;
}

static bool is_plain(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Like "a, b or c"; with `later` the ones for later, else the ones that work. */
static const char *join_choices(const struct enf_choice *choices, char *buf, size_t buf_len)
{
    size_t count = 0;
    size_t nth = 0;
    size_t used = 0;

    for (const struct enf_choice *c = choices; c->name != NULL; c++)
        count += c->later ? 0 : 1;
    buf[0] = '\0';
    for (const struct enf_choice *c = choices; c->name != NULL && used < buf_len; c++) {
        if (c->later)
            continue;
        const char *before = nth == 0 ? "" : nth + 1 == count ? " or " : ", ";

        nth++;
        used += (size_t)snprintf(buf + used, buf_len - used, "%s%s", before, c->name);
    }
    return buf;
}

void enf_read_choice(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base)
{
    const char *text = enf_value_text(node);
    const struct enf_choice *choice = row->arg.choices;
    char known[128];

    while (choice->name != NULL && (text == NULL || strcmp(text, choice->name) != 0))
        choice++;
    join_choices(row->arg.choices, known, sizeof(known));
    if (choice->name == NULL)
        enf_reader_expected(reader, node, "%s", known);
    else if (choice->later)
        enf_reader_error(reader, node, "not yet supported: %s (today: %s)", choice->name, known);
    else
        enf_reader_store(ENF_ROW_AT(row, base), row->size, (uint64_t)choice->value);
}

void enf_read_bool(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base)
{
    const char *text = is_plain(node) ? enf_value_text(node) : NULL;
    bool yes = text != NULL && strcmp(text, "true") == 0;

    if (!yes && (text == NULL || strcmp(text, "false") != 0))
        enf_reader_expected(reader, node, "true or false");
    else
        memcpy(ENF_ROW_AT(row, base), &yes, sizeof(yes));
}

/* Decimal, without sign, blanks or a leading zero (which older YAML takes for octal). */
static int parse_number(const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value = 0;

    if (digits == 0 || digits > 18 || text[digits] != '\0' || (text[0] == '0' && digits > 1))
        return -EINVAL;
    for (const char *c = text; *c != '\0'; c++)
        value = value * 10 + (uint64_t)(*c - '0');
    *out = value;
    return 0;
}

void enf_read_number(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base)
{
    const char *text = is_plain(node) ? enf_value_text(node) : NULL;
    uint64_t value = 0;

    if (text == NULL || parse_number(text, &value) < 0 || value < row->arg.range.min ||
        value > row->arg.range.max)
        enf_reader_expected(reader, node, "a whole number from %" PRIu64 " to %" PRIu64, row->arg.range.min,
                            row->arg.range.max);
    else if (row->arg.range.only != 0 && value != row->arg.range.only)
        enf_reader_error(reader, node, "not yet supported: %" PRIu64 " (today: %" PRIu64 ")", value,
                         row->arg.range.only);
    else
        enf_reader_store(ENF_ROW_AT(row, base), row->size, value);
}

/* "0.000001" or "1e-6": no sign in front, no infinity, nothing hexadecimal. */
static int parse_fraction(const char *text, double *out)
{
    char *end = NULL;

    if (text[0] < '0' || text[0] > '9' || strlen(text) > 32 || text[strspn(text, "0123456789.eE-")] != '\0')
        return -EINVAL;
    double value = strtod(text, &end);
    if (*end != '\0')
        return -EINVAL;
    *out = value;
    return 0;
}

void enf_read_fraction(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                       void *base)
{
    const char *text = is_plain(node) ? enf_value_text(node) : NULL;
    double value = 0;

    if (text == NULL || parse_fraction(text, &value) < 0 || value < row->arg.fraction.min ||
        value > row->arg.fraction.max)
        enf_reader_expected(reader, node, "%s", row->arg.fraction.expected);
    else
        memcpy(ENF_ROW_AT(row, base), &value, sizeof(value));
}

void enf_read_duration(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                       void *base)
{
    uint64_t max = row->arg.range.max != 0 ? row->arg.range.max : ENF_DURATION_MAX;
    const char *text = enf_value_text(node);
    char min_str[32];
    char max_str[32];
    uint64_t value = 0;

    if (text == NULL || enf_duration_parse(text, &value) < 0 || value < row->arg.range.min || value > max)
        enf_reader_expected(
            reader, node, "a duration from %s to %s, like 30s, 10m, 1h or 7d",
            enf_duration_str(row->arg.range.min > 0 ? row->arg.range.min : 1000, min_str, sizeof(min_str)),
            enf_duration_str(max, max_str, sizeof(max_str)));
    else
        enf_reader_store(ENF_ROW_AT(row, base), row->size, value);
}

/* All of text is made of the given bytes, and it fits into len with its end. */
static bool is_made_of(const char *text, size_t len, const char *bytes)
{
    return text[0] != '\0' && strlen(text) < len && text[strspn(text, bytes)] == '\0';
}

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

void enf_read_name(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base)
{
    bool for_nft = row->arg.text.special;
    const char *first = for_nft ? LOWER : LOWER UPPER DIGITS;
    const char *text = enf_value_text(node);

    if (text == NULL ||
        !is_made_of(text, row->size, for_nft ? LOWER DIGITS "_-" : LOWER UPPER DIGITS "._-") ||
        strchr(first, text[0]) == NULL)
        enf_reader_expected(reader, node, "a name of at most %zu %s", row->size - 1,
                            for_nft ? "bytes of a-z, 0-9, _ and -, a letter first"
                                    : "letters, digits, `.`, `_` and `-`, a letter or digit first");
    else
        memcpy(ENF_ROW_AT(row, base), text, strlen(text) + 1);
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

void enf_read_path(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base)
{
    const char *text = enf_value_text(node);
    size_t max = row->arg.text.max != 0 ? row->arg.text.max : row->size - 1;

    if (text == NULL || strlen(text) > max || has_control(text) || (!row->arg.text.special && text[0] != '/'))
        enf_reader_expected(reader, node, "%s of at most %zu bytes",
                            row->arg.text.special ? "a path" : "an absolute path", max);
    else
        memcpy(ENF_ROW_AT(row, base), text, strlen(text) + 1);
}

/* What the kernel and nft take for an interface. */
static bool is_interface(const char *text, bool wildcard)
{
    size_t len = strlen(text);

    if (len == 0 || len >= ENF_IFNAME_LEN || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return false;
    if (wildcard && len > 1 && text[len - 1] == '*')
        len--;
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= 0x20 || text[i] >= 0x7f || strchr("/:*\"'`\\", text[i]) != NULL)
            return false;
    }
    return true;
}

void enf_read_interface(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                        void *base)
{
    const char *text = enf_value_text(node);

    if (text == NULL || !is_interface(text, row->arg.text.special))
        enf_reader_expected(reader, node, "an interface name of at most %d bytes%s", ENF_IFNAME_LEN - 1,
                            row->arg.text.special ? " (`*` may end it)" : " (without `*`)");
    else
        memcpy(ENF_ROW_AT(row, base), text, strlen(text) + 1);
}

void enf_read_principal(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                        void *base)
{
    struct enf_principal *out = ENF_ROW_AT(row, base);
    const char *text = enf_value_text(node);
    bool group = text != NULL && text[0] == '@';

    if (group)
        text++;
    if (text == NULL || !is_made_of(text, sizeof(out->name), LOWER UPPER DIGITS "._-@+$\\") ||
        text[0] == '@' || text[0] == '-') {
        enf_reader_expected(reader, node, "a user, or a group after `@`, of at most %zu bytes",
                            sizeof(out->name) - 1);
        return;
    }
    out->group = group;
    memcpy(out->name, text, strlen(text) + 1);
}

/* What "192.0.2.77/24" was probably meant to be. */
static bool without_host_bits(const char *text, char *buf, size_t buf_len)
{
    const char *slash = strchr(text, '/');
    char addr_text[ENF_PREFIX_STR_LEN];
    struct enf_prefix prefix;
    struct enf_addr addr;
    uint64_t len = 0;

    if (slash == NULL || (size_t)(slash - text) >= sizeof(addr_text) || parse_number(slash + 1, &len) < 0)
        return false;
    snprintf(addr_text, sizeof(addr_text), "%.*s", (int)(slash - text), text);
    if (enf_addr_parse(addr_text, &addr) < 0 || len > enf_addr_bits(&addr))
        return false;
    prefix = enf_prefix_make(&addr, (uint8_t)len);
    enf_prefix_str(&prefix, buf, buf_len);
    return true;
}

int enf_value_prefix(struct enf_reader *reader, const yaml_node_t *node, struct enf_prefix *out)
{
    const char *text = enf_value_text(node);
    struct enf_prefix prefix = {0};
    int ret = text != NULL ? enf_prefix_parse(text, &prefix) : -EINVAL;
    char meant[ENF_PREFIX_STR_LEN];

    if (ret == -EDOM && without_host_bits(text, meant, sizeof(meant)))
        enf_reader_expected(reader, node, "no bits set beyond the length (%s)", meant);
    else if (ret < 0)
        enf_reader_expected(reader, node, "an address or a prefix");
    else
        *out = prefix;
    return ret < 0 ? -EINVAL : 0;
}

void enf_read_prefix(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base)
{
    enf_value_prefix(reader, node, ENF_ROW_AT(row, base));
}

void enf_read_address(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base)
{
    const char *text = enf_value_text(node);

    if (text == NULL || enf_addr_parse(text, ENF_ROW_AT(row, base)) < 0)
        enf_reader_expected(reader, node, "an address");
}

void enf_read_later(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base)
{
    bool empty_list =
        node->type == YAML_SEQUENCE_NODE && node->data.sequence.items.top == node->data.sequence.items.start;

    (void)base;
    if (enf_document_is_null(node) || (row->arg.text.special && empty_list))
        return;
    enf_reader_error(reader, node, "not yet supported: %s", row->arg.text.expected);
}
