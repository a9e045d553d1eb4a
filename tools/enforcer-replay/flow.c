/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which parser a line is for, and which format a file is. */
#include "flow_columns.h"

#include <string.h>

struct flow_parser flow_parser_make(enum flow_format format, uint64_t seed)
{
    struct flow_parser parser = {
        .format = format,
        .seed = seed,
        .separator = format == FLOW_FORMAT_NFDUMP ? ',' : '\t',
    };
    if (format == FLOW_FORMAT_ZEEK) {
        memcpy(parser.unset, "-", 2);
        memcpy(parser.empty, "(empty)", 8);
        parser.set_separator = ',';
    }
    return parser;
}

enum flow_result flow_parse(struct flow_parser *parser, const char *line, size_t len, struct flow *out)
{
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
        len--;
    if (len == 0)
        return FLOW_NOT_A_RECORD;
    if (len > FLOW_LINE_MAX)
        return FLOW_BAD;
    switch (parser->format) {
    case FLOW_FORMAT_EVE:
        return eve_parse(parser, line, len, out);
    case FLOW_FORMAT_ZEEK:
        return zeek_parse(parser, line, len, out);
    case FLOW_FORMAT_NFDUMP:
        return nfdump_parse(parser, line, len, out);
    case FLOW_FORMAT_NONE:
        break;
    }
    return FLOW_BAD;
}

static bool has(const char *head, size_t len, const char *word)
{
    return memmem(head, len, word, strlen(word)) != NULL;
}

enum flow_format flow_recognise(const char *head, size_t len)
{
    struct text text = {head, len};
    if (text_starts(text, "#separator") || text_starts(text, "#fields"))
        return FLOW_FORMAT_ZEEK;
    const char *newline = len > 0 ? memchr(head, '\n', len) : NULL;
    size_t line_len = newline ? (size_t)(newline - head) : len;
    if (text_starts(text, "{")) {
        if (has(head, line_len, "\"event_type\"") || has(head, line_len, "\"src_ip\""))
            return FLOW_FORMAT_EVE;
        return has(head, line_len, "\"id.orig_h\"") ? FLOW_FORMAT_ZEEK : FLOW_FORMAT_NONE;
    }
    struct flow_parser parser = flow_parser_make(FLOW_FORMAT_NFDUMP, 0);
    return columns_read(&parser, (struct text){head, line_len}) ? FLOW_FORMAT_NFDUMP : FLOW_FORMAT_NONE;
}
