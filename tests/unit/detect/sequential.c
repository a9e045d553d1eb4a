/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sequential test by itself: steps against their probabilities, thresholds, networks, the tests of a day,
 * and whether budgets hold where hosts do what the model says. */
#include "enforcer/detect/sequential.h"

#include "tests/unit/detect/feeding.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct enf_sequential_rules rules_of(double false_conviction, double missed)
{
    struct enf_sequential_settings settings = {.false_conviction = false_conviction, .missed = missed};
    struct enf_sequential_rules rules;
    assert_int_equal(enf_sequential_rules_make(&settings, &rules), 0);
    return rules;
}

static double floor_step(double of)
{
    return floor(of * ENF_SEQUENTIAL_UNIT);
}

static void test_steps_follow_from_probabilities(void **state)
{
    (void)state;
    double session = 0;
    for (unsigned kind = 0; kind < ENF_SEQUENTIAL_KIND_COUNT; kind++) {
        const struct enf_sequential_row *row = enf_sequential_row(kind);
        double step = log(row->zombie / row->honest);
        if (row->once && kind != ENF_SEQUENTIAL_SESSION) {
            double unseen = log((1 - row->zombie) / (1 - row->honest));
            session += unseen;
            step -= unseen;
        }
        if (kind != ENF_SEQUENTIAL_SESSION && floor_step(step) != row->step)
            fail_msg("%s: %d, not %f", row->name, row->step, floor_step(step));
    }
    assert_true(floor_step(session) == enf_sequential_row(ENF_SEQUENTIAL_SESSION)->step);
    assert_null(enf_sequential_row(ENF_SEQUENTIAL_KIND_COUNT));
}

/* What the bound on false convictions rests on: among honest hosts the mean of e^step is at most 1. */
static void test_no_pair_gains_on_the_honest(void **state)
{
    (void)state;
    static const enum enf_sequential_kind pairs[][2] = {
        {ENF_SEQUENTIAL_NEW_2, ENF_SEQUENTIAL_AGAIN_2},
        {ENF_SEQUENTIAL_NEW_3, ENF_SEQUENTIAL_AGAIN_3},
        {ENF_SEQUENTIAL_NEW_4, ENF_SEQUENTIAL_AGAIN_4},
        {ENF_SEQUENTIAL_NEW_5, ENF_SEQUENTIAL_AGAIN_5},
        {ENF_SEQUENTIAL_NEW_6, ENF_SEQUENTIAL_AGAIN_6},
        {ENF_SEQUENTIAL_FAILED, ENF_SEQUENTIAL_ANSWERED},
        {ENF_SEQUENTIAL_REFUSED, ENF_SEQUENTIAL_ACCEPTED},
        {ENF_SEQUENTIAL_NOT_RETRIED, ENF_SEQUENTIAL_RETRIED},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const struct enf_sequential_row *a = enf_sequential_row(pairs[i][0]);
        const struct enf_sequential_row *b = enf_sequential_row(pairs[i][1]);
        assert_true(fabs(a->honest + b->honest - 1) < 1e-12);
        assert_true(fabs(a->zombie + b->zombie - 1) < 1e-12);
        double gain = a->honest * exp(a->step / 256.0) + b->honest * exp(b->step / 256.0);
        if (gain > 1 || gain < 0.99)
            fail_msg("%s: %f", a->name, gain);
    }
    double once = exp(enf_sequential_row(ENF_SEQUENTIAL_SESSION)->step / 256.0);
    for (unsigned kind = ENF_SEQUENTIAL_SESSION + 1; kind < ENF_SEQUENTIAL_KIND_COUNT; kind++) {
        const struct enf_sequential_row *row = enf_sequential_row(kind);
        once *= row->honest * exp(row->step / 256.0) + 1 - row->honest;
    }
    assert_true(once <= 1 && once > 0.95);
}

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double false_conviction, missed;
        int expected;
    } rows[] = {
        {"ordinary", 1e-6, 0.01, 0},
        {"lowest", 1e-12, 1e-6, 0},
        {"highest", 0.1, 0.5, 0},
        {"false too low", 0.99e-12, 0.01, -EINVAL},
        {"false too high", 0.100001, 0.01, -EINVAL},
        {"missed too low", 1e-6, 0.99e-6, -EINVAL},
        {"missed too high", 1e-6, 0.500001, -EINVAL},
        {"zero", 0, 0, -EINVAL},
        {"negative", -1e-6, 0.01, -EINVAL},
        {"no number", (double)NAN, 0.01, -EINVAL},
        {"no number either", 1e-6, (double)NAN, -EINVAL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_sequential_settings settings = {.false_conviction = rows[i].false_conviction,
                                                   .missed = rows[i].missed};
        struct enf_sequential_rules rules = {.convict = -7};
        if (enf_sequential_rules_make(&settings, &rules) != rows[i].expected)
            fail_msg("%s", rows[i].name);
        assert_true((rows[i].expected == 0) == (rules.convict != -7));
    }
    struct enf_sequential_rules rules = rules_of(1e-6, 0.01);
    assert_true(fabs(rules.convict / 256 - 14.3132) < 1e-4);
    assert_true(fabs(rules.clear / 256 + 4.6052) < 1e-4);
}

