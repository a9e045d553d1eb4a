/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names that a template is filled with, being collected. */
#include "enforcer/kernel/ruleset_build.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int find_lengths(struct enf_plan *plan)
{
    bool seen[129] = {false};

    for (size_t i = 0; i < plan->spec->groups_len; i++) {
        uint8_t bits = plan->spec->groups[i].subscriber_v6;
        if (!plan->groups6[i])
            continue;
        if (bits == 0 || bits > 128)
            return -EINVAL;
        if (!seen[bits])
            plan->lengths6[plan->lengths6_len++] = bits;
        seen[bits] = true;
    }
    return 0;
}

int enf_plan_make(const struct enf_ruleset_spec *spec, struct enf_plan *out)
{
    *out = (struct enf_plan){.spec = spec};
    out->groups4 = calloc(spec->groups_len + 1, sizeof *out->groups4);
    out->groups6 = calloc(spec->groups_len + 1, sizeof *out->groups6);
    if (!out->groups4 || !out->groups6)
        return -ENOMEM;
    for (size_t i = 0; i < spec->group_map->len; i++) {
        const struct enf_rangemap_entry *entry = &spec->group_map->entries[i];
        if (entry->value >= spec->groups_len)
            return -EINVAL;
        bool *groups = entry->range.first.family == ENF_FAMILY_V4 ? out->groups4 : out->groups6;
        groups[entry->value] = true;
    }
    return find_lengths(out);
}

void enf_plan_clear(struct enf_plan *plan)
{
    free(plan->groups4);
    free(plan->groups6);
    *plan = (struct enf_plan){0};
}

bool enf_plan_group_in(const struct enf_plan *plan, size_t group, enum enf_family family)
{
    return family == ENF_FAMILY_V4 ? plan->groups4[group] : plan->groups6[group];
}

bool enf_plan_copies(const struct enf_plan *plan, const struct enf_ruleset_group *group)
{
    return group->policy == ENF_POLICY_OBSERVE ||
           (group->policy == ENF_POLICY_INSPECT && plan->spec->observe);
}

bool enf_plan_partial(const struct enf_plan *plan, const struct enf_ruleset_group *group)
{
    return group->observed_percent > 0 && group->policy != ENF_POLICY_OBSERVE && !plan->spec->observe;
}

size_t enf_plan_lengths(const struct enf_plan *plan, enum enf_family family, const uint8_t **out)
{
    static const uint8_t lengths4[] = {32};

    *out = family == ENF_FAMILY_V4 ? lengths4 : plan->lengths6;
    return family == ENF_FAMILY_V4 ? 1 : plan->lengths6_len;
}

void enf_builder_init(struct enf_builder *b, const struct enf_plan *plan, const struct enf_builder *up)
{
    *b = (struct enf_builder){.plan = plan, .err = up ? up->err : 0};
    b->scope = (struct enf_template_scope){.vars = b->vars, .up = up ? &up->scope : NULL};
}

void enf_builder_clear(struct enf_builder *b)
{
    for (size_t i = 0; i < b->vars_len; i++)
        free(b->owned[i]);
    b->vars_len = 0;
    b->scope.vars_len = 0;
}

void enf_builder_fail(struct enf_builder *b, int err)
{
    if (b->err == 0)
        b->err = err;
}

/* Takes text; NULL is an error that was noted before. */
static void take(struct enf_builder *b, const char *name, char *text)
{
    if (b->vars_len == ENF_BUILDER_VALUES_MAX) {
        free(text);
        enf_builder_fail(b, -EINVAL);
        return;
    }
    b->owned[b->vars_len] = text;
    b->vars[b->vars_len++] = (struct enf_template_var){.name = name, .value = text};
    b->scope.vars_len = b->vars_len;
}

void enf_builder_set(struct enf_builder *b, const char *name, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        enf_builder_fail(b, -ENOMEM);
    take(b, name, copy);
}

void enf_builder_flag(struct enf_builder *b, const char *name, bool on)
{
    enf_builder_set(b, name, on ? "1" : "");
}

void enf_builder_setf(struct enf_builder *b, const char *name, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
        enf_builder_fail(b, -ENOMEM);
    }
    va_end(args);
    take(b, name, text);
}

FILE *enf_builder_begin(struct enf_builder *b, struct enf_value *v)
{
    FILE *out = enf_text_open(&v->text);
    if (!out)
        enf_builder_fail(b, -ENOMEM);
    return out;
}

void enf_builder_end(struct enf_builder *b, const char *name, FILE *out, struct enf_value *v)
{
    char *text;

    if (enf_text_close(out, &v->text, &text) < 0)
        enf_builder_fail(b, -ENOMEM);
    take(b, name, text);
}

void enf_builder_render(struct enf_builder *b, const char *text, FILE *out)
{
    if (b->err == 0)
        b->err = enf_template_render(text, &b->scope, out);
}
