/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every field that events have outside of `enforcer` is one of the Elastic Common Schema, with its type. The
 * list was compared with generated/csv/fields.csv of ECS 9.4.0: facts, not its text. */
#include "enforcer/sinks/render.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum type {
    DATE,
    KEYWORD,
    KEYWORDS, /* normalised to a list */
    LONG,
    IP,
};

static const struct {
    const char *name;
    enum type type;
    const char *level;
} wanted[] = {
    {"@timestamp", DATE, "core"},
    {"event.kind", KEYWORD, "core"},
    {"event.category", KEYWORDS, "core"},
    {"event.type", KEYWORDS, "core"},
    {"event.action", KEYWORD, "core"},
    {"event.outcome", KEYWORD, "core"},
    {"event.reason", KEYWORD, "extended"},
    {"event.severity", LONG, "core"},
    {"event.id", KEYWORD, "core"},
    {"event.sequence", LONG, "extended"},
    {"source.ip", IP, "core"},
    {"source.port", LONG, "core"},
    {"destination.ip", IP, "core"},
    {"destination.port", LONG, "core"},
    {"network.transport", KEYWORD, "core"},
    {"network.type", KEYWORD, "core"},
    {"network.direction", KEYWORD, "core"},
    {"observer.type", KEYWORD, "core"},
    {"observer.vendor", KEYWORD, "core"},
    {"observer.product", KEYWORD, "extended"},
    {"observer.version", KEYWORD, "core"},
    {"observer.hostname", KEYWORD, "core"},
    {"observer.ingress.interface.name", KEYWORD, "extended"},
    {"rule.name", KEYWORD, "extended"},
};
#define WANTED_LEN (sizeof(wanted) / sizeof(wanted[0]))

static bool seen[WANTED_LEN];

static bool fits(const json_t *value, enum type type)
{
    struct enf_addr addr;

    switch (type) {
    case KEYWORDS:
        return json_array_size(value) > 0 && json_is_string(json_array_get(value, 0));
    case LONG:
        return json_is_integer(value);
    case IP:
        return json_is_string(value) && enf_addr_parse(json_string_value(value), &addr) == 0;
    case DATE:
    case KEYWORD:
        break;
    }
    return json_is_string(value);
}

static void check_leaf(const char *name, const json_t *value)
{
    for (size_t i = 0; i < WANTED_LEN; i++) {
        if (strcmp(wanted[i].name, name) != 0)
            continue;
        if (!fits(value, wanted[i].type))
            fail_msg("%s has another type than ECS says", name);
        seen[i] = true;
        return;
    }
    fail_msg("%s is no field of ECS that we know of", name);
}

static void walk(const char *prefix, json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        char name[128];
        snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", key);
        if (strcmp(name, "enforcer") == 0)
            continue;
        if (json_is_object(value))
            walk(name, value);
        else
            check_leaf(name, value);
    }
}

static void test_fields(void **state)
{
    struct enf_render_origin origin = {.run = "r", .hostname = "h", .version = "1"};

    (void)state;
    for (int action = 0; action < ENF_EVENT_ACTION_COUNT; action++) {
        struct enf_event event = {.action = (enum enf_event_action)action,
                                  .time_ms = 1,
                                  .reason = "r",
                                  .source_port = 1,
                                  .destination_port = 25,
                                  .interface = "eth1",
                                  .group = "g",
                                  .actor = "a",
                                  .count = 1};
        char *text = NULL;
        size_t len = 0;

        enf_addr_parse(action % 2 ? "192.0.2.1" : "2001:db8::1", &event.source);
        enf_addr_parse(action % 2 ? "192.0.2.2" : "2001:db8::2", &event.destination);
        assert_int_equal(enf_event_render(&event, &origin, &text, &len), 0);
        json_t *json = json_loadb(text, len, 0, NULL);
        assert_non_null(json);
        walk("", json);
        json_decref(json);
        free(text);
    }
    for (size_t i = 0; i < WANTED_LEN; i++) {
        if (!seen[i])
            fail_msg("%s is in no event: take it out of the list", wanted[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
