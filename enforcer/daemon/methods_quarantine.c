/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quarantine.add, quarantine.release, quarantine.list, subscriber.reassigned. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/methods.h"
#include "enforcer/policy/decide.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WIDEST_V4       16 /* a shorter prefix needs force */
#define WIDEST_V6       32
#define PAGE_LIMIT      5000
#define RELEASED_LISTED 10000 /* entries of an answer */
#define SMALL_MAX       256   /* addresses of a change that waits for the disk with others' */

int enf_done(json_t *object, json_t **result, struct enf_control_error *error)
{
    if (!object)
        return enf_control_fail(error, ENF_CONTROL_INTERNAL, "out of memory");
    *result = object;
    return 0;
}

json_t *enf_time_json(uint64_t wall_ms)
{
    char text[ENF_TIME_STR_LEN];

    return wall_ms == ENF_FOREVER || wall_ms == 0 ? json_null()
                                                  : json_string(enf_time_str(wall_ms, text, sizeof text));
}

struct enf_prefix enf_as_subscriber(const struct enf_daemon *d, const struct enf_prefix *given)
{
    if (!enf_prefix_is_host(given))
        return *given;
    return enf_group_subscriber(enf_group_find(&d->running->groups, &given->addr), &given->addr);
}

bool enf_is_single(const struct enf_daemon *d, const struct enf_prefix *prefix)
{
    struct enf_prefix own =
        enf_group_subscriber(enf_group_find(&d->running->groups, &prefix->addr), &prefix->addr);

    return enf_prefix_equal(&own, prefix);
}

/* Whether the kernel drops anything for this entry now, and if not, why. */
static const char *not_enforced(struct enf_daemon *d, const struct enf_quarantine *entry)
{
    const struct enf_group *group = enf_group_find(&d->running->groups, &entry->subscriber.addr);

    if (d->mode == ENF_MODE_OBSERVE)
        return "mode is observe: recorded, nothing is dropped";
    if (group && group->policy == ENF_POLICY_OBSERVE)
        return "its group is only observed: recorded, nothing is dropped";
    if (!entry->net && enf_group_policy(group, &entry->subscriber.addr) == ENF_POLICY_OBSERVE)
        return "outside of its group's canary share, only observed: recorded, nothing is dropped";
    if (!entry->forced && enf_decide_touches(&d->relays, &entry->subscriber))
        return "the relays inside it are not cut (that takes force)";
    return NULL;
}

json_t *enf_entry_json(struct enf_daemon *d, const struct enf_quarantine *entry)
{
    char subscriber[ENF_PREFIX_STR_LEN];
    const char *note = not_enforced(d, entry);
    bool relays_only = note && d->mode == ENF_MODE_ENFORCE && strncmp(note, "the relays", 10) == 0;
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:b, s:b, s:b}", "subscriber",
        enf_prefix_str(&entry->subscriber, subscriber, sizeof subscriber), "level",
        enf_level_name(entry->level), "since", enf_time_json(entry->since_ms), "until",
        enf_time_json(entry->until_ms), "reason", enf_control_text(entry->reason), "actor",
        enf_control_text(entry->actor), "ticket",
        *entry->ticket ? enf_control_text(entry->ticket) : json_null(), "convictions",
        (int)entry->convictions, "group", *entry->group ? enf_control_text(entry->group) : json_null(), "net",
        (int)entry->net, "forced", (int)entry->forced, "enforced", (int)(!note || relays_only));

    if (object && note)
        json_object_set_new(object, "note", json_string(note));
    return object;
}

int enf_enforce_failed(struct enf_daemon *d, int err, struct enf_control_error *error)
{
    switch (err) {
    case -ENOSPC:
        return enf_control_fail(error, ENF_CONTROL_LIMIT,
                                "the quarantine is full (quarantine.max_entries is %zu): nothing was done",
                                d->running->config->quarantine.max_entries);
    case -EIO:
        return enf_control_fail(error, ENF_CONTROL_STATE,
                                "the state could not be written: %s: nothing was done",
                                enf_store_message(d->store));
    case -ENOMEM:
        return enf_control_fail(error, ENF_CONTROL_INTERNAL, "out of memory: nothing was done");
    default:
        return enf_control_fail(error, ENF_CONTROL_KERNEL, "the kernel refused: %s: nothing was done",
                                strerror(-err));
    }
}

