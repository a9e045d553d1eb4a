/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An event as one line of JSON, fields named after the Elastic Common Schema. docs/events.md describes every
 * field. Pure: no I/O, no clock, safe from any thread. */
#pragma once

#include "enforcer/core/event.h"

#include <stddef.h>

/* Who tells: the same for all events of one start of the daemon. Strings are not owned. */
struct enf_render_origin {
    const char *run;      /* id of this start; event.id is RUN-SEQUENCE */
    const char *hostname; /* NULL: left out */
    const char *version;  /* NULL: left out */
};

/* What an action is in the words of ECS. The lists end with NULL. */
struct enf_event_class {
    const char *kind;
    const char *category[3];
    const char *type[3];
    unsigned severity;     /* 10 info, 21 low, 47 medium, 73 high, 99 critical */
    const char *direction; /* network.direction, or NULL; where it is set, network is rendered */
    const char *rule;      /* rule.name: the setting that decided; NULL: that of the last evidence, if any */
};

/* The class of an action; NULL for a value out of range. */
const struct enf_event_class *enf_event_classify(enum enf_event_action action);

/* Renders event as one compact JSON object in a fixed order of fields. *out is malloced text that ends with a
 * newline and a zero; *out_len counts the newline, not the zero. Text that is no UTF-8 has its odd bytes
 * replaced by '?', numbers that are not finite are left out, of more than ENF_EVIDENCE_MAX pieces of evidence
 * the last ones are told. Type "denied" becomes "allowed" under policy observe and where the outcome is
 * unknown: nothing was refused. 0, -EINVAL for an action out of range, -ENOMEM; on failure the outputs are
 * untouched. */
int enf_event_render(const struct enf_event *event, const struct enf_render_origin *origin, char **out,
                     size_t *out_len);

/* The same as one line of ArcSight's Common Event Format, version 0; the same outputs and errors. Evidence
 * and destinations are left out, the format has no lists. */
int enf_event_render_cef(const struct enf_event *event, const struct enf_render_origin *origin, char **out,
                         size_t *out_len);

/* What stands between the priority and the text of a syslog message (RFC 5424): version, time, hostname,
 * APP-NAME "enforcerd", pid, the action as MSGID, structured data, a blank. *out is malloced. 0, -EINVAL,
 * -ENOMEM. */
int enf_event_render_syslog(const struct enf_event *event, const struct enf_render_origin *origin, int pid,
                            char **out);
/* The severity of syslog, 2 (critical) to 6 (informational), for one of struct enf_event_class. */
unsigned enf_event_syslog_severity(unsigned ecs);
