/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills in the nft templates: names in double braces, and `%if` blocks. */
#include "enforcer/kernel/templates.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define NESTING_MAX 16

struct block {
    bool live;     /* the lines here stand */
    bool outer;    /* … if those around do */
    bool had_else; /* there is one at most */
};

static const char *lookup(const struct enf_template_scope *scope, const char *name, size_t len, bool *known)
{
    for (; scope; scope = scope->up) {
        for (size_t i = 0; i < scope->vars_len; i++) {
            if (strlen(scope->vars[i].name) == len && memcmp(scope->vars[i].name, name, len) == 0) {
                *known = true;
                return scope->vars[i].value ? scope->vars[i].value : "";
            }
        }
    }
    *known = false;
    return "";
}

/* Is the line one name and nothing else? Then its value is whole lines, with their own last newline, or none.
 */
static bool is_only_value(const char *line, size_t len)
{
    const char *close = len > 4 ? memmem(line, len, "}}", 2) : NULL;

    return close && memcmp(line, "{{", 2) == 0 && close + 2 == line + len;
}

static int render_line(const char *line, size_t len, const struct enf_template_scope *scope, FILE *out)
{
    const char *end = line + len;
    bool only_value = is_only_value(line, len);

    while (line < end) {
        const char *open = memmem(line, (size_t)(end - line), "{{", 2);
        if (!open) {
            fwrite(line, 1, (size_t)(end - line), out);
            break;
        }
        const char *name = open + 2;
        const char *close = memmem(name, (size_t)(end - name), "}}", 2);
        bool known = false;
        if (!close)
            return -EINVAL;
        fwrite(line, 1, (size_t)(open - line), out);
        const char *value = lookup(scope, name, (size_t)(close - name), &known);
        if (!known)
            return -EINVAL;
        fputs(value, out);
        line = close + 2;
    }
    if (!only_value)
        fputc('\n', out);
    return 0;
}

static int directive(const char *line, size_t len, const struct enf_template_scope *scope,
                     struct block *stack, size_t *depth)
{
    struct block *top = &stack[*depth];
    bool known = false;

    if (len > 4 && memcmp(line, "%if ", 4) == 0) {
        bool negated = line[4] == '!';
        const char *name = line + 4 + negated;
        bool set = *lookup(scope, name, len - 4 - negated, &known) != '\0';
        if (!known || *depth + 1 == NESTING_MAX)
            return -EINVAL;
        stack[++*depth] = (struct block){.live = top->live && set != negated, .outer = top->live};
        return 0;
    }
    if (*depth == 0)
        return -EINVAL;
    if (len == 5 && memcmp(line, "%else", 5) == 0) {
        if (top->had_else)
            return -EINVAL;
        top->had_else = true;
        top->live = top->outer && !top->live;
        return 0;
    }
    if (len == 4 && memcmp(line, "%end", 4) == 0) {
        --*depth;
        return 0;
    }
    return -EINVAL;
}

int enf_template_render(const char *text, const struct enf_template_scope *scope, FILE *out)
{
    struct block stack[NESTING_MAX] = {{.live = true, .outer = true}};
    size_t depth = 0;

    while (*text) {
        size_t len = strcspn(text, "\n");
        int err = 0;
        if (*text == '%')
            err = directive(text, len, scope, stack, &depth);
        else if (stack[depth].live)
            err = render_line(text, len, scope, out);
        if (err < 0)
            return err;
        text += len + (text[len] == '\n');
    }
    return depth == 0 ? 0 : -EINVAL;
}
