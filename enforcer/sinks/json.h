/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes one line of compact JSON into memory, field by field: no tree is built. Private to sinks/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct enf_json {
    char *text; /* owned; NULL until something was written */
    size_t len;
    size_t room;
    bool failed; /* no memory: what is asked for after that does nothing */
};

/* Frees the text. */
void enf_json_clear(struct enf_json *json);

/* Opens an object or a list; close tells begin() and end() apart from what begins it. key NULL: it is the
 * whole line, or stands in a list. The result belongs to the call that closes it. */
size_t enf_json_begin(struct enf_json *json, const char *key, char open);
/* Closes what began there. An object without a field says nothing: it is taken back, with its key, unless
 * keep. */
void enf_json_end(struct enf_json *json, size_t began, char close, bool keep);

/* A field of the object that is open; key NULL: an item of the list that is open. Keys are written as they
 * are. */
void enf_json_null(struct enf_json *json, const char *key);
void enf_json_bool(struct enf_json *json, const char *key, bool value);
void enf_json_count(struct enf_json *json, const char *key, uint64_t value);
/* Twelve digits, always with a point or an exponent, so that it is read as a real number. Left out where it
 * is not finite. */
void enf_json_real(struct enf_json *json, const char *key, double value);
/* Up to len bytes or to the zero. Where they are no UTF-8 (RFC 3629), a '?' stands for each that is not
 * ASCII. */
void enf_json_text(struct enf_json *json, const char *key, const char *text, size_t len);
/* ASCII without anything that must be escaped, as a string. */
void enf_json_word(struct enf_json *json, const char *key, const char *word);

/* The text with a newline and a zero behind it, to be freed by the caller; *len counts the newline. 0, or
 * -ENOMEM with the outputs untouched. The writer is empty afterwards. */
int enf_json_take(struct enf_json *json, char **text, size_t *len);
