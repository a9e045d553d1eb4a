/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values on their way to SQLite, and back from a file that anybody may have written. */
#include "enforcer/core/text.h"
#include "enforcer/store/store_private.h"

#include <string.h>

#define FOREVER_STORED (-1) /* columns are signed */

void enf_store_bind_prefix(sqlite3_stmt *statement, int first, const struct enf_prefix *prefix)
{
    sqlite3_bind_int(statement, first, prefix->addr.family);
    sqlite3_bind_blob(statement, first + 1, prefix->addr.bytes, enf_addr_len(&prefix->addr),
                      SQLITE_TRANSIENT);
    sqlite3_bind_int(statement, first + 2, prefix->len);
}

void enf_store_bind_time(sqlite3_stmt *statement, int at, uint64_t time_ms)
{
    sqlite3_bind_int64(statement, at, time_ms == ENF_FOREVER ? FOREVER_STORED : (sqlite3_int64)time_ms);
}

void enf_store_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text ? text : "", -1, SQLITE_STATIC);
}

bool enf_store_is_time(uint64_t time_ms)
{
    return time_ms <= INT64_MAX || time_ms == ENF_FOREVER;
}

/* Columns are read by their values: to ask the statement twice for each took a fifth of the time in which a
 * million rows are read. The connection is one thread's, which is what such values need. */
static bool number_of(sqlite3_value *value, uint64_t max, uint64_t *out)
{
    sqlite3_int64 number = sqlite3_value_int64(value);

    if (sqlite3_value_type(value) != SQLITE_INTEGER || number < 0 || (uint64_t)number > max)
        return false;
    *out = (uint64_t)number;
    return true;
}

bool enf_store_column_number(sqlite3_stmt *statement, int at, uint64_t max, uint64_t *out)
{
    return number_of(sqlite3_column_value(statement, at), max, out);
}

bool enf_store_column_time(sqlite3_stmt *statement, int at, uint64_t *out)
{
    sqlite3_value *value = sqlite3_column_value(statement, at);

    if (sqlite3_value_type(value) == SQLITE_INTEGER && sqlite3_value_int64(value) == FOREVER_STORED) {
        *out = ENF_FOREVER;
        return true;
    }
    return number_of(value, INT64_MAX, out);
}

bool enf_store_column_prefix(sqlite3_stmt *statement, int first, struct enf_prefix *out)
{
    struct enf_prefix prefix = {.len = 0};
    uint64_t family = 0;
    uint64_t len = 0;
    sqlite3_value *addr = sqlite3_column_value(statement, first + 1);
    const void *bytes;

    if (!enf_store_column_number(statement, first, ENF_FAMILY_V6, &family) ||
        !enf_store_column_number(statement, first + 2, 128, &len) || sqlite3_value_type(addr) != SQLITE_BLOB)
        return false;
    prefix.addr.family = (uint8_t)family;
    prefix.len = (uint8_t)len;
    bytes = sqlite3_value_blob(addr);
    if (!bytes || !enf_addr_len(&prefix.addr) || sqlite3_value_bytes(addr) != enf_addr_len(&prefix.addr))
        return false;
    memcpy(prefix.addr.bytes, bytes, enf_addr_len(&prefix.addr));
    if (!enf_prefix_is_valid(&prefix))
        return false;
    *out = prefix;
    return true;
}

/* Bytes of the UTF-8 sequence at text, or 0 where none begins: too long forms, surrogates and numbers beyond
 * Unicode are none (RFC 3629). */
static size_t utf8_len(const unsigned char *text, size_t len)
{
    size_t want = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

    if (!want || want > len || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return want;
}

/* Bytes at the beginning that are ASCII, up to len. */
static size_t ascii_len(const unsigned char *text, size_t len)
{
    size_t at = 0;

    for (uint64_t eight; at + sizeof(eight) <= len; at += sizeof(eight)) {
        memcpy(&eight, text + at, sizeof(eight));
        if (eight & 0x8080808080808080ULL)
            break;
    }
    while (at < len && text[at] < 0x80)
        at++;
    return at;
}

void enf_store_column_text(sqlite3_stmt *statement, int at, char *buf, size_t buf_len)
{
    const unsigned char *text = sqlite3_column_text(statement, at);

    if (!text)
        text = (const unsigned char *)"";
    size_t len = strlen((const char *)text);
    size_t used = ascii_len(text, len < buf_len ? len : buf_len - 1);

    if (used) { /* most texts, whole */
        memcpy(buf, text, used);
        text += used;
        len -= used;
    }
    while (len) {
        size_t step = utf8_len(text, len);
        size_t take = step ? step : 1;

        if (used + take >= buf_len)
            break;
        if (step)
            memcpy(buf + used, text, step);
        else
            buf[used] = '?';
        used += take;
        text += take;
        len -= take;
    }
    buf[used] = '\0';
}
