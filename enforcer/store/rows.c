/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small tables: relays by hand, settings, the audit log. */
#include "enforcer/core/text.h"
#include "enforcer/store/store.h"
#include "enforcer/store/store_private.h"

#include <errno.h>
#include <string.h>

#define WORD_LEN 64 /* of actor, method and outcome in an audit line */

/* --- relays ------------------------------------------------------------------------------------------------
 */

int enf_store_relay_put(struct enf_store *store, const struct enf_store_relay *relay)
{
    sqlite3_stmt *statement;
    uint64_t others = 0;
    int err;

    if (!enf_prefix_is_valid(&relay->prefix) || !enf_store_is_time(relay->added_ms) ||
        !enf_store_is_time(relay->expires_ms) || !memchr(relay->name, 0, sizeof(relay->name)) ||
        !memchr(relay->actor, 0, sizeof(relay->actor)) || !memchr(relay->owner, 0, sizeof(relay->owner)) ||
        !memchr(relay->reason, 0, sizeof(relay->reason)))
        return enf_store_refused(store, -EINVAL, "no relay");
    statement = enf_store_statement(store, ENF_STATEMENT_RELAY_COUNT);
    enf_store_bind_prefix(statement, 1, &relay->prefix);
    err = enf_store_number(store, statement, &others);
    if (err)
        return err;
    if (others >= store->limits.relays)
        return enf_store_refused(store, -EDQUOT, "too many relays");
    statement = enf_store_statement(store, ENF_STATEMENT_RELAY_PUT);
    enf_store_bind_prefix(statement, 1, &relay->prefix);
    enf_store_bind_text(statement, 4, relay->name);
    enf_store_bind_time(statement, 5, relay->added_ms);
    enf_store_bind_text(statement, 6, relay->actor);
    enf_store_bind_text(statement, 7, relay->owner);
    enf_store_bind_text(statement, 8, relay->reason);
    enf_store_bind_time(statement, 9, relay->expires_ms);
    sqlite3_bind_int(statement, 10, relay->lapsed);
    return enf_store_run(store, statement);
}

int enf_store_relay_delete(struct enf_store *store, const struct enf_prefix *prefix)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_RELAY_DELETE);
    int err;

    enf_store_bind_prefix(statement, 1, prefix);
    err = enf_store_run(store, statement);
    return err ? err : sqlite3_changes(store->db) > 0;
}

int enf_store_relay_each(struct enf_store *store, int (*fn)(void *ctx, const struct enf_store_relay *relay),
                         void *ctx)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_RELAY_EACH);
    int more;
    int answer = 0;

    while (!answer && (more = enf_store_row(store, statement)) != 0) {
        struct enf_store_relay relay = {.added_ms = 0};
        uint64_t lapsed = 0;

        if (more < 0)
            return more;
        if (!enf_store_column_prefix(statement, 0, &relay.prefix) ||
            !enf_store_column_time(statement, 4, &relay.added_ms) ||
            !enf_store_column_time(statement, 8, &relay.expires_ms) ||
            !enf_store_column_number(statement, 9, 1, &lapsed)) {
            store->bad_rows++;
            continue;
        }
        enf_store_column_text(statement, 3, relay.name, sizeof(relay.name));
        enf_store_column_text(statement, 5, relay.actor, sizeof(relay.actor));
        enf_store_column_text(statement, 6, relay.owner, sizeof(relay.owner));
        enf_store_column_text(statement, 7, relay.reason, sizeof(relay.reason));
        relay.lapsed = lapsed == 1;
        answer = fn(ctx, &relay);
    }
    sqlite3_reset(statement);
    return answer;
}

/* --- settings ----------------------------------------------------------------------------------------------
 */

int enf_store_setting_set(struct enf_store *store, const char *name, const char *value)
{
    sqlite3_stmt *statement;
    uint64_t others = 0;
    int err;

    if (!*name || strlen(name) > ENF_STORE_KEY_MAX || strlen(value) > ENF_STORE_VALUE_MAX)
        return enf_store_refused(store, -EINVAL, "no setting");
    statement = enf_store_statement(store, ENF_STATEMENT_SETTING_COUNT);
    enf_store_bind_text(statement, 1, name);
    err = enf_store_number(store, statement, &others);
    if (err)
        return err;
    if (others >= store->limits.settings)
        return enf_store_refused(store, -EDQUOT, "too many settings");
    statement = enf_store_statement(store, ENF_STATEMENT_SETTING_SET);
    enf_store_bind_text(statement, 1, name);
    enf_store_bind_text(statement, 2, value);
    return enf_store_run(store, statement);
}

