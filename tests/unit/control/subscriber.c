/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event stream: live, replayed, filtered, and too fast for its reader. */
#include "tests/unit/control/bed.h"

static void subscribe(int fd, const char *params, long long first, long long last)
{
    json_t *json;

    request(fd, 1, "events.subscribe", params);
    json = read_line(fd);
    assert_true(json_is_true(json_object_get(json_object_get(json, "result"), "subscribed")));
    assert_int_equal(number(json, "result", "first"), first);
    assert_int_equal(number(json, "result", "last"), last);
    json_decref(json);
}

static void expect_event(int fd, long long n)
{
    json_t *json = read_line(fd);

    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "method")), "event");
    assert_int_equal(number(json, "params", "n"), n);
    json_decref(json);
}

static void emit(int fd, int n)
{
    char params[32];

    snprintf(params, sizeof(params), "{\"n\":%d}", n);
    request(fd, 9, "emit", params);
    expect(fd, 9, 0);
}

static void test_subscribe(void **state)
{
    struct bed *bed = *state;
    int source = connect_to(bed);
    int live = connect_to(bed);
    int replay = connect_to(bed);
    int some = connect_to(bed);

    emit(source, 10);
    subscribe(live, "{}", 11, 10);
    subscribe(replay, "{\"since\":\"1h\"}", 1, 10);
    subscribe(some, "{\"since\":\"2026-03-01T12:00:00Z\",\"actions\":[\"started\"]}", 1, 10);
    emit(source, 500);
    for (int n = 1; n <= 510; n++) {
        if (n > 10)
            expect_event(live, n);
        expect_event(replay, n);
        if (n % 2 == 0)
            expect_event(some, n);
    }
    assert_int_equal(stats(bed).subscribers, 3);
    request(live, 2, "echo", "{}"); /* it may ask in between */
    expect(live, 2, 0);
    request(live, 2, "events.subscribe", "{}");
    expect(live, 2, ENF_CONTROL_REFUSED);
    close(live);
    close(replay);
    close(some);
    emit(source, 1);
    close(source);
    wait_for_clients(bed, 0);
    assert_int_equal(stats(bed).subscribers, 0);
}

static void test_subscribe_wrongly(void **state)
{
    static const char *const rows[] = {
        "{\"since\":\"soon\"}",
        "{\"actions\":[\"nothing\"]}",
        "{\"actions\":[]}",
        "{\"acts\":1}",
    };
    int fd = connect_to(*state);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        request(fd, (int)i, "events.subscribe", rows[i]);
        expect(fd, (int)i, ENF_CONTROL_PARAMS);
    }
    close(fd);
}

/* More than its socket and the ring hold: it gets what is left for it, then the loss, then the end. */
static void test_slow_subscriber(void **state)
{
    struct bed *bed = *state;
    int source = connect_to(bed);
    int slow = connect_to(bed);
    long long n = 0;
    json_t *json;

    subscribe(slow, "{}", 1, 0);
    for (int i = 0; i < 50; i++)
        emit(source, 100);
    while ((json = read_line(slow)) && json_object_get(json_object_get(json, "params"), "n")) {
        assert_int_equal(number(json, "params", "n"), ++n);
        json_decref(json);
    }
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "method")), "events.lost");
    assert_int_equal(number(json, "params", "next") - number(json, "params", "lost"), n + 1);
    json_decref(json);
    expect_end(slow);
    assert_int_equal(stats(bed).closed_slow, 1);
    assert_true(stats(bed).events_lost > 0);
    others_are_served(bed);
    close(source);
}

static void test_subscriber_that_never_reads(void **state)
{
    struct bed *bed = *state;
    int source = connect_to(bed);
    int slow = connect_to(bed);
    struct pollfd gone = {.fd = slow};

    request(slow, 1, "events.subscribe", "{}");
    for (int i = 0; i < 50; i++)
        emit(source, 100);
    assert_int_equal(poll(&gone, 1, 10000), 1);
    others_are_served(bed);
    close(slow);
    close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_subscribe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscribe_wrongly, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_subscriber, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscriber_that_never_reads, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
