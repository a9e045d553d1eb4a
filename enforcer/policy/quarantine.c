/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of desired quarantines: making it, adding to it. */
#include "enforcer/policy/quarantine.h"
#include "enforcer/policy/quarantine_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RANKS_MAX (ENF_LEVEL_COUNT * 2)

int enf_quarantine_new(size_t max_entries, uint64_t seed, struct enf_quarantine_table **out)
{
    struct enf_quarantine_table *table;

    if (!max_entries || max_entries > ENF_QUARANTINE_ENTRIES_LIMIT)
        return -EINVAL;
    table = calloc(1, sizeof(*table));
    if (!table)
        return -ENOMEM;
    table->max_entries = max_entries;
    table->seed = seed;
    table->texts.seed = seed;
    *out = table;
    return 0;
}

void enf_quarantine_free(struct enf_quarantine_table **table)
{
    struct enf_quarantine_table *t = *table;

    if (!t)
        return;
    for (uint32_t i = 0; i < t->chunks_len; i++)
        free(t->chunks[i]);
    free(t->chunks);
    free(t->heap);
    enf_intern_clear(&t->texts);
    free(t);
    *table = NULL;
}

int enf_quarantine_set_max(struct enf_quarantine_table *table, size_t max_entries)
{
    if (!max_entries || max_entries > ENF_QUARANTINE_ENTRIES_LIMIT)
        return -EINVAL;
    table->max_entries = max_entries;
    return 0;
}

size_t enf_quarantine_count(const struct enf_quarantine_table *table)
{
    return table->trees[0].len + table->trees[1].len;
}

size_t enf_quarantine_count_level(const struct enf_quarantine_table *table, enum enf_level level)
{
    return level < ENF_LEVEL_COUNT ? table->trees[0].levels[level] + table->trees[1].levels[level] : 0;
}

size_t enf_quarantine_count_nets(const struct enf_quarantine_table *table)
{
    return table->trees[1].len;
}

size_t enf_quarantine_count_level_nets(const struct enf_quarantine_table *table, enum enf_level level)
{
    return (unsigned)level < ENF_LEVEL_COUNT ? table->trees[1].levels[level] : 0;
}

/* --- adding ------------------------------------------------------------------------------------------------
 */

static bool is_text(const char *text, size_t size)
{
    return strnlen(text, size) < size;
}

static bool is_time(uint64_t ms)
{
    return ms <= ENF_QUARANTINE_TIME_MAX || ms == ENF_FOREVER;
}

static bool is_quarantine(const struct enf_quarantine *entry)
{
    return enf_prefix_is_valid(&entry->subscriber) && entry->level > ENF_LEVEL_NONE &&
           (unsigned)entry->level < ENF_LEVEL_COUNT && entry->until_ms > entry->since_ms &&
           is_time(entry->until_ms) && is_time(entry->since_ms) &&
           is_text(entry->reason, sizeof(entry->reason)) && is_text(entry->actor, sizeof(entry->actor)) &&
           is_text(entry->ticket, sizeof(entry->ticket)) && is_text(entry->group, sizeof(entry->group));
}

/* The entries that one prefix has: at most one a rank. */
struct siblings {
    uint32_t ids[RANKS_MAX];
    size_t len;
};

static struct siblings siblings_of(const struct enf_quarantine_table *table,
                                   const struct enf_quarantine *entry)
{
    struct siblings found = {.len = 0};
    uint32_t id = enf_quarantine_lower(table, entry->net, &entry->subscriber, 0);

    for (; id && found.len < RANKS_MAX; id = enf_quarantine_next(table, id)) {
        if (!enf_prefix_equal(&enf_quarantine_node(table, id)->prefix, &entry->subscriber))
            break;
        found.ids[found.len++] = id;
    }
    return found;
}

/* With a in force, b adds nothing. */
static bool dominates(const struct enf_quarantine_node *a, const struct enf_quarantine_node *b)
{
    return enf_quarantine_node_level(a) >= enf_quarantine_node_level(b) &&
           enf_quarantine_node_until(a) >= enf_quarantine_node_until(b) &&
           (enf_quarantine_node_forced(a) || !enf_quarantine_node_forced(b));
}