int enf_store_setting_get(struct enf_store *store, const char *name, char *value, size_t value_len)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_SETTING_GET);
    int more;

    enf_store_bind_text(statement, 1, name);
    more = enf_store_row(store, statement);
    if (more > 0)
        enf_store_column_text(statement, 0, value, value_len);
    sqlite3_reset(statement);
    return more;
}

int enf_store_setting_delete(struct enf_store *store, const char *name)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_SETTING_DELETE);

    enf_store_bind_text(statement, 1, name);
    return enf_store_run(store, statement);
}

/* --- audit -------------------------------------------------------------------------------------------------
 */

static int audit_prune(struct enf_store *store)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_AUDIT_PRUNE);
    sqlite3_int64 last = sqlite3_last_insert_rowid(store->db);

    /* numbers are given in order, so the newest so many lines are the highest so many numbers */
    if (last <= 0 || (uint64_t)last <= store->limits.audit_rows)
        return 0;
    sqlite3_bind_int64(statement, 1, last - (sqlite3_int64)store->limits.audit_rows);
    return enf_store_run(store, statement);
}

int enf_store_audit_add(struct enf_store *store, const struct enf_store_audit *line)
{
    char words[3][WORD_LEN];
    char detail[ENF_STORE_AUDIT_TEXT_MAX + 1];
    sqlite3_stmt *statement;
    int err;

    if (!enf_store_is_time(line->time_ms))
        return enf_store_refused(store, -EINVAL, "no audit line");
    err = enf_store_savepoint(store);
    if (err)
        return err;
    statement = enf_store_statement(store, ENF_STATEMENT_AUDIT_ADD);
    enf_store_bind_time(statement, 1, line->time_ms);
    enf_store_bind_text(statement, 2, enf_text_copy(words[0], WORD_LEN, line->actor ? line->actor : ""));
    enf_store_bind_text(statement, 3, enf_text_copy(words[1], WORD_LEN, line->method ? line->method : ""));
    enf_store_bind_text(statement, 4,
                        enf_text_copy(detail, sizeof(detail), line->detail ? line->detail : ""));
    enf_store_bind_text(statement, 5, enf_text_copy(words[2], WORD_LEN, line->outcome ? line->outcome : ""));
    err = enf_store_run(store, statement);
    sqlite3_clear_bindings(statement); /* the texts are ours and go now */
    if (!err)
        err = audit_prune(store);
    return enf_store_savepoint_end(store, err);
}

int enf_store_audit_prune(struct enf_store *store, uint64_t before_ms)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_AUDIT_BEFORE);

    sqlite3_bind_int64(statement, 1, before_ms < INT64_MAX ? (sqlite3_int64)before_ms : INT64_MAX);
    return enf_store_run(store, statement);
}

int enf_store_audit_read(struct enf_store *store, uint64_t since_ms, size_t limit,
                         int (*fn)(void *ctx, const struct enf_store_audit *line), void *ctx)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_AUDIT_READ);
    char words[3][WORD_LEN];
    char detail[ENF_STORE_AUDIT_TEXT_MAX + 1];
    int more;
    int answer = 0;

    sqlite3_bind_int64(statement, 1, since_ms < INT64_MAX ? (sqlite3_int64)since_ms : INT64_MAX);
    sqlite3_bind_int64(statement, 2, limit < INT64_MAX ? (sqlite3_int64)limit : INT64_MAX);
    while (!answer && (more = enf_store_row(store, statement)) != 0) {
        struct enf_store_audit line = {
            .actor = words[0], .method = words[1], .detail = detail, .outcome = words[2]};

        if (more < 0)
            return more;
        if (!enf_store_column_time(statement, 0, &line.time_ms)) {
            store->bad_rows++;
            continue;
        }
        enf_store_column_text(statement, 1, words[0], WORD_LEN);
        enf_store_column_text(statement, 2, words[1], WORD_LEN);
        enf_store_column_text(statement, 3, detail, sizeof(detail));
        enf_store_column_text(statement, 4, words[2], WORD_LEN);
        answer = fn(ctx, &line);
    }
    sqlite3_reset(statement);
    return answer;
}
