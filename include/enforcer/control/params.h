/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the parameters of a request, and says exactly what is wrong with them. No I/O.
 *
 * All readers return 1 with *out set; 0 where the parameter is absent (only with ENF_PARAM_OPTIONAL), *out
 * untouched; -EINVAL (or -ENOMEM) with *error filled, *out untouched. A JSON null counts as absent. */
#pragma once

#include "enforcer/control/error.h"
#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_PARAM_ADDRESSES_MAX 10000 /* in one request */

enum enf_param {
    ENF_PARAM_OPTIONAL,
    ENF_PARAM_REQUIRED,
};

/* 0 if all members of params are among names (ended by NULL), else -EINVAL. */
int enf_params_known(const json_t *params, const char *const *names, struct enf_control_error *error);

/* One line of text: up to max bytes, no control characters. *out lives as long as params. */
int enf_params_text(const json_t *params, const char *key, enum enf_param need, size_t max, const char **out,
                    struct enf_control_error *error);
int enf_params_bool(const json_t *params, const char *key, enum enf_param need, bool *out,
                    struct enf_control_error *error);
int enf_params_integer(const json_t *params, const char *key, enum enf_param need, int64_t min, int64_t max,
                       int64_t *out, struct enf_control_error *error);
/* A list of 1 to max texts. *out is borrowed from params. */
int enf_params_list(const json_t *params, const char *key, enum enf_param need, size_t max,
                    const json_t **out, struct enf_control_error *error);
/* One of names (ended by NULL); *out is its index. */
int enf_params_choice(const json_t *params, const char *key, enum enf_param need, const char *const *names,
                      size_t *out, struct enf_control_error *error);

int enf_params_addr(const json_t *params, const char *key, enum enf_param need, struct enf_addr *out,
                    struct enf_control_error *error);
/* An address or a prefix without bits beyond its length. */
int enf_params_prefix(const json_t *params, const char *key, enum enf_param need, struct enf_prefix *out,
                      struct enf_control_error *error);
/* A list of 1 to ENF_PARAM_ADDRESSES_MAX addresses and prefixes; the caller frees *out. */
int enf_params_prefixes(const json_t *params, const char *key, enum enf_param need, struct enf_prefix **out,
                        size_t *out_len, struct enf_control_error *error);
/* "10h", or "forever": ENF_FOREVER. */
int enf_params_duration(const json_t *params, const char *key, enum enf_param need, uint64_t *out_ms,
                        struct enf_control_error *error);
/* "10m" (before now_ms) or a time of RFC 3339 in UTC, as wall clock. */
int enf_params_since(const json_t *params, const char *key, enum enf_param need, uint64_t now_ms,
                     uint64_t *out_ms, struct enf_control_error *error);
/* When something ends, after now_ms: "30d" from now on, a time of RFC 3339 in UTC, or a date, the last day;
 * or "forever": ENF_FOREVER. */
int enf_params_expiry(const json_t *params, const char *key, enum enf_param need, uint64_t now_ms,
                      uint64_t *out_ms, struct enf_control_error *error);
/* "throttle", "smtp" or "full". */
int enf_params_level(const json_t *params, const char *key, enum enf_param need, enum enf_level *out,
                     struct enf_control_error *error);
/* A list of names of events, as a set: bit number `action` is set for each. */
int enf_params_actions(const json_t *params, const char *key, enum enf_param need, uint64_t *out,
                       struct enf_control_error *error);
