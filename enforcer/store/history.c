/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The history on disk: adding within bounds, and reading it newest first. */
#include "enforcer/store/history.h"

#include "enforcer/core/array.h"
#include "enforcer/store/store_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EVIDENCE_LEFT_OUT "{\"left_out\":\"longer than is kept\"}"

static int counts_load(struct enf_store *store)
{
    int err;

    if (store->counts_known)
        return 0;
    err = enf_store_number(store, enf_store_statement(store, ENF_STATEMENT_HISTORY_COUNT),
                           &store->history_rows);
    if (!err)
        err = enf_store_number(store, enf_store_statement(store, ENF_STATEMENT_EVIDENCE_COUNT),
                               &store->evidence_bytes);
    store->counts_known = !err;
    return err;
}

/* --- deleting ----------------------------------------------------------------------------------------------
 */

static int evidence_delete(struct enf_store *store, sqlite3_int64 id)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_EVIDENCE_DELETE);
    uint64_t bytes = 0;
    int more;

    sqlite3_bind_int64(statement, 1, id);
    while ((more = enf_store_row(store, statement)) > 0)
        if (enf_store_column_number(statement, 0, store->evidence_bytes, &bytes))
            store->evidence_bytes -= bytes;
    return more;
}

static int line_delete(struct enf_store *store, sqlite3_int64 id)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_HISTORY_DELETE);
    int err;

    sqlite3_bind_int64(statement, 1, id);
    err = enf_store_run(store, statement);
    if (err)
        return err;
    if (sqlite3_changes(store->db) > 0 && store->history_rows)
        store->history_rows--;
    return evidence_delete(store, id);
}

/* Deletes the line that a query finds. 1, 0 when it finds none, or -errno. */
static int found_delete(struct enf_store *store, sqlite3_stmt *query)
{
    sqlite3_int64 id;
    int more = enf_store_row(store, query);

    if (more <= 0)
        return more;
    id = sqlite3_column_int64(query, 0);
    sqlite3_reset(query);
    more = line_delete(store, id);
    return more < 0 ? more : 1;
}

/* Lets go what the new line pushes out: first of its own subscriber, then the oldest of all. */
static int bounds_keep(struct enf_store *store, const struct enf_prefix *subscriber)
{
    int more;

    do {
        sqlite3_stmt *query = enf_store_statement(store, ENF_STATEMENT_HISTORY_BEYOND);

        enf_store_bind_prefix(query, 1, subscriber);
        sqlite3_bind_int64(query, 4, (sqlite3_int64)store->limits.history_per_subscriber);
        more = found_delete(store, query);
    } while (more > 0);
    while (more >= 0 && store->history_rows > store->limits.history_rows) {
        more = found_delete(store, enf_store_statement(store, ENF_STATEMENT_HISTORY_OLDEST));
        if (more == 0)
            store->history_rows = 0; /* the count was wrong; there is nothing */
    }
    while (more >= 0 && store->evidence_bytes > store->limits.evidence_bytes) {
        uint64_t id = 0;
        uint64_t before = store->evidence_bytes;

        more = enf_store_number(store, enf_store_statement(store, ENF_STATEMENT_EVIDENCE_FIRST), &id);
        if (more == 0)
            more = evidence_delete(store, (sqlite3_int64)id);
        if (store->evidence_bytes == before)
            break; /* rows that say nothing of their size: do not run in circles */
    }
    return more < 0 ? more : 0;
}

/* --- adding ------------------------------------------------------------------------------------------------
 */

static bool is_action(const char *action)
{
    size_t len = strlen(action);

    return len && len <= ENF_STORE_ACTION_MAX && strspn(action, "abcdefghijklmnopqrstuvwxyz-") == len;
}

static int line_insert(struct enf_store *store, const char *action, const struct enf_store_history *line)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_HISTORY_ADD);
    int err;

    enf_store_bind_prefix(statement, 1, &line->subscriber);
    enf_store_bind_time(statement, 4, line->time_ms);
    enf_store_bind_text(statement, 5, action);
    sqlite3_bind_int(statement, 6, (int)line->level);
    enf_store_bind_time(statement, 7, line->until_ms);
    enf_store_bind_text(statement, 8, line->reason);
    enf_store_bind_text(statement, 9, line->actor);
    enf_store_bind_text(statement, 10, line->ticket);
    err = enf_store_run(store, statement);
    sqlite3_clear_bindings(statement);
    if (!err)
        store->history_rows++;
    return err;
}

