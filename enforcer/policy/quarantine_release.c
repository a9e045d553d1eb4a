/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How quarantines end: by release, which may split what is larger than the released part, and by time. */
#include "enforcer/core/text.h"
#include "enforcer/policy/quarantine.h"
#include "enforcer/policy/quarantine_table.h"

#include <errno.h>

/* Each length of each tree may have an entry a rank. */
#define COVERING_MAX (2 * 129 * ENF_LEVEL_COUNT * 2)

/* Removes one entry; sets *out to its value. Tells rows, elements and sets, but not people. */
static void drop(struct enf_quarantine_table *table, uint32_t id, struct enf_quarantine_sink *sink,
                 struct enf_quarantine *out)
{
    struct enf_quarantine_ends before;
    struct enf_quarantine_ends after;

    enf_quarantine_expand(table, id, out);
    if (out->net) {
        enf_quarantine_remove(table, id);
        enf_quarantine_tell_nets(sink, &out->subscriber);
    } else {
        before = enf_quarantine_ends(table, &out->subscriber);
        enf_quarantine_remove(table, id);
        after = enf_quarantine_ends(table, &out->subscriber);
        enf_quarantine_tell_ends(sink, &out->subscriber, &before, &after);
    }
    enf_quarantine_tell_row(sink, false, out);
}

/* --- splitting ---------------------------------------------------------------------------------------------
 */

struct covering {
    const struct enf_quarantine_table *table;
    uint32_t ids[COVERING_MAX];
    size_t len;
    size_t pieces; /* that splitting them will make */
    uint8_t to_len;
};

static int covering_note(void *ctx, uint32_t id)
{
    struct covering *covering = ctx;

    if (covering->len == COVERING_MAX)
        return -EOVERFLOW; /* cannot be: see COVERING_MAX */
    covering->ids[covering->len++] = id;
    covering->pieces += (size_t)covering->to_len - enf_quarantine_node(covering->table, id)->prefix.len;
    return 0;
}

/* The half of the prefix of length len (at least 1) around addr in which addr is not. */
static struct enf_prefix other_half(const struct enf_addr *addr, uint8_t len)
{
    struct enf_prefix half = enf_prefix_make(addr, len);

    half.addr.bytes[(len - 1) / 8] ^= (uint8_t)(0x80u >> ((len - 1) % 8));
    return half;
}

static void split(struct enf_quarantine_table *table, uint32_t id, const struct enf_prefix *part,
                  struct enf_quarantine_sink *sink)
{
    struct enf_quarantine whole;
    struct enf_quarantine piece;
    struct enf_quarantine now;
    struct enf_quarantine before;
    uint32_t text = enf_quarantine_node(table, id)->text;

    enf_intern_ref(&table->texts, text); /* drop() gives back the node's own */
    drop(table, id, sink, &whole);
    piece = whole;
    piece.net = true;
    for (unsigned len = whole.subscriber.len + 1u; len <= part->len; len++) {
        piece.subscriber = other_half(&part->addr, (uint8_t)len);
        enf_intern_ref(&table->texts, text);
        enf_quarantine_place(table, &piece, text, ENF_QUARANTINE_EXTEND, sink, &now, &before);
    }
    enf_intern_drop(&table->texts, text);
    piece = whole;
    piece.subscriber = *part;
    enf_quarantine_tell(sink, ENF_QUARANTINE_RELEASED, &piece, &whole);
}

/* --- release -----------------------------------------------------------------------------------------------
 */

/* Up to limit entries; *more: there are others. */
static size_t release_inside(struct enf_quarantine_table *table, bool net, const struct enf_prefix *prefix,
                             size_t limit, struct enf_quarantine_sink *sink, bool *more)
{
    struct enf_quarantine gone;
    size_t count = 0;
    uint32_t id;

    while ((id = enf_quarantine_lower(table, net, prefix, 0)) != 0) {
        if (!enf_prefix_covers(prefix, &enf_quarantine_node(table, id)->prefix))
            break;
        if (count == limit) {
            *more = true;
            break;
        }
        drop(table, id, sink, &gone);
        enf_quarantine_tell(sink, ENF_QUARANTINE_RELEASED, &gone, &gone);
        count++;
    }
    return count;
}

int enf_quarantine_release_some(struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                                size_t limit, struct enf_quarantine_sink *sink, size_t *out_released,
                                bool *out_more)
{
    struct covering covering = {.table = table, .to_len = prefix->len};
    size_t inside;
    bool more = false;
    int err;

    if (!enf_prefix_is_valid(prefix))
        return -EINVAL;
    err = enf_quarantine_walk_covering(table, false, prefix, true, covering_note, &covering);
    if (!err)
        err = enf_quarantine_walk_covering(table, true, prefix, true, covering_note, &covering);
    if (err)
        return err;
    if (covering.pieces &&
        enf_quarantine_count(table) + covering.pieces > table->max_entries + ENF_QUARANTINE_SPLIT_RESERVE)
        return -ENOSPC;
    if (covering.pieces && enf_quarantine_reserve(table, covering.pieces) < 0)
        return -ENOMEM;

    for (size_t i = 0; i < covering.len; i++)
        split(table, covering.ids[i], prefix, sink);
    inside = release_inside(table, false, prefix, limit, sink, &more);
    inside += release_inside(table, true, prefix, limit - inside, sink, &more);
    *out_released = covering.len + inside;
    *out_more = more;
    return 0;
}

int enf_quarantine_release(struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                           struct enf_quarantine_sink *sink, size_t *out_released)
{
    bool more = false;

    return enf_quarantine_release_some(table, prefix, SIZE_MAX, sink, out_released, &more);
}

/* --- expiry ------------------------------------------------------------------------------------------------
 */

uint64_t enf_quarantine_next_expiry(const struct enf_quarantine_table *table)
{
    return table->heap_len ? enf_quarantine_node_until(enf_quarantine_node(table, table->heap[1]))
                           : ENF_FOREVER;
}

size_t enf_quarantine_expire(struct enf_quarantine_table *table, uint64_t now_ms, size_t limit,
                             struct enf_quarantine_sink *sink)
{
    struct enf_quarantine gone;
    size_t count = 0;

    while ((!limit || count < limit) && table->heap_len && enf_quarantine_next_expiry(table) <= now_ms) {
        drop(table, table->heap[1], sink, &gone);
        enf_quarantine_tell(sink, ENF_QUARANTINE_EXPIRED, &gone, NULL);
        count++;
    }
    return count;
}
