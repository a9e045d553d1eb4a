/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An event as a line of ArcSight's Common Event Format, version 0. docs/siem.md has the table of keys. */
#include "enforcer/core/text.h"
#include "enforcer/sinks/escape.h"
#include "enforcer/sinks/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define IN_HEADER    "\\|"
#define IN_EXTENSION "\\="

/* CEF counts from 0 to 10: 0 to 3 low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high. */
static unsigned severity(unsigned ecs)
{
    return ecs >= 99 ? 10 : ecs >= 73 ? 8 : ecs >= 47 ? 5 : ecs >= 21 ? 3 : 1;
}

/* "quarantine-expired" as people read it: "Quarantine expired". */
static void put_title(FILE *to, const char *action)
{
    for (const char *c = action; *c; c++) {
        bool first = c == action && *c >= 'a' && *c <= 'z';
        fputc(first ? *c - 'a' + 'A' : *c == '-' ? ' ' : *c, to);
    }
}

static void put_text(FILE *to, const char *key, const char *text, size_t max)
{
    if (!text || !*text)
        return;
    fprintf(to, " %s=", key);
    enf_escape_put(to, text, max, IN_EXTENSION);
}

/* One of the six custom strings, and what it is. */
static void put_custom(FILE *to, const char *key, const char *label, const char *text, size_t max)
{
    if (!text || !*text)
        return;
    put_text(to, key, text, max);
    fprintf(to, " %sLabel=%s", key, label);
}

/* Version 0 has keys of their own for IPv6. */
static void put_address(FILE *to, const struct enf_addr *addr, const char *v4, const char *v6,
                        const char *label)
{
    char text[ENF_PREFIX_STR_LEN];

    if (addr->family == ENF_FAMILY_V4)
        fprintf(to, " %s=%s", v4, enf_addr_str(addr, text, sizeof text));
    else if (addr->family == ENF_FAMILY_V6)
        fprintf(to, " %s=%s %sLabel=%s", v6, enf_addr_str(addr, text, sizeof text), v6, label);
}

static void put_extension(FILE *to, const struct enf_event *event, const struct enf_event_class *class,
                          const struct enf_render_origin *origin)
{
    char text[ENF_PREFIX_STR_LEN] = "";
    const char *outcome = enf_event_outcome_name(event->outcome);

    fprintf(to, "rt=%" PRIu64 " externalId=%s-%" PRIu64 " cat=%s act=%s outcome=%s", event->time_ms,
            origin->run, event->sequence, class->kind, enf_event_action_name(event->action),
            outcome ? outcome : "unknown");
    put_text(to, "dvchost", origin->hostname, ENF_REASON_LEN);
    if (class->direction) {
        fputs(" proto=TCP", to);
        if (strcmp(class->direction, "unknown") != 0)
            fprintf(to, " deviceDirection=%d", strcmp(class->direction, "outbound") == 0);
    }
    put_address(to, &event->source, "src", "c6a2", "Source IPv6 Address");
    if (event->source_port)
        fprintf(to, " spt=%u", (unsigned)event->source_port);
    put_address(to, &event->destination, "dst", "c6a3", "Destination IPv6 Address");
    if (event->destination_port)
        fprintf(to, " dpt=%u", (unsigned)event->destination_port);
    put_text(to, "deviceInboundInterface", event->interface, sizeof event->interface);
    if (event->count)
        fprintf(to, " cnt=%" PRIu64, event->count);
    put_text(to, "msg", event->reason, sizeof event->reason);
    if (event->subscriber.addr.family != ENF_FAMILY_NONE)
        enf_prefix_str(&event->subscriber, text, sizeof text);
    put_custom(to, "cs1", "subscriber", text, sizeof text);
    put_custom(to, "cs2", "group", event->group, sizeof event->group);
    put_custom(to, "cs3", "policy", event->policy != ENF_POLICY_NONE ? enf_policy_name(event->policy) : NULL,
               ENF_NAME_LEN);
    put_custom(to, "cs4", "level", event->level != ENF_LEVEL_NONE ? enf_level_name(event->level) : NULL,
               ENF_NAME_LEN);
    put_custom(to, "cs5", "actor", event->actor, sizeof event->actor);
    put_custom(to, "cs6", "ticket", event->ticket, sizeof event->ticket);
    fprintf(to, " cn1=%" PRIu64 " cn1Label=sequence", event->sequence);
    if (event->interval_ms)
        fprintf(to, " cn2=%" PRIu64 " cn2Label=intervalMs", event->interval_ms);
    if (event->until_ms && event->until_ms != ENF_FOREVER)
        fprintf(to, " deviceCustomDate1=%" PRIu64 " deviceCustomDate1Label=until", event->until_ms);
}

int enf_event_render_cef(const struct enf_event *event, const struct enf_render_origin *origin, char **out,
                         size_t *out_len)
{
    const struct enf_event_class *class = enf_event_classify(event->action);
    struct enf_text text;
    char *line = NULL;

    if (!class)
        return -EINVAL;
    FILE *to = enf_text_open(&text);
    if (!to)
        return -ENOMEM;
    fputs("CEF:0|enforcer|enforcer|", to);
    enf_escape_put(to, origin->version ? origin->version : "", ENF_REASON_LEN, IN_HEADER);
    fprintf(to, "|%s|", enf_event_action_name(event->action));
    put_title(to, enf_event_action_name(event->action));
    fprintf(to, "|%u|", severity(class->severity));
    put_extension(to, event, class, origin);
    fputc('\n', to);
    if (enf_text_close(to, &text, &line) < 0)
        return -ENOMEM;
    *out = line;
    *out_len = strlen(line);
    return 0;
}
