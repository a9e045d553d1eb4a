/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the store share: the connection, its cached statements, and errors in one place. */
#pragma once

#include "enforcer/store/history.h"
#include "enforcer/store/store.h"

#include <sqlite3.h>

#define ENF_STORE_APPLICATION_ID 0x454e4652 /* "ENFR", in the file's header */

enum enf_statement {
    ENF_STATEMENT_QUARANTINE_PUT,
    ENF_STATEMENT_QUARANTINE_DELETE,
    ENF_STATEMENT_QUARANTINE_CLEAR,
    ENF_STATEMENT_QUARANTINE_EACH,
    ENF_STATEMENT_RELAY_COUNT,
    ENF_STATEMENT_RELAY_PUT,
    ENF_STATEMENT_RELAY_DELETE,
    ENF_STATEMENT_RELAY_EACH,
    ENF_STATEMENT_SETTING_COUNT,
    ENF_STATEMENT_SETTING_SET,
    ENF_STATEMENT_SETTING_GET,
    ENF_STATEMENT_SETTING_DELETE,
    ENF_STATEMENT_AUDIT_ADD,
    ENF_STATEMENT_AUDIT_PRUNE,
    ENF_STATEMENT_AUDIT_BEFORE,
    ENF_STATEMENT_AUDIT_READ,
    ENF_STATEMENT_HISTORY_COUNT,
    ENF_STATEMENT_HISTORY_ADD,
    ENF_STATEMENT_HISTORY_BEYOND,
    ENF_STATEMENT_HISTORY_OLDEST,
    ENF_STATEMENT_HISTORY_BEFORE,
    ENF_STATEMENT_HISTORY_DELETE,
    ENF_STATEMENT_HISTORY_INSIDE,
    ENF_STATEMENT_HISTORY_OF,
    ENF_STATEMENT_HISTORY_LINE,
    ENF_STATEMENT_HISTORY_SINCE,
    ENF_STATEMENT_HISTORY_NEWEST,
    ENF_STATEMENT_EVIDENCE_COUNT,
    ENF_STATEMENT_EVIDENCE_ADD,
    ENF_STATEMENT_EVIDENCE_DELETE,
    ENF_STATEMENT_EVIDENCE_FIRST,
    ENF_STATEMENT_SAVEPOINT,
    ENF_STATEMENT_RELEASE,
    ENF_STATEMENT_UNDO,
};
#define ENF_STATEMENT_COUNT 34

struct enf_store {
    sqlite3 *db;
    sqlite3_stmt *statements[ENF_STATEMENT_COUNT];
    struct enf_store_limits limits;
    char path[320]; /* of the file */
    char message[ENF_STORE_MESSAGE_LEN];
    char why[ENF_STORE_MESSAGE_LEN]; /* it keeps nothing; "": it is a file */
    bool in_transaction;
    int broken; /* the first failure within the transaction */
    bool in_batch;
    int batch_before;       /* rows ever changed when it began */
    uint64_t batch_changes; /* transactions within it */
    struct enf_store_counts counts;
    uint64_t bad_rows;
    bool counts_known; /* of the two below */
    uint64_t history_rows;
    uint64_t evidence_bytes;
};

/* [n]: the SQL that makes version n + 1 of version n; 0 is an empty file. */
extern const char *const enf_store_steps[ENF_STORE_VERSION];
/* Prepares all statements: also the check that the file has the tables that we think it has. */
int enf_store_prepare(struct enf_store *store);
/* The statement, reset and without bindings. */
sqlite3_stmt *enf_store_statement(struct enf_store *store, enum enf_statement which);

/* The -errno of an SQLite result, with the message set and the transaction, if any, marked as broken. */
int enf_store_failed(struct enf_store *store, int code);
/* The same for a refusal of our own. */
int enf_store_refused(struct enf_store *store, int err, const char *words);
/* Steps a statement that gives no rows (or whose rows do not matter), and resets it. 0 or -errno. */
int enf_store_run(struct enf_store *store, sqlite3_stmt *statement);
/* One row with one number. */
int enf_store_number(struct enf_store *store, sqlite3_stmt *statement, uint64_t *out);
/* Next row: 1, 0 at the end, or -errno; the statement is reset unless it is 1. */
int enf_store_row(struct enf_store *store, sqlite3_stmt *statement);
/* Runs several statements of text that never holds a value from outside. */
int enf_store_execute(struct enf_store *store, const char *sql);

/* Several statements as one change, inside a transaction or outside. end returns err, or the failure to
 * release. */
int enf_store_savepoint(struct enf_store *store);
int enf_store_savepoint_end(struct enf_store *store, int err);

/* --- values: binding and hostile reading -------------------------------------------------------------------
 */

/* A prefix takes three columns: family, address, length. */
void enf_store_bind_prefix(sqlite3_stmt *statement, int first, const struct enf_prefix *prefix);
void enf_store_bind_time(sqlite3_stmt *statement, int at, uint64_t time_ms);
/* NULL is "". Bound without a copy: must live until the statement is reset. */
void enf_store_bind_text(sqlite3_stmt *statement, int at, const char *text);

/* Up to INT64_MAX, or ENF_FOREVER: what a column can hold. */
bool enf_store_is_time(uint64_t time_ms);

/* False for what is no prefix, time, number up to max. */
bool enf_store_column_prefix(sqlite3_stmt *statement, int first, struct enf_prefix *out);
bool enf_store_column_time(sqlite3_stmt *statement, int at, uint64_t *out);
bool enf_store_column_number(sqlite3_stmt *statement, int at, uint64_t max, uint64_t *out);
/* Any value as text: cut to buf_len - 1 bytes, bytes that are no UTF-8 replaced. A quarantine must not end
 * because its reason is damaged. */
void enf_store_column_text(sqlite3_stmt *statement, int at, char *buf, size_t buf_len);
