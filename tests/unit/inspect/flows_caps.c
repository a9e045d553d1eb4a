/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bounds of the table of flows: who goes, who stays, and that everything is given back. */
#include "tests/unit/inspect/flows_bed.h"

#include <errno.h>

#define SYN ENF_TCP_SYN
#define ACK ENF_TCP_ACK
#define C   ENF_DIRECTION_CLIENT
#define S   ENF_DIRECTION_SERVER

static struct flows_bed bed;

static struct ends nth(unsigned n)
{
    return (struct ends){
        .client = (uint16_t)n, .client_port = (uint16_t)(1024 + n / 7), .server = (uint8_t)n};
}

static void syn(unsigned n)
{
    struct ends ends = nth(n);
    flows_bed_packet(&bed, &ends, C, n, 0, SYN, "");
}

static void answer(unsigned n)
{
    struct ends ends = nth(n);
    flows_bed_packet(&bed, &ends, S, 100, n + 1, SYN | ACK, "");
}

static void greet(unsigned n)
{
    struct ends ends = nth(n);
    flows_bed_packet(&bed, &ends, S, 101, n + 1, ACK, "220 mx\r\n");
    flows_bed_packet(&bed, &ends, C, n + 1, 109, ACK, "HELO a.example.org\r\n");
}

static size_t told(enum enf_observation_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < bed.seen_len; i++)
        n += bed.seen[i].kind == kind;
    return n;
}

static void test_params(void **state)
{
    (void)state;
    struct enf_flows *flows = NULL;
    struct enf_flows_params params = {.max_flows = ENF_FLOWS_MAX + 1};
    assert_int_equal(enf_flows_new(&params, &flows), -EINVAL);
    assert_null(flows);
    enf_flows_free(&flows);
    params.max_flows = 1;
    assert_int_equal(enf_flows_new(&params, &flows), 0);
    enf_flows_free(&flows);
}

/* A flood of forged SYNs pushes out the oldest SYNs, never a session that is read. */
static void test_flood(void **state)
{
    (void)state;
    const struct enf_flows_params params = {.max_flows = 100, .seed = 1};
    flows_bed_open(&bed, &params);
    for (unsigned n = 1; n <= 10; n++) {
        syn(n);
        answer(n);
    }
    for (unsigned n = 11; n < 5000; n++) {
        syn(n);
        assert_true(flows_bed_stats(&bed).flows <= 100);
    }
    struct enf_flows_stats stats = flows_bed_stats(&bed);
    assert_int_equal(stats.flows, 100);
    assert_int_equal(stats.read, 10);
    assert_int_equal(stats.waiting, 90);
    assert_int_equal(stats.evicted_waiting, 4989 - 90);
    assert_int_equal(stats.evicted_read, 0);
    for (unsigned n = 1; n <= 10; n++)
        greet(n);
    assert_int_equal(told(ENF_OBSERVATION_HELO), 10);
    /* The latest SYNs are known still, the one before them is not. */
    answer(4999);
    answer(4910);
    assert_int_equal(told(ENF_OBSERVATION_ANSWERED), 12);
    answer(4909);
    assert_int_equal(told(ENF_OBSERVATION_ANSWERED), 12);
    assert_int_equal(bed.syns, 4999);
    flows_bed_close(&bed);
}

/* Who has nothing left to say goes before who waits for an answer. */
static void test_told_go_first(void **state)
{
    (void)state;
    const struct enf_flows_params params = {.max_flows = 10, .seed = 1};
    flows_bed_open(&bed, &params);
    syn(1);
    for (unsigned n = 2; n <= 10; n++) {
        struct ends ends = nth(n);
        syn(n);
        flows_bed_packet(&bed, &ends, S, 0, n + 1, ENF_TCP_RST | ACK, "");
    }
    for (unsigned n = 11; n <= 19; n++)
        syn(n);
    assert_int_equal(flows_bed_stats(&bed).evicted_told, 9);
    assert_int_equal(flows_bed_stats(&bed).evicted_waiting, 0);
    answer(1);
    assert_int_equal(told(ENF_OBSERVATION_ANSWERED), 1);
    flows_bed_close(&bed);
}

