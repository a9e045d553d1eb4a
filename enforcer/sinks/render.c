/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes an event as a JSON object, in a fixed order of fields. */
#include "enforcer/sinks/render.h"

#include "enforcer/core/text.h"
#include "enforcer/sinks/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_LEN 128

/* Text from outside may hold anything; an event must not be lost because of it. */
#define PUT_TEXT(json, key, array)                                                                           \
    do {                                                                                                     \
        if ((array)[0])                                                                                      \
            put_text(json, key, array, sizeof(array));                                                       \
    } while (0)

static void put_text(struct enf_json *json, const char *key, const char *text, size_t max)
{
    enf_json_text(json, key, text, max < ENF_REASON_LEN ? max : ENF_REASON_LEN - 1);
}

static void put_time(struct enf_json *json, const char *key, uint64_t wall_ms)
{
    char buf[ENF_TIME_STR_LEN];

    enf_json_word(json, key, enf_time_str(wall_ms, buf, sizeof(buf)));
}

/* Beyond what a signed 64-bit integer holds, the largest one: readers know no other. */
static void put_count(struct enf_json *json, const char *key, uint64_t value)
{
    enf_json_count(json, key, value > INT64_MAX ? INT64_MAX : value);
}

static void put_addr(struct enf_json *json, const char *key, const struct enf_addr *addr)
{
    char buf[ENF_PREFIX_STR_LEN];

    enf_json_word(json, key, enf_addr_str(addr, buf, sizeof(buf)));
}

static void put_names(struct enf_json *json, const char *key, const char *const names[3])
{
    size_t began = enf_json_begin(json, key, '[');

    for (size_t i = 0; i < 3 && names[i]; i++)
        enf_json_word(json, NULL, names[i]);
    enf_json_end(json, began, ']', true);
}

/* An empty object says nothing, so it is left out. */
static void end_object(struct enf_json *json, size_t began)
{
    enf_json_end(json, began, '}', false);
}

/* Where nothing was refused, "denied" would be a lie: the policy only observes, or the outcome says so. */
static void put_types(struct enf_json *json, const struct enf_event *event,
                      const struct enf_event_class *class)
{
    bool observed = event->policy == ENF_POLICY_OBSERVE || event->outcome == ENF_OUTCOME_UNKNOWN;
    const char *types[3];

    for (size_t i = 0; i < 3; i++) {
        types[i] = class->type[i];
        if (types[i] && observed && strcmp(types[i], "denied") == 0)
            types[i] = "allowed";
    }
    put_names(json, "type", types);
}

static void put_event(struct enf_json *json, const struct enf_event *event,
                      const struct enf_event_class *class, const struct enf_render_origin *origin)
{
    size_t began = enf_json_begin(json, "event", '{');
    const char *outcome = enf_event_outcome_name(event->outcome);
    char id[ID_LEN];

    enf_json_word(json, "kind", class->kind);
    put_names(json, "category", class->category);
    put_types(json, event, class);
    enf_json_word(json, "action", enf_event_action_name(event->action));
    enf_json_word(json, "outcome", outcome ? outcome : "unknown");
    PUT_TEXT(json, "reason", event->reason);
    enf_json_count(json, "severity", class->severity);
    snprintf(id, sizeof(id), "%s-%" PRIu64, origin->run, event->sequence);
    enf_json_text(json, "id", id, sizeof(id));
    put_count(json, "sequence", event->sequence);
    end_object(json, began);
}

static void put_endpoint(struct enf_json *json, const char *key, const struct enf_addr *addr, uint16_t port)
{
    size_t began = enf_json_begin(json, key, '{');

    if (addr->family != ENF_FAMILY_NONE)
        put_addr(json, "ip", addr);
    if (port)
        enf_json_count(json, "port", port);
    end_object(json, began);
}

static void put_network(struct enf_json *json, const struct enf_event *event,
                        const struct enf_event_class *class)
{
    uint8_t family = event->source.family;
    size_t began;

    if (!class->direction)
        return;
    if (family == ENF_FAMILY_NONE)
        family = event->destination.family;
    if (family == ENF_FAMILY_NONE)
        family = event->subscriber.addr.family;
    began = enf_json_begin(json, "network", '{');
    enf_json_word(json, "transport", "tcp");
    if (family != ENF_FAMILY_NONE)
        enf_json_word(json, "type", family == ENF_FAMILY_V4 ? "ipv4" : "ipv6");
    enf_json_word(json, "direction", class->direction);
    end_object(json, began);
}

static void put_observer(struct enf_json *json, const struct enf_event *event,
                         const struct enf_render_origin *origin)
{
    size_t began = enf_json_begin(json, "observer", '{');

    enf_json_word(json, "type", "firewall");
    enf_json_word(json, "vendor", "enforcer");
    enf_json_word(json, "product", "enforcer");
    if (origin->version)
        enf_json_text(json, "version", origin->version, ENF_REASON_LEN);
    if (origin->hostname)
        put_text(json, "hostname", origin->hostname, ENF_REASON_LEN);
    if (event->interface[0]) {
        size_t ingress = enf_json_begin(json, "ingress", '{');
        size_t interface = enf_json_begin(json, "interface", '{');

        PUT_TEXT(json, "name", event->interface);
        end_object(json, interface);
        end_object(json, ingress);
    }
    end_object(json, began);
}

