/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds the JSON object of an event and prints it. */
#include "enforcer/sinks/render.h"

#include "enforcer/core/text.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One object under construction. A failure sticks, so that it is asked for once, at the end. */
struct object {
    json_t *json;
    bool *failed;
};

/* Takes the reference to value, also when it is NULL, which is a failure. */
static void put(struct object *to, const char *key, json_t *value)
{
    if (json_object_set_new(to->json, key, value) != 0)
        *to->failed = true;
}

/* Text from outside may hold anything; an event must not be lost because of it. */
static json_t *text_json(const char *text, size_t max)
{
    char copy[ENF_REASON_LEN];
    size_t len = strnlen(text, max < sizeof(copy) ? max : sizeof(copy) - 1);
    json_t *json = json_stringn(text, len);

    if (json)
        return json;
    for (size_t i = 0; i < len; i++)
        copy[i] = (char)((unsigned char)text[i] < 0x80 ? text[i] : '?');
    return json_stringn(copy, len);
}

#define PUT_TEXT(to, key, array)                                                                             \
    do {                                                                                                     \
        if ((array)[0])                                                                                      \
            put(to, key, text_json(array, sizeof(array)));                                                   \
    } while (0)

static void put_time(struct object *to, const char *key, uint64_t wall_ms)
{
    char buf[ENF_TIME_STR_LEN];

    put(to, key, json_string(enf_time_str(wall_ms, buf, sizeof(buf))));
}

