/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients, most of them badly behaved, on a real socket: the others must notice nothing. */
#include "tests/unit/control/bed.h"

static void test_answers_in_order(void **state)
{
    int fd = connect_to(*state);

    for (int i = 0; i < 1000; i++)
        request(fd, i, "echo", "{\"a\":1}");
    for (int i = 0; i < 1000; i++)
        expect(fd, i, 0);
    send_all(fd, "\n\nno json\n", 10);
    expect(fd, -1, ENF_CONTROL_PARSE);
    request(fd, 5, "echo", "{}"); /* the connection stays */
    expect(fd, 5, 0);
    close(fd);
}

static void test_half_closed_client_gets_its_answer(void **state)
{
    static const char line[] =
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"long\",\"params\":{\"len\":4000000}}";
    int fd = connect_to(*state);

    send_all(fd, line, sizeof(line) - 1); /* and no newline */
    shutdown(fd, SHUT_WR);
    expect(fd, 3, 0);
    expect_end(fd);
}

static void test_200_clients(void **state)
{
    struct bed *bed = *state;
    int fds[200];

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = connect_to(bed);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        request(fds[i], (int)i, "echo", "{}");
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        expect(fds[i], (int)i, 0);
    assert_int_equal(stats(bed).clients, 200);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    others_are_served(bed);
}

static void test_line_too_long(void **state)
{
    struct bed *bed = *state;
    char *line = malloc(2u << 20);
    int fd = connect_to(bed);

    memset(line, ' ', 2u << 20);
    line[ENF_CONTROL_LINE_MAX] = '\n';
    line[0] = '{';
    line[1] = '}';
    assert_true(send_all(fd, line, ENF_CONTROL_LINE_MAX + 1)); /* as long as allowed */
    expect(fd, -1, ENF_CONTROL_REQUEST);
    line[ENF_CONTROL_LINE_MAX] = ' ';
    line[(2u << 20) - 1] = '\n';
    assert_true(send_all(fd, line, 2u << 20));
    others_are_served(bed);
    expect(fd, -1, ENF_CONTROL_TOO_LARGE);
    expect_end(fd);
    assert_int_equal(stats(bed).closed_long, 1);
    free(line);
}

/* It sends for ever and is cut off; a sender that ignores being cut off is closed, not listened to. */
static void test_endless_line(void **state)
{
    struct bed *bed = *state;
    char chunk[1 << 16];
    size_t sent = 0;
    int fd = connect_to(bed);

    memset(chunk, 'x', sizeof(chunk));
    while (send_all(fd, chunk, sizeof(chunk)))
        sent += sizeof(chunk);
    assert_true(sent < (32u << 20));
    close(fd);
    others_are_served(bed);
}

static void test_client_that_never_reads(void **state)
{
    struct bed *bed = *state;
    static const char line[] =
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"long\",\"params\":{\"len\":200000}}\n";
    int fd = connect_to(bed);
    int fd2 = connect_to(bed);
    struct pollfd gone = {.fd = fd};

    for (int i = 0; i < 1000; i++)
        if (send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
    request(fd2, 1, "long", "{\"len\":7000000}"); /* one answer, never read */
    others_are_served(bed);
    assert_int_equal(poll(&gone, 1, 10000), 1); /* hung up */
    gone.fd = fd2;
    assert_int_equal(poll(&gone, 1, 10000), 1);
    assert_int_equal(stats(bed).closed_slow, 2);
    wait_for_clients(bed, 0);
    close(fd);
    close(fd2);
    others_are_served(bed);
}

static void test_client_that_goes_away(void **state)
{
    struct bed *bed = *state;

    for (int i = 0; i < 50; i++) {
        int fd = connect_to(bed);

        request(fd, 1, "long", "{\"len\":3000000}");
        if (i % 2) {
            char some[100];

            assert_true(recv(fd, some, sizeof(some), 0) > 0);
        }
        close(fd);
    }
    others_are_served(bed);
    wait_for_clients(bed, 0);
}

static void test_flood_leaves_turns_to_others(void **state)
{
    struct bed *bed = *state;
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n";
    const size_t lines = 20000;
    char *flood = malloc(lines * sizeof(line));
    int fd = connect_to(bed);

    for (size_t i = 0; i < lines; i++)
        memcpy(flood + i * (sizeof(line) - 1), line, sizeof(line) - 1);
    assert_true(send_all(fd, flood, lines * (sizeof(line) - 1)));
    others_are_served(bed);
    request(fd, 1, "echo", "{}");
    expect(fd, 1, 0);
    close(fd);
    free(flood);
}

static void test_idle_clients_stay(void **state)
{
    struct bed *bed = *state;
    int fd = connect_to(bed);

    sleep(3); /* more than stall and linger */
    request(fd, 1, "echo", "{}");
    expect(fd, 1, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_closed_client_gets_its_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_200_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endless_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_that_never_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_that_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood_leaves_turns_to_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_clients_stay, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
