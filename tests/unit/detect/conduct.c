/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hosts do in their sessions, kind by kind: which of it is a step, which is not, and what comes of the
 * sum. */
#include "tests/unit/detect/feeding.h"

#include "enforcer/inspect/smtp.h"

#include <string.h>

#define SOURCE 0xc6120007u /* 198.18.0.7 */
#define NOBODY 0x0a000000u

static struct enf_detector_settings settings;
static struct enf_detector *det;
static struct enf_signal signal_out;
static uint32_t serial;

/* Defaults of `inspect` without windows, so that it is the sequential test alone that convicts. */
static int setup(void **state)
{
    (void)state;
    settings = enf_detector_defaults(ENF_POLICY_INSPECT);
    settings.connection_rate_len = 0;
    settings.distinct_destinations.count = 0;
    det = new_detector(100);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    enf_detector_free(&det);
    return 0;
}

/* The n-th server; the first 65536 lie in networks of their own. */
static struct enf_addr server(uint32_t n)
{
    return v4(n << 16 | n >> 16 | 0x100u);
}
#define NEIGHBOUR 0x10000u /* another server in the same network */

static struct enf_observation outcome(enum enf_observation_kind kind, uint32_t n, uint64_t time_ms)
{
    struct enf_observation obs = observation(v4(SOURCE), server(n), time_ms, ++serial);
    obs.kind = kind;
    obs.blocked = false;
    return obs;
}

static int feed(enum enf_observation_kind kind, uint32_t n, uint64_t time_ms)
{
    struct enf_observation obs = outcome(kind, n, time_ms);
    return enf_detector_feed(det, &obs, &settings, &signal_out);
}

static int helo(uint64_t name, uint8_t form, uint64_t time_ms)
{
    struct enf_observation obs = outcome(ENF_OBSERVATION_HELO, 0, time_ms);
    obs.value = name;
    obs.helo_form = form;
    return enf_detector_feed(det, &obs, &settings, &signal_out);
}

static double score_at(uint64_t now_ms)
{
    struct enf_detector_view view;
    struct enf_addr addr = v4(SOURCE);
    struct enf_prefix key = enf_prefix_host(&addr);
    if (enf_detector_show(det, &key, &settings, now_ms, &view) != 0)
        return 0;
    return view.sequential.score;
}

static double step_of(enum enf_sequential_kind kind)
{
    return (double)enf_sequential_row(kind)->step / ENF_SEQUENTIAL_UNIT;
}

static void assert_score(uint64_t now_ms, double expected)
{
    assert_float_equal(score_at(now_ms), expected, 1e-9);
}

/* --- servers --- */

static void test_first_contacts_only(void **state)
{
    (void)state;
    double answered = step_of(ENF_SEQUENTIAL_ANSWERED);
    double failed = step_of(ENF_SEQUENTIAL_FAILED);
    feed(ENF_OBSERVATION_ANSWERED, 1, START);
    assert_score(START, answered);
    feed(ENF_OBSERVATION_ANSWERED, 1, START + 1);
    feed(ENF_OBSERVATION_FAILED, 1, START + 2);
    feed(ENF_OBSERVATION_FAILED, 1 + NEIGHBOUR, START + 2);
    assert_score(START + 2, answered);
    feed(ENF_OBSERVATION_FAILED, 2, START + 3);
    assert_score(START + 3, answered + failed);
    /* Tried every hour for two days, as a queue does: still known. */
    for (uint64_t hour = 1; hour <= 20; hour++)
        feed(ENF_OBSERVATION_FAILED, 2, START + hour * HOUR);
    assert_score(START + 20 * HOUR, answered + failed);
}

static void test_line_that_is_down(void **state)
{
    (void)state;
    double failed = step_of(ENF_SEQUENTIAL_FAILED);
    for (uint32_t n = 0; n < 1000; n++)
        assert_int_equal(feed(ENF_OBSERVATION_FAILED, n, START + n), 0);
    assert_score(START + 1000, ENF_SEQUENTIAL_FAILURES * failed);
    /* Any answer, also of a known server, shows that the line is up. */
    feed(ENF_OBSERVATION_ANSWERED, 5, START + 2000);
    feed(ENF_OBSERVATION_FAILED, 1001, START + 2001);
    assert_score(START + 2001, (ENF_SEQUENTIAL_FAILURES + 1) * failed);
}

