/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Retransmissions, evidence, what is shown, resets, time that runs backwards, silence. */
#include "tests/unit/detect/feeding.h"

#include <errno.h>
#include <string.h>

#define SOURCE 0x64400007u
#define SERVER 0xc6336419u

static struct enf_detector_settings settings;

static int setup(void **state)
{
    settings = enf_detector_defaults(ENF_POLICY_BLOCK);
    *state = new_detector(100);
    return 0;
}

static int teardown(void **state)
{
    struct enf_detector *det = *state;
    enf_detector_free(&det);
    return 0;
}

static int feed(struct enf_detector *det, const struct enf_observation *obs)
{
    struct enf_signal signal;
    return enf_detector_feed(det, obs, &settings, &signal);
}

/* n connections of one source to one server in a row, a second apart; returns how many convictions. */
static int feed_many(struct enf_detector *det, struct enf_addr source, uint64_t start, uint32_t n)
{
    int convictions = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct enf_observation obs = observation(source, v4(SERVER), start + i * SECOND, i);
        convictions += feed(det, &obs);
    }
    return convictions;
}

static struct enf_detector_view show(struct enf_detector *det, const char *subscriber, uint64_t now)
{
    struct enf_detector_view view;
    struct enf_prefix key = prefix(subscriber);
    assert_int_equal(enf_detector_show(det, &key, &settings, now, &view), 0);
    return view;
}

static void test_retransmissions(void **state)
{
    struct enf_detector *det = *state;
    /* 20 connections, each SYN sent five times: nobody is convicted, at the 21st somebody is. */
    static const uint64_t again[] = {0, 1000, 3000, 7000, 15000};
    for (uint32_t i = 0; i < 20; i++)
        for (size_t k = 0; k < 5; k++) {
            struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + again[k], i);
            assert_int_equal(feed(det, &obs), 0);
        }
    struct enf_detector_view view = show(det, "100.64.0.7", START + 20 * SECOND);
    assert_int_equal(view.connections, 20);
    assert_int_equal(view.retransmissions, 80);
    assert_int_equal(view.windows[0].connections, 20);
    struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + 15000, 20);
    assert_int_equal(feed(det, &obs), 1);
    /* Also behind a conviction: the same SYN again is no new connection. */
    assert_int_equal(feed(det, &obs), 0);
    view = show(det, "100.64.0.7", START + 20 * SECOND);
    assert_int_equal(view.connections, 21);
    assert_int_equal(view.windows[0].connections, 0);
}

static void test_retransmission_identity(void **state)
{
    struct enf_detector *det = *state;
    struct enf_observation first = observation(address("2001:db8::7"), address("2001:db8:25::1"), START, 1);
    static const struct {
        const char *name;
        uint64_t later;
        int what; /* which field differs */
        uint32_t connections;
    } rows[] = {
        {"the same", 0, 0, 1},
        {"a millisecond before it is forgotten", ENF_RETRANSMISSION_MS - 1, 0, 1},
        {"as it is forgotten", ENF_RETRANSMISSION_MS, 0, 2},
        {"another sequence number", 1, 1, 2},
        {"another source port", 1, 2, 2},
        {"another destination", 1, 3, 2},
        {"another source in the prefix", 1, 4, 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        /* With one connection before it, and with several: they are kept in different ways. */
        for (uint32_t others = 0; others < 2; others++) {
            enf_detector_reset(det, &first.subscriber);
            struct enf_observation obs = first;
            feed(det, &obs);
            if (others) {
                obs = observation(first.source, first.destination, START, 1000);
                feed(det, &obs);
                obs = first;
            }
            obs.time_ms += rows[i].later;
            obs.sequence += rows[i].what == 1;
            obs.source_port += rows[i].what == 2;
            obs.destination.bytes[15] ^= rows[i].what == 3;
            obs.source.bytes[15] ^= rows[i].what == 4;
            feed(det, &obs);
            struct enf_detector_view view = show(det, "2001:db8::/64", obs.time_ms);
            if (view.connections != rows[i].connections + others)
                fail_msg("%s: %u connections", rows[i].name, (unsigned)view.connections);
        }
    }
}

static void test_retransmission_memory(void **state)
{
    struct enf_detector *det = *state;
    settings.connection_rate[0].connections = 100000;
    settings.connection_rate[1].connections = 2;
    settings.distinct_destinations.count = 0;
    settings.connection_rate_len = 1;
    /* The first half of the cap: all are recognised. */
    uint32_t n = ENF_RETRANSMISSIONS_MAX / 2;
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < n; i++) {
            struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + i, i);
            feed(det, &obs);
        }
    struct enf_detector_view view = show(det, "100.64.0.7", START);
    assert_int_equal(view.connections, n);
    assert_int_equal(view.retransmissions, n);
    /* Far beyond it memory does not grow any more, and those that were forgotten count. */
    struct enf_detector_stats stats;
    for (uint32_t i = 0; i < 10 * ENF_RETRANSMISSIONS_MAX; i++) {
        struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + n, n + i);
        feed(det, &obs);
    }
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.retransmissions, n);
    struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + n, 0);
    feed(det, &obs);
    view = show(det, "100.64.0.7", START);
    assert_int_equal(view.connections, n + 10 * ENF_RETRANSMISSIONS_MAX + 1);
}