/* Beyond what a signed JSON integer holds, the largest one. */
static void put_count(struct object *to, const char *key, uint64_t value)
{
    put(to, key, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

static void put_real(struct object *to, const char *key, double value)
{
    if (isfinite(value))
        put(to, key, json_real(value));
}

static json_t *addr_json(const struct enf_addr *addr)
{
    char buf[ENF_PREFIX_STR_LEN];

    return json_string(enf_addr_str(addr, buf, sizeof(buf)));
}

static void put_names(struct object *to, const char *key, const char *const names[3])
{
    json_t *list = json_array();

    for (size_t i = 0; i < 3 && names[i]; i++)
        if (json_array_append_new(list, json_string(names[i])) != 0)
            *to->failed = true;
    put(to, key, list);
}

static struct object begin(bool *failed)
{
    struct object object = {json_object(), failed};

    if (!object.json)
        *failed = true;
    return object;
}

/* An empty object says nothing, so it is left out. */
static void put_object(struct object *to, const char *key, struct object *value)
{
    if (json_object_size(value->json) > 0)
        put(to, key, value->json);
    else
        json_decref(value->json);
}

/* Where nothing was refused, "denied" would be a lie: the policy only observes, or the outcome says so. */
static void put_types(struct object *to, const struct enf_event *event, const struct enf_event_class *class)
{
    bool observed = event->policy == ENF_POLICY_OBSERVE || event->outcome == ENF_OUTCOME_UNKNOWN;
    const char *types[3];

    for (size_t i = 0; i < 3; i++) {
        types[i] = class->type[i];
        if (types[i] && observed && strcmp(types[i], "denied") == 0)
            types[i] = "allowed";
    }
    put_names(to, "type", types);
}

static void put_event(struct object *top, const struct enf_event *event, const struct enf_event_class *class,
                      const struct enf_render_origin *origin)
{
    struct object to = begin(top->failed);
    const char *outcome = enf_event_outcome_name(event->outcome);

    put(&to, "kind", json_string(class->kind));
    put_names(&to, "category", class->category);
    put_types(&to, event, class);
    put(&to, "action", json_string(enf_event_action_name(event->action)));
    put(&to, "outcome", json_string(outcome ? outcome : "unknown"));
    PUT_TEXT(&to, "reason", event->reason);
    put(&to, "severity", json_integer((json_int_t) class->severity));
    put(&to, "id", json_sprintf("%s-%llu", origin->run, (unsigned long long)event->sequence));
    put_count(&to, "sequence", event->sequence);
    put_object(top, "event", &to);
}

static void put_endpoint(struct object *top, const char *key, const struct enf_addr *addr, uint16_t port)
{
    struct object to = begin(top->failed);

    if (addr->family != ENF_FAMILY_NONE)
        put(&to, "ip", addr_json(addr));
    if (port)
        put(&to, "port", json_integer(port));
    put_object(top, key, &to);
}

static void put_network(struct object *top, const struct enf_event *event,
                        const struct enf_event_class *class)
{
    struct object to;
    uint8_t family = event->source.family;

    if (!class->direction)
        return;
    if (family == ENF_FAMILY_NONE)
        family = event->destination.family;
    if (family == ENF_FAMILY_NONE)
        family = event->subscriber.addr.family;
    to = begin(top->failed);
    put(&to, "transport", json_string("tcp"));
    if (family != ENF_FAMILY_NONE)
        put(&to, "type", json_string(family == ENF_FAMILY_V4 ? "ipv4" : "ipv6"));
    put(&to, "direction", json_string(class->direction));
    put_object(top, "network", &to);
}

static void put_observer(struct object *top, const struct enf_event *event,
                         const struct enf_render_origin *origin)
{
    struct object to = begin(top->failed);

    put(&to, "type", json_string("firewall"));
    put(&to, "vendor", json_string("enforcer"));
    put(&to, "product", json_string("enforcer"));
    if (origin->version)
        put(&to, "version", json_string(origin->version));
    if (origin->hostname)
        put(&to, "hostname", text_json(origin->hostname, ENF_REASON_LEN));
    if (event->interface[0]) {
        struct object ingress = begin(top->failed);
        struct object interface = begin(top->failed);

        PUT_TEXT(&interface, "name", event->interface);
        put_object(&ingress, "interface", &interface);
        put_object(&to, "ingress", &ingress);
    }
    put_object(top, "observer", &to);
}

static void put_rule(struct object *top, const struct enf_event *event, const struct enf_event_class *class)
{
    struct object to = begin(top->failed);

    if (class->rule)
        put(&to, "name", json_string(class->rule));
    else if (event->evidence_len > 0)
        PUT_TEXT(&to, "name", event->evidence[event->evidence_len - 1].setting);
    put_object(top, "rule", &to);
}

static json_t *evidence_json(const struct enf_evidence *evidence, bool *failed)
{
    struct object to = begin(failed);
    const char *kind = enf_evidence_kind_name(evidence->kind);

    put_time(&to, "time", evidence->time_ms);
    if (kind)
        put(&to, "kind", json_string(kind));
    if (evidence->destination.family != ENF_FAMILY_NONE)
        put(&to, "destination", addr_json(&evidence->destination));
    if (evidence->destination_port)
        put(&to, "port", json_integer(evidence->destination_port));
    put(&to, "blocked", json_boolean(evidence->blocked));
    put(&to, "forgeable", json_boolean(evidence->forgeable));
    if (evidence->value)
        put(&to, "value", json_integer(evidence->value));
    put_real(&to, "step", evidence->step);
    put_real(&to, "score", evidence->score);
    put_real(&to, "threshold", evidence->threshold);
    PUT_TEXT(&to, "setting", evidence->setting);
    return to.json;
}

static void put_evidence(struct object *to, const struct enf_event *event)
{
    size_t first = event->evidence_len > ENF_EVIDENCE_MAX ? event->evidence_len - ENF_EVIDENCE_MAX : 0;
    json_t *list;

    if (event->evidence_len == 0)
        return;
    list = json_array();
    for (size_t i = first; i < event->evidence_len; i++)
        if (json_array_append_new(list, evidence_json(&event->evidence[i], to->failed)) != 0)
            *to->failed = true;
    put(to, "evidence", list);
}

static void put_destinations(struct object *to, const struct enf_event *event)
{
    json_t *list;

    if (event->destinations_len == 0)
        return;
    list = json_array();
    for (size_t i = 0; i < event->destinations_len && i < ENF_EVENT_DESTINATIONS_MAX; i++)
        if (json_array_append_new(list, addr_json(&event->destinations[i])) != 0)
            *to->failed = true;
    put(to, "destinations", list);
}

static void put_enforcer(struct object *top, const struct enf_event *event,
                         const struct enf_render_origin *origin)
{
    struct object to = begin(top->failed);
    char buf[ENF_PREFIX_STR_LEN];

    if (event->subscriber.addr.family != ENF_FAMILY_NONE)
        put(&to, "subscriber", json_string(enf_prefix_str(&event->subscriber, buf, sizeof(buf))));
    PUT_TEXT(&to, "group", event->group);
    if (event->policy != ENF_POLICY_NONE && enf_policy_name(event->policy))
        put(&to, "policy", json_string(enf_policy_name(event->policy)));
    if (event->level != ENF_LEVEL_NONE && enf_level_name(event->level))
        put(&to, "level", json_string(enf_level_name(event->level)));
    /* null, not "forever": a SIEM maps this field to a date */
    if (event->until_ms == ENF_FOREVER)
        put(&to, "until", json_null());
    else if (event->until_ms)
        put_time(&to, "until", event->until_ms);
    PUT_TEXT(&to, "ticket", event->ticket);
    PUT_TEXT(&to, "actor", event->actor);
    if (event->count)
        put_count(&to, "count", event->count);
    if (event->interval_ms)
        put_count(&to, "interval_ms", event->interval_ms);
    put_destinations(&to, event);
    put_evidence(&to, event);
    put(&to, "run", json_string(origin->run));
    put_object(top, "enforcer", &to);
}

/* The printed object with the newline behind it. */
static int print_line(const json_t *json, char **out, size_t *out_len)
{
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(12);
    size_t len = json_dumpb(json, NULL, 0, flags);
    char *line;

    if (len == 0)
        return -ENOMEM;
    line = malloc(len + 2);
    if (!line)
        return -ENOMEM;
    if (json_dumpb(json, line, len, flags) != len) {
        free(line);
        return -ENOMEM;
    }
    line[len] = '\n';
    line[len + 1] = '\0';
    *out = line;
    *out_len = len + 1;
    return 0;
}

int enf_event_render(const struct enf_event *event, const struct enf_render_origin *origin, char **out,
                     size_t *out_len)
{
    const struct enf_event_class *class = enf_event_classify(event->action);
    bool failed = false;
    struct object top;
    int err;

    if (!class)
        return -EINVAL;
    top = begin(&failed);
    put_time(&top, "@timestamp", event->time_ms);
    put_event(&top, event, class, origin);
    put_endpoint(&top, "source", &event->source, event->source_port);
    put_endpoint(&top, "destination", &event->destination, event->destination_port);
    put_network(&top, event, class);
    put_observer(&top, event, origin);
    put_rule(&top, event, class);
    put_enforcer(&top, event, origin);
    err = failed ? -ENOMEM : print_line(top.json, out, out_len);
    json_decref(top.json);
    return err;
}
