/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configurations that load: the example of the documentation, the smallest one, defaults, what inherits from
 * what. */
#include "enforcer/config/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEN "0123456789"

#define SECOND 1000ULL
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static struct enf_config *load(const char *yaml, size_t len)
{
    struct enf_config_errors errors;
    struct enf_config *config = NULL;
    int ret = enf_config_parse("good.yaml", yaml, len, &config, &errors);

    for (size_t i = 0; i < errors.len; i++)
        print_error("%s\n", errors.lines[i]);
    assert_int_equal(ret, 0);
    assert_non_null(config);
    assert_int_equal(errors.len, 0);
    assert_null(errors.lines);
    return config;
}

static struct enf_config *load_text(const char *yaml)
{
    return load(yaml, strlen(yaml));
}

/* The whole file; the caller frees. Tests run in the root of the tree. */
static char *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "re");
    char *text = malloc(1 << 20);

    assert_non_null(file);
    assert_non_null(text);
    *len = fread(text, 1, (1 << 20) - 1, file);
    text[*len] = '\0';
    fclose(file);
    return text;
}

static void assert_prefix(const struct enf_prefix *prefix, const char *expected)
{
    char shown[ENF_PREFIX_STR_LEN];

    assert_string_equal(enf_prefix_str(prefix, shown, sizeof(shown)), expected);
}

static void assert_addr(const struct enf_addr *addr, const char *expected)
{
    char shown[ENF_PREFIX_STR_LEN];

    assert_string_equal(enf_addr_str(addr, shown, sizeof(shown)), expected);
}

static void assert_windows(const struct enf_detector_settings *settings, const struct enf_window *expected,
                           size_t len)
{
    assert_int_equal(settings->connection_rate_len, len);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(settings->connection_rate[i].connections, expected[i].connections);
        assert_int_equal(settings->connection_rate[i].per_ms, expected[i].per_ms);
    }
}

static void assert_same_limits(const struct enf_detector_settings *a, const struct enf_detector_settings *b)
{
    assert_windows(a, b->connection_rate, b->connection_rate_len);
    assert_int_equal(a->distinct_destinations.count, b->distinct_destinations.count);
    assert_int_equal(a->distinct_destinations.per_ms, b->distinct_destinations.per_ms);
}

static void test_defaults(void **state)
{
    struct enf_config *config = load_text("{}");
    const uint64_t steps[] = {HOUR, 6 * HOUR, 24 * HOUR, 7 * DAY};

    (void)state;
    assert_int_equal(config->mode, ENF_MODE_ENFORCE);
    assert_int_equal(config->interfaces.subscriber_len, 0);
    assert_int_equal(config->interfaces.upstream_len, 0);
    assert_int_equal(config->relays_len, 0);
    assert_int_equal(config->smarthosts_len, 0);
    assert_int_equal(config->groups_len, 0);
    assert_int_equal(config->traps_len, 0);
    assert_int_equal(config->max_subscribers, 1000000);
    assert_true(config->quarantine.automatic);
    assert_int_equal(config->quarantine.level, ENF_LEVEL_SMTP);
    assert_int_equal(config->quarantine.duration_ms, HOUR);
    assert_int_equal(config->quarantine.escalation_len, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(config->quarantine.escalation[i].duration_ms, steps[i]);
        assert_int_equal(config->quarantine.escalation[i].level, ENF_LEVEL_NONE);
    }
    assert_int_equal(config->quarantine.memory_ms, 30 * DAY);
    assert_int_equal(config->quarantine.max_entries, 1000000);
    assert_int_equal(config->quarantine.governor.convictions, 50);
    assert_int_equal(config->quarantine.governor.per_ms, MINUTE);
    assert_int_equal(config->quarantine.never.len, 0);
    assert_true(config->inbound.drop_source_port_25);
    assert_false(config->inbound.stateless);
    assert_string_equal(config->inbound.bogons, "");
    assert_int_equal(config->antispoof, ENF_ANTISPOOF_OFF);
    assert_int_equal(config->queue.first, 0);
    assert_int_equal(config->queue.count, 1);
    assert_int_equal(config->queue.fail, ENF_FAIL_CLOSED);
    assert_string_equal(config->control.socket, "/run/enforcer/control.sock");
    assert_int_equal(config->control.admins_len, 1);
    assert_string_equal(config->control.admins[0].name, "root");
    assert_false(config->control.admins[0].group);
    assert_int_equal(config->control.viewers_len, 0);
    assert_int_equal(config->events_len, 1);
    assert_int_equal(config->events[0].type, ENF_SINK_FILE);
    assert_string_equal(config->events[0].path, "/var/log/enforcer/events.json");
    assert_int_equal(config->aggregate_ms, MINUTE);
    assert_string_equal(config->state, "/var/lib/enforcer");
    enf_config_free(&config);
    assert_null(config);
    enf_config_free(&config);
    enf_config_free(NULL);
}

