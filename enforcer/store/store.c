/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors, transactions and the ways to run a statement. */
#include "enforcer/store/store.h"
#include "enforcer/store/store_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fault_row {
    int err;
    const char *name;
};

static const struct fault_row FAULTS[ENF_STORE_FAULT_COUNT] = {
    [ENF_STORE_OK] = {0, "ok"},
    [ENF_STORE_CORRUPT] = {-EBADMSG, "corrupt"},
    [ENF_STORE_FUTURE] = {-EPROTONOSUPPORT, "future"},
    [ENF_STORE_FOREIGN] = {-EMEDIUMTYPE, "foreign"},
    [ENF_STORE_READ_ONLY] = {-EROFS, "read-only"},
    [ENF_STORE_FULL] = {-ENOSPC, "full"},
    [ENF_STORE_DENIED] = {-EACCES, "denied"},
    [ENF_STORE_MISSING] = {-ENOENT, "missing"},
    [ENF_STORE_BUSY] = {-EBUSY, "busy"},
    [ENF_STORE_LIMIT] = {-EDQUOT, "limit"},
    [ENF_STORE_INVALID] = {-EINVAL, "invalid"},
    [ENF_STORE_MEMORY] = {-ENOMEM, "memory"},
    [ENF_STORE_IO] = {-EIO, "io"},
};

enum enf_store_fault enf_store_fault(int err)
{
    for (unsigned i = 0; i < ENF_STORE_FAULT_COUNT; i++)
        if (FAULTS[i].err == err)
            return (enum enf_store_fault)i;
    return ENF_STORE_IO;
}

const char *enf_store_fault_name(enum enf_store_fault fault)
{
    return (unsigned)fault < ENF_STORE_FAULT_COUNT ? FAULTS[fault].name : NULL;
}

const char *enf_store_message(const struct enf_store *store)
{
    return store->message;
}

uint64_t enf_store_bad_rows(const struct enf_store *store)
{
    return store->bad_rows;
}

/* --- errors ------------------------------------------------------------------------------------------------
 */

/* Where SQLite only knows that the system refused, the system's own number says more. */
static int system_err(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return -ENOSPC;
    case EROFS:
        return -EROFS;
    case EACCES:
    case EPERM:
        return -EACCES;
    case ENOENT:
        return -ENOENT;
    case ENOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

/* The number may be of a later call, made while SQLite cleaned up: a file that was there is not missing. */
static int io_err(struct enf_store *store, int code)
{
    int err = code == SQLITE_IOERR_NOMEM ? -ENOMEM : system_err(sqlite3_system_errno(store->db));

    return err == -ENOENT ? -EIO : err;
}

static int code_err(struct enf_store *store, int code)
{
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* our statements are right: the file's tables are not ours */
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return -EBADMSG;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_IOERR:
        return io_err(store, code);
    case SQLITE_CANTOPEN:
        return system_err(sqlite3_system_errno(store->db));
    default:
        return -EIO;
    }
}

static int broken(struct enf_store *store, int err)
{
    if (store->in_transaction && !store->broken)
        store->broken = err;
    return err;
}

int enf_store_refused(struct enf_store *store, int err, const char *words)
{
    snprintf(store->message, sizeof(store->message), "%s: %s: %.160s", store->path,
             enf_store_fault_name(enf_store_fault(err)), words);
    return broken(store, err);
}

int enf_store_failed(struct enf_store *store, int code)
{
    if (store->why[0]) {
        memcpy(store->message, store->why, sizeof(store->message));
        return broken(store, code_err(store, code));
    }
    return enf_store_refused(store, code_err(store, code),
                             store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
}

/* --- running statements ------------------------------------------------------------------------------------
 */

int enf_store_row(struct enf_store *store, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    int err = 0;

    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        err = enf_store_failed(store, code);
    sqlite3_reset(statement);
    return err;
}

int enf_store_run(struct enf_store *store, sqlite3_stmt *statement)
{
    int more;

    do
        more = enf_store_row(store, statement);
    while (more > 0);
    return more;
}

int enf_store_number(struct enf_store *store, sqlite3_stmt *statement, uint64_t *out)
{
    int more = enf_store_row(store, statement);

    if (more <= 0)
        return more < 0 ? more : enf_store_refused(store, -EBADMSG, "a count gave no row");
    *out = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return 0;
}

int enf_store_execute(struct enf_store *store, const char *sql)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? 0 : enf_store_failed(store, code);
}