static void test_rate_evidence(void **state)
{
    struct enf_detector *det = *state;
    struct enf_signal signal;
    for (uint32_t i = 0; i < 21; i++) {
        struct enf_observation obs = observation(v4(SOURCE), v4(SERVER + i % 2), START + i * 100, i);
        obs.blocked = i % 3 == 0;
        obs.forgeable = i == 5;
        obs.ifindex = 100 + i;
        assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), i == 20);
    }
    assert_int_equal(signal.verdict, ENF_VERDICT_ZOMBIE);
    assert_int_equal(signal.cause, ENF_CAUSE_CONNECTION_RATE);
    assert_string_equal(signal.setting, "connection_rate: 20 per 60s");
    assert_int_equal(signal.ifindex, 120);
    assert_true(signal.forgeable);
    assert_int_equal(signal.evidence_len, 21);
    assert_int_equal(signal.evidence_total, 21);
    struct enf_detector_view view = show(det, "100.64.0.7", START + DAY);
    assert_int_equal(view.convictions, 1);
    for (uint32_t i = 0; i < 21; i++) {
        const struct enf_evidence *evidence = &view.last.evidence[i];
        struct enf_addr destination = v4(SERVER + i % 2);
        assert_int_equal(evidence->time_ms, START + i * 100);
        assert_int_equal(evidence->kind, ENF_EVIDENCE_CONNECTION);
        assert_true(enf_addr_equal(&evidence->destination, &destination));
        assert_int_equal(evidence->destination_port, 25);
        assert_int_equal(evidence->blocked, i % 3 == 0);
        assert_int_equal(evidence->forgeable, i == 5);
        assert_true(evidence->step == 1 && evidence->score == i + 1 && evidence->threshold == 20);
        assert_string_equal(evidence->setting, "connection_rate: 20 per 60s");
    }
    /* The forgeable one has left the window of the next conviction. */
    for (uint32_t i = 0; i < 21; i++) {
        struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + 3000 + i, 100 + i);
        assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), i == 20);
    }
    assert_false(signal.forgeable);
    assert_int_equal(show(det, "100.64.0.7", START).convictions, 2);
}

static void test_forgeable_leaves_the_window(void **state)
{
    struct enf_detector *det = *state;
    struct enf_signal signal;
    for (uint32_t i = 0; i < 22; i++) {
        struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + (i ? MINUTE : 0), i);
        obs.forgeable = i == 0;
        assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), i == 21);
    }
    assert_false(signal.forgeable);
}

static void test_long_evidence(void **state)
{
    struct enf_detector *det = *state;
    struct enf_signal signal;
    settings.connection_rate[0].connections = 500;
    settings.distinct_destinations.count = 0;
    for (uint32_t i = 0; i < 201; i++) {
        struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + i, i);
        assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), i == 200);
    }
    assert_string_equal(signal.setting, "connection_rate: 200 per 1h");
    assert_int_equal(signal.evidence_total, 201);
    assert_int_equal(signal.evidence_len, ENF_RECENT_MAX);
    assert_true(signal.evidence[0].score == 201 - ENF_RECENT_MAX + 1);
    assert_true(signal.evidence[ENF_RECENT_MAX - 1].score == 201);
    assert_int_equal(signal.evidence[0].time_ms, START + 201 - ENF_RECENT_MAX);
}

