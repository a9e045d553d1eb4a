/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The desired state of all quarantines, in memory only: no I/O, no clock. What must follow from a change
 * (kernel elements, rows of the store, what people are told) is handed to a sink. One thread at a time. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/core/quarantine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Releasing a part of a prefix leaves up to 128 smaller ones. A release must never be refused because the
 * table is full, so splits alone may exceed the cap by this many entries. */
#define ENF_QUARANTINE_SPLIT_RESERVE 65536u
#define ENF_QUARANTINE_ENTRIES_LIMIT 16000000u /* the highest max_entries */

/* Holds entries by (net, prefix, level, forced): a prefix may have one entry a level, so that a strong and
 * short one and a weak and long one are both exactly what was asked for. An entry that another one of the
 * same prefix makes pointless (as strong, as forced, as long) is dropped. Prefixes may nest and overlap
 * freely. */
struct enf_quarantine_table;

enum enf_quarantine_change {
    ENF_QUARANTINE_CREATED,   /* the prefix had no entry */
    ENF_QUARANTINE_EXTENDED,  /* it lasts longer than before, or gained a level */
    ENF_QUARANTINE_SHORTENED, /* by hand: it ends earlier than before */
    ENF_QUARANTINE_CHANGED,   /* by hand: same end, another level, or only its texts */
    ENF_QUARANTINE_UNCHANGED, /* what is there lasts as long already: nothing was done */
    ENF_QUARANTINE_RELEASED,
    ENF_QUARANTINE_EXPIRED,
};
#define ENF_QUARANTINE_CHANGE_COUNT 7

/* How an entry meets others of its very prefix. */
enum enf_quarantine_how {
    ENF_QUARANTINE_EXTEND, /* automatic, or read from the store: never weakens, the later end wins */
    ENF_QUARANTINE_SET,    /* by hand: exactly this, in place of what the prefix had */
};

/* One element of the kernel's hash sets (single subscribers), by level. until_ms 0: it is to go. */
struct enf_quarantine_element {
    struct enf_prefix subscriber;
    enum enf_level level;
    uint64_t until_ms; /* wall clock or ENF_FOREVER */
};

/* Receives what a call changed. Every callback may be NULL, must not call back into the table, and gets
 * pointers that are valid only while it runs. A whole NULL sink is allowed too. */
struct enf_quarantine_sink {
    void *ctx;
    /* Elements of single subscribers: add or replace, or delete. */
    void (*element)(void *ctx, const struct enf_quarantine_element *element);
    /* Rows: entry is to be stored (present), or the row with its net, subscriber, level and forced deleted.
     */
    void (*row)(void *ctx, bool present, const struct enf_quarantine *entry);
    /* What people are told. For an addition entry is what the table has now, previous what the prefix had
     * (the strongest entry) or NULL. For RELEASED entry is the part that was released, previous the entry it
     * was in. For EXPIRED previous is NULL. */
    void (*told)(void *ctx, enum enf_quarantine_change change, const struct enf_quarantine *entry,
                 const struct enf_quarantine *previous);
    /* Set, never cleared, by a call after which the sets of that family must be written anew (see _flatten).
     */
    bool nets4_changed;
    bool nets6_changed;
};

/* Makes an empty table for up to max_entries (1 to ENF_QUARANTINE_ENTRIES_LIMIT) entries. seed: random,
 * secret. 0 with *out the caller's; -EINVAL, -ENOMEM with *out untouched. */
int enf_quarantine_new(size_t max_entries, uint64_t seed, struct enf_quarantine_table **out);
/* Accepts NULL content; clears the caller's pointer. */
void enf_quarantine_free(struct enf_quarantine_table **table);

/* A new cap for additions; entries beyond it stay. 0 or -EINVAL. */
int enf_quarantine_set_max(struct enf_quarantine_table *table, size_t max_entries);
size_t enf_quarantine_count(const struct enf_quarantine_table *table);
/* Entries of one level; 0 for a level that is none. */
size_t enf_quarantine_count_level(const struct enf_quarantine_table *table, enum enf_level level);
/* Entries by hand of a prefix (net) only. */
size_t enf_quarantine_count_nets(const struct enf_quarantine_table *table);

/* Adds len entries, all or none. On an extension the earlier since_ms stays, and an empty ticket does not
 * displace one. 0; -EINVAL for an entry that is no quarantine (prefix, level, until_ms <= since_ms, an end
 * beyond the year 10889 that is not ENF_FOREVER, text that is not terminated); -ENOSPC where the entries with
 * new prefixes do not fit below the cap (one that is twice in the call counts twice); -ENOMEM. On failure
 * nothing has changed and the sink was not called. O(log n) an entry. */
