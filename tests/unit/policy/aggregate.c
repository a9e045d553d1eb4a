/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Aggregated events: first at once, then one an interval, nothing lost: not at the cap, not when the clock
 * jumps. */
#include "enforcer/policy/aggregate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INTERVAL 60000ULL

struct heard {
    struct enf_event last;
    size_t events;
    uint64_t count;
    uint64_t by_action[ENF_EVENT_ACTION_COUNT];
};

static void on_event(void *ctx, const struct enf_event *event)
{
    struct heard *heard = ctx;

    assert_true(event->count > 0);
    heard->last = *event;
    heard->events++;
    heard->count += event->count;
    heard->by_action[event->action] += event->count;
}

static struct enf_aggregate_packet packet(unsigned host, unsigned destination)
{
    uint8_t source[4] = {10, (uint8_t)(host >> 16), (uint8_t)(host >> 8), (uint8_t)host};
    uint8_t target[4] = {198, 51, 100, (uint8_t)destination};
    struct enf_aggregate_packet p = {
        .action = ENF_EVENT_EGRESS_BLOCKED,
        .source = enf_addr_from_bytes(ENF_FAMILY_V4, source),
        .source_port = 40000,
        .destination = enf_addr_from_bytes(ENF_FAMILY_V4, target),
        .destination_port = 25,
        .interface = "eth1",
    };

    p.key = enf_prefix_host(&p.source);
    return p;
}

struct row {
    const char *name;
    uint64_t feeds_ms[6]; /* 0 ends them */
    uint64_t tick_ms;
    size_t events; /* after the tick */
    uint64_t last_count;
    uint64_t last_interval_ms;
    size_t keys;
};

static const struct row ROWS[] = {
    {"the first at once", {1000}, 1000, 1, 1, 0, 1},
    {"the second waits", {1000, 1001}, 60999, 1, 1, 0, 1},
    {"the interval's end tells it", {1000, 1001}, 61000, 2, 1, 60000, 1},
    {"several as one", {1000, 1001, 1002, 60999}, 61000, 2, 3, 60000, 1},
    {"an end is also noticed by a packet", {1000, 1001, 61000}, 61000, 2, 1, 60000, 1},
    {"late tick says what it covers", {1000, 1001}, 200000, 2, 1, 199000, 1},
    {"silence drops the key", {1000}, 61000, 1, 1, 0, 0},
    {"and the next is at once again", {1000, 61000}, 61000, 2, 1, 0, 1},
    {"clock back: nothing waits longer than an interval", {1000000, 1000001, 5000}, 65000, 2, 2, 60000, 1},
};

static void test_intervals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        struct enf_aggregate *aggregate = NULL;
        struct enf_aggregate_packet p = packet(7, 1);
        struct heard heard = {.events = 0};
        size_t fed = 0;

        assert_int_equal(enf_aggregate_new(INTERVAL, 10, 3, &aggregate), 0);
        assert_true(enf_aggregate_next(aggregate) == UINT64_MAX);
        for (; fed < 6 && row->feeds_ms[fed]; fed++)
            enf_aggregate_feed(aggregate, row->feeds_ms[fed], &p, on_event, &heard);
        enf_aggregate_tick(aggregate, row->tick_ms, on_event, &heard);
        if (heard.events != row->events || heard.last.count != row->last_count ||
            heard.last.interval_ms != row->last_interval_ms || enf_aggregate_keys(aggregate) != row->keys)
            fail_msg("%s: %zu events, last of %llu in %llu ms, %zu keys", row->name, heard.events,
                     (unsigned long long)heard.last.count, (unsigned long long)heard.last.interval_ms,
                     enf_aggregate_keys(aggregate));
        enf_aggregate_flush(aggregate, row->tick_ms + 1, on_event, &heard);
        assert_int_equal(heard.count, fed);
        assert_int_equal(enf_aggregate_keys(aggregate), 0);
        enf_aggregate_free(&aggregate);
        assert_null(aggregate);
        enf_aggregate_free(&aggregate);
    }
}

static void test_what_an_event_says(void **state)
{
    struct enf_aggregate *aggregate = NULL;
    struct heard heard = {.events = 0};
    struct enf_aggregate_packet p = packet(7, 1);

    (void)state;
    assert_int_equal(enf_aggregate_new(INTERVAL, 10, 3, &aggregate), 0);
    enf_aggregate_feed(aggregate, 1000, &p, on_event, &heard);
    assert_int_equal(heard.last.action, ENF_EVENT_EGRESS_BLOCKED);
    assert_int_equal(heard.last.time_ms, 1000);
    assert_true(enf_prefix_equal(&heard.last.subscriber, &p.key));
    assert_true(enf_addr_equal(&heard.last.source, &p.source));
    assert_int_equal(heard.last.source_port, 40000);
    assert_int_equal(heard.last.destination_port, 25);
    assert_string_equal(heard.last.interface, "eth1");
    assert_int_equal(heard.last.destinations_len, 1);
    for (unsigned i = 0; i < 40; i++) { /* twenty destinations twice */
        p = packet(7, 10 + i % 20);
        p.count = 2;
        enf_aggregate_feed(aggregate, 2000 + i, &p, on_event, &heard);
    }
    p = packet(7, 1);
    p.action = ENF_EVENT_SOURCE_SPOOFED; /* another key */
    enf_aggregate_feed(aggregate, 3000, &p, on_event, &heard);
    assert_int_equal(heard.events, 2);
    assert_true(enf_aggregate_next(aggregate) == 61000);
    enf_aggregate_tick(aggregate, 61000, on_event, &heard);
    assert_int_equal(heard.events, 3);
    assert_int_equal(heard.last.count, 80);
    assert_int_equal(heard.last.destinations_len, ENF_EVENT_DESTINATIONS_MAX);
    assert_int_equal(heard.last.destinations[0].bytes[3], 10);
    assert_int_equal(heard.last.destinations[15].bytes[3], 25);
    assert_int_equal(heard.last.destination.bytes[3], 10);
    enf_aggregate_free(&aggregate);
}

