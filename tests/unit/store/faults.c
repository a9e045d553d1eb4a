/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that are damaged, foreign or from the future, disks that are full or read-only: a clear word each,
 * and not a byte changed. */
#include "tests/unit/store/store_bed.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* Opening is refused, and the file is what it was. */
static void refused_untouched(struct bed *bed, int err, const char *words)
{
    size_t before_len;
    size_t after_len;
    char *before = bed_bytes(bed, &before_len);
    char *after;

    bed_refused(bed, err, words);
    after = bed_bytes(bed, &after_len);
    assert_int_equal(before_len, after_len);
    assert_memory_equal(before, after, before_len);
    free(before);
    free(after);
}

static void fill(struct bed *bed)
{
    struct enf_quarantine q = entry("10.0.0.0", 1);

    bed_open(bed);
    assert_int_equal(enf_store_begin(bed->store), 0);
    for (unsigned i = 0; i < 2000; i++) {
        q.subscriber.addr.bytes[2] = (uint8_t)(i >> 8);
        q.subscriber.addr.bytes[3] = (uint8_t)i;
        assert_int_equal(enf_store_quarantine_put(bed->store, &q), 0);
    }
    assert_int_equal(enf_store_commit(bed->store), 0);
    enf_store_close(&bed->store);
}

/* --- files -------------------------------------------------------------------------------------------------
 */

