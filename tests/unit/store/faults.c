/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that fails at the n-th write, sync or truncation, for each n, under each change: an error that says
 * what, all or nothing on disk, and the store goes on when the disk does. */
#include "enforcer/store/history.h"
#include "enforcer/store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW       1000000000000u
#define CALLS_MAX 200
#define KINDS     4 /* of files: with locks, without … */

/* --- a VFS that is the real one but for its errors --- */

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    struct {
        sqlite3_io_methods patched;        /* first: a file points here */
        const sqlite3_io_methods *methods; /* the real ones */
    } tables[KINDS];
    unsigned calls;
    unsigned fail_at; /* 0: never */
    bool for_good;    /* every further one as well */
    int code;
} shim;

static const sqlite3_io_methods *real(const sqlite3_file *file)
{
    size_t i = 0;

    while (i < KINDS - 1 && file->pMethods != &shim.tables[i].patched)
        i++;
    return shim.tables[i].methods;
}

static bool fails(void)
{
    shim.calls++;
    if (!shim.fail_at || (shim.for_good ? shim.calls < shim.fail_at : shim.calls != shim.fail_at))
        return false;
    errno = shim.code == SQLITE_FULL ? ENOSPC : EIO; /* SQLite asks for it */
    return true;
}

static int shim_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    if (!fails())
        return real(file)->xWrite(file, data, len, at);
    if (len > 1) { /* half of it is there */
        int number = errno;
        real(file)->xWrite(file, data, len / 2, at);
        errno = number;
    }
    return shim.code;
}

static int shim_sync(sqlite3_file *file, int flags)
{
    return fails() ? (shim.code == SQLITE_FULL ? SQLITE_IOERR_FSYNC : shim.code)
                   : real(file)->xSync(file, flags);
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return fails() ? shim.code : real(file)->xTruncate(file, size);
}

static int shim_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    int code = shim.real->xOpen(shim.real, name, file, flags, out_flags);

    (void)vfs;
    if (code != SQLITE_OK || !file->pMethods)
        return code;
    size_t i = 0;
    while (i < KINDS - 1 && shim.tables[i].methods && shim.tables[i].methods != file->pMethods)
        i++;
    if (!shim.tables[i].methods) {
        shim.tables[i].methods = file->pMethods;
        shim.tables[i].patched = *file->pMethods;
        shim.tables[i].patched.xWrite = shim_write;
        shim.tables[i].patched.xSync = shim_sync;
        shim.tables[i].patched.xTruncate = shim_truncate;
    }
    assert_ptr_equal(file->pMethods, shim.tables[i].methods);
    file->pMethods = &shim.tables[i].patched;
    return code;
}

static void disk_fails(unsigned at, bool for_good, int code)
{
    shim.calls = 0;
    shim.fail_at = at;
    shim.for_good = for_good;
    shim.code = code;
}

/* --- the store --- */

struct bed {
    char dir[64];
    struct enf_store *store;
};

static struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out;

    assert_int_equal(enf_prefix_parse(text, &out), 0);
    return out;
}

static struct enf_quarantine entry(const char *text)
{
    struct enf_quarantine out = {.subscriber = prefix(text),
                                 .level = ENF_LEVEL_SMTP,
                                 .since_ms = NOW,
                                 .until_ms = NOW + 3600000,
                                 .reason = "why",
                                 .actor = "detector"};

    return out;
}

/* Each change is done to a store that has one row of everything. */
static int change_put(struct enf_store *store)
{
    struct enf_quarantine q = entry("10.0.0.2");

    return enf_store_quarantine_put(store, &q);
}

static int change_delete(struct enf_store *store)
{
    struct enf_quarantine q = entry("10.0.0.1");

    return enf_store_quarantine_delete(store, &q);
}

static int change_replace_all(struct enf_store *store)
{
    struct enf_quarantine q = entry("10.0.0.0");
    int err = enf_store_begin(store);

    if (!err)
        err = enf_store_quarantine_clear(store);
    for (unsigned i = 0; i < 300 && !err; i++) { /* many pages */
        q.subscriber.addr.bytes[3] = (uint8_t)i;
        q.subscriber.addr.bytes[2] = (uint8_t)(i >> 8);
        memset(q.reason, 'x', sizeof(q.reason) - 1);
        err = enf_store_quarantine_put(store, &q);
    }
    if (err) {
        enf_store_rollback(store);
        return err;
    }
    return enf_store_commit(store);
}

