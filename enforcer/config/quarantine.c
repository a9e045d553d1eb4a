/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `quarantine` section. */
#include "enforcer/config/quarantine.h"
#include "enforcer/policy/governor.h"

#include "enforcer/config/value.h"

#include <string.h>

#define MINUTE_MS 60000ULL
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

#define THROTTLE_MAX     1000 /* more is no throttle */
#define SELF_RELEASE_MAX 1000

#define QUARANTINE(member) ENF_ROW_FIELD(struct enf_draft, config.quarantine.member)

static const struct enf_choice levels[] = {
    {"throttle", ENF_LEVEL_THROTTLE, false},
    {"smtp", ENF_LEVEL_SMTP, false},
    {"full", ENF_LEVEL_FULL, false},
    {NULL},
};

static const struct enf_choice redirects[] = {
    {"none", ENF_REDIRECT_NONE, false},
    {"dnat", ENF_REDIRECT_DNAT, false},
    {"tproxy", ENF_REDIRECT_TPROXY, false},
    {NULL},
};

static const struct enf_row step_rows[] = {
    {.key = "for",
     .read = enf_read_duration,
     ENF_ROW_FIELD(struct enf_decide_step, duration_ms),
     .required = "a duration"},
    {.key = "level",
     .read = enf_read_choice,
     ENF_ROW_FIELD(struct enf_decide_step, level),
     .required = "throttle, smtp or full",
     .arg.choices = levels},
};
static const struct enf_table step_table = ENF_TABLE(step_rows);

/* A duration alone is one at the level of the section. */
static void read_step(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base)
{
    (void)row;
    if (node->type == YAML_MAPPING_NODE)
        enf_reader_mapping(reader, node, &step_table, base);
    else
        enf_read_duration(reader, node, &step_rows[0], base);
}

