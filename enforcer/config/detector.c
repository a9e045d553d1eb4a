/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `detector` sections: global, of a group, of a subscriber; each overrides the one before key by key. */
#include "enforcer/config/detector.h"

#include "enforcer/config/value.h"
#include "enforcer/detect/sequential.h"

#include <string.h>

static const struct enf_row window_rows[] = {
    {.key = "connections",
     .read = enf_read_number,
     ENF_ROW_FIELD(struct enf_window, connections),
     .required = "a number of connections",
     .arg.range = {.min = 1, .max = ENF_WINDOW_CONNECTIONS_MAX}},
    {.key = "per",
     .read = enf_read_duration,
     ENF_ROW_FIELD(struct enf_window, per_ms),
     .required = "a duration",
     .arg.range = {.max = ENF_WINDOW_PER_MAX}},
};
static const struct enf_table window_table = ENF_TABLE(window_rows);

static const struct enf_list window_list = {
    .item = {.read = enf_read_section, .arg.table = &window_table},
    .expected = "a list of {connections, per}, or null for none",
    .item_size = sizeof(struct enf_window),
    .len_offset = offsetof(struct enf_detector_part, settings.connection_rate_len),
    .max = ENF_WINDOWS_MAX,
    .in_place = true,
    .null_is_empty = true,
};

static const struct enf_row distinct_rows[] = {
    {.key = "count",
     .read = enf_read_number,
     ENF_ROW_FIELD(struct enf_detector_part, settings.distinct_destinations.count),
     .required = "a number of destinations",
     .arg.range = {.min = 1, .max = ENF_DISTINCT_MAX}},
    {.key = "per",
     .read = enf_read_duration,
     ENF_ROW_FIELD(struct enf_detector_part, settings.distinct_destinations.per_ms),
     .required = "a duration",
     .arg.range = {.max = ENF_WINDOW_PER_MAX}},
};
static const struct enf_table distinct_table = ENF_TABLE(distinct_rows);

static void read_distinct(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                          void *base)
{
    (void)row;
    if (enf_document_is_null(node))
        return; /* count stays 0: no limit */
    if (node->type != YAML_MAPPING_NODE)
        enf_reader_expected(reader, node, "{count, per}, or null for none");
    else
        enf_reader_mapping(reader, node, &distinct_table, base);
}

static const struct enf_row sequential_rows[] = {
    {.key = "false_conviction",
     .read = enf_read_fraction,
     ENF_ROW_FIELD(struct enf_detector_part, settings.sequential.false_conviction),
     .required = "the false convictions a subscriber and day",
     .arg.fraction = {ENF_SEQUENTIAL_FALSE_MIN, ENF_SEQUENTIAL_FALSE_MAX,
                      "false convictions a subscriber and day from 0.000000000001 to 0.1, like 0.000001"}},
    {.key = "missed",
     .read = enf_read_fraction,
     ENF_ROW_FIELD(struct enf_detector_part, settings.sequential.missed),
     .required = "the share of zombies missed",
     .arg.fraction = {ENF_SEQUENTIAL_MISSED_MIN, ENF_SEQUENTIAL_MISSED_MAX,
                      "a share of zombies missed from 0.000001 to 0.5, like 0.01"}},
};
static const struct enf_table sequential_table = ENF_TABLE(sequential_rows);

static void read_sequential(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                            void *base)
{
    struct enf_detector_part *part = base;

    (void)row;
    if (enf_document_is_null(node))
        return; /* stays off */
    if (node->type != YAML_MAPPING_NODE) {
        enf_reader_expected(reader, node, "{false_conviction, missed}, or null for no such test");
        return;
    }
    part->settings.sequential.enabled = true;
    enf_reader_mapping(reader, node, &sequential_table, base);
}

static const struct enf_row reply_rows[] = {
    {.key = "count",
     .read = enf_read_number,
     ENF_ROW_FIELD(struct enf_detector_part, settings.unrequested_replies.count),
     .required = "a number of replies",
     .arg.range = {.min = 1, .max = ENF_REPLIES_MAX}},
    {.key = "per",
     .read = enf_read_duration,
     ENF_ROW_FIELD(struct enf_detector_part, settings.unrequested_replies.per_ms),
     .required = "a duration",
     .arg.range = {.max = ENF_WINDOW_PER_MAX}},
    {.key = "convicts",
     .read = enf_read_bool,
     ENF_ROW_FIELD(struct enf_detector_part, settings.unrequested_replies.convicts)},
};
static const struct enf_table reply_table = ENF_TABLE(reply_rows);