static void test_first_mail_only(void **state)
{
    (void)state;
    double refused = step_of(ENF_SEQUENTIAL_REFUSED);
    feed(ENF_OBSERVATION_REFUSED, 1, START);
    feed(ENF_OBSERVATION_REFUSED, 1, START + 1);
    feed(ENF_OBSERVATION_ACCEPTED, 1, START + 2);
    assert_score(START + 2, refused);
    feed(ENF_OBSERVATION_ACCEPTED, 2, START + 3);
    assert_score(START + 3, refused + step_of(ENF_SEQUENTIAL_ACCEPTED));
}

/* More networks than are remembered: the rest count as known, and memory stays where it is. */
static void test_cap_of_networks(void **state)
{
    (void)state;
    struct enf_detector_stats stats;
    uint64_t now_ms = START;
    for (uint32_t n = 0; n < 2 * ENF_KNOWN_NETWORKS_MAX; n++)
        feed(ENF_OBSERVATION_ACCEPTED, n, now_ms++);
    enf_detector_stats(det, &stats);
    size_t bytes = stats.bytes;
    enf_detector_free(&det);
    det = new_detector(100);
    for (uint32_t n = 0; n < 20 * ENF_KNOWN_NETWORKS_MAX; n++)
        feed(ENF_OBSERVATION_ACCEPTED, n, now_ms++);
    enf_detector_stats(det, &stats);
    assert_true(stats.bytes <= bytes);
    double before = score_at(now_ms);
    feed(ENF_OBSERVATION_REFUSED, 0xffff, now_ms);
    assert_score(now_ms, before);
}

static void test_refused_by_a_blocklist(void **state)
{
    (void)state;
    double listed = step_of(ENF_SEQUENTIAL_SESSION) + step_of(ENF_SEQUENTIAL_BLOCKLISTED);
    struct enf_observation obs = outcome(ENF_OBSERVATION_BLOCKLISTED, 1, START);
    enf_detector_feed(det, &obs, &settings, &signal_out);
    obs.kind = ENF_OBSERVATION_REFUSED;
    enf_detector_feed(det, &obs, &settings, &signal_out);
    assert_score(START, listed);
    /* Another connection is another matter. */
    feed(ENF_OBSERVATION_REFUSED, 2, START + 1);
    assert_score(START + 1, listed + step_of(ENF_SEQUENTIAL_REFUSED));
}

/* --- second tries --- */

struct retry_row {
    const char *name;
    uint64_t busy_ms;  /* after the 4yz: another connection each so often */
    uint64_t retry_ms; /* when the same network is reached again; 0: never */
    uint64_t end_ms;   /* when something is sent for the last time */
    enum enf_sequential_kind expected;
};

static const struct retry_row retry_rows[] = {
    {"not yet", HOUR, 0, 4 * HOUR - 1, ENF_SEQUENTIAL_NONE},
    {"never", HOUR, 0, 4 * HOUR, ENF_SEQUENTIAL_NOT_RETRIED},
    {"too soon is none", HOUR, MINUTE - 1, 4 * HOUR, ENF_SEQUENTIAL_NOT_RETRIED},
    {"soon", HOUR, MINUTE, 4 * HOUR, ENF_SEQUENTIAL_RETRIED},
    {"late", HOUR, 4 * HOUR - 1, 5 * HOUR, ENF_SEQUENTIAL_RETRIED},
    {"too late", HOUR, 4 * HOUR, 5 * HOUR, ENF_SEQUENTIAL_NOT_RETRIED},
    {"silent for almost two hours", 2 * HOUR - 1, 0, 6 * HOUR, ENF_SEQUENTIAL_NOT_RETRIED},
    {"switched off", 5 * HOUR, 0, 5 * HOUR, ENF_SEQUENTIAL_NONE},
    {"switched off, then tried", 5 * HOUR, 6 * HOUR, 7 * HOUR, ENF_SEQUENTIAL_RETRIED},
};

