/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every malformed request has its code, every good one its answer, notifications none. */
#include "enforcer/control/rpc.h"

#include "enforcer/control/params.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define RPC          "\"jsonrpc\":\"2.0\""

static int calls;
static int denials;

static int echo(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                struct enf_control_error *error)
{
    (void)ctx;
    (void)caller;
    (void)error;
    calls++;
    *result = json_deep_copy(params);
    return 0;
}

static int refuse(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                  struct enf_control_error *error)
{
    (void)ctx;
    (void)caller;
    (void)params;
    *result = json_object(); /* a careless handler */
    enf_control_error_put(error, "dropped", json_true());
    enf_control_fail(error, ENF_CONTROL_NEEDS_FORCE, "%s", "a relay\n\xff");
    enf_control_error_put(error, "relay", json_string("192.0.2.1"));
    return -EPERM;
}

static int fail_plainly(void *ctx, const struct enf_control_caller *caller, const json_t *params,
                        json_t **result, struct enf_control_error *error)
{
    (void)ctx;
    (void)caller;
    (void)params;
    (void)result;
    (void)error;
    return -EIO;
}

static int forget_result(void *ctx, const struct enf_control_caller *caller, const json_t *params,
                         json_t **result, struct enf_control_error *error)
{
    (void)fail_plainly(ctx, caller, params, result, error);
    return 0;
}

static int answer_long(void *ctx, const struct enf_control_caller *caller, const json_t *params,
                       json_t **result, struct enf_control_error *error)
{
    int64_t len = 0;
    char *text;

    (void)ctx;
    (void)caller;
    assert_int_equal(enf_params_integer(params, "len", ENF_PARAM_REQUIRED, 0, INT64_MAX, &len, error), 1);
    text = malloc((size_t)len + 1);
    assert_non_null(text);
    memset(text, 'x', (size_t)len);
    text[len] = '\0';
    *result = json_object();
    json_object_set_new(*result, "t", json_string(text));
    free(text);
    return 0;
}

static char told[256];

static void note_begin(const struct enf_control_caller *caller, const char *method, const json_t *params)
{
    size_t at = strlen(told);

    assert_string_equal(caller->actor, "user:root");
    assert_non_null(params);
    snprintf(told + at, sizeof(told) - at, "(%s) ", method);
}

static void note_done(const struct enf_control_caller *caller, const char *method, const json_t *params,
                      const struct enf_control_error *error)
{
    size_t at = strlen(told);

    snprintf(told + at, sizeof(told) - at, "%s %s %zu %d;", caller->actor, method, json_object_size(params),
             error->code);
}

static void deny(void *ctx, const struct enf_control_caller *caller, const char *method)
{
    (void)ctx;
    assert_string_equal(caller->actor, "user:eve");
    assert_true(strcmp(method, "echo") == 0 || strcmp(method, "change") == 0 || strcmp(method, "leave") == 0);
    denials++;
}

static const struct enf_control_method methods[] = {
    {"echo", false, echo},
    {"change", true, echo},
    {"refuse", false, refuse},
    {"plain", false, fail_plainly},
    {"forget", false, forget_result},
    {"long", false, answer_long},
    {"own", false, echo, .portal = true},
    {"leave", true, echo, .portal = true},
};
static const struct enf_rpc rpc = {methods, ARRAY_LEN(methods), NULL, deny};
static const struct enf_control_caller admin = {.actor = "user:root", .admin = true};
static const struct enf_control_caller viewer = {.actor = "user:eve", .viewer = true};

