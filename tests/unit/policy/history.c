/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conviction times: the boundary of memory and lease, the caps, what is forgotten. */
#include "enforcer/policy/history.h"
#include "enforcer/core/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DAY    86400000ULL
#define MEMORY (30 * DAY)

static struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out;

    assert_int_equal(enf_prefix_parse(text, &out), 0);
    return out;
}

struct row {
    const char *name;
    uint64_t times_ms[4]; /* 0 ends them */
    uint64_t keep_ms;
    uint64_t now_ms;
    uint32_t count;
};

static const struct row ROWS[] = {
    {"none", {0}, ENF_FOREVER, DAY, 0},
    {"one", {DAY}, ENF_FOREVER, DAY, 1},
    {"last moment of memory", {DAY}, ENF_FOREVER, DAY + MEMORY - 1, 1},
    {"first moment after it", {DAY}, ENF_FOREVER, DAY + MEMORY, 0},
    {"some within", {DAY, 2 * DAY, 3 * DAY}, ENF_FOREVER, 2 * DAY + MEMORY, 1},
    {"in disorder", {3 * DAY, DAY, 2 * DAY}, ENF_FOREVER, DAY + MEMORY, 2},
    {"last moment of the lease", {DAY, 2 * DAY}, DAY, 3 * DAY - 1, 1},
    {"first moment after it", {DAY, 2 * DAY}, DAY, 3 * DAY, 0},
    {"lease longer than memory", {DAY}, 2 * MEMORY, DAY + MEMORY, 0},
    {"clock set back", {9 * DAY, 8 * DAY}, ENF_FOREVER, DAY, 2},
};

static void test_count(void **state)
{
    struct enf_prefix subscriber = prefix("192.0.2.1");

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct enf_history *history = NULL;
        uint32_t count;

        assert_int_equal(enf_history_new(10, 3, &history), 0);
        for (size_t t = 0; t < 4 && ROWS[i].times_ms[t]; t++)
            assert_int_equal(enf_history_add(history, &subscriber, ROWS[i].times_ms[t], ROWS[i].keep_ms), 0);
        count = enf_history_count(history, &subscriber, ROWS[i].now_ms, MEMORY);
        if (count != ROWS[i].count)
            fail_msg("%s: %u", ROWS[i].name, count);
        /* pruning forgets exactly those that no longer count */
        assert_int_equal(enf_history_prune(history, ROWS[i].now_ms, MEMORY),
                         ROWS[i].times_ms[0] && !ROWS[i].count);
        enf_history_free(&history);
        assert_null(history);
        enf_history_free(&history);
    }
}

static void test_times_cap(void **state)
{
    struct enf_history *history = NULL;
    struct enf_prefix subscriber = prefix("2001:db8::/56");

    (void)state;
    assert_int_equal(enf_history_new(10, 3, &history), 0);
    for (uint64_t i = 1; i <= ENF_HISTORY_TIMES_MAX + 4; i++)
        assert_int_equal(enf_history_add(history, &subscriber, i * DAY, ENF_FOREVER), 0);
    assert_int_equal(enf_history_count(history, &subscriber, 20 * DAY, MEMORY), ENF_HISTORY_TIMES_MAX);
    assert_int_equal(enf_history_add(history, &subscriber, DAY, ENF_FOREVER),
                     0); /* older than all that are kept */
    assert_int_equal(enf_history_count(history, &subscriber, 20 * DAY, 16 * DAY), ENF_HISTORY_TIMES_MAX);
    assert_int_equal(enf_history_count(history, &subscriber, 20 * DAY, 3 * DAY), 3);
    enf_history_free(&history);
}