static void test_second_tries(void **state)
{
    for (size_t i = 0; i < sizeof(retry_rows) / sizeof(retry_rows[0]); i++) {
        const struct retry_row *row = &retry_rows[i];
        feed(ENF_OBSERVATION_DEFERRED, 1, START);
        uint64_t busy_ms = row->busy_ms;
        uint32_t n = 2;
        bool retried = row->retry_ms == 0;
        while (busy_ms <= row->end_ms || !retried) {
            if (!retried && row->retry_ms <= busy_ms) {
                retried = true;
                feed(ENF_OBSERVATION_SYN, 1 + NEIGHBOUR, START + row->retry_ms); /* another server there */
                continue;
            }
            feed(ENF_OBSERVATION_SYN, n++, START + busy_ms);
            busy_ms += row->busy_ms;
        }
        feed(ENF_OBSERVATION_SYN, n, START + row->end_ms);
        if (score_at(START + row->end_ms) != step_of(row->expected))
            fail_msg("%s: score %f, expected %f", row->name, score_at(START + row->end_ms),
                     step_of(row->expected));
        teardown(state);
        setup(state);
    }
}

/* Each network is judged once, and no more wait than there is room for. */
static void test_many_second_tries(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 2 * ENF_DEFERRED_MAX; n++) {
        feed(ENF_OBSERVATION_DEFERRED, n, START + n);
        feed(ENF_OBSERVATION_DEFERRED, n, START + n);
        feed(ENF_OBSERVATION_DEFERRED, n + NEIGHBOUR, START + n);
    }
    for (uint64_t hour = 1; hour < 4; hour++)
        assert_int_equal(feed(ENF_OBSERVATION_SYN, 200, START + hour * HOUR), 0);
    assert_int_equal(feed(ENF_OBSERVATION_SYN, 201, START + 4 * HOUR + MINUTE), 1);
    assert_int_equal(signal_out.verdict, ENF_VERDICT_ZOMBIE);
    assert_int_equal(signal_out.evidence_total, 7);
    for (uint32_t i = 0; i < 7; i++) {
        struct enf_addr expected = server(ENF_DEFERRED_MAX + i);
        assert_int_equal(signal_out.evidence[i].kind, ENF_EVIDENCE_NO_SECOND_TRY);
        assert_true(enf_addr_equal(&signal_out.evidence[i].destination, &expected));
    }
    /* The rest counts in the tests that follow. */
    uint32_t convictions = 1;
    for (uint32_t n = 0; n < 5; n++)
        convictions += (uint32_t)feed(ENF_OBSERVATION_SYN, 202, START + 4 * HOUR + 2 * MINUTE);
    assert_int_equal(convictions, 4); /* 32 are 7, 8, 8 and 9: thresholds rise */
}

/* --- habits --- */

static void test_helo(void **state)
{
    (void)state;
    double session = step_of(ENF_SEQUENTIAL_SESSION);
    helo(0x1234567800000001, ENF_HELO_FQDN, START);
    helo(0x1234567800000001, ENF_HELO_FQDN, START + 1);
    helo(0x1234567800000001, ENF_HELO_LITERAL, START + 2);
    assert_score(START + 2, session);
    helo(0x9234567800000001, ENF_HELO_FQDN, START + 3);
    assert_score(START + 3, session + step_of(ENF_SEQUENTIAL_HELO_CHANGED));
    helo(0x1234567800000001, ENF_HELO_BARE_NAME, START + 4);
    assert_score(START + 4,
                 session + step_of(ENF_SEQUENTIAL_HELO_CHANGED) + step_of(ENF_SEQUENTIAL_HELO_NO_NAME));
}

struct habit_row {
    enum enf_observation_kind kind;
    uint64_t value;
    enum enf_sequential_kind expected;
};

static const struct habit_row habit_rows[] = {
    {ENF_OBSERVATION_EARLY_TALK, 0, ENF_SEQUENTIAL_EARLY_TALK},
    {ENF_OBSERVATION_RECIPIENTS, 20, ENF_SEQUENTIAL_MANY_RECIPIENTS},
    {ENF_OBSERVATION_BLOCKLISTED, 0, ENF_SEQUENTIAL_BLOCKLISTED},
    {ENF_OBSERVATION_END, 0, ENF_SEQUENTIAL_NO_QUIT},
    {ENF_OBSERVATION_END, 1, ENF_SEQUENTIAL_NONE},
};

