/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit log: requests that change, attempts that were refused, reloads by signal, what the daemon did by
 * itself. The latter is in the history already, so audit.list reads both. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/methods.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT  200
#define LIST_MAX      5000
#define WORDS_OF_LIST 8    /* of a list of addresses; how many there were is said */
#define EVENT_MS      1000 /* one line of an action in so long: fights over the table fill no disk */

static void add(struct enf_daemon *d, const char *actor, const char *method, const char *outcome,
                const char *detail)
{
    struct enf_store_audit line = {
        .time_ms = enf_clock_wall_ms(),
        .actor = actor,
        .method = method,
        .detail = detail,
        .outcome = outcome,
    };

    if (d->store && enf_store_audit_add(d->store, &line) < 0)
        enf_log_line("audit", "could not be written (%s %s %s %s): %s", actor, method, outcome, detail,
                     enf_store_message(d->store));
}

void enf_audit(struct enf_daemon *d, const char *actor, const char *method, const char *outcome,
               const char *format, ...)
{
    char detail[ENF_STORE_AUDIT_TEXT_MAX + 1];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    add(d, actor, method, outcome, detail);
}

/* --- requests --- */

static void put_value(FILE *out, const json_t *value)
{
    const char *text = json_string_value(value);

    if (text && !strpbrk(text, " =\""))
        fputs(text, out);
    else
        json_dumpf(value, out, JSON_ENCODE_ANY | JSON_COMPACT);
}

/* "addresses=100.64.0.7,100.64.0.8 for=10h reason="asked by phone"". Only what the caller gave. */
static void put_params(FILE *out, const json_t *params)
{
    const char *key;
    json_t *value;
    bool first = true;

    json_object_foreach((json_t *)(uintptr_t)params, key, value)
    {
        size_t len = json_array_size(value);

        fprintf(out, "%s%.64s=", first ? "" : " ", key);
        first = false;
        for (size_t i = 0; i < len && i < WORDS_OF_LIST; i++) {
            fputs(i ? "," : "", out);
            put_value(out, json_array_get(value, i));
        }
        if (len > WORDS_OF_LIST)
            fprintf(out, ",… (%zu)", len);
        if (!json_is_array(value))
            put_value(out, value);
    }
}

static const char *outcome_of(int code)
{
    switch (code) {
    case 0:
        return "done";
    case ENF_CONTROL_KERNEL:
    case ENF_CONTROL_STATE:
    case ENF_CONTROL_INTERNAL:
        return "failed";
    default:
        return "refused";
    }
}

static char *describe(const json_t *params, const struct enf_control_error *error)
{
    struct enf_text written;
    char *text = NULL;
    FILE *out = enf_text_open(&written);

    if (!out)
        return NULL;
    put_params(out, params);
    if (error && error->code)
        fprintf(out, "%s(%d) %s", json_object_size(params) > 0 ? " " : "", error->code, error->message);
    enf_text_close(out, &written, &text);
    return text;
}

static const char no_memory[] = "(no memory for the details)";

void enf_audit_begin(void *ctx, const struct enf_control_caller *caller, const char *method,
                     const json_t *params)
{
    struct enf_daemon *d = ctx;

    d->request.caller = caller;
    d->request.method = method;
    d->request.params = params;
    d->request.within = d->request.written = false;
}

int enf_audit_within(struct enf_daemon *d)
{
    if (!d->request.caller || d->request.written)
        return 0;
    char *text = describe(d->request.params, NULL);
    struct enf_store_audit line = {
        .time_ms = enf_clock_wall_ms(),
        .actor = d->request.caller->actor,
        .method = d->request.method,
        .detail = text ? text : no_memory,
        .outcome = outcome_of(0),
    };
    int err = enf_store_audit_add(d->store, &line);

    free(text);
    d->request.within = err == 0;
    return err;
}

void enf_audit_committed(struct enf_daemon *d, bool committed)
{
    d->request.written = d->request.written || (d->request.within && committed);
    d->request.within = false;
}

void enf_audit_request(void *ctx, const struct enf_control_caller *caller, const char *method,
                       const json_t *params, const struct enf_control_error *error)
{
    struct enf_daemon *d = ctx;
    bool written = d->request.written;

    d->request.caller = NULL;
    if (written && !error->code)
        return;
    char *text = describe(params, error);
    add(d, caller->actor, method, outcome_of(error->code), text ? text : no_memory);
    free(text);
}

/* --- what happens by itself --- */

