/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every action renders with valid ECS words; every field appears exactly when it applies. */
#include "enforcer/sinks/render.h"

#include "enforcer/core/text.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define NOON_MS      1772366400250ULL /* 2026-03-01T12:00:00.250Z */

static const struct enf_render_origin origin = {"r1", "gw1", "0.1"};

static json_t *render(const struct enf_event *event)
{
    char *line = NULL;
    size_t len = 0;
    json_t *json;

    assert_int_equal(enf_event_render(event, &origin, &line, &len), 0);
    assert_int_equal(strlen(line), len);
    assert_int_equal(line[len - 1], '\n');
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    free(line);
    return json;
}

/* "a.b.c", "a.b[1]"; numbers and booleans are printed as JSON; "" where there is no such field. */
static void check(const json_t *json, const char *name, const char *path, const char *expected)
{
    char copy[128];
    char *save = NULL;
    char *text;

    enf_text_copy(copy, sizeof(copy), path);
    for (char *key = strtok_r(copy, ".", &save); key; key = strtok_r(NULL, ".", &save)) {
        char *bracket = strchr(key, '[');

        if (bracket)
            *bracket = '\0';
        json = json_object_get(json, key);
        if (bracket)
            json = json_array_get(json, (size_t)atoi(bracket + 1));
    }
    if (!json) {
        if (expected[0])
            fail_msg("%s: no %s", name, path);
        return;
    }
    text = json_is_string(json) ? strdup(json_string_value(json))
                                : json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
    if (strcmp(text, expected) != 0)
        fail_msg("%s: %s is %s, expected %s", name, path, text, expected);
    free(text);
}

static struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out = {0};

    assert_int_equal(enf_prefix_parse(text, &out), 0);
    return out;
}

static void contains(const char *action, const char *const *words, size_t words_len, const char *word)
{
    for (size_t i = 0; i < words_len; i++)
        if (strcmp(words[i], word) == 0)
            return;
    fail_msg("%s: \"%s\" is no word of ECS", action, word);
}

static void test_every_action_is_valid_ecs(void **state)
{
    static const char *const kinds[] = {"alert", "event", "state"};
    static const char *const categories[] = {"configuration", "host", "intrusion_detection", "network",
                                             "process"};
    static const char *const types[] = {"access",   "allowed", "change", "connection", "creation",
                                        "deletion", "denied",  "end",    "info",       "start"};

    (void)state;
    for (int action = 0; action < ENF_EVENT_ACTION_COUNT; action++) {
        const struct enf_event_class *class = enf_event_classify((enum enf_event_action)action);
        struct enf_event event = {.action = (enum enf_event_action)action, .time_ms = NOON_MS, .sequence = 7};
        const char *name = enf_event_action_name(event.action);
        json_t *json = render(&event);

        assert_non_null(class);
        contains(name, kinds, ARRAY_LEN(kinds), class->kind);
        assert_non_null(class->category[0]);
        assert_non_null(class->type[0]);
        for (size_t i = 0; i < 3 && class->category[i]; i++)
            contains(name, categories, ARRAY_LEN(categories), class->category[i]);
        for (size_t i = 0; i < 3 && class->type[i]; i++)
            contains(name, types, ARRAY_LEN(types), class->type[i]);
        check(json, name, "event.action", name);
        check(json, name, "event.kind", class->kind);
        check(json, name, "event.category[0]", class->category[0]);
        check(json, name, "event.type[0]", class->type[0]);
        check(json, name, "event.id", "r1-7");
        check(json, name, "event.sequence", "7");
        check(json, name, "enforcer.run", "r1");
        json_decref(json);
    }
}

/* Users read there what an event means. Run from the top of the tree, as make does. */
static void test_every_action_is_documented(void **state)
{
    FILE *f = fopen("docs/events.md", "re");
    char *text;

    (void)state;
    if (!f)
        skip();
    text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    for (int action = 0; action < ENF_EVENT_ACTION_COUNT; action++) {
        const char *name = enf_event_action_name((enum enf_event_action)action);
        char title[64];

        snprintf(title, sizeof(title), "### `%s`\n", name);
        if (!strstr(text, title))
            fail_msg("%s is not in docs/events.md", name);
    }
    free(text);
}

static void test_action_out_of_range(void **state)
{
    struct enf_event event = {.action = (enum enf_event_action)ENF_EVENT_ACTION_COUNT};
    char *line = NULL;
    size_t len = 3;

    (void)state;
    assert_null(enf_event_classify((enum enf_event_action)ENF_EVENT_ACTION_COUNT));
    assert_int_equal(enf_event_render(&event, &origin, &line, &len), -EINVAL);
    assert_null(line);
    assert_int_equal(len, 3);
}