static void test_habits(void **state)
{
    for (size_t i = 0; i < sizeof(habit_rows) / sizeof(habit_rows[0]); i++) {
        double expected = step_of(ENF_SEQUENTIAL_SESSION) + step_of(habit_rows[i].expected);
        for (uint32_t n = 0; n < 10; n++) {
            struct enf_observation obs = outcome(habit_rows[i].kind, n, START + n);
            obs.value = habit_rows[i].value;
            assert_int_equal(enf_detector_feed(det, &obs, &settings, &signal_out), 0);
        }
        assert_score(START + 10, expected);
        teardown(state);
        setup(state);
    }
}

/* Says nothing, and makes nobody known. */
static void test_not_smtp(void **state)
{
    (void)state;
    struct enf_detector_stats stats;
    for (uint32_t n = 0; n < 100; n++)
        assert_int_equal(feed(ENF_OBSERVATION_NOT_SMTP, n, START + n), 0);
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.subscribers, 0);
}

/* Where strangers are the evidence, and where there is no test, sessions are none. */
static void test_elsewhere(void **state)
{
    (void)state;
    struct enf_detector_stats stats;
    for (int line = 0; line < 2; line++) {
        settings.sequential.model = line ? ENF_SEQUENTIAL_LINE : ENF_SEQUENTIAL_SERVER;
        settings.sequential.enabled = line;
        for (uint32_t kind = ENF_OBSERVATION_ANSWERED; kind < ENF_OBSERVATION_REPLY; kind++)
            for (uint32_t n = 0; n < 100; n++)
                assert_int_equal(feed(kind, n, START + n), 0);
        enf_detector_stats(det, &stats);
        assert_int_equal(stats.subscribers, 0);
    }
}

/* --- convictions --- */

static void assert_arithmetic(void)
{
    double score = 0;
    for (size_t i = 0; i < signal_out.evidence_len; i++) {
        const struct enf_evidence *evidence = &signal_out.evidence[i];
        score += evidence->step;
        assert_true(evidence->score == score);
        assert_true((score >= evidence->threshold) == (i + 1 == signal_out.evidence_len));
        assert_string_equal(evidence->setting, "sequential: false_conviction 0.000001");
    }
}

static void test_bot(void **state)
{
    (void)state;
    static const enum enf_evidence_kind expected[] = {
        ENF_EVIDENCE_ANSWERED, ENF_EVIDENCE_SESSION, ENF_EVIDENCE_HELO_NO_NAME, ENF_EVIDENCE_BLOCKLISTED,
        ENF_EVIDENCE_NO_QUIT,  ENF_EVIDENCE_FAILED,  ENF_EVIDENCE_REFUSED,      ENF_EVIDENCE_FAILED,
        ENF_EVIDENCE_REFUSED,  ENF_EVIDENCE_REFUSED, ENF_EVIDENCE_REFUSED,      ENF_EVIDENCE_REFUSED,
    };
    feed(ENF_OBSERVATION_SYN, 1, START);
    feed(ENF_OBSERVATION_ANSWERED, 1, START + 1);
    helo(7, ENF_HELO_BARE_NAME, START + 2);
    feed(ENF_OBSERVATION_BLOCKLISTED, 1, START + 3);
    feed(ENF_OBSERVATION_END, 1, START + 4);
    struct enf_observation reset = outcome(ENF_OBSERVATION_FAILED, 2, START + 5);
    reset.value = 1;
    enf_detector_feed(det, &reset, &settings, &signal_out);
    feed(ENF_OBSERVATION_REFUSED, 3, START + 6);
    feed(ENF_OBSERVATION_FAILED, 4, START + 7);
    assert_int_equal(feed(ENF_OBSERVATION_REFUSED, 5, START + 8), 0);
    assert_int_equal(feed(ENF_OBSERVATION_REFUSED, 6, START + 9), 0);
    assert_int_equal(feed(ENF_OBSERVATION_REFUSED, 7, START + 9), 0);
    assert_int_equal(feed(ENF_OBSERVATION_REFUSED, 8, START + 10), 1);
    assert_int_equal(signal_out.verdict, ENF_VERDICT_ZOMBIE);
    assert_int_equal(signal_out.cause, ENF_CAUSE_SEQUENTIAL);
    assert_false(signal_out.forgeable);
    assert_int_equal(signal_out.time_ms, START + 10);
    assert_int_equal(signal_out.evidence_total, 12);
    assert_int_equal(signal_out.evidence_len, 12);
    assert_arithmetic();
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(signal_out.evidence[i].kind, expected[i]);
        /* What came in from outside. */
        bool outside = i == 0 || i == 3 || i == 5 || i == 6 || i >= 8;
        assert_int_equal(signal_out.evidence[i].forgeable, outside);
    }
    struct enf_detector_view view;
    struct enf_addr addr = v4(SOURCE);
    struct enf_prefix key = enf_prefix_host(&addr);
    assert_int_equal(enf_detector_show(det, &key, &settings, START + 10, &view), 0);
    assert_int_equal(view.last.cause, ENF_CAUSE_SEQUENTIAL);
    assert_int_equal(view.last.evidence_len, 12);
    assert_int_equal(view.sequential.observations, 0);
}

