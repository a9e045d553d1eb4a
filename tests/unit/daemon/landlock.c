/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files by folder, each set of rules in a process of its own. Skipped where the kernel has no Landlock. */
#include "enforcer/daemon/landlock.h"

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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_LEN 128
#define UNKNOWN  99 /* the kernel has no Landlock */

struct bed {
    char dir[PATH_LEN];
};

static void path(const struct bed *bed, const char *name, char *out)
{
    snprintf(out, PATH_LEN, "%s/%s", bed->dir, name);
}

static void make_file(const struct bed *bed, const char *name)
{
    char file[PATH_LEN];

    path(bed, name, file);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);
    char name[PATH_LEN];

    *state = bed;
    snprintf(bed->dir, sizeof bed->dir, "/tmp/enforcer-landlock-XXXXXX");
    if (!mkdtemp(bed->dir))
        return -1;
    static const char *const folders[] = {"read", "write", "socket", "other"};
    for (size_t i = 0; i < 4; i++) {
        path(bed, folders[i], name);
        if (mkdir(name, 0700) < 0)
            return -1;
    }
    make_file(bed, "read/file");
    make_file(bed, "write/file");
    make_file(bed, "other/file");
    return 0;
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

/* 0 or the errno of what was tried. */
typedef int (*try_fn)(const struct bed *bed);

static int try_open(const struct bed *bed, const char *name, int flags)
{
    char file[PATH_LEN];

    path(bed, name, file);
    int fd = open(*name == '/' ? name : file, flags | O_CLOEXEC, 0600);
    return fd < 0 ? errno : 0;
}

static int read_read(const struct bed *bed)
{
    return try_open(bed, "read/file", O_RDONLY);
}

static int write_read(const struct bed *bed)
{
    return try_open(bed, "read/file", O_WRONLY);
}

static int make_read(const struct bed *bed)
{
    return try_open(bed, "read/new", O_WRONLY | O_CREAT);
}

static int write_write(const struct bed *bed)
{
    return try_open(bed, "write/file", O_RDWR | O_TRUNC);
}

static int make_write(const struct bed *bed)
{
    return try_open(bed, "write/new", O_WRONLY | O_CREAT);
}

static int move_write(const struct bed *bed)
{
    char from[PATH_LEN], to[PATH_LEN];

    path(bed, "write/file", from);
    path(bed, "write/aside", to);
    return rename(from, to) < 0 ? errno : 0;
}

static int folder_write(const struct bed *bed)
{
    char name[PATH_LEN];

    path(bed, "write/spool", name);
    return mkdir(name, 0700) < 0 ? errno : 0;
}

static int remove_read(const struct bed *bed)
{
    char name[PATH_LEN];

    path(bed, "read/file", name);
    return unlink(name) < 0 ? errno : 0;
}

static int read_other(const struct bed *bed)
{
    return try_open(bed, "other/file", O_RDONLY);
}

static int make_other(const struct bed *bed)
{
    return try_open(bed, "other/new", O_WRONLY | O_CREAT);
}

static int read_passwd(const struct bed *bed)
{
    return try_open(bed, "/etc/passwd", O_RDONLY);
}

static int write_null(const struct bed *bed)
{
    return try_open(bed, "/dev/null", O_RDWR | O_TRUNC);
}

static int read_zero(const struct bed *bed)
{
    return try_open(bed, "/dev/zero", O_RDONLY);
}

/* Its folder is not there: the parent stands for it, so that it can be made later. */
static int make_later(const struct bed *bed)
{
    char name[PATH_LEN];

    path(bed, "write/later", name);
    if (mkdir(name, 0700) < 0)
        return errno;
    return try_open(bed, "write/later/file", O_WRONLY | O_CREAT);
}

static int bind_in(const struct bed *bed, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/%.10s", bed->dir, name);
    return bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
}

static int bind_socket(const struct bed *bed)
{
    return bind_in(bed, "socket/s");
}

static int bind_write(const struct bed *bed)
{
    return bind_in(bed, "write/s");
}

static int outcome(const struct bed *bed, try_fn try, const char *write_name)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        char r[PATH_LEN], w[PATH_LEN], s[PATH_LEN];
        path(bed, "read", r);
        path(bed, write_name, w);
        path(bed, "socket", s);
        const struct enf_landlock_rule rules[] = {
            {r, ENF_LANDLOCK_READ},
            {w, ENF_LANDLOCK_WRITE},
            {s, ENF_LANDLOCK_SOCKET},
            {"/dev/null", ENF_LANDLOCK_DEVICE},
            {"/nowhere/at/all", ENF_LANDLOCK_WRITE},
            {"/not-there", ENF_LANDLOCK_WRITE}, /* must not open "/" */
            {"", ENF_LANDLOCK_READ},
        };
        int version = enf_landlock_apply(rules, sizeof rules / sizeof *rules);
        if (version == -ENOSYS || version == -EOPNOTSUPP || version == -ENOTSUP)
            _exit(UNKNOWN);
        _exit(version < 0 ? 98 : try(bed));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_table(void **state)
{
    static const struct row {
        const char *name;
        try_fn try;
        int expected;
    } rows[] = {
        {"read where it may read", read_read, 0},
        {"write where it may read", write_read, EACCES},
        {"make where it may read", make_read, EACCES},
        {"remove where it may read", remove_read, EACCES},
        {"write and truncate where it may write", write_write, 0},
        {"make where it may write", make_write, 0},
        {"make a folder where it may write", folder_write, 0},
        {"rename where it may write", move_write, 0},
        {"a socket where it may write", bind_write, EACCES},
        {"a socket where it may have one", bind_socket, 0},
        {"read elsewhere", read_other, EACCES},
        {"make elsewhere", make_other, EACCES},
        {"read /etc/passwd", read_passwd, EACCES},
        {"write /dev/null", write_null, 0},
        {"read another device", read_zero, EACCES},
    };
    int wrong = 0;

    if (outcome(*state, read_read, "write") == UNKNOWN)
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int found = outcome(*state, rows[i].try, "write");
        if (found != rows[i].expected) {
            print_error("%s: %s, expected %s\n", rows[i].name, strerror(found), strerror(rows[i].expected));
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_folder_that_comes_later(void **state)
{
    if (outcome(*state, read_read, "write/later") == UNKNOWN)
        skip();
    assert_int_equal(outcome(*state, make_later, "write/later"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_that_comes_later, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
