/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which folders and files change hands, and which never do. Needs root; skipped otherwise. */
#include "enforcer/daemon/folders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 128
#define UID      65533
#define GID      65532

struct bed {
    char dir[PATH_LEN];
};

static char *path(const struct bed *bed, const char *name)
{
    static char room[PATH_LEN * 2];

    snprintf(room, sizeof room, "%s/%s", bed->dir, name);
    return room;
}

static void make_file(const struct bed *bed, const char *name)
{
    int fd = open(path(bed, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static uid_t owner(const struct bed *bed, const char *name)
{
    struct stat st;

    assert_int_equal(lstat(path(bed, name), &st), 0);
    return st.st_uid;
}

static int give(const struct bed *bed, const char *name)
{
    char whole[PATH_LEN * 2];
    const struct enf_folder folder = {whole, 0750, {"state.db", "spool", "events.json"}};

    snprintf(whole, sizeof whole, "%s", path(bed, name));
    return enf_folder_give(&folder, UID, GID);
}

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);

    *state = bed;
    snprintf(bed->dir, sizeof bed->dir, "/tmp/enforcer-folders-XXXXXX");
    return mkdtemp(bed->dir) ? mkdir(path(bed, "d"), 0755) : -1;
}

static int teardown(void **state)
{
    struct bed *bed = *state;
    char command[PATH_LEN + 16];

    snprintf(command, sizeof command, "rm -rf %s", bed->dir);
    int err = system(command); // NOLINT(cert-env33-c): a folder of our own
    free(bed);
    return err;
}

static void test_made(void **state)
{
    struct stat st;

    assert_int_equal(give(*state, "new"), 0);
    assert_int_equal(stat(path(*state, "new"), &st), 0);
    assert_int_equal(st.st_uid, UID);
    assert_int_equal(st.st_gid, GID);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(give(*state, "new/deep/deeper"), -ENOENT);
}

static void test_ours_alone(void **state)
{
    struct stat st;

    make_file(*state, "d/state.db");
    make_file(*state, "d/state.db-wal");
    make_file(*state, "d/events.json.1.gz");
    mkdir(path(*state, "d/spool"), 0700);
    make_file(*state, "d/spool/abc.spool");
    assert_int_equal(give(*state, "d"), 0);
    static const char *const names[] = {"d",       "d/state.db",       "d/state.db-wal", "d/events.json.1.gz",
                                        "d/spool", "d/spool/abc.spool"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(owner(*state, names[i]), UID);
    assert_int_equal(stat(path(*state, "d"), &st), 0);
    assert_int_equal(st.st_gid, 0); /* who reads it by group goes on */
}

static void test_shared(void **state)
{
    make_file(*state, "d/state.db");
    make_file(*state, "d/state.db-wal");
    make_file(*state, "d/mail.log");
    assert_int_equal(give(*state, "d"), 1);
    assert_int_equal(owner(*state, "d"), 0);
    assert_int_equal(owner(*state, "d/mail.log"), 0);
    assert_int_equal(owner(*state, "d/state.db-wal"), 0);
    assert_int_equal(owner(*state, "d/state.db"), UID);
}

static void test_writable_by_all(void **state)
{
    assert_int_equal(chmod(path(*state, "d"), 01777), 0);
    assert_int_equal(give(*state, "d"), 1);
    assert_int_equal(owner(*state, "d"), 0);
}

/* What somebody who was in the daemon may have left for root to find. The targets are ours, so that a fault
 * here costs nothing. */
static void test_traps(void **state)
{
    char target[PATH_LEN * 2];

    make_file(*state, "linked");
    make_file(*state, "named-twice");
    assert_int_equal(mkdir(path(*state, "elsewhere"), 0755), 0);
    make_file(*state, "elsewhere/file");
    make_file(*state, "d/state.db");
    snprintf(target, sizeof target, "%s", path(*state, "linked"));
    assert_int_equal(symlink(target, path(*state, "d/state.db-wal")), 0);
    snprintf(target, sizeof target, "%s", path(*state, "named-twice"));
    assert_int_equal(link(target, path(*state, "d/state.db-shm")), 0);
    snprintf(target, sizeof target, "%s", path(*state, "elsewhere"));
    assert_int_equal(symlink(target, path(*state, "d/spool")), 0);
    assert_int_equal(mkfifo(path(*state, "d/events.json"), 0600), 0);
    assert_int_equal(give(*state, "d"), 0);
    static const char *const untouched[] = {"linked", "named-twice", "elsewhere", "elsewhere/file",
                                            "d/spool"};
    for (size_t i = 0; i < sizeof untouched / sizeof *untouched; i++)
        assert_int_equal(owner(*state, untouched[i]), 0);
    assert_int_equal(owner(*state, "d/state.db"), UID);
}

/* One level below, and no deeper. */
static void test_depth(void **state)
{
    mkdir(path(*state, "d/spool"), 0700);
    mkdir(path(*state, "d/spool/inner"), 0700);
    make_file(*state, "d/spool/inner/file");
    assert_int_equal(give(*state, "d"), 0);
    assert_int_equal(owner(*state, "d/spool"), UID);
    assert_int_equal(owner(*state, "d/spool/inner"), 0);
    assert_int_equal(owner(*state, "d/spool/inner/file"), 0);
}

static void test_no_folder(void **state)
{
    make_file(*state, "file");
    assert_int_equal(give(*state, "file"), -ENOTDIR);
    assert_int_equal(owner(*state, "file"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ours_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writable_by_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
    };

    if (geteuid() != 0) {
        printf("[  SKIPPED ] giving folders away: needs root\n");
        return 0;
    }
    umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