/* An outsider who has others write to servers of his own can arrange refusals, as many as he likes. */
static void test_outside_alone(void **state)
{
    (void)state;
    uint32_t suspicions = 0;
    for (uint32_t n = 0; n < 200; n++) {
        int rc = feed(ENF_OBSERVATION_REFUSED, n, START + n);
        suspicions += (uint32_t)rc;
        if (rc == 1) {
            assert_int_equal(signal_out.verdict, ENF_VERDICT_SUSPECT);
            assert_int_equal(signal_out.cause, ENF_CAUSE_SEQUENTIAL);
            assert_arithmetic();
        }
    }
    assert_true(suspicions > 5);
    struct enf_detector_stats stats;
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.convictions, 0);
    assert_int_equal(stats.suspicions, suspicions);
    struct enf_detector_view view;
    struct enf_addr addr = v4(SOURCE);
    struct enf_prefix key = enf_prefix_host(&addr);
    assert_int_equal(enf_detector_show(det, &key, &settings, START + 200, &view), 0);
    assert_int_equal(view.last.cause, ENF_CAUSE_NONE);
    assert_int_equal(view.convictions, 0);
}

/* A neighbour can open connections under this address; the mark lasts as long as the test. */
static void test_forgeable(void **state)
{
    (void)state;
    struct enf_observation obs = outcome(ENF_OBSERVATION_FAILED, 1, START);
    obs.forgeable = true;
    enf_detector_feed(det, &obs, &settings, &signal_out);
    feed(ENF_OBSERVATION_END, 2, START + 1);
    int rc = 0;
    for (uint32_t n = 3; rc == 0; n++)
        rc = feed(ENF_OBSERVATION_REFUSED, n, START + n);
    assert_int_equal(signal_out.verdict, ENF_VERDICT_ZOMBIE);
    assert_true(signal_out.forgeable);
    feed(ENF_OBSERVATION_END, 2, START + 100);
    for (uint32_t n = 100, again = 0; again == 0; n++)
        again = (uint32_t)feed(ENF_OBSERVATION_REFUSED, n, START + n);
    assert_false(signal_out.forgeable);
}

/* --- replies that nobody asked for --- */

static int reply(uint32_t n, uint64_t time_ms)
{
    struct enf_observation obs = outcome(ENF_OBSERVATION_REPLY, 0, time_ms);
    obs.source = server(n);
    obs.source_port = 25;
    obs.destination = v4(SOURCE);
    obs.destination_port = 40000;
    obs.value = 220;
    return enf_detector_feed(det, &obs, &settings, &signal_out);
}

