/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The texts of nft-templates/, zero-terminated, and how they are filled in. Private to kernel/. */
#pragma once

#include <stddef.h>
#include <stdio.h>

extern const char enf_template_table[];
extern const char enf_template_family[];
extern const char enf_template_length[];
extern const char enf_template_group[];
extern const char enf_template_worker[];

/* One name of a template. For `%if NAME` a value of NULL or "" is false. */
struct enf_template_var {
    const char *name;
    const char *value;
};

/* Writes template to out: {{NAME}} becomes its value, and lines between `%if NAME` (or `%if !NAME`), `%else`
 * and
 * `%end` stand where the value is set. A name may be looked up in outer scopes (`up`). 0, -EINVAL for a fault
 * of the template (unknown name, unbalanced `%`): a bug of ours, never of input. */
struct enf_template_scope {
    const struct enf_template_var *vars;
    size_t vars_len;
    const struct enf_template_scope *up;
};
int enf_template_render(const char *text, const struct enf_template_scope *scope, FILE *out);