static void test_group_defaults(void **state)
{
    struct enf_config *config = load_text("groups: [{name: a, prefixes: [192.0.2.0/24]}]");
    struct enf_detector_settings block = enf_detector_defaults(ENF_POLICY_BLOCK);
    const struct enf_group *group = &config->groups[0];

    (void)state;
    assert_int_equal(config->groups_len, 1);
    assert_string_equal(group->name, "a");
    assert_int_equal(group->prefixes_len, 1);
    assert_prefix(&group->prefixes[0], "192.0.2.0/24");
    assert_int_equal(group->policy, ENF_POLICY_BLOCK);
    assert_int_equal(group->block_with, ENF_BLOCK_DROP);
    assert_int_equal(group->canary_percent, 100);
    assert_int_equal(group->subscriber_prefix_v6, 64);
    assert_int_equal(group->addresses, ENF_ADDRESSES_STATIC);
    assert_int_equal(group->lease_ms, DAY);
    assert_same_limits(&group->detector, &block);
    assert_int_equal(group->detector.traps_len, 0);
    assert_true(group->detector.sequential.enabled);
    assert_true(group->detector.sequential.false_conviction == 1e-6);
    assert_true(group->detector.sequential.missed == 0.01);
    assert_int_equal(group->detector.unrequested_replies.count, 3);
    assert_int_equal(group->detector.unrequested_replies.per_ms, 10 * MINUTE);
    assert_false(group->detector.unrequested_replies.convicts);
    assert_int_equal(group->overrides_len, 0);
    enf_config_free(&config);
}

static void check_example_ends(const struct enf_config *config)
{
    assert_int_equal(config->quarantine.never.len, 1);
    assert_prefix(&config->quarantine.never.items[0], "192.0.2.0/24");
    assert_int_equal(config->quarantine.escalation_len, 4);
    assert_int_equal(config->antispoof, ENF_ANTISPOOF_STRICT);
    assert_string_equal(config->control.viewers[0].name, "noc");
    assert_true(config->control.viewers[0].group);
    assert_int_equal(config->traps_len, 1);
    assert_addr(&config->traps[0], "203.0.113.66");
}

static void test_example(void **state)
{
    const struct enf_window residential[] = {{20, MINUTE}, {200, HOUR}};
    const struct enf_window list_service[] = {{2000, MINUTE}};
    size_t len = 0;
    char *text = read_file("docs/enforcer.yaml", &len);
    struct enf_config *config = load(text, len);

    (void)state;
    assert_int_equal(config->interfaces.subscriber_len, 2);
    assert_string_equal(config->interfaces.subscriber[0].name, "eth1");
    assert_string_equal(config->interfaces.subscriber[1].name, "ppp*");
    assert_string_equal(config->interfaces.upstream[0].name, "eth0");
    assert_int_equal(config->relays_len, 2);
    assert_string_equal(config->relays[0].name, "mx-out");
    assert_int_equal(config->relays[0].addresses_len, 3);
    assert_prefix(&config->relays[0].addresses[1], "2001:db8:1::10");
    assert_prefix(&config->relays[0].addresses[2], "192.0.2.64/28");
    assert_string_equal(config->relays[1].interface, "eth2");
    assert_int_equal(config->smarthosts_len, 1);
    assert_prefix(&config->smarthosts[0].addresses[0], "198.51.100.25");
    assert_false(config->smarthosts[0].quarantined_may_use);
    assert_int_equal(config->groups_len, 3);
    assert_int_equal(config->groups[0].subscriber_prefix_v6, 56);
    assert_int_equal(config->groups[0].addresses, ENF_ADDRESSES_DYNAMIC);
    assert_windows(&config->groups[0].detector, residential, 2);
    assert_ptr_equal(config->groups[0].detector.traps, config->traps);
    assert_int_equal(config->groups[1].policy, ENF_POLICY_INSPECT);
    assert_int_equal(config->groups[1].detector.distinct_destinations.count, 5000);
    assert_int_equal(config->groups[1].overrides_len, 2);
    assert_prefix(&config->groups[1].overrides[0].prefix, "198.18.7.25");
    assert_windows(&config->groups[1].overrides[0].detector, list_service, 1);
    assert_int_equal(config->groups[1].overrides[0].detector.distinct_destinations.count, 0);
    assert_prefix(&config->groups[1].overrides[1].prefix, "2001:db8:2007::/48");
    assert_int_equal(config->groups[2].policy, ENF_POLICY_OBSERVE);
    check_example_ends(config);
    enf_config_free(&config);
    free(text);
}

