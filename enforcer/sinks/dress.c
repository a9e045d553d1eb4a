/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An event of the ring as one sink wants it: which text, with a syslog header or not, short enough. */
#include "enforcer/sinks/hub_private.h"
#include "enforcer/sinks/render.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_syslog(const struct enf_sink *sink)
{
    return sink->type >= ENF_HUB_SYSLOG_LOCAL;
}

bool enf_hub_wants_format(const struct enf_hub *hub, enum enf_hub_format format)
{
    for (size_t i = 0; i < hub->sinks_len; i++)
        if (hub->sinks[i].format == format)
            return true;
    return false;
}

bool enf_hub_wants_syslog(const struct enf_hub *hub)
{
    for (size_t i = 0; i < hub->sinks_len; i++)
        if (is_syslog(&hub->sinks[i]))
            return true;
    return false;
}

/* The list of evidence is all that makes an event long. NULL without memory. */
static char *without_evidence(const char *text, size_t len)
{
    json_t *json = json_loadb(text, len, 0, NULL);
    json_t *enforcer = json_object_get(json, "enforcer");
    char *out = NULL;

    json_object_del(enforcer, "evidence");
    if (enforcer && json_object_set_new(enforcer, "evidence_left_out", json_true()) == 0)
        out = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(json);
    return out;
}

static int grow(struct enf_hub *hub, size_t size)
{
    char *grown;

    if (hub->scratch_size >= size)
        return 0;
    grown = realloc(hub->scratch, size);
    if (!grown)
        return -ENOMEM;
    hub->scratch = grown;
    hub->scratch_size = size;
    return 0;
}

/* priority and header before the text, a newline behind it; text_len is without one. */
static int compose(struct enf_hub *hub, const struct enf_sink *sink, const struct enf_hub_entry *entry,
                   const char *text, size_t text_len, size_t *len)
{
    const char *head = is_syslog(sink) ? entry->head : NULL;
    size_t head_len = head ? strlen(head) : 0;
    size_t used = 0;

    if (grow(hub, text_len + head_len + 16) < 0)
        return -ENOMEM;
    if (head)
        used = (size_t)snprintf(hub->scratch, 16, "<%u>",
                                sink->facility * 8 + enf_event_syslog_severity(entry->severity));
    if (head)
        memcpy(hub->scratch + used, head, head_len);
    used += head_len;
    memcpy(hub->scratch + used, text, text_len);
    used += text_len;
    hub->scratch[used++] = '\n';
    *len = used;
    return 0;
}

static bool is_too_long(const struct enf_sink *sink, size_t len)
{
    return sink->type != ENF_HUB_FILE && sink->type != ENF_HUB_SYSLOG_TCP && len > ENF_CHANNEL_DATAGRAM_MAX;
}

int enf_hub_dress(struct enf_hub *hub, const struct enf_sink *sink, const struct enf_hub_entry *entry,
                  const char **line, size_t *len)
{
    bool cef = sink->format == ENF_HUB_CEF && entry->cef;
    const char *text = cef ? entry->cef : entry->text;
    size_t text_len = cef ? entry->cef_len : entry->len;
    size_t head_len = is_syslog(sink) && entry->head ? strlen(entry->head) + 16 : 0;
    char *shorter = NULL;
    int err;

    if (head_len == 0 && !is_too_long(sink, text_len)) {
        *line = text;
        *len = text_len;
        return 0;
    }
    if (!cef && is_too_long(sink, text_len + head_len)) {
        shorter = without_evidence(text, text_len);
        if (!shorter)
            return -ENOMEM;
        text = shorter;
        text_len = strlen(shorter) + 1;
    }
    err = compose(hub, sink, entry, text, text_len - 1, len);
    free(shorter);
    if (!err)
        *line = hub->scratch;
    return err;
}
