/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes of quarantines in two treaps and a heap. A treap because one structure then answers exact, covering,
 * inside and page by page; a hash would leave the last three to scans of a million entries. */
#include "enforcer/policy/quarantine_table.h"
#include "enforcer/core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- nodes -------------------------------------------------------------------------------------------------
 */

static int chunk_add(struct enf_quarantine_table *table)
{
    struct enf_quarantine_node **chunks;
    struct enf_quarantine_node *chunk;

    chunks = realloc(table->chunks, (table->chunks_len + 1) * sizeof(struct enf_quarantine_node *));
    if (!chunks)
        return -ENOMEM;
    table->chunks = chunks;
    chunk = malloc(ENF_QUARANTINE_CHUNK * sizeof(*chunk));
    if (!chunk)
        return -ENOMEM;
    chunks[table->chunks_len++] = chunk;
    if (!table->nodes_used)
        table->nodes_used = 1;
    return 0;
}

static int heap_reserve(struct enf_quarantine_table *table, size_t len)
{
    size_t cap = table->heap_cap ? table->heap_cap : 1024;
    uint32_t *heap;

    while (cap < len)
        cap += cap / 2;
    if (cap == table->heap_cap)
        return 0;
    heap = realloc(table->heap, cap * sizeof(*heap));
    if (!heap)
        return -ENOMEM;
    table->heap = heap;
    table->heap_cap = (uint32_t)cap;
    return 0;
}

int enf_quarantine_reserve(struct enf_quarantine_table *table, size_t more)
{
    size_t all = table->trees[0].len + table->trees[1].len + more;

    while ((size_t)table->chunks_len * ENF_QUARANTINE_CHUNK < all + 1)
        if (chunk_add(table) < 0)
            return -ENOMEM;
    return heap_reserve(table, all + 1);
}

static uint32_t node_take(struct enf_quarantine_table *table)
{
    uint32_t id = table->nodes_free;

    if (!id)
        return table->nodes_used++;
    table->nodes_free = enf_quarantine_node(table, id)->left;
    return id;
}

/* --- heap by end -------------------------------------------------------------------------------------------
 */

static void heap_place(struct enf_quarantine_table *table, uint32_t at, uint32_t id)
{
    table->heap[at] = id;
    enf_quarantine_node(table, id)->heap_at = at;
}

static uint64_t heap_until(const struct enf_quarantine_table *table, uint32_t at)
{
    return enf_quarantine_node_until(enf_quarantine_node(table, table->heap[at]));
}

static void heap_up(struct enf_quarantine_table *table, uint32_t at, uint32_t id)
{
    uint64_t until_ms = enf_quarantine_node_until(enf_quarantine_node(table, id));

    while (at > 1 && heap_until(table, at / 2) > until_ms) {
        heap_place(table, at, table->heap[at / 2]);
        at /= 2;
    }
    heap_place(table, at, id);
}

static void heap_down(struct enf_quarantine_table *table, uint32_t at, uint32_t id)
{
    uint64_t until_ms = enf_quarantine_node_until(enf_quarantine_node(table, id));

    for (uint32_t child = at * 2; child <= table->heap_len; child = at * 2) {
        if (child < table->heap_len && heap_until(table, child + 1) < heap_until(table, child))
            child++;
        if (heap_until(table, child) >= until_ms)
            break;
        heap_place(table, at, table->heap[child]);
        at = child;
    }
    heap_place(table, at, id);
}

static void heap_remove(struct enf_quarantine_table *table, uint32_t at)
{
    uint32_t last;

    if (!at)
        return;
    last = table->heap[table->heap_len--];
    if (at > table->heap_len)
        return;
    if (at > 1 && heap_until(table, at / 2) > enf_quarantine_node_until(enf_quarantine_node(table, last)))
        heap_up(table, at, last);
    else
        heap_down(table, at, last);
}