static void test_subscribers_cap(void **state)
{
    struct enf_history *history = NULL;
    struct enf_prefix a = prefix("192.0.2.1");
    struct enf_prefix b = prefix("192.0.2.2");
    struct enf_prefix c = prefix("192.0.2.3");
    struct enf_prefix bad = {.len = 4};

    (void)state;
    assert_int_equal(enf_history_new(0, 3, &history), -EINVAL);
    assert_int_equal(enf_history_new(ENF_HISTORY_SUBSCRIBERS_LIMIT + 1, 3, &history), -EINVAL);
    assert_int_equal(enf_history_new(2, 3, &history), 0);
    assert_int_equal(enf_history_add(history, &bad, DAY, ENF_FOREVER), -EINVAL);
    assert_int_equal(enf_history_add(history, &a, DAY, ENF_FOREVER), 0);
    assert_int_equal(enf_history_add(history, &b, DAY, ENF_FOREVER), 0);
    assert_int_equal(enf_history_add(history, &a, DAY, ENF_FOREVER), 0); /* b is now the one of longest ago */
    assert_int_equal(enf_history_add(history, &c, DAY, ENF_FOREVER), 0);
    assert_int_equal(enf_history_subscribers(history), 2);
    assert_int_equal(enf_history_count(history, &a, DAY, MEMORY), 2);
    assert_int_equal(enf_history_count(history, &b, DAY, MEMORY), 0);
    assert_int_equal(enf_history_count(history, &c, DAY, MEMORY), 1);
    enf_history_free(&history);
}

static void test_forget(void **state)
{
    static const char *const TEXTS[] = {"192.0.2.1", "192.0.2.2", "192.0.3.1", "2001:db8::/56",
                                        "2001:db8:0:100::/64"};
    struct enf_history *history = NULL;
    struct enf_prefix p;

    (void)state;
    assert_int_equal(enf_history_new(100000, 3, &history), 0);
    for (size_t i = 0; i < 5; i++) {
        p = prefix(TEXTS[i]);
        assert_int_equal(enf_history_add(history, &p, DAY, ENF_FOREVER), 0);
    }
    p = prefix("192.0.2.9");
    assert_int_equal(enf_history_forget(history, &p), 0);
    p = prefix("192.0.2.1");
    assert_int_equal(enf_history_forget(history, &p), 1);
    assert_int_equal(enf_history_forget(history, &p), 0);
    p = prefix("2001:db8::/64"); /* not the whole subscriber */
    assert_int_equal(enf_history_forget(history, &p), 0);
    p = prefix("2001:db8::/48");
    assert_int_equal(enf_history_forget(history, &p), 2);
    p = prefix("192.0.0.0/16");
    assert_int_equal(enf_history_forget(history, &p), 2);
    assert_int_equal(enf_history_subscribers(history), 0);
    enf_history_free(&history);
}

/* Many come and go: records are used again, the hash stays right after removals in its runs. */
static void test_churn(void **state)
{
    enum { SUBSCRIBERS = 5000 };
    struct enf_history *history = NULL;
    struct enf_prefix p = prefix("10.0.0.0");
    uint8_t counts[SUBSCRIBERS] = {0};
    uint32_t random = 1;

    (void)state;
    assert_int_equal(enf_history_new(SUBSCRIBERS, 3, &history), 0);
    for (unsigned i = 0; i < 60000; i++) {
        unsigned who;

        random = random * 1664525u + 1013904223u;
        who = (random >> 8) % SUBSCRIBERS;
        p.addr.bytes[2] = (uint8_t)(who >> 8);
        p.addr.bytes[3] = (uint8_t)who;
        assert_int_equal(enf_history_count(history, &p, DAY, MEMORY), counts[who]);
        if (random >> 31) {
            assert_int_equal(enf_history_forget(history, &p), counts[who] > 0);
            counts[who] = 0;
        } else {
            assert_int_equal(enf_history_add(history, &p, DAY, ENF_FOREVER), 0);
            counts[who] += counts[who] < ENF_HISTORY_TIMES_MAX;
        }
    }
    assert_true(enf_history_prune(history, DAY + MEMORY, MEMORY) > 1000);
    assert_int_equal(enf_history_subscribers(history), 0);
    enf_history_free(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count),           cmocka_unit_test(test_times_cap),
        cmocka_unit_test(test_subscribers_cap), cmocka_unit_test(test_forget),
        cmocka_unit_test(test_churn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