int enf_quarantine_add(struct enf_quarantine_table *table, const struct enf_quarantine *entries, size_t len,
                       enum enf_quarantine_how how, struct enf_quarantine_sink *sink);

/* Ends all quarantine of the addresses in prefix, singles and nets. An entry that covers prefix and more is
 * split: what is left of it keeps end, level, since and texts, as nets. *out_released is the number of parts
 * told. 0 (also with none); -EINVAL for a prefix that is none; -ENOSPC beyond the reserve for splits,
 * -ENOMEM: nothing changed. */
int enf_quarantine_release(struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                           struct enf_quarantine_sink *sink, size_t *out_released);
/* The same for at most limit of the entries inside prefix, and all that cover it. *out_more: there are others
 * inside, for the next call. */
int enf_quarantine_release_some(struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                                size_t limit, struct enf_quarantine_sink *sink, size_t *out_released,
                                bool *out_more);

/* Removes up to limit (0: all) entries with until_ms <= now_ms, earliest first. Returns how many. O(log n)
 * each. */
size_t enf_quarantine_expire(struct enf_quarantine_table *table, uint64_t now_ms, size_t limit,
                             struct enf_quarantine_sink *sink);
/* When the next entry ends; ENF_FOREVER for never. O(1). */
uint64_t enf_quarantine_next_expiry(const struct enf_quarantine_table *table);

/* The strongest entry that covers all of prefix (an address, a subscriber, a net), of equal levels the one
 * that lasts longest. False, with *out untouched, where there is none. out may be NULL. */
bool enf_quarantine_find(const struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                         struct enf_quarantine *out);

/* Latest end by level of a single subscriber's own entries, 0 where it has none: what the kernel's elements
 * must say. O(log n). */
struct enf_quarantine_ends {
    uint64_t until_ms[ENF_LEVEL_COUNT];
};
struct enf_quarantine_ends enf_quarantine_ends(const struct enf_quarantine_table *table,
                                               const struct enf_prefix *subscriber);

/* Entries by hand of a prefix (net) of that level. O(1). */
size_t enf_quarantine_count_level_nets(const struct enf_quarantine_table *table, enum enf_level level);

/* Called with an entry; a non-zero answer ends the walk and is returned by it. */
typedef int (*enf_quarantine_fn)(void *ctx, const struct enf_quarantine *entry);

/* All entries that cover all of prefix, singles before nets, shorter prefixes first. */
int enf_quarantine_covering(const struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                            enf_quarantine_fn fn, void *ctx);
/* All entries that lie inside prefix, singles before nets, each in order. */
int enf_quarantine_inside(const struct enf_quarantine_table *table, const struct enf_prefix *prefix,
                          enf_quarantine_fn fn, void *ctx);
/* All entries, singles before nets, each in order. */
int enf_quarantine_each(const struct enf_quarantine_table *table, enf_quarantine_fn fn, void *ctx);

/* The same with nothing but whom and at which level, in no order: quick. */
void enf_quarantine_tally(const struct enf_quarantine_table *table,
                          void (*fn)(void *ctx, const struct enf_prefix *subscriber, enum enf_level level),
                          void *ctx);

/* One page of all entries in the order of enf_prefix_cmp: those after the prefix `after` (NULL: from the
 * start), limit of them and, so that a page never ends between two entries of one prefix, a few more.
 * *out_more says whether others follow; the last subscriber that fn got is then the next `after`. Changes
 * made between two pages neither repeat nor skip entries that stay. O(log n) an entry. */
int enf_quarantine_list(const struct enf_quarantine_table *table, const struct enf_prefix *after,
                        size_t limit, enf_quarantine_fn fn, void *ctx, bool *out_more);

/* What the interval sets of the kernel must hold: disjoint ranges in ascending order. */
struct enf_quarantine_range {
    struct enf_range range;
    enum enf_level level; /* the strongest one of the entries that cover the range */
    uint64_t until_ms;    /* the latest end of them */
};

struct enf_quarantine_ranges {
    struct enf_quarantine_range *items;
    size_t len;
};

/* Flattens the nets of one family whose level is at_least or stronger, and at_most or weaker (ENF_LEVEL_NONE,
 * ENF_LEVEL_FULL: all). Neighbours with equal level and end are fused; no address is in a range that no such
 * entry covers. With one call a set of the kernel, each set gets its own ends, right even while nobody is
 * there to expire them. Expire first:
 * ends are not compared with any clock. O(n). 0 with *out the caller's (enf_quarantine_ranges_clear);
 * -ENOMEM, untouched. */
int enf_quarantine_nets_flatten(const struct enf_quarantine_table *table, enum enf_family family,
                                enum enf_level at_least, enum enf_level at_most,
                                struct enf_quarantine_ranges *out);
void enf_quarantine_ranges_clear(struct enf_quarantine_ranges *ranges);