/* Connections by the number of their network; result of the last one. */
static enum enf_sequential_result connect_to(struct enf_sequential *state,
                                             const struct enf_sequential_rules *rules, uint32_t network,
                                             uint64_t now_ms, struct enf_sequential_step *out)
{
    struct enf_addr addr = v4((network + 1) << 16 | (uint32_t)(now_ms & 0xffff));
    return enf_sequential_connection(state, rules, &addr, now_ms, out);
}

static void test_ten_strangers_convict(void **state)
{
    (void)state;
    static const struct {
        double false_conviction;
        uint32_t networks;
    } rows[] = {{1e-3, 7}, {1e-4, 8}, {1e-5, 9}, {1e-6, 10}, {1e-7, 11}, {1e-12, 15}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_sequential_rules rules = rules_of(rows[i].false_conviction, 0.01);
        struct enf_sequential seq = {0};
        struct enf_sequential_step step;
        uint32_t n = 0;
        while (connect_to(&seq, &rules, n++, START, &step) == ENF_SEQUENTIAL_CONTINUE)
            assert_true(n < 100);
        if (n != rows[i].networks)
            fail_msg("%g: %u", rows[i].false_conviction, n);
        assert_int_equal(step.observations, n);
        assert_true(step.score >= step.threshold);
        /* The next test starts from nothing, with a higher threshold. */
        enf_sequential_show(&seq, &rules, START, &step);
        assert_true(step.score == 0 && step.observations == 0);
        assert_true(fabs(step.threshold - rules.convict / 256 - 2 * log(2)) < 1e-9);
    }
}

static void test_kinds_of_connections(void **state)
{
    (void)state;
    struct enf_sequential_rules rules = rules_of(1e-12, 1e-6);
    struct enf_sequential seq = {0};
    struct enf_sequential_step step;
    for (uint32_t n = 0; n < 9; n++) {
        connect_to(&seq, &rules, n, START, &step);
        assert_int_equal(step.kind,
                         n < 2 ? ENF_SEQUENTIAL_FIRST : ENF_SEQUENTIAL_NEW_2 + (n < 6 ? n : 6) - 2);
        double score = step.score;
        uint16_t observations = step.observations;
        connect_to(&seq, &rules, n, START, &step);
        assert_int_equal(step.kind, ENF_SEQUENTIAL_NONE);
        assert_true(step.score == score && step.observations == observations && step.step == 0);
        connect_to(&seq, &rules, 0, START, &step);
        assert_int_equal(step.kind,
                         n == 0 ? ENF_SEQUENTIAL_NONE : ENF_SEQUENTIAL_AGAIN_2 + (n < 5 ? n : 5) - 1);
    }
}

/* Ten are remembered; the one not used for longest goes. */
static void test_networks_remembered(void **state)
{
    (void)state;
    struct enf_sequential_rules rules = rules_of(1e-12, 1e-6);
    struct enf_sequential seq = {0};
    struct enf_sequential_step step;
    for (uint32_t n = 0; n < 10; n++)
        connect_to(&seq, &rules, n, START, &step);
    connect_to(&seq, &rules, 0, START, &step);
    assert_int_equal(step.kind, ENF_SEQUENTIAL_AGAIN_6);
    connect_to(&seq, &rules, 10, START, &step); /* in the place of 1 */
    assert_int_equal(step.kind, ENF_SEQUENTIAL_NEW_6);
    connect_to(&seq, &rules, 0, START, &step);
    assert_int_equal(step.kind, ENF_SEQUENTIAL_AGAIN_6);
    connect_to(&seq, &rules, 2, START, &step);
    assert_int_equal(step.kind, ENF_SEQUENTIAL_AGAIN_6);
    connect_to(&seq, &rules, 1, START, &step);
    assert_int_equal(step.kind, ENF_SEQUENTIAL_NEW_6);
    assert_int_equal(seq.networks_len, ENF_SEQUENTIAL_NETWORKS);
}

