/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may what, and how many places there are for whom. */
#include "tests/unit/control/bed.h"

#include <grp.h>
#include <pwd.h>

static void test_actor(void **state)
{
    int fd = connect_to(*state);
    json_t *json;

    request(fd, 1, "echo", "{}");
    json = read_line(fd);
    assert_int_equal(
        strncmp(json_string_value(json_object_get(json_object_get(json, "result"), "actor")), "user:", 5), 0);
    assert_true(json_is_true(json_object_get(json_object_get(json, "result"), "admin")));
    json_decref(json);
    close(fd);
}

static void test_cap_of_clients(void **state)
{
    struct bed *bed = *state;
    int fds[ENF_CONTROL_CLIENTS_MAX + 1];

    for (size_t i = 0; i <= ENF_CONTROL_CLIENTS_MAX; i++)
        fds[i] = connect_to(bed);
    expect(fds[ENF_CONTROL_CLIENTS_MAX], -1, ENF_CONTROL_LIMIT);
    expect_end(fds[ENF_CONTROL_CLIENTS_MAX]);
    request(fds[0], 1, "echo", "{}");
    expect(fds[0], 1, 0);
    assert_int_equal(stats(bed).refused_full, 1);
    for (size_t i = 0; i < ENF_CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
    others_are_served(bed);
}

static void test_cap_of_one_viewer(void **state)
{
    struct bed *bed = *state;
    int fds[ENF_CONTROL_UID_MAX + 1];

    be_viewer(bed);
    in_thread(bed, set_access);
    for (size_t i = 0; i <= ENF_CONTROL_UID_MAX; i++)
        fds[i] = connect_to(bed);
    expect(fds[ENF_CONTROL_UID_MAX], -1, ENF_CONTROL_LIMIT);
    expect_end(fds[ENF_CONTROL_UID_MAX]);
    request(fds[0], 1, "echo", "{}");
    expect(fds[0], 1, 0);
    for (size_t i = 0; i < ENF_CONTROL_UID_MAX; i++)
        close(fds[i]);
    others_are_served(bed);
}

/* This thread only: glibc's seteuid would change all. */
static void become(uid_t uid)
{
    assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
}

static void test_places_kept_for_admins(void **state)
{
    static const char *const names[] = {"61001", "61002", "61003", "61004"};
    enum { SHARED = ENF_CONTROL_CLIENTS_MAX - ENF_CONTROL_ADMIN_RESERVE };
    struct enf_control_principal viewers[ARRAY_LEN(names)];
    struct bed *bed = *state;
    int fds[SHARED + 1];

    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        viewers[i] = (struct enf_control_principal){names[i], false};
    bed->access = (struct enf_control_access){&bed->me, 1, viewers, ARRAY_LEN(viewers)};
    in_thread(bed, set_access);
    for (size_t i = 0; i <= SHARED; i++) {
        become((uid_t)(61001 + i % ARRAY_LEN(names)));
        fds[i] = connect_to(bed);
        become(0);
    }
    expect(fds[SHARED], -1, ENF_CONTROL_LIMIT);
    expect_end(fds[SHARED]);
    others_are_served(bed); /* root */
    for (size_t i = 0; i < SHARED; i++)
        close(fds[i]);
}

static void test_viewer_may_look(void **state)
{
    struct bed *bed = *state;
    int fd = connect_to(bed);

    be_viewer(bed);
    in_thread(bed, set_access); /* holds for those who are connected */
    request(fd, 1, "echo", "{}");
    expect(fd, 1, 0);
    request(fd, 2, "change", "{}");
    expect(fd, 2, ENF_CONTROL_DENIED);
    assert_int_equal(stats(bed).denied, 1);
    assert_int_equal(bed->denied, 1);
    assert_string_equal(bed->denied_method, "change");
    for (int i = 0; i < 100; i++) {
        request(fd, i, "change", "{}");
        expect(fd, i, ENF_CONTROL_DENIED);
    }
    assert_int_equal(stats(bed).denied, 101);
    assert_in_range(bed->denied, 2, 20); /* reports are limited */
    close(fd);
}

static void test_stranger_is_sent_away(void **state)
{
    struct bed *bed = *state;
    int known = connect_to(bed);
    int fd;

    request(known, 1, "echo", "{}"); /* it is accepted, not only in the backlog */
    expect(known, 1, 0);
    bed->access = (struct enf_control_access){0};
    in_thread(bed, set_access);
    expect(known, -1, ENF_CONTROL_DENIED);
    expect_end(known);
    fd = connect_to(bed);
    expect(fd, -1, ENF_CONTROL_DENIED);
    expect_end(fd);
    assert_int_equal(stats(bed).denied, 2);
    assert_string_equal(bed->denied_method, "(connect)");
    for (int i = 0; i < 500; i++) /* in a loop, never reading */
        close(connect_to(bed));
    for (int i = 0; i < 1000 && stats(bed).denied < 502; i++)
        usleep(10000); /* those in the backlog shall still be strangers */
    be_admin(bed);
    in_thread(bed, set_access);
    others_are_served(bed);
}

/* The same caller under all names it has, and some that it has not. */
static void test_names_and_groups(void **state)
{
    struct bed *bed = *state;
    const struct passwd *pwd = getpwuid(geteuid());
    const char *user = pwd ? pwd->pw_name : "";
    const struct group *grp = getgrgid(getegid());
    const char *group = grp ? grp->gr_name : "";
    char gid[16];
    const struct {
        const char *name;
        struct enf_control_principal principal;
        bool allowed;
    } rows[] = {
        {"user", {user, false}, user[0] != '\0'},
        {"group", {group, true}, group[0] != '\0'},
        {"group by number", {gid, true}, true},
        {"nobody has this name", {"no-such-user", false}, false},
        {"no such group", {"no-such-group", true}, false},
        {"another uid", {"4294967294", false}, false},
        {"not a number", {"0x0", false}, false},
        {"too large", {"4294967296", false}, false},
        {"empty", {"", false}, false},
    };

    snprintf(gid, sizeof(gid), "%u", (unsigned)getegid());
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *json;
        int fd;

        bed->access = (struct enf_control_access){NULL, 0, &rows[i].principal, 1};
        in_thread(bed, set_access);
        fd = connect_to(bed);
        request(fd, 1, "echo", "{}");
        json = read_line(fd);
        if (rows[i].allowed != !!json_object_get(json, "result"))
            fail_msg("%s", rows[i].name);
        json_decref(json);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_actor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_and_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cap_of_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cap_of_one_viewer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places_kept_for_admins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_viewer_may_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stranger_is_sent_away, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
