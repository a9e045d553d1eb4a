/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills errors, and makes JSON text of what may be no UTF-8. */
#include "enforcer/control/error.h"

#include "enforcer/core/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message quotes what strangers sent, and ends up on terminals. Those of Unicode are U+0080 to U+009F. */
static void strip_controls(char *text)
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

int enf_control_fail(struct enf_control_error *error, enum enf_control_code code, const char *format, ...)
{
    char message[ENF_CONTROL_MESSAGE_LEN * 2];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    enf_control_error_clear(error);
    strip_controls(message);
    error->code = code;
    enf_text_copy(error->message, sizeof(error->message), message);
    return -EINVAL;
}

void enf_control_error_put(struct enf_control_error *error, const char *key, json_t *value)
{
    if (!error->data)
        error->data = json_object();
    if (json_object_set_new(error->data, key, value) != 0 && json_object_size(error->data) == 0) {
        json_decref(error->data);
        error->data = NULL;
    }
}

void enf_control_error_clear(struct enf_control_error *error)
{
    json_decref(error->data);
    *error = (struct enf_control_error){0};
}

json_t *enf_control_text(const char *text)
{
    json_t *json = json_string(text);
    char *copy;

    if (json)
        return json;
    copy = strdup(text);
    if (!copy)
        return NULL;
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    json = json_string(copy);
    free(copy);
    return json;
}
