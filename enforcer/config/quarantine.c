/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `quarantine` section. */
#include "enforcer/config/quarantine.h"
#include "enforcer/policy/governor.h"

#include "enforcer/config/value.h"

#include <string.h>

#define MINUTE_MS 60000ULL
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

#define QUARANTINE(member) ENF_ROW_FIELD(struct enf_draft, config.quarantine.member)

static const struct enf_choice levels[] = {
    {"throttle", ENF_LEVEL_THROTTLE, true},
    {"smtp", ENF_LEVEL_SMTP, false},
    {"full", ENF_LEVEL_FULL, true},
    {NULL},
};

/* A mapping gives a step a level of its own: for later. */
static void read_step(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base)
{
    if (node->type == YAML_MAPPING_NODE)
        enf_reader_error(reader, node, "not yet supported: a step with a level (today: a duration)");
    else
        enf_read_duration(reader, node, row, base);
}

static const struct enf_list escalation_list = {
    .item = {.read = read_step, .size = sizeof(uint64_t)},
    .expected = "a list of durations",
    .item_size = sizeof(uint64_t),
    .len_offset = offsetof(struct enf_draft, config.quarantine.escalation_len),
    .max = ENF_ESCALATION_MAX,
    .in_place = true,
};

static const struct enf_row governor_rows[] = {
    {.key = "convictions",
     .read = enf_read_number,
     QUARANTINE(governor.convictions),
     .required = "a number of convictions",
     .arg.range = {.min = 1, .max = ENF_GOVERNOR_CONVICTIONS_MAX}},
    {.key = "per",
     .read = enf_read_duration,
     QUARANTINE(governor.per_ms),
     .required = "a duration",
     .arg.range.max = DAY_MS},
};
static const struct enf_table governor_table = ENF_TABLE(governor_rows);

static const struct enf_list never_list = {
    .item = {.read = enf_read_prefix},
    .expected = "a list of addresses and prefixes",
    .item_size = sizeof(struct enf_prefix),
    .len_offset = offsetof(struct enf_draft, config.quarantine.never.len),
    .max = ENF_PREFIXES_MAX,
};

static const struct enf_row quarantine_rows[] = {
    {.key = "automatic", .read = enf_read_bool, QUARANTINE(automatic)},
    {.key = "level", .read = enf_read_choice, QUARANTINE(level), .arg.choices = levels},
    {.key = "duration", .read = enf_read_duration, QUARANTINE(duration_ms)},
    {.key = "escalation", .read = enf_read_list, QUARANTINE(escalation_ms), .arg.list = &escalation_list},
    {.key = "memory", .read = enf_read_duration, QUARANTINE(memory_ms)},
    {.key = "max_entries",
     .read = enf_read_number,
     QUARANTINE(max_entries),
     .arg.range = {.min = 1, .max = ENF_QUARANTINE_MAX}},
    {.key = "governor", .read = enf_read_section, .arg.table = &governor_table},
    {.key = "never",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_draft, config.quarantine.never.items),
     .arg.list = &never_list},
    {.key = "throttle", .read = enf_read_later, .arg.text.expected = "level throttle (today: null)"},
    {.key = "portal",
     .read = enf_read_later,
     .arg.text.expected = "level full and its portal (today: [])",
     .arg.text.special = true},
};
static const struct enf_table quarantine_table = ENF_TABLE(quarantine_rows);

void enf_quarantine_defaults(struct enf_config *config)
{
    static const uint64_t steps[] = {HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS, 7 * DAY_MS};

    config->quarantine.automatic = true;
    config->quarantine.level = ENF_LEVEL_SMTP;
    config->quarantine.duration_ms = HOUR_MS;
    memcpy(config->quarantine.escalation_ms, steps, sizeof(steps));
    config->quarantine.escalation_len = sizeof(steps) / sizeof(steps[0]);
    config->quarantine.memory_ms = 30 * DAY_MS;
    config->quarantine.max_entries = 1000000;
    config->quarantine.governor.convictions = 50;
    config->quarantine.governor.per_ms = MINUTE_MS;
}

void enf_read_quarantine(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                         void *base)
{
    struct enf_draft *draft = base;

    (void)row;
    enf_reader_mapping(reader, node, &quarantine_table, draft);
    /* A duration alone is meant for every conviction: the default steps would override it. */
    if (enf_document_get(reader->document, node, "duration") != NULL &&
        enf_document_get(reader->document, node, "escalation") == NULL) {
        memset(draft->config.quarantine.escalation_ms, 0, sizeof(draft->config.quarantine.escalation_ms));
        draft->config.quarantine.escalation_len = 0;
    }
}
