/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads parameters by type. Every message is "KEY: expected …, found …". */
#include "enforcer/control/params.h"

#include "enforcer/core/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOUND_LEN 96

/* What stands there, in words, short and on one line. */
static const char *found(const json_t *json, char buf[FOUND_LEN])
{
    char text[64];

    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return json_array_size(json) == 0 ? "an empty list" : "a list";
    case JSON_STRING:
        enf_text_copy(text, sizeof(text), json_string_value(json));
        for (char *c = text; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                *c = '?';
        snprintf(buf, FOUND_LEN, "\"%s\"%s", text, json_string_length(json) >= sizeof(text) ? "…" : "");
        return buf;
    case JSON_INTEGER:
        snprintf(buf, FOUND_LEN, "%lld", (long long)json_integer_value(json));
        return buf;
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static int wrong(struct enf_control_error *error, const char *key, const char *expected, const json_t *json)
{
    char buf[FOUND_LEN];

    enf_control_fail(error, ENF_CONTROL_PARAMS, "%s: expected %s, found %s", key, expected, found(json, buf));
    enf_control_error_put(error, "param", enf_control_text(key));
    return -EINVAL;
}

/* 1 with *out set, 0: absent, -EINVAL: absent and required. */
static int get(const json_t *params, const char *key, enum enf_param need, const char *expected,
               const json_t **out, struct enf_control_error *error)
{
    const json_t *json = json_object_get(params, key);

    if (json && !json_is_null(json)) {
        *out = json;
        return 1;
    }
    if (need == ENF_PARAM_OPTIONAL)
        return 0;
    enf_control_fail(error, ENF_CONTROL_PARAMS, "%s: missing, expected %s", key, expected);
    enf_control_error_put(error, "param", enf_control_text(key));
    return -EINVAL;
}

int enf_params_known(const json_t *params, const char *const *names, struct enf_control_error *error)
{
    /* iterators of jansson want a table that is not const, and do not touch it */
    json_t *table = (json_t *)(uintptr_t)params;

    for (void *at = json_object_iter(table); at; at = json_object_iter_next(table, at)) {
        const char *key = json_object_iter_key(at);
        const char *const *name = names;
        char buf[FOUND_LEN];
        json_t *text;

        while (*name && strcmp(*name, key) != 0)
            name++;
        if (*name)
            continue;
        text = enf_control_text(key);
        enf_control_fail(error, ENF_CONTROL_PARAMS, "unknown parameter %s", text ? found(text, buf) : "");
        enf_control_error_put(error, "param", text);
        return -EINVAL;
    }
    return 0;
}

/* Text goes into logs, tables and terminals: no control characters, those of Unicode (U+0080 to U+009F)
 * included. */
static bool is_one_line(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
            return false;
    return true;
}

int enf_params_text(const json_t *params, const char *key, enum enf_param need, size_t max, const char **out,
                    struct enf_control_error *error)
{
    const json_t *json = NULL;
    int rc = get(params, key, need, "text", &json, error);

    if (rc <= 0)
        return rc;
    if (!json_is_string(json))
        return wrong(error, key, "text", json);
    if (json_string_length(json) > max) {
        char expected[64];

        snprintf(expected, sizeof(expected), "text of at most %zu bytes", max);
        return wrong(error, key, expected, json);
    }
    if (!is_one_line(json_string_value(json)))
        return wrong(error, key, "text without control characters", json);
    *out = json_string_value(json);
    return 1;
}

int enf_params_bool(const json_t *params, const char *key, enum enf_param need, bool *out,
                    struct enf_control_error *error)
{
    const json_t *json = NULL;
    int rc = get(params, key, need, "true or false", &json, error);

    if (rc <= 0)
        return rc;
    if (!json_is_boolean(json))
        return wrong(error, key, "true or false", json);
    *out = json_is_true(json);
    return 1;
}

int enf_params_integer(const json_t *params, const char *key, enum enf_param need, int64_t min, int64_t max,
                       int64_t *out, struct enf_control_error *error)
{
    const json_t *json = NULL;
    char expected[96];
    int rc;

    snprintf(expected, sizeof(expected), "a whole number from %lld to %lld", (long long)min, (long long)max);
    rc = get(params, key, need, expected, &json, error);
    if (rc <= 0)
        return rc;
    if (!json_is_integer(json) || json_integer_value(json) < min || json_integer_value(json) > max)
        return wrong(error, key, expected, json);
    *out = json_integer_value(json);
    return 1;
}

int enf_params_list(const json_t *params, const char *key, enum enf_param need, size_t max,
                    const json_t **out, struct enf_control_error *error)
{
    const json_t *json = NULL;
    char at[96];
    int rc = get(params, key, need, "a list", &json, error);

    if (rc <= 0)
        return rc;
    if (!json_is_array(json) || json_array_size(json) == 0)
        return wrong(error, key, "a list", json);
    if (json_array_size(json) > max) {
        enf_control_fail(error, ENF_CONTROL_PARAMS, "%s: expected at most %zu, found %zu", key, max,
                         json_array_size(json));
        enf_control_error_put(error, "param", enf_control_text(key));
        return -EINVAL;
    }
    for (size_t i = 0; i < json_array_size(json); i++) {
        if (json_is_string(json_array_get(json, i)))
            continue;
        snprintf(at, sizeof(at), "%s[%zu]", key, i);
        return wrong(error, at, "text", json_array_get(json, i));
    }
    *out = json;
    return 1;
}

int enf_params_choice(const json_t *params, const char *key, enum enf_param need, const char *const *names,
                      size_t *out, struct enf_control_error *error)
{
    const json_t *json = NULL;
    char expected[160] = "";
    size_t len = 0;
    int rc;

    for (size_t i = 0; names[i] && len < sizeof(expected); i++)
        len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s\"%s\"",
                                i == 0 ? "" : (names[i + 1] ? ", " : " or "), names[i]);
    rc = get(params, key, need, expected, &json, error);
    if (rc <= 0)
        return rc;
    for (size_t i = 0; json_is_string(json) && names[i]; i++) {
        if (strcmp(names[i], json_string_value(json)) != 0)
            continue;
        *out = i;
        return 1;
    }
    return wrong(error, key, expected, json);
}