static void test_replies(void **state)
{
    (void)state;
    uint64_t per = settings.unrequested_replies.per_ms;
    assert_int_equal(reply(1, START), 0);
    assert_int_equal(reply(2, START + 1), 0);
    /* The first one is exactly a window ago. */
    assert_int_equal(reply(3, START + per), 0);
    assert_int_equal(reply(4, START + per), 1);
    assert_int_equal(signal_out.verdict, ENF_VERDICT_SUSPECT);
    assert_int_equal(signal_out.cause, ENF_CAUSE_UNREQUESTED_REPLIES);
    assert_string_equal(signal_out.setting, "unrequested_replies: 3 per 10m");
    assert_true(signal_out.forgeable);
    assert_int_equal(signal_out.time_ms, START + per);
    assert_int_equal(signal_out.evidence_len, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct enf_evidence *evidence = &signal_out.evidence[i];
        struct enf_addr from = server(2 + i);
        assert_int_equal(evidence->kind, ENF_EVIDENCE_REPLY);
        assert_true(enf_addr_equal(&evidence->destination, &from));
        assert_int_equal(evidence->destination_port, 25);
        assert_int_equal(evidence->value, 220);
        assert_true(evidence->forgeable && evidence->step == 1 && evidence->score == i + 1 &&
                    evidence->threshold == 3);
    }
    /* Once in a window. */
    for (uint32_t n = 0; n < 100; n++)
        assert_int_equal(reply(n, START + per + 1 + n), 0);
    assert_int_equal(reply(7, START + 2 * per - 1), 0);
    assert_int_equal(reply(8, START + 2 * per), 1);
    struct enf_detector_stats stats;
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.convictions, 0);
    assert_int_equal(stats.suspicions, 2);
}

static void test_replies_convict(void **state)
{
    (void)state;
    settings.unrequested_replies.count = 1;
    settings.unrequested_replies.convicts = true;
    assert_int_equal(reply(1, START), 1);
    assert_int_equal(signal_out.verdict, ENF_VERDICT_ZOMBIE);
    assert_true(signal_out.forgeable);
    settings.unrequested_replies.count = 0;
    assert_int_equal(reply(2, START + DAY), 0);
}

/* Who only gets replies is forgotten a window after the last one, and all memory is given back. */
static void test_replies_are_forgotten(void **state)
{
    (void)state;
    struct enf_detector_stats stats;
    uint64_t per = settings.unrequested_replies.per_ms;
    enf_detector_stats(det, &stats);
    size_t empty = stats.bytes;
    reply(1, START);
    reply(2, START + per / 2);
    assert_int_equal(enf_detector_forget_idle(det, START + per / 2 + per - 1, 100), 0);
    assert_int_equal(enf_detector_forget_idle(det, START + per / 2 + per, 100), 1);
    enf_detector_stats(det, &stats);
    assert_int_equal(stats.subscribers, 0);
    assert_true(stats.bytes <= empty + (size_t)1024 * 128);
    assert_int_equal(reply(3, START + 2 * per), 0);
}

/* A flood of forged replies to everybody does not push out who is suspicious by its own doing. */
static void test_flood_of_replies(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 3; n++)
        feed(ENF_OBSERVATION_REFUSED, n, START + n);
    double score = score_at(START + 3);
    assert_true(score > 6);
    for (uint32_t n = 0; n < 100000; n++) {
        struct enf_observation obs = outcome(ENF_OBSERVATION_REPLY, 0, START + 4);
        obs.source = server(1);
        obs.destination = v4(NOBODY + n);
        obs.subscriber = enf_prefix_host(&obs.destination);
        assert_true(enf_detector_feed(det, &obs, &settings, &signal_out) >= 0);
    }
    assert_score(START + 5, score);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_first_contacts_only),
        TEST(test_line_that_is_down),
        TEST(test_first_mail_only),
        TEST(test_cap_of_networks),
        TEST(test_refused_by_a_blocklist),
        TEST(test_second_tries),
        TEST(test_many_second_tries),
        TEST(test_helo),
        TEST(test_habits),
        TEST(test_not_smtp),
        TEST(test_elsewhere),
        TEST(test_bot),
        TEST(test_outside_alone),
        TEST(test_forgeable),
        TEST(test_replies),
        TEST(test_replies_convict),
        TEST(test_replies_are_forgotten),
        TEST(test_flood_of_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