/* Global settings, a group's, a subscriber's: each overrides the one before key by key. */
static void test_overrides(void **state)
{
    const struct enf_window global[] = {{10, MINUTE}};
    const struct enf_window one[] = {{7, 10 * MINUTE}, {8, DAY}};
    struct enf_config *config =
        load_text("groups:\n"
                  "- name: plain\n"
                  "  policy: inspect\n"
                  "  prefixes: [192.0.2.0/24]\n"
                  "- name: own\n"
                  "  policy: observe\n"
                  "  prefixes: [198.51.100.0/24, 2001:db8::/32]\n"
                  "  subscriber_prefix_v6: 56\n"
                  "  detector: {traps: [203.0.113.2, '2001:db8:f::2'], connection_rate: null}\n"
                  "  subscribers:\n"
                  "    198.51.100.7: {detector: {traps: []}}\n"
                  "    198.51.100.8/29: {detector: {distinct_destinations: null}}\n"
                  "    2001:db8:5:67ff::1:\n"
                  "      detector: {traps: [203.0.113.3],\n"
                  "                 connection_rate: [{connections: 7, per: 10m},\n"
                  "                                   {connections: 8, per: 1d}]}\n"
                  "    2001:db8:6::/48: {}\n"
                  "detector:\n"
                  "  connection_rate: [{connections: 10, per: 60s}]\n"
                  "  traps: [203.0.113.1]\n"
                  "  max_subscribers: 5\n");
    struct enf_detector_settings inspect = enf_detector_defaults(ENF_POLICY_INSPECT);
    struct enf_detector_settings observe = enf_detector_defaults(ENF_POLICY_OBSERVE);
    const struct enf_group *plain = &config->groups[0];
    const struct enf_group *own = &config->groups[1];

    (void)state;
    assert_int_equal(config->max_subscribers, 5);
    assert_int_equal(config->traps_len, 4);
    assert_windows(&plain->detector, global, 1);
    assert_int_equal(plain->detector.distinct_destinations.count, inspect.distinct_destinations.count);
    assert_int_equal(plain->detector.traps_len, 1);
    assert_addr(&plain->detector.traps[0], "203.0.113.1");

    assert_int_equal(own->detector.connection_rate_len, 0);
    assert_int_equal(own->detector.distinct_destinations.count, observe.distinct_destinations.count);
    assert_int_equal(own->detector.traps_len, 2);
    assert_addr(&own->detector.traps[1], "2001:db8:f::2");

    assert_int_equal(own->overrides_len, 4);
    assert_prefix(&own->overrides[0].prefix, "198.51.100.7");
    assert_int_equal(own->overrides[0].detector.traps_len, 0);
    assert_int_equal(own->overrides[0].detector.connection_rate_len, 0);
    assert_prefix(&own->overrides[1].prefix, "198.51.100.8/29");
    assert_int_equal(own->overrides[1].detector.distinct_destinations.count, 0);
    assert_int_equal(own->overrides[1].detector.traps_len, 2);
    assert_prefix(&own->overrides[2].prefix, "2001:db8:5:6700::/56");
    assert_windows(&own->overrides[2].detector, one, 2);
    assert_int_equal(own->overrides[2].detector.traps_len, 1);
    assert_addr(&own->overrides[2].detector.traps[0], "203.0.113.3");
    assert_same_limits(&own->overrides[3].detector, &own->detector);
    enf_config_free(&config);
}