static int change_relay_put(struct enf_store *store)
{
    struct enf_store_relay relay = {.prefix = prefix("192.0.2.2"), .name = "b", .added_ms = NOW};

    return enf_store_relay_put(store, &relay);
}

static int change_relay_delete(struct enf_store *store)
{
    struct enf_prefix relay = prefix("192.0.2.1");
    int rc = enf_store_relay_delete(store, &relay);

    return rc < 0 ? rc : 0;
}

static int change_setting_set(struct enf_store *store)
{
    return enf_store_setting_set(store, "mode", "enforce");
}

static int change_setting_delete(struct enf_store *store)
{
    return enf_store_setting_delete(store, "mode");
}

static int change_audit_add(struct enf_store *store)
{
    struct enf_store_audit line = {.time_ms = NOW + 1, .actor = "user:a", .method = "m", .outcome = "done"};

    return enf_store_audit_add(store, &line);
}

static int change_audit_prune(struct enf_store *store)
{
    return enf_store_audit_prune(store, NOW + 1);
}

static int change_history_add(struct enf_store *store)
{
    struct enf_store_history line = {
        .subscriber = prefix("10.0.0.1"), .time_ms = NOW + 1, .reason = "r", .evidence = "[1,2,3]"};

    return enf_store_history_add(store, "convicted", &line);
}

static int change_history_prune(struct enf_store *store)
{
    return enf_store_history_prune(store, NOW + 1, 0, NULL);
}

/* Several transactions, one wait for the disk. */
static int change_batch(struct enf_store *store)
{
    struct enf_quarantine a = entry("198.51.100.77"), b = entry("198.51.100.78");
    int err = enf_store_batch_begin(store);

    if (err)
        return err;
    err = enf_store_begin(store);
    if (!err)
        err = enf_store_quarantine_put(store, &a);
    if (!err)
        err = enf_store_commit(store);
    if (!err)
        err = change_history_add(store);
    if (!err)
        err = enf_store_begin(store);
    if (!err)
        err = enf_store_quarantine_put(store, &b);
    if (!err)
        err = enf_store_commit(store);
    int end = enf_store_batch_end(store);
    return end ? end : err;
}

static const struct {
    const char *name;
    int (*change)(struct enf_store *store);
} changes[] = {
    {"quarantine put", change_put},
    {"quarantine delete", change_delete},
    {"quarantine replaced", change_replace_all},
    {"relay put", change_relay_put},
    {"relay delete", change_relay_delete},
    {"setting set", change_setting_set},
    {"setting delete", change_setting_delete},
    {"audit add", change_audit_add},
    {"audit prune", change_audit_prune},
    {"history add", change_history_add},
    {"history prune", change_history_prune},
    {"batch", change_batch},
};

static int open_store(struct bed *bed)
{
    return enf_store_open(bed->dir, &bed->store, NULL, 0);
}

static void remove_all(struct bed *bed)
{
    static const char *const names[] = {"state.db", "state.db-wal", "state.db-shm"};
    char path[96];

    enf_store_close(&bed->store);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", bed->dir, names[i]);
        unlink(path);
    }
}

/* A store with one row of each kind. */
static void begin(struct bed *bed)
{
    struct enf_quarantine q = entry("10.0.0.1");
    struct enf_store_relay relay = {.prefix = prefix("192.0.2.1"), .name = "a", .added_ms = NOW};
    struct enf_store_audit audit = {.time_ms = NOW, .actor = "user:a", .method = "m", .outcome = "done"};
    struct enf_store_history line = {
        .subscriber = prefix("10.0.0.1"), .time_ms = NOW, .reason = "r", .evidence = "[]"};

    disk_fails(0, false, 0);
    remove_all(bed);
    assert_int_equal(open_store(bed), 0);
    assert_int_equal(enf_store_quarantine_put(bed->store, &q), 0);
    assert_int_equal(enf_store_relay_put(bed->store, &relay), 0);
    assert_int_equal(enf_store_setting_set(bed->store, "mode", "observe"), 0);
    assert_int_equal(enf_store_audit_add(bed->store, &audit), 0);
    assert_int_equal(enf_store_history_add(bed->store, "convicted", &line), 0);
}

