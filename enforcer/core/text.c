/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durations and times as the interface writes them. */
#include "enforcer/core/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_MS       (86400ULL * 1000)
#define DATE_LEN     10                 /* 2026-03-01 */
#define YEAR_9999_MS 253402300799999ULL /* its last millisecond: years have four digits */

struct unit {
    char letter;
    uint64_t ms;
};

/* Longest first, as enf_duration_str tries them. */
static const struct unit units[] = {
    {'d', 86400000},
    {'h', 3600000},
    {'m', 60000},
    {'s', 1000},
};
#define UNITS_LEN (sizeof units / sizeof *units)

int enf_duration_parse(const char *text, uint64_t *out_ms)
{
    uint64_t number = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9'; p++) {
        number = number * 10 + (uint64_t)(*p - '0');
        if (number > ENF_DURATION_MAX)
            number = ENF_DURATION_MAX; /* stays out of range below whatever the unit */
    }
    if (p == text || p[0] == '\0' || p[1] != '\0')
        return -EINVAL;
    for (size_t i = 0; i < UNITS_LEN; i++) {
        if (units[i].letter != *p)
            continue;
        if (number == 0 || number > ENF_DURATION_MAX / units[i].ms)
            return -ERANGE;
        *out_ms = number * units[i].ms;
        return 0;
    }
    return -EINVAL;
}

const char *enf_duration_str(uint64_t ms, char *buf, size_t buf_len)
{
    if (ms == ENF_FOREVER) {
        snprintf(buf, buf_len, "forever");
        return buf;
    }
    for (size_t i = 0; i < UNITS_LEN; i++) {
        if (ms > 0 && ms % units[i].ms == 0) {
            snprintf(buf, buf_len, "%" PRIu64 "%c", ms / units[i].ms, units[i].letter);
            return buf;
        }
    }
    snprintf(buf, buf_len, "%" PRIu64 "ms", ms);
    return buf;
}

/* count digits of value, zeros in front. */
static char *put_digits(char *at, int value, int count)
{
    for (int i = count; i-- > 0; value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + count;
}

const char *enf_time_str(uint64_t wall_ms, char *buf, size_t buf_len)
{
    char text[ENF_TIME_STR_LEN], *at = text;
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (wall_ms > YEAR_9999_MS || !gmtime_r(&seconds, &tm)) {
        snprintf(buf, buf_len, "-");
        return buf;
    }
    /* Every event has one, and every piece of evidence: snprintf takes many times as long. */
    const struct {
        int value;
        int count;
        char behind;
    } parts[] = {
        {tm.tm_year + 1900, 4, '-'},
        {tm.tm_mon + 1, 2, '-'},
        {tm.tm_mday, 2, 'T'},
        {tm.tm_hour, 2, ':'},
        {tm.tm_min, 2, ':'},
        {tm.tm_sec, 2, '.'},
        {(int)(wall_ms % 1000), 3, 'Z'},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        at = put_digits(at, parts[i].value, parts[i].count);
        *at++ = parts[i].behind;
    }
    *at = '\0';
    return enf_text_copy(buf, buf_len, text);
}

/* Exactly count digits at *p, moved behind them; -1 where there are none. */
static int digits(const char **p, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return -1;
        value = value * 10 + (**p - '0');
    }
    return value;
}

static bool expect(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

int enf_time_parse(const char *text, uint64_t *out_wall_ms)
{
    const char *p = text;
    struct tm tm = {0};
    uint64_t fraction_ms = 0;
    bool ok = (tm.tm_year = digits(&p, 4)) >= 1970 && expect(&p, '-') && (tm.tm_mon = digits(&p, 2)) >= 1 &&
              expect(&p, '-') && (tm.tm_mday = digits(&p, 2)) >= 1 && (expect(&p, 'T') || expect(&p, 't')) &&
              (tm.tm_hour = digits(&p, 2)) >= 0 && expect(&p, ':') && (tm.tm_min = digits(&p, 2)) >= 0 &&
              expect(&p, ':') && (tm.tm_sec = digits(&p, 2)) >= 0;

    /* A leap second, only ever the last of a day, is the first of the next one to us. */
    int leap = tm.tm_hour == 23 && tm.tm_min == 59 && tm.tm_sec == 60;
    if (!ok || tm.tm_mon > 12 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 59 + leap)
        return -EINVAL;
    if (expect(&p, '.')) {
        uint64_t scale = 100;
        const char *first = p;
        for (; *p >= '0' && *p <= '9'; p++, scale /= 10)
            fraction_ms += scale * (uint64_t)(*p - '0');
        if (p == first)
            return -EINVAL;
    }
    if (!(expect(&p, 'Z') || expect(&p, 'z')) || *p)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    tm.tm_sec -= leap;
    int day = tm.tm_mday;
    time_t seconds = timegm(&tm);
    if (seconds < 0 || tm.tm_mday != day) /* 31 April becomes 1 May: no such date */
        return -EINVAL;
    uint64_t wall_ms = ((uint64_t)seconds + (uint64_t)leap) * 1000 + fraction_ms;
    if (wall_ms > YEAR_9999_MS)
        return -EINVAL;
    *out_wall_ms = wall_ms;
    return 0;
}

int enf_expiry_parse(const char *text, uint64_t *out_wall_ms)
{
    char whole[DATE_LEN + sizeof "T00:00:00Z"];
    uint64_t time_ms = 0;

    if (strlen(text) != DATE_LEN)
        return enf_time_parse(text, out_wall_ms);
    snprintf(whole, sizeof whole, "%sT00:00:00Z", text);
    if (enf_time_parse(whole, &time_ms) < 0)
        return -EINVAL;
    *out_wall_ms = time_ms + DAY_MS;
    return 0;
}

char *enf_text_copy(char *dst, size_t dst_len, const char *text)
{
    size_t len = strlen(text);

    if (dst_len == 0)
        return dst;
    if (len >= dst_len) {
        len = dst_len - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    memmove(dst, text, len);
    dst[len] = '\0';
    return dst;
}

/* Always leaves room for the final zero. */
static ssize_t on_write(void *cookie, const char *data, size_t len)
{
    struct enf_text *text = cookie;

    if (len >= text->size - text->len) {
        size_t size = text->size * 2 > text->len + len ? text->size * 2 : text->len + len + 1;
        char *grown = realloc(text->data, size);
        if (!grown)
            return 0;
        text->data = grown;
        text->size = size;
    }
    memcpy(text->data + text->len, data, len);
    text->len += len;
    return (ssize_t)len;
}

FILE *enf_text_open(struct enf_text *text)
{
    static const cookie_io_functions_t functions = {.write = on_write};

    *text = (struct enf_text){.data = malloc(1024), .size = 1024};
    FILE *stream = text->data ? fopencookie(text, "w", functions) : NULL;
    if (!stream) {
        free(text->data);
        text->data = NULL;
    }
    return stream;
}

int enf_text_close(FILE *stream, struct enf_text *text, char **out)
{
    *out = NULL;
    if (!stream)
        return -ENOMEM;
    bool bad = ferror(stream) != 0;
    bad |= fclose(stream) != 0;
    if (bad) {
        free(text->data);
    } else {
        *out = text->data;
        text->data[text->len] = '\0';
    }
    text->data = NULL;
    return bad ? -ENOMEM : 0;
}
