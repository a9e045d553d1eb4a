/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quarantines between their packed and their whole form, and what the sink hears of them. */
#include "enforcer/core/text.h"
#include "enforcer/policy/quarantine_table.h"

#include <string.h>

#define TEXTS_MAX (ENF_REASON_LEN + ENF_ACTOR_LEN + ENF_TICKET_LEN + ENF_NAME_LEN)

static size_t text_append(char *buf, size_t at, const char *text)
{
    size_t len = strlen(text) + 1;

    memcpy(buf + at, text, len);
    return at + len;
}

int enf_quarantine_text_take(struct enf_quarantine_table *table, const struct enf_quarantine *entry,
                             uint32_t *out_id)
{
    char buf[TEXTS_MAX];
    size_t len = 0;

    len = text_append(buf, len, entry->reason);
    len = text_append(buf, len, entry->actor);
    len = text_append(buf, len, entry->ticket);
    len = text_append(buf, len, entry->group);
    return enf_intern_take(&table->texts, buf, (uint32_t)len, out_id);
}

static const char *text_next(char *dst, size_t dst_len, const char *text)
{
    enf_text_copy(dst, dst_len, text);
    return text + strlen(text) + 1;
}

void enf_quarantine_expand(const struct enf_quarantine_table *table, uint32_t id, struct enf_quarantine *out)
{
    const struct enf_quarantine_node *node = enf_quarantine_node(table, id);
    const char *text = enf_intern_bytes(&table->texts, node->text);

    *out = (struct enf_quarantine){
        .subscriber = node->prefix,
        .net = node->net,
        .forced = enf_quarantine_node_forced(node),
        .level = enf_quarantine_node_level(node),
        .since_ms = enf_quarantine_node_since(node),
        .until_ms = enf_quarantine_node_until(node),
        .convictions = node->convictions,
    };
    text = text_next(out->reason, sizeof(out->reason), text);
    text = text_next(out->actor, sizeof(out->actor), text);
    text = text_next(out->ticket, sizeof(out->ticket), text);
    text_next(out->group, sizeof(out->group), text);
}

struct enf_quarantine_ends enf_quarantine_ends(const struct enf_quarantine_table *table,
                                               const struct enf_prefix *subscriber)
{
    struct enf_quarantine_ends ends = {{0}};
    uint32_t id = enf_quarantine_lower(table, false, subscriber, 0);

    for (; id; id = enf_quarantine_next(table, id)) {
        const struct enf_quarantine_node *node = enf_quarantine_node(table, id);
        uint64_t *until_ms = &ends.until_ms[enf_quarantine_node_level(node)];

        if (!enf_prefix_equal(&node->prefix, subscriber))
            break;
        if (enf_quarantine_node_until(node) > *until_ms)
            *until_ms = enf_quarantine_node_until(node);
    }
    return ends;
}

void enf_quarantine_tell_ends(struct enf_quarantine_sink *sink, const struct enf_prefix *subscriber,
                              const struct enf_quarantine_ends *before,
                              const struct enf_quarantine_ends *after)
{
    if (!sink || !sink->element)
        return;
    for (unsigned level = 0; level < ENF_LEVEL_COUNT; level++) {
        struct enf_quarantine_element element = {
            .subscriber = *subscriber,
            .level = (enum enf_level)level,
            .until_ms = after->until_ms[level],
        };

        if (before->until_ms[level] != after->until_ms[level])
            sink->element(sink->ctx, &element);
    }
}

void enf_quarantine_tell_nets(struct enf_quarantine_sink *sink, const struct enf_prefix *prefix)
{
    if (!sink)
        return;
    if (prefix->addr.family == ENF_FAMILY_V6)
        sink->nets6_changed = true;
    else
        sink->nets4_changed = true;
}

void enf_quarantine_tell_row(struct enf_quarantine_sink *sink, bool present,
                             const struct enf_quarantine *entry)
{
    if (sink && sink->row)
        sink->row(sink->ctx, present, entry);
}

void enf_quarantine_tell(struct enf_quarantine_sink *sink, enum enf_quarantine_change change,
                         const struct enf_quarantine *entry, const struct enf_quarantine *previous)
{
    if (sink && sink->told)
        sink->told(sink->ctx, change, entry, previous);
}
