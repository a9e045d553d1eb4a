/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening the file: whose it is and of which version is known before a byte of it can change. */
#include "enforcer/core/text.h"
#include "enforcer/store/store.h"
#include "enforcer/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_LEN      100 /* of an SQLite file; numbers in it are big-endian */
#define AT_USER_VERSION 60
#define AT_APPLICATION  68
#define BUSY_WAIT_MS    2000
#define WAL_KEEP_BYTES  "67108864" /* what a checkpoint leaves of a WAL that a bulk change made large */
#define VALUE_MAX       (4 << 20)  /* no row of ours is larger; a hostile one is not read into memory */

static const struct enf_store_limits DEFAULTS = {
    .history_rows = 1000000,
    .history_per_subscriber = 1000,
    .evidence_bytes = 256u << 20,
    .evidence_text_bytes = 256u << 10,
    .relays = 4096,
    .settings = 256,
    .audit_rows = 100000,
};

/* --- the file, before SQLite sees it -----------------------------------------------------------------------
 */

static int open_err(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return -ENOENT;
    case EACCES:
    case EPERM:
        return -EACCES;
    case EROFS:
        return -EROFS;
    case ENOSPC:
    case EDQUOT:
        return -ENOSPC;
    case EISDIR:
    case ELOOP:
    case ENXIO:
        return -EMEDIUMTYPE;
    default:
        return -EIO;
    }
}

static uint32_t number_be(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int version_refused(struct enf_store *store, uint64_t version)
{
    char words[160];

    snprintf(words, sizeof(words),
             "the file has version %llu, this program knows version %d: use a newer program",
             (unsigned long long)version, ENF_STORE_VERSION);
    return enf_store_refused(store, -EPROTONOSUPPORT, words);
}

/* Reads the header by hand: SQLite itself would already replay a log or make files. A file of zero bytes is
 * one that was never finished. */
static int header_check(struct enf_store *store, int fd)
{
    unsigned char header[HEADER_LEN];
    struct stat st;
    ssize_t len;

    if (fstat(fd, &st) < 0)
        return enf_store_refused(store, -EIO, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return enf_store_refused(store, -EMEDIUMTYPE, "is no regular file");
    len = pread(fd, header, sizeof(header), 0);
    if (len < 0)
        return enf_store_refused(store, -EIO, strerror(errno));
    if (len == 0)
        return 0;
    if (len < HEADER_LEN || memcmp(header, "SQLite format 3", 16) != 0)
        return enf_store_refused(store, -EBADMSG, "is no SQLite file");
    if (number_be(header + AT_APPLICATION) == ENF_STORE_APPLICATION_ID &&
        number_be(header + AT_USER_VERSION) > ENF_STORE_VERSION)
        return version_refused(store, number_be(header + AT_USER_VERSION));
    return 0;
}

static int file_check(struct enf_store *store)
{
    int fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    int err;

    if (fd < 0)
        return enf_store_refused(store, open_err(errno), strerror(errno));
    err = header_check(store, fd);
    close(fd);
    return err;
}

/* --- the database ------------------------------------------------------------------------------------------
 */

/* What the file says about itself must not make SQLite run anything. */
static void connection_harden(struct enf_store *store)
{
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, BUSY_WAIT_MS);
    sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
    sqlite3_limit(store->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    /* until the file is known to be ours, not even its log is moved into it */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static int ask_number(struct enf_store *store, const char *sql, uint64_t *out)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    int err = code == SQLITE_OK ? enf_store_number(store, statement, out) : enf_store_failed(store, code);

    sqlite3_finalize(statement);
    return err;
}

/* *out_version: 0 where there is nothing in it yet. */
static int owner_check(struct enf_store *store, uint64_t *out_version)
{
    uint64_t application = 0;
    uint64_t version = 0;
    uint64_t tables = 0;
    int err = ask_number(store, "PRAGMA application_id", &application);

    if (!err)
        err = ask_number(store, "PRAGMA user_version", &version);
    if (!err)
        err = ask_number(store, "SELECT count(*) FROM sqlite_schema", &tables);
    if (err)
        return err;
    if (!application && !version && !tables) {
        *out_version = 0;
        return 0;
    }
    if (application != ENF_STORE_APPLICATION_ID)
        return enf_store_refused(store, -EMEDIUMTYPE, "is the database of another program");
    if (version > ENF_STORE_VERSION)
        return version_refused(store, version);
    if (!version)
        return enf_store_refused(store, -EBADMSG, "has no version");
    *out_version = version;
    return 0;
}

static int journal_set(struct enf_store *store)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, "PRAGMA journal_mode=WAL", -1, &statement, NULL);
    char mode[16] = "";
    int more;

    if (code != SQLITE_OK)
        return enf_store_failed(store, code);
    more = enf_store_row(store, statement);
    if (more > 0)
        enf_store_column_text(statement, 0, mode, sizeof(mode));
    sqlite3_finalize(statement);
    if (more < 0)
        return more;
    return strcmp(mode, "wal") == 0
               ? 0
               : enf_store_refused(store, -EIO, "its file system cannot keep a write-ahead log");
}

