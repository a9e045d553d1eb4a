/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sequential test inside the detector: verdict, evidence with its arithmetic, what it remembers and for
 * how long. */
#include "tests/unit/detect/feeding.h"

#include <math.h>
#include <stdio.h>

#define SOURCE 0x64400007u /* 100.64.0.7 */

static struct enf_detector_settings settings;
static struct enf_detector *det;

/* Without windows, so that it is the sequential test alone that convicts. */
static int setup(void **state)
{
    (void)state;
    settings = (struct enf_detector_settings){
        .sequential = {.enabled = true, .false_conviction = 0.000001, .missed = 0.01},
    };
    det = new_detector(1000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    enf_detector_free(&det);
    return 0;
}

static uint32_t serial;

/* A connection to an address of that network. */
static struct enf_observation to(uint32_t network, uint64_t time_ms)
{
    serial++;
    return observation(v4(SOURCE), v4((network + 1) << 16 | (serial & 0xffff)), time_ms, serial);
}

static int feed(uint32_t network, uint64_t time_ms, struct enf_signal *out)
{
    struct enf_observation obs = to(network, time_ms);
    return enf_detector_feed(det, &obs, &settings, out);
}

static struct enf_detector_view view_at(uint64_t now_ms)
{
    struct enf_detector_view view;
    struct enf_addr addr = v4(SOURCE);
    struct enf_prefix key = enf_prefix_host(&addr);
    assert_int_equal(enf_detector_show(det, &key, &settings, now_ms, &view), 0);
    return view;
}

static void assert_arithmetic(const struct enf_signal *signal)
{
    const struct enf_evidence *evidence = signal->evidence;
    for (size_t i = 0; i < signal->evidence_len; i++) {
        double before = i > 0 ? evidence[i - 1].score : evidence[0].score - evidence[0].step;
        assert_true(evidence[i].score == before + evidence[i].step);
        assert_true((evidence[i].score >= evidence[i].threshold) == (i + 1 == signal->evidence_len));
        assert_string_equal(evidence[i].setting, signal->setting);
    }
}

static void test_slow_bot(void **state)
{
    (void)state;
    struct enf_signal signal;
    struct enf_observation obs = {0};
    for (uint32_t n = 0; n < 9; n++)
        assert_int_equal(feed(n, START + n * 2 * HOUR, &signal), 0);
    struct enf_detector_view view = view_at(START + 17 * HOUR);
    assert_true(fabs(view.sequential.score - 3305.0 / 256) < 1e-9);
    assert_true(fabs(view.sequential.threshold - 14.3132) < 1e-4);
    assert_int_equal(view.sequential.observations, 9);
    assert_int_equal(view.sequential.networks, 9);
    obs = to(9, START + 18 * HOUR);
    /* A retransmission is none. */
    assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), 1);
    assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), 0);
    assert_int_equal(signal.cause, ENF_CAUSE_SEQUENTIAL);
    assert_int_equal(signal.time_ms, START + 18 * HOUR);
    assert_string_equal(signal.setting, "sequential: false_conviction 0.000001");
    assert_string_equal(enf_cause_name(signal.cause), "sequential");
    assert_int_equal(signal.evidence_len, 10);
    assert_int_equal(signal.evidence_total, 10);
    assert_false(signal.forgeable);
    assert_true(signal.evidence[0].step == 0 && signal.evidence[0].score == 0);
    assert_int_equal(signal.evidence[0].kind, ENF_EVIDENCE_DESTINATION);
    assert_int_equal(signal.evidence[0].time_ms, START);
    assert_arithmetic(&signal);
    /* Starts anew; the same evidence is there for those who ask. */
    view = view_at(START + 18 * HOUR);
    assert_true(view.sequential.score == 0 && view.sequential.observations == 0);
    assert_int_equal(view.last.evidence_len, 10);
    assert_arithmetic(&view.last);
}

static void test_mixed_evidence(void **state)
{
    (void)state;
    struct enf_signal signal;
    uint32_t n = 0;
    int rc = 0;
    /* Every third connection goes back to a network known. */
    while (rc == 0) {
        assert_true(n < 60);
        rc = feed(n % 3 == 2 ? n - 2 : n, START + n * 10 * MINUTE, &signal);
        n++;
    }
    assert_int_equal(rc, 1);
    assert_int_equal(signal.evidence_total, n);
    assert_int_equal(signal.evidence_len, n);
    assert_int_equal(signal.evidence[2].kind, ENF_EVIDENCE_CONNECTION);
    assert_true(signal.evidence[2].step < 0);
    assert_arithmetic(&signal);
}

/* More than are remembered: the last ones, with the right sums. */
static void test_long_evidence(void **state)
{
    (void)state;
    struct enf_signal signal;
    uint32_t n = 0;
    int rc = 0;
    settings.sequential.missed = 0.000001;
    /* Two back for each new one, until 100 have come; then strangers only. */
    while (rc == 0) {
        rc = feed(n < 100 && n % 5 >= 3 ? n - 3 : n, START + n * MINUTE, &signal);
        if (rc == 0 && n >= 100)
            assert_true(n < 140);
        n++;
    }
    assert_int_equal(signal.cause, ENF_CAUSE_SEQUENTIAL);
    assert_true(signal.evidence_len <= ENF_RECENT_MAX && signal.evidence_len <= signal.evidence_total);
    assert_arithmetic(&signal);
}