/* What of duration and escalation is given decides what counts. */
static void test_escalation(void **state)
{
    static const struct {
        const char *yaml;
        uint64_t duration_ms;
        size_t len;
        uint64_t first_ms;
    } rows[] = {
        {"quarantine: {}", HOUR, 4, HOUR},
        {"quarantine: {duration: 2h}", 2 * HOUR, 0, 0},
        {"quarantine: {escalation: [3h]}", HOUR, 1, 3 * HOUR},
        {"quarantine: {duration: 2h, escalation: [3h, 4h]}", 2 * HOUR, 2, 3 * HOUR},
        {"quarantine: {escalation: []}", HOUR, 0, 0},
        {"quarantine: {escalation: [1s, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 3650d]}",
         HOUR, 16, SECOND},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_config *config = load_text(rows[i].yaml);

        assert_int_equal(config->quarantine.duration_ms, rows[i].duration_ms);
        assert_int_equal(config->quarantine.escalation_len, rows[i].len);
        assert_int_equal(config->quarantine.escalation[0].duration_ms, rows[i].first_ms);
        for (size_t j = rows[i].len; j < ENF_ESCALATION_MAX; j++)
            assert_int_equal(config->quarantine.escalation[j].duration_ms, 0);
        enf_config_free(&config);
    }
}

static void test_antispoof(void **state)
{
    static const struct {
        const char *yaml;
        enum enf_antispoof antispoof;
    } rows[] = {
        {"interfaces: {upstream: [eth0]}", ENF_ANTISPOOF_OFF},
        {"interfaces: {subscriber: [eth1]}", ENF_ANTISPOOF_STRICT},
        {"{interfaces: {subscriber: [eth1]}, antispoof: off}", ENF_ANTISPOOF_OFF},
        {"{antispoof: groups, interfaces: {subscriber: [eth1]}}", ENF_ANTISPOOF_GROUPS},
        {"{antispoof: off}", ENF_ANTISPOOF_OFF},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_config *config = load_text(rows[i].yaml);

        assert_int_equal(config->antispoof, rows[i].antispoof);
        enf_config_free(&config);
    }
}

/* At the edge of what is refused. */
static void test_sinks(void **state)
{
    static const char text[] =
        "events:\n"
        "- {type: syslog}\n"
        "- {type: syslog, transport: udp, address: \"2001:db8::1\", format: cef, facility: local0}\n"
        "- {type: unix, path: /run/a, port: 1}\n";
    struct enf_config *config = NULL;
    struct enf_config_errors errors;

    (void)state;
    assert_int_equal(enf_config_parse("f", text, strlen(text), &config, &errors), -EINVAL);
    assert_int_equal(errors.len, 1);
    enf_config_errors_clear(&errors);
    static const char good[] =
        "events:\n"
        "- {type: syslog}\n"
        "- {type: syslog, transport: udp, address: \"2001:db8::1\", format: cef, facility: local0}\n"
        "- {type: file, path: /a, actions: [released, started], severity: high}\n"
        "hooks:\n"
        "- {name: desk, run: [/bin/a, b], actions: [stopped]}\n";
    assert_int_equal(enf_config_parse("f", good, strlen(good), &config, &errors), 0);
    assert_int_equal(config->events_len, 3);
    const struct enf_event_sink *sink = config->events;
    assert_string_equal(sink[0].path, "/dev/log");
    assert_int_equal(sink[0].facility, 3);
    assert_int_equal(sink[0].actions, 0);
    assert_int_equal(sink[1].port, 514);
    assert_int_equal(sink[1].address.family, ENF_FAMILY_V6);
    assert_int_equal(sink[1].format, ENF_FORMAT_CEF);
    assert_int_equal(sink[1].facility, 16);
    assert_true(sink[2].actions == (UINT64_C(1) << ENF_EVENT_RELEASED | UINT64_C(1) << ENF_EVENT_STARTED));
    assert_int_equal(sink[2].severity, 73);
    assert_int_equal(config->hooks_len, 1);
    assert_int_equal(config->hooks[0].timeout_ms, 10000);
    assert_int_equal(config->hooks[0].run_len, 2);
    assert_string_equal(config->hooks[0].run[1].text, "b");
    assert_true(config->hooks[0].actions == UINT64_C(1) << ENF_EVENT_STOPPED);
    enf_config_free(&config);
}

