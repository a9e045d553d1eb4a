/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Escaping, numbers and times. */
#include "html.h"

#include "enforcer/core/text.h"

#include <inttypes.h>
#include <stddef.h>

/* The length of the UTF-8 character at p, or 0 where there is none. Overlong forms, surrogates and what is
 * beyond U+10FFFF are none. */
static size_t utf8_len(const unsigned char *p)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    /* U+0080 to U+009F are controls, U+FFFE and U+FFFF no characters. */
    if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe))
        return 0;
    return len;
}

static const char *entity_of(unsigned char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return c < ' ' || c == 0x7f ? "\xef\xbf\xbd" : NULL;
    }
}

void html_text(const char *text, FILE *to)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        const char *entity = entity_of(*p);
        size_t len = utf8_len(p);
        if (entity)
            (void)fputs(entity, to);
        else if (len == 0)
            (void)fputs("\xef\xbf\xbd", to);
        else
            (void)fwrite(p, 1, len, to);
        p += len ? len : 1;
    }
}

void html_count(uint64_t count, FILE *to)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%" PRIu64, count);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            (void)fputc(',', to);
        (void)fputc(text[i], to);
    }
}

void html_counted(uint64_t count, const char *singular, const char *plural, FILE *to)
{
    html_count(count, to);
    (void)fprintf(to, " %s", count == 1 ? singular : plural);
}

void html_time(uint64_t time_ms, enum html_time form, FILE *to)
{
    char text[ENF_TIME_STR_LEN] = ""; /* 2022-02-08T16:34:02.421Z */
    enf_time_str(time_ms, text, sizeof(text));
    if (text[0] == '-' || text[10] != 'T') { /* beyond the calendar */
        (void)fputs("unknown time", to);
        return;
    }
    switch (form) {
    case HTML_TIME_FULL:
        (void)fprintf(to, "%.10s %.12s UTC", text, text + 11);
        break;
    case HTML_TIME_SECONDS:
        (void)fprintf(to, "%.10s %.8s", text, text + 11);
        break;
    case HTML_TIME_CLOCK:
        (void)fprintf(to, "%.12s", text + 11);
        break;
    case HTML_TIME_SHORT:
        (void)fprintf(to, "%.8s", text + 11);
        break;
    case HTML_TIME_DAY:
        (void)fprintf(to, "%.5s %.5s", text + 5, text + 11);
        break;
    }
}
