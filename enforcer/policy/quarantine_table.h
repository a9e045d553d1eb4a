/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The storage behind enf_quarantine_*: nodes in chunks, two ordered trees (singles, nets), a heap by end. */
#pragma once

#include "enforcer/core/text.h"
#include "enforcer/policy/intern.h"
#include "enforcer/policy/quarantine.h"

#define ENF_QUARANTINE_CHUNK 4096u /* nodes in one allocation: growing never copies a million of them */

/* Wall clock in 48 bits, to the year 10889; the greatest number is ENF_FOREVER. */
struct enf_quarantine_time {
    uint16_t low, middle, high;
};
#define ENF_QUARANTINE_TIME_MAX ((1ULL << 48) - 2)

static inline struct enf_quarantine_time enf_quarantine_time(uint64_t ms)
{
    return (struct enf_quarantine_time){(uint16_t)ms, (uint16_t)(ms >> 16), (uint16_t)(ms >> 32)};
}

static inline uint64_t enf_quarantine_time_ms(struct enf_quarantine_time time)
{
    uint64_t ms = time.low | (uint64_t)time.middle << 16 | (uint64_t)time.high << 32;

    return ms > ENF_QUARANTINE_TIME_MAX ? ENF_FOREVER : ms;
}

/* 52 bytes: a million quarantines must fit where each saved with its texts would take 460. */
struct enf_quarantine_node {
    struct enf_prefix prefix;
    uint8_t rank; /* level * 2 + forced: with the prefix the key */
    bool net;
    struct enf_quarantine_time since;
    struct enf_quarantine_time until;
    uint32_t text; /* interned "reason\0actor\0ticket\0group\0" */
    uint32_t convictions;
    uint32_t left; /* of a free node: the next free one */
    uint32_t right;
    uint32_t heap_at; /* place in the heap, 0: not in it (no end) */
};

_Static_assert(sizeof(struct enf_quarantine_node) == 52, "a million must fit 64 MB with all that is needed");

static inline uint64_t enf_quarantine_node_since(const struct enf_quarantine_node *node)
{
    return enf_quarantine_time_ms(node->since);
}

static inline uint64_t enf_quarantine_node_until(const struct enf_quarantine_node *node)
{
    return enf_quarantine_time_ms(node->until);
}

struct enf_quarantine_tree {
    uint32_t root;
    uint32_t greatest; /* the node with the greatest key; 0: none */
    size_t len;
    size_t levels[ENF_LEVEL_COUNT]; /* of them, by level */
    uint32_t lengths[2][129];       /* how many prefixes of each family (IPv4, IPv6) and length */
};

struct enf_quarantine_table {
    struct enf_quarantine_node **chunks;
    uint32_t chunks_len;
    uint32_t nodes_used; /* node 0 means none */
    uint32_t nodes_free; /* list */
    uint32_t *heap;      /* heap[1] ends first */
    uint32_t heap_len;
    uint32_t heap_cap;
    uint64_t seed;
    size_t max_entries;
    struct enf_quarantine_tree trees[2]; /* by net */
    struct enf_intern texts;
};

static inline struct enf_quarantine_node *enf_quarantine_node(const struct enf_quarantine_table *table,
                                                              uint32_t id)
{
    return &table->chunks[id / ENF_QUARANTINE_CHUNK][id % ENF_QUARANTINE_CHUNK];
}

static inline uint8_t enf_quarantine_rank(enum enf_level level, bool forced)
{
    return (uint8_t)((unsigned)level * 2 + (forced ? 1 : 0));
}

static inline enum enf_level enf_quarantine_node_level(const struct enf_quarantine_node *node)
{
    return (enum enf_level)(node->rank / 2);
}

static inline bool enf_quarantine_node_forced(const struct enf_quarantine_node *node)
{
    return node->rank % 2 != 0;
}

/* Memory for `more` further nodes, so that the inserts which follow cannot fail. 0 or -ENOMEM. */
int enf_quarantine_reserve(struct enf_quarantine_table *table, size_t more);
/* Copies *model (without links) into a node, into its tree and, with an end, into the heap. The node takes
 * over the caller's reference to the text. Needs a reserved node and a key that is not there. */
uint32_t enf_quarantine_insert(struct enf_quarantine_table *table, const struct enf_quarantine_node *model);
/* Takes a node out of everything, drops its text and frees it. */
void enf_quarantine_remove(struct enf_quarantine_table *table, uint32_t id);

/* The first node of a tree with a key >= (prefix, rank), or 0. O(log n). */
uint32_t enf_quarantine_lower(const struct enf_quarantine_table *table, bool net,
                              const struct enf_prefix *prefix, uint8_t rank);
/* The node after id in its tree, or 0. O(log n). */
uint32_t enf_quarantine_next(const struct enf_quarantine_table *table, uint32_t id);
/* In order through a whole tree; stops at the first non-zero answer and returns it. */
int enf_quarantine_walk(const struct enf_quarantine_table *table, bool net, int (*fn)(void *ctx, uint32_t id),
                        void *ctx);
/* Finds all nodes whose prefix covers `prefix`, shorter first; with strict set only longer ranges than it. */
int enf_quarantine_walk_covering(const struct enf_quarantine_table *table, bool net,
                                 const struct enf_prefix *prefix, bool strict,
                                 int (*fn)(void *ctx, uint32_t id), void *ctx);

/* The whole value of a node. */
void enf_quarantine_expand(const struct enf_quarantine_table *table, uint32_t id, struct enf_quarantine *out);
/* Interns the texts of an entry. 0 or -ENOMEM. */
int enf_quarantine_text_take(struct enf_quarantine_table *table, const struct enf_quarantine *entry,
                             uint32_t *out_id);

/* Puts one entry in place without telling people. Cannot fail: a node is reserved, the reference to the text
 * is used up. *out_now is what it has then (with a sink only), *out_previous what the prefix had; untouched
 * where that is nothing (ENF_QUARANTINE_CREATED).
 */
enum enf_quarantine_change enf_quarantine_place(struct enf_quarantine_table *table,
                                                const struct enf_quarantine *entry, uint32_t text,
                                                enum enf_quarantine_how how, struct enf_quarantine_sink *sink,
                                                struct enf_quarantine *out_now,
                                                struct enf_quarantine *out_previous);

/* Hands the difference to the sink (which may be NULL). */
void enf_quarantine_tell_ends(struct enf_quarantine_sink *sink, const struct enf_prefix *subscriber,
                              const struct enf_quarantine_ends *before,
                              const struct enf_quarantine_ends *after);
void enf_quarantine_tell_nets(struct enf_quarantine_sink *sink, const struct enf_prefix *prefix);
void enf_quarantine_tell_row(struct enf_quarantine_sink *sink, bool present,
                             const struct enf_quarantine *entry);
void enf_quarantine_tell(struct enf_quarantine_sink *sink, enum enf_quarantine_change change,
                         const struct enf_quarantine *entry, const struct enf_quarantine *previous);