static void test_accepted(void **state)
{
    /* NOLINTBEGIN(bugprone-suspicious-missing-comma): long rows */
    static const char *const rows[] = {
        "\xef\xbb\xbfmode: observe\r\nqueue: {first: 65535}\r\n",
        "mode: \"observe\"",
        "events: []",
        "events: [{type: syslog}, {type: syslog, path: /run/log, format: cef}, {type: syslog, transport: "
        "udp, "
        "address: 192.0.2.1, port: 1}, {type: syslog, transport: udp, address: 192.0.2.1, port: 65535}, "
        "{type: syslog, transport: tcp, address: 'fe80::1', facility: local7, severity: critical}, "
        "{type: unix, path: /run/log, actions: [quarantined, released]}]",
        "hooks: [{name: a, run: [/bin/a, '', 'b c'], actions: [quarantined], severity: info, timeout: 1s}, "
        "{name: b, run: [/bin/a], severity: low, timeout: 5m}]",
        "report: {organisation: \"Caf\xc3\xa9 & Co\", contact: a.b+c@example.net, domain: a-b.example.net}",
        "control: {admins: [], viewers: [noc, \"@noc\", 'DOM\\user', machine$]}",
        "control: {socket: /23456789" TEN TEN TEN TEN TEN TEN TEN TEN TEN "01234567}" /* 107 bytes */,
        "interfaces: {subscriber: [\"c*\", a1234567890123*, b12345678901234]}",
        "interfaces: {subscriber: [ppp0, ppp1, \"pppoe*\"], upstream: [eth0.5, \"bond-x*\"]}",
        "relays: [{addresses: [192.0.2.0/24]}, {addresses: [192.0.2.1]}]",
        "{relays: [{addresses: [10.0.0.1], interface: eth2}], groups: [{name: a, prefixes: [10.0.0.0/8]}]}",
        "{relays: [{addresses: [9.255.255.255, 11.0.0.0]}], groups: [{name: a, prefixes: [10.0.0.0/8]}]}",
        "groups: [{name: a, prefixes: [10.0.0.0/8]}, {name: b, prefixes: [10.0.0.0/9]}]",
        "groups: [{name: a, subscriber_prefix_v6: 56, prefixes: [2001:db8::/32]}, {name: b, "
        "prefixes: ['2001:db8:0:100::/56']}]",
        "groups: [{name: a, subscriber_prefix_v6: 56, prefixes: [2001:db8::/32, '2001:db8:0:100::/56']}]",
        /* The prefix in the middle belongs to b, so it is not a's subscribers that c cuts through. */
        "groups: [{name: a, subscriber_prefix_v6: 48, prefixes: [2001:db8::/32]},"
        " {name: b, prefixes: ['2001:db8:5::/48']}, {name: c, prefixes: ['2001:db8:5:5::/64']}]",
        "groups: [{name: a, subscriber_prefix_v6: 128, prefixes: [2001:db8::1], subscribers: {2001:db8::1: "
        "{}}}]",
        "groups: [{name: a1-b_c, prefixes: [10.0.0.0/25, 10.0.0.128/25], subscribers: {10.0.0.0/24: {}}}]",
        "detector: {connection_rate: [], distinct_destinations: null, traps: null, sequential: ~}",
        "detector: {unrequested_replies: }",
        "detector: {unrequested_replies: {count: 1, per: 1s}}",
        "detector: {unrequested_replies: {count: 64, per: 7d, convicts: true}}",
        "quarantine: {portal: [], throttle: null, block_with: reset}",
        "detector: {connection_rate: [{connections: 100000, per: 7d}]}",
        "groups: []",
        "inbound: {bogons: bogons.txt}",
        "metrics:",
        "metrics: {listen: null}",
        "metrics: {listen: 192.0.2.1:65535}",
        "metrics: {listen: '[2001:db8::1]:1'}",
    };
    /* NOLINTEND(bugprone-suspicious-missing-comma) */

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_config *config = load_text(rows[i]);

        enf_config_free(&config);
    }
}

