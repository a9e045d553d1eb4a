/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All SQL of the store. Values go in by bound parameters only. */
#include "enforcer/store/store_private.h"

/* Without a rowid the quarantine lies on disk in the order of its key, which is how it is read at start. A
 * step that was released is never changed: files have it. */
static const char VERSION_1[] =
    "CREATE TABLE quarantine(family INTEGER NOT NULL, addr BLOB NOT NULL, len INTEGER NOT NULL,"
    " net INTEGER NOT NULL, level INTEGER NOT NULL, forced INTEGER NOT NULL,"
    " since INTEGER NOT NULL, until INTEGER NOT NULL, convictions INTEGER NOT NULL,"
    " reason TEXT NOT NULL, actor TEXT NOT NULL, ticket TEXT NOT NULL, grp TEXT NOT NULL,"
    " PRIMARY KEY(family, addr, len, net, level, forced)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE relay(family INTEGER NOT NULL, addr BLOB NOT NULL, len INTEGER NOT NULL,"
    " name TEXT NOT NULL, added INTEGER NOT NULL, actor TEXT NOT NULL,"
    " PRIMARY KEY(family, addr, len)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE setting(name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE audit(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL,"
    " method TEXT NOT NULL, detail TEXT NOT NULL, outcome TEXT NOT NULL) STRICT;"
    "CREATE TABLE history(id INTEGER PRIMARY KEY, family INTEGER NOT NULL, addr BLOB NOT NULL, len INTEGER "
    "NOT NULL,"
    " time INTEGER NOT NULL, action TEXT NOT NULL, level INTEGER NOT NULL, until INTEGER NOT NULL,"
    " reason TEXT NOT NULL, actor TEXT NOT NULL, ticket TEXT NOT NULL) STRICT;"
    "CREATE INDEX history_subscriber ON history(family, addr, len, time);"
    "CREATE INDEX history_time ON history(time);"
    "CREATE TABLE evidence(history INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, text TEXT NOT NULL) STRICT;";

/* Relays by hand have an owner, a reason and an end. */
static const char VERSION_2[] = "ALTER TABLE relay ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
                                "ALTER TABLE relay ADD COLUMN reason TEXT NOT NULL DEFAULT '';"
                                "ALTER TABLE relay ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;"
                                "ALTER TABLE relay ADD COLUMN lapsed INTEGER NOT NULL DEFAULT 0;";

const char *const enf_store_steps[ENF_STORE_VERSION] = {VERSION_1, VERSION_2};

