/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Collects the errors of one run, ordered by line and bounded, and makes text of strangers fit to print. */
#pragma once

#include "enforcer/config/config.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define ENF_QUOTE_MAX 60                      /* bytes of foreign text shown in a message */
#define ENF_QUOTE_LEN (ENF_QUOTE_MAX * 4 + 8) /* a buffer that always suffices for enf_error_quote */

struct enf_error_list {
    const char *file; /* not owned */
    struct {
        size_t line;
        char *text;
    } items[ENF_CONFIG_ERRORS_MAX];
    size_t len;
    size_t dropped; /* found beyond the cap */
    bool oom;       /* memory ran out somewhere in the run: the answer is -ENOMEM */
};

void enf_error_list_init(struct enf_error_list *list, const char *file);
void enf_error_list_clear(struct enf_error_list *list);

/* Adds "FILE:LINE: KEY: text". At the cap the ones with the lowest lines stay. Of two of one line the one
 * added first comes first. */
void enf_error_list_add(struct enf_error_list *list, size_t line, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void enf_error_list_vadd(struct enf_error_list *list, size_t line, const char *key, const char *format,
                         va_list args) __attribute__((format(printf, 4, 0)));

/* Moves the errors to *out: 0 where there are none, -EINVAL, or -ENOMEM with *out empty. The list is cleared.
 */
int enf_error_list_finish(struct enf_error_list *list, struct enf_config_errors *out);

/* Copies len bytes of text, cut to ENF_QUOTE_MAX, with everything but printable ASCII escaped. Returns buf.
 */
const char *enf_error_quote(char *buf, size_t buf_len, const char *text, size_t len);