static bool is_kept(const struct enf_event *event)
{
    switch (event->action) {
    case ENF_EVENT_STARTED:
    case ENF_EVENT_STOPPED:
    case ENF_EVENT_RULESET_TAMPERED:
    case ENF_EVENT_RULESET_RESTORED:
    case ENF_EVENT_GOVERNOR_TRIPPED:
    case ENF_EVENT_COVERAGE_LOST:
    case ENF_EVENT_COVERAGE_RESTORED:
        return true;
    case ENF_EVENT_CONFIG_RELOADED:
    case ENF_EVENT_CONFIG_REJECTED: /* by a request: that is kept itself */
        return strncmp(event->actor, "signal:", 7) == 0;
    default:
        return false;
    }
}

void enf_audit_event(struct enf_daemon *d, const struct enf_event *event)
{
    uint64_t now_ms = enf_clock_steady_ms();

    if (!is_kept(event) || (d->audited_ms[event->action] && now_ms < d->audited_ms[event->action] + EVENT_MS))
        return;
    d->audited_ms[event->action] = now_ms;
    add(d, *event->actor ? event->actor : "enforcerd", enf_event_action_name(event->action),
        event->outcome == ENF_OUTCOME_FAILURE ? "failed" : "done", event->reason);
}

/* --- reading --- */

struct line {
    uint64_t time_ms;
    size_t order; /* as it was read */
    json_t *json;
};

struct lines {
    struct line *items;
    size_t len;
    size_t max;
};

static int append(struct lines *lines, uint64_t time_ms, json_t *json)
{
    if (!json)
        return -ENOMEM;
    lines->items[lines->len] = (struct line){time_ms, lines->len, json};
    lines->len++;
    return lines->len < lines->max ? 0 : 1;
}

static json_t *line_json(uint64_t time_ms, const char *actor, const char *method, const char *detail,
                         const char *outcome)
{
    char time[ENF_TIME_STR_LEN];

    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "time", enf_time_str(time_ms, time, sizeof time), "actor",
                     enf_control_text(actor), "method", enf_control_text(method), "detail",
                     enf_control_text(detail), "outcome", enf_control_text(outcome));
}

static int on_audit(void *ctx, const struct enf_store_audit *line)
{
    return append(ctx, line->time_ms,
                  line_json(line->time_ms, line->actor, line->method, line->detail, line->outcome));
}

static int on_history(void *ctx, const struct enf_store_history *line)
{
    char subscriber[ENF_PREFIX_STR_LEN];
    char detail[ENF_PREFIX_STR_LEN + ENF_REASON_LEN + 2];

    enf_prefix_str(&line->subscriber, subscriber, sizeof subscriber);
    snprintf(detail, sizeof detail, "%s%s%s", subscriber, *line->reason ? " " : "", line->reason);
    /* It ended by itself, whoever asked for it. */
    const char *actor = strcmp(line->action, "expired") == 0 ? "enforcerd" : line->actor;
    return append(ctx, line->time_ms, line_json(line->time_ms, actor, line->action, detail, "done"));
}

static int newest_first(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->time_ms != y->time_ms)
        return x->time_ms > y->time_ms ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

METHOD(enf_method_audit_list)
{
    static const char *const known[] = {"since", "limit", NULL};
    struct enf_daemon *d = ctx;
    uint64_t since_ms = 0;
    int64_t limit = LIST_DEFAULT;

    (void)caller;
    if (enf_params_known(params, known, error) < 0 ||
        enf_params_since(params, "since", ENF_PARAM_OPTIONAL, enf_clock_wall_ms(), &since_ms, error) < 0 ||
        enf_params_integer(params, "limit", ENF_PARAM_OPTIONAL, 1, LIST_MAX, &limit, error) < 0)
        return -EINVAL;
    struct lines lines = {.items = calloc(2 * (size_t)limit, sizeof *lines.items), .max = (size_t)limit};
    json_t *list = json_array();
    int err = lines.items && list ? 0 : -ENOMEM;
    if (err == 0)
        err = enf_store_audit_read(d->store, since_ms, (size_t)limit, on_audit, &lines);
    lines.max = lines.len + (size_t)limit;
    if (err >= 0)
        err = enf_store_history_automatic(d->store, since_ms, (size_t)limit, on_history, &lines);
    if (lines.len > 0)
        qsort(lines.items, lines.len, sizeof *lines.items, newest_first);
    for (size_t i = 0; i < lines.len; i++) {
        if (err >= 0 && i < (size_t)limit)
            json_array_append(list, lines.items[i].json);
        json_decref(lines.items[i].json);
    }
    free(lines.items);
    if (err >= 0)
        return enf_done(json_pack("{s:o}", "lines", list), result, error);
    json_decref(list);
    return err == -ENOMEM ? enf_done(NULL, result, error)
                          : enf_control_fail(error, ENF_CONTROL_STATE, "the state could not be read: %s",
                                             enf_store_message(d->store));
}
