/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who looks like a mail server, and what is remembered of whom when there is no room. */
#include "enforcer/policy/senders.h"

#include "enforcer/inspect/smtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct enf_addr host(uint32_t number)
{
    uint8_t bytes[4] = {100, 64 + (number >> 16), number >> 8 & 255, number & 255};

    return enf_addr_from_bytes(ENF_FAMILY_V4, bytes);
}

static void feed(struct enf_senders *senders, uint32_t source, uint32_t destination,
                 enum enf_observation_kind kind, uint64_t value)
{
    struct enf_observation obs = {
        .kind = kind,
        .time_ms = 1000,
        .source = host(source),
        .destination = host(0x100000 + destination),
        .value = value,
        .helo_form = ENF_HELO_FQDN,
    };

    enf_senders_feed(senders, &obs, "eth1");
}

static int take(void *ctx, const struct enf_sender *sender)
{
    *(struct enf_sender *)ctx = *sender;
    return 1;
}

static int count(void *ctx, const struct enf_sender *sender)
{
    (void)sender;
    ++*(size_t *)ctx;
    return 0;
}

/* What a host did: so many answered connections to so many servers, and so on. */
static const struct row {
    const char *name;
    uint32_t answered, servers, failed, ended, quits, accepted, refused, listed, early, helos;
    bool serves;
    enum enf_sender_kind expected;
} rows[] = {
    {"nothing but answers", 8, 8, 0, 0, 0, 0, 0, 0, 0, 1, false, ENF_SENDER_OTHER},
    {"a mail server", 8, 8, 0, 8, 8, 8, 0, 0, 0, 1, false, ENF_SENDER_LIKELY},
    {"just as many failures as it may have", 8, 8, 4, 8, 8, 8, 0, 0, 0, 1, false, ENF_SENDER_LIKELY},
    {"more failures", 8, 8, 5, 8, 8, 8, 0, 0, 0, 1, false, ENF_SENDER_POSSIBLE},
    {"too few connections", 7, 7, 0, 7, 7, 7, 0, 0, 0, 1, false, ENF_SENDER_POSSIBLE},
    {"few", 3, 3, 0, 3, 3, 3, 0, 0, 0, 1, false, ENF_SENDER_POSSIBLE},
    {"too few for anything", 2, 2, 0, 2, 2, 2, 0, 0, 0, 1, false, ENF_SENDER_OTHER},
    {"one server only", 20, 1, 0, 20, 20, 20, 0, 0, 0, 1, false, ENF_SENDER_OTHER},
    {"hangs up", 20, 20, 0, 20, 15, 20, 0, 0, 0, 1, false, ENF_SENDER_OTHER},
    {"hangs up now and then", 20, 20, 0, 20, 16, 20, 0, 0, 0, 1, false, ENF_SENDER_LIKELY},
    {"a bad list", 20, 20, 0, 20, 20, 10, 4, 0, 0, 1, false, ENF_SENDER_OTHER},
    {"on a blocklist", 20, 20, 0, 20, 20, 20, 0, 2, 0, 1, false, ENF_SENDER_OTHER},
    {"talks first", 20, 20, 0, 20, 20, 20, 0, 0, 1, 1, false, ENF_SENDER_OTHER},
    {"many names", 20, 20, 0, 20, 20, 20, 0, 0, 0, 2, false, ENF_SENDER_POSSIBLE},
    {"serves, sends a little", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, true, ENF_SENDER_LIKELY},
    {"serves, talks first", 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, true, ENF_SENDER_OTHER},
};

static void repeat(struct enf_senders *senders, uint32_t times, uint32_t servers,
                   enum enf_observation_kind kind, uint64_t value)
{
    for (uint32_t i = 0; i < times; i++)
        feed(senders, 7, i % servers, kind, value);
}

static void test_judge(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct enf_senders *senders;
        struct enf_sender found = {.answered = 0};
        assert_int_equal(enf_senders_new(42, &senders), 0);
        repeat(senders, r->answered, r->servers, ENF_OBSERVATION_ANSWERED, 0);
        repeat(senders, r->failed, r->servers, ENF_OBSERVATION_FAILED, 0);
        repeat(senders, r->quits, r->servers, ENF_OBSERVATION_END, 1);
        repeat(senders, r->ended - r->quits, r->servers, ENF_OBSERVATION_END, 0);
        repeat(senders, r->accepted, r->servers, ENF_OBSERVATION_ACCEPTED, 0);
        repeat(senders, r->refused, r->servers, ENF_OBSERVATION_REFUSED, 0);
        repeat(senders, r->listed, r->servers, ENF_OBSERVATION_BLOCKLISTED, 0);
        repeat(senders, r->early, r->servers, ENF_OBSERVATION_EARLY_TALK, 0);
        for (uint32_t h = 0; h < r->helos; h++)
            feed(senders, 7, 0, ENF_OBSERVATION_HELO, 1000 + 2 * h);
        assert_int_equal(enf_senders_each(senders, take, &found), 1);
        assert_string_equal(found.interface, "eth1");
        if (enf_sender_judge(&found, r->serves) != r->expected)
            fail_msg("%s: %s", r->name, enf_sender_kind_name(enf_sender_judge(&found, r->serves)));
        enf_senders_free(&senders);
        assert_null(senders);
    }
}

static void test_silence_takes_no_room(void **state)
{
    struct enf_senders *senders;
    size_t hosts = 0;

    (void)state;
    assert_int_equal(enf_senders_new(42, &senders), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        feed(senders, i, 1, ENF_OBSERVATION_SYN, 0);
        feed(senders, i, 1, ENF_OBSERVATION_FAILED, 0);
        feed(senders, i, 1, ENF_OBSERVATION_END, 1);
    }
    enf_senders_each(senders, count, &hosts);
    assert_int_equal(hosts, 0);
    enf_senders_free(&senders);
}

/* At the cap those with the fewest answers go: a flood of hosts that come once does not push a mail server
 * out. */
static void test_cap(void **state)
{
    struct enf_senders *senders;
    struct enf_prefix kept = enf_prefix_host(&(struct enf_addr){.family = ENF_FAMILY_NONE});
    size_t hosts = 0, left = 0;

    (void)state;
    assert_int_equal(enf_senders_new(42, &senders), 0);
    repeat(senders, 3, 3, ENF_OBSERVATION_ANSWERED, 0);
    for (uint32_t i = 100; i < 100 + 8 * ENF_SENDERS_MAX; i++)
        feed(senders, i, 1, ENF_OBSERVATION_ANSWERED, 0);
    enf_senders_each(senders, count, &hosts);
    assert_int_equal(hosts, ENF_SENDERS_MAX);
    struct enf_addr server = host(7);
    kept = enf_prefix_host(&server);
    enf_senders_forget(senders, &kept);
    enf_senders_each(senders, count, &left);
    assert_int_equal(left, hosts - 1);
    enf_senders_free(&senders);
}

static void test_destinations(void **state)
{
    struct enf_sender s = {.destinations = 0};

    (void)state;
    assert_int_equal(enf_sender_destinations(&s), 0);
    s.destinations = 0x7;
    assert_int_equal(enf_sender_destinations(&s), 3);
    s.destinations = UINT64_MAX;
    assert_int_equal(enf_sender_destinations(&s), 266);
    assert_null(enf_sender_kind_name((enum enf_sender_kind)ENF_SENDER_KIND_COUNT));
    assert_string_equal(enf_sender_kind_name(ENF_SENDER_LIKELY), "likely");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_silence_takes_no_room),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_destinations),
    };

    return cmocka_run_group_tests_name("policy/senders", tests, NULL, NULL);
}