/* Nobody may go: the SYN is told, and not remembered. */
static void test_all_read(void **state)
{
    (void)state;
    const struct enf_flows_params params = {.max_flows = 10, .seed = 1};
    flows_bed_open(&bed, &params);
    for (unsigned n = 1; n <= 10; n++) {
        syn(n);
        answer(n);
    }
    syn(11);
    assert_int_equal(bed.answer, ENF_FLOWS_ENOUGH);
    assert_int_equal(bed.syns, 11);
    assert_int_equal(flows_bed_stats(&bed).unread, 1);
    assert_int_equal(flows_bed_stats(&bed).read, 10);
    flows_bed_close(&bed);
}

static void test_subscriber(void **state)
{
    (void)state;
    const struct enf_flows_params params = {.max_flows = 1000, .max_of_subscriber = 20, .seed = 1};
    struct ends ends = {.client = 9, .server = 1};
    flows_bed_open(&bed, &params);
    for (unsigned n = 0; n < 100; n++) {
        ends.client_port = (uint16_t)(5000 + n);
        flows_bed_packet(&bed, &ends, C, n, 0, SYN, "");
    }
    assert_int_equal(flows_bed_stats(&bed).flows, 20);
    assert_int_equal(flows_bed_stats(&bed).over_subscriber, 80);
    assert_int_equal(bed.syns, 100);
    ends.client = 10; /* another one has room */
    flows_bed_packet(&bed, &ends, C, 1, 0, SYN, "");
    assert_int_equal(flows_bed_stats(&bed).flows, 21);
    /* What has been answered with a reset, or waited too long, counts no more. */
    ends = (struct ends){.client = 9, .client_port = 5000, .server = 1};
    flows_bed_packet(&bed, &ends, S, 0, 1, ENF_TCP_RST | ACK, "");
    ends.client_port = 6000;
    flows_bed_packet(&bed, &ends, C, 1, 0, SYN, "");
    assert_int_equal(flows_bed_stats(&bed).over_subscriber, 80);
    flows_bed_tick(&bed, ENF_FLOWS_ANSWER_MS);
    assert_int_equal(told(ENF_OBSERVATION_FAILED), 22);
    for (unsigned n = 0; n < 20; n++) {
        ends.client_port = (uint16_t)(7000 + n);
        flows_bed_packet(&bed, &ends, C, n, 0, SYN, "");
    }
    assert_int_equal(flows_bed_stats(&bed).over_subscriber, 80);
    flows_bed_close(&bed);
}

/* Counts of subscribers come back to zero, whatever became of their flows: else the last round has no room.
 */
static void test_counts_come_back(void **state)
{
    (void)state;
    const struct enf_flows_params params = {.max_flows = 64, .max_of_subscriber = 4, .seed = 1};
    uint64_t random = 5;
    flows_bed_open(&bed, &params);
    for (unsigned round = 0; round < 20000; round++) {
        struct ends ends = {.client = (uint16_t)talk_random(&random, 12),
                            .client_port = (uint16_t)(100 + talk_random(&random, 4)),
                            .server = (uint8_t)talk_random(&random, 2)};
        uint32_t isn = talk_random(&random, 3) * 1000;
        switch (talk_random(&random, 8)) {
        case 0:
        case 1:
        case 2:
            flows_bed_packet(&bed, &ends, C, isn, 0, SYN, "");
            break;
        case 3:
            flows_bed_packet(&bed, &ends, S, 100, isn + 1, SYN | ACK, "");
            break;
        case 4:
            flows_bed_packet(&bed, &ends, S, 100, isn + 1, ENF_TCP_RST | ACK, "");
            break;
        case 5:
            flows_bed_packet(&bed, &ends, C, isn + 1, 101, ACK, talk_random(&random, 2) ? "x" : "");
            break;
        case 6:
            flows_bed_packet(&bed, &ends, C, isn + 1, 101, ENF_TCP_RST, "");
            break;
        case 7:
            bed.now_ms += talk_random(&random, 4000);
            break;
        }
        assert_true(flows_bed_stats(&bed).flows <= 64);
        if (bed.seen_len > SEEN_MAX / 2)
            bed.seen_len = 0;
    }
    flows_bed_tick(&bed, 3600000);
    assert_int_equal(flows_bed_stats(&bed).flows, 0);
    uint64_t over = flows_bed_stats(&bed).over_subscriber;
    assert_true(over > 0);
    for (unsigned client = 0; client < 12; client++)
        for (unsigned n = 0; n < 4; n++) {
            struct ends ends = {.client = (uint16_t)client, .client_port = (uint16_t)(100 + n)};
            flows_bed_packet(&bed, &ends, C, n, 0, SYN, "");
        }
    assert_int_equal(flows_bed_stats(&bed).over_subscriber, over);
    flows_bed_close(&bed);
}

