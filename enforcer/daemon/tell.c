/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events to the hub, and lines for the journal. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void enf_tell(struct enf_daemon *d, struct enf_event *event)
{
    if (event->time_ms == 0)
        event->time_ms = enf_clock_wall_ms();
    if (event->subscriber.addr.family != ENF_FAMILY_NONE && !*event->group) {
        const struct enf_group *group = enf_group_find(&d->running->groups, &event->subscriber.addr);
        if (group) {
            enf_text_copy(event->group, sizeof event->group, group->name);
            event->policy = group->policy;
        }
    }
    /* A sink that fails is the hub's business: it keeps the line and counts. */
    enf_hub_emit(d->hub, enf_clock_steady_ms(), event);
    enf_sinks_kick(d);
    enf_audit_event(d, event);
    if (d->control)
        enf_control_wake(d->control);
}

void enf_tell_text(struct enf_daemon *d, enum enf_event_action action, enum enf_event_outcome outcome,
                   const char *actor, const char *format, ...)
{
    struct enf_event event = {.action = action, .outcome = outcome};
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    enf_text_copy(event.reason, sizeof event.reason, text);
    enf_text_copy(event.actor, sizeof event.actor, actor ? actor : "");
    enf_tell(d, &event);
}

void enf_log_line(const char *subsystem, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* Past stdio: one write a line, and enf_ruleset_list turns the variable stderr away for a moment. */
    dprintf(STDERR_FILENO, "enforcerd: %s: %s\n", subsystem, text);
}