static void test_all_fields(void **state)
{
    struct enf_evidence evidence[2] = {
        {.time_ms = NOON_MS, .kind = ENF_EVIDENCE_CONNECTION, .step = 1, .score = 20, .threshold = 20},
        {.time_ms = NOON_MS + 5,
         .kind = ENF_EVIDENCE_TRAP,
         .destination = prefix("2001:db8::5").addr,
         .destination_port = 25,
         .blocked = true,
         .forgeable = true,
         .step = 0.1,
         .score = (double)NAN,
         .threshold = 20,
         .setting = "connection_rate: 20 per 60s"},
    };
    struct enf_event event = {
        .action = ENF_EVENT_ZOMBIE_DETECTED,
        .outcome = ENF_OUTCOME_SUCCESS,
        .time_ms = NOON_MS,
        .sequence = 42,
        .reason = "21 connections in 60s",
        .source = prefix("2001:db8:7::9").addr,
        .source_port = 40000,
        .destination = prefix("2001:db8::5").addr,
        .destination_port = 25,
        .interface = "eth1",
        .subscriber = prefix("2001:db8:7::/64"),
        .group = "residential",
        .policy = ENF_POLICY_BLOCK,
        .level = ENF_LEVEL_SMTP,
        .until_ms = NOON_MS + 3600000,
        .ticket = "T-1",
        .actor = "detector",
        .count = 21,
        .interval_ms = 60000,
        .destinations = {prefix("192.0.2.1").addr, prefix("192.0.2.2").addr},
        .destinations_len = 2,
        .evidence = evidence,
        .evidence_len = 2,
    };
    static const struct {
        const char *path;
        const char *expected;
    } rows[] = {
        {"@timestamp", "2026-03-01T12:00:00.250Z"},
        {"event.kind", "alert"},
        {"event.outcome", "success"},
        {"event.reason", "21 connections in 60s"},
        {"event.severity", "73"},
        {"event.id", "r1-42"},
        {"source", "{\"ip\":\"2001:db8:7::9\",\"port\":40000}"},
        {"destination", "{\"ip\":\"2001:db8::5\",\"port\":25}"},
        {"network", "{\"transport\":\"tcp\",\"type\":\"ipv6\",\"direction\":\"outbound\"}"},
        {"observer.type", "firewall"},
        {"observer.hostname", "gw1"},
        {"observer.version", "0.1"},
        {"observer.ingress.interface.name", "eth1"},
        {"rule.name", "connection_rate: 20 per 60s"},
        {"enforcer.subscriber", "2001:db8:7::/64"},
        {"enforcer.group", "residential"},
        {"enforcer.policy", "block"},
        {"enforcer.level", "smtp"},
        {"enforcer.until", "2026-03-01T13:00:00.250Z"},
        {"enforcer.ticket", "T-1"},
        {"enforcer.actor", "detector"},
        {"enforcer.count", "21"},
        {"enforcer.interval_ms", "60000"},
        {"enforcer.destinations", "[\"192.0.2.1\",\"192.0.2.2\"]"},
        {"enforcer.evidence[0].kind", "connection"},
        {"enforcer.evidence[0].destination", ""},
        {"enforcer.evidence[0].score", "20.0"},
        {"enforcer.evidence[1].kind", "trap"},
        {"enforcer.evidence[1].time", "2026-03-01T12:00:00.255Z"},
        {"enforcer.evidence[1].destination", "2001:db8::5"},
        {"enforcer.evidence[1].port", "25"},
        {"enforcer.evidence[1].blocked", "true"},
        {"enforcer.evidence[1].forgeable", "true"},
        {"enforcer.evidence[1].step", "0.10000000000000001"}, /* parsed and printed again by the test */
        {"enforcer.evidence[1].score", ""},
        {"enforcer.evidence[1].setting", "connection_rate: 20 per 60s"},
    };
    json_t *json;

    (void)state;
    json = render(&event);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(json, "all fields", rows[i].path, rows[i].expected);
    json_decref(json);
}

static void test_absent_fields(void **state)
{
    static const char *const absent[] = {
        "source",
        "destination",
        "network",
        "rule",
        "observer.ingress",
        "event.reason",
        "enforcer.group",
        "enforcer.policy",
        "enforcer.level",
        "enforcer.until",
        "enforcer.count",
        "enforcer.actor",
        "enforcer.evidence",
        "enforcer.destinations",
        "enforcer.subscriber",
    };
    struct enf_event event = {.action = ENF_EVENT_STARTED, .time_ms = NOON_MS, .sequence = 1};
    json_t *json;

    (void)state;
    json = render(&event);
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        check(json, "absent", absent[i], "");
    json_decref(json);
}

