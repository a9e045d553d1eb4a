/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens at the caps: who is forgotten, what memory is used, what silence gives back. */
#include "tests/unit/detect/feeding.h"

#include <stdio.h>

#define SERVER 0xc6336419u

static struct enf_detector_settings settings;

static int setup(void **state)
{
    (void)state;
    settings = enf_detector_defaults(ENF_POLICY_BLOCK);
    return 0;
}

static int feed(struct enf_detector *det, uint32_t source, uint64_t time_ms, uint32_t serial)
{
    struct enf_signal signal;
    struct enf_observation obs = observation(v4(source), v4(SERVER + serial), time_ms, serial);
    int rc = enf_detector_feed(det, &obs, &settings, &signal);
    assert_true(rc >= 0);
    return rc;
}

static struct enf_detector_stats stats_of(const struct enf_detector *det)
{
    struct enf_detector_stats stats;
    enf_detector_stats(det, &stats);
    return stats;
}

static bool is_known(struct enf_detector *det, uint32_t source)
{
    struct enf_detector_view view;
    struct enf_addr addr = v4(source);
    struct enf_prefix key = enf_prefix_host(&addr);
    return enf_detector_show(det, &key, &settings, 0, &view) == 0;
}

/* Ten guilty ones, ten that came twice, and a flood of forged sources a hundred times as large as the table.
 */
static void test_spoofed_flood(void **state)
{
    (void)state;
    enum { CAP = 1000, GUILTY = 0x0a000000, TWICE = 0x0a010000, FORGED = 0x0b000000 };
    struct enf_detector *det = new_detector(CAP);
    for (uint32_t i = 0; i < 10; i++) {
        for (uint32_t k = 0; k < 21; k++)
            feed(det, GUILTY + i, START + k, k);
        feed(det, TWICE + i, START, 0);
        feed(det, TWICE + i, START + 1, 1);
    }
    assert_int_equal(stats_of(det).convictions, 10);
    for (uint32_t i = 0; i < 100 * CAP; i++)
        feed(det, FORGED + i, START + 100 + i / 100, i);
    struct enf_detector_stats stats = stats_of(det);
    assert_int_equal(stats.subscribers, CAP);
    assert_int_equal(stats.evicted, 100 * CAP + 20 - CAP);
    assert_int_equal(stats.evicted_active, 0);
    for (uint32_t i = 0; i < 10; i++) {
        assert_true(is_known(det, GUILTY + i));
        assert_true(is_known(det, TWICE + i));
    }
    /* Who came once: the oldest went, the newest are there. */
    assert_false(is_known(det, FORGED));
    assert_false(is_known(det, FORGED + 99 * CAP));
    assert_true(is_known(det, FORGED + 100 * CAP - 1));
    assert_true(is_known(det, FORGED + 100 * CAP - (CAP - 20)));
    assert_false(is_known(det, FORGED + 100 * CAP - (CAP - 20) - 1));
    enf_detector_free(&det);
}

/* A flood in which each forged source comes twice pushes out those who came twice or three times, no others.
 */
static void test_flood_by_classes(void **state)
{
    (void)state;
    enum { CAP = 1000, OTHERS = 0x0a000000, FORGED = 0x0b000000 };
    struct enf_detector *det = new_detector(CAP);
    for (uint32_t n = 1; n <= 16; n++)
        for (uint32_t k = 0; k < n; k++)
            feed(det, OTHERS + n, START + k, k % 8);
    for (uint32_t i = 0; i < 10 * CAP; i++) {
        feed(det, FORGED + i, START + 100 + i / 100, 1);
        feed(det, FORGED + i, START + 100 + i / 100, 2);
    }
    for (uint32_t n = 1; n <= 16; n++)
        if (is_known(det, OTHERS + n) != (n >= 4))
            fail_msg("%u connections", n);
    enf_detector_free(&det);
}

