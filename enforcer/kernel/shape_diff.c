/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two shapes compared, the difference in words. */
#include "enforcer/kernel/shape_private.h"

#include <linux/netfilter/nf_tables.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The words, parted by "; ". What does not fit is left out, but counted. */
struct words {
    char *text;
    size_t len;
    size_t used;
    size_t differences;
};

static void say(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct words *w, const char *format, ...)
{
    char part[512];
    va_list args;

    w->differences++;
    va_start(args, format);
    vsnprintf(part, sizeof part, format, args);
    va_end(args);
    if (w->used + strlen(part) + 3 > w->len)
        return;
    w->used += (size_t)snprintf(w->text + w->used, w->len - w->used, "%s%s", w->used ? "; " : "", part);
}

static const char *const words_of[ENF_CANON_KIND_COUNT] = {
    [ENF_CANON_TABLE] = "table",    [ENF_CANON_CHAIN] = "chain",         [ENF_CANON_SET] = "set",
    [ENF_CANON_OBJECT] = "counter", [ENF_CANON_FLOWTABLE] = "flowtable",
};

static bool same_name(const struct enf_shape_item *a, const struct enf_shape_item *b)
{
    size_t len = strlen(a->name), b_len = strlen(b->name);

    if (a->kind != b->kind)
        return false;
    if (a->kind == ENF_CANON_SET) {
        len = enf_canon_plain_len(a->name);
        b_len = enf_canon_plain_len(b->name);
    }
    return len == b_len && memcmp(a->name, b->name, len) == 0;
}

/* Both are in the same order but for what differs: the search goes on where the last one ended. */
static struct enf_shape_item *counterpart(const struct enf_shape *shape, const struct enf_shape_item *item,
                                          size_t *cursor)
{
    for (size_t i = 0; i < shape->len; i++) {
        size_t at = (*cursor + i) % shape->len;
        if (same_name(&shape->items[at], item)) {
            *cursor = at + 1;
            return &shape->items[at];
        }
    }
    return NULL;
}

/* Anonymous sets are what the rules say that name them. */
static bool is_named(const struct enf_shape_item *item)
{
    return item->kind != ENF_CANON_SET || !(item->flags & NFT_SET_ANONYMOUS);
}

/* Rules of a that b lacks, each counted as often as it is there. */
static size_t lacking(const struct enf_shape_item *a, const struct enf_shape_item *b)
{
    size_t missing = 0;

    for (size_t i = 0; i < a->rules_len; i++) {
        size_t in_a = 0, in_b = 0;
        for (size_t j = 0; j <= i; j++)
            in_a += enf_print_equal(a->rules[j], a->rules[i]);
        for (size_t j = 0; j < b->rules_len; j++)
            in_b += enf_print_equal(b->rules[j], a->rules[i]);
        missing += in_a > in_b;
    }
    return missing;
}

static bool same_rules(const struct enf_shape_item *a, const struct enf_shape_item *b)
{
    return a->rules_len == b->rules_len &&
           (a->rules_len == 0 || memcmp(a->rules, b->rules, a->rules_len * sizeof *a->rules) == 0);
}

static void compare_rules(struct words *w, const struct enf_shape_item *wanted,
                          const struct enf_shape_item *now)
{
    if (same_rules(wanted, now))
        return;
    size_t missing = lacking(wanted, now), strange = lacking(now, wanted);
    if (missing == 0 && strange == 0)
        say(w, "chain %s: the rules stand in another order", wanted->name);
    else if (strange == 0)
        say(w, "chain %s: %zu of %zu rules missing", wanted->name, missing, wanted->rules_len);
    else if (missing == 0)
        say(w, "chain %s: %zu rules that are not ours", wanted->name, strange);
    else
        say(w, "chain %s: %zu of %zu rules missing, %zu not ours", wanted->name, missing, wanted->rules_len,
            strange);
}

static void compare_set(struct words *w, const struct enf_shape_item *wanted,
                        const struct enf_shape_item *now)
{
    int name_len = (int)enf_canon_plain_len(wanted->name);

    if (now->large && wanted->known && !wanted->large)
        say(w, "set %.*s: more than %d elements instead of %zu", name_len, wanted->name,
            ENF_SHAPE_ELEMENTS_MAX, wanted->count);
    else if (!now->large && wanted->large)
        say(w, "set %.*s: %zu elements are left", name_len, wanted->name, now->count);
    else if (now->known && wanted->known && now->count != wanted->count)
        say(w, "set %.*s: %zu elements instead of %zu", name_len, wanted->name, now->count, wanted->count);
    else if (now->known && wanted->known && !enf_print_equal(now->content, wanted->content))
        say(w, "set %.*s: other elements", name_len, wanted->name);
}

static void compare_item(struct words *w, const struct enf_shape_item *wanted,
                         const struct enf_shape_item *now)
{
    bool same = enf_print_equal(wanted->declared, now->declared);

    switch (wanted->kind) {
    case ENF_CANON_TABLE:
        if (!same)
            say(w, "the table's flags were changed");
        break;
    case ENF_CANON_CHAIN:
        if (!same)
            say(w, "chain %s: hook, priority or policy changed", wanted->name);
        compare_rules(w, wanted, now);
        break;
    case ENF_CANON_SET:
        if (!same)
            say(w, "set %.*s: declared otherwise", (int)enf_canon_plain_len(wanted->name), wanted->name);
        compare_set(w, wanted, now);
        break;
    default:
        if (!same)
            say(w, "%s %s: another kind", words_of[wanted->kind], wanted->name);
        break;
    }
}

size_t enf_shape_diff(const struct enf_shape *wanted, const struct enf_shape *now, char *text, size_t len)
{
    struct words w = {.text = text, .len = len};
    size_t cursor = 0;

    if (len > 0)
        text[0] = '\0';
    for (size_t i = 0; i < wanted->len; i++) {
        const struct enf_shape_item *item = &wanted->items[i];
        if (!is_named(item))
            continue;
        const struct enf_shape_item *other = counterpart(now, item, &cursor);
        if (other)
            compare_item(&w, item, other);
        else
            say(&w, "%s %.*s is missing", words_of[item->kind],
                (int)(item->kind == ENF_CANON_SET ? enf_canon_plain_len(item->name) : strlen(item->name)),
                item->name);
    }
    cursor = 0;
    for (size_t i = 0; i < now->len; i++) {
        if (is_named(&now->items[i]) && !counterpart(wanted, &now->items[i], &cursor))
            say(&w, "%s %s is not ours", words_of[now->items[i].kind], now->items[i].name);
    }
    return w.differences;
}

void enf_shape_adopt(struct enf_shape *shape, const struct enf_shape *other)
{
    size_t cursor = 0;

    for (size_t i = 0; i < shape->len; i++) {
        struct enf_shape_item *item = &shape->items[i];
        const struct enf_shape_item *old = item->large ? counterpart(other, item, &cursor) : NULL;
        if (!old || !old->large || !old->known)
            continue;
        item->known = true;
        item->content = old->content;
        item->count = old->count;
    }
}

const char *enf_shape_unread(const struct enf_shape *shape)
{
    for (size_t i = 0; i < shape->len; i++) {
        if (shape->items[i].large && !shape->items[i].known)
            return shape->items[i].name;
    }
    return NULL;
}

const char *enf_shape_large(const struct enf_shape *shape, size_t i)
{
    for (size_t j = 0; j < shape->len; j++) {
        if (shape->items[j].large && i-- == 0)
            return shape->items[j].name;
    }
    return NULL;
}
