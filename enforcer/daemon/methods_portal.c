/* SPDX-License-Identifier: GPL-2.0-or-later */
/* portal.show and portal.release: what a subscriber in quarantine is told about itself, and its own way out.
 * The members of RFC 8908 are those of the captive portal API; what else a page needs is in `enforcer`. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/methods.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_LINES 1000
#define ACTOR         "portal"

/* All that is known of one subscriber. */
struct portal {
    struct enf_daemon *d;
    uint64_t now_ms;
    struct enf_prefix subscriber;
    bool is; /* in quarantine: entry is the strongest of those that cover it */
    struct enf_quarantine entry;
    const char *not_by_self; /* why it may not release itself, else NULL */
    uint32_t used;           /* times that it did, within the time that counts */
    json_t *seen;            /* of the last conviction, or NULL */
};

/* Ends that the provider chose are not the subscriber's to change. */
static int note_entry(void *ctx, const struct enf_quarantine *entry)
{
    struct portal *p = ctx;

    if (entry->net || entry->forced || entry->until_ms == ENF_FOREVER)
        p->not_by_self = "by-provider";
    return 0;
}

/* "connection_rate" of "connection_rate: 20 per 60s". */
static json_t *cause_of(const json_t *item)
{
    const char *setting = json_string_value(json_object_get(item, "setting"));

    return setting ? json_stringn(setting, strcspn(setting, ":")) : NULL;
}

/* What the conviction was for, in numbers; words in people's languages are the page's. */
static json_t *seen_of(const struct enf_store_history *line)
{
    json_t *stored = json_loads(line->evidence, 0, NULL);
    json_t *list = json_object_get(stored, "evidence");
    size_t len = json_array_size(list);
    const json_t *first = json_array_get(list, 0), *last = len ? json_array_get(list, len - 1) : NULL;
    json_t *seen = json_object();

    if (seen && last) {
        json_object_set_new(seen, "cause", cause_of(last));
        json_object_set(seen, "count", json_object_get(stored, "evidence_total"));
        json_object_set(seen, "first", json_object_get(first, "time"));
        json_object_set(seen, "last", json_object_get(last, "time"));
    } else if (seen) {
        json_object_set_new(seen, "cause", json_string(line->actor));
    }
    json_decref(stored);
    return seen;
}

static int note_line(void *ctx, const struct enf_store_history *line)
{
    struct portal *p = ctx;
    uint64_t per_ms = p->d->running->config->quarantine.self_release.per_ms;

    if (strcmp(line->action, "reassigned") == 0)
        return 1; /* what was before belongs to another customer */
    if (!enf_prefix_equal(&line->subscriber, &p->subscriber))
        return 0;
    if (!p->seen && strcmp(line->action, "convicted") == 0)
        p->seen = seen_of(line);
    /* A clock that is set back must not give new ones. */
    if (strcmp(line->action, "released") == 0 && strcmp(line->actor, ACTOR) == 0 &&
        (line->time_ms > p->now_ms || p->now_ms - line->time_ms < per_ms))
        p->used++;
    return 0;
}

/* 0, or an error that is told. Ends with clear. */
static int look(struct enf_daemon *d, const json_t *params, struct portal *out,
                struct enf_control_error *error)
{
    static const char *const known[] = {"address", NULL};
    struct enf_addr address;

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_addr(params, "address", ENF_PARAM_REQUIRED, &address, error) < 0)
        return -EINVAL;
    struct enf_prefix host = enf_prefix_host(&address);
    *out = (struct portal){.d = d, .now_ms = enf_clock_wall_ms(), .subscriber = enf_as_subscriber(d, &host)};
    out->is = enf_quarantine_find(d->quarantine, &out->subscriber, &out->entry);
    enf_quarantine_covering(d->quarantine, &out->subscriber, note_entry, out);
    int err = enf_store_history_read(d->store, &out->subscriber, HISTORY_LINES, note_line, out);
    if (err < 0)
        return enf_control_fail(error, ENF_CONTROL_STATE, "the state could not be read: %s",
                                enf_store_message(d->store));
    if (!out->not_by_self && out->used >= d->running->config->quarantine.self_release.times)
        out->not_by_self = out->used > 0 ? "used-up" : "off";
    return 0;
}

static void clear(struct portal *p)
{
    json_decref(p->seen);
}

/* --- answers --- */

static void put_url(json_t *out, const char *name, const char *url)
{
    if (*url)
        json_object_set_new(out, name, json_string(url));
}