static struct enf_quarantine_node model_of(const struct enf_quarantine *entry)
{
    return (struct enf_quarantine_node){
        .prefix = entry->subscriber,
        .rank = enf_quarantine_rank(entry->level, entry->forced),
        .net = entry->net,
        .since = enf_quarantine_time(entry->since_ms),
        .until = enf_quarantine_time(entry->until_ms),
        .convictions = entry->convictions,
    };
}

/* Whether adding makes the table longer. */
static bool is_new(const struct enf_quarantine_table *table, const struct siblings *siblings,
                   const struct enf_quarantine *entry, enum enf_quarantine_how how)
{
    struct enf_quarantine_node model = model_of(entry);

    if (how == ENF_QUARANTINE_SET)
        return siblings->len == 0;
    for (size_t i = 0; i < siblings->len; i++) {
        const struct enf_quarantine_node *node = enf_quarantine_node(table, siblings->ids[i]);

        if (dominates(node, &model) || dominates(&model, node))
            return false;
    }
    return true;
}

/* The strongest of them, of equal ones the longest; 0 for none. */
static uint32_t strongest(const struct enf_quarantine_table *table, const struct siblings *siblings)
{
    uint32_t best = 0;

    for (size_t i = 0; i < siblings->len; i++) {
        const struct enf_quarantine_node *node = enf_quarantine_node(table, siblings->ids[i]);
        const struct enf_quarantine_node *old = best ? enf_quarantine_node(table, best) : NULL;

        if (!old || enf_quarantine_node_level(node) > enf_quarantine_node_level(old) ||
            (enf_quarantine_node_level(node) == enf_quarantine_node_level(old) &&
             enf_quarantine_node_until(node) > enf_quarantine_node_until(old)))
            best = siblings->ids[i];
    }
    return best;
}

/* An automatic extension has no ticket of its own: the one that somebody wrote down stays. */
static int text_prepare(struct enf_quarantine_table *table, const struct siblings *siblings,
                        const struct enf_quarantine *entry, enum enf_quarantine_how how, uint32_t *out_id)
{
    struct enf_quarantine with_ticket;
    struct enf_quarantine old;

    if (how == ENF_QUARANTINE_SET || entry->ticket[0] || !siblings->len)
        return enf_quarantine_text_take(table, entry, out_id);
    enf_quarantine_expand(table, strongest(table, siblings), &old);
    with_ticket = *entry;
    memcpy(with_ticket.ticket, old.ticket, sizeof(with_ticket.ticket));
    return enf_quarantine_text_take(table, &with_ticket, out_id);
}

static enum enf_quarantine_change change_of(const struct enf_quarantine_table *table,
                                            const struct siblings *siblings,
                                            const struct enf_quarantine_node *model,
                                            enum enf_quarantine_how how)
{
    const struct enf_quarantine_node *node;
    uint64_t until_ms = 0;

    if (!siblings->len)
        return ENF_QUARANTINE_CREATED;
    for (size_t i = 0; i < siblings->len; i++) {
        node = enf_quarantine_node(table, siblings->ids[i]);
        if (how == ENF_QUARANTINE_EXTEND && dominates(node, model))
            return ENF_QUARANTINE_UNCHANGED;
        if (enf_quarantine_node_until(node) > until_ms)
            until_ms = enf_quarantine_node_until(node);
    }
    if (how == ENF_QUARANTINE_EXTEND || enf_quarantine_node_until(model) > until_ms)
        return ENF_QUARANTINE_EXTENDED;
    if (enf_quarantine_node_until(model) < until_ms)
        return ENF_QUARANTINE_SHORTENED;
    node = enf_quarantine_node(table, siblings->ids[0]);
    if (siblings->len == 1 && node->rank == model->rank && node->text == model->text &&
        node->convictions == model->convictions)
        return ENF_QUARANTINE_UNCHANGED;
    return ENF_QUARANTINE_CHANGED;
}

/* Removes what model replaces, and lets model have the earliest since. A row with model's own key is not
 * deleted: it is about to be overwritten. */
static void displace(struct enf_quarantine_table *table, const struct siblings *siblings,
                     struct enf_quarantine_node *model, enum enf_quarantine_how how,
                     struct enf_quarantine_sink *sink)
{
    struct enf_quarantine gone;

