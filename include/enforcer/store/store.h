/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must outlive the daemon, in one SQLite file (state.db, WAL). An answer of 0 means that the disk has it. One
 * thread. All times are wall clock in ms. (The daemon is written against this header: implement it, extend it.)
 *
 * Functions that may fail return 0, or a negative enum enf_store_error; enf_store_message says it in words. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/core/quarantine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum enf_store_error {
    ENF_STORE_NOMEM = -1,
    ENF_STORE_IO = -2,        /* reading or writing failed */
    ENF_STORE_FULL = -3,      /* no space left */
    ENF_STORE_READONLY = -4,
    ENF_STORE_CORRUPT = -5,   /* no SQLite file, or a broken one: it is left as it is */
    ENF_STORE_NEWER = -6,     /* of a later version of enforcer: left as it is */
    ENF_STORE_BUSY = -7,      /* another process has it */
    ENF_STORE_INVALID = -8,   /* an argument that is none */
};

struct enf_store;

/* Opens or makes DIRECTORY/state.db (the directory too, one level, mode 0700). error (if error_len > 0) says what is
 * wrong in words, with the path. On failure *out is untouched. */
int enf_store_open(const char *directory, struct enf_store **out, char *error, size_t error_len);
void enf_store_close(struct enf_store **store); /* accepts NULL content, clears */
/* The words for the last error of this store; valid until its next call. */
const char *enf_store_message(const struct enf_store *store);

/* Calls between begin and commit are one transaction; outside of one each call is its own. */
int enf_store_begin(struct enf_store *store);
int enf_store_commit(struct enf_store *store); /* on failure all is rolled back */
void enf_store_rollback(struct enf_store *store);

/* Keyed by (net, subscriber, level, forced). */
int enf_store_quarantine_put(struct enf_store *store, const struct enf_quarantine *entry);
int enf_store_quarantine_delete(struct enf_store *store, const struct enf_quarantine *entry); /* absent: 0 */
/* Calls fn for every row, in order of the key; rows that make no sense are left out and counted in *out_skipped (may
 * be NULL). A non-zero answer of fn stops and is returned. */
int enf_store_quarantine_each(struct enf_store *store, int (*fn)(void *ctx, const struct enf_quarantine *entry),
                              void *ctx, size_t *out_skipped);

/* One line of a subscriber's history. Text pointers may be NULL; those handed to callbacks live while they run. */
struct enf_store_history {
    struct enf_prefix subscriber;
    uint64_t time_ms;
    const char *action; /* "convicted", "quarantined", "changed", "released", "expired", "reassigned" */
    const char *reason;
    const char *actor;
    const char *ticket;
    enum enf_level level;
    uint64_t until_ms;
    const char *evidence; /* JSON text of the caller */
};
/* action overrides line->action. */
int enf_store_history_add(struct enf_store *store, const char *action, const struct enf_store_history *line);
typedef int (*enf_store_history_fn)(void *ctx, const struct enf_store_history *line);
/* Newest first, at most limit: lines of the subscriber itself, and of prefixes that cover it or lie inside it. */
int enf_store_history_read(struct enf_store *store, const struct enf_prefix *subscriber, size_t limit,
                           enf_store_history_fn fn, void *ctx);
/* All lines with this action since since_ms, oldest first. */
int enf_store_history_since(struct enf_store *store, const char *action, uint64_t since_ms, enf_store_history_fn fn,
                            void *ctx);
/* Removes lines older than before_ms, and what is beyond the caps (1,000 a subscriber, 1,000,000 in all). */
int enf_store_history_prune(struct enf_store *store, uint64_t before_ms);

int enf_store_relay_put(struct enf_store *store, const struct enf_prefix *relay, const char *name, const char *actor,
                        uint64_t added_ms);
int enf_store_relay_delete(struct enf_store *store, const struct enf_prefix *relay); /* absent: 0 */
int enf_store_relay_each(struct enf_store *store,
                         int (*fn)(void *ctx, const struct enf_prefix *relay, const char *name), void *ctx);

int enf_store_setting_set(struct enf_store *store, const char *key, const char *value);
int enf_store_setting_delete(struct enf_store *store, const char *key);
/* 1 with value copied (cut to value_len), 0 where there is none, negative on error. */
int enf_store_setting_get(struct enf_store *store, const char *key, char *value, size_t value_len);