static json_t *quarantine_json(struct portal *p)
{
    json_t *object = p->is ? enf_entry_json(p->d, &p->entry) : json_null();
    bool ends = p->is && p->entry.until_ms != ENF_FOREVER;

    if (!p->is)
        return object;
    /* The provider's own notes are not for the subscriber. */
    json_object_del(object, "ticket");
    json_object_del(object, "actor");
    json_object_set_new(object, "seconds_left",
                        ends ? json_integer((json_int_t)(enf_left_ms(p->entry.until_ms, p->now_ms) / 1000))
                             : json_null());
    if (strncmp(p->entry.actor, "user:", 5) == 0)
        json_object_set_new(object, "seen", json_pack("{s:s}", "cause", "provider"));
    else
        json_object_set(object, "seen", p->seen ? p->seen : json_null());
    return object;
}

static json_t *self_release_json(const struct portal *p)
{
    const struct enf_config *config = p->d->running->config;
    uint32_t times = config->quarantine.self_release.times;
    char per[32];

    return json_pack("{s:I, s:s, s:I, s:b, s:s*}", "times", (json_int_t)times, "per",
                     enf_duration_str(config->quarantine.self_release.per_ms, per, sizeof per), "left",
                     (json_int_t)(p->used < times ? times - p->used : 0), "allowed",
                     (int)(p->is && !p->not_by_self), "why_not", p->is ? p->not_by_self : NULL);
}

static json_t *portal_json(struct portal *p)
{
    const struct enf_config *config = p->d->running->config;
    char text[ENF_PREFIX_STR_LEN];
    json_t *quarantine = quarantine_json(p);
    bool captive =
        p->is && p->entry.level == ENF_LEVEL_FULL && json_is_true(json_object_get(quarantine, "enforced"));
    json_t *out = json_pack("{s:b, s:b, s:{s:s, s:o, s:o}}", "captive", (int)captive, "can-extend-session", 0,
                            "enforcer", "subscriber", enf_prefix_str(&p->subscriber, text, sizeof text),
                            "quarantine", quarantine, "self_release", self_release_json(p));

    if (out) {
        put_url(out, "user-portal-url", config->quarantine.portal_url);
        put_url(out, "venue-info-url", config->quarantine.venue_info_url);
    }
    return out;
}

METHOD(enf_method_portal_show)
{
    struct enf_daemon *d = ctx;
    struct portal p = {0};
    int err = look(d, params, &p, error);

    (void)caller;
    if (err == 0)
        err = enf_done(portal_json(&p), result, error);
    clear(&p);
    return err;
}

static int refuse(const struct portal *p, struct enf_control_error *error)
{
    char text[ENF_PREFIX_STR_LEN];

    enf_prefix_str(&p->subscriber, text, sizeof text);
    if (!p->is)
        return enf_control_fail(error, ENF_CONTROL_NOT_FOUND, "%s: not in quarantine", text);
    if (strcmp(p->not_by_self, "used-up") == 0)
        enf_control_fail(error, ENF_CONTROL_REFUSED, "%s has released itself %u times: it has to call", text,
                         p->used);
    else if (strcmp(p->not_by_self, "off") == 0)
        enf_control_fail(error, ENF_CONTROL_REFUSED,
                         "%s: nobody releases himself (quarantine.self_release): it has to call", text);
    else
        enf_control_fail(error, ENF_CONTROL_REFUSED,
                         "%s is in quarantine by the provider's own hand (a prefix, by force or without an "
                         "end): it has to call",
                         text);
    enf_control_error_put(error, "why_not", json_string(p->not_by_self));
    return -EINVAL;
}

METHOD(enf_method_portal_release)
{
    struct enf_daemon *d = ctx;
    struct portal p = {0}, after = {0};
    size_t released = 0;
    int err = look(d, params, &p, error);

    (void)caller;
    if (err == 0 && (!p.is || p.not_by_self))
        err = refuse(&p, error);
    if (err == 0) {
        const struct enf_release release = {.prefixes = &p.subscriber,
                                            .len = 1,
                                            .actor = ACTOR,
                                            .reason = "the subscriber released itself in the portal"};
        err = enf_enforce_release(d, &release, &released);
        if (err < 0)
            enf_enforce_failed(d, err, error);
    }
    if (err == 0)
        err = look(d, params, &after, error);
    if (err == 0)
        err = enf_done(portal_json(&after), result, error);
    clear(&p);
    clear(&after);
    return err;
}