static void test_destination_evidence(void **state)
{
    struct enf_detector *det = *state;
    struct enf_signal signal;
    settings.connection_rate_len = 0;
    /* To fifteen destinations, to the first again, to a sixteenth. */
    for (uint32_t i = 0; i < 17; i++) {
        uint32_t to = i == 15 ? 0 : i;
        struct enf_observation obs = observation(v4(SOURCE), v4(SERVER + to), START + i * 100, i);
        assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), i == 16);
    }
    assert_int_equal(signal.cause, ENF_CAUSE_DISTINCT_DESTINATIONS);
    assert_string_equal(signal.setting, "distinct_destinations: 15 per 10m");
    assert_int_equal(signal.evidence_len, 16);
    assert_int_equal(signal.evidence_total, 16);
    assert_false(signal.forgeable);
    for (uint32_t i = 0; i < 16; i++) {
        /* In order of the last connection to each, so the first destination comes last but one. */
        uint32_t to = i < 14 ? i + 1 : i == 14 ? 0 : 16;
        struct enf_addr destination = v4(SERVER + to);
        assert_int_equal(signal.evidence[i].kind, ENF_EVIDENCE_DESTINATION);
        assert_true(enf_addr_equal(&signal.evidence[i].destination, &destination));
        assert_int_equal(signal.evidence[i].time_ms, START + (i + 1) * 100);
        assert_true(signal.evidence[i].score == i + 1 && signal.evidence[i].threshold == 15);
    }
    settings.distinct_destinations.count = 1000;
    for (uint32_t i = 0; i < 1001; i++) {
        struct enf_observation obs = observation(v4(SOURCE), v4(SERVER + i), START + DAY + i, 100 + i);
        obs.forgeable = i == 3;
        assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal), i == 1000);
    }
    assert_int_equal(signal.evidence_len, ENF_EVIDENCE_MAX);
    assert_int_equal(signal.evidence_total, 1001);
    assert_true(signal.evidence[ENF_EVIDENCE_MAX - 1].score == 1001);
    assert_true(signal.forgeable);
}

static void test_starts_anew(void **state)
{
    struct enf_detector *det = *state;
    /* Without a pause: convictions at each 21st connection, no more. */
    assert_int_equal(feed_many(det, v4(SOURCE), START, 0), 0);
    int convictions = 0;
    for (uint32_t i = 0; i < 210; i++) {
        struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + i, i);
        int rc = feed(det, &obs);
        assert_int_equal(rc, i % 21 == 20);
        convictions += rc;
    }
    assert_int_equal(convictions, 10);
}

static void test_view(void **state)
{
    struct enf_detector *det = *state;
    struct enf_prefix stranger = prefix("100.64.0.8");
    struct enf_detector_view view;
    memset(&view, 0x55, sizeof(view));
    assert_int_equal(enf_detector_show(det, &stranger, &settings, START, &view), -ENOENT);
    feed_many(det, v4(SOURCE), START, 1);
    view = show(det, "100.64.0.7", START + MINUTE - 1);
    assert_int_equal(view.windows_len, 2);
    assert_int_equal(view.windows[0].connections, 1);
    assert_int_equal(view.windows[0].limit.connections, 20);
    assert_int_equal(view.distinct_destinations.count, 1);
    view = show(det, "100.64.0.7", START + MINUTE);
    assert_int_equal(view.windows[0].connections, 0);
    assert_int_equal(view.windows[1].connections, 1);
    assert_int_equal(view.last.cause, ENF_CAUSE_NONE);
    feed_many(det, v4(SOURCE), START + MINUTE, 15);
    view = show(det, "100.64.0.7", START + MINUTE + 20 * SECOND);
    assert_int_equal(view.windows[0].connections, 14); /* the very first was the same SYN */
    assert_int_equal(view.windows[1].connections, 15);
    assert_int_equal(view.blocked, 15);
    assert_int_equal(view.first_seen_ms, START);
    assert_int_equal(view.last_seen_ms, START + MINUTE + 14 * SECOND);
    view = show(det, "100.64.0.7", START + 100 * DAY);
    assert_int_equal(view.windows[0].connections + view.windows[1].connections, 0);
    assert_int_equal(view.distinct_destinations.count, 0);
    view = show(det, "100.64.0.7", 0);
    assert_int_equal(view.windows[1].connections, 15);
}

static void test_disorder(void **state)
{
    struct enf_detector *det = *state;
    struct enf_detector_stats stats;
    /* Shuffled by up to a minute: counted at the newest time. */
    struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + ENF_DISORDER_MS, 0);
    feed(det, &obs);
    for (uint32_t i = 1; i < 21; i++) {
        obs = observation(v4(SOURCE), v4(SERVER), START, i);
        assert_int_equal(feed(det, &obs), i == 20);
    }
    assert_int_equal(show(det, "100.64.0.7", 0).last_seen_ms, START + ENF_DISORDER_MS);
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.clock_steps, 0);
    /* A packet from the future must not put all that follows into one instant. */
    obs = observation(v4(SOURCE + 1), v4(SERVER), START + 1000 * DAY, 0);
    feed(det, &obs);
    assert_int_equal(feed_many(det, v4(SOURCE + 1), START, 20), 0);
    struct enf_detector_view view = show(det, "100.64.0.8", START);
    assert_int_equal(view.last_seen_ms, START + 19 * SECOND);
    assert_int_equal(view.windows[0].connections, 20);
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.clock_steps, 1);
}

