/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the table of desired quarantines: search, pages, and the flattened nets for the kernel. */
#include "enforcer/policy/quarantine.h"
#include "enforcer/policy/quarantine_table.h"

#include <errno.h>
#include <stdlib.h>

/* --- search ------------------------------------------------------------------------------------------------
 */

struct best {
    const struct enf_quarantine_table *table;
    uint32_t id;
};

static int best_note(void *ctx, uint32_t id)
{
    struct best *best = ctx;
    const struct enf_quarantine_node *node = enf_quarantine_node(best->table, id);
    const struct enf_quarantine_node *old = best->id ? enf_quarantine_node(best->table, best->id) : NULL;

    if (!old || enf_quarantine_node_level(node) > enf_quarantine_node_level(old) ||
        (enf_quarantine_node_level(node) == enf_quarantine_node_level(old) &&
         enf_quarantine_node_until(node) > enf_quarantine_node_until(old)))
        best->id = id;
    return 0;
}

bool enf_quarantine_find(const struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                         struct enf_quarantine *out)
{
    struct best best = {.table = table};

    if (!enf_prefix_is_valid(prefix))
        return false;
    enf_quarantine_walk_covering(table, false, prefix, false, best_note, &best);
    enf_quarantine_walk_covering(table, true, prefix, false, best_note, &best);
    if (best.id && out)
        enf_quarantine_expand(table, best.id, out);
    return best.id != 0;
}

/* Hands whole values to the caller's function. */
struct visit {
    const struct enf_quarantine_table *table;
    enf_quarantine_fn fn;
    void *ctx;
};

static int visit_one(void *ctx, uint32_t id)
{
    const struct visit *visit = ctx;
    struct enf_quarantine entry;

    enf_quarantine_expand(visit->table, id, &entry);
    return visit->fn(visit->ctx, &entry);
}

int enf_quarantine_covering(const struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                            enf_quarantine_fn fn, void *ctx)
{
    struct visit visit = {table, fn, ctx};
    int answer;

    if (!enf_prefix_is_valid(prefix))
        return 0;
    answer = enf_quarantine_walk_covering(table, false, prefix, false, visit_one, &visit);
    if (!answer)
        answer = enf_quarantine_walk_covering(table, true, prefix, false, visit_one, &visit);
    return answer;
}

int enf_quarantine_inside(const struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                          enf_quarantine_fn fn, void *ctx)
{
    struct visit visit = {table, fn, ctx};
    int answer = 0;

    if (!enf_prefix_is_valid(prefix))
        return 0;
    for (int net = 0; net < 2; net++) {
        uint32_t id = enf_quarantine_lower(table, net != 0, prefix, 0);

        for (; id && !answer; id = enf_quarantine_next(table, id)) {
            if (!enf_prefix_covers(prefix, &enf_quarantine_node(table, id)->prefix))
                break;
            answer = visit_one(&visit, id);
        }
    }
    return answer;
}

int enf_quarantine_each(const struct enf_quarantine_table *table, enf_quarantine_fn fn, void *ctx)
{
    struct visit visit = {table, fn, ctx};
    int answer = enf_quarantine_walk(table, false, visit_one, &visit);

    return answer ? answer : enf_quarantine_walk(table, true, visit_one, &visit);
}

struct tally {
    const struct enf_quarantine_table *table;
    void (*fn)(void *ctx, const struct enf_prefix *subscriber, enum enf_level level);
    void *ctx;
};

static int tally_one(void *ctx, uint32_t id)
{
    const struct tally *tally = ctx;
    const struct enf_quarantine_node *node = enf_quarantine_node(tally->table, id);

    tally->fn(tally->ctx, &node->prefix, enf_quarantine_node_level(node));
    return 0;
}

void enf_quarantine_tally(const struct enf_quarantine_table *table,
                          void (*fn)(void *ctx, const struct enf_prefix *subscriber, enum enf_level level),
                          void *ctx)
{
    struct tally tally = {table, fn, ctx};

    enf_quarantine_walk(table, false, tally_one, &tally);
    enf_quarantine_walk(table, true, tally_one, &tally);
}

int enf_quarantine_list(const struct enf_quarantine_table *table, const struct enf_prefix *after,
                        size_t limit, enf_quarantine_fn fn, void *ctx, bool *out_more)
{
    static const struct enf_prefix start = {.len = 0};
    struct visit visit = {table, fn, ctx};
    struct enf_prefix last = start;
    uint32_t ids[2];
    int answer = 0;

    for (int net = 0; net < 2; net++)
        ids[net] = enf_quarantine_lower(table, net != 0, after ? after : &start, after ? UINT8_MAX : 0);
    for (size_t count = 0; (ids[0] || ids[1]) && !answer; count++) {
        const struct enf_prefix *prefix;
        int net = !ids[0];

        if (ids[0] && ids[1])
            net = enf_prefix_cmp(&enf_quarantine_node(table, ids[1])->prefix,
                                 &enf_quarantine_node(table, ids[0])->prefix) < 0;
        prefix = &enf_quarantine_node(table, ids[net])->prefix;
        if (count >= limit && !enf_prefix_equal(prefix, &last))
            break;
        last = *prefix;
        answer = visit_one(&visit, ids[net]);
        ids[net] = enf_quarantine_next(table, ids[net]);
    }
    *out_more = ids[0] || ids[1];
    return answer;
}

/* --- flattening --------------------------------------------------------------------------------------------
 */