/* The answer, or NULL for none. */
static json_t *ask(const struct enf_control_caller *caller, const char *line, size_t len)
{
    char *out = NULL;
    size_t out_len = 0;
    int rc = enf_rpc_handle(&rpc, caller, line, len, &out, &out_len);
    json_t *json;

    if (rc == 0)
        return NULL;
    assert_int_equal(rc, 1);
    assert_int_equal(out[out_len - 1], '\n');
    assert_null(memchr(out, '\n', out_len - 1));
    json = json_loadb(out, out_len, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "jsonrpc")), "2.0");
    free(out);
    return json;
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *name;
        const char *line;
        int code;       /* 0: none but a result */
        const char *id; /* of the answer */
    } rows[] = {
        {"good", "{" RPC ",\"id\":1,\"method\":\"echo\"}", 0, "1"},
        {"carriage return", "{" RPC ",\"id\":1,\"method\":\"echo\"}\r", 0, "1"},
        {"text id", "{" RPC ",\"id\":\"a\",\"method\":\"echo\",\"params\":{}}", 0, "\"a\""},
        {"null id", "{" RPC ",\"id\":null,\"method\":\"echo\"}", 0, "null"},
        {"no json", "hello", ENF_CONTROL_PARSE, "null"},
        {"half", "{" RPC ",\"id\":1", ENF_CONTROL_PARSE, "null"},
        {"two on a line", "{} {}", ENF_CONTROL_PARSE, "null"},
        {"no utf-8", "{" RPC ",\"id\":\"\xff\",\"method\":\"echo\"}", ENF_CONTROL_PARSE, "null"},
        {"zero in text", "{" RPC ",\"id\":\"\\u0000\",\"method\":\"echo\"}", ENF_CONTROL_PARSE, "null"},
        {"member twice", "{" RPC ",\"id\":1,\"id\":2,\"method\":\"echo\"}", ENF_CONTROL_PARSE, "null"},
        {"huge number", "{" RPC ",\"id\":99999999999999999999,\"method\":\"echo\"}", ENF_CONTROL_PARSE,
         "null"},
        {"batch", "[{" RPC ",\"id\":1,\"method\":\"echo\"}]", ENF_CONTROL_REQUEST, "null"},
        {"number", "5", ENF_CONTROL_REQUEST, "null"},
        {"empty object", "{}", ENF_CONTROL_REQUEST, "null"},
        {"list as id", "{" RPC ",\"id\":[1],\"method\":\"echo\"}", ENF_CONTROL_REQUEST, "null"},
        {"no version", "{\"id\":1,\"method\":\"echo\"}", ENF_CONTROL_REQUEST, "1"},
        {"version 1", "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"echo\"}", ENF_CONTROL_REQUEST, "1"},
        {"version as number", "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"echo\"}", ENF_CONTROL_REQUEST, "1"},
        {"no method", "{" RPC ",\"id\":1}", ENF_CONTROL_REQUEST, "1"},
        {"method as number", "{" RPC ",\"id\":1,\"method\":3}", ENF_CONTROL_REQUEST, "1"},
        {"unknown member", "{" RPC ",\"id\":1,\"method\":\"echo\",\"parms\":{}}", ENF_CONTROL_REQUEST, "1"},
        {"unknown method", "{" RPC ",\"id\":1,\"method\":\"ech\"}", ENF_CONTROL_METHOD, "1"},
        {"params list", "{" RPC ",\"id\":1,\"method\":\"echo\",\"params\":[1]}", ENF_CONTROL_PARAMS, "1"},
        {"params null", "{" RPC ",\"id\":1,\"method\":\"echo\",\"params\":null}", ENF_CONTROL_PARAMS, "1"},
        {"internal", "{" RPC ",\"id\":1,\"method\":\"plain\"}", ENF_CONTROL_INTERNAL, "1"},
        {"no result", "{" RPC ",\"id\":1,\"method\":\"forget\"}", ENF_CONTROL_INTERNAL, "1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *json = ask(&admin, rows[i].line, strlen(rows[i].line));
        char *id;

        if (!json)
            fail_msg("%s: no answer", rows[i].name);
        id = json_dumps(json_object_get(json, "id"), JSON_ENCODE_ANY);
        if (json_integer_value(json_object_get(json_object_get(json, "error"), "code")) != rows[i].code ||
            strcmp(id, rows[i].id) != 0 || !!json_object_get(json, "result") == !!rows[i].code)
            fail_msg("%s: %s", rows[i].name, json_dumps(json, 0));
        free(id);
        json_decref(json);
    }
}

static void test_no_answer(void **state)
{
    static const struct {
        const char *name;
        const char *line;
        int calls;
    } rows[] = {
        {"empty", "", 0},
        {"blank", " \t\r", 0},
        {"notification", "{" RPC ",\"method\":\"echo\"}", 1},
        {"notification that fails", "{" RPC ",\"method\":\"plain\"}", 0},
        {"notification of nothing", "{" RPC ",\"method\":\"ech\"}", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        calls = 0;
        if (ask(&admin, rows[i].line, strlen(rows[i].line)) || calls != rows[i].calls)
            fail_msg("%s", rows[i].name);
    }
}

/* Told: methods that change, done or not, also where nobody waits for the answer; not those that look. */
static void test_done_is_told(void **state)
{
    static const struct enf_control_method changing[] = {
        {"look", false, echo}, {"change", true, echo}, {"plain", true, fail_plainly}};
    static const struct enf_rpc audited = {.methods = changing,
                                           .methods_len = ARRAY_LEN(changing),
                                           .denied = deny,
                                           .begin = note_begin,
                                           .done = note_done};
    static const char *const lines[] = {
        "{" RPC ",\"id\":1,\"method\":\"look\"}",
        "{" RPC ",\"id\":1,\"method\":\"change\",\"params\":{\"a\":1,\"b\":2}}",
        "{" RPC ",\"method\":\"change\"}",
        "{" RPC ",\"id\":1,\"method\":\"plain\"}",
        "{" RPC ",\"id\":1,\"method\":\"nothing\"}",
        "no json",
    };

    (void)state;
    told[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *out = NULL;
        size_t len = 0;

        assert_true(enf_rpc_handle(&audited, &admin, lines[i], strlen(lines[i]), &out, &len) >= 0);
        free(out);
    }
    assert_string_equal(
        told,
        "(change) user:root change 2 0;(change) user:root change 0 0;(plain) user:root plain 0 -32603;");
}

static void test_zero_byte(void **state)
{
    json_t *json = ask(&admin, "\0", 1);

    (void)state;
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "error"), "code")),
                     ENF_CONTROL_PARSE);
    json_decref(json);
}

