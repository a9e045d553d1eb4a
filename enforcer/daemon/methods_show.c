/* SPDX-License-Identifier: GPL-2.0-or-later */
/* subscriber.show, subscriber.top and ruleset.show. */
#include "enforcer/control/json.h"
#include "enforcer/core/text.h"
#include "enforcer/daemon/evidence.h"
#include "enforcer/daemon/methods.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_LINES 50

static void window_setting(const struct enf_window *window, char *out, size_t out_len)
{
    char per[32];

    snprintf(out, out_len, "connection_rate: %u per %s", window->connections,
             enf_duration_str(window->per_ms, per, sizeof per));
}

static json_t *settings_json(const struct enf_detector_settings *s)
{
    json_t *rates = json_array();
    char per[32];

    for (size_t i = 0; rates && i < s->connection_rate_len; i++)
        json_array_append_new(
            rates, json_pack("{s:I, s:s}", "connections", (json_int_t)s->connection_rate[i].connections,
                             "per", enf_duration_str(s->connection_rate[i].per_ms, per, sizeof per)));
    json_t *object = json_pack("{s:o, s:I}", "connection_rate", rates, "traps", (json_int_t)s->traps_len);
    if (object && s->distinct_destinations.count > 0)
        json_object_set_new(object, "distinct_destinations",
                            json_pack("{s:I, s:s}", "count", (json_int_t)s->distinct_destinations.count,
                                      "per",
                                      enf_duration_str(s->distinct_destinations.per_ms, per, sizeof per)));
    if (object && s->sequential.enabled)
        json_object_set_new(object, "sequential",
                            json_pack("{s:f, s:f}", "false_conviction", s->sequential.false_conviction,
                                      "missed", s->sequential.missed));
    if (object && s->unrequested_replies.count > 0)
        json_object_set_new(object, "unrequested_replies",
                            json_pack("{s:I, s:s, s:b}", "count", (json_int_t)s->unrequested_replies.count,
                                      "per", enf_duration_str(s->unrequested_replies.per_ms, per, sizeof per),
                                      "convicts", (int)s->unrequested_replies.convicts));
    return object;
}

static json_t *windows_json(const struct enf_detector_view *view, const struct enf_detector_settings *s,
                            bool known)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < s->connection_rate_len; i++) {
        char text[ENF_SETTING_LEN];
        window_setting(&s->connection_rate[i], text, sizeof text);
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I}", "setting", text, "connections",
                                              (json_int_t)(known ? view->windows[i].connections : 0), "limit",
                                              (json_int_t)s->connection_rate[i].connections, "per_ms",
                                              (json_int_t)s->connection_rate[i].per_ms));
    }
    return list;
}

static int add_history(void *ctx, const struct enf_store_history *line)
{
    char time[ENF_TIME_STR_LEN];
    char subscriber[ENF_PREFIX_STR_LEN];
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:o}", "time", enf_time_str(line->time_ms, time, sizeof time),
        "subscriber", enf_prefix_str(&line->subscriber, subscriber, sizeof subscriber), "action",
        line->action, "reason", enf_control_text(line->reason), "actor", enf_control_text(line->actor),
        "ticket", *line->ticket ? enf_control_text(line->ticket) : json_null(), "level",
        enf_level_name(line->level), "until", enf_time_json(line->until_ms));

    if (json_array_append_new(ctx, object) < 0)
        return -ENOMEM;
    /* What was before belongs to another customer. */
    return strcmp(line->action, "reassigned") == 0 ? 1 : 0;
}

/* Evidence of the last conviction: the detector's while it remembers, else what the store has. */
struct stored_evidence {
    json_t *object;
};

static int take_evidence(void *ctx, const struct enf_store_history *line)
{
    struct stored_evidence *s = ctx;

    if (strcmp(line->action, "reassigned") == 0)
        return 1; /* what was before belongs to another customer */
    if (!*line->evidence || strcmp(line->action, "convicted") != 0)
        return 0;
    s->object = enf_json_read(line->evidence, strlen(line->evidence), 0, NULL);
    return s->object ? 1 : 0;
}