static const struct enf_list escalation_list = {
    .item = {.read = read_step},
    .expected = "a list of durations, or of {level, for}",
    .item_size = sizeof(struct enf_decide_step),
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

static const struct enf_row throttle_rows[] = {
    {.key = "connections",
     .read = enf_read_number,
     QUARANTINE(throttle.connections),
     .required = "a number of connections",
     .arg.range = {.min = 1, .max = THROTTLE_MAX}},
    {.key = "per",
     .read = enf_read_duration,
     QUARANTINE(throttle.per_ms),
     .required = "a duration",
     .arg.range.max = DAY_MS},
};
static const struct enf_table throttle_table = ENF_TABLE(throttle_rows);

static void read_throttle(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                          void *base)
{
    (void)row;
    if (!enf_document_is_null(node))
        enf_reader_mapping(reader, node, &throttle_table, base);
}

#define GARDEN_LIST(name, member)                                                                            \
    static const struct enf_list name = {                                                                    \
        .item = {.read = enf_read_prefix},                                                                   \
        .expected = "a list of addresses and prefixes",                                                      \
        .item_size = sizeof(struct enf_prefix),                                                              \
        .len_offset = offsetof(struct enf_draft, config.quarantine.member.len),                              \
        .max = ENF_GARDEN_PREFIXES_MAX,                                                                      \
        .null_is_empty = true,                                                                               \
    }
GARDEN_LIST(portal_list, portal);
GARDEN_LIST(lifeline_list, lifeline);
GARDEN_LIST(resolver_list, resolvers);

static const struct enf_list ports_list = {
    .item = {.read = enf_read_number, .size = sizeof(uint16_t), .arg.range = {.min = 1, .max = UINT16_MAX}},
    .expected = "a list of TCP ports",
    .item_size = sizeof(uint16_t),
    .len_offset = offsetof(struct enf_draft, config.quarantine.redirect_ports_len),
    .min = 1,
    .max = ENF_REDIRECT_PORTS_MAX,
    .in_place = true,
};

static const struct enf_row tproxy_rows[] = {
    {.key = "port",
     .read = enf_read_number,
     QUARANTINE(tproxy.port),
     .required = "a TCP port",
     .arg.range = {.min = 1, .max = UINT16_MAX}},
    {.key = "mark",
     .read = enf_read_number,
     QUARANTINE(tproxy.mark),
     .required = "a packet mark",
     .arg.range = {.min = 1, .max = UINT32_MAX}},
};
static const struct enf_table tproxy_table = ENF_TABLE(tproxy_rows);

static const struct enf_row self_release_rows[] = {
    {.key = "times",
     .read = enf_read_number,
     QUARANTINE(self_release.times),
     .required = "a number of releases",
     .arg.range = {.min = 0, .max = SELF_RELEASE_MAX}},
    {.key = "per", .read = enf_read_duration, QUARANTINE(self_release.per_ms), .required = "a duration"},
};
static const struct enf_table self_release_table = ENF_TABLE(self_release_rows);

/* RFC 8908 wants TLS for both. Printable, and nothing that would end a string of JSON or HTML. */
static void read_url(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base)
{
    const char *text = enf_value_text(node);
    bool good = text && strncmp(text, "https://", 8) == 0 && text[8] && strlen(text) < row->size;

    for (const char *c = text; good && *c; c++)
        good = *c > ' ' && *c < 0x7f && !strchr("\"'<>\\^`{|}", *c);
    if (!good) {
        enf_reader_expected(reader, node, "a URL that begins with https://, of at most %zu bytes",
                            row->size - 1);
        return;
    }
    memcpy(ENF_ROW_AT(row, base), text, strlen(text) + 1);
}

static const struct enf_row quarantine_rows[] = {
    {.key = "automatic", .read = enf_read_bool, QUARANTINE(automatic)},
    {.key = "level", .read = enf_read_choice, QUARANTINE(level), .arg.choices = levels},
    {.key = "duration", .read = enf_read_duration, QUARANTINE(duration_ms)},
    {.key = "escalation", .read = enf_read_list, QUARANTINE(escalation), .arg.list = &escalation_list},
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
    {.key = "throttle", .read = read_throttle},
    {.key = "block_with", .read = enf_read_choice, QUARANTINE(block_with), .arg.choices = enf_block_withs},
    {.key = "portal",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_draft, config.quarantine.portal.items),
     .arg.list = &portal_list},
    {.key = "lifeline",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_draft, config.quarantine.lifeline.items),
     .arg.list = &lifeline_list},
    {.key = "resolvers",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_draft, config.quarantine.resolvers.items),
     .arg.list = &resolver_list},
    {.key = "redirect", .read = enf_read_choice, QUARANTINE(redirect), .arg.choices = redirects},
    {.key = "redirect_ports", .read = enf_read_list, QUARANTINE(redirect_ports), .arg.list = &ports_list},
    {.key = "tproxy", .read = enf_read_section, .arg.table = &tproxy_table},
    {.key = "portal_url", .read = read_url, QUARANTINE(portal_url)},
    {.key = "venue_info_url", .read = read_url, QUARANTINE(venue_info_url)},
    {.key = "self_release", .read = enf_read_section, .arg.table = &self_release_table},
};
static const struct enf_table quarantine_table = ENF_TABLE(quarantine_rows);

void enf_quarantine_defaults(struct enf_config *config)
{
    static const uint64_t steps[] = {HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS, 7 * DAY_MS};

    config->quarantine.automatic = true;
    config->quarantine.level = ENF_LEVEL_SMTP;
    config->quarantine.duration_ms = HOUR_MS;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        config->quarantine.escalation[i].duration_ms = steps[i];
    config->quarantine.escalation_len = sizeof(steps) / sizeof(steps[0]);
    config->quarantine.throttle.connections = 2;
    config->quarantine.throttle.per_ms = MINUTE_MS;
    config->quarantine.redirect_ports[0] = 80;
    config->quarantine.redirect_ports_len = 1;
    config->quarantine.self_release.per_ms = 30 * DAY_MS;
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
        memset(draft->config.quarantine.escalation, 0, sizeof(draft->config.quarantine.escalation));
        draft->config.quarantine.escalation_len = 0;
    }
}