/* All that is in it, in a word. */
struct digest {
    unsigned quarantines, reasons, relays, audit, lines, evidence;
    char mode[16];
};

static int count_quarantine(void *ctx, const struct enf_quarantine *q)
{
    struct digest *digest = ctx;

    digest->quarantines++;
    digest->reasons += (unsigned)strlen(q->reason);
    return 0;
}

static int count_relay(void *ctx, const struct enf_store_relay *relay)
{
    (void)relay;
    ((struct digest *)ctx)->relays++;
    return 0;
}

static int count_audit(void *ctx, const struct enf_store_audit *line)
{
    (void)line;
    ((struct digest *)ctx)->audit++;
    return 0;
}

static int count_line(void *ctx, const struct enf_store_history *line)
{
    struct digest *digest = ctx;

    digest->lines++;
    digest->evidence += (unsigned)strlen(line->evidence);
    return 0;
}

static struct digest look(struct enf_store *store)
{
    struct enf_prefix all = {.addr = {.family = ENF_FAMILY_V4}};
    struct digest digest;

    memset(&digest, 0, sizeof(digest)); /* it is compared byte by byte */
    assert_int_equal(enf_store_quarantine_each(store, count_quarantine, &digest, NULL), 0);
    assert_int_equal(enf_store_relay_each(store, count_relay, &digest), 0);
    assert_int_equal(enf_store_audit_read(store, 0, 100, count_audit, &digest), 0);
    assert_int_equal(enf_store_history_read(store, &all, 100, count_line, &digest), 0);
    assert_true(enf_store_setting_get(store, "mode", digest.mode, sizeof(digest.mode)) >= 0);
    return digest;
}

static void same(const char *name, unsigned n, const struct digest *a, const struct digest *b)
{
    if (memcmp(a, b, sizeof(*a)) != 0)
        fail_msg("%s, failure %u: %u/%u/%u/%u/%u/%u/%s against %u/%u/%u/%u/%u/%u/%s", name, n, a->quarantines,
                 a->reasons, a->relays, a->audit, a->lines, a->evidence, a->mode, b->quarantines, b->reasons,
                 b->relays, b->audit, b->lines, b->evidence, b->mode);
}

/* Fails the n-th call of one change; true where there was no n-th call. */
static bool fail_once(struct bed *bed, size_t which, unsigned n, bool for_good, int code)
{
    const char *name = changes[which].name;
    struct digest before, after, expected;

    begin(bed);
    before = look(bed->store);
    disk_fails(n, for_good, code);
    int err = changes[which].change(bed->store);
    bool beyond = shim.calls < n;
    if (err > 0 || (beyond && err))
        fail_msg("%s: %d without a failure", name, err);
    if (!beyond && !err && code == SQLITE_FULL)
        fail_msg("%s: failure %u of the disk was not noticed", name, n);
    if (err && (!enf_store_message(bed->store)[0] || enf_store_fault(err) == ENF_STORE_CORRUPT ||
                (enf_store_fault(err) != ENF_STORE_IO && enf_store_fault(err) != ENF_STORE_FULL)))
        fail_msg("%s, failure %u: %d, %s", name, n, err, enf_store_message(bed->store));
    /* The disk is well again: what was refused is not there, and can be done. */
    disk_fails(0, false, 0);
    after = look(bed->store);
    if (err) {
        same(name, n, &after, &before);
        err = changes[which].change(bed->store);
        if (err)
            fail_msg("%s, after failure %u: %d, %s", name, n, err, enf_store_message(bed->store));
    }
    after = look(bed->store);
    enf_store_close(&bed->store);
    assert_int_equal(open_store(bed), 0);
    expected = look(bed->store);
    same(name, n, &after, &expected);
    assert_int_equal(enf_store_verify(bed->store), 0);
    return beyond;
}