/* Room for readers: those whose server was never seen go first, then who was silent for long, then nobody. */
static void test_bytes(void **state)
{
    (void)state;
    const struct enf_flows_params params = {
        .max_flows = 100, .max_bytes = (size_t)2 * 10 * ENF_FLOWS_READING_MAX, .seed = 1};
    struct ends half = nth(50);
    flows_bed_open(&bed, &params);
    for (unsigned n = 1; n <= 9; n++) {
        syn(n);
        answer(n);
    }
    syn(50);
    flows_bed_packet(&bed, &half, C, 51, 1, ACK, "EHLO x.example.org\r\n");
    size_t fits = flows_bed_stats(&bed).read;
    assert_int_equal(fits, 10);
    unsigned more = 100;
    while (flows_bed_stats(&bed).evicted_read == 0) {
        assert_true(more < 120);
        syn(more);
        answer(more++);
        assert_true(flows_bed_stats(&bed).bytes <= params.max_bytes / 2);
    }
    assert_int_equal(flows_bed_stats(&bed).unread, 0);
    syn(200);
    answer(200);
    assert_int_equal(flows_bed_stats(&bed).unread, 1);
    assert_int_equal(bed.answer, ENF_FLOWS_ENOUGH);
    assert_int_equal(bed.seen[bed.seen_len - 1].kind, ENF_OBSERVATION_ANSWERED);
    flows_bed_tick(&bed, ENF_FLOWS_YIELD_MS);
    greet(2); /* number 1 is silent for longest now */
    syn(201);
    answer(201);
    assert_int_equal(flows_bed_stats(&bed).unread, 1);
    assert_int_equal(flows_bed_stats(&bed).evicted_read, 2);
    size_t before = bed.seen_len;
    greet(1);
    assert_int_equal(bed.seen_len, before);
    greet(201);
    assert_int_equal(bed.seen_len, before + 1);
    flows_bed_close(&bed);
}

/* Bytes that wait are bounded for all together, and come back. */
static void test_waiting_bytes(void **state)
{
    (void)state;
    const struct enf_flows_params params = {.max_flows = 100, .max_bytes = 400000, .seed = 1};
    flows_bed_open(&bed, &params);
    for (unsigned n = 1; n <= 30; n++) {
        struct ends ends = nth(n);
        syn(n);
        answer(n);
        for (uint32_t at = 1; at < 20; at++)
            flows_bed_packet(&bed, &ends, C, n + 1 + 1000 * at, 101, ACK, "something behind a hole");
        assert_true(flows_bed_stats(&bed).bytes <= params.max_bytes);
    }
    assert_true(flows_bed_stats(&bed).bytes > params.max_bytes / 2);
    flows_bed_close(&bed);
}

static void test_forget(void **state)
{
    (void)state;
    const struct ends v6 = {.client = 3, .client_port = 9, .server = 9, .v6 = true};
    struct enf_prefix prefix;
    flows_bed_open(&bed, NULL);
    for (unsigned n = 1; n <= 8; n++) {
        syn(n);
        if (n % 2)
            answer(n);
    }
    flows_bed_packet(&bed, &v6, C, 1, 0, SYN, "");
    assert_int_equal(enf_prefix_parse("100.64.0.3", &prefix), 0);
    assert_int_equal(enf_flows_forget(bed.flows, &prefix), 1);
    assert_int_equal(enf_flows_forget(bed.flows, &prefix), 0);
    assert_int_equal(enf_prefix_parse("100.64.0.4/30", &prefix), 0);
    assert_int_equal(enf_flows_forget(bed.flows, &prefix), 4);
    assert_int_equal(enf_prefix_parse("2001:db8::/32", &prefix), 0);
    assert_int_equal(enf_flows_forget(bed.flows, &prefix), 1);
    assert_int_equal(flows_bed_stats(&bed).flows, 3);
    size_t before = bed.seen_len;
    flows_bed_tick(&bed, 3600000);
    assert_int_equal(bed.seen_len, before + 2); /* silence of 2 and 8; 1 is read */
    flows_bed_close(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params),        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_told_go_first), cmocka_unit_test(test_all_read),
        cmocka_unit_test(test_subscriber),    cmocka_unit_test(test_counts_come_back),
        cmocka_unit_test(test_bytes),         cmocka_unit_test(test_waiting_bytes),
        cmocka_unit_test(test_forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