static void test_new_and_empty(void **state)
{
    struct bed *bed = *state;
    struct stat st;

    bed_write(bed->file, "", 0, 0); /* a crash before the first byte: nothing to lose */
    bed_open(bed);
    enf_store_close(&bed->store);
    assert_int_equal(unlink(bed->file), 0);
    bed_open(bed);
    assert_int_equal(stat(bed->file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_no_database(void **state)
{
    struct bed *bed = *state;

    bed_write(bed->file, "x", 1, 0);
    refused_untouched(bed, -EBADMSG, "corrupt");
    bed_write(bed->file, "SQLite format 3", 16, 0); /* cut within the header */
    refused_untouched(bed, -EBADMSG, "no SQLite file");
    for (unsigned i = 0; i < 100; i++)
        bed_write(bed->file, "text that is long enough to be a header, but is none. ", 54, (off_t)i * 54);
    refused_untouched(bed, -EBADMSG, "no SQLite file");
}

static void test_damaged_schema(void **state)
{
    struct bed *bed = *state;
    char junk[3000];

    fill(bed);
    memset(junk, 0x5a, sizeof(junk));
    bed_write(bed->file, junk, sizeof(junk), 100); /* behind the header: the list of tables */
    refused_untouched(bed, -EBADMSG, "corrupt");
}

/* Damage further in shows when it is read: an error, no crash, and what came before it was handed out. */
static void test_damaged_rows(void **state)
{
    struct bed *bed = *state;
    struct rows rows = {.len = 0};
    char junk[8192];

    fill(bed);
    memset(junk, 0x5a, sizeof(junk));
    for (off_t at = 4096; at <= 200L * 1024; at += 16384)
        bed_write(bed->file, junk, sizeof(junk), at);
    if (enf_store_open(bed->dir, &bed->store, NULL, 0) == 0) {
        assert_int_equal(enf_store_quarantine_each(bed->store, rows_note, &rows, NULL), -EBADMSG);
        assert_non_null(strstr(enf_store_message(bed->store), "corrupt"));
        assert_int_equal(enf_store_verify(bed->store), -EBADMSG);
    }
}

static void test_cut_file(void **state)
{
    struct bed *bed = *state;
    struct rows rows = {.len = 0};
    int err;

    fill(bed);
    assert_int_equal(truncate(bed->file, 40960), 0);
    err = enf_store_open(bed->dir, &bed->store, NULL, 0);
    if (!err)
        err = enf_store_quarantine_each(bed->store, rows_note, &rows, NULL);
    assert_int_equal(err, -EBADMSG);
}

/* Any byte of the file changed: opens or not, reads or not, but never crashes nor gives a row that makes no
 * sense. */
static int sane(void *ctx, const struct enf_quarantine *q)
{
    (void)ctx;
    assert_true(q->level > ENF_LEVEL_NONE && (unsigned)q->level < ENF_LEVEL_COUNT);
    assert_true(q->until_ms > q->since_ms);
    assert_true(q->subscriber.len <= enf_addr_bits(&q->subscriber.addr));
    return 0;
}

static void test_random_damage(void **state)
{
    struct bed *bed = *state;
    size_t len;
    char *bytes;
    uint32_t random = 7;

    fill(bed);
    bytes = bed_bytes(bed, &len);
    for (unsigned round = 0; round < 60; round++) {
        struct enf_store *store = NULL;

        for (unsigned i = 0; i < 20; i++) {
            unsigned char byte;
            size_t at;

            random = random * 1664525u + 1013904223u;
            at = i < 10 ? (random >> 8) % 8192 : (random >> 4) % len;
            byte = (unsigned char)(random >> 24);
            bed_write(bed->file, &byte, 1, (off_t)at);
        }
        if (enf_store_open(bed->dir, &store, NULL, 0) == 0) {
            enf_store_quarantine_each(store, sane, NULL, NULL);
            enf_store_verify(store);
        }
        enf_store_close(&store);
        unlink(bed->file);
        bed_write(bed->file, bytes, len, 0);
    }
    free(bytes);
}

static void test_from_the_future(void **state)
{
    struct bed *bed = *state;

    fill(bed);
    bed_sql(bed, "PRAGMA user_version=2");
    refused_untouched(bed, -EPROTONOSUPPORT, "version 2, this program knows version 1");
}

/* The same while the newer version is still in the log only, not in the file's header. */
static void test_from_the_future_in_the_log(void **state)
{
    struct bed *bed = *state;
    sqlite3 *db = NULL;

    fill(bed);
    assert_int_equal(sqlite3_open(bed->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=3", NULL, NULL, NULL), SQLITE_OK);
    refused_untouched(bed, -EPROTONOSUPPORT, "version 3");
    sqlite3_close(db);
}

static void test_of_somebody_else(void **state)
{
    struct bed *bed = *state;

    bed_sql(bed, "CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
    refused_untouched(bed, -EMEDIUMTYPE, "another program");
    unlink(bed->file);
    assert_int_equal(mkdir(bed->file, 0700), 0);
    bed_refused(bed, -EMEDIUMTYPE, "foreign");
    assert_int_equal(rmdir(bed->file), 0);
    assert_int_equal(mkfifo(bed->file, 0600), 0);
    bed_refused(bed, -EMEDIUMTYPE, "no regular file");
    unlink(bed->file);
    assert_int_equal(symlink("/dev/null", bed->file), 0);
    bed_refused(bed, -EMEDIUMTYPE, "foreign");
}

/* Our mark on it, but other tables; ours, but with something that would run by itself. */
static void test_tables_not_ours(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine q = entry("10.9.9.9", 1);

    fill(bed);
    bed_sql(bed, "CREATE TRIGGER t AFTER INSERT ON quarantine BEGIN DELETE FROM quarantine; END");
    bed_open(bed);
    assert_int_equal(enf_store_quarantine_put(bed->store, &q), 0);
    assert_int_equal(rows_of(bed).len, 2001); /* the trigger did not fire */
    enf_store_close(&bed->store);
    bed_sql(bed, "ALTER TABLE quarantine RENAME COLUMN until TO till");
    bed_refused(bed, -EBADMSG, "until");
}

static void test_no_directory(void **state)
{
    struct bed *bed = *state;
    struct enf_store *store = NULL;
    char long_name[600];

    assert_int_equal(rmdir(bed->dir), 0);
    bed_refused(bed, -ENOENT, "missing");
    assert_int_equal(mkdir(bed->dir, 0700), 0);
    memset(long_name, 'd', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(enf_store_open(long_name, &store, NULL, 0), -EINVAL);
    assert_null(store);
}

static void test_set_aside(void **state)
{
    struct bed *bed = *state;
    char path[256] = "";
    struct stat st;

    assert_int_equal(enf_store_set_aside(bed->dir, NOW, path, sizeof(path)), -ENOENT);
    fill(bed);
    assert_int_equal(enf_store_set_aside(bed->dir, NOW, path, sizeof(path)), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(stat(bed->file, &st), -1);
    fill(bed);
    assert_int_equal(enf_store_set_aside(bed->dir, NOW, path, sizeof(path)),
                     -EEXIST); /* never over another */
    bed_open(bed);
    assert_int_equal(rows_of(bed).len, 2000);
}

/* --- disks -------------------------------------------------------------------------------------------------
 */

/* As long as a limit of our own holds, so must what is there. */
static int fill_up(struct enf_store *store)
{
    struct enf_quarantine q = entry("10.0.0.0", 1);
    int err = 0;

    for (unsigned i = 0; i < 200000 && !err; i++) {
        if (i % 500 == 0)
            err = enf_store_begin(store);
        q.subscriber.addr.bytes[1] = (uint8_t)(i >> 16);
        q.subscriber.addr.bytes[2] = (uint8_t)(i >> 8);
        q.subscriber.addr.bytes[3] = (uint8_t)i;
        if (!err)
            err = enf_store_quarantine_put(store, &q);
        if (!err && i % 500 == 499)
            err = enf_store_commit(store);
    }
    enf_store_rollback(store);
    return err;
}

static void test_size_limit(void **state)
{
    struct bed *bed = *state;
    struct enf_store_limits limits = {.file_bytes = 500000};
    struct enf_store_history line = {.subscriber = prefix("10.0.0.1"), .time_ms = NOW};
    struct rows rows;
    int err = 0;

    bed_open(bed);
    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    assert_int_equal(fill_up(bed->store), -ENOSPC);
    assert_non_null(strstr(enf_store_message(bed->store), "full"));
    for (unsigned i = 0; i < 2000 && !err; i++)
        err = enf_store_history_add(bed->store, "convicted", &line);
    assert_int_equal(err, -ENOSPC);
    rows = rows_of(bed);
    assert_true(rows.len > 0 && rows.len % 500 == 0); /* whole transactions only */
    assert_int_equal(enf_store_verify(bed->store), 0);
    limits.file_bytes = 0; /* room again: it goes on */
    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    assert_int_equal(enf_store_history_add(bed->store, "convicted", &line), 0);
}

static void test_other_writer(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine q = entry("10.0.0.1", 1);
    sqlite3 *db = NULL;

    bed_open(bed);
    assert_int_equal(sqlite3_open(bed->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(enf_store_quarantine_put(bed->store, &q), -EBUSY);
    assert_non_null(strstr(enf_store_message(bed->store), "busy"));
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(enf_store_quarantine_put(bed->store, &q), 0);
}

/* Runs fn in a child with a file system of 1 MiB of its own on the directory. Its answer 0 is success. */
static void with_small_disk(struct bed *bed, int (*fn)(struct bed *bed))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", bed->dir, "tmpfs", 0, "size=1m") < 0)
            _exit(77);
        _exit(fn(bed));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("needs mount namespaces: skipped\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                          \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

static int full_disk(struct bed *bed)
{
    struct rows rows = {.len = 0};
    struct enf_store *store = NULL;
    int err;

    MUST(enf_store_open(bed->dir, &store, NULL, 0) == 0);
    err = fill_up(store);
    if (err != -ENOSPC)
        fprintf(stderr, "%d %s\n", err, enf_store_message(store));
    MUST(err == -ENOSPC);
    MUST(strstr(enf_store_message(store), "full"));
    MUST(enf_store_quarantine_each(store, rows_note, &rows, NULL) == 0); /* reading goes on */
    MUST(rows.len > 0 && rows.len % 500 == 0);
    enf_store_close(&store);
    MUST(enf_store_open(bed->dir, &store, NULL, 0) == 0);
    MUST(enf_store_verify(store) == 0);
    enf_store_close(&store);
    return 0;
}

static int read_only_disk(struct bed *bed)
{
    struct enf_store *store = NULL;
    char message[ENF_STORE_MESSAGE_LEN] = "";

    MUST(mount("none", bed->dir, "none", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    MUST(enf_store_open(bed->dir, &store, message, sizeof(message)) == -EROFS); /* nothing there yet */
    MUST(mount("none", bed->dir, "none", MS_REMOUNT, NULL) == 0);
    MUST(enf_store_open(bed->dir, &store, NULL, 0) == 0);
    enf_store_close(&store);
    MUST(mount("none", bed->dir, "none", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    MUST(enf_store_open(bed->dir, &store, message, sizeof(message)) == -EROFS);
    MUST(strstr(message, "read-only") && strstr(message, bed->file));
    return 0;
}

static void test_full_disk(void **state)
{
    with_small_disk(*state, full_disk);
}

static void test_read_only_disk(void **state)
{
    with_small_disk(*state, read_only_disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BARE(test_new_and_empty),    BARE(test_no_database),
        BARE(test_damaged_schema),   BARE(test_damaged_rows),
        BARE(test_cut_file),         BARE(test_random_damage),
        BARE(test_from_the_future),  BARE(test_from_the_future_in_the_log),
        BARE(test_of_somebody_else), BARE(test_tables_not_ours),
        BARE(test_no_directory),     BARE(test_set_aside),
        BARE(test_size_limit),       BARE(test_other_writer),
        BARE(test_full_disk),        BARE(test_read_only_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
