/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What convicts and what does not: the boundaries of windows, destinations and traps, to the millisecond. */
#include "tests/unit/detect/feeding.h"

#include <stdio.h>
#include <string.h>

#define SOURCE 0x64400007u /* 100.64.0.7 */
#define SERVER 0xc6336419u

/* n connections, the first at start, then one every step; to one destination or to always another one. */
struct burst {
    uint64_t start;
    uint64_t step;
    uint32_t n;
};

struct row {
    const char *name;
    struct burst bursts[4];
    uint32_t convicted_at; /* the how many-th connection, from 1; 0: none */
};

static const struct row rate_rows[] = {
    {"one below, at once", {{0, 0, 19}}, 0},
    {"at the limit, at once", {{0, 0, 20}}, 0},
    {"one above, at once", {{0, 0, 21}}, 21},
    {"one above, evenly spread over the window", {{0, 2999, 21}}, 21},
    {"the 21st a millisecond before the first leaves", {{0, 0, 20}, {59999, 0, 1}}, 21},
    {"the 21st as the first leaves", {{0, 0, 20}, {60000, 0, 1}}, 0},
    {"the 21st a millisecond after", {{0, 0, 20}, {60001, 0, 1}}, 0},
    {"20, silence, 20", {{0, 0, 20}, {60000, 0, 20}}, 0},
    {"20, a silence a millisecond too short, 20", {{0, 0, 20}, {59999, 0, 20}}, 21},
    {"20 a minute for nine minutes", {{0, 3000, 180}}, 0},
    {"every 2999 ms", {{0, 2999, 40}}, 21},
    {"slow start, burst at the end of the window", {{0, 0, 1}, {59000, 1, 20}}, 21},
    {"slow start, burst past the window", {{0, 0, 1}, {60000, 1, 20}}, 0},
    {"slow start, burst past the window, one more", {{0, 0, 1}, {60000, 1, 21}}, 22},
};

static const struct row hour_rows[] = {
    {"200 in an hour", {{0, 17 * SECOND, 200}}, 0},
    {"201 in an hour", {{0, 17 * SECOND, 201}}, 201},
    {"201 in an hour and a bit", {{0, 18 * SECOND, 400}}, 0},
    {"the 201st as the first leaves", {{0, 4 * SECOND, 200}, {HOUR, 0, 1}}, 0},
    {"the 201st a millisecond before", {{0, 4 * SECOND, 200}, {HOUR - 1, 0, 1}}, 201},
};

static const struct row distinct_rows[] = {
    {"15 destinations", {{0, SECOND, 15}}, 0},
    {"16 destinations", {{0, SECOND, 16}}, 16},
    {"16th as the first leaves", {{0, 4 * SECOND, 15}, {10 * MINUTE, 0, 1}}, 0},
    {"16th a millisecond before", {{0, 4 * SECOND, 15}, {10 * MINUTE - 1, 0, 1}}, 16},
    {"one every 41 s", {{0, 41 * SECOND, 60}}, 0},
    {"one every 39 s", {{0, 39 * SECOND, 60}}, 16},
};

static void run(const struct row *rows, size_t rows_len, bool distinct, enum enf_cause cause)
{
    struct enf_detector_settings settings = enf_detector_defaults(ENF_POLICY_BLOCK);
    for (size_t i = 0; i < rows_len; i++) {
        struct enf_detector *det = new_detector(10);
        struct enf_signal signal = {0};
        uint32_t n = 0;
        uint32_t convicted_at = 0;
        for (size_t b = 0; b < 4; b++) {
            const struct burst *burst = &rows[i].bursts[b];
            for (uint32_t k = 0; k < burst->n; k++) {
                n++;
                struct enf_observation obs = observation(v4(SOURCE), v4(distinct ? SERVER + n : SERVER),
                                                         START + burst->start + k * burst->step, n);
                int rc = enf_detector_feed(det, &obs, &settings, &signal);
                assert_true(rc == 0 || rc == 1);
                if (rc == 1 && convicted_at == 0) {
                    convicted_at = n;
                    assert_int_equal(signal.cause, cause);
                    assert_int_equal(signal.time_ms, obs.time_ms);
                    assert_true(enf_prefix_equal(&signal.subscriber, &obs.subscriber));
                }
            }
        }
        if (convicted_at != rows[i].convicted_at)
            fail_msg("%s: convicted at %u, not %u", rows[i].name, convicted_at, rows[i].convicted_at);
        enf_detector_free(&det);
        assert_null(det);
    }
}

#define RUN(rows, distinct, cause) run(rows, sizeof(rows) / sizeof((rows)[0]), distinct, cause)

static void test_rate(void **state)
{
    (void)state;
    RUN(rate_rows, false, ENF_CAUSE_CONNECTION_RATE);
    RUN(hour_rows, false, ENF_CAUSE_CONNECTION_RATE);
}

static void test_distinct(void **state)
{
    (void)state;
    RUN(distinct_rows, true, ENF_CAUSE_DISTINCT_DESTINATIONS);
}