static void test_roles(void **state)
{
    static const char change[] = "{" RPC ",\"id\":1,\"method\":\"change\"}";
    static const char quiet[] = "{" RPC ",\"method\":\"change\"}";
    static const char look[] = "{" RPC ",\"id\":1,\"method\":\"echo\"}";
    json_t *json;

    (void)state;
    calls = 0;
    denials = 0;
    json = ask(&viewer, change, strlen(change));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "error"), "code")),
                     ENF_CONTROL_DENIED);
    json_decref(json);
    assert_null(ask(&viewer, quiet, strlen(quiet)));
    assert_int_equal(calls, 0);
    assert_int_equal(denials, 2);
    json_decref(ask(&viewer, look, strlen(look)));
    json_decref(ask(&admin, change, strlen(change)));
    json_decref(ask(&admin, look, strlen(look)));
    assert_int_equal(calls, 3);
    assert_int_equal(denials, 2);
}

/* The portal has its own methods and no others; those that change are not for viewers. */
static void test_portal_role(void **state)
{
    static const struct enf_control_caller portal = {.actor = "user:eve", .portal = true};
    static const struct {
        const struct enf_control_caller *caller;
        const char *method;
        bool may;
    } rows[] = {{&portal, "own", true},     {&portal, "leave", true}, {&portal, "echo", false},
                {&portal, "change", false}, {&viewer, "own", true},   {&viewer, "leave", false},
                {&admin, "own", true},      {&admin, "leave", true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[100];
        snprintf(line, sizeof line, "{" RPC ",\"id\":1,\"method\":\"%s\"}", rows[i].method);
        json_t *json = ask(rows[i].caller, line, strlen(line));
        if ((json_object_get(json, "result") != NULL) != rows[i].may)
            fail_msg("%s calls %s", rows[i].caller->actor, rows[i].method);
        json_decref(json);
    }
}

static void test_error_with_data(void **state)
{
    static const char line[] = "{" RPC ",\"id\":1,\"method\":\"refuse\"}";
    json_t *json = ask(&admin, line, strlen(line));
    const json_t *error = json_object_get(json, "error");

    (void)state;
    assert_int_equal(json_integer_value(json_object_get(error, "code")), ENF_CONTROL_NEEDS_FORCE);
    assert_string_equal(json_string_value(json_object_get(error, "message")), "a relay??");
    assert_string_equal(json_string_value(json_object_get(json_object_get(error, "data"), "relay")),
                        "192.0.2.1");
    assert_null(json_object_get(json_object_get(error, "data"), "dropped"));
    json_decref(json);
}

static void test_answer_limit(void **state)
{
    static const char around[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"t\":\"\"}}\n";
    const size_t fits = ENF_CONTROL_RESULT_MAX - (sizeof(around) - 1);

    (void)state;
    for (size_t len = fits - 1; len <= fits + 1; len++) {
        char line[128];
        json_t *json;

        snprintf(line, sizeof(line), "{" RPC ",\"id\":1,\"method\":\"long\",\"params\":{\"len\":%zu}}", len);
        json = ask(&admin, line, strlen(line));
        assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "error"), "code")),
                         len > fits ? ENF_CONTROL_TOO_LARGE : 0);
        json_decref(json);
    }
}

static void test_deep_nesting(void **state)
{
    const size_t depth = ENF_CONTROL_LINE_MAX - 64;
    char *line = malloc(ENF_CONTROL_LINE_MAX);
    json_t *json;

    (void)state;
    memset(line, '[', depth);
    json = ask(&admin, line, depth);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "error"), "code")),
                     ENF_CONTROL_PARSE);
    json_decref(json);
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_requests),    cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_done_is_told),    cmocka_unit_test(test_zero_byte),
        cmocka_unit_test(test_roles),           cmocka_unit_test(test_portal_role),
        cmocka_unit_test(test_error_with_data), cmocka_unit_test(test_answer_limit),
        cmocka_unit_test(test_deep_nesting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