static int evidence_insert(struct enf_store *store, sqlite3_int64 id, const char *text)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_EVIDENCE_ADD);
    int err;

    if (strlen(text) > store->limits.evidence_text_bytes)
        text = EVIDENCE_LEFT_OUT;
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)strlen(text));
    enf_store_bind_text(statement, 3, text);
    err = enf_store_run(store, statement);
    sqlite3_clear_bindings(statement);
    if (!err)
        store->evidence_bytes += strlen(text);
    return err;
}

int enf_store_history_add(struct enf_store *store, const char *action, const struct enf_store_history *line)
{
    int err;

    if (!is_action(action) || !enf_prefix_is_valid(&line->subscriber) ||
        (unsigned)line->level >= ENF_LEVEL_COUNT || !enf_store_is_time(line->time_ms) ||
        !enf_store_is_time(line->until_ms))
        return enf_store_refused(store, -EINVAL, "no line of history");
    err = counts_load(store);
    if (!err)
        err = enf_store_savepoint(store);
    if (err)
        return err;
    err = line_insert(store, action, line);
    if (!err && line->evidence && line->evidence[0])
        err = evidence_insert(store, sqlite3_last_insert_rowid(store->db), line->evidence);
    if (!err)
        err = bounds_keep(store, &line->subscriber);
    return enf_store_savepoint_end(store, err);
}

int enf_store_history_prune(struct enf_store *store, uint64_t before_ms, size_t limit, size_t *out_deleted)
{
    size_t deleted = 0;
    int more = counts_load(store);

    if (!more)
        more = enf_store_savepoint(store);
    if (more)
        return more;
    do {
        sqlite3_stmt *query = enf_store_statement(store, ENF_STATEMENT_HISTORY_BEFORE);

        sqlite3_bind_int64(query, 1, before_ms < INT64_MAX ? (sqlite3_int64)before_ms : INT64_MAX);
        more = found_delete(store, query);
        deleted += more > 0;
    } while (more > 0 && (!limit || deleted < limit));
    more = enf_store_savepoint_end(store, more < 0 ? more : 0);
    if (!more && out_deleted)
        *out_deleted = deleted;
    return more;
}

/* --- reading -----------------------------------------------------------------------------------------------
 */

/* The storage behind the strings of one line. */
struct texts {
    char action[ENF_STORE_ACTION_MAX + 1];
    char reason[ENF_REASON_LEN];
    char actor[ENF_ACTOR_LEN];
    char ticket[ENF_TICKET_LEN];
    char *evidence;
    size_t evidence_len; /* of the buffer */
};

static bool line_read(sqlite3_stmt *row, struct texts *texts, struct enf_store_history *out)
{
    uint64_t level = 0;
    size_t evidence_len = (size_t)sqlite3_column_bytes(row, 10) + 1;

    if (!enf_store_column_prefix(row, 0, &out->subscriber) || !enf_store_column_time(row, 3, &out->time_ms) ||
        !enf_store_column_number(row, 5, ENF_LEVEL_COUNT - 1, &level) ||
        !enf_store_column_time(row, 6, &out->until_ms))
        return false;
    enf_store_column_text(row, 4, texts->action, sizeof(texts->action));
    if (!is_action(texts->action))
        return false;
    if (evidence_len > texts->evidence_len) {
        char *evidence = realloc(texts->evidence, evidence_len);

        if (!evidence)
            return false;
        texts->evidence = evidence;
        texts->evidence_len = evidence_len;
    }
    enf_store_column_text(row, 7, texts->reason, sizeof(texts->reason));
    enf_store_column_text(row, 8, texts->actor, sizeof(texts->actor));
    enf_store_column_text(row, 9, texts->ticket, sizeof(texts->ticket));
    enf_store_column_text(row, 10, texts->evidence, texts->evidence_len);
    out->level = (enum enf_level)level;
    out->action = texts->action;
    out->reason = texts->reason;
    out->actor = texts->actor;
    out->ticket = texts->ticket;
    out->evidence = texts->evidence;
    return true;
}

/* Gives fn the rows of a statement whose parameters are bound. */
static int lines_walk(struct enf_store *store, sqlite3_stmt *statement, enf_store_history_fn fn, void *ctx)
{
    struct texts texts = {.evidence = NULL};
    struct enf_store_history line;
    int more;
    int answer = 0;

    while (!answer && (more = enf_store_row(store, statement)) != 0) {
        if (more < 0)
            answer = more;
        else if (line_read(statement, &texts, &line))
            answer = fn(ctx, &line);
        else
            store->bad_rows++;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    free(texts.evidence);
    return answer;
}

int enf_store_history_since(struct enf_store *store, const char *action, uint64_t since_ms,
                            enf_store_history_fn fn, void *ctx)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_HISTORY_SINCE);

    sqlite3_bind_int64(statement, 1, since_ms < INT64_MAX ? (sqlite3_int64)since_ms : INT64_MAX);
    enf_store_bind_text(statement, 2, action);
    return lines_walk(store, statement, fn, ctx);
}