/* The same against a count by hand, at random paces and with limits of all sizes. */
static void test_rate_against_model(void **state)
{
    (void)state;
    static const struct enf_window windows[] = {{1, 10},   {2, 7},     {5, 100},
                                                {63, 900}, {64, 1000}, {300, 4000}};
    uint32_t random = 7;
    for (size_t w = 0; w < sizeof(windows) / sizeof(windows[0]); w++) {
        struct enf_detector_settings settings = {.connection_rate = {windows[w]}, .connection_rate_len = 1};
        struct enf_detector *det = new_detector(10);
        struct enf_signal signal;
        static uint64_t times[20000];
        size_t first = 0;
        uint64_t now = START;
        for (uint32_t n = 0; n < 20000; n++) {
            random = random * 1664525 + 1013904223;
            now += (random >> 16) % (2 * windows[w].per_ms / windows[w].connections + 2);
            times[n] = now;
            size_t count = 0;
            for (size_t k = first; k <= n; k++)
                count += now - times[k] < windows[w].per_ms;
            struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), now, n);
            int rc = enf_detector_feed(det, &obs, &settings, &signal);
            if (rc != (count > windows[w].connections))
                fail_msg("%u per %u: %zu at %u", windows[w].connections, (unsigned)windows[w].per_ms, count,
                         n);
            if (rc == 1)
                first = n + 1;
        }
        enf_detector_free(&det);
    }
}

static void test_distinct_against_model(void **state)
{
    (void)state;
    static const uint32_t limits[] = {1, 3, 15, 16, 100, 1000};
    uint32_t random = 99;
    for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
        uint32_t limit = limits[l];
        struct enf_detector_settings settings = {.distinct_destinations = {.count = limit, .per_ms = 5000}};
        struct enf_detector *det = new_detector(10);
        struct enf_signal signal;
        static uint64_t last[4096];
        memset(last, 0, sizeof(last));
        uint64_t now = START;
        uint32_t convictions = 0;
        for (uint32_t n = 0; n < 20000; n++) {
            random = random * 1664525 + 1013904223;
            now += (random >> 16) % (6000 / limit + 2);
            uint32_t to = (random >> 8) % (3 * limit);
            last[to] = now;
            uint32_t count = 0;
            for (uint32_t k = 0; k < 3 * limit; k++)
                count += last[k] != 0 && now - last[k] < 5000;
            struct enf_observation obs = observation(v4(SOURCE), v4(SERVER + to), now, n);
            int rc = enf_detector_feed(det, &obs, &settings, &signal);
            if (rc != (count > limit))
                fail_msg("limit %u: %u at %u", limit, count, n);
            if (rc == 0)
                continue;
            assert_int_equal(signal.evidence_total, limit + 1);
            memset(last, 0, sizeof(last));
            convictions++;
        }
        assert_true(convictions > 0);
        enf_detector_free(&det);
    }
}

static void test_trap(void **state)
{
    (void)state;
    struct enf_addr traps[] = {address("203.0.113.66"), address("2001:db8:66::1")};
    struct enf_detector_settings settings = enf_detector_defaults(ENF_POLICY_INSPECT);
    settings.traps = traps;
    settings.traps_len = 2;
    struct enf_detector *det = new_detector(10);
    struct enf_signal signal;
    struct enf_observation obs = observation(v4(SOURCE), address("203.0.113.65"), START, 1);
    assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), 0);
    obs = observation(v4(SOURCE), traps[0], START + 1, 2);
    obs.forgeable = true;
    assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), 1);
    assert_int_equal(signal.cause, ENF_CAUSE_TRAP);
    assert_int_equal(signal.verdict, ENF_VERDICT_ZOMBIE);
    assert_true(signal.forgeable);
    assert_string_equal(signal.setting, "traps: 203.0.113.66");
    assert_int_equal(signal.evidence_len, 1);
    assert_int_equal(signal.evidence_total, 1);
    assert_int_equal(signal.evidence[0].kind, ENF_EVIDENCE_TRAP);
    assert_true(signal.evidence[0].score > signal.evidence[0].threshold);
    /* Its retransmission is the same connection; the next one is not. */
    obs.time_ms += 3000;
    assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), 0);
    obs = observation(address("2001:db8::7"), traps[1], START, 3);
    assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), 1);
    assert_string_equal(signal.setting, "traps: 2001:db8:66::1");
    enf_detector_free(&det);
}

static void test_mail_server(void **state)
{
    (void)state;
    struct enf_detector_settings settings = enf_detector_defaults(ENF_POLICY_INSPECT);
    struct enf_detector *det = new_detector(10);
    struct enf_signal signal;
    /* A queue after an outage: 9 connections a second for a quarter of an hour, to 1,500 hosts of which none
     * answers, so that each SYN is sent again after 1, 3 and 7 seconds. */
    uint64_t convictions = 0;
    for (uint32_t tick = 0; tick < 900 * 9; tick++) {
        static const uint32_t again[] = {0, 1, 3, 7};
        for (size_t k = 0; k < 4; k++) {
            if (tick < again[k] * 9)
                continue;
            uint32_t serial = tick - again[k] * 9;
            struct enf_observation obs =
                observation(v4(SOURCE), v4(SERVER + serial % 1500), START + tick * SECOND / 9, serial);
            convictions += (uint64_t)enf_detector_feed(det, &obs, &settings, &signal);
        }
    }
    assert_int_equal(convictions, 0);
    struct enf_detector_stats stats;
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.retransmissions, 3 * 900 * 9 - (1 + 3 + 7) * 9);
    enf_detector_free(&det);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_distinct),
        cmocka_unit_test(test_rate_against_model),
        cmocka_unit_test(test_distinct_against_model),
        cmocka_unit_test(test_trap),
        cmocka_unit_test(test_mail_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
