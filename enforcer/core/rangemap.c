/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flattens nested prefixes into disjoint ranges: a sweep over the sorted prefixes with a stack of those open.
 */
#include "enforcer/core/rangemap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Prefixes nest or are apart, so at most one for each length is open at a time. */
#define NESTING_MAX 130

struct open_prefix {
    struct enf_range range;
    uint32_t value;
};

struct sweep {
    struct enf_rangemap_entry *entries;
    size_t len;
    struct open_prefix stack[NESTING_MAX];
    size_t depth;
    struct enf_addr at; /* first address not yet written, of the open prefixes' family */
    bool done;          /* nothing is left after `at` in this family */
};

struct numbered {
    struct enf_rangemap_input in;
    size_t number;
};

static int input_order(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;

    return enf_prefix_cmp(&x->in.prefix, &y->in.prefix);
}

static void emit(struct sweep *s, const struct enf_addr *first, const struct enf_addr *last, uint32_t value)
{
    if (s->len > 0) {
        struct enf_rangemap_entry *before = &s->entries[s->len - 1];
        struct enf_addr next = before->range.last;
        if (before->value == value && enf_addr_increment(&next) && enf_addr_equal(&next, first)) {
            before->range.last = *last;
            return;
        }
    }
    s->entries[s->len++] =
        (struct enf_rangemap_entry){.range = {.first = *first, .last = *last}, .value = value};
}

/* Writes what the innermost open prefix still owns up to and with `last`. */
static void advance(struct sweep *s, const struct enf_addr *last)
{
    if (s->done || enf_addr_cmp(&s->at, last) > 0)
        return;
    emit(s, &s->at, last, s->stack[s->depth - 1].value);
    s->at = *last;
    s->done = !enf_addr_increment(&s->at);
}

static void close_one(struct sweep *s)
{
    advance(s, &s->stack[s->depth - 1].range.last);
    s->depth--;
}

static void open_one(struct sweep *s, const struct enf_rangemap_input *in)
{
    struct enf_range range = enf_prefix_range(&in->prefix);

    while (s->depth > 0 && enf_addr_cmp(&s->stack[s->depth - 1].range.last, &range.first) < 0)
        close_one(s);
    if (s->depth > 0) {
        struct enf_addr before = range.first;
        if (enf_addr_cmp(&s->at, &range.first) < 0 && enf_addr_decrement(&before))
            advance(s, &before);
    }
    s->at = range.first;
    s->done = false;
    s->stack[s->depth++] = (struct open_prefix){.range = range, .value = in->value};
}

/* Sorts, and keeps of equal prefixes the last one given: qsort is not stable, hence the numbers. */
static int sort_unique(struct enf_rangemap_input *input, size_t len, size_t *out_len)
{
    size_t kept = 0;

    struct numbered *all = calloc(len ? len : 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++)
        all[i] = (struct numbered){.in = input[i], .number = i};
    qsort(all, len, sizeof *all, input_order);
    for (size_t i = 0; i < len;) {
        size_t best = i, j = i + 1;
        for (; j < len && enf_prefix_equal(&all[j].in.prefix, &all[i].in.prefix); j++) {
            if (all[j].number > all[best].number)
                best = j;
        }
        input[kept++] = all[best].in;
        i = j;
    }
    free(all);
    *out_len = kept;
    return 0;
}

int enf_rangemap_build(struct enf_rangemap_input *input, size_t input_len, struct enf_rangemap *out)
{
    struct sweep s = {0};
    size_t len;
    int err = sort_unique(input, input_len, &len);

    if (err < 0)
        return err;
    /* Each prefix begins at most one range and resumes at most one other. */
    s.entries = calloc(2 * len + 1, sizeof *s.entries);
    if (!s.entries)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++)
        open_one(&s, &input[i]);
    while (s.depth > 0)
        close_one(&s);
    out->entries = s.entries;
    out->len = s.len;
    return 0;
}

void enf_rangemap_clear(struct enf_rangemap *map)
{
    free(map->entries);
    *map = (struct enf_rangemap){0};
}

/* The first entry that does not end before range begins, or NULL where that one begins behind last. */
static const struct enf_rangemap_entry *first_in(const struct enf_rangemap *map, const struct enf_addr *first,
                                                 const struct enf_addr *last)
{
    size_t low = 0, high = map->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (enf_addr_cmp(&map->entries[middle].range.last, first) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == map->len || enf_addr_cmp(&map->entries[low].range.first, last) > 0)
        return NULL;
    return &map->entries[low];
}

