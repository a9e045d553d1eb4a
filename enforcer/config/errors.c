/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Collects the errors of one run, ordered by line and bounded, and makes text of strangers fit to print. */
#include "enforcer/config/errors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void enf_error_list_init(struct enf_error_list *list, const char *file)
{
    memset(list, 0, sizeof(*list));
    list->file = file;
}

void enf_error_list_clear(struct enf_error_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        free(list->items[i].text);
    list->len = 0;
    list->dropped = 0;
}

/* Makes room in order of lines; the place, or ENF_CONFIG_ERRORS_MAX where this line is beyond the cap. */
static size_t list_place(struct enf_error_list *list, size_t line)
{
    size_t place = list->len;

    while (place > 0 && list->items[place - 1].line > line)
        place--;
    if (place == ENF_CONFIG_ERRORS_MAX)
        return place;
    if (list->len == ENF_CONFIG_ERRORS_MAX) {
        free(list->items[--list->len].text);
        list->dropped++;
    }
    memmove(&list->items[place + 1], &list->items[place], (list->len - place) * sizeof(list->items[0]));
    list->len++;
    return place;
}

void enf_error_list_vadd(struct enf_error_list *list, size_t line, const char *key, const char *format,
                         va_list args)
{
    char *message = NULL;
    char *text = NULL;

    if (list->len == ENF_CONFIG_ERRORS_MAX && line >= list->items[list->len - 1].line) {
        list->dropped++;
        return;
    }
    if (vasprintf(&message, format, args) < 0) {
        list->oom = true;
        return;
    }
    if (asprintf(&text, "%s:%zu: %s: %s", list->file, line, key, message) < 0) {
        free(message);
        list->oom = true;
        return;
    }
    free(message);

    size_t place = list_place(list, line);
    list->items[place].line = line;
    list->items[place].text = text;
}

void enf_error_list_add(struct enf_error_list *list, size_t line, const char *key, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    enf_error_list_vadd(list, line, key, format, args);
    va_end(args);
}

int enf_error_list_finish(struct enf_error_list *list, struct enf_config_errors *out)
{
    struct enf_config_errors errors = {0};

    if (!list->oom && list->len == 0)
        return 0;
    if (!list->oom)
        errors.lines = calloc(list->len + 1, sizeof(*errors.lines));
    if (errors.lines == NULL)
        goto oom;
    if (list->dropped > 0 &&
        asprintf(&errors.lines[list->len], "%s:%zu: %zu more errors from here on are not shown", list->file,
                 list->items[list->len - 1].line, list->dropped) < 0)
        goto oom;
    for (size_t i = 0; i < list->len; i++)
        errors.lines[i] = list->items[i].text;
    errors.len = list->len + (list->dropped > 0 ? 1 : 0);
    list->len = 0; /* the texts have moved */
    *out = errors;
    return -EINVAL;
oom:
    free(errors.lines);
    enf_error_list_clear(list);
    return -ENOMEM;
}

const char *enf_error_quote(char *buf, size_t buf_len, const char *text, size_t len)
{
    size_t shown = len > ENF_QUOTE_MAX ? ENF_QUOTE_MAX : len;
    size_t used = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < shown && used + 8 < buf_len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= 0x20 && c < 0x7f;

        used += (size_t)snprintf(buf + used, buf_len - used, plain ? "%c" : "\\x%02x", c);
    }
    if (shown < len)
        snprintf(buf + used, buf_len - used, "...");
    return buf;
}

void enf_config_errors_clear(struct enf_config_errors *errors)
{
    if (errors == NULL)
        return;
    for (size_t i = 0; i < errors->len; i++)
        free(errors->lines[i]);
    free(errors->lines);
    errors->lines = NULL;
    errors->len = 0;
}