static void test_cap(void **state)
{
    struct enf_aggregate *aggregate = NULL;
    struct heard heard = {.events = 0};
    struct enf_aggregate_packet p;

    (void)state;
    assert_int_equal(enf_aggregate_new(0, 10, 3, &aggregate), -EINVAL);
    assert_int_equal(enf_aggregate_new(1000, 0, 3, &aggregate), -EINVAL);
    assert_int_equal(enf_aggregate_new(1000, ENF_AGGREGATE_KEYS_LIMIT + 1, 3, &aggregate), -EINVAL);
    assert_int_equal(enf_aggregate_new(INTERVAL, 10, 3, &aggregate), 0);
    assert_int_equal(enf_aggregate_set_interval(aggregate, 0), -EINVAL);
    for (unsigned host = 0; host < 1000; host++) {
        p = packet(host, 1);
        enf_aggregate_feed(aggregate, 1000, &p, on_event, &heard);
    }
    assert_int_equal(enf_aggregate_keys(aggregate), 10);
    assert_int_equal(heard.events, 11); /* ten of their own, one for all the others */
    assert_int_equal(heard.last.subscriber.addr.family, ENF_FAMILY_NONE);
    assert_int_equal(heard.last.source.family, ENF_FAMILY_NONE);
    assert_non_null(strstr(heard.last.reason, "beyond the 10"));
    p.action = ENF_EVENT_BOGON_DROPPED; /* a common record an action */
    enf_aggregate_feed(aggregate, 1001, &p, on_event, &heard);
    assert_int_equal(heard.events, 12);
    enf_aggregate_tick(aggregate, 61000, on_event, &heard);
    assert_int_equal(heard.events, 13);
    assert_int_equal(heard.last.count, 989);
    assert_int_equal(enf_aggregate_keys(aggregate), 0); /* silent for an interval: there is room again */
    p = packet(5000, 1);
    enf_aggregate_feed(aggregate, 61001, &p, on_event, &heard);
    assert_true(enf_prefix_equal(&heard.last.subscriber, &p.key));
    enf_aggregate_flush(aggregate, 61002, on_event, &heard);
    assert_int_equal(heard.count, 1002);
    enf_aggregate_free(&aggregate);
}

/* Whatever comes when, and whatever the clock does: the counts add up, by action too. */
static void test_sum(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 30; seed++) {
        struct enf_aggregate *aggregate = NULL;
        struct heard heard = {.events = 0};
        uint64_t fed[ENF_EVENT_ACTION_COUNT] = {0};
        uint64_t now_ms = 1000000;
        uint32_t random = seed;

        assert_int_equal(enf_aggregate_new(1000, 50, seed, &aggregate), 0);
        for (unsigned i = 0; i < 20000; i++) {
            struct enf_aggregate_packet p;

            random = random * 1664525u + 1013904223u;
            p = packet((random >> 10) % 200, random >> 24);
            p.action = (enum enf_event_action)((random >> 5) % ENF_EVENT_ACTION_COUNT);
            p.count = (random >> 8) % 3;
            now_ms += (random >> 12) % 20;
            if ((random >> 7) % 500 == 0)
                now_ms = (random >> 6) % 2 ? now_ms + 5000 : now_ms - 7000;
            enf_aggregate_feed(aggregate, now_ms, &p, on_event, &heard);
            fed[p.action] += p.count ? p.count : 1;
            assert_true(enf_aggregate_keys(aggregate) <= 50);
            assert_true(enf_aggregate_next(aggregate) <= now_ms + 1000);
        }
        enf_aggregate_flush(aggregate, now_ms, on_event, &heard);
        assert_memory_equal(fed, heard.by_action, sizeof(fed));
        enf_aggregate_free(&aggregate);
    }
}

/* The same keys with and without fetching ahead, from an empty table to beyond the cap: the same events. */
static void test_prefetch_changes_nothing(void **state)
{
    enum { HOSTS = 3000, CAP = 2000, BURST = ENF_AGGREGATE_PREFETCH_MAX };
    struct enf_aggregate *aggregates[2] = {NULL, NULL};
    struct heard heard[2] = {{.events = 0}, {.events = 0}};

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(enf_aggregate_new(INTERVAL, CAP, 3, &aggregates[i]), 0);
    for (unsigned host = 0; host < 3 * HOSTS; host += BURST) {
        struct enf_aggregate_packet packets[BURST + 1];
        const struct enf_prefix *keys[BURST + 1];
        for (unsigned i = 0; i <= BURST; i++) {
            packets[i] = packet((host + i) % HOSTS, i);
            keys[i] = &packets[i].key;
        }
        enf_aggregate_prefetch(aggregates[1], ENF_EVENT_EGRESS_BLOCKED, keys, BURST + 1);
        for (unsigned i = 0; i < BURST; i++)
            for (int k = 0; k < 2; k++)
                enf_aggregate_feed(aggregates[k], 1000 + host * 10ULL, &packets[i], on_event, &heard[k]);
        assert_memory_equal(&heard[0], &heard[1], sizeof(heard[0]));
    }
    assert_true(heard[1].events > HOSTS);
    for (int i = 0; i < 2; i++)
        enf_aggregate_free(&aggregates[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_what_an_event_says),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_prefetch_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
