/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header and the structured data of a syslog message (RFC 5424). The priority goes before it, the event
 * behind it. */
#include "enforcer/core/text.h"
#include "enforcer/sinks/escape.h"
#include "enforcer/sinks/render.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* IANA's enterprise number for documentation (RFC 5612): this project has none of its own. */
#define SD_ID        "enforcer@32473"
#define HOSTNAME_MAX 255
#define IN_PARAM     "\"\\]"

unsigned enf_event_syslog_severity(unsigned ecs)
{
    return ecs >= 99 ? 2 : ecs >= 73 ? 3 : ecs >= 47 ? 4 : ecs >= 21 ? 5 : 6;
}

/* A field of the header: printable ASCII without blanks, "-" for nothing. */
static void put_field(FILE *to, const char *text, size_t max)
{
    size_t len = text ? strnlen(text, max) : 0;

    if (len == 0)
        fputc('-', to);
    for (size_t i = 0; i < len; i++)
        fputc(text[i] > 0x20 && text[i] < 0x7f ? text[i] : '_', to);
}

static void put_param(FILE *to, const char *name, const char *text, size_t max)
{
    if (!text || !*text)
        return;
    fprintf(to, " %s=\"", name);
    enf_escape_put(to, text, max, IN_PARAM);
    fputc('"', to);
}

static void put_data(FILE *to, const struct enf_event *event, const struct enf_event_class *class,
                     const struct enf_render_origin *origin)
{
    char text[ENF_PREFIX_STR_LEN] = "", until[ENF_TIME_STR_LEN] = "";

    fputs("[origin software=\"enforcer\"", to);
    put_param(to, "swVersion", origin->version, 32); /* RFC 5424, 7.2.4 */
    fputs("][" SD_ID, to);
    put_param(to, "action", enf_event_action_name(event->action), ENF_NAME_LEN);
    fprintf(to, " run=\"%s\" sequence=\"%" PRIu64 "\" kind=\"%s\" severity=\"%u\"", origin->run,
            event->sequence, class->kind, class->severity);
    put_param(to, "outcome", enf_event_outcome_name(event->outcome), ENF_NAME_LEN);
    if (event->subscriber.addr.family != ENF_FAMILY_NONE)
        enf_prefix_str(&event->subscriber, text, sizeof text);
    put_param(to, "subscriber", text, sizeof text);
    put_param(to, "group", event->group, sizeof event->group);
    put_param(to, "policy", event->policy != ENF_POLICY_NONE ? enf_policy_name(event->policy) : NULL,
              ENF_NAME_LEN);
    put_param(to, "level", event->level != ENF_LEVEL_NONE ? enf_level_name(event->level) : NULL,
              ENF_NAME_LEN);
    if (event->until_ms && event->until_ms != ENF_FOREVER)
        enf_time_str(event->until_ms, until, sizeof until);
    put_param(to, "until", event->until_ms == ENF_FOREVER ? "forever" : until, sizeof until);
    put_param(to, "actor", event->actor, sizeof event->actor);
    put_param(to, "ticket", event->ticket, sizeof event->ticket);
    if (event->count)
        fprintf(to, " count=\"%" PRIu64 "\"", event->count);
    fputs("] ", to);
}

int enf_event_render_syslog(const struct enf_event *event, const struct enf_render_origin *origin, int pid,
                            char **out)
{
    const struct enf_event_class *class = enf_event_classify(event->action);
    char time[ENF_TIME_STR_LEN];
    struct enf_text text;

    if (!class)
        return -EINVAL;
    FILE *to = enf_text_open(&text);
    if (!to)
        return -ENOMEM;
    fprintf(to, "1 %s ", enf_time_str(event->time_ms, time, sizeof time));
    put_field(to, origin->hostname, HOSTNAME_MAX);
    fprintf(to, " enforcerd %d ", pid);
    put_field(to, enf_event_action_name(event->action), 32);
    fputc(' ', to);
    put_data(to, event, class, origin);
    return enf_text_close(to, &text, out);
}