    for (size_t i = 0; i < siblings->len; i++) {
        const struct enf_quarantine_node *node = enf_quarantine_node(table, siblings->ids[i]);

        if (enf_quarantine_node_since(node) < enf_quarantine_node_since(model))
            model->since = node->since;
        if (how == ENF_QUARANTINE_EXTEND && !dominates(model, node))
            continue;
        if (node->rank != model->rank) {
            enf_quarantine_expand(table, siblings->ids[i], &gone);
            enf_quarantine_tell_row(sink, false, &gone);
        }
        enf_quarantine_remove(table, siblings->ids[i]);
    }
}

enum enf_quarantine_change enf_quarantine_place(struct enf_quarantine_table *table,
                                                const struct enf_quarantine *entry, uint32_t text,
                                                enum enf_quarantine_how how, struct enf_quarantine_sink *sink,
                                                struct enf_quarantine *out_now,
                                                struct enf_quarantine *out_previous)
{
    struct siblings siblings = siblings_of(table, entry);
    struct enf_quarantine_node model = model_of(entry);
    struct enf_quarantine_ends before = {{0}};
    struct enf_quarantine_ends after;
    enum enf_quarantine_change change;

    model.text = text;
    change = change_of(table, &siblings, &model, how);
    if (siblings.len)
        enf_quarantine_expand(table, strongest(table, &siblings), out_previous);
    if (change == ENF_QUARANTINE_UNCHANGED) {
        enf_intern_drop(&table->texts, text);
        *out_now = *out_previous;
        return change;
    }
    if (siblings.len && !entry->net)
        before = enf_quarantine_ends(table, &entry->subscriber);
    displace(table, &siblings, &model, how, sink);
    uint32_t id = enf_quarantine_insert(table, &model);
    if (!sink) /* nobody hears of it: nothing to write out */
        return change;
    enf_quarantine_expand(table, id, out_now);
    enf_quarantine_tell_row(sink, true, out_now);
    if (entry->net) {
        enf_quarantine_tell_nets(sink, &entry->subscriber);
    } else if (sink->element) {
        after = enf_quarantine_ends(table, &entry->subscriber);
        enf_quarantine_tell_ends(sink, &entry->subscriber, &before, &after);
    }
    return change;
}

static void add_one(struct enf_quarantine_table *table, const struct enf_quarantine *entry, uint32_t text,
                    enum enf_quarantine_how how, struct enf_quarantine_sink *sink)
{
    struct enf_quarantine previous;
    struct enf_quarantine now;
    enum enf_quarantine_change change = enf_quarantine_place(table, entry, text, how, sink, &now, &previous);

    enf_quarantine_tell(sink, change, &now, change == ENF_QUARANTINE_CREATED ? NULL : &previous);
}

/* Checks and gathers all that can fail. *out_taken is the number of texts that are held, also on failure. */
static int add_prepare(struct enf_quarantine_table *table, const struct enf_quarantine *entries, size_t len,
                       enum enf_quarantine_how how, uint32_t *texts, size_t *out_taken)
{
    size_t count = enf_quarantine_count(table);
    size_t room = count < table->max_entries ? table->max_entries - count : 0;
    int err = 0;

    for (size_t i = 0; i < len && !err; i++) {
        struct siblings siblings;

        if (!is_quarantine(&entries[i]))
            return -EINVAL;
        siblings = siblings_of(table, &entries[i]);
        if (is_new(table, &siblings, &entries[i], how) && room-- == 0)
            return -ENOSPC;
        err = text_prepare(table, &siblings, &entries[i], how, &texts[i]);
        *out_taken += !err;
    }
    return err ? err : enf_quarantine_reserve(table, len);
}

int enf_quarantine_add(struct enf_quarantine_table *table, const struct enf_quarantine *entries, size_t len,
                       enum enf_quarantine_how how, struct enf_quarantine_sink *sink)
{
    uint32_t one;
    uint32_t *texts = &one;
    size_t taken = 0;
    int err;

    if (len > ENF_QUARANTINE_ENTRIES_LIMIT)
        return -ENOSPC;
    if (len > 1) {
        texts = calloc(len, sizeof(*texts));
        if (!texts)
            return -ENOMEM;
    }
    err = add_prepare(table, entries, len, how, texts, &taken);
    for (size_t i = 0; i < taken; i++) {
        if (err)
            enf_intern_drop(&table->texts, texts[i]);
        else
            add_one(table, &entries[i], texts[i], how, sink);
    }
    if (texts != &one)
        free(texts);
    return err;
}
