/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a request, asks who may call what, calls the handler, prints the answer. */
#include "enforcer/control/rpc.h"

#include "enforcer/control/json.h"
#include "enforcer/control/params.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define METHOD_LEN_MAX 64

/* A request that has the right form; all borrowed from the parsed line. */
struct request {
    const json_t *id; /* NULL: a notification */
    const char *method;
    const json_t *params; /* NULL: none */
};

/* 1, -ENOMEM, or -EMSGSIZE where it is longer than an answer may be. */
static int print_line(const json_t *json, char **out, size_t *out_len)
{
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(12);
    size_t len = json_dumpb(json, NULL, 0, flags);
    char *line;

    if (len == 0)
        return -ENOMEM;
    if (len >= ENF_CONTROL_RESULT_MAX)
        return -EMSGSIZE;
    line = malloc(len + 1);
    if (!line)
        return -ENOMEM;
    if (json_dumpb(json, line, len, flags) != len) {
        free(line);
        return -ENOMEM;
    }
    line[len] = '\n';
    *out = line;
    *out_len = len + 1;
    return 1;
}

/* Takes the reference to value. */
static int print_answer(const json_t *id, const char *key, json_t *value, char **out, size_t *out_len)
{
    json_t *answer = json_object();
    /* jansson counts references also in what it does not change */
    json_t *id_json = id ? json_incref((json_t *)(uintptr_t)id) : json_null();
    int rc = -ENOMEM;

    if (json_object_set_new(answer, "jsonrpc", json_string("2.0")) == 0 &&
        json_object_set(answer, "id", id_json) == 0 && json_object_set(answer, key, value) == 0)
        rc = print_line(answer, out, out_len);
    json_decref(answer);
    json_decref(id_json);
    json_decref(value);
    return rc;
}

int enf_rpc_error(const json_t *id, const struct enf_control_error *error, char **out, size_t *out_len)
{
    json_t *json = json_object();

    json_object_set_new(json, "code", json_integer(error->code));
    json_object_set_new(json, "message", enf_control_text(error->message));
    if (error->data)
        json_object_set(json, "data", error->data);
    if (json_object_size(json) < 2) {
        json_decref(json);
        return -ENOMEM;
    }
    return print_answer(id, "error", json, out, out_len);
}

/* JSON_DECODE_ANY: a lone number is JSON, and told apart from what is none. */
static json_t *parse(const char *line, size_t len, struct enf_control_error *error)
{
    json_error_t where;
    json_t *json = enf_json_read(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);

    if (!json && errno == ENOMEM) {
        enf_control_fail(error, ENF_CONTROL_INTERNAL, "out of memory");
        return NULL;
    }
    if (json)
        return json;
    enf_control_fail(error, ENF_CONTROL_PARSE, "no JSON: %s", where.text);
    enf_control_error_put(error, "position", json_integer(where.position));
    return NULL;
}

static bool is_id(const json_t *id)
{
    return json_is_string(id) || json_is_number(id) || json_is_null(id);
}

/* 0, or -EINVAL with *error filled. request->id is set as soon as it is known to be one. */
static int read_request(const json_t *json, struct request *request, struct enf_control_error *error)
{
    static const char *const members[] = {"jsonrpc", "id", "method", "params", NULL};
    const json_t *version = json_object_get(json, "jsonrpc");
    const json_t *method = json_object_get(json, "method");
    const json_t *id = json_object_get(json, "id");

    if (json_is_array(json))
        return enf_control_fail(error, ENF_CONTROL_REQUEST, "batches are not supported: one request a line");
    if (!json_is_object(json))
        return enf_control_fail(error, ENF_CONTROL_REQUEST, "a request is an object");
    if (id && !is_id(id))
        return enf_control_fail(error, ENF_CONTROL_REQUEST, "id: expected text, a number or null");
    request->id = id;
    if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0)
        return enf_control_fail(error, ENF_CONTROL_REQUEST, "jsonrpc: expected \"2.0\"");
    if (!json_is_string(method))
        return enf_control_fail(error, ENF_CONTROL_REQUEST, "method: expected text");
    request->method = json_string_value(method);
    request->params = json_object_get(json, "params");
    if (request->params && !json_is_object(request->params))
        return enf_control_fail(error, ENF_CONTROL_PARAMS, "params: expected an object");
    if (enf_params_known(json, members, error) != 0) {
        error->code = ENF_CONTROL_REQUEST;
        return -EINVAL;
    }
    return 0;
}