static void read_replies(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                         void *base)
{
    (void)row;
    if (enf_document_is_null(node))
        return; /* count stays 0: nobody looks */
    if (node->type != YAML_MAPPING_NODE)
        enf_reader_expected(reader, node, "{count, per, convicts}, or null for none");
    else
        enf_reader_mapping(reader, node, &reply_table, base);
}

static const struct enf_list trap_list = {
    .item = {.read = enf_read_address},
    .expected = "a list of addresses",
    .item_size = sizeof(struct enf_addr),
    .len_offset = offsetof(struct enf_detector_part, settings.traps_len),
    .max = ENF_TRAPS_MAX,
    .null_is_empty = true,
    .temp = true, /* enf_detector_part_place moves them */
};

static const struct enf_row detector_rows[] = {
    {.key = "connection_rate",
     .read = enf_read_list,
     ENF_ROW_FIELD(struct enf_detector_part, settings.connection_rate),
     .arg.list = &window_list},
    {.key = "distinct_destinations", .read = read_distinct},
    {.key = "traps",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_detector_part, settings.traps),
     .arg.list = &trap_list},
    {.key = "sequential", .read = read_sequential},
    {.key = "unrequested_replies", .read = read_replies},
    /* The global section's own: last, so that the others can leave it out. */
    {.key = "max_subscribers",
     .read = enf_read_number,
     ENF_ROW_FIELD(struct enf_detector_part, max_subscribers),
     .arg.range = {.min = 1, .max = ENF_CONFIG_SUBSCRIBERS_MAX}},
};
static const struct enf_table global_table = ENF_TABLE(detector_rows);
static const struct enf_table local_table = {detector_rows,
                                             sizeof(detector_rows) / sizeof(detector_rows[0]) - 1};

static void read_part(struct enf_reader *reader, const yaml_node_t *node, const struct enf_table *table,
                      struct enf_detector_part *part)
{
    part->node = node;
    enf_reader_mapping(reader, node, table, part);
}

void enf_read_detector_global(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                              void *base)
{
    read_part(reader, node, &global_table, ENF_ROW_AT(row, base));
}

void enf_read_detector_local(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                             void *base)
{
    read_part(reader, node, &local_table, ENF_ROW_AT(row, base));
}

void enf_detector_part_apply(struct enf_reader *reader, const struct enf_detector_part *part,
                             struct enf_detector_settings *settings)
{
    if (enf_document_get(reader->document, part->node, "connection_rate") != NULL) {
        memcpy(settings->connection_rate, part->settings.connection_rate, sizeof(settings->connection_rate));
        settings->connection_rate_len = part->settings.connection_rate_len;
    }
    if (enf_document_get(reader->document, part->node, "distinct_destinations") != NULL)
        settings->distinct_destinations = part->settings.distinct_destinations;
    if (enf_document_get(reader->document, part->node, "unrequested_replies") != NULL)
        settings->unrequested_replies = part->settings.unrequested_replies;
    if (enf_document_get(reader->document, part->node, "sequential") != NULL) {
        settings->sequential.enabled = part->settings.sequential.enabled;
        if (part->settings.sequential.enabled) {
            settings->sequential.false_conviction = part->settings.sequential.false_conviction;
            settings->sequential.missed = part->settings.sequential.missed;
        }
    }
    if (enf_document_get(reader->document, part->node, "traps") != NULL) {
        settings->traps = part->settings.traps;
        settings->traps_len = part->settings.traps_len;
    }
}

struct enf_addr *enf_detector_part_place(struct enf_detector_part *part, struct enf_addr *next)
{
    size_t len = part->settings.traps_len;

    if (len == 0)
        return next;
    memcpy(next, part->settings.traps, len * sizeof(*next));
    part->settings.traps = next;
    return next + len;
}