static void test_what_is_a_network(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"192.0.2.1", "192.0.255.254", true},     {"192.0.2.1", "192.1.2.1", false},
        {"2001:db8::1", "2001:db8:ffff::", true}, {"2001:db8::1", "2001:db9::1", false},
        {"2001:db8::1", "2003:db8::1", false},
    };
    struct enf_sequential_rules rules = rules_of(1e-6, 0.01);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_sequential seq = {0};
        struct enf_sequential_step step;
        struct enf_addr a = address(rows[i].a);
        struct enf_addr b = address(rows[i].b);
        enf_sequential_connection(&seq, &rules, &a, START, &step);
        enf_sequential_connection(&seq, &rules, &b, START, &step);
        if ((step.kind == ENF_SEQUENTIAL_NONE) != rows[i].same)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
}

static void test_clearing(void **state)
{
    (void)state;
    struct enf_sequential_rules rules = rules_of(1e-6, 0.01);
    struct enf_sequential seq = {0};
    struct enf_sequential_step step;
    /* To and fro between two: -0.957 each, below -4.605 after five. */
    uint32_t turn = 0;
    connect_to(&seq, &rules, turn++, START, &step);
    connect_to(&seq, &rules, turn++, START, &step);
    for (uint32_t test = 1; test <= 50; test++)
        for (uint32_t n = 0; n < 5; n++) {
            enum enf_sequential_result result = connect_to(&seq, &rules, turn++ % 2, START, &step);
            assert_int_equal(result, n == 4 ? ENF_SEQUENTIAL_CLEAR : ENF_SEQUENTIAL_CONTINUE);
            enf_sequential_show(&seq, &rules, START, &step);
            uint32_t shown = n == 4 ? test + 1 : test; /* the next one */
            assert_true(fabs(step.threshold - rules.convict / 256 - 2 * log(shown)) < 1e-9);
        }
    assert_int_equal(seq.tests, 51);
}

