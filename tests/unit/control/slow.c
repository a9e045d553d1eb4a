/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests that take long: others are served between them, each client gets one after the other, and who does
 * not read gets no further one. */
#include "tests/unit/control/bed.h"

#define GREEDY 10

static int setup_patient(void **state)
{
    return setup_with(state, 60000);
}

static void read_slow(struct bed *bed)
{
    bed->stats.requests = (uint64_t)bed->slow;
}

static int slow_done(struct bed *bed)
{
    in_thread(bed, read_slow);
    return (int)bed->stats.requests;
}

static void test_others_between(void **state)
{
    struct bed *bed = *state;
    int greedy[GREEDY], before, done = 0;
    int fd = connect_to(bed);

    for (size_t i = 0; i < GREEDY; i++) {
        greedy[i] = connect_to(bed);
        for (int n = 0; n < 3; n++)
            request(greedy[i], n, "slow", "{}");
    }
    before = slow_done(bed);
    for (int n = 0; n < 10; n++) {
        request(fd, n, "echo", "{}");
        expect(fd, n, 0);
        done = slow_done(bed);
        /* The one that was under way, and perhaps one that began before the count was asked for. */
        assert_in_range(done, before, before + 2);
        before = done;
    }
    assert_in_range(done, 0, GREEDY); /* nobody reads: nobody gets a second one */
    for (size_t i = 0; i < GREEDY; i++)
        for (int n = 0; n < 3; n++)
            expect(greedy[i], n, 0);
    assert_int_equal(slow_done(bed), 3 * GREEDY);
    for (size_t i = 0; i < GREEDY; i++)
        close(greedy[i]);
    close(fd);
}

/* The kernel has taken the answer, the client has not: it is sent away as one that does not read. */
static void test_never_read(void **state)
{
    struct bed *bed = *state;
    int fd = connect_to(bed);
    struct pollfd gone = {.fd = fd};

    for (int n = 0; n < 5; n++)
        request(fd, n, "slow", "{}");
    for (int i = 0; i < 1000 && stats(bed).closed_slow == 0; i++)
        usleep(10000);
    assert_int_equal(bed->stats.closed_slow, 1);
    assert_int_equal(poll(&gone, 1, 10000), 1);
    assert_int_equal(slow_done(bed), 1);
    close(fd);
}

static void test_waiting_client_that_leaves(void **state)
{
    struct bed *bed = *state;
    int fds[GREEDY];

    for (size_t i = 0; i < GREEDY; i++) {
        fds[i] = connect_to(bed);
        request(fds[i], 1, "slow", "{}");
    }
    for (size_t i = 0; i < GREEDY; i += 2)
        close(fds[i]);
    for (size_t i = 1; i < GREEDY; i += 2) {
        shutdown(fds[i], SHUT_WR); /* it sends nothing more, and still gets its answer */
        expect(fds[i], 1, 0);
        expect_end(fds[i]);
    }
    wait_for_clients(bed, 0);
    others_are_served(bed);
}

/* Events are told while slow requests wait, and a subscriber may ask slow things. */
static void test_subscriber(void **state)
{
    struct bed *bed = *state;
    int fd = connect_to(bed), other = connect_to(bed);
    bool answered = false;
    int events = 0;

    request(other, 1, "slow", "{}");
    request(other, 2, "slow", "{}");
    request(fd, 1, "events.subscribe", "{}");
    expect(fd, 1, 0);
    request(fd, 2, "emit", "{\"n\":20}");
    request(fd, 3, "slow", "{}");
    while (!answered || events < 20) {
        json_t *json = read_line(fd);

        assert_non_null(json);
        answered = answered || json_integer_value(json_object_get(json, "id")) == 3;
        events += json_object_get(json, "method") != NULL;
        json_decref(json);
    }
    expect(other, 1, 0);
    expect(other, 2, 0);
    close(fd);
    close(other);
}

/* Events that a request makes reach a subscriber without another push. */
static void test_events_of_a_request(void **state)
{
    struct bed *bed = *state;
    int fds[3];

    for (size_t i = 0; i < 3; i++) {
        fds[i] = connect_to(bed);
        request(fds[i], 1, "events.subscribe", "{}");
        expect(fds[i], 1, 0);
    }
    for (size_t i = 0; i < 3; i++) {
        request(fds[i], 2, "emit", "{\"n\":1}");
        for (size_t j = 0; j < 3; j++) {
            json_t *json = read_line(fds[j]);

            if (json_object_get(json, "id")) { /* the answer may come first */
                json_decref(json);
                json = read_line(fds[j]);
            } else if (i == j) {
                expect(fds[j], 2, 0);
            }
            assert_int_equal(number(json, "params", "n"), i + 1);
            json_decref(json);
        }
    }
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_others_between, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_never_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_client_that_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscriber, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events_of_a_request, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
