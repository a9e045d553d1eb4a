/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happened to which subscriber, kept on disk: for `show`, and for escalation after a restart. Bounded
 * (see enf_store_limits). Part of the store: same file, transactions, errors and thread. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"

#include <stddef.h>
#include <stdint.h>

#define ENF_STORE_ACTION_MAX 32   /* bytes of an action's name: a-z and '-' */
#define ENF_STORE_READ_MAX   1000 /* lines that one read gives */

struct enf_store;

/* One line. When it is read, its strings are never NULL (evidence: "" for none), valid UTF-8, cut to the
 * lengths of core/event.h, and the callback's only while it runs. When it is added, NULL is "", and action is
 * not looked at. */
struct enf_store_history {
    struct enf_prefix subscriber; /* or a prefix by hand */
    uint64_t time_ms;             /* wall clock */
    const char *action;           /* "convicted", "quarantined", "released", "expired", "reassigned" … */
    enum enf_level level;         /* NONE where none applies */
    uint64_t until_ms;            /* 0 where none applies, or ENF_FOREVER */
    const char *reason;
    const char *actor;
    const char *ticket;
    const char *evidence; /* JSON text of the caller; the store does not look into it */
};

/* A non-zero answer ends the walk and is returned by it. */
typedef int (*enf_store_history_fn)(void *ctx, const struct enf_store_history *line);

/* Adds a line, and lets go what is beyond the limits. 0, -EINVAL for a bad prefix, action, level or time, or
 * -errno. */
int enf_store_history_add(struct enf_store *store, const char *action, const struct enf_store_history *line);

/* The newest lines first, up to limit (at most ENF_STORE_READ_MAX): of subscribers inside prefix, and of
 * prefixes that hold it, which were quarantined or released as a whole. */
int enf_store_history_read(struct enf_store *store, const struct enf_prefix *prefix, size_t limit,
                           enf_store_history_fn fn, void *ctx);

/* All lines made at since_ms or later with this action (NULL: every action), the oldest first, without
 * evidence: what escalation needs at start. */
int enf_store_history_since(struct enf_store *store, const char *action, uint64_t since_ms,
                            enf_store_history_fn fn, void *ctx);

/* Up to limit lines made at since_ms or later, the newest first, without evidence: what was done by itself
 * (actor other than "user:…", or expired), but for convictions, which the quarantines they led to stand for.
 */
int enf_store_history_automatic(struct enf_store *store, uint64_t since_ms, size_t limit,
                                enf_store_history_fn fn, void *ctx);

/* Deletes up to limit (0: all) lines made before before_ms, the oldest first. *out_deleted (may be NULL) is
 * how many. */
int enf_store_history_prune(struct enf_store *store, uint64_t before_ms, size_t limit, size_t *out_deleted);
