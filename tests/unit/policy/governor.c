/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The governor: the window's boundary, one interface without the others, the cap on interfaces, resets. */
#include "enforcer/policy/governor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OPEN ENF_GOVERNOR_OPEN
#define TRIP ENF_GOVERNOR_TRIPPED_NOW
#define HELD ENF_GOVERNOR_TRIPPED

struct step {
    uint64_t at_ms;
    enum enf_governor_state state;
};

struct row {
    const char *name;
    uint32_t convictions;
    uint64_t per_ms;
    struct step steps[8]; /* state of a step without time ends them */
};

static const struct row ROWS[] = {
    {"at the limit", 3, 60000, {{1000, OPEN}, {2000, OPEN}, {3000, OPEN}}},
    {"one above", 3, 60000, {{1000, OPEN}, {2000, OPEN}, {3000, OPEN}, {4000, TRIP}, {5000, HELD}}},
    {"last moment of the window", 3, 60000, {{1000, OPEN}, {2000, OPEN}, {3000, OPEN}, {60999, TRIP}}},
    {"first moment after it",
     3,
     60000,
     {{1000, OPEN}, {2000, OPEN}, {3000, OPEN}, {61000, OPEN}, {61999, TRIP}}},
    {"slides",
     3,
     60000,
     {{1000, OPEN}, {50000, OPEN}, {50001, OPEN}, {61000, OPEN}, {110000, OPEN}, {110001, OPEN}}},
    {"all at once", 1, 1, {{7, OPEN}, {7, TRIP}, {7, HELD}}},
    {"stays tripped for good", 1, 1000, {{1000, OPEN}, {1001, TRIP}, {999999999, HELD}}},
    {"no limit", 0, 0, {{1, OPEN}, {1, OPEN}, {1, OPEN}, {1, OPEN}}},
    {"clock a little back stands still", 2, 1000, {{5000, OPEN}, {4500, OPEN}, {4600, TRIP}}},
    {"clock far back starts anew",
     2,
     1000,
     {{5000, OPEN}, {5000, OPEN}, {3999, OPEN}, {3999, OPEN}, {3999, TRIP}}},
};

static void test_window(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct enf_governor *governor = NULL;

        assert_int_equal(enf_governor_new(ROWS[i].convictions, ROWS[i].per_ms, 5, &governor), 0);
        for (size_t s = 0; s < 8 && ROWS[i].steps[s].at_ms; s++) {
            enum enf_governor_state got = enf_governor_conviction(governor, "eth1", ROWS[i].steps[s].at_ms);

            if (got != ROWS[i].steps[s].state)
                fail_msg("%s: step %zu gave %d", ROWS[i].name, s, (int)got);
            assert_int_equal(enf_governor_tripped(governor, "eth1"), got != OPEN);
        }
        enf_governor_free(&governor);
        assert_null(governor);
        enf_governor_free(&governor);
    }
}

struct trips {
    struct enf_governor_trip list[8];
    size_t len;
};

static int note(void *ctx, const struct enf_governor_trip *trip)
{
    struct trips *trips = ctx;

    trips->list[trips->len++] = *trip;
    return 0;
}