int enf_store_history_automatic(struct enf_store *store, uint64_t since_ms, size_t limit,
                                enf_store_history_fn fn, void *ctx)
{
    sqlite3_stmt *statement = enf_store_statement(store, ENF_STATEMENT_HISTORY_NEWEST);

    sqlite3_bind_int64(statement, 1, since_ms < INT64_MAX ? (sqlite3_int64)since_ms : INT64_MAX);
    sqlite3_bind_int64(statement, 2, limit < INT64_MAX ? (sqlite3_int64)limit : INT64_MAX);
    return lines_walk(store, statement, fn, ctx);
}

struct found {
    sqlite3_int64 id;
    sqlite3_int64 time;
};

struct page {
    struct found *items;
    size_t len;
    size_t cap;
};

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a;
    const struct found *y = b;

    if (x->time != y->time)
        return x->time > y->time ? -1 : 1;
    return x->id > y->id ? -1 : x->id < y->id;
}

static int page_collect(struct enf_store *store, sqlite3_stmt *query, struct page *page)
{
    int more;

    while ((more = enf_store_row(store, query)) > 0) {
        struct found *items = enf_array_grow(page->items, page->len, &page->cap, sizeof(*items));

        if (!items) {
            sqlite3_reset(query);
            return -ENOMEM;
        }
        page->items = items;
        page->items[page->len++] =
            (struct found){sqlite3_column_int64(query, 0), sqlite3_column_int64(query, 1)};
    }
    return more;
}

/* Keeps the newest limit of what was collected, so that a page never grows beyond twice that. */
static void page_cut(struct page *page, size_t limit)
{
    if (page->len)
        qsort(page->items, page->len, sizeof(page->items[0]), newest_first);
    if (page->len > limit)
        page->len = limit;
}

static int page_find(struct enf_store *store, const struct enf_prefix *prefix, size_t limit,
                     struct page *page)
{
    struct enf_range range = enf_prefix_range(prefix);
    sqlite3_stmt *query = enf_store_statement(store, ENF_STATEMENT_HISTORY_INSIDE);
    int err;

    sqlite3_bind_int(query, 1, prefix->addr.family);
    sqlite3_bind_blob(query, 2, range.first.bytes, enf_addr_len(&range.first), SQLITE_TRANSIENT);
    sqlite3_bind_blob(query, 3, range.last.bytes, enf_addr_len(&range.last), SQLITE_TRANSIENT);
    sqlite3_bind_int(query, 4, prefix->len);
    sqlite3_bind_int64(query, 5, (sqlite3_int64)limit);
    err = page_collect(store, query, page);
    for (unsigned len = 0; len < prefix->len && !err; len++) {
        struct enf_prefix outer = enf_prefix_make(&prefix->addr, (uint8_t)len);

        query = enf_store_statement(store, ENF_STATEMENT_HISTORY_OF);
        enf_store_bind_prefix(query, 1, &outer);
        sqlite3_bind_int64(query, 4, (sqlite3_int64)limit);
        err = page_collect(store, query, page);
        page_cut(page, limit);
    }
    page_cut(page, limit);
    return err;
}

int enf_store_history_read(struct enf_store *store, const struct enf_prefix *prefix, size_t limit,
                           enf_store_history_fn fn, void *ctx)
{
    struct texts texts = {.evidence = NULL};
    struct page page = {.items = NULL};
    struct enf_store_history line;
    int answer;

    if (!enf_prefix_is_valid(prefix))
        return enf_store_refused(store, -EINVAL, "no prefix");
    answer = page_find(store, prefix, limit < ENF_STORE_READ_MAX ? limit : ENF_STORE_READ_MAX, &page);
    for (size_t i = 0; i < page.len && !answer; i++) {
        sqlite3_stmt *query = enf_store_statement(store, ENF_STATEMENT_HISTORY_LINE);
        int more;

        sqlite3_bind_int64(query, 1, page.items[i].id);
        more = enf_store_row(store, query);
        if (more < 0)
            answer = more;
        else if (more > 0 && line_read(query, &texts, &line))
            answer = fn(ctx, &line);
        else
            store->bad_rows++;
        sqlite3_reset(query);
    }
    free(page.items);
    free(texts.evidence);
    return answer;
}
