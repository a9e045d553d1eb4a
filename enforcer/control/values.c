/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the parameters that mean something to the program: addresses, durations, times, levels, events. */
#include "enforcer/control/params.h"

#include "enforcer/core/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ENF_PREFIX_STR_LEN /* of any value here */

_Static_assert(ENF_EVENT_ACTION_COUNT <= 64, "a set of actions fits into 64 bits");

static int wrong(struct enf_control_error *error, const char *key, const char *expected, const char *text)
{
    enf_control_fail(error, ENF_CONTROL_PARAMS, "%s: expected %s, found \"%s\"", key, expected, text);
    enf_control_error_put(error, "param", enf_control_text(key));
    return -EINVAL;
}

static int read_prefix(const char *key, const char *text, struct enf_prefix *out,
                       struct enf_control_error *error)
{
    struct enf_prefix prefix;
    int err = enf_prefix_meant(text, &prefix);
    char expected[TEXT_MAX * 2], buf[TEXT_MAX];

    if (err == -EDOM) {
        snprintf(expected, sizeof(expected), "a prefix without bits beyond its length (%s)",
                 enf_prefix_str(&prefix, buf, sizeof(buf)));
        return wrong(error, key, expected, text);
    }
    if (err < 0)
        return wrong(error, key, "an address or a prefix", text);
    *out = prefix;
    return 0;
}

int enf_params_addr(const json_t *params, const char *key, enum enf_param need, struct enf_addr *out,
                    struct enf_control_error *error)
{
    const char *text = NULL;
    int rc = enf_params_text(params, key, need, TEXT_MAX, &text, error);

    if (rc <= 0)
        return rc;
    if (enf_addr_parse(text, out) != 0)
        return wrong(error, key, "an address", text);
    return 1;
}

int enf_params_prefix(const json_t *params, const char *key, enum enf_param need, struct enf_prefix *out,
                      struct enf_control_error *error)
{
    const char *text = NULL;
    int rc = enf_params_text(params, key, need, TEXT_MAX, &text, error);

    if (rc <= 0)
        return rc;
    rc = read_prefix(key, text, out, error);
    return rc < 0 ? rc : 1;
}

int enf_params_prefixes(const json_t *params, const char *key, enum enf_param need, struct enf_prefix **out,
                        size_t *out_len, struct enf_control_error *error)
{
    const json_t *list = NULL;
    struct enf_prefix *prefixes;
    size_t len;
    int rc = enf_params_list(params, key, need, ENF_PARAM_ADDRESSES_MAX, &list, error);

    if (rc <= 0)
        return rc;
    len = json_array_size(list);
    prefixes = calloc(len, sizeof(*prefixes));
    if (!prefixes) {
        enf_control_fail(error, ENF_CONTROL_INTERNAL, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < len; i++) {
        char text[TEXT_MAX + 1];
        char at[96];

        /* what is longer than any address is none, cut or not */
        enf_text_copy(text, sizeof(text), json_string_value(json_array_get(list, i)));
        snprintf(at, sizeof(at), "%s[%zu]", key, i);
        rc = read_prefix(at, text, &prefixes[i], error);
        if (rc < 0) {
            free(prefixes);
            return rc;
        }
    }
    *out = prefixes;
    *out_len = len;
    return 1;
}

int enf_params_duration(const json_t *params, const char *key, enum enf_param need, uint64_t *out_ms,
                        struct enf_control_error *error)
{
    const char *text = NULL;
    int rc = enf_params_text(params, key, need, TEXT_MAX, &text, error);

    if (rc <= 0)
        return rc;
    if (strcmp(text, "forever") == 0) {
        *out_ms = ENF_FOREVER;
        return 1;
    }
    rc = enf_duration_parse(text, out_ms);
    if (rc == -ERANGE)
        return wrong(error, key, "a duration from 1s to 3650d, or \"forever\"", text);
    if (rc < 0)
        return wrong(error, key, "a duration like \"30s\", \"10m\", \"1h\", \"7d\", or \"forever\"", text);
    return 1;
}

int enf_params_since(const json_t *params, const char *key, enum enf_param need, uint64_t now_ms,
                     uint64_t *out_ms, struct enf_control_error *error)
{
    const char *text = NULL;
    uint64_t ms;
    int rc = enf_params_text(params, key, need, TEXT_MAX, &text, error);

    if (rc <= 0)
        return rc;
    if (enf_duration_parse(text, &ms) == 0) {
        *out_ms = ms < now_ms ? now_ms - ms : 0;
        return 1;
    }
    if (enf_time_parse(text, out_ms) == 0)
        return 1;
    return wrong(error, key, "a duration like \"10m\" or a time like \"2026-03-01T12:00:00Z\"", text);
}

int enf_params_expiry(const json_t *params, const char *key, enum enf_param need, uint64_t now_ms,
                      uint64_t *out_ms, struct enf_control_error *error)
{
    const char *text = NULL;
    uint64_t ms = 0;
    int rc = enf_params_text(params, key, need, TEXT_MAX, &text, error);

    if (rc <= 0)
        return rc;
    if (strcmp(text, "forever") == 0)
        ms = ENF_FOREVER;
    else if (enf_duration_parse(text, &ms) == 0)
        ms += now_ms;
    else if (enf_expiry_parse(text, &ms) < 0)
        return wrong(error, key,
                     "a date like \"2027-01-31\", a time like \"2027-01-31T12:00:00Z\", a duration like "
                     "\"30d\", or \"forever\"",
                     text);
    if (ms <= now_ms)
        return wrong(error, key, "a time to come", text);
    *out_ms = ms;
    return 1;
}

int enf_params_level(const json_t *params, const char *key, enum enf_param need, enum enf_level *out,
                     struct enf_control_error *error)
{
    static const char *const names[] = {"throttle", "smtp", "full", NULL};
    static const enum enf_level levels[] = {ENF_LEVEL_THROTTLE, ENF_LEVEL_SMTP, ENF_LEVEL_FULL};
    size_t index = 0;
    int rc = enf_params_choice(params, key, need, names, &index, error);

    if (rc == 1)
        *out = levels[index];
    return rc;
}

int enf_params_actions(const json_t *params, const char *key, enum enf_param need, uint64_t *out,
                       struct enf_control_error *error)
{
    const json_t *list = NULL;
    uint64_t set = 0;
    int rc = enf_params_list(params, key, need, ENF_EVENT_ACTION_COUNT, &list, error);

    if (rc <= 0)
        return rc;
    for (size_t i = 0; i < json_array_size(list); i++) {
        char text[TEXT_MAX + 1];
        enum enf_event_action action;
        char at[96];

        enf_text_copy(text, sizeof(text), json_string_value(json_array_get(list, i)));
        snprintf(at, sizeof(at), "%s[%zu]", key, i);
        if (enf_event_action_from_name(text, &action) != 0)
            return wrong(error, at, "the name of an event, like \"quarantined\"", text);
        set |= 1ULL << action;
    }
    *out = set;
    return 1;
}