/* Where all are alike, who came again lately stays. */
static void test_second_chance(void **state)
{
    (void)state;
    enum { CAP = 100, SOURCE = 0x0a000000 };
    struct enf_detector *det = new_detector(CAP);
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < CAP; i++)
            feed(det, SOURCE + i, START + k, k);
    /* The touches of the second round are used up by the first search, whoever goes then. */
    for (uint32_t i = 0; i < 20; i++) {
        feed(det, SOURCE + 50, START + 3, 2);
        feed(det, SOURCE + 0x10000 + i, START + 3, 1);
        feed(det, SOURCE + 0x10000 + i, START + 3, 2);
    }
    assert_true(is_known(det, SOURCE + 50));
    assert_int_equal(stats_of(det).subscribers, CAP);
    assert_int_equal(stats_of(det).evicted, 20);
    enf_detector_free(&det);
}

static void test_cap_of_one(void **state)
{
    (void)state;
    struct enf_detector *det = new_detector(1);
    for (uint32_t i = 0; i < 1000; i++)
        feed(det, 0x0a000000 + i % 3, START + i, i);
    assert_int_equal(stats_of(det).subscribers, 1);
    for (uint32_t i = 0; i < 21; i++)
        assert_int_equal(feed(det, 0x0a000009, START + 2000 + i, i), i == 15); /* a 16th destination */
    enf_detector_free(&det);
}

/* Bytes: the memory of those who come often is bounded too, and the guilty keep theirs longest. */
static void test_cap_of_bytes(void **state)
{
    (void)state;
    enum { SOURCES = 4000, GUILTY = 0x0a000000, BUSY = 0x0b000000 };
    struct enf_detector_params params = {.max_subscribers = 100000, .max_bytes = 1 << 20, .seed = 1};
    struct enf_detector *det = NULL;
    assert_int_equal(enf_detector_new(&params, &det), 0);
    size_t empty = stats_of(det).bytes;
    for (uint32_t k = 0; k < 21; k++)
        feed(det, GUILTY, START + k, k);
    size_t peak = 0;
    for (uint32_t k = 0; k < 15; k++)
        for (uint32_t i = 0; i < SOURCES; i++) {
            feed(det, BUSY + i, START + k, k);
            size_t bytes = stats_of(det).bytes;
            if (bytes > peak)
                peak = bytes;
        }
    struct enf_detector_stats stats = stats_of(det);
    /* Beside the cap: the slots themselves, and what one observation may add before others go. */
    assert_true(peak <= empty + (1 << 20) + 1024 * 128 * 5 + 8192);
    assert_true(stats.evicted > 0 && stats.subscribers < SOURCES);
    assert_true(is_known(det, GUILTY));
    assert_int_equal(stats.starved, 0);
    enf_detector_free(&det);
}

/* By default those who come often use what slots that were never needed would take. A flood of new ones takes
 * it back: at no time is it more than both together. */
static void test_slots_are_lent(void **state)
{
    (void)state;
    enum { CAP = 20000, OFTEN = 8000, BYTES = CAP * 32 + (16 << 20), SLACK = 64 << 10 };
    settings.connection_rate_len = 1;
    settings.connection_rate[0] = (struct enf_window){1000, HOUR};
    settings.distinct_destinations.count = 0;
    struct enf_detector *det = new_detector(CAP);
    size_t empty = stats_of(det).bytes;
    size_t peak = 0;
    for (uint32_t k = 0; k < 100; k++)
        for (uint32_t i = 0; i < OFTEN; i++) {
            feed(det, 0x0a000000 + i, START + k * SECOND, k);
            size_t bytes = stats_of(det).bytes;
            peak = bytes > peak ? bytes : peak;
        }
    assert_true(stats_of(det).evicted > 0);
    assert_true(peak > empty + BYTES + OFTEN * 128 + SLACK); /* more than without */
    for (uint32_t i = 0; i < 2 * CAP; i++) {
        feed(det, 0x0b000000 + i, START + 100 * SECOND, 0);
        size_t bytes = stats_of(det).bytes;
        peak = bytes > peak ? bytes : peak;
    }
    print_message("%zu KB of at most %d\n", peak / 1000, (BYTES + CAP * 128) / 1000);
    assert_true(peak <= empty + BYTES + CAP * 128 + 2 * 1024 * 128 + SLACK);
    assert_int_equal(stats_of(det).subscribers, CAP);
    enf_detector_free(&det);
}

