/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of several clients that become lasting together: no answer before, the same answers after a
 * failure, and nobody waits who has nobody to share with. */
#include "tests/unit/control/bed.h"

/* In the server's thread, so that all are there when it looks. */
static void ask_all(struct bed *bed)
{
    for (size_t i = 0; i < bed->fds_len; i++) {
        char params[32];

        snprintf(params, sizeof(params), "{\"n\":%zu}", i);
        request(bed->fds[i], (int)i, "note", params);
    }
}

static void connect_all(struct bed *bed, size_t len)
{
    bed->fds_len = len;
    for (size_t i = 0; i < len; i++)
        bed->fds[i] = connect_to(bed);
    for (size_t i = 0; i < len; i++) { /* all are taken */
        request(bed->fds[i], 1, "echo", "{}");
        expect(bed->fds[i], 1, 0);
    }
}

static void close_all(struct bed *bed)
{
    for (size_t i = 0; i < bed->fds_len; i++)
        close(bed->fds[i]);
    others_are_served(bed);
}

/* All answers: true where they were all done in batches. Each was done once, and lasts. */
static bool all_noted(struct bed *bed)
{
    bool seen[ARRAY_LEN(bed->fds)] = {false};
    size_t batched = 0;

    for (size_t i = 0; i < bed->fds_len; i++) {
        json_t *json = read_line(bed->fds[i]);
        const json_t *result = json_object_get(json, "result");

        assert_int_equal(json_integer_value(json_object_get(json, "id")), i);
        assert_non_null(result);
        batched += json_is_true(json_object_get(result, "batched"));
        size_t at = (size_t)json_integer_value(json_object_get(result, "at"));
        assert_in_range(at, 1, bed->notes_len);
        assert_int_equal(bed->notes[at - 1], i); /* what was answered is what lasts */
        json_decref(json);
    }
    assert_int_equal(bed->notes_len, bed->fds_len);
    for (size_t i = 0; i < bed->notes_len; i++) {
        assert_false(seen[bed->notes[i]]);
        seen[bed->notes[i]] = true;
    }
    assert_false(bed->in_batch);
    assert_true(batched == 0 || batched == bed->fds_len);
    return batched > 0;
}

static void test_many_share(void **state)
{
    struct bed *bed = *state;
    uint64_t before;

    connect_all(bed, 100);
    before = stats(bed).requests;
    in_thread(bed, ask_all);
    assert_true(all_noted(bed));
    /* 64 at most, and a turn that takes long is broken off. */
    assert_in_range(bed->batches, 2, 50);
    assert_int_equal(stats(bed).requests, before + 100);
    close_all(bed);
}

static void test_refused_are_done_alone(void **state)
{
    struct bed *bed = *state;
    uint64_t before;

    connect_all(bed, 20);
    before = stats(bed).requests;
    bed->refuse = 1000;
    in_thread(bed, ask_all);
    assert_false(all_noted(bed));
    assert_in_range(bed->batches, 1, 10);
    assert_int_equal(stats(bed).requests, before + 20);
    close_all(bed);
}

static void test_none_is_begun(void **state)
{
    struct bed *bed = *state;

    bed->never_begin = true;
    connect_all(bed, 20);
    in_thread(bed, ask_all);
    assert_false(all_noted(bed));
    assert_int_equal(bed->batches, 0);
    close_all(bed);
}

static void test_alone_is_alone(void **state)
{
    struct bed *bed = *state;

    connect_all(bed, 3);
    for (int i = 0; i < 50; i++) {
        request(bed->fds[0], i, "note", "{\"n\":1}");
        expect(bed->fds[0], i, 0);
    }
    for (int i = 0; i < 50; i++)
        request(bed->fds[0], i, "note", "{\"n\":1}");
    for (int i = 0; i < 50; i++)
        expect(bed->fds[0], i, 0);
    assert_int_equal(bed->batches, 0);
    assert_int_equal(bed->notes_len, 100);
    close_all(bed);
}

/* A request that is not batched, or a refusal of rights, comes after what was done before. */
static void ask_mixed(struct bed *bed)
{
    for (size_t i = 0; i < bed->fds_len; i++)
        request(bed->fds[i], (int)i, i % 4 == 3 ? "change" : "note",
                i % 4 == 1   ? "{\"n\":999}"
                : i % 4 == 2 ? "{\"n\":2,\"alone\":1}"
                             : "{\"n\":1}");
    for (size_t i = 0; i < bed->fds_len; i++) /* and in order on each connection */
        request(bed->fds[i], 100, "note", "{\"n\":3}");
}

static void mixed(struct bed *bed)
{
    connect_all(bed, 20);
    in_thread(bed, ask_mixed);
    for (size_t i = 0; i < bed->fds_len; i++) {
        expect(bed->fds[i], (int)i, i % 4 == 1 ? ENF_CONTROL_NOT_FOUND : 0);
        expect(bed->fds[i], 100, 0);
    }
    assert_false(bed->in_batch);
    assert_int_equal(bed->notes_len, 10 + 20);
    close_all(bed);
}

static void test_mixed(void **state)
{
    struct bed *bed = *state;

    mixed(bed);
    assert_true(bed->batches > 0);
}

static void test_mixed_and_refused(void **state)
{
    struct bed *bed = *state;

    bed->refuse = 1000;
    mixed(bed);
    assert_true(bed->batches > 0);
}

/* Clients that are gone, or have asked without an id, are none of the others' business. */
static void ask_and_go(struct bed *bed)
{
    static const char silent[] = "{\"jsonrpc\":\"2.0\",\"method\":\"note\",\"params\":{\"n\":5}}\n";

    for (size_t i = 0; i < bed->fds_len; i++) {
        if (i % 3 == 2)
            assert_true(send_all(bed->fds[i], silent, sizeof(silent) - 1));
        else
            request(bed->fds[i], (int)i, "note", "{\"n\":4}");
        if (i % 3 == 1)
            shutdown(bed->fds[i], SHUT_WR);
        if (i % 6 == 0)
            close(bed->fds[i]);
    }
}

static void gone(struct bed *bed)
{
    connect_all(bed, 30);
    in_thread(bed, ask_and_go);
    for (size_t i = 0; i < bed->fds_len; i++) {
        if (i % 3 == 1) {
            expect(bed->fds[i], (int)i, 0);
            expect_end(bed->fds[i]);
        } else if (i % 3 == 2) {
            request(bed->fds[i], 8, "echo", "{}");
            expect(bed->fds[i], 8, 0);
            close(bed->fds[i]);
        } else if (i % 6 != 0) {
            expect(bed->fds[i], (int)i, 0);
            close(bed->fds[i]);
        }
    }
    wait_for_clients(bed, 0);
    assert_in_range(bed->notes_len, 25, 30);
    assert_false(bed->in_batch);
}

static void test_gone(void **state)
{
    gone(*state);
}

static void test_gone_and_refused(void **state)
{
    struct bed *bed = *state;

    bed->refuse = 1000;
    gone(bed);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_many_share), T(test_refused_are_done_alone), T(test_none_is_begun), T(test_alone_is_alone),
        T(test_mixed),      T(test_mixed_and_refused),      T(test_gone),          T(test_gone_and_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
