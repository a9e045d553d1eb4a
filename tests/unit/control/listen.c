/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket file: whose it is, and what is in the way. */
#include "tests/unit/control/bed.h"

static void test_mode_of_the_socket(void **state)
{
    const struct bed *bed = *state;
    struct stat st;

    assert_int_equal(stat(bed->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0666);
}

static void start_second(struct bed *bed)
{
    struct enf_control *first = bed->control;

    bed->control = NULL;
    start(bed);
    bed->control = first;
}

static void test_live_socket_is_left_alone(void **state)
{
    struct bed *bed = *state;

    in_thread(bed, start_second);
    assert_int_equal(bed->started, -EADDRINUSE);
    assert_non_null(strstr(bed->error, "another daemon answers"));
    others_are_served(bed);
}

static void test_stale_socket_is_replaced(void **state)
{
    struct bed *bed = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in_thread(bed, stop);
    memcpy(address.sun_path, bed->path, strlen(bed->path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    in_thread(bed, start);
    assert_int_equal(bed->started, 0);
    others_are_served(bed);
}

static void test_file_in_the_way(void **state)
{
    struct bed *bed = *state;
    FILE *f;

    in_thread(bed, stop);
    f = fopen(bed->path, "we");
    assert_non_null(f);
    fclose(f);
    in_thread(bed, start);
    assert_int_equal(bed->started, -EEXIST);
    assert_int_equal(unlink(bed->path), 0);
}

static void test_path_too_long(void **state)
{
    struct bed *bed = *state;
    char path[sizeof(bed->path)];

    in_thread(bed, stop);
    memcpy(path, bed->path, sizeof(path));
    memset(bed->path, 'x', sizeof(bed->path) - 1); /* more than fits into a socket's address */
    in_thread(bed, start);
    assert_int_equal(bed->started, -ENAMETOOLONG);
    memcpy(bed->path, path, sizeof(path));
}

static void test_socket_of_another_is_not_removed(void **state)
{
    struct bed *bed = *state;
    struct stat st;
    FILE *f;

    assert_int_equal(unlink(bed->path), 0);
    f = fopen(bed->path, "we");
    assert_non_null(f);
    fclose(f);
    in_thread(bed, stop);
    assert_int_equal(stat(bed->path, &st), 0);
    assert_int_equal(unlink(bed->path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mode_of_the_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_live_socket_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_socket_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_in_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_of_another_is_not_removed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
