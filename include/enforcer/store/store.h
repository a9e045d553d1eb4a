/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State on disk: one SQLite file, "state.db" in the state directory. When a call has returned 0 outside a
 * transaction and a batch, or the end of those has, the disk has it. What is read back is treated as a
 * stranger's: checked row by row. A store belongs to one thread at a time. Strings that a callback gets are
 * valid while it runs; callbacks must not change the store. History is in store/history.h. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/core/quarantine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_STORE_FILE           "state.db"
#define ENF_STORE_VERSION        2 /* older ones are brought up to it when they are opened */
#define ENF_STORE_MESSAGE_LEN    512
#define ENF_STORE_KEY_MAX        64   /* bytes of a setting's name */
#define ENF_STORE_VALUE_MAX      4096 /* bytes of a setting's value */
#define ENF_STORE_AUDIT_TEXT_MAX 1024 /* bytes of an audit line's detail; more is cut */

/* What went wrong, each with an -errno of its own. */
enum enf_store_fault {
    ENF_STORE_OK,
    ENF_STORE_CORRUPT,   /* -EBADMSG: no SQLite file, or a damaged one */
    ENF_STORE_FUTURE,    /* -EPROTONOSUPPORT: written by a newer version of this program */
    ENF_STORE_FOREIGN,   /* -EMEDIUMTYPE: a database or file of something else */
    ENF_STORE_READ_ONLY, /* -EROFS */
    ENF_STORE_FULL,      /* -ENOSPC: disk, quota or the limit on the file's size */
    ENF_STORE_DENIED,    /* -EACCES */
    ENF_STORE_MISSING,   /* -ENOENT: no such directory */
    ENF_STORE_BUSY,      /* -EBUSY: another process writes */
    ENF_STORE_LIMIT,     /* -EDQUOT: more rows of a kind than are kept */
    ENF_STORE_INVALID,   /* -EINVAL: the caller's values */
    ENF_STORE_MEMORY,    /* -ENOMEM */
    ENF_STORE_IO,        /* -EIO and all else */
};
#define ENF_STORE_FAULT_COUNT 13

enum enf_store_fault enf_store_fault(int err);
/* "corrupt", "future" …; NULL out of range. */
const char *enf_store_fault_name(enum enf_store_fault fault);

/* Bounds on what grows; 0 in a field means its default. */
struct enf_store_limits {
    uint64_t history_rows;           /* 1,000,000; the oldest go first */
    uint64_t history_per_subscriber; /* 1,000; likewise */
    uint64_t evidence_bytes;         /* 256 MiB in all; that of the lines added first goes first */
    uint64_t
        evidence_text_bytes; /* 256 KiB in one line; longer evidence is left out, with a note in its place */
    uint64_t relays;         /* 4,096; more: -EDQUOT */
    uint64_t settings;       /* 256; likewise */
    uint64_t audit_rows;     /* 100,000; the oldest go first */
    uint64_t file_bytes;     /* no limit of our own; beyond: -ENOSPC */
};

struct enf_store;

/* Opens directory/state.db, making it (mode 0600) where it is missing or empty; the directory must exist. 0
 * with *out the caller's, or an -errno as above, then *out is untouched, message (may be NULL) says what and
 * which file, and no byte of an existing file has changed. */
int enf_store_open(const char *directory, struct enf_store **out, char *message, size_t message_len);
/* A store for when the file cannot be opened: empty, in memory, and every change is refused with -EROFS and
 * why in its message. 0 or -ENOMEM. */
int enf_store_open_none(const char *why, struct enf_store **out);
/* Rolls back what is not committed. Accepts NULL content; clears the caller's pointer. */
void enf_store_close(struct enf_store **store);
/* Holds from the next addition on. 0 or -errno. */
int enf_store_set_limits(struct enf_store *store, const struct enf_store_limits *limits);

/* What the last failed call had to say, with the file's name; "" before the first. */
const char *enf_store_message(const struct enf_store *store);
/* Rows that made no sense and were skipped since the store was opened. */
uint64_t enf_store_bad_rows(const struct enf_store *store);
/* Reads all pages and checks them: seconds for a large file. 0 or -EBADMSG, -EIO … */
int enf_store_verify(struct enf_store *store);

/* Moves directory/state.db and what SQLite keeps beside it to names with the time in them, never over an
 * existing file, so that a store can be made anew. path gets the new name. 0 or -errno (-ENOENT: nothing
 * there). The store must not be open. */
