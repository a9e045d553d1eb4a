/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names that a template is filled with, being collected. Private to kernel/. */
#pragma once

#include "enforcer/core/text.h"
#include "enforcer/kernel/ruleset.h"
#include "enforcer/kernel/templates.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What is looked up often in a spec, found once. */
struct enf_plan {
    const struct enf_ruleset_spec *spec;
    /* For each group, whether it has any range of a family: the map may have given it all to others. */
    bool *groups4;
    bool *groups6;
    /* Lengths of IPv6 subscribers in use, each once, in the order of the groups. */
    uint8_t lengths6[128];
    size_t lengths6_len;
};

/* 0, -ENOMEM, or -EINVAL for a map that names groups which do not exist, or IPv6 subscribers of no length.
 * Clear it whatever came. */
int enf_plan_make(const struct enf_ruleset_spec *spec, struct enf_plan *out);
void enf_plan_clear(struct enf_plan *plan);
bool enf_plan_group_in(const struct enf_plan *plan, size_t group, enum enf_family family);
/* Whether a group is read by copies: it is observed, and more than its SYNs would be seen in force. */
bool enf_plan_copies(const struct enf_plan *plan, const struct enf_ruleset_group *group);
/* Whether only a share of its subscribers is under its policy, and the others are observed. */
bool enf_plan_partial(const struct enf_plan *plan, const struct enf_ruleset_group *group);
/* The lengths of subscribers of a family: 32 alone for IPv4. Returns how many; *out lives as long as the
 * plan. */
size_t enf_plan_lengths(const struct enf_plan *plan, enum enf_family family, const uint8_t **out);

#define ENF_BUILDER_VALUES_MAX 96

/* One scope of names. Errors stick: after the first one, err says what it was, and what is still set does not
 * matter. */
struct enf_builder {
    const struct enf_plan *plan;
    struct enf_template_var vars[ENF_BUILDER_VALUES_MAX];
    char *owned[ENF_BUILDER_VALUES_MAX];
    size_t vars_len;
    struct enf_template_scope scope;
    int err;
};

/* up: the scope around this one, whose names are seen and whose error is taken over; NULL: none. */
void enf_builder_init(struct enf_builder *b, const struct enf_plan *plan, const struct enf_builder *up);
void enf_builder_clear(struct enf_builder *b);

/* Sets a name; the text is copied. */
void enf_builder_set(struct enf_builder *b, const char *name, const char *text);
void enf_builder_flag(struct enf_builder *b, const char *name, bool on);
void enf_builder_setf(struct enf_builder *b, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A value by a stream: FILE *out = enf_builder_begin(b, &v); write where out is not NULL; enf_builder_end(b,
 * name, out, &v). Scopes may be nested between the two. */
struct enf_value {
    struct enf_text text;
};
FILE *enf_builder_begin(struct enf_builder *b, struct enf_value *v);
void enf_builder_end(struct enf_builder *b, const char *name, FILE *out, struct enf_value *v);

/* Remembers the first error. */
void enf_builder_fail(struct enf_builder *b, int err);
/* Renders the template with the names so far, unless there was an error. */
void enf_builder_render(struct enf_builder *b, const char *text, FILE *out);