/* From version `from` to ours, whole or not at all: a program that is killed meanwhile leaves the old one. */
static int schema_make(struct enf_store *store, uint64_t from)
{
    char header[96];
    int err = enf_store_execute(store, "BEGIN IMMEDIATE");

    if (err)
        return err;
    snprintf(header, sizeof(header), "PRAGMA application_id=%d; PRAGMA user_version=%d",
             ENF_STORE_APPLICATION_ID, ENF_STORE_VERSION);
    for (; !err && from < ENF_STORE_VERSION; from++)
        err = enf_store_execute(store, enf_store_steps[from]);
    if (!err)
        err = enf_store_execute(store, header);
    if (!err)
        err = enf_store_execute(store, "COMMIT");
    if (err)
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

/* A file that cannot be written is noticed now, not at the first conviction. */
static int write_check(struct enf_store *store)
{
    int err;

    if (sqlite3_db_readonly(store->db, "main") == 1)
        return enf_store_refused(store, -EROFS, "can be read but not written");
    err = enf_store_execute(store, "BEGIN IMMEDIATE");
    if (!err)
        err = enf_store_execute(store, "ROLLBACK");
    return err;
}

static int on_commit(void *ctx)
{
    struct enf_store *store = ctx;

    store->counts.commits++;
    return 0;
}

static int database_open(struct enf_store *store)
{
    uint64_t version = 0;
    int code = sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int err;

    if (code != SQLITE_OK)
        return enf_store_failed(store, code);
    connection_harden(store);
    err = owner_check(store, &version);
    if (!err)
        err = journal_set(store);
    /* FULL: the disk has what was answered. The log stays small but for bulk changes. Temporary tables in
     * memory: outside of the state's folder no file can be made (docs/threat-model.md). */
    if (!err)
        err = enf_store_execute(store, "PRAGMA synchronous=FULL; PRAGMA cell_size_check=1;"
                                       "PRAGMA temp_store=MEMORY;"
                                       "PRAGMA journal_size_limit=" WAL_KEEP_BYTES);
    if (!err)
        err = version < ENF_STORE_VERSION ? schema_make(store, version) : write_check(store);
    if (!err)
        err = enf_store_prepare(store);
    if (!err)
        sqlite3_commit_hook(store->db, on_commit, store);
    if (!err)
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return err;
}

int enf_store_set_limits(struct enf_store *store, const struct enf_store_limits *limits)
{
    struct enf_store_limits all = *limits;
    uint64_t page_bytes = 0;
    char sql[64];
    int err;

    if (!all.history_rows)
        all.history_rows = DEFAULTS.history_rows;
    if (!all.history_per_subscriber)
        all.history_per_subscriber = DEFAULTS.history_per_subscriber;
    if (!all.evidence_bytes)
        all.evidence_bytes = DEFAULTS.evidence_bytes;
    if (!all.evidence_text_bytes)
        all.evidence_text_bytes = DEFAULTS.evidence_text_bytes;
    if (!all.relays)
        all.relays = DEFAULTS.relays;
    if (!all.settings)
        all.settings = DEFAULTS.settings;
    if (!all.audit_rows)
        all.audit_rows = DEFAULTS.audit_rows;
    err = ask_number(store, "PRAGMA page_size", &page_bytes);
    if (err || !page_bytes)
        return err ? err : -EIO;
    snprintf(sql, sizeof(sql), "PRAGMA max_page_count=%llu",
             all.file_bytes ? (unsigned long long)(all.file_bytes / page_bytes) + 1 : 4294967294ULL);
    err = enf_store_execute(store, sql);
    if (!err)
        store->limits = all;
    return err;
}

int enf_store_open(const char *directory, struct enf_store **out, char *message, size_t message_len)
{
    struct enf_store *store = calloc(1, sizeof(*store));
    int len;
    int err;

    if (!store) {
        if (message)
            snprintf(message, message_len, "%s/%s: no memory", directory, ENF_STORE_FILE);
        return -ENOMEM;
    }
    store->limits = DEFAULTS;
    len = snprintf(store->path, sizeof(store->path), "%s/%s", directory, ENF_STORE_FILE);
    if (len < 0 || (size_t)len >= sizeof(store->path) - sizeof("-journal"))
        err = enf_store_refused(store, -EINVAL, "the name is too long");
    else
        err = file_check(store);
    if (!err)
        err = database_open(store);
    if (err) {
        if (message)
            enf_text_copy(message, message_len, store->message);
        enf_store_close(&store);
        return err;
    }
    *out = store;
    return 0;
}

int enf_store_open_none(const char *why, struct enf_store **out)
{
    struct enf_store *store = calloc(1, sizeof(*store));
    int err = -ENOMEM;

    if (store && sqlite3_open_v2(":memory:", &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
                     SQLITE_OK) {
        store->limits = DEFAULTS;
        err = schema_make(store, 0);
        if (!err)
            err = enf_store_prepare(store);
        if (!err)
            err = enf_store_execute(store, "PRAGMA query_only=1");
    }
    if (err) {
        enf_store_close(&store);
        return -ENOMEM;
    }
    enf_text_copy(store->why, sizeof(store->why), why);
    *out = store;
    return 0;
}

void enf_store_close(struct enf_store **store)
{
    struct enf_store *s = *store;

    if (!s)
        return;
    enf_store_rollback(s);
    for (unsigned i = 0; i < ENF_STATEMENT_COUNT; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    free(s);
    *store = NULL;
}

/* --- out of the way ----------------------------------------------------------------------------------------
 */

static int move(const char *directory, const char *suffix, const char *stamp)
{
    char from[600];
    char to[700];

    snprintf(from, sizeof(from), "%s/%s%s", directory, ENF_STORE_FILE, suffix);
    snprintf(to, sizeof(to), "%s/%s.aside-%s%s", directory, ENF_STORE_FILE, stamp, suffix);
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int enf_store_set_aside(const char *directory, uint64_t now_ms, char *path, size_t path_len)
{
    char stamp[ENF_TIME_STR_LEN];
    int err;

    if (strlen(directory) > 500)
        return -EINVAL;
    enf_time_str(now_ms, stamp, sizeof(stamp));
    /* the log first: a new database must never find the old one's */
    err = move(directory, "-wal", stamp);
    if (err && err != -ENOENT)
        return err;
    err = move(directory, "-shm", stamp);
    if (err && err != -ENOENT)
        return err;
    err = move(directory, "", stamp);
    if (!err)
        snprintf(path, path_len, "%s/%s.aside-%s", directory, ENF_STORE_FILE, stamp);
    return err;
}