/* What says nothing is no evidence, and the rest is complete. */
static void test_stubborn_bot(void **state)
{
    (void)state;
    struct enf_signal signal;
    for (uint32_t n = 0; n < 28; n++)
        assert_int_equal(feed(n / 3, START + n * 10 * MINUTE, &signal), n == 27);
    assert_int_equal(signal.evidence_total, 10);
    assert_int_equal(signal.evidence_len, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(signal.evidence[i].time_ms, START + i * 30 * MINUTE);
    assert_arithmetic(&signal);
}

static void test_one_provider(void **state)
{
    (void)state;
    struct enf_signal signal;
    for (uint32_t n = 0; n < 5000; n++)
        assert_int_equal(feed(n % 4, START + n * MINUTE, &signal), 0);
}

static void test_switched_off(void **state)
{
    (void)state;
    struct enf_signal signal;
    settings.sequential.enabled = false;
    for (uint32_t n = 0; n < 500; n++)
        assert_int_equal(feed(n, START + n * MINUTE, &signal), 0);
    struct enf_detector_view view = view_at(START + 500 * MINUTE);
    assert_true(view.sequential.threshold == 0);
    settings.sequential = (struct enf_sequential_settings){.enabled = true, .false_conviction = 7};
    for (uint32_t n = 0; n < 500; n++) /* no meaning: as if off */
        assert_int_equal(feed(n, START + n * MINUTE, &signal), 0);
    settings.sequential = (struct enf_sequential_settings){
        .enabled = true, .model = ENF_SEQUENTIAL_SERVER, .false_conviction = 1e-3, .missed = 0.01};
    for (uint32_t n = 0; n < 500; n++)
        assert_int_equal(feed(n, START + n * MINUTE, &signal), 0);
}

/* A second conviction needs a whole score again, whatever made the first. */
static void test_starts_anew(void **state)
{
    (void)state;
    struct enf_signal signal;
    settings.connection_rate[0] = (struct enf_window){8, MINUTE};
    settings.connection_rate_len = 1;
    for (uint32_t n = 0; n < 9; n++)
        assert_int_equal(feed(n, START, &signal), n == 8);
    assert_int_equal(signal.cause, ENF_CAUSE_CONNECTION_RATE);
    assert_int_equal(view_at(START).sequential.observations, 0);
    /* All networks count fully now, 2.707 each, and the threshold is 2 ln 2 higher: six. */
    uint32_t n = 0;
    while (feed(100 + n, START + MINUTE * (n + 1), &signal) == 0)
        n++;
    assert_int_equal(n + 1, 6);
    assert_int_equal(signal.cause, ENF_CAUSE_SEQUENTIAL);
    assert_int_equal(signal.evidence_total, 6);
    assert_arithmetic(&signal);
}

static void test_forgeable(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t forged; /* the how many-th network, from 0 */
        bool forgeable;
    } rows[] = {{"none", 100, false},
                {"the first", 0, false},
                {"the second", 1, false},
                {"the third", 2, true},
                {"the last", 9, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_signal signal;
        for (uint32_t n = 0; n < 10; n++) {
            struct enf_observation obs = to(n, START + i * 3 * DAY + n);
            obs.forgeable = n == rows[i].forged;
            assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), n == 9);
        }
        if (signal.forgeable != rows[i].forgeable)
            fail_msg("%s", rows[i].name);
    }
}

/* A day of silence and all is forgotten, a millisecond less and nothing is. */
static void test_silence(void **state)
{
    (void)state;
    static const struct {
        uint64_t gap;
        size_t forgotten;
    } rows[] = {{DAY - 1, 0}, {DAY, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_signal signal;
        uint64_t start = START + i * 100 * DAY;
        feed(1, start, &signal);
        feed(2, start, &signal);
        assert_int_equal(enf_detector_forget_idle(det, start + rows[i].gap, 1000), rows[i].forgotten);
        feed(3, start + rows[i].gap, &signal);
        assert_int_equal(view_at(start + rows[i].gap).sequential.networks, rows[i].forgotten ? 1 : 3);
        enf_detector_forget_idle(det, start + 50 * DAY, 1000);
    }
}

/* Suspicion keeps a slow bot in the table while sources that come twice flood it. */
static void test_flood(void **state)
{
    (void)state;
    struct enf_signal signal;
    for (uint32_t n = 0; n < 6; n++)
        feed(n, START + n * HOUR, &signal);
    for (uint32_t i = 0; i < 20000; i++)
        for (uint32_t n = 0; n < 3; n++) {
            struct enf_observation obs =
                observation(v4(0x0b000000 + i), v4(0xc6336419), START + 6 * HOUR + i, i * 4 + n);
            assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), 0);
        }
    for (uint32_t n = 6; n < 10; n++)
        assert_int_equal(feed(n, START + (n + 1) * HOUR, &signal), n == 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slow_bot),     TEST(test_mixed_evidence), TEST(test_long_evidence), TEST(test_stubborn_bot),
        TEST(test_one_provider), TEST(test_switched_off),   TEST(test_starts_anew),   TEST(test_forgeable),
        TEST(test_silence),      TEST(test_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