int enf_store_savepoint(struct enf_store *store)
{
    return enf_store_run(store, enf_store_statement(store, ENF_STATEMENT_SAVEPOINT));
}

int enf_store_savepoint_end(struct enf_store *store, int err)
{
    int end;

    /* a full disk may have rolled back everything already: then there is no savepoint any more */
    if (sqlite3_get_autocommit(store->db)) {
        store->counts_known = false;
        return err ? err : enf_store_refused(store, -EIO, "the transaction is gone");
    }
    if (err) {
        store->counts_known = false;
        sqlite3_step(enf_store_statement(store, ENF_STATEMENT_UNDO));
        sqlite3_reset(store->statements[ENF_STATEMENT_UNDO]);
    }
    end = enf_store_run(store, enf_store_statement(store, ENF_STATEMENT_RELEASE));
    if (end < 0) {
        store->counts_known = false;
        if (!store->in_transaction && !sqlite3_get_autocommit(store->db))
            sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return err ? err : end;
}

/* --- transactions ------------------------------------------------------------------------------------------
 */

static bool is_gone(const struct enf_store *store)
{
    return sqlite3_get_autocommit(store->db);
}

int enf_store_begin(struct enf_store *store)
{
    int err;

    if (store->in_transaction)
        return -EALREADY;
    if (store->in_batch && is_gone(store))
        return enf_store_refused(store, -EIO, "the batch is gone");
    err = enf_store_execute(store, store->in_batch ? "SAVEPOINT change" : "BEGIN IMMEDIATE");
    if (err)
        return err;
    store->in_transaction = true;
    store->broken = 0;
    return 0;
}

static void undo(struct enf_store *store, const char *sql)
{
    for (unsigned i = 0; i < ENF_STATEMENT_COUNT; i++)
        sqlite3_reset(store->statements[i]);
    /* What cannot be taken back alone takes the rest of the batch with it. */
    if (!is_gone(store) && sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK && !is_gone(store))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    store->counts_known = false;
}

void enf_store_rollback(struct enf_store *store)
{
    if (!store->in_transaction)
        return;
    undo(store, store->in_batch ? "ROLLBACK TO change; RELEASE change" : "ROLLBACK");
    store->in_transaction = false;
}

int enf_store_commit(struct enf_store *store)
{
    int err = store->broken;

    if (!store->in_transaction)
        return -EINVAL;
    if (!err && is_gone(store))
        err = enf_store_refused(store, -EIO, "the transaction is gone");
    if (!err)
        err = enf_store_execute(store, store->in_batch ? "RELEASE change" : "COMMIT");
    if (err) {
        enf_store_rollback(store);
        return err;
    }
    store->in_transaction = false;
    if (store->in_batch)
        store->batch_changes++;
    else
        store->counts.changes++;
    return 0;
}

int enf_store_batch_begin(struct enf_store *store)
{
    int err;

    if (store->in_batch || store->in_transaction)
        return -EALREADY;
    err = enf_store_execute(store, "BEGIN IMMEDIATE");
    if (err)
        return err;
    store->in_batch = true;
    store->batch_before = sqlite3_total_changes(store->db);
    store->batch_changes = 0;
    return 0;
}

int enf_store_batch_end(struct enf_store *store)
{
    int err = 0;

    if (!store->in_batch)
        return -EINVAL;
    enf_store_rollback(store);
    store->in_batch = false;
    if (is_gone(store))
        err = enf_store_refused(store, -EIO, "the batch is gone");
    else if (sqlite3_total_changes(store->db) != store->batch_before)
        err = enf_store_execute(store, "COMMIT");
    if (err || !is_gone(store)) /* nothing was written: there is nothing to wait for */
        undo(store, "ROLLBACK");
    if (!err)
        store->counts.changes += store->batch_changes;
    return err;
}

void enf_store_count(const struct enf_store *store, struct enf_store_counts *out)
{
    *out = store->counts;
}

int enf_store_verify(struct enf_store *store)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    char words[256] = "";
    int more;

    if (code != SQLITE_OK)
        return enf_store_failed(store, code);
    more = enf_store_row(store, statement);
    if (more > 0)
        enf_store_column_text(statement, 0, words, sizeof(words));
    sqlite3_finalize(statement);
    if (more < 0)
        return more;
    return strcmp(words, "ok") == 0 ? 0 : enf_store_refused(store, -EBADMSG, words);
}