/* --- treaps ------------------------------------------------------------------------------------------------
 */

/* Not stored: mixed from the node's number with the secret seed, which is as random and saves four bytes. */
static uint64_t priority(const struct enf_quarantine_table *table, uint32_t id)
{
    uint64_t x = table->seed + id * 0x9e3779b97f4a7c15ULL;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

_Static_assert(sizeof(struct enf_prefix) == 18, "family, 16 bytes in network order, length: no padding");

/* The order of enf_prefix_cmp, which is that of the memory, and then by rank. Inlined: this is where the time
 * goes. */
static inline int key_cmp(const struct enf_quarantine_node *node, const struct enf_prefix *prefix,
                          uint8_t rank)
{
    int order = memcmp(&node->prefix, prefix, sizeof(*prefix));

    return order ? order : (int)node->rank - (int)rank;
}

/* Splits the subtree at root into keys below (prefix, rank) and the others. A loop with two open ends: *left
 * is where the next smaller subtree goes, *right where the next greater one goes. */
static void tree_split(struct enf_quarantine_table *table, uint32_t root, const struct enf_prefix *prefix,
                       uint8_t rank, uint32_t *left, uint32_t *right)
{
    while (root) {
        struct enf_quarantine_node *node = enf_quarantine_node(table, root);

        if (key_cmp(node, prefix, rank) < 0) {
            *left = root;
            left = &node->right;
            root = node->right;
        } else {
            *right = root;
            right = &node->left;
            root = node->left;
        }
    }
    *left = 0;
    *right = 0;
}

static bool is_beyond(const struct enf_quarantine_table *table, bool net, const struct enf_prefix *prefix,
                      uint8_t rank)
{
    uint32_t greatest = table->trees[net].greatest;

    return !greatest || key_cmp(enf_quarantine_node(table, greatest), prefix, rank) < 0;
}

static void tree_insert(struct enf_quarantine_table *table, uint32_t id)
{
    struct enf_quarantine_node *node = enf_quarantine_node(table, id);
    struct enf_quarantine_tree *tree = &table->trees[node->net];
    bool beyond = is_beyond(table, node->net, &node->prefix, node->rank);
    uint64_t own = priority(table, id);
    uint32_t *link = &tree->root;

    while (*link && priority(table, *link) >= own) {
        struct enf_quarantine_node *at = enf_quarantine_node(table, *link);

        link = beyond || key_cmp(at, &node->prefix, node->rank) < 0 ? &at->right : &at->left;
    }
    if (beyond) { /* as rows come from the store: each behind all others */
        node->left = *link;
        node->right = 0;
        tree->greatest = id;
    } else {
        tree_split(table, *link, &node->prefix, node->rank, &node->left, &node->right);
    }
    *link = id;
    tree->len++;
    tree->levels[enf_quarantine_node_level(node)]++;
    tree->lengths[node->prefix.addr.family == ENF_FAMILY_V6][node->prefix.len]++;
}

static void tree_remove(struct enf_quarantine_table *table, uint32_t id)
{
    struct enf_quarantine_node *node = enf_quarantine_node(table, id);
    struct enf_quarantine_tree *tree = &table->trees[node->net];
    uint32_t *link = &tree->root;
    uint32_t left = node->left;
    uint32_t right = node->right;

    while (*link != id) {
        struct enf_quarantine_node *at = enf_quarantine_node(table, *link);

        link = key_cmp(at, &node->prefix, node->rank) < 0 ? &at->right : &at->left;
    }
    /* merges the two subtrees, both of which are to one side of the other */
    while (left && right) {
        if (priority(table, left) >= priority(table, right)) {
            *link = left;
            link = &enf_quarantine_node(table, left)->right;
            left = *link;
        } else {
            *link = right;
            link = &enf_quarantine_node(table, right)->left;
            right = *link;
        }
    }
    *link = left ? left : right;
    if (tree->greatest == id) {
        tree->greatest = tree->root;
        while (tree->greatest && enf_quarantine_node(table, tree->greatest)->right)
            tree->greatest = enf_quarantine_node(table, tree->greatest)->right;
    }
    tree->len--;
    tree->levels[enf_quarantine_node_level(node)]--;
    tree->lengths[node->prefix.addr.family == ENF_FAMILY_V6][node->prefix.len]--;
}

uint32_t enf_quarantine_lower(const struct enf_quarantine_table *table, bool net,
                              const struct enf_prefix *prefix, uint8_t rank)
{
    uint32_t id = is_beyond(table, net, prefix, rank) ? 0 : table->trees[net].root;
    uint32_t found = 0;

    while (id) {
        const struct enf_quarantine_node *node = enf_quarantine_node(table, id);

        if (key_cmp(node, prefix, rank) < 0) {
            id = node->right;
        } else {
            found = id;
            id = node->left;
        }
    }
    return found;
}

uint32_t enf_quarantine_next(const struct enf_quarantine_table *table, uint32_t id)
{
    const struct enf_quarantine_node *node = enf_quarantine_node(table, id);

    return enf_quarantine_lower(table, node->net, &node->prefix, (uint8_t)(node->rank + 1));
}

/* Depth is logarithmic with overwhelming probability: nobody outside knows the seed. */
static int walk_from(const struct enf_quarantine_table *table, uint32_t id, int (*fn)(void *ctx, uint32_t id),
                     void *ctx)
{
    int answer = 0;

    while (id && !answer) {
        const struct enf_quarantine_node *node = enf_quarantine_node(table, id);

        answer = walk_from(table, node->left, fn, ctx);
        if (!answer)
            answer = fn(ctx, id);
        id = node->right;
    }
    return answer;
}

int enf_quarantine_walk(const struct enf_quarantine_table *table, bool net, int (*fn)(void *ctx, uint32_t id),
                        void *ctx)
{
    return walk_from(table, table->trees[net].root, fn, ctx);
}

int enf_quarantine_walk_covering(const struct enf_quarantine_table *table, bool net,
                                 const struct enf_prefix *prefix, bool strict,
                                 int (*fn)(void *ctx, uint32_t id), void *ctx)
{
    const uint32_t *lengths = table->trees[net].lengths[prefix->addr.family == ENF_FAMILY_V6];
    unsigned end = prefix->len + (strict ? 0u : 1u);
    int answer = 0;

    for (unsigned len = 0; len < end && !answer; len++) {
        struct enf_prefix outer;
        uint32_t id;

        if (!lengths[len])
            continue;
        outer = enf_prefix_make(&prefix->addr, (uint8_t)len);
        id = enf_quarantine_lower(table, net, &outer, 0);
        for (; id && !answer; id = enf_quarantine_next(table, id)) {
            if (!enf_prefix_equal(&enf_quarantine_node(table, id)->prefix, &outer))
                break;
            answer = fn(ctx, id);
        }
    }
    return answer;
}

/* --- nodes in their structures -----------------------------------------------------------------------------
 */

uint32_t enf_quarantine_insert(struct enf_quarantine_table *table, const struct enf_quarantine_node *model)
{
    uint32_t id = node_take(table);
    struct enf_quarantine_node *node = enf_quarantine_node(table, id);

    *node = *model;
    node->heap_at = 0;
    tree_insert(table, id);
    if (enf_quarantine_node_until(node) != ENF_FOREVER)
        heap_up(table, ++table->heap_len, id);
    return id;
}

void enf_quarantine_remove(struct enf_quarantine_table *table, uint32_t id)
{
    struct enf_quarantine_node *node = enf_quarantine_node(table, id);

    heap_remove(table, node->heap_at);
    tree_remove(table, id);
    enf_intern_drop(&table->texts, node->text);
    node->left = table->nodes_free;
    table->nodes_free = id;
}