static void each(struct bed *bed, bool for_good, int code)
{
    for (size_t which = 0; which < sizeof(changes) / sizeof(changes[0]); which++) {
        unsigned n = 1;

        while (n < CALLS_MAX && !fail_once(bed, which, n, for_good, code))
            n++;
        assert_in_range(n, 2, CALLS_MAX - 1); /* each change has something that can fail, and an end */
    }
}

static void test_full_for_good(void **state)
{
    each(*state, true, SQLITE_FULL);
}

static void test_full_once(void **state)
{
    each(*state, false, SQLITE_FULL);
}

static void test_bad_disk(void **state)
{
    each(*state, true, SQLITE_IOERR_WRITE);
}

/* Killed where the disk failed: a copy of the files, as they are then, opens with what was before or after.
 */
static void test_crash_in_the_middle(void **state)
{
    struct bed *bed = *state;
    struct bed copy = {.store = NULL};
    char command[256];

    snprintf(copy.dir, sizeof(copy.dir), "%s/copy", bed->dir);
    assert_int_equal(mkdir(copy.dir, 0700), 0);
    for (size_t which = 0; which < sizeof(changes) / sizeof(changes[0]); which++) {
        for (unsigned n = 1, more = 1; more; n++) {
            struct digest before, after, got;

            begin(bed);
            before = look(bed->store);
            disk_fails(n, true, SQLITE_IOERR_WRITE);
            int err = changes[which].change(bed->store);
            more = shim.calls >= n;
            remove_all(&copy);
            snprintf(command, sizeof(command), "cp %s/state.db %s/state.db-wal %s", bed->dir, bed->dir,
                     copy.dir);
            assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own folder */
            disk_fails(0, false, 0);
            if (err)
                assert_int_equal(changes[which].change(bed->store), 0);
            after = look(bed->store);
            assert_int_equal(open_store(&copy), 0);
            assert_int_equal(enf_store_verify(copy.store), 0);
            got = look(copy.store);
            if (memcmp(&got, &before, sizeof(got)) != 0)
                same(changes[which].name, n, &got, &after);
            if (!err)
                same(changes[which].name, n, &got, &after); /* it was answered */
        }
    }
    remove_all(&copy);
    rmdir(copy.dir);
}

/* The store for when there is none: it reads as empty and refuses every change with the reason. */
static void test_none(void **state)
{
    struct enf_store *store = NULL;
    struct digest digest, empty;

    (void)state;
    memset(&empty, 0, sizeof(empty));
    assert_int_equal(enf_store_open_none("/srv/state.db: future: version 99", &store), 0);
    digest = look(store);
    same("none", 0, &digest, &empty);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        int err = changes[i].change(store);

        if (err != -EROFS && strstr(changes[i].name, "history prune") == NULL)
            fail_msg("%s: %d", changes[i].name, err);
        assert_string_equal(enf_store_message(store), "/srv/state.db: future: version 99");
    }
    digest = look(store);
    same("none", 0, &digest, &empty);
    enf_store_close(&store);
}

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    /* In memory where there is such a place: thousands of syncs are waited for. */
    snprintf(bed->dir, sizeof(bed->dir), "/dev/shm/enf-faults-XXXXXX");
    if (!mkdtemp(bed->dir)) {
        snprintf(bed->dir, sizeof(bed->dir), "/tmp/enf-faults-XXXXXX");
        assert_non_null(mkdtemp(bed->dir));
    }
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;

    disk_fails(0, false, 0);
    remove_all(bed);
    rmdir(bed->dir);
    free(bed);
    return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_full_for_good), T(test_full_once), T(test_bad_disk), T(test_crash_in_the_middle), T(test_none),
    };

    shim.real = sqlite3_vfs_find(NULL);
    shim.vfs = *shim.real;
    shim.vfs.zName = "failing";
    shim.vfs.pNext = NULL;
    shim.vfs.xOpen = shim_open;
    sqlite3_vfs_register(&shim.vfs, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