static void put_evidence(struct enf_daemon *d, const struct enf_prefix *subscriber,
                         const struct enf_detector_view *view, bool known, json_t *out)
{
    struct stored_evidence stored = {0};

    if (known && view->last.cause != ENF_CAUSE_NONE) {
        json_object_set_new(out, "evidence", enf_evidence_json(view->last.evidence, view->last.evidence_len));
        json_object_set_new(out, "evidence_total", json_integer((json_int_t)view->last.evidence_total));
        return;
    }
    enf_store_history_read(d->store, subscriber, HISTORY_LINES, take_evidence, &stored);
    json_t *list = json_object_get(stored.object, "evidence");
    json_t *total = json_object_get(stored.object, "evidence_total");
    json_object_set_new(out, "evidence", list ? json_incref(list) : json_array());
    json_object_set_new(out, "evidence_total", total ? json_incref(total) : json_integer(0));
    json_decref(stored.object);
}

static double highest_share(const struct enf_detector_view *view, const struct enf_detector_settings *s)
{
    double share = 0;

    for (size_t i = 0; i < s->connection_rate_len; i++) {
        double now = (double)view->windows[i].connections / (double)s->connection_rate[i].connections;
        share = now > share ? now : share;
    }
    if (s->distinct_destinations.count > 0) {
        double now = (double)view->distinct_destinations.count / (double)s->distinct_destinations.count;
        share = now > share ? now : share;
    }
    if (view->sequential.threshold > 0) {
        double now = view->sequential.score / view->sequential.threshold;
        share = now > share ? now : share;
    }
    return share;
}

struct shown {
    struct enf_daemon *d;
    const struct enf_prefix *subscriber;
    const struct enf_detector_settings *settings;
    json_t *out;
};

/* Called with the worker's lock held: the view's evidence is the detector's own. */
static void put_counters(void *ctx, const struct enf_detector_view *seen)
{
    const struct shown *shown = ctx;
    struct enf_daemon *d = shown->d;
    const struct enf_prefix *subscriber = shown->subscriber;
    const struct enf_detector_settings *s = shown->settings;
    struct enf_detector_view view = seen ? *seen : (struct enf_detector_view){0};
    bool known = seen != NULL;
    json_t *out = shown->out;

    json_object_set_new(out, "detector", settings_json(s));
    json_object_set_new(out, "windows", windows_json(&view, s, known));
    json_object_set_new(out, "distinct",
                        json_pack("{s:I, s:I, s:I}", "count", (json_int_t)view.distinct_destinations.count,
                                  "limit", (json_int_t)s->distinct_destinations.count, "per_ms",
                                  (json_int_t)s->distinct_destinations.per_ms));
    if (known && view.sequential.threshold > 0)
        json_object_set_new(out, "sequential",
                            json_pack("{s:f, s:f, s:I}", "score", view.sequential.score, "threshold",
                                      view.sequential.threshold, "observations",
                                      (json_int_t)view.sequential.observations));
    /* The share of the nearest limit that is used up: 1 is at the limit, one more convicts. */
    json_object_set_new(out, "score", json_real(known ? highest_share(&view, s) : 0));
    json_object_set_new(out, "first_seen", known ? enf_time_json(view.first_seen_ms) : json_null());
    json_object_set_new(out, "last_seen", known ? enf_time_json(view.last_seen_ms) : json_null());
    json_object_set_new(out, "connections_total", json_integer((json_int_t)view.connections));
    json_object_set_new(out, "blocked_total", json_integer((json_int_t)view.blocked));
    json_object_set_new(out, "convictions", json_integer((json_int_t)view.convictions));
    put_evidence(d, subscriber, &view, known, out);
}