/* --- add --- */

struct add_request {
    const char *reason;
    const char *ticket;
    uint64_t for_ms;
    enum enf_level level;
    bool force;
};

static int read_add(struct enf_daemon *d, const json_t *params, struct add_request *r,
                    struct enf_control_error *error)
{
    static const char *const known[] = {"addresses", "for", "level", "reason", "ticket", "force", NULL};
    const struct enf_config *config = d->running->config;

    *r = (struct add_request){.reason = "", .ticket = "", .level = config->quarantine.level};
    r->for_ms = enf_running_first_quarantine_ms(config);
    if (enf_params_known(params, known, error) < 0 ||
        enf_params_duration(params, "for", ENF_PARAM_OPTIONAL, &r->for_ms, error) < 0 ||
        enf_params_level(params, "level", ENF_PARAM_OPTIONAL, &r->level, error) < 0 ||
        enf_params_text(params, "reason", ENF_PARAM_OPTIONAL, ENF_REASON_LEN - 1, &r->reason, error) < 0 ||
        enf_params_text(params, "ticket", ENF_PARAM_OPTIONAL, ENF_TICKET_LEN - 1, &r->ticket, error) < 0 ||
        enf_params_bool(params, "force", ENF_PARAM_OPTIONAL, &r->force, error) < 0)
        return -EINVAL;
    return 0;
}

/* Wide prefixes and relays take force: one keystroke must not cut a town, or everybody's mail. */
static int check_force(struct enf_daemon *d, const struct enf_prefix *prefix, const struct add_request *r,
                       struct enf_control_error *error)
{
    uint8_t widest = prefix->addr.family == ENF_FAMILY_V4 ? WIDEST_V4 : WIDEST_V6;
    char text[ENF_PREFIX_STR_LEN];

    enf_prefix_str(prefix, text, sizeof text);
    if (r->force)
        return 0;
    if (prefix->len < widest)
        return enf_control_fail(error, ENF_CONTROL_NEEDS_FORCE,
                                "%s is wider than /%u: quarantining so many addresses at once needs force",
                                text, widest);
    if (enf_decide_touches(&d->relays, prefix))
        return enf_control_fail(error, ENF_CONTROL_NEEDS_FORCE,
                                "%s is or holds an authorised relay: cutting it needs force", text);
    if (enf_decide_touches(&d->running->smarthosts, prefix))
        return enf_control_fail(error, ENF_CONTROL_NEEDS_FORCE, "%s is or holds a smarthost: it needs force",
                                text);
    return 0;
}

static void make_entry(struct enf_daemon *d, const struct enf_prefix *given, const struct add_request *r,
                       const struct enf_control_caller *caller, uint64_t now_ms, struct enf_quarantine *out)
{
    *out = (struct enf_quarantine){
        .subscriber = enf_as_subscriber(d, given),
        .forced = r->force,
        .level = r->level,
        .since_ms = now_ms,
        .until_ms = r->for_ms == ENF_FOREVER ? ENF_FOREVER : now_ms + r->for_ms,
    };
    out->net = !enf_is_single(d, &out->subscriber);
    enf_text_copy(out->reason, sizeof out->reason, *r->reason ? r->reason : "by hand");
    enf_text_copy(out->actor, sizeof out->actor, caller->actor);
    enf_text_copy(out->ticket, sizeof out->ticket, r->ticket);
    const struct enf_group *group = enf_group_find(&d->running->groups, &out->subscriber.addr);
    if (!group)
        return;
    enf_text_copy(out->group, sizeof out->group, group->name);
    /* The next customer of a dynamic address must not inherit it, whatever was asked for. */
    if (group->addresses == ENF_ADDRESSES_DYNAMIC && out->until_ms > now_ms + group->lease_ms)
        out->until_ms = now_ms + group->lease_ms;
}

