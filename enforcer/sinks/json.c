/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON (RFC 8259) straight into a buffer. */
#include "enforcer/sinks/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST  1024
#define ESCAPED_MAX 6 /* \u001f */
#define NUMBER_LEN  48

void enf_json_clear(struct enf_json *json)
{
    free(json->text);
    *json = (struct enf_json){.text = NULL};
}

static bool has_room(struct enf_json *json, size_t more)
{
    size_t room = json->room ? json->room : ROOM_FIRST;

    if (json->failed || json->room - json->len >= more)
        return !json->failed;
    while (room - json->len < more)
        room *= 2;
    char *text = realloc(json->text, room);
    if (!text) {
        json->failed = true;
        return false;
    }
    json->text = text;
    json->room = room;
    return true;
}

/* Called for every piece of every event. */
static inline void put(struct enf_json *json, const char *text, size_t len)
{
    if ((json->failed || json->room - json->len < len) && !has_room(json, len))
        return;
    memcpy(json->text + json->len, text, len);
    json->len += len;
}

static inline void put_char(struct enf_json *json, char c)
{
    put(json, &c, 1);
}

/* Nothing is in the innermost object or list. Something has been written. */
static inline bool is_opened(const struct enf_json *json)
{
    char last = json->text[json->len - 1];

    return last == '{' || last == '[';
}

/* What stands in front of a value: a comma, unless it is the first, and its name. */
static void put_key(struct enf_json *json, const char *key)
{
    if (json->len > 0 && !is_opened(json))
        put_char(json, ',');
    if (!key)
        return;
    put_char(json, '"');
    put(json, key, strlen(key));
    put(json, "\":", 2);
}

size_t enf_json_begin(struct enf_json *json, const char *key, char open)
{
    size_t began = json->len;

    put_key(json, key);
    put_char(json, open);
    return began;
}

void enf_json_end(struct enf_json *json, size_t began, char close, bool keep)
{
    if (!keep && !json->failed && is_opened(json))
        json->len = began;
    else
        put_char(json, close);
}

void enf_json_null(struct enf_json *json, const char *key)
{
    put_key(json, key);
    put(json, "null", 4);
}

void enf_json_bool(struct enf_json *json, const char *key, bool value)
{
    put_key(json, key);
    put(json, value ? "true" : "false", value ? 4 : 5);
}

void enf_json_count(struct enf_json *json, const char *key, uint64_t value)
{
    char digits[NUMBER_LEN], *at = digits + sizeof digits;

    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put_key(json, key);
    put(json, at, (size_t)(digits + sizeof digits - at));
}

void enf_json_real(struct enf_json *json, const char *key, double value)
{
    char digits[NUMBER_LEN];

    if (!isfinite(value))
        return;
    int len = snprintf(digits, sizeof digits, "%.12g", value);
    char *comma = strchr(digits, ','); /* of a locale */
    if (comma)
        *comma = '.';
    put_key(json, key);
    put(json, digits, (size_t)len);
    if (!strpbrk(digits, ".e"))
        put(json, ".0", 2);
}

/* How many bytes the character at text has, 0 where it is none: too long, a surrogate, beyond U+10FFFF. */
static size_t character_len(const unsigned char *text, size_t len)
{
    size_t need = *text < 0x80   ? 1
                  : *text < 0xc2 ? 0
                  : *text < 0xe0 ? 2
                  : *text < 0xf0 ? 3
                  : *text < 0xf5 ? 4
                                 : 0;

    if (need > len)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] > 0x9f) ||
        (*text == 0xf0 && text[1] < 0x90) || (*text == 0xf4 && text[1] > 0x8f))
        return 0;
    return need;
}

static bool is_utf8(const char *text, size_t len)
{
    for (size_t at = 0, step; at < len; at += step)
        if ((step = character_len((const unsigned char *)text + at, len - at)) == 0)
            return false;
    return true;
}

static void put_escaped(struct enf_json *json, char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = strchr(plain, c);
    char text[ESCAPED_MAX + 1];

    if (found)
        snprintf(text, sizeof text, "\\%c", letters[found - plain]);
    else
        snprintf(text, sizeof text, "\\u%04X", (unsigned)(unsigned char)c);
    put(json, text, strlen(text));
}

void enf_json_text(struct enf_json *json, const char *key, const char *text, size_t len)
{
    size_t from = 0;

    len = strnlen(text, len);
    bool valid = is_utf8(text, len);
    put_key(json, key);
    put_char(json, '"');
    for (size_t at = 0; at < len; at++) {
        bool odd = !valid && (unsigned char)text[at] >= 0x80;
        if (!odd && (unsigned char)text[at] >= 0x20 && text[at] != '"' && text[at] != '\\')
            continue;
        put(json, text + from, at - from);
        from = at + 1;
        if (odd)
            put_char(json, '?');
        else
            put_escaped(json, text[at]);
    }
    put(json, text + from, len - from);
    put_char(json, '"');
}

void enf_json_word(struct enf_json *json, const char *key, const char *word)
{
    put_key(json, key);
    put_char(json, '"');
    put(json, word, strlen(word));
    put_char(json, '"');
}

int enf_json_take(struct enf_json *json, char **text, size_t *len)
{
    put(json, "\n", 2);
    if (json->failed) {
        enf_json_clear(json);
        return -ENOMEM;
    }
    /* Not cut to size: pieces of all lengths would be left behind, and joined again later. */
    char *copy = malloc(json->len);
    if (copy) {
        memcpy(copy, json->text, json->len);
        *text = copy;
        *len = json->len - 1;
    }
    enf_json_clear(json);
    return copy ? 0 : -ENOMEM;
}