static const struct enf_control_method *find_method(const struct enf_rpc *rpc, const char *name)
{
    for (size_t i = 0; i < rpc->methods_len; i++)
        if (name && strcmp(rpc->methods[i].name, name) == 0)
            return &rpc->methods[i];
    return NULL;
}

static bool may_call(const struct enf_control_caller *caller, const struct enf_control_method *method)
{
    return caller->admin || (caller->viewer && !method->changes) || (caller->portal && method->portal);
}

static int call(const struct enf_rpc *rpc, const struct enf_control_caller *caller,
                const struct request *request, json_t **result, struct enf_control_error *error)
{
    const struct enf_control_method *method = find_method(rpc, request->method);
    json_t *none = NULL;
    int rc;

    if (!method)
        return enf_control_fail(error, ENF_CONTROL_METHOD, "no method \"%.*s\"", METHOD_LEN_MAX,
                                request->method);
    if (!may_call(caller, method)) {
        if (rpc->denied)
            rpc->denied(rpc->ctx, caller, method->name);
        return enf_control_fail(error, ENF_CONTROL_DENIED, "%s may not call %s: it is for admins%s",
                                caller->actor, method->name, method->changes ? "" : " and viewers");
    }
    if (method->slow && rpc->slow_begin && !rpc->slow_begin(caller))
        return -EAGAIN;
    if (!request->params)
        none = json_object();
    if (rpc->enter)
        rpc->enter(caller, method, request->params ? request->params : none);
    if (method->changes && rpc->begin)
        rpc->begin(caller, method->name, request->params ? request->params : none);
    rc = method->handler(rpc->ctx, caller, request->params ? request->params : none, result, error);
    if (method->slow && rpc->slow_end)
        rpc->slow_end(caller);
    if (rc == -EAGAIN) /* of its own: not ours */
        rc = -EIO;
    if (rc < 0 && error->code == 0)
        enf_control_fail(error, ENF_CONTROL_INTERNAL, "internal error: %s", strerror(-rc));
    if (method->changes && rpc->done)
        rpc->done(caller, method->name, request->params ? request->params : none, error);
    json_decref(none);
    if (rc >= 0 && !*result)
        return enf_control_fail(error, ENF_CONTROL_INTERNAL, "internal error: no result");
    return rc;
}

static bool is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r", line[i]) || line[i] == '\0')
            return false;
    return true;
}

/* The answer to a request that was read and, if it had the right form, done. */
static int answer(const json_t *id, json_t *result, struct enf_control_error *error, char **out,
                  size_t *out_len)
{
    int rc;

    if (!result)
        return enf_rpc_error(id, error, out, out_len);
    rc = print_answer(id, "result", result, out, out_len);
    if (rc != -EMSGSIZE)
        return rc;
    enf_control_fail(error, ENF_CONTROL_TOO_LARGE, "the answer is longer than %u bytes: ask for less",
                     ENF_CONTROL_RESULT_MAX);
    return enf_rpc_error(id, error, out, out_len);
}

int enf_rpc_handle(const struct enf_rpc *rpc, const struct enf_control_caller *caller, const char *line,
                   size_t len, char **out, size_t *out_len)
{
    struct enf_control_error error = {0};
    struct request request = {0};
    json_t *result = NULL;
    uint64_t before = enf_json_no_memory();
    json_t *json;
    int rc = 0;

    if (is_blank(line, len))
        return 0;
    json = parse(line, len, &error);
    if (json && read_request(json, &request, &error) == 0)
        rc = call(rpc, caller, &request, &result, &error);
    if (result && enf_json_no_memory() != before) /* it may lack something */
        rc = enf_control_fail(&error, ENF_CONTROL_INTERNAL, "out of memory for the answer");
    if (rc < 0 && result) {
        json_decref(result);
        result = NULL;
    }
    /* Nobody waits for the answer to a notification; what is no request at all is answered. */
    if (rc != -EAGAIN && (!request.method || request.id)) {
        rc = answer(request.id, result, &error, out, out_len);
    } else {
        rc = rc == -EAGAIN ? rc : 0;
        json_decref(result);
    }
    enf_control_error_clear(&error);
    json_decref(json);
    return rc;
}