METHOD(enf_method_quarantine_add)
{
    struct enf_daemon *d = ctx;
    struct add_request request;
    struct enf_prefix *prefixes = NULL;
    size_t len = 0;
    uint64_t now_ms = enf_clock_wall_ms();

    if (read_add(d, params, &request, error) < 0 ||
        enf_params_prefixes(params, "addresses", ENF_PARAM_REQUIRED, &prefixes, &len, error) < 0)
        return -EINVAL;
    struct enf_quarantine *entries = calloc(len, sizeof *entries);
    json_t *list = json_array();
    int err = 0;
    if (!entries || !list) {
        enf_control_fail(error, ENF_CONTROL_INTERNAL, "out of memory");
        err = -ENOMEM;
    }
    for (size_t i = 0; err == 0 && i < len; i++) {
        make_entry(d, &prefixes[i], &request, caller, now_ms, &entries[i]);
        err = check_force(d, &entries[i].subscriber, &request, error);
    }
    if (err == 0) {
        err = enf_enforce_add(d, entries, len, ENF_QUARANTINE_SET);
        if (err < 0)
            enf_enforce_failed(d, err, error);
    }
    for (size_t i = 0; err == 0 && i < len; i++)
        json_array_append_new(list, enf_entry_json(d, &entries[i]));
    free(entries);
    free(prefixes);
    if (err < 0) {
        json_decref(list);
        return err;
    }
    return enf_done(json_pack("{s:o}", "quarantined", list), result, error);
}

/* --- release --- */

struct release_list {
    struct enf_daemon *d;
    json_t *list;
};

/* The answer has a limit, and what is released may be all that there is. */
static int add_released(void *ctx, const struct enf_quarantine *entry)
{
    struct release_list *r = ctx;

    if (json_array_size(r->list) < RELEASED_LISTED)
        json_array_append_new(r->list, enf_entry_json(r->d, entry));
    return 0;
}

static int release_failed(struct enf_daemon *d, int err, size_t released, struct enf_control_error *error)
{
    enf_enforce_failed(d, err, error);
    if (released > 0) {
        char why[ENF_CONTROL_MESSAGE_LEN];
        enf_text_copy(why, sizeof why, error->message);
        enf_control_fail(error, error->code, "%zu were released, then: %.400s", released, why);
        enf_control_error_put(error, "released", json_integer((json_int_t)released));
    }
    return err;
}

METHOD(enf_method_quarantine_release)
{
    static const char *const known[] = {"addresses", "reason", NULL};
    struct enf_daemon *d = ctx;
    struct enf_prefix *prefixes = NULL;
    struct enf_release release = {.actor = caller->actor, .reason = ""};
    size_t all = 0;

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_text(params, "reason", ENF_PARAM_OPTIONAL, ENF_REASON_LEN - 1, &release.reason, error) <
            0 ||
        enf_params_prefixes(params, "addresses", ENF_PARAM_REQUIRED, &prefixes, &release.len, error) < 0)
        return -EINVAL;
    struct release_list released = {.d = d, .list = json_array()};
    for (size_t i = 0; i < release.len; i++)
        prefixes[i] = enf_as_subscriber(d, &prefixes[i]);
    release.prefixes = prefixes;
    release.fn = add_released;
    release.ctx = &released;
    int err = released.list ? enf_enforce_release(d, &release, &all) : -ENOMEM;
    if (err < 0)
        release_failed(d, err, all, error);
    if (err == 0 && all == 0) {
        char text[ENF_PREFIX_STR_LEN];
        err = enf_control_fail(error, ENF_CONTROL_NOT_FOUND, "%s%s: not in quarantine",
                               enf_prefix_str(&prefixes[0], text, sizeof text),
                               release.len > 1 ? " and the others" : "");
    }
    free(prefixes);
    if (err < 0) {
        json_decref(released.list);
        return err;
    }
    return enf_done(json_pack("{s:o, s:I}", "released", released.list, "total", (json_int_t)all), result,
                    error);
}

/* Prefixes may release so many that nobody else should wait for it. */
bool enf_is_small_change(void *ctx, const json_t *params)
{
    const json_t *addresses = json_object_get(params, "addresses");
    struct enf_prefix *prefixes = NULL;
    struct enf_control_error error = {0};
    size_t len = 0;
    bool small = json_array_size(addresses) <= SMALL_MAX &&
                 enf_params_prefixes(params, "addresses", ENF_PARAM_REQUIRED, &prefixes, &len, &error) >= 0;

    for (size_t i = 0; small && i < len; i++) {
        struct enf_prefix subscriber = enf_as_subscriber(ctx, &prefixes[i]);
        small = enf_is_single(ctx, &subscriber);
    }
    free(prefixes);
    enf_control_error_clear(&error);
    return small;
}