int enf_store_set_aside(const char *directory, uint64_t now_ms, char *path, size_t path_len);

/* A transaction: all or nothing, and one wait for the disk. Not nested: -EALREADY. When a call within has
 * failed, commit rolls back and returns that failure. Rollback without a transaction does nothing. */
int enf_store_begin(struct enf_store *store);
int enf_store_commit(struct enf_store *store);
void enf_store_rollback(struct enf_store *store);

/* Several transactions that share one wait for the disk: between the two, commit says that a transaction is
 * part of the batch, and rollback takes back that one alone. What is written outside of transactions is part
 * as well. The disk has it when end has returned 0, and has nothing of it where end returns -errno; a disk
 * that took all back before the end lets begin and commit fail until then. Not nested, not within a
 * transaction: -EALREADY. */
int enf_store_batch_begin(struct enf_store *store);
int enf_store_batch_end(struct enf_store *store);

/* Since the store was opened. */
struct enf_store_counts {
    uint64_t changes; /* transactions that are on disk */
    uint64_t commits; /* waits for the disk: of a transaction, a batch, or one statement alone */
};
void enf_store_count(const struct enf_store *store, struct enf_store_counts *out);

/* --- quarantine: rows by subscriber, net, level and forced -------------------------------------------------
 */

/* Adds or replaces. 0, -EINVAL for an entry that is no quarantine, or -errno. */
int enf_store_quarantine_put(struct enf_store *store, const struct enf_quarantine *entry);
/* Deletes the row with the entry's key; its absence is no error. */
int enf_store_quarantine_delete(struct enf_store *store, const struct enf_quarantine *entry);
/* Deletes all: with puts in one transaction, the way to replace them. */
int enf_store_quarantine_clear(struct enf_store *store);
/* Calls fn for each row, in the order of enf_prefix_cmp. A row that makes no sense is skipped and counted in
 * *out_skipped (may be NULL). 0, the first non-zero answer of fn, or -errno. */
int enf_store_quarantine_each(struct enf_store *store,
                              int (*fn)(void *ctx, const struct enf_quarantine *entry), void *ctx,
                              size_t *out_skipped);

/* --- relays by hand ----------------------------------------------------------------------------------------
 */

struct enf_store_relay {
    struct enf_prefix prefix;
    char name[ENF_NAME_LEN];
    uint64_t added_ms;
    char actor[ENF_ACTOR_LEN];
    char owner[ENF_OWNER_LEN];
    char reason[ENF_OWNER_LEN];
    uint64_t expires_ms; /* wall clock; 0: never */
    bool lapsed;         /* unused or expired, it is no relay any more */
};

/* Adds or replaces. 0, -EINVAL, -EDQUOT or -errno. */
int enf_store_relay_put(struct enf_store *store, const struct enf_store_relay *relay);
/* 1 when it was there, 0 when not, or -errno. */
int enf_store_relay_delete(struct enf_store *store, const struct enf_prefix *prefix);
int enf_store_relay_each(struct enf_store *store, int (*fn)(void *ctx, const struct enf_store_relay *relay),
                         void *ctx);

/* --- settings: text by name --------------------------------------------------------------------------------
 */

/* 0, -EINVAL for a name or value that is too long or empty (name), -EDQUOT or -errno. */
int enf_store_setting_set(struct enf_store *store, const char *name, const char *value);
/* 1 with value (cut to value_len - 1 bytes, UTF-8) set, 0 where there is none, or -errno. */
int enf_store_setting_get(struct enf_store *store, const char *name, char *value, size_t value_len);
/* 0 also where there is none. */
int enf_store_setting_delete(struct enf_store *store, const char *name);

/* --- audit: who asked for what -----------------------------------------------------------------------------
 */

struct enf_store_audit {
    uint64_t time_ms;
    const char *actor;
    const char *method;
    const char *detail;
    const char *outcome; /* "done", "refused" … */
};

/* NULL strings are empty ones. 0 or -errno. */
int enf_store_audit_add(struct enf_store *store, const struct enf_store_audit *line);
/* Up to limit lines made at since_ms or later, the one added last first. */
int enf_store_audit_read(struct enf_store *store, uint64_t since_ms, size_t limit,
                         int (*fn)(void *ctx, const struct enf_store_audit *line), void *ctx);
/* Deletes lines made before before_ms. 0 or -errno. */
int enf_store_audit_prune(struct enf_store *store, uint64_t before_ms);