/* On where a section stands, at its bounds; what the policy decides stays. */
static void test_sequential(void **state)
{
    struct enf_config *config =
        load_text("groups:\n"
                  "- name: line\n"
                  "  policy: block\n"
                  "  prefixes: [192.0.2.0/24]\n"
                  "  subscribers: {192.0.2.7: {detector: {sequential: null}}, 192.0.2.8: {}}\n"
                  "- name: server\n"
                  "  policy: inspect\n"
                  "  prefixes: [198.51.100.0/24]\n"
                  "  detector: {sequential: {false_conviction: 0.000000000001, missed: 0.5}}\n"
                  "detector: {sequential: {false_conviction: 1e-1, missed: 0.000001}}\n");
    const struct enf_sequential_settings *line = &config->groups[0].detector.sequential;
    const struct enf_sequential_settings *server = &config->groups[1].detector.sequential;

    (void)state;
    assert_true(line->enabled && line->false_conviction == 0.1 && line->missed == 0.000001);
    assert_int_equal(line->model, ENF_SEQUENTIAL_LINE);
    assert_false(config->groups[0].overrides[0].detector.sequential.enabled);
    assert_true(config->groups[0].overrides[1].detector.sequential.enabled);
    assert_true(server->enabled && server->false_conviction == 1e-12 && server->missed == 0.5);
    assert_int_equal(server->model, ENF_SEQUENTIAL_SERVER);
    enf_config_free(&config);
}

/* A large file is read in time that grows with it, not with its square. */
static void test_large(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct enf_config *config;

    (void)state;
    assert_non_null(out);
    fprintf(out, "groups:\n- name: a\n  prefixes:\n");
    for (unsigned i = 0; i < ENF_PREFIXES_MAX; i++)
        fprintf(out, "  - 10.%u.%u.0/24\n", i >> 8, i & 255);
    fprintf(out, "  subscribers:\n");
    for (unsigned i = 0; i < ENF_OVERRIDES_MAX; i++)
        fprintf(out, "    10.%u.%u.7: {detector: {traps: [192.0.2.1]}}\n", i >> 8, i & 255);
    fclose(out);
    config = load(text, size);
    assert_int_equal(config->groups[0].prefixes_len, ENF_PREFIXES_MAX);
    assert_int_equal(config->groups[0].overrides_len, ENF_OVERRIDES_MAX);
    assert_int_equal(config->traps_len, ENF_OVERRIDES_MAX);
    enf_config_free(&config);
    free(text);
}

/* The keys of a section, as the error about an unknown one lists them. */
static char *known_keys(const char *yaml)
{
    struct enf_config *config = NULL;
    struct enf_config_errors errors;
    const char *start;
    char *list;

    assert_int_equal(enf_config_parse("f", yaml, strlen(yaml), &config, &errors), -EINVAL);
    start = strstr(errors.lines[0], "expected the key ");
    assert_non_null(start);
    list = strdup(start + strlen("expected the key "));
    assert_non_null(list);
    *strstr(list, ", found an unknown one") = '\0';
    enf_config_errors_clear(&errors);
    return list;
}

/* Every key there is stands in the example and in the description. */
static void test_documented(void **state)
{
    static const char *const sections[] = {
        "{x: 1}",
        "interfaces: {x: 1}",
        "relays: [{x: 1, addresses: [1.1.1.1]}]",
        "smarthosts: [{x: 1, addresses: [1.1.1.1]}]",
        "groups: [{x: 1, name: a, prefixes: [1.1.1.1]}]",
        "detector: {x: 1}",
        "detector: {connection_rate: [{x: 1, connections: 1, per: 1s}]}",
        "detector: {distinct_destinations: {x: 1, count: 1, per: 1s}}",
        "quarantine: {x: 1}",
        "quarantine: {governor: {x: 1, convictions: 1, per: 1s}}",
        "inbound: {x: 1}",
        "queue: {x: 1}",
        "control: {x: 1}",
        "events: [{x: 1, type: file, path: /a}]",
    };
    size_t len = 0;
    char *example = read_file("docs/enforcer.yaml", &len);
    char *manual = read_file("docs/configuration.md", &len);

    (void)state;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        char *keys = known_keys(sections[i]);
        char *rest = NULL;

        for (char *key = strtok_r(keys, ", ", &rest); key != NULL; key = strtok_r(NULL, ", ", &rest)) {
            char in_example[64];
            char in_manual[64];

            if (strcmp(key, "or") == 0)
                continue;
            snprintf(in_example, sizeof(in_example), "%s:", key);
            snprintf(in_manual, sizeof(in_manual), "`%s`", key);
            if (strstr(example, in_example) == NULL || strstr(manual, in_manual) == NULL)
                fail_msg("%s: not in docs/enforcer.yaml or docs/configuration.md", key);
        }
        free(keys);
    }
    free(example);
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_group_defaults),
        cmocka_unit_test(test_example),    cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_escalation), cmocka_unit_test(test_antispoof),
        cmocka_unit_test(test_sinks),      cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_sequential), cmocka_unit_test(test_large),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
