/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people read: text without surprises for the terminal, times, colours and aligned tables. */
#pragma once

#include "tools/enforcerctl/command.h"

#include <jansson.h>
#include <stdio.h>

#define PRINT_TIME_LEN    48
#define PRINT_COLUMNS_MAX 10

enum print_color {
    PRINT_PLAIN,
    PRINT_RED,
    PRINT_YELLOW,
    PRINT_GREEN,
    PRINT_BOLD,
};

/* Writes text with its control characters replaced by '?'. */
void print_clean(FILE *f, const char *text);
/* Begin and end of a colour; "" where there are no colours. */
const char *print_begin(const struct ctl *ctl, enum print_color color);
const char *print_end(const struct ctl *ctl, enum print_color color);

/* The member at path ("events.lost"), or NULL. */
const json_t *json_at(const json_t *json, const char *path);
/* Text there, or "". */
const char *text_at(const json_t *json, const char *path);
long long number_at(const json_t *json, const char *path);
bool true_at(const json_t *json, const char *path);

/* The time there, without its fraction: "2026-03-01T12:00:00Z"; "-" where there is none. */
const char *time_at(const json_t *json, const char *path, char buf[PRINT_TIME_LEN]);
/* The same and how far away it is: "… (in 52m)". */
const char *time_near_at(const struct ctl *ctl, const json_t *json, const char *path,
                         char buf[PRINT_TIME_LEN]);
/* As time_near_at, for the end of a quarantine: null is "forever". */
const char *until_at(const struct ctl *ctl, const json_t *json, const char *path, char buf[PRINT_TIME_LEN]);
/* "3d 4h", "52m", "7s": the two largest units. */
const char *span_text(uint64_t ms, char buf[PRINT_TIME_LEN]);

struct table; /* private to print.c */

/* headers are borrowed; one that begins with '>' is of a column that is aligned to the right. NULL: no
 * memory. */
struct table *table_new(const struct ctl *ctl, const char *const *headers, size_t headers_len);
/* The next cell, in rows from left to right. A row has the colour of its first cell. */
void table_cell(struct table *table, enum print_color color, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Prints the rows and forgets them; the widths stay, so that the next page is aligned with this one. The
 * header is printed once, and not at all where there is no row. */
void table_print(struct table *table);
void table_free(struct table **table);