_Static_assert(ENF_STATEMENT_COUNT == ENF_STATEMENT_UNDO + 1, "count of statements");
static const char *const STATEMENTS[ENF_STATEMENT_COUNT] = {
    [ENF_STATEMENT_QUARANTINE_PUT] = "INSERT OR REPLACE INTO quarantine VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [ENF_STATEMENT_QUARANTINE_DELETE] =
        "DELETE FROM quarantine WHERE family=? AND addr=? AND len=? AND net=? AND level=? AND forced=?",
    [ENF_STATEMENT_QUARANTINE_CLEAR] = "DELETE FROM quarantine",
    [ENF_STATEMENT_QUARANTINE_EACH] =
        "SELECT family, addr, len, net, level, forced, since, until, convictions,"
        " reason, actor, ticket, grp FROM quarantine ORDER BY family, addr, len",
    [ENF_STATEMENT_RELAY_COUNT] = "SELECT count(*) FROM relay WHERE NOT (family=? AND addr=? AND len=?)",
    [ENF_STATEMENT_RELAY_PUT] = "INSERT OR REPLACE INTO relay VALUES(?,?,?,?,?,?,?,?,?,?)",
    [ENF_STATEMENT_RELAY_DELETE] = "DELETE FROM relay WHERE family=? AND addr=? AND len=?",
    [ENF_STATEMENT_RELAY_EACH] =
        "SELECT family, addr, len, name, added, actor, owner, reason, expires, lapsed FROM relay"
        " ORDER BY family, addr, len",
    [ENF_STATEMENT_SETTING_COUNT] = "SELECT count(*) FROM setting WHERE name<>?",
    [ENF_STATEMENT_SETTING_SET] = "INSERT OR REPLACE INTO setting VALUES(?,?)",
    [ENF_STATEMENT_SETTING_GET] = "SELECT value FROM setting WHERE name=?",
    [ENF_STATEMENT_SETTING_DELETE] = "DELETE FROM setting WHERE name=?",
    [ENF_STATEMENT_AUDIT_ADD] = "INSERT INTO audit(time, actor, method, detail, outcome) VALUES(?,?,?,?,?)",
    [ENF_STATEMENT_AUDIT_PRUNE] = "DELETE FROM audit WHERE id<=?",
    [ENF_STATEMENT_AUDIT_READ] =
        "SELECT time, actor, method, detail, outcome FROM audit WHERE time>=? ORDER BY id DESC LIMIT ?",
    [ENF_STATEMENT_AUDIT_BEFORE] = "DELETE FROM audit WHERE time<?",
    [ENF_STATEMENT_HISTORY_COUNT] = "SELECT count(*) FROM history",
    [ENF_STATEMENT_HISTORY_ADD] =
        "INSERT INTO history(family, addr, len, time, action, level, until, reason, actor,"
        " ticket) VALUES(?,?,?,?,?,?,?,?,?,?)",
    [ENF_STATEMENT_HISTORY_BEYOND] = "SELECT id FROM history WHERE family=? AND addr=? AND len=?"
                                     " ORDER BY time DESC, id DESC LIMIT 1 OFFSET ?",
    [ENF_STATEMENT_HISTORY_OLDEST] = "SELECT id FROM history ORDER BY time, id LIMIT 1",
    [ENF_STATEMENT_HISTORY_BEFORE] = "SELECT id FROM history WHERE time<? ORDER BY time, id LIMIT 1",
    [ENF_STATEMENT_HISTORY_DELETE] = "DELETE FROM history WHERE id=?",
    [ENF_STATEMENT_HISTORY_INSIDE] =
        "SELECT id, time FROM history WHERE family=? AND addr BETWEEN ? AND ? AND len>=?"
        " ORDER BY time DESC, id DESC LIMIT ?",
    [ENF_STATEMENT_HISTORY_OF] = "SELECT id, time FROM history WHERE family=? AND addr=? AND len=?"
                                 " ORDER BY time DESC, id DESC LIMIT ?",
    [ENF_STATEMENT_HISTORY_LINE] =
        "SELECT family, addr, len, time, action, level, until, reason, actor, ticket, text"
        " FROM history LEFT JOIN evidence ON evidence.history = history.id WHERE id=?",
    [ENF_STATEMENT_HISTORY_SINCE] =
        "SELECT family, addr, len, time, action, level, until, reason, actor, ticket, ''"
        " FROM history WHERE time>=?1 AND (?2='' OR action=?2) ORDER BY time, id",
    [ENF_STATEMENT_HISTORY_NEWEST] =
        "SELECT family, addr, len, time, action, level, until, reason, actor, ticket, ''"
        " FROM history WHERE time>=? AND action<>'convicted' AND"
        " (substr(actor, 1, 5)<>'user:' OR action='expired')"
        " ORDER BY time DESC, id DESC LIMIT ?",
    [ENF_STATEMENT_EVIDENCE_COUNT] =
        "SELECT CAST(total(min(max(bytes, 0), 4194304)) AS INTEGER) FROM evidence",
    [ENF_STATEMENT_EVIDENCE_ADD] = "INSERT OR REPLACE INTO evidence VALUES(?,?,?)",
    [ENF_STATEMENT_EVIDENCE_DELETE] = "DELETE FROM evidence WHERE history=? RETURNING bytes",
    [ENF_STATEMENT_EVIDENCE_FIRST] = "SELECT min(history) FROM evidence",
    [ENF_STATEMENT_SAVEPOINT] = "SAVEPOINT step",
    [ENF_STATEMENT_RELEASE] = "RELEASE step",
    [ENF_STATEMENT_UNDO] = "ROLLBACK TO step",
};

int enf_store_prepare(struct enf_store *store)
{
    for (unsigned i = 0; i < ENF_STATEMENT_COUNT; i++) {
        int code = sqlite3_prepare_v3(store->db, STATEMENTS[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &store->statements[i], NULL);

        if (code != SQLITE_OK)
            return enf_store_failed(store, code);
    }
    return 0;
}

sqlite3_stmt *enf_store_statement(struct enf_store *store, enum enf_statement which)
{
    sqlite3_stmt *statement = store->statements[which];

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
}