static void test_each_for_itself(void **state)
{
    struct enf_governor *governor = NULL;
    struct enf_governor *again = NULL;
    struct trips trips = {.len = 0};

    (void)state;
    assert_int_equal(enf_governor_new(1, 1000, 5, &governor), 0);
    assert_int_equal(enf_governor_conviction(governor, "eth1", 10), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "eth2", 11), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "", 12), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "eth1", 13), TRIP);
    assert_int_equal(enf_governor_conviction(governor, "eth1", 14), HELD);
    assert_false(enf_governor_tripped(governor, "eth2"));
    assert_false(enf_governor_tripped(governor, "eth9"));
    enf_governor_each(governor, note, &trips);
    assert_int_equal(trips.len, 1);
    assert_string_equal(trips.list[0].interface, "eth1");
    assert_int_equal(trips.list[0].since_ms, 13);
    assert_int_equal(trips.list[0].held, 2);
    assert_false(trips.list[0].shared);

    /* over a restart and over new limits it stays tripped */
    assert_int_equal(enf_governor_new(50, 60000, 6, &again), 0);
    enf_governor_restore(again, &trips.list[0]);
    assert_int_equal(enf_governor_configure(again, 100, 1000), 0);
    assert_int_equal(enf_governor_conviction(again, "eth1", 20), HELD);
    assert_int_equal(enf_governor_conviction(again, "eth2", 20), OPEN);

    assert_int_equal(enf_governor_reset(again, "eth2"), 0);
    assert_int_equal(enf_governor_reset(again, "eth1"), 1);
    assert_int_equal(enf_governor_conviction(again, "eth1", 21), OPEN);
    assert_int_equal(enf_governor_reset(governor, NULL), 1);
    assert_int_equal(enf_governor_conviction(governor, "eth1", 15), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "eth1", 16), TRIP);
    enf_governor_free(&governor);
    enf_governor_free(&again);
}

/* At the cap the idle make room; where nobody is idle the others share a counter. */
static void test_cap(void **state)
{
    struct enf_governor *governor = NULL;
    struct trips trips = {.len = 0};
    char name[16];

    (void)state;
    assert_int_equal(enf_governor_new(2, 1000, 5, &governor), 0);
    for (unsigned i = 0; i < ENF_GOVERNOR_INTERFACES_MAX; i++) {
        snprintf(name, sizeof(name), "ppp%u", i);
        assert_int_equal(enf_governor_conviction(governor, name, 100), OPEN);
    }
    assert_int_equal(enf_governor_conviction(governor, "new0", 200), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "new1", 300), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "new2", 400), TRIP);
    assert_true(enf_governor_tripped(governor, "new3"));
    assert_false(enf_governor_tripped(governor, "ppp7"));
    enf_governor_each(governor, note, &trips);
    assert_int_equal(trips.len, 1);
    assert_true(trips.list[0].shared);
    assert_int_equal(enf_governor_conviction(governor, "new4", 500), HELD);
    assert_int_equal(enf_governor_conviction(governor, "ppp7", 500), OPEN);
    /* one interval later all but ppp7 are idle: a new one gets a counter of its own */
    assert_int_equal(enf_governor_conviction(governor, "new5", 1100), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "new5", 1101), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "ppp7", 1102), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "ppp7", 1103), TRIP);
    assert_int_equal(enf_governor_conviction(governor, "new5", 1104), TRIP);
    assert_int_equal(enf_governor_reset(governor, NULL), 3);
    enf_governor_free(&governor);
}

static void test_many_in_a_window(void **state)
{
    struct enf_governor *governor = NULL;

    (void)state;
    assert_int_equal(enf_governor_new(ENF_GOVERNOR_CONVICTIONS_MAX + 1, 1000, 5, &governor), -EINVAL);
    assert_int_equal(enf_governor_new(5, 0, 5, &governor), -EINVAL);
    assert_int_equal(enf_governor_new(ENF_GOVERNOR_CONVICTIONS_MAX, 1000000, 5, &governor), 0);
    for (uint64_t i = 1; i <= ENF_GOVERNOR_CONVICTIONS_MAX; i++)
        assert_int_equal(enf_governor_conviction(governor, "eth1", i * 100), OPEN);
    assert_int_equal(enf_governor_conviction(governor, "eth1", 1000099), TRIP);
    enf_governor_reset(governor, NULL);
    for (uint64_t i = 1; i <= 3 * ENF_GOVERNOR_CONVICTIONS_MAX; i++)
        assert_int_equal(enf_governor_conviction(governor, "eth1", 2000000 + i * 100), OPEN);
    enf_governor_free(&governor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_each_for_itself),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_many_in_a_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