const struct enf_rangemap_entry *enf_rangemap_find(const struct enf_rangemap *map,
                                                   const struct enf_addr *addr)
{
    return first_in(map, addr, addr);
}

const struct enf_rangemap_entry *enf_rangemap_meets(const struct enf_rangemap *map,
                                                    const struct enf_prefix *prefix)
{
    struct enf_range range = enf_prefix_range(prefix);

    return first_in(map, &range.first, &range.last);
}

int enf_range_to_prefixes(const struct enf_range *range,
                          int (*fn)(void *ctx, const struct enf_prefix *prefix), void *ctx)
{
    struct enf_addr at = range->first;

    while (enf_addr_cmp(&at, &range->last) <= 0) {
        /* The widest prefix that starts here and does not reach beyond the end. */
        struct enf_prefix widest = enf_prefix_host(&at);
        while (widest.len > 0) {
            struct enf_prefix wider = enf_prefix_make(&at, (uint8_t)(widest.len - 1));
            struct enf_range covered = enf_prefix_range(&wider);
            if (!enf_addr_equal(&wider.addr, &at) || enf_addr_cmp(&covered.last, &range->last) > 0)
                break;
            widest = wider;
        }
        int stop = fn(ctx, &widest);
        if (stop)
            return stop;
        at = enf_prefix_range(&widest).last;
        if (!enf_addr_increment(&at))
            break;
    }
    return 0;
}

struct prefix_array {
    struct enf_prefix *items;
    size_t len;
    size_t max;
};

static int append_prefix(void *ctx, const struct enf_prefix *prefix)
{
    struct prefix_array *array = ctx;

    if (array->len == array->max)
        return 1;
    array->items[array->len++] = *prefix;
    return 0;
}

size_t enf_range_prefixes(const struct enf_range *range, struct enf_prefix *out, size_t out_max)
{
    struct prefix_array array = {.items = out, .max = out_max};

    enf_range_to_prefixes(range, append_prefix, &array);
    return array.len;
}

/* All prefixes as one map with one value: overlapping and touching ones are fused. */
static int build_union(const struct enf_prefix *prefixes, size_t len, struct enf_rangemap *out)
{
    struct enf_rangemap_input *input = calloc(len ? len : 1, sizeof *input);

    if (!input)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++)
        input[i].prefix = prefixes[i];
    int err = enf_rangemap_build(input, len, out);
    free(input);
    return err;
}

/* What is left of one range after all of `less`, from index *next on, appended to out. */
static void subtract_one(struct enf_range range, const struct enf_rangemap *less, size_t *next,
                         struct enf_rangemap *out)
{
    while (*next < less->len && enf_addr_cmp(&less->entries[*next].range.last, &range.first) < 0)
        ++*next;
    for (size_t i = *next; i < less->len; i++) {
        const struct enf_range *cut = &less->entries[i].range;
        if (enf_addr_cmp(&cut->first, &range.last) > 0)
            break;
        if (enf_addr_cmp(&cut->first, &range.first) > 0) {
            struct enf_range head = {.first = range.first, .last = cut->first};
            enf_addr_decrement(&head.last);
            out->entries[out->len++].range = head;
        }
        range.first = cut->last;
        if (enf_addr_cmp(&cut->last, &range.last) >= 0 || !enf_addr_increment(&range.first))
            return;
    }
    out->entries[out->len++].range = range;
}

int enf_rangemap_difference(const struct enf_prefix *from, size_t from_len, const struct enf_prefix *less,
                            size_t less_len, struct enf_rangemap *out)
{
    struct enf_rangemap a = {0}, b = {0}, left = {0};
    size_t next = 0;
    int err = build_union(from, from_len, &a);

    if (err == 0)
        err = build_union(less, less_len, &b);
    if (err == 0) {
        /* Each cut can split one range in two. */
        left.entries = calloc(a.len + b.len + 1, sizeof *left.entries);
        err = left.entries ? 0 : -ENOMEM;
    }
    for (size_t i = 0; err == 0 && i < a.len; i++)
        subtract_one(a.entries[i].range, &b, &next, &left);
    enf_rangemap_clear(&a);
    enf_rangemap_clear(&b);
    if (err == 0)
        *out = left;
    return err;
}
