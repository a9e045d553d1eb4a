/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables with a header of names. */
#include "flow_columns.h"

#include <string.h>

#define COLUMNS_MAX 1024

/* Zeek's names, those of nfdump up to 1.6, those of nfdump 1.7. */
static const struct {
    const char *name;
    enum flow_field field;
} names[] = {
    {"ts", FLOW_FIELD_TIME},
    {"firstSeen", FLOW_FIELD_TIME},
    {"uid", FLOW_FIELD_ID},
    {"id.orig_h", FLOW_FIELD_SOURCE},
    {"sa", FLOW_FIELD_SOURCE},
    {"srcAddr", FLOW_FIELD_SOURCE},
    {"id.orig_p", FLOW_FIELD_SOURCE_PORT},
    {"sp", FLOW_FIELD_SOURCE_PORT},
    {"srcPort", FLOW_FIELD_SOURCE_PORT},
    {"id.resp_h", FLOW_FIELD_DESTINATION},
    {"da", FLOW_FIELD_DESTINATION},
    {"dstAddr", FLOW_FIELD_DESTINATION},
    {"id.resp_p", FLOW_FIELD_DESTINATION_PORT},
    {"dp", FLOW_FIELD_DESTINATION_PORT},
    {"dstPort", FLOW_FIELD_DESTINATION_PORT},
    {"proto", FLOW_FIELD_PROTOCOL},
    {"pr", FLOW_FIELD_PROTOCOL},
    {"conn_state", FLOW_FIELD_STATE},
    {"history", FLOW_FIELD_HISTORY},
    {"flg", FLOW_FIELD_FLAGS},
    {"flags", FLOW_FIELD_FLAGS},
    {"trans_depth", FLOW_FIELD_DEPTH},
    {"helo", FLOW_FIELD_HELO},
    {"mailfrom", FLOW_FIELD_MAIL},
    {"rcptto", FLOW_FIELD_RECIPIENTS},
    {"last_reply", FLOW_FIELD_REPLY},
    {"fuids", FLOW_FIELD_FILES},
};

static const enum flow_field needed[] = {
    FLOW_FIELD_TIME,        FLOW_FIELD_SOURCE,           FLOW_FIELD_SOURCE_PORT,
    FLOW_FIELD_DESTINATION, FLOW_FIELD_DESTINATION_PORT, FLOW_FIELD_PROTOCOL,
};
#define NEEDED_LEN (sizeof(needed) / sizeof(needed[0]))
/* A log of sessions names no protocol: which columns tell that it is one. */
static const enum flow_field of_sessions[] = {FLOW_FIELD_DEPTH, FLOW_FIELD_HELO, FLOW_FIELD_REPLY};
#define OF_SESSIONS_LEN (sizeof(of_sessions) / sizeof(of_sessions[0]))

/* Column i of those that are needed; 0 where it is not there. */
static unsigned needed_column(const struct flow_parser *parser, size_t i)
{
    if (needed[i] == FLOW_FIELD_PROTOCOL && parser->sessions)
        return parser->columns[FLOW_FIELD_SOURCE];
    return parser->columns[needed[i]];
}

/* Takes the first piece off; false at the end. */
static bool next(struct text *rest, char separator, struct text *out)
{
    if (!rest->bytes)
        return false;
    const char *found = memchr(rest->bytes, separator, rest->len);
    *out = (struct text){rest->bytes, found ? (size_t)(found - rest->bytes) : rest->len};
    if (found)
        *rest = (struct text){found + 1, rest->len - out->len - 1};
    else
        *rest = (struct text){NULL, 0};
    return true;
}

bool columns_read(struct flow_parser *parser, struct text header)
{
    struct text name;
    memset(parser->columns, 0, sizeof(parser->columns));
    for (unsigned column = 1; column <= COLUMNS_MAX && next(&header, parser->separator, &name); column++) {
        name = text_trim(name);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (text_is(name, names[i].name) && parser->columns[names[i].field] == 0)
                parser->columns[names[i].field] = (uint16_t)column;
    }
    parser->sessions = parser->columns[FLOW_FIELD_PROTOCOL] == 0;
    for (size_t i = 0; i < OF_SESSIONS_LEN; i++)
        parser->sessions = parser->sessions && parser->columns[of_sessions[i]] != 0;
    parser->usable = true;
    for (size_t i = 0; i < NEEDED_LEN; i++)
        parser->usable = parser->usable && needed_column(parser, i) != 0;
    if (!parser->usable)
        memset(parser->columns, 0, sizeof(parser->columns));
    parser->ever_usable = parser->ever_usable || parser->usable;
    return parser->usable;
}

bool columns_split(const struct flow_parser *parser, struct text row, struct text out[FLOW_FIELD_COUNT])
{
    struct text piece;
    unsigned column = 0;
    memset(out, 0, FLOW_FIELD_COUNT * sizeof(*out));
    while (column < COLUMNS_MAX && next(&row, parser->separator, &piece)) {
        column++;
        for (size_t i = 0; i < FLOW_FIELD_COUNT; i++) {
            if (parser->columns[i] != column)
                continue;
            out[i] = text_trim(piece);
            if (parser->unset[0] && text_is(out[i], parser->unset))
                out[i].len = 0;
        }
    }
    for (size_t i = 0; i < NEEDED_LEN; i++)
        if (needed_column(parser, i) > column)
            return false;
    return true;
}