static void test_period(void **state)
{
    (void)state;
    struct enf_sequential_rules rules = rules_of(1e-6, 0.01);
    static const struct {
        uint64_t after;
        bool same;
    } rows[] = {{DAY - 1, true}, {DAY, false}, {DAY + 1, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_sequential seq = {0};
        struct enf_sequential_step step;
        for (uint32_t n = 0; n < 9; n++)
            connect_to(&seq, &rules, n, START, &step);
        enf_sequential_show(&seq, &rules, START + rows[i].after, &step);
        assert_true((step.score > 0) == rows[i].same);
        /* The tenth convicts only in the same period, though the nine are known in any. */
        assert_int_equal(connect_to(&seq, &rules, 9, START + rows[i].after, &step) == ENF_SEQUENTIAL_CONVICT,
                         rows[i].same);
        assert_int_equal(step.kind, ENF_SEQUENTIAL_NEW_6);
    }
}

static void test_counted_once(void **state)
{
    (void)state;
    struct enf_sequential_rules rules = rules_of(1e-12, 1e-6);
    struct enf_sequential seq = {0};
    struct enf_sequential_step step;
    for (unsigned kind = ENF_SEQUENTIAL_SESSION; kind < ENF_SEQUENTIAL_KIND_COUNT; kind++) {
        enf_sequential_step(&seq, &rules, kind, START, &step);
        assert_int_equal(step.kind, kind);
        double score = step.score;
        enf_sequential_step(&seq, &rules, kind, START, &step);
        assert_int_equal(step.kind, ENF_SEQUENTIAL_NONE);
        assert_true(step.score == score && step.step == 0);
    }
    enf_sequential_restart(&seq);
    /* Not without what stands for none of them seen. */
    enf_sequential_step(&seq, &rules, ENF_SEQUENTIAL_NO_QUIT, START, &step);
    assert_int_equal(step.kind, ENF_SEQUENTIAL_NONE);
    enf_sequential_step(&seq, &rules, ENF_SEQUENTIAL_SESSION, START, &step);
    assert_int_equal(step.kind, ENF_SEQUENTIAL_SESSION);
    enf_sequential_step(&seq, &rules, ENF_SEQUENTIAL_NO_QUIT, START, &step);
    assert_int_equal(step.kind, ENF_SEQUENTIAL_NO_QUIT);
    enf_sequential_step(&seq, &rules, ENF_SEQUENTIAL_KIND_COUNT, START, &step);
    assert_int_equal(step.kind, ENF_SEQUENTIAL_NONE);
}

/* Trying again, however often, neither convicts nor hides. */
static void test_same_network_again(void **state)
{
    (void)state;
    struct enf_sequential_rules rules = rules_of(1e-6, 0.01);
    struct enf_sequential seq = {0};
    struct enf_sequential_step step;
    enum enf_sequential_result result = ENF_SEQUENTIAL_CONTINUE;
    uint32_t n = 0;
    for (; result == ENF_SEQUENTIAL_CONTINUE; n++)
        for (uint32_t again = 0; again < 50 && result == ENF_SEQUENTIAL_CONTINUE; again++)
            result = connect_to(&seq, &rules, n, START + n, &step);
    assert_int_equal(result, ENF_SEQUENTIAL_CONVICT);
    assert_int_equal(n, 10);
    assert_int_equal(step.observations, 10);
}

/* A line with a mail server: strangers are no evidence; refusals are. */
static void test_server(void **state)
{
    (void)state;
    struct enf_sequential_rules rules = rules_of(1e-6, 0.01);
    rules.model = ENF_SEQUENTIAL_SERVER;
    struct enf_sequential seq = {0};
    struct enf_sequential_step step;
    for (uint32_t n = 0; n < 10000; n++)
        assert_int_equal(connect_to(&seq, &rules, n, START, &step), ENF_SEQUENTIAL_CONTINUE);
    assert_true(step.score == 0 && step.observations == 0);
    uint32_t n = 1;
    while (enf_sequential_step(&seq, &rules, ENF_SEQUENTIAL_REFUSED, START, &step) == ENF_SEQUENTIAL_CONTINUE)
        n++;
    assert_int_equal(n, 7);
}

/* The last test of a period never convicts: its share of the budget could be used again and again. */
static void test_last_test_of_a_period(void **state)
{
    (void)state;
    struct enf_sequential_rules rules = rules_of(0.1, 0.5);
    struct enf_sequential seq = {0};
    struct enf_sequential_step step;
    connect_to(&seq, &rules, 0, START, &step);
    for (uint32_t i = 0; i < 70000; i++)
        enf_sequential_restart(&seq);
    assert_int_equal(seq.tests, ENF_SEQUENTIAL_TESTS_MAX);
    for (uint32_t n = 1; n < 1000; n++)
        assert_int_equal(connect_to(&seq, &rules, n, START, &step), ENF_SEQUENTIAL_CONTINUE);
    for (uint32_t n = 1000; n < 1010; n++)
        connect_to(&seq, &rules, n, START + DAY, &step);
    assert_true(seq.tests < 10);
}

/* --- what the budgets mean, on hosts that do exactly what the model says --- */

static uint64_t random_state;

static double uniform(void)
{
    random_state += 0x9e3779b97f4a7c15;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

/* The honest worst case: exactly the probabilities of the table, `len` connections a day. New networks are
 * those never used before. */
static uint32_t honest_days(uint32_t days, uint32_t len, double false_conviction)
{
    struct enf_sequential_rules rules = rules_of(false_conviction, 0.01);
    uint32_t convictions = 0;
    for (uint32_t day = 0; day < days; day++) {
        struct enf_sequential seq = {0};
        struct enf_sequential_step step;
        uint32_t fresh = 0;
        uint32_t last = 0;
        uint32_t before = 0;
        for (uint32_t i = 0; i < len; i++) {
            unsigned known = seq.networks_len < 6 ? seq.networks_len : 6;
            bool is_new =
                known < 2 || uniform() < enf_sequential_row(ENF_SEQUENTIAL_NEW_2 + known - 2)->honest;
            uint32_t next = is_new ? fresh++ : before;
            before = last;
            last = next;
            convictions += connect_to(&seq, &rules, last, START + i, &step) == ENF_SEQUENTIAL_CONVICT;
        }
    }
    return convictions;
}

static void test_false_convictions_within_budget(void **state)
{
    (void)state;
    static const struct {
        double budget;
        uint32_t days, len;
    } rows[] = {{1e-1, 100000, 20}, {1e-1, 20000, 500},  {1e-2, 200000, 20},
                {1e-2, 20000, 500}, {1e-3, 1000000, 20}, {1e-3, 50000, 500}};
    /* Under valgrind, which asks for few of everything, the first will do. */
    size_t count = getenv("ENFORCER_SEQUENCES") ? 1 : sizeof(rows) / sizeof(rows[0]);
    random_state = 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t n = honest_days(rows[i].days, rows[i].len, rows[i].budget);
        double measured = (double)n / rows[i].days;
        print_message("declared %g, %u connections a day: measured %.3g (%u of %u days)\n", rows[i].budget,
                      rows[i].len, measured, n, rows[i].days);
        assert_true(measured <= rows[i].budget);
        assert_true(n > 0); /* the bound is no idle one */
    }
}

/* Wald: the mean number of observations of one test under a zombie is ((1 - beta) A + beta B) / mean step. */
static void wald(const char *name, enum enf_sequential_kind yes, enum enf_sequential_kind no,
                 double false_conviction)
{
    struct enf_sequential_rules rules = rules_of(false_conviction, 0.01);
    const struct enf_sequential_row *a = enf_sequential_row(yes);
    const struct enf_sequential_row *b = enf_sequential_row(no);
    double mean = a->zombie * a->step + b->zombie * b->step;
    double expected = (0.99 * rules.convict + 0.01 * rules.clear) / mean;
    double sum = 0;
    uint32_t convicted = 0;
    enum { TESTS = 20000 };
    for (uint32_t test = 0; test < TESTS; test++) {
        struct enf_sequential seq = {0};
        struct enf_sequential_step step;
        enum enf_sequential_result result = ENF_SEQUENTIAL_CONTINUE;
        while (result == ENF_SEQUENTIAL_CONTINUE)
            result = enf_sequential_step(&seq, &rules, uniform() < a->zombie ? yes : no, START, &step);
        sum += step.observations;
        convicted += result == ENF_SEQUENTIAL_CONVICT;
    }
    double measured = sum / TESTS;
    print_message(
        "%s at %g: %.2f observations, Wald says %.2f (%+.1f %%); %.2f %% missed by the first test\n", name,
        false_conviction, measured, expected, 100 * (measured / expected - 1),
        100.0 * (TESTS - convicted) / TESTS);
    assert_true(fabs(measured / expected - 1) < 0.10);
    assert_true(TESTS - convicted <= TESTS / 100 * 11 / 10);
}

static void test_wald(void **state)
{
    (void)state;
    random_state = 2;
    wald("first contacts", ENF_SEQUENTIAL_FAILED, ENF_SEQUENTIAL_ANSWERED, 1e-3);
    wald("first contacts", ENF_SEQUENTIAL_FAILED, ENF_SEQUENTIAL_ANSWERED, 1e-6);
    wald("recipients", ENF_SEQUENTIAL_REFUSED, ENF_SEQUENTIAL_ACCEPTED, 1e-6);
    wald("second tries", ENF_SEQUENTIAL_NOT_RETRIED, ENF_SEQUENTIAL_RETRIED, 1e-6);
    wald("networks, 6 known", ENF_SEQUENTIAL_NEW_6, ENF_SEQUENTIAL_AGAIN_6, 1e-6);
    wald("networks, 6 known", ENF_SEQUENTIAL_NEW_6, ENF_SEQUENTIAL_AGAIN_6, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_follow_from_probabilities),
        cmocka_unit_test(test_no_pair_gains_on_the_honest),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_ten_strangers_convict),
        cmocka_unit_test(test_kinds_of_connections),
        cmocka_unit_test(test_networks_remembered),
        cmocka_unit_test(test_what_is_a_network),
        cmocka_unit_test(test_clearing),
        cmocka_unit_test(test_period),
        cmocka_unit_test(test_counted_once),
        cmocka_unit_test(test_same_network_again),
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_last_test_of_a_period),
        cmocka_unit_test(test_false_convictions_within_budget),
        cmocka_unit_test(test_wald),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
