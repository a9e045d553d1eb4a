/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hub.c and hub_sinks.c share. Private to sinks/. */
#pragma once

#include "enforcer/sinks/hub.h"
#include "enforcer/sinks/sink.h"

/* An event as it is rendered. Texts are owned. */
struct enf_hub_entry {
    char *text; /* JSON, with its newline */
    size_t len;
    char *cef; /* the same event, with its newline; NULL: nobody wanted it when it came */
    size_t cef_len;
    char *head; /* of a syslog message, what stands between priority and text; NULL likewise */
    uint64_t sequence;
    uint64_t time_ms;
    enum enf_event_action action;
    unsigned severity;
};

struct enf_hub {
    char *run;
    char *hostname;
    char *version;
    enf_hub_listener listener;
    void *listener_ctx;
    uint64_t sequence;
    struct enf_hub_entry *ring; /* ring_cap entries, the oldest at ring_first; sequences ascend */
    size_t ring_cap;
    size_t ring_first;
    size_t ring_len;
    size_t ring_bytes;
    size_t ring_bytes_max;
    char *spool;
    uint64_t spool_bytes;
    enf_hub_lost_fn lost;
    void *lost_ctx;
    struct enf_sink sinks[ENF_HUB_SINKS_MAX];
    size_t sinks_len;
    char *scratch; /* a line as one sink wants it */
    size_t scratch_size;
    bool holds;              /* enf_hub_hold */
    size_t held;             /* lines that the sinks have not been given yet */
    uint64_t written_before; /* by sinks that are gone */
    uint64_t lost_before;    /* the same, and events that were not rendered */
};

/* Whether any sink wants the format; whether any is syslog. */
bool enf_hub_wants_format(const struct enf_hub *hub, enum enf_hub_format format);
bool enf_hub_wants_syslog(const struct enf_hub *hub);
/* The entry as the sink wants it, with a newline: 0 with the outputs valid until the next call, or -ENOMEM.
 */
int enf_hub_dress(struct enf_hub *hub, const struct enf_sink *sink, const struct enf_hub_entry *entry,
                  const char **line, size_t *len);