static void test_silence(void **state)
{
    (void)state;
    enum { SOURCE = 0x0a000000 };
    settings.sequential.enabled = false; /* else it is a day, not an hour */
    struct enf_detector *det = new_detector(10000);
    size_t empty = stats_of(det).bytes;
    for (uint32_t i = 0; i < 1000; i++) {
        feed(det, SOURCE + i, START, 0);
        feed(det, SOURCE + i, START, 1);
    }
    for (uint32_t k = 0; k < 21; k++)
        feed(det, SOURCE + 5000, START, k);
    /* A millisecond too early, then in small bites. */
    assert_int_equal(enf_detector_forget_idle(det, START + HOUR - 1, 100000), 0);
    size_t forgotten = 0;
    for (int i = 0; i < 11; i++) {
        size_t n = enf_detector_forget_idle(det, START + HOUR, 100);
        assert_true(n <= 100);
        forgotten += n;
    }
    assert_int_equal(forgotten, 1000);
    /* The convicted one is still there with its evidence, and nothing else. */
    struct enf_detector_stats stats = stats_of(det);
    assert_int_equal(stats.subscribers, 1);
    assert_int_equal(stats.expired, 1000);
    assert_true(stats.bytes < empty + 1024 * 128 + 2048);
    struct enf_addr addr = v4(SOURCE + 5000);
    struct enf_prefix key = enf_prefix_host(&addr);
    struct enf_detector_view view;
    assert_int_equal(enf_detector_show(det, &key, &settings, START + HOUR, &view), 0);
    assert_int_equal(view.last.evidence_len, 16);
    assert_int_equal(view.connections, 21);
    assert_int_equal(enf_detector_forget_idle(det, START + ENF_CONVICTION_MEMORY_MS - 1, 5000), 0);
    assert_int_equal(enf_detector_forget_idle(det, START + ENF_CONVICTION_MEMORY_MS, 5000), 1);
    assert_int_equal(stats_of(det).subscribers, 0);
    /* Slots are used again. */
    for (uint32_t i = 0; i < 1000; i++)
        feed(det, SOURCE + i, START + 2 * HOUR, 7);
    assert_true(stats_of(det).bytes < empty + 1024 * 128 + 2048);
    enf_detector_free(&det);
}

/* Even without anybody calling forget_idle, a subscriber that comes back after silence starts with nothing.
 */
static void test_slow_subscriber_stays_small(void **state)
{
    (void)state;
    settings.sequential.enabled = false;
    struct enf_detector *det = new_detector(10);
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(feed(det, 0x0a000001, START + i * HOUR, i), 0);
    struct enf_detector_stats stats = stats_of(det);
    assert_int_equal(stats.observations, 100000);
    feed(det, 0x0a000001, START + 100000 * HOUR - 1, 5);
    assert_true(stats_of(det).bytes > stats.bytes);
    enf_detector_free(&det);
}

static void test_million(void **state)
{
    (void)state;
    enum { MILLION = 1000000 };
    struct enf_detector *det = new_detector(MILLION);
    for (uint32_t i = 0; i < MILLION; i++)
        feed(det, 0x64000000 + i * 3, START + i / 1000, i);
    struct enf_detector_stats stats = stats_of(det);
    assert_int_equal(stats.subscribers, MILLION);
    assert_int_equal(stats.evicted, 0);
    print_message("a million subscribers with one connection: %zu MB\n", stats.bytes / 1000000);
    assert_true(stats.bytes <= 200 * 1000 * 1000);
    for (uint32_t i = 0; i < MILLION; i += 997)
        assert_true(is_known(det, 0x64000000 + i * 3));
    assert_false(is_known(det, 0x64000001));
    /* One more, and the first one goes. */
    feed(det, 0x0a000001, START + 2000, 1);
    assert_false(is_known(det, 0x64000000));
    assert_true(is_known(det, 0x64000003));
    struct enf_prefix half = prefix("100.0.0.0/9");
    size_t gone = enf_detector_reset(det, &half);
    assert_int_equal(gone, MILLION - 1);
    /* All of them twice more: who has no room is forgotten, the bound holds. */
    for (uint32_t i = 0; i < 2 * MILLION; i++)
        feed(det, 0x64000000 + i % MILLION * 3, START + 3000 + i / 1000, i);
    stats = stats_of(det);
    print_message("all of them twice: %zu MB, %zu tracked\n", stats.bytes / 1000000, stats.subscribers);
    assert_true(stats.bytes <= 200 * 1000 * 1000);
    assert_true(stats.evicted > 1);
    enf_detector_free(&det);
}

