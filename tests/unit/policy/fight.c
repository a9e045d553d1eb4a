/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Repairs: when they are a fight, how they slow down, when it is over. */
#include "enforcer/policy/fight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_peace(void **state)
{
    struct enf_fight fight = {0};

    (void)state;
    /* Just too slow for a fight, for ever. */
    for (uint64_t now = 1000; now < 100000; now += ENF_FIGHT_WINDOW_MS / (ENF_FIGHT_REPAIRS - 1) + 1) {
        assert_int_equal(enf_fight_wait_ms(&fight, now), 0);
        assert_false(enf_fight_repaired(&fight, now, 100));
        assert_false(enf_fight_over(&fight, now));
    }
}

static void test_begins(void **state)
{
    struct enf_fight fight = {0};
    uint64_t step = ENF_FIGHT_WINDOW_MS / (ENF_FIGHT_REPAIRS - 1), now = 1000;

    (void)state;
    for (int i = 0; i < ENF_FIGHT_REPAIRS - 1; i++, now += step)
        assert_false(enf_fight_repaired(&fight, now, 10));
    assert_true(enf_fight_repaired(&fight, now, 10));
    assert_int_equal(fight.began_ms, 1000);
    assert_int_equal(fight.count, ENF_FIGHT_REPAIRS);
    assert_int_equal(enf_fight_wait_ms(&fight, now), ENF_FIGHT_FIRST_MS);
    assert_int_equal(enf_fight_wait_ms(&fight, now + ENF_FIGHT_FIRST_MS - 1), 1);
    assert_int_equal(enf_fight_wait_ms(&fight, now + ENF_FIGHT_FIRST_MS), 0);
}

/* Somebody takes the table away again at once, for as long as we look: how often is it put back? */
static void test_slows_down(void **state)
{
    struct enf_fight fight = {0};
    uint64_t now = 1000, busy = 0;
    size_t begun = 0, cost = 150;

    (void)state;
    while (now < 11000) {
        now += enf_fight_wait_ms(&fight, now) + cost;
        busy += cost;
        begun += enf_fight_repaired(&fight, now, cost);
        assert_false(enf_fight_over(&fight, now));
    }
    assert_int_equal(begun, 1);
    assert_in_range(busy, 1, 2500); /* a quarter of the time at most */
    assert_int_equal(enf_fight_wait_ms(&fight, now), ENF_FIGHT_MAX_MS);
}

/* A repair that takes long is paid for with a long rest. */
static void test_cost(void **state)
{
    struct enf_fight fight = {0};

    (void)state;
    for (int i = 0; i < ENF_FIGHT_REPAIRS; i++)
        enf_fight_repaired(&fight, 1000, 3000);
    assert_int_equal(enf_fight_wait_ms(&fight, 1000), 3000 * ENF_FIGHT_COST);
}

static void test_over(void **state)
{
    struct enf_fight fight = {0};

    (void)state;
    for (int i = 0; i < ENF_FIGHT_REPAIRS; i++)
        enf_fight_repaired(&fight, 1000, 10);
    assert_false(enf_fight_over(&fight, 1000 + ENF_FIGHT_QUIET_MS - 1));
    assert_true(enf_fight_over(&fight, 1000 + ENF_FIGHT_QUIET_MS));
    assert_false(enf_fight_over(&fight, 1000 + ENF_FIGHT_QUIET_MS));
    assert_int_equal(fight.count, ENF_FIGHT_REPAIRS);
    assert_int_equal(enf_fight_wait_ms(&fight, 1000 + ENF_FIGHT_QUIET_MS), 0);
    assert_false(enf_fight_repaired(&fight, 7000, 10)); /* the count of a new one begins with it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peace), cmocka_unit_test(test_begins), cmocka_unit_test(test_slows_down),
        cmocka_unit_test(test_cost),  cmocka_unit_test(test_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