/* Prefixes are nested or disjoint, never crossing: sorted, they open and close like brackets. */
struct open_net {
    struct enf_addr last;
    enum enf_level level; /* strongest and latest of this one and those around it */
    uint64_t until_ms;
};

struct flatten {
    const struct enf_quarantine_table *table;
    enum enf_family family;
    enum enf_level at_least;
    enum enf_level at_most;
    struct enf_quarantine_range *items;
    size_t len;
    size_t cap;
    struct enf_addr at; /* the first address that is not settled yet, valid while depth > 0 */
    size_t depth;
    struct open_net open[130];
};

/* Whether the last range ends just before at, with the same level and end: then the two are one. */
static bool is_continued(const struct flatten *flat, const struct open_net *net)
{
    struct enf_addr end;

    if (!flat->len || flat->items[flat->len - 1].level != net->level ||
        flat->items[flat->len - 1].until_ms != net->until_ms)
        return false;
    end = flat->items[flat->len - 1].range.last;
    return enf_addr_increment(&end) && enf_addr_equal(&end, &flat->at);
}

/* Settles from at to last with what the innermost open net says. */
static void range_emit(struct flatten *flat, const struct enf_addr *last)
{
    const struct open_net *net = &flat->open[flat->depth - 1];

    if (is_continued(flat, net)) {
        flat->items[flat->len - 1].range.last = *last;
        return;
    }
    flat->items[flat->len++] = (struct enf_quarantine_range){
        .range = {flat->at, *last},
        .level = net->level,
        .until_ms = net->until_ms,
    };
}

/* Closes the innermost net. */
static void net_close(struct flatten *flat)
{
    struct enf_addr last = flat->open[flat->depth - 1].last;

    if (enf_addr_cmp(&flat->at, &last) <= 0) {
        range_emit(flat, &last);
        flat->at = last;
        if (!enf_addr_increment(&flat->at))
            flat->depth = 1; /* the family's last address: everything else ends here too */
    }
    flat->depth--;
}

static void net_open(struct flatten *flat, const struct enf_prefix *prefix, enum enf_level level,
                     uint64_t until_ms)
{
    struct open_net *outer = flat->depth ? &flat->open[flat->depth - 1] : NULL;
    struct enf_addr before = prefix->addr;

    if (outer && enf_addr_cmp(&flat->at, &prefix->addr) < 0) {
        enf_addr_decrement(&before);
        range_emit(flat, &before);
    }
    flat->at = prefix->addr;
    flat->open[flat->depth++] = (struct open_net){
        .last = enf_prefix_range(prefix).last,
        .level = outer && outer->level > level ? outer->level : level,
        .until_ms = outer && outer->until_ms > until_ms ? outer->until_ms : until_ms,
    };
}

/* Opening a net emits one range at most, closing all that are open one each. */
static int items_reserve(struct flatten *flat)
{
    size_t need = flat->len + sizeof(flat->open) / sizeof(flat->open[0]) + 1;
    size_t cap = flat->cap ? flat->cap : 256;
    struct enf_quarantine_range *items;

    if (flat->items && need <= flat->cap)
        return 0;
    while (cap < need)
        cap *= 2;
    items = realloc(flat->items, cap * sizeof(*items));
    if (!items)
        return -ENOMEM;
    flat->items = items;
    flat->cap = cap;
    return 0;
}

static int flatten_net(void *ctx, uint32_t id)
{
    struct flatten *flat = ctx;
    const struct enf_quarantine_node *node = enf_quarantine_node(flat->table, id);
    enum enf_level level = enf_quarantine_node_level(node);
    struct open_net *top;

    if (node->prefix.addr.family != flat->family || level < flat->at_least || level > flat->at_most)
        return 0;
    if (items_reserve(flat) < 0)
        return -ENOMEM;
    while (flat->depth && enf_addr_cmp(&flat->open[flat->depth - 1].last, &node->prefix.addr) < 0)
        net_close(flat);
    top = flat->depth ? &flat->open[flat->depth - 1] : NULL;
    if (top && enf_addr_equal(&flat->at, &node->prefix.addr)) {
        struct enf_range range = enf_prefix_range(&node->prefix);

        /* the very prefix once more, at another level */
        if (enf_addr_equal(&top->last, &range.last)) {
            top->level = level > top->level ? level : top->level;
            top->until_ms = enf_quarantine_node_until(node) > top->until_ms ? enf_quarantine_node_until(node)
                                                                            : top->until_ms;
            return 0;
        }
    }
    net_open(flat, &node->prefix, level, enf_quarantine_node_until(node));
    return 0;
}

int enf_quarantine_nets_flatten(const struct enf_quarantine_table *table, enum enf_family family,
                                enum enf_level at_least, enum enf_level at_most,
                                struct enf_quarantine_ranges *out)
{
    struct flatten flat = {.table = table, .family = family, .at_least = at_least, .at_most = at_most};
    int err = items_reserve(&flat);

    if (!err)
        err = enf_quarantine_walk(table, true, flatten_net, &flat);
    if (err) {
        free(flat.items);
        return err;
    }
    while (flat.depth)
        net_close(&flat);
    *out = (struct enf_quarantine_ranges){flat.items, flat.len};
    return 0;
}

void enf_quarantine_ranges_clear(struct enf_quarantine_ranges *ranges)
{
    free(ranges->items);
    *ranges = (struct enf_quarantine_ranges){0};
}