METHOD(enf_method_show)
{
    static const char *const known[] = {"address", NULL};
    struct enf_daemon *d = ctx;
    struct enf_prefix given;
    struct enf_quarantine entry;
    char text[ENF_PREFIX_STR_LEN];

    (void)caller;
    if (enf_params_known(params, known, error) < 0 ||
        enf_params_prefix(params, "address", ENF_PARAM_REQUIRED, &given, error) < 0)
        return -EINVAL;
    struct enf_prefix subscriber = enf_as_subscriber(d, &given);
    const struct enf_group *group = enf_group_find(&d->running->groups, &subscriber.addr);
    if (!enf_is_single(d, &subscriber))
        return enf_control_fail(error, ENF_CONTROL_PARAMS,
                                "address: expected one subscriber, found the prefix %s (list shows prefixes)",
                                enf_prefix_str(&subscriber, text, sizeof text));
    json_t *out = json_object();
    json_t *history = json_array();
    if (!out || !history) {
        json_decref(out);
        json_decref(history);
        return enf_done(NULL, result, error);
    }
    struct enf_detector_settings defaults = enf_detector_defaults(ENF_POLICY_NONE);
    json_object_set_new(out, "subscriber", json_string(enf_prefix_str(&subscriber, text, sizeof text)));
    json_object_set_new(out, "group", group ? json_string(group->name) : json_null());
    json_object_set_new(out, "policy", json_string(enf_policy_name(group ? group->policy : ENF_POLICY_NONE)));
    json_object_set_new(out, "canary",
                        group ? json_pack("{s:i, s:b}", "percent", (int)group->canary_percent, "enforced",
                                          (int)enf_group_in_canary(group, &subscriber.addr))
                              : json_null());
    struct shown shown = {
        .d = d,
        .subscriber = &subscriber,
        .settings = group ? enf_group_detector(&d->running->groups, group, &given.addr) : &defaults,
        .out = out,
    };
    enf_crew_show(&d->crew, &subscriber, shown.settings, put_counters, &shown);
    bool is = enf_quarantine_find(d->quarantine, &subscriber, &entry);
    json_object_set_new(out, "quarantine", is ? enf_entry_json(d, &entry) : json_null());
    enf_store_history_read(d->store, &subscriber, HISTORY_LINES, add_history, history);
    json_object_set_new(out, "history", history);
    return enf_done(out, result, error);
}

/* --- top --- */

METHOD(enf_method_top)
{
    static const char *const known[] = {"by", "limit", NULL};
    static const char *const orders[] = {"connections", "destinations", "blocked", NULL};
    struct enf_daemon *d = ctx;
    size_t by = 0;
    int64_t limit = 20;

    (void)caller;
    if (enf_params_known(params, known, error) < 0 ||
        enf_params_choice(params, "by", ENF_PARAM_OPTIONAL, orders, &by, error) < 0 ||
        enf_params_integer(params, "limit", ENF_PARAM_OPTIONAL, 1, ENF_TOP_MAX, &limit, error) < 0)
        return -EINVAL;
    struct enf_detector_top *top = calloc((size_t)limit, sizeof *top);
    json_t *list = json_array();
    if (!top || !list) {
        free(top);
        json_decref(list);
        return enf_done(NULL, result, error);
    }
    size_t len = enf_crew_top(&d->crew, (enum enf_top)by, (size_t)limit, top);
    for (size_t i = 0; i < len; i++) {
        char text[ENF_PREFIX_STR_LEN];
        const struct enf_group *group = enf_group_find(&d->running->groups, &top[i].subscriber.addr);
        bool zombie = top[i].convicted || enf_quarantine_find(d->quarantine, &top[i].subscriber, NULL);
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:I, s:I, s:I, s:s, s:o}", "subscriber",
                            enf_prefix_str(&top[i].subscriber, text, sizeof text), "group",
                            group ? json_string(group->name) : json_null(), "connections",
                            (json_int_t)top[i].connections, "destinations", (json_int_t)top[i].destinations,
                            "blocked", (json_int_t)top[i].blocked, "verdict",
                            enf_verdict_name(zombie ? ENF_VERDICT_ZOMBIE : ENF_VERDICT_CLEAN), "last_seen",
                            enf_time_json(top[i].last_seen_ms)));
    }
    free(top);
    return enf_done(json_pack("{s:s, s:o}", "by", orders[by], "subscribers", list), result, error);
}

/* --- ruleset --- */

METHOD(enf_method_ruleset)
{
    static const char *const known[] = {NULL};
    struct enf_daemon *d = ctx;
    char *text = NULL, *why = NULL;

    (void)caller;
    if (enf_params_known(params, known, error) < 0)
        return -EINVAL;
    /* nft reads every element for this: with many of them it would hold the daemon up for a minute. */
    if (enf_quarantine_count(d->quarantine) > ENF_RULESET_LIST_MAX ||
        d->running->bogons.len > ENF_RULESET_LIST_MAX)
        return enf_done(
            json_pack("{s:s, s:s}", "ruleset", d->ruleset, "note",
                      "as it was loaded, without the elements of dynamic sets: there are too many for nft"),
            result, error);
    if (enf_ruleset_list(&text, &why) < 0) {
        enf_control_fail(error, ENF_CONTROL_KERNEL, "nft could not list the table: %s", why ? why : "");
        free(why);
        return -EINVAL;
    }
    json_t *object = json_pack("{s:o}", "ruleset", enf_control_text(text));
    free(text);
    return enf_done(object, result, error);
}