static void put_rule(struct enf_json *json, const struct enf_event *event,
                     const struct enf_event_class *class)
{
    size_t began = enf_json_begin(json, "rule", '{');

    if (class->rule)
        enf_json_word(json, "name", class->rule);
    else if (event->evidence_len > 0)
        PUT_TEXT(json, "name", event->evidence[event->evidence_len - 1].setting);
    end_object(json, began);
}

static void put_piece(struct enf_json *json, const struct enf_evidence *evidence)
{
    size_t began = enf_json_begin(json, NULL, '{');
    const char *kind = enf_evidence_kind_name(evidence->kind);

    put_time(json, "time", evidence->time_ms);
    if (kind)
        enf_json_word(json, "kind", kind);
    if (evidence->destination.family != ENF_FAMILY_NONE)
        put_addr(json, "destination", &evidence->destination);
    if (evidence->destination_port)
        enf_json_count(json, "port", evidence->destination_port);
    enf_json_bool(json, "blocked", evidence->blocked);
    enf_json_bool(json, "forgeable", evidence->forgeable);
    if (evidence->value)
        enf_json_count(json, "value", evidence->value);
    enf_json_real(json, "step", evidence->step);
    enf_json_real(json, "score", evidence->score);
    enf_json_real(json, "threshold", evidence->threshold);
    PUT_TEXT(json, "setting", evidence->setting);
    end_object(json, began);
}

static void put_evidence(struct enf_json *json, const struct enf_event *event)
{
    size_t first = event->evidence_len > ENF_EVIDENCE_MAX ? event->evidence_len - ENF_EVIDENCE_MAX : 0;
    size_t began;

    if (event->evidence_len == 0)
        return;
    began = enf_json_begin(json, "evidence", '[');
    for (size_t i = first; i < event->evidence_len; i++)
        put_piece(json, &event->evidence[i]);
    enf_json_end(json, began, ']', true);
}

static void put_destinations(struct enf_json *json, const struct enf_event *event)
{
    size_t began;

    if (event->destinations_len == 0)
        return;
    began = enf_json_begin(json, "destinations", '[');
    for (size_t i = 0; i < event->destinations_len && i < ENF_EVENT_DESTINATIONS_MAX; i++)
        put_addr(json, NULL, &event->destinations[i]);
    enf_json_end(json, began, ']', true);
}

static void put_enforcer(struct enf_json *json, const struct enf_event *event,
                         const struct enf_render_origin *origin)
{
    size_t began = enf_json_begin(json, "enforcer", '{');
    char buf[ENF_PREFIX_STR_LEN];

    if (event->subscriber.addr.family != ENF_FAMILY_NONE)
        enf_json_word(json, "subscriber", enf_prefix_str(&event->subscriber, buf, sizeof(buf)));
    PUT_TEXT(json, "group", event->group);
    if (event->policy != ENF_POLICY_NONE && enf_policy_name(event->policy))
        enf_json_word(json, "policy", enf_policy_name(event->policy));
    if (event->level != ENF_LEVEL_NONE && enf_level_name(event->level))
        enf_json_word(json, "level", enf_level_name(event->level));
    /* null, not "forever": a SIEM maps this field to a date */
    if (event->until_ms == ENF_FOREVER)
        enf_json_null(json, "until");
    else if (event->until_ms)
        put_time(json, "until", event->until_ms);
    PUT_TEXT(json, "ticket", event->ticket);
    PUT_TEXT(json, "actor", event->actor);
    if (event->count)
        put_count(json, "count", event->count);
    if (event->interval_ms)
        put_count(json, "interval_ms", event->interval_ms);
    put_destinations(json, event);
    put_evidence(json, event);
    enf_json_text(json, "run", origin->run, ENF_REASON_LEN);
    end_object(json, began);
}

int enf_event_render(const struct enf_event *event, const struct enf_render_origin *origin, char **out,
                     size_t *out_len)
{
    const struct enf_event_class *class = enf_event_classify(event->action);
    struct enf_json json = {.text = NULL};

    if (!class)
        return -EINVAL;
    size_t began = enf_json_begin(&json, NULL, '{');
    put_time(&json, "@timestamp", event->time_ms);
    put_event(&json, event, class, origin);
    put_endpoint(&json, "source", &event->source, event->source_port);
    put_endpoint(&json, "destination", &event->destination, event->destination_port);
    put_network(&json, event, class);
    put_observer(&json, event, origin);
    put_rule(&json, event, class);
    put_enforcer(&json, event, origin);
    end_object(&json, began);
    return enf_json_take(&json, out, out_len);
}
