/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The quarantine on disk. */
#include "enforcer/store/store.h"
#include "enforcer/store/store_private.h"

#include <errno.h>
#include <string.h>

static bool is_quarantine(const struct enf_quarantine *entry)
{
    return enf_prefix_is_valid(&entry->subscriber) && entry->level > ENF_LEVEL_NONE &&
           (unsigned)entry->level < ENF_LEVEL_COUNT && enf_store_is_time(entry->since_ms) &&
           enf_store_is_time(entry->until_ms) && entry->until_ms > entry->since_ms &&
           memchr(entry->reason, 0, sizeof(entry->reason)) && memchr(entry->actor, 0, sizeof(entry->actor)) &&
           memchr(entry->ticket, 0, sizeof(entry->ticket)) && memchr(entry->group, 0, sizeof(entry->group));
}

static void bind_key(sqlite3_stmt *statement, const struct enf_quarantine *entry)
{
    enf_store_bind_prefix(statement, 1, &entry->subscriber);
    sqlite3_bind_int(statement, 4, entry->net);
    sqlite3_bind_int(statement, 5, (int)entry->level);
    sqlite3_bind_int(statement, 6, entry->forced);
}

int enf_store_quarantine_put(struct enf_store *store, const struct enf_quarantine *entry)
{
    sqlite3_stmt *statement;

    if (!is_quarantine(entry))
        return enf_store_refused(store, -EINVAL, "no quarantine");
    statement = enf_store_statement(store, ENF_STATEMENT_QUARANTINE_PUT);
    bind_key(statement, entry);
    enf_store_bind_time(statement, 7, entry->since_ms);
    enf_store_bind_time(statement, 8, entry->until_ms);
    sqlite3_bind_int64(statement, 9, entry->convictions);
    enf_store_bind_text(statement, 10, entry->reason);
    enf_store_bind_text(statement, 11, entry->actor);
    enf_store_bind_text(statement, 12, entry->ticket);
    enf_store_bind_text(statement, 13, entry->group);
    return enf_store_run(store, statement);
}

int enf_store_quarantine_delete(struct enf_store *store, const struct enf_quarantine *entry)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_QUARANTINE_DELETE);

    bind_key(statement, entry);
    return enf_store_run(store, statement);
}

int enf_store_quarantine_clear(struct enf_store *store)
{
    return enf_store_run(store, enf_store_statement(store, ENF_STATEMENT_QUARANTINE_CLEAR));
}

static bool read_row(sqlite3_stmt *row, struct enf_quarantine *out)
{
    uint64_t net = 0;
    uint64_t level = 0;
    uint64_t forced = 0;
    uint64_t convictions = 0;

    if (!enf_store_column_prefix(row, 0, &out->subscriber) || !enf_store_column_number(row, 3, 1, &net) ||
        !enf_store_column_number(row, 4, ENF_LEVEL_COUNT - 1, &level) || level == ENF_LEVEL_NONE ||
        !enf_store_column_number(row, 5, 1, &forced) || !enf_store_column_time(row, 6, &out->since_ms) ||
        !enf_store_column_time(row, 7, &out->until_ms) || out->until_ms <= out->since_ms ||
        !enf_store_column_number(row, 8, UINT32_MAX, &convictions))
        return false;
    out->net = net;
    out->level = (enum enf_level)level;
    out->forced = forced;
    out->convictions = (uint32_t)convictions;
    enf_store_column_text(row, 9, out->reason, sizeof(out->reason));
    enf_store_column_text(row, 10, out->actor, sizeof(out->actor));
    enf_store_column_text(row, 11, out->ticket, sizeof(out->ticket));
    enf_store_column_text(row, 12, out->group, sizeof(out->group));
    return true;
}

int enf_store_quarantine_each(struct enf_store *store,
                              int (*fn)(void *ctx, const struct enf_quarantine *entry), void *ctx,
                              size_t *out_skipped)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_QUARANTINE_EACH);
    struct enf_quarantine entry;
    size_t skipped = 0;
    int more;
    int answer = 0;

    while (!answer && (more = enf_store_row(store, statement)) != 0) {
        if (more < 0)
            answer = more;
        else if (read_row(statement, &entry))
            answer = fn(ctx, &entry);
        else
            skipped++;
    }
    sqlite3_reset(statement);
    store->bad_rows += skipped;
    if (out_skipped)
        *out_skipped = skipped;
    return answer;
}
