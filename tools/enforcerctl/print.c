/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables, times and colours. */
#include "tools/enforcerctl/print.h"

#include "enforcer/core/array.h"
#include "enforcer/core/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct cell {
    char *text; /* owned; NULL where there was no memory */
    enum print_color color;
};

struct table {
    const struct ctl *ctl;
    const char *const *headers;
    size_t columns;
    int widths[PRINT_COLUMNS_MAX];
    struct cell *cells;
    size_t len;
    size_t cap;
    bool has_header;
};

/* Controls of ASCII, and those of Unicode (U+0080 to U+009F), which some terminals obey as well. */
static void clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f) {
            *c = '?';
        } else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) {
            *c++ = '?';
            *c = '?';
        }
    }
}

void print_clean(FILE *f, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return;
    clean(copy);
    fputs(copy, f);
    free(copy);
}

const char *print_begin(const struct ctl *ctl, enum print_color color)
{
    static const char *const codes[] = {"", "\033[31m", "\033[33m", "\033[32m", "\033[1m"};

    return ctl->color ? codes[color] : "";
}

const char *print_end(const struct ctl *ctl, enum print_color color)
{
    return ctl->color && color != PRINT_PLAIN ? "\033[0m" : "";
}

const json_t *json_at(const json_t *json, const char *path)
{
    while (json && *path) {
        size_t len = strcspn(path, ".");

        json = json_object_getn(json, path, len);
        path += len + (path[len] == '.');
    }
    return json;
}

const char *text_at(const json_t *json, const char *path)
{
    const char *text = json_string_value(json_at(json, path));

    return text ? text : "";
}

long long number_at(const json_t *json, const char *path)
{
    const json_t *value = json_at(json, path);

    return json_is_real(value) ? (long long)json_real_value(value) : (long long)json_integer_value(value);
}

bool true_at(const json_t *json, const char *path)
{
    return json_is_true(json_at(json, path));
}

const char *time_at(const json_t *json, const char *path, char buf[PRINT_TIME_LEN])
{
    const char *text = json_string_value(json_at(json, path));
    size_t len;

    if (!text)
        return "-";
    len = strcspn(text, ".");
    snprintf(buf, PRINT_TIME_LEN, "%.*s%s", (int)(len < 40 ? len : 40), text, text[len] ? "Z" : "");
    clean(buf);
    return buf;
}

const char *span_text(uint64_t ms, char buf[PRINT_TIME_LEN])
{
    static const struct {
        uint64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    uint64_t seconds = (ms + 500) / 1000;
    uint64_t step =
        seconds >= 86400 ? 3600 : (seconds >= 60 ? 60 : 1); /* of the smallest unit that is told */
    size_t i = 0;
    int len;

    seconds = (seconds + step / 2) / step * step;
    while (i < 3 && seconds < units[i].seconds)
        i++;
    len = snprintf(buf, PRINT_TIME_LEN, "%llu%c", (unsigned long long)(seconds / units[i].seconds),
                   units[i].unit);
    seconds %= units[i].seconds;
    /* minutes and seconds are told alone: nobody needs "52m 11s" */
    if (i < 2 && seconds >= units[i + 1].seconds)
        snprintf(buf + len, PRINT_TIME_LEN - (size_t)len, " %llu%c",
                 (unsigned long long)(seconds / units[i + 1].seconds), units[i + 1].unit);
    return buf;
}

const char *time_near_at(const struct ctl *ctl, const json_t *json, const char *path,
                         char buf[PRINT_TIME_LEN])
{
    const char *text = text_at(json, path);
    char span[PRINT_TIME_LEN];
    char time[PRINT_TIME_LEN];
    uint64_t ms;

    if (enf_time_parse(text, &ms) != 0)
        return time_at(json, path, buf);
    if (ms > ctl->now_ms)
        snprintf(buf, PRINT_TIME_LEN, "%.24s (in %.16s)", time_at(json, path, time),
                 span_text(ms - ctl->now_ms, span));
    else
        snprintf(buf, PRINT_TIME_LEN, "%.24s (%.16s ago)", time_at(json, path, time),
                 span_text(ctl->now_ms - ms, span));
    return buf;
}

const char *until_at(const struct ctl *ctl, const json_t *json, const char *path, char buf[PRINT_TIME_LEN])
{
    return json_is_null(json_at(json, path)) ? "forever" : time_near_at(ctl, json, path, buf);
}

struct table *table_new(const struct ctl *ctl, const char *const *headers, size_t headers_len)
{
    struct table *table = calloc(1, sizeof(*table));

    if (!table)
        return NULL;
    table->ctl = ctl;
    table->headers = headers;
    table->columns = headers_len < PRINT_COLUMNS_MAX ? headers_len : PRINT_COLUMNS_MAX;
    for (size_t i = 0; i < table->columns; i++)
        table->widths[i] = (int)strlen(headers[i]) - (headers[i][0] == '>');
    return table;
}

void table_cell(struct table *table, enum print_color color, const char *format, ...)
{
    struct cell *cell;
    va_list args;
    int len;

    if (!table)
        return;
    struct cell *cells = enf_array_grow(table->cells, table->len, &table->cap, sizeof(*cells));
    if (!cells)
        return;
    table->cells = cells;
    cell = &table->cells[table->len];
    *cell = (struct cell){NULL, color};
    va_start(args, format);
    len = vasprintf(&cell->text, format, args);
    va_end(args);
    if (len < 0)
        cell->text = NULL;
    else
        clean(cell->text);
    if (len > table->widths[table->len % table->columns])
        table->widths[table->len % table->columns] = len;
    table->len++;
}

/* Nothing is padded behind the last column: no line ends with blanks. */
static void print_row(const struct table *table, const char *const *texts)
{
    for (size_t i = 0; i < table->columns; i++) {
        bool right = table->headers[i][0] == '>';
        bool last = i + 1 == table->columns;

        printf("%s%*s", i == 0 ? "" : "  ", right ? table->widths[i] : (last ? 0 : -table->widths[i]),
               texts[i]);
    }
}

static void print_header(struct table *table)
{
    const char *texts[PRINT_COLUMNS_MAX];

    if (table->has_header || table->len == 0 || table->headers[0][0] == '\0')
        return;
    table->has_header = true;
    for (size_t i = 0; i < table->columns; i++)
        texts[i] = table->headers[i] + (table->headers[i][0] == '>');
    fputs(print_begin(table->ctl, PRINT_BOLD), stdout);
    print_row(table, texts);
    printf("%s\n", print_end(table->ctl, PRINT_BOLD));
}

void table_print(struct table *table)
{
    if (!table)
        return;
    print_header(table);
    for (size_t row = 0; row + table->columns <= table->len; row += table->columns) {
        const char *texts[PRINT_COLUMNS_MAX];
        enum print_color color = table->cells[row].color;

        for (size_t i = 0; i < table->columns; i++)
            texts[i] = table->cells[row + i].text ? table->cells[row + i].text : "?";
        fputs(print_begin(table->ctl, color), stdout);
        print_row(table, texts);
        printf("%s\n", print_end(table->ctl, color));
    }
    for (size_t i = 0; i < table->len; i++)
        free(table->cells[i].text);
    table->len = 0;
}

void table_free(struct table **table)
{
    if (!*table)
        return;
    for (size_t i = 0; i < (*table)->len; i++)
        free((*table)->cells[i].text);
    free((*table)->cells);
    free(*table);
    *table = NULL;
}