/* Asking for memory ahead changes nothing, whoever is asked for. */
static void test_prefetch(void **state)
{
    (void)state;
    struct enf_detector *det = new_detector(100);
    struct enf_prefix prefixes[ENF_PREFETCH_MAX + 8];
    const struct enf_prefix *keys[ENF_PREFETCH_MAX + 8];
    for (uint32_t i = 0; i < ENF_PREFETCH_MAX + 8; i++) {
        struct enf_addr addr = v4(0x0a000000 + i);
        prefixes[i] = enf_prefix_host(&addr);
        keys[i] = &prefixes[i];
    }
    for (uint32_t round = 0; round < 300; round++) {
        enf_detector_prefetch(det, keys, round % (ENF_PREFETCH_MAX + 9));
        for (uint32_t i = 0; i < 5; i++) /* from none to many connections, and conviction */
            feed(det, 0x0a000000 + i * i, START + round * (i + 1) * SECOND,
                 round % (3 * i + 1) + 100 * round);
    }
    struct enf_detector_stats stats = stats_of(det);
    assert_int_equal(stats.subscribers, 5);
    assert_int_equal(stats.observations, 1500);
    assert_true(stats.convictions > 0);
    enf_detector_free(&det);
}

static void test_top(void **state)
{
    (void)state;
    struct enf_detector *det = new_detector(5000);
    static struct enf_detector_top rows[ENF_TOP_MAX + 1];
    settings.connection_rate_len = 0;
    assert_int_equal(enf_detector_top(det, ENF_TOP_CONNECTIONS, 10, rows), 0);
    /* Source i: i + 1 connections to i % 7 + 1 destinations. */
    uint32_t serial = 0;
    struct enf_signal signal;
    for (uint32_t i = 0; i < 60; i++)
        for (uint32_t k = 0; k <= (i * 37) % 60; k++) {
            struct enf_observation obs =
                observation(v4(0x0a000000 + i), v4(SERVER + k % (i % 7 + 1)), START + k, serial++);
            obs.blocked = k < 3;
            assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), 0);
        }
    assert_int_equal(enf_detector_top(det, ENF_TOP_CONNECTIONS, 10, rows), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(rows[i].connections, 60 - i);
    assert_int_equal(enf_detector_top(det, ENF_TOP_DESTINATIONS, ENF_TOP_MAX, rows), 60);
    for (size_t i = 1; i < 60; i++)
        assert_true(rows[i - 1].destinations > rows[i].destinations ||
                    (rows[i - 1].destinations == rows[i].destinations &&
                     enf_prefix_cmp(&rows[i - 1].subscriber, &rows[i].subscriber) < 0));
    assert_int_equal(rows[0].destinations, 7);
    assert_int_equal(enf_detector_top(det, ENF_TOP_BLOCKED, 1, rows), 1);
    assert_int_equal(rows[0].blocked, 3);
    assert_int_equal(enf_detector_top(det, ENF_TOP_BLOCKED, 0, rows), 0);
    for (uint32_t i = 0; i < 3000; i++)
        feed(det, 0x0b000000 + i, START, i);
    assert_int_equal(enf_detector_top(det, ENF_TOP_CONNECTIONS, SIZE_MAX, rows), ENF_TOP_MAX);
    assert_int_equal(rows[0].connections, 60);
    assert_int_equal(rows[ENF_TOP_MAX - 1].connections, 1);
    enf_detector_free(&det);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_spoofed_flood), TEST(test_flood_by_classes),
        TEST(test_second_chance), TEST(test_cap_of_one),
        TEST(test_cap_of_bytes),  TEST(test_slots_are_lent),
        TEST(test_silence),       TEST(test_slow_subscriber_stays_small),
        TEST(test_million),       TEST(test_prefetch),
        TEST(test_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
