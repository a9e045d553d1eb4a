/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of groups, and how their detector settings come together. */
#include "enforcer/config/draft.h"
#include "enforcer/config/quarantine.h"
#include "enforcer/config/value.h"

#include <string.h>

#define HOUR_MS 3600000ULL

static const struct enf_choice policies[] = {
    {"block", ENF_POLICY_BLOCK, false},
    {"inspect", ENF_POLICY_INSPECT, false},
    {"observe", ENF_POLICY_OBSERVE, false},
    {NULL},
};
const struct enf_choice enf_block_withs[] = {
    {"drop", ENF_BLOCK_DROP, false},
    {"reset", ENF_BLOCK_RESET, false},
    {NULL},
};
static const struct enf_choice address_kinds[] = {
    {"static", ENF_ADDRESSES_STATIC, false},
    {"dynamic", ENF_ADDRESSES_DYNAMIC, false},
    {NULL},
};

static const struct enf_list prefix_list = {
    .item = {.read = enf_read_prefix},
    .expected = "a list of prefixes",
    .item_size = sizeof(struct enf_prefix),
    .len_offset = offsetof(struct enf_group_draft, group.prefixes_len),
    .min = 1,
    .max = ENF_PREFIXES_MAX,
};

static const struct enf_row group_rows[] = {
    {.key = "name",
     .read = enf_read_name,
     ENF_ROW_FIELD(struct enf_group_draft, group.name),
     .required = "a name",
     .arg.text.special = true},
    {.key = "prefixes",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_group_draft, group.prefixes),
     .required = "a list of prefixes",
     .arg.list = &prefix_list},
    {.key = "policy",
     .read = enf_read_choice,
     ENF_ROW_FIELD(struct enf_group_draft, group.policy),
     .arg.choices = policies},
    {.key = "block_with",
     .read = enf_read_choice,
     ENF_ROW_FIELD(struct enf_group_draft, group.block_with),
     .arg.choices = enf_block_withs},
    {.key = "canary_percent",
     .read = enf_read_number,
     ENF_ROW_FIELD(struct enf_group_draft, group.canary_percent),
     .arg.range = {.min = 0, .max = 100}},
    {.key = "subscriber_prefix_v6",
     .read = enf_read_number,
     ENF_ROW_FIELD(struct enf_group_draft, group.subscriber_prefix_v6),
     .arg.range = {.min = 32, .max = 128}},
    {.key = "addresses",
     .read = enf_read_choice,
     ENF_ROW_FIELD(struct enf_group_draft, group.addresses),
     .arg.choices = address_kinds},
    {.key = "lease", .read = enf_read_duration, ENF_ROW_FIELD(struct enf_group_draft, group.lease_ms)},
    {.key = "detector", .read = enf_read_detector_local, ENF_ROW_FIELD(struct enf_group_draft, detector)},
    {.key = "subscribers", .read = enf_read_overrides},
};
static const struct enf_table group_table = ENF_TABLE(group_rows);

static void read_group(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                       void *base)
{
    struct enf_group_draft *draft = base;

    (void)row;
    draft->group.policy = ENF_POLICY_BLOCK;
    draft->group.block_with = ENF_BLOCK_DROP;
    draft->group.canary_percent = 100;
    draft->group.subscriber_prefix_v6 = ENF_SUBSCRIBER_V6_DEFAULT;
    draft->group.addresses = ENF_ADDRESSES_STATIC;
    draft->group.lease_ms = 24 * HOUR_MS;
    enf_reader_mapping(reader, node, &group_table, draft);
}

static const struct enf_list group_list = {
    .item = {.read = read_group},
    .expected = "a list of groups",
    .item_size = sizeof(struct enf_group_draft),
    .len_offset = offsetof(struct enf_draft, groups_len),
    .max = ENF_GROUPS_MAX,
    .temp = true,
};

void enf_read_groups(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base)
{
    struct enf_row list = *row;

    list.arg.list = &group_list;
    enf_read_list(reader, node, &list, base);
}

/* One array for the traps of all sections: whoever needs them all finds them together. */
static void place_traps(struct enf_reader *reader, struct enf_draft *draft)
{
    struct enf_config *config = &draft->config;
    size_t len = draft->detector.settings.traps_len;
    struct enf_addr *next;

    for (size_t i = 0; i < draft->groups_len; i++) {
        len += draft->groups[i].detector.settings.traps_len;
        for (size_t j = 0; j < draft->groups[i].overrides_len; j++)
            len += draft->groups[i].overrides[j].detector.settings.traps_len;
    }
    config->traps = enf_reader_alloc(reader, &reader->keep, len, sizeof(*config->traps));
    if (config->traps == NULL)
        return;
    config->traps_len = len;
    next = enf_detector_part_place(&draft->detector, config->traps);
    for (size_t i = 0; i < draft->groups_len; i++) {
        next = enf_detector_part_place(&draft->groups[i].detector, next);
        for (size_t j = 0; j < draft->groups[i].overrides_len; j++)
            next = enf_detector_part_place(&draft->groups[i].overrides[j].detector, next);
    }
}

static void finish_overrides(struct enf_reader *reader, struct enf_group_draft *draft,
                             struct enf_group *group)
{
    group->overrides =
        enf_reader_alloc(reader, &reader->keep, draft->overrides_len, sizeof(*group->overrides));
    if (group->overrides == NULL)
        return;
    group->overrides_len = draft->overrides_len;
    for (size_t i = 0; i < draft->overrides_len; i++) {
        struct enf_prefix *prefix = &draft->overrides[i].prefix;

        /* A host address of IPv6 means its subscriber. */
        if (prefix->addr.family == ENF_FAMILY_V6 && enf_prefix_is_host(prefix))
            *prefix = enf_prefix_make(&prefix->addr, group->subscriber_prefix_v6);
        group->overrides[i].prefix = *prefix;
        group->overrides[i].detector = group->detector;
        enf_detector_part_apply(reader, &draft->overrides[i].detector, &group->overrides[i].detector);
    }
}

void enf_groups_finish(struct enf_reader *reader, struct enf_draft *draft)
{
    struct enf_config *config = &draft->config;

    place_traps(reader, draft);
    config->groups = enf_reader_alloc(reader, &reader->keep, draft->groups_len, sizeof(*config->groups));
    if (config->groups == NULL)
        return;
    config->groups_len = draft->groups_len;
    for (size_t i = 0; i < draft->groups_len; i++) {
        struct enf_group *group = &config->groups[i];

        *group = draft->groups[i].group;
        group->detector = enf_detector_defaults(group->policy);
        enf_detector_part_apply(reader, &draft->detector, &group->detector);
        enf_detector_part_apply(reader, &draft->groups[i].detector, &group->detector);
        finish_overrides(reader, &draft->groups[i], group);
    }
}