static void test_reset(void **state)
{
    struct enf_detector *det = *state;
    struct enf_prefix all4 = prefix("100.64.0.0/24");
    struct enf_prefix one = prefix("100.64.0.7");
    for (uint32_t i = 0; i < 10; i++)
        feed_many(det, v4(SOURCE + i), START, 20);
    feed_many(det, address("2001:db8:0:1::1"), START, 20);
    feed_many(det, address("2001:db8:0:2::1"), START, 20);
    feed_many(det, v4(0x64400107), START, 20);
    assert_int_equal(enf_detector_reset(det, &one), 1);
    assert_int_equal(enf_detector_reset(det, &one), 0);
    /* All counters are gone: twenty more are fine, the others' next one is not. */
    assert_int_equal(feed_many(det, v4(SOURCE), START + 21 * SECOND, 20), 0);
    struct enf_observation obs = observation(v4(SOURCE + 1), v4(SERVER), START + 21 * SECOND, 999);
    assert_int_equal(feed(det, &obs), 1);
    assert_int_equal(enf_detector_reset(det, &all4), 10);
    struct enf_prefix lan = prefix("2001:db8:0:1::/64");
    assert_int_equal(enf_detector_reset(det, &lan), 1);
    lan = prefix("2001:db8::/32");
    assert_int_equal(enf_detector_reset(det, &lan), 1);
    struct enf_detector_stats stats;
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.subscribers, 1);
}

static void test_ipv6_subscriber(void **state)
{
    struct enf_detector *det = *state;
    /* Another address of the /64 each time: one subscriber. */
    for (uint32_t i = 0; i < 21; i++) {
        struct enf_addr source = address("2001:db8:0:7::");
        source.bytes[12] = (uint8_t)(i * 7);
        source.bytes[15] = (uint8_t)i;
        struct enf_observation obs = observation(source, v4(SERVER), START + i, 5);
        assert_int_equal(feed(det, &obs), i == 20);
    }
    /* Wider subscribers are others. */
    struct enf_observation obs = observation(address("2001:db8:0:7::1"), v4(SERVER), START, 5);
    obs.subscriber = enf_prefix_make(&obs.source, 56);
    feed(det, &obs);
    assert_int_equal(show(det, "2001:db8::/56", START).connections, 1);
    assert_int_equal(show(det, "2001:db8:0:7::/64", START).connections, 21);
}

static void test_settings_change(void **state)
{
    struct enf_detector *det = *state;
    assert_int_equal(feed_many(det, v4(SOURCE), START, 18), 0);
    settings.connection_rate[0].connections = 10; /* read again, stricter: the next one shows it */
    struct enf_observation obs = observation(v4(SOURCE), v4(SERVER), START + 20 * SECOND, 100);
    assert_int_equal(feed(det, &obs), 1);
    settings = (struct enf_detector_settings){0}; /* nothing set: nothing convicts */
    assert_int_equal(feed_many(det, v4(SOURCE), START + MINUTE, 1000), 0);
}

static void test_refused(void **state)
{
    struct enf_detector *det = *state;
    struct enf_observation obs = {.kind = ENF_OBSERVATION_SYN};
    assert_int_equal(feed(det, &obs), -EINVAL);
    struct enf_detector *none = NULL;
    assert_int_equal(enf_detector_new(&(struct enf_detector_params){0}, &none), -EINVAL);
    assert_int_equal(enf_detector_new(&(struct enf_detector_params){.max_subscribers = SIZE_MAX}, &none),
                     -EINVAL);
    assert_null(none);
    enf_detector_free(&none);
    enf_detector_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_retransmissions),
        TEST(test_retransmission_identity),
        TEST(test_retransmission_memory),
        TEST(test_rate_evidence),
        TEST(test_forgeable_leaves_the_window),
        TEST(test_long_evidence),
        TEST(test_destination_evidence),
        TEST(test_starts_anew),
        TEST(test_view),
        TEST(test_disorder),
        TEST(test_reset),
        TEST(test_ipv6_subscriber),
        TEST(test_settings_change),
        TEST(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