/* --- list --- */

struct page {
    struct enf_daemon *d;
    json_t *list;
    struct enf_prefix last;
};

static int add_entry(void *ctx, const struct enf_quarantine *entry)
{
    struct page *page = ctx;

    page->last = entry->subscriber;
    return json_array_append_new(page->list, enf_entry_json(page->d, entry)) < 0 ? -ENOMEM : 0;
}

METHOD(enf_method_quarantine_list)
{
    static const char *const known[] = {"after", "limit", NULL};
    struct enf_daemon *d = ctx;
    struct enf_prefix after;
    int64_t limit = 1000;
    bool more = false;

    (void)caller;
    int have_after = -EINVAL;
    if (enf_params_known(params, known, error) < 0 ||
        enf_params_integer(params, "limit", ENF_PARAM_OPTIONAL, 1, PAGE_LIMIT, &limit, error) < 0 ||
        (have_after = enf_params_prefix(params, "after", ENF_PARAM_OPTIONAL, &after, error)) < 0)
        return -EINVAL;
    struct page page = {.d = d, .list = json_array()};
    if (!page.list || enf_quarantine_list(d->quarantine, have_after ? &after : NULL, (size_t)limit, add_entry,
                                          &page, &more) != 0) {
        json_decref(page.list);
        return enf_control_fail(error, ENF_CONTROL_INTERNAL, "out of memory");
    }
    char text[ENF_PREFIX_STR_LEN];
    json_t *next = more ? json_string(enf_prefix_str(&page.last, text, sizeof text)) : json_null();
    return enf_done(json_pack("{s:o, s:o, s:I}", "entries", page.list, "next", next, "total",
                              (json_int_t)enf_quarantine_count(d->quarantine)),
                    result, error);
}

/* --- reassigned --- */

static int reassign(struct enf_daemon *d, const struct enf_prefix *subscriber, const char *actor)
{
    struct enf_store_history line = {.subscriber = *subscriber,
                                     .time_ms = enf_clock_wall_ms(),
                                     .actor = actor,
                                     .reason = "a new customer"};
    const struct enf_release release = {
        .prefixes = subscriber, .len = 1, .actor = actor, .reason = "the address has a new customer"};
    size_t released = 0;
    int err = enf_enforce_release(d, &release, &released);

    if (err < 0)
        return err;
    if (enf_store_history_add(d->store, "reassigned", &line) < 0)
        return -EIO;
    enf_enforce_forget(d, subscriber, 1);
    enf_history_forget(d->history, subscriber);
    enf_quarantine_release(d->would, subscriber, NULL, &released);
    struct enf_event event = {
        .action = ENF_EVENT_REASSIGNED, .outcome = ENF_OUTCOME_SUCCESS, .subscriber = *subscriber};
    enf_text_copy(event.actor, sizeof event.actor, actor);
    enf_text_copy(event.reason, sizeof event.reason,
                  "the address has a new customer: counters and history end");
    enf_tell(d, &event);
    return 0;
}

METHOD(enf_method_reassigned)
{
    static const char *const known[] = {"addresses", NULL};
    struct enf_daemon *d = ctx;
    struct enf_prefix *prefixes = NULL;
    size_t len = 0;
    int err = 0;

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_prefixes(params, "addresses", ENF_PARAM_REQUIRED, &prefixes, &len, error) < 0)
        return -EINVAL;
    json_t *list = json_array();
    for (size_t i = 0; err == 0 && i < len; i++) {
        struct enf_prefix subscriber = enf_as_subscriber(d, &prefixes[i]);
        char text[ENF_PREFIX_STR_LEN];
        err = reassign(d, &subscriber, caller->actor);
        if (err < 0)
            enf_enforce_failed(d, err, error);
        else
            json_array_append_new(list, json_string(enf_prefix_str(&subscriber, text, sizeof text)));
    }
    free(prefixes);
    if (err < 0) {
        json_decref(list);
        return err;
    }
    return enf_done(list ? json_pack("{s:o}", "reassigned", list) : NULL, result, error);
}