static void test_forever_is_null(void **state)
{
    struct enf_event event = {.action = ENF_EVENT_QUARANTINED, .until_ms = ENF_FOREVER};
    json_t *json;

    (void)state;
    json = render(&event);
    check(json, "forever", "enforcer.until", "null");
    json_decref(json);
}

static void test_observe_denies_nothing(void **state)
{
    struct enf_event event = {.action = ENF_EVENT_SOURCE_SPOOFED, .policy = ENF_POLICY_BLOCK};
    json_t *json;

    (void)state;
    json = render(&event);
    check(json, "block", "event.type", "[\"denied\"]");
    json_decref(json);
    event.policy = ENF_POLICY_OBSERVE;
    json = render(&event);
    check(json, "observe", "event.type", "[\"allowed\"]");
    json_decref(json);
    event.policy = ENF_POLICY_BLOCK;
    event.outcome = ENF_OUTCOME_UNKNOWN;
    json = render(&event);
    check(json, "mode observe", "event.type", "[\"allowed\"]");
    json_decref(json);
}

static void test_odd_text(void **state)
{
    static const struct {
        const char *name;
        const char *reason;
        const char *expected;
    } rows[] = {
        {"plain", "abc", "abc"},
        {"utf-8", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"quotes and newline", "a\"b\nc", "a\"b\nc"},
        {"no utf-8", "a\xff\xc3z", "a??z"},
        {"cut inside a character", "ab\xe2\x82", "ab??"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct enf_event event = {.action = ENF_EVENT_SUSPECT};
        json_t *json;

        enf_text_copy(event.reason, sizeof(event.reason), "x");
        memcpy(event.reason, rows[i].reason, strlen(rows[i].reason) + 1);
        json = render(&event);
        check(json, rows[i].name, "event.reason", rows[i].expected);
        json_decref(json);
    }
}

static void test_text_without_an_end(void **state)
{
    struct enf_event event = {.action = ENF_EVENT_SUSPECT};
    json_t *json;

    (void)state;
    memset(event.reason, 'r', sizeof(event.reason));
    memset(event.interface, 'i', sizeof(event.interface));
    json = render(&event);
    assert_int_equal(json_string_length(json_object_get(json_object_get(json, "event"), "reason")),
                     ENF_REASON_LEN - 1);
    check(json, "no end", "observer.ingress.interface.name", "iiiiiiiiiiiiiiii");
    json_decref(json);
}

static void test_evidence_is_bounded(void **state)
{
    static const size_t lens[] = {ENF_EVIDENCE_MAX - 1, ENF_EVIDENCE_MAX, ENF_EVIDENCE_MAX + 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct enf_evidence *evidence = calloc(lens[i], sizeof(*evidence));
        struct enf_event event = {.action = ENF_EVENT_SUSPECT, .evidence = evidence, .evidence_len = lens[i]};
        json_t *list;
        json_t *json;

        for (size_t n = 0; n < lens[i]; n++)
            evidence[n].score = (double)n;
        json = render(&event);
        list = json_object_get(json_object_get(json, "enforcer"), "evidence");
        assert_int_equal(json_array_size(list), lens[i] < ENF_EVIDENCE_MAX ? lens[i] : ENF_EVIDENCE_MAX);
        /* the last one is what convicted */
        assert_true(json_real_value(json_object_get(json_array_get(list, json_array_size(list) - 1),
                                                    "score")) == (double)(lens[i] - 1));
        json_decref(json);
        free(evidence);
    }
}

static void test_counts_at_their_ends(void **state)
{
    struct enf_event event = {
        .action = ENF_EVENT_TELEMETRY_LOST, .count = UINT64_MAX, .interval_ms = INT64_MAX};
    json_t *json;

    (void)state;
    json = render(&event);
    check(json, "counts", "enforcer.count", "9223372036854775807");
    check(json, "counts", "enforcer.interval_ms", "9223372036854775807");
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_action_is_valid_ecs),
        cmocka_unit_test(test_every_action_is_documented),
        cmocka_unit_test(test_action_out_of_range),
        cmocka_unit_test(test_all_fields),
        cmocka_unit_test(test_absent_fields),
        cmocka_unit_test(test_forever_is_null),
        cmocka_unit_test(test_observe_denies_nothing),
        cmocka_unit_test(test_odd_text),
        cmocka_unit_test(test_text_without_an_end),
        cmocka_unit_test(test_evidence_is_bounded),
        cmocka_unit_test(test_counts_at_their_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
