/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A group's `subscribers`: settings of single subscribers or prefixes of them. */
#include "enforcer/config/draft.h"
#include "enforcer/config/value.h"

#include <stdlib.h>
#include <string.h>

static const struct enf_row override_rows[] = {
    {.key = "detector", .read = enf_read_detector_local, ENF_ROW_FIELD(struct enf_override_draft, detector)},
};
static const struct enf_table override_table = ENF_TABLE(override_rows);

/* The path of errors about the override; for enf_reader_leave. */
static size_t enter_override(struct enf_reader *reader, const struct enf_override_draft *override)
{
    char shown[ENF_DESCRIBE_LEN];

    return enf_reader_enter(reader, "[%s]", enf_document_describe(override->key, shown, sizeof(shown)));
}

void enf_read_overrides(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                        void *base)
{
    struct enf_group_draft *group = base;
    size_t len;

    (void)row;
    if (node->type != YAML_MAPPING_NODE) {
        enf_reader_expected(reader, node, "a mapping from addresses and prefixes to settings");
        return;
    }
    len = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    if (len > ENF_OVERRIDES_MAX) {
        enf_reader_error(reader, node, "expected at most %d entries, found %zu", ENF_OVERRIDES_MAX, len);
        len = ENF_OVERRIDES_MAX;
    }
    group->overrides = enf_reader_alloc(reader, &reader->temp, len, sizeof(*group->overrides));
    group->overrides_len = group->overrides != NULL ? len : 0;
    for (size_t i = 0; i < group->overrides_len; i++) {
        const yaml_node_pair_t *pair = &node->data.mapping.pairs.start[i];
        struct enf_override_draft *override = &group->overrides[i];

        override->key = yaml_document_get_node(reader->document, pair->key);
        size_t mark = enter_override(reader, override);
        enf_value_prefix(reader, override->key, &override->prefix);
        enf_reader_mapping(reader, yaml_document_get_node(reader->document, pair->value), &override_table,
                           override);
        enf_reader_leave(reader, mark);
    }
}

/* An override and its place in the file, to sort by. */
struct sorted {
    struct enf_prefix prefix;
    const struct enf_override_draft *override;
};

/* Where addresses belong: to which of the groups, and whether to this one if no other group were there. */
struct territory {
    struct enf_rangemap all; /* value: index of the group */
    struct enf_rangemap own;
};

static int map_prefixes(const struct enf_group *groups, size_t first, size_t end, struct enf_rangemap *out)
{
    struct enf_rangemap_input *input;
    size_t len = 0;
    size_t n = 0;
    int ret;

    for (size_t i = first; i < end; i++)
        len += groups[i].prefixes_len;
    input = calloc(len + 1, sizeof(*input));
    if (input == NULL)
        return -1;
    for (size_t i = first; i < end; i++) {
        for (size_t j = 0; j < groups[i].prefixes_len; j++) {
            if (groups[i].prefixes[j].addr.family != ENF_FAMILY_NONE)
                input[n++] = (struct enf_rangemap_input){groups[i].prefixes[j], (uint32_t)i};
        }
    }
    ret = enf_rangemap_build(input, n, out);
    free(input);
    return ret;
}

static bool inside(const struct enf_rangemap_entry *entry, const struct enf_prefix *prefix)
{
    struct enf_range range = enf_prefix_range(prefix);

    return entry != NULL && enf_addr_cmp(&entry->range.last, &range.last) >= 0;
}

static void check_place(struct enf_reader *reader, const struct enf_draft *draft, size_t group,
                        const struct territory *territory, const struct enf_override_draft *override)
{
    const struct enf_config *config = &draft->config;
    const struct enf_prefix *prefix = &override->prefix;
    const struct enf_rangemap_entry *owner = enf_rangemap_find(&territory->all, &prefix->addr);
    char shown[ENF_PREFIX_STR_LEN];
    uint8_t subscriber = config->groups[group].subscriber_prefix_v6;

    enf_prefix_str(prefix, shown, sizeof(shown));
    if (prefix->addr.family == ENF_FAMILY_V6 && prefix->len > subscriber)
        enf_reader_error(reader, override->key,
                         "expected a whole address or at most /%u, one subscriber, found %s", subscriber,
                         shown);
    else if (!inside(enf_rangemap_find(&territory->own, &prefix->addr), prefix))
        enf_reader_error(reader, override->key,
                         "expected an address or a prefix inside the group's prefixes, found %s", shown);
    else if (owner != NULL && owner->value != group && inside(owner, prefix))
        enf_reader_error(reader, override->key,
                         "expected an address or a prefix of this group, found %s of groups[%u]", shown,
                         owner->value);
}

static int by_prefix(const void *a, const void *b)
{
    const struct sorted *left = a;
    const struct sorted *right = b;
    int ret = enf_prefix_cmp(&left->prefix, &right->prefix);

    if (ret != 0)
        return ret;
    return left->override < right->override ? -1 : left->override > right->override; /* as in the file */
}

static void check_twice(struct enf_reader *reader, const struct enf_group_draft *draft)
{
    size_t len = draft->overrides_len;
    struct sorted *sorted = enf_reader_alloc(reader, &reader->temp, len, sizeof(*sorted));

    if (sorted == NULL)
        return;
    for (size_t i = 0; i < len; i++)
        sorted[i] = (struct sorted){draft->overrides[i].prefix, &draft->overrides[i]};
    qsort(sorted, len, sizeof(*sorted), by_prefix);
    for (size_t i = 1; i < len; i++) {
        const struct enf_prefix *prefix = &sorted[i].prefix;
        const struct enf_override_draft *here = sorted[i].override;
        char shown[ENF_PREFIX_STR_LEN];
        size_t mark;

        if (prefix->addr.family == ENF_FAMILY_NONE || !enf_prefix_equal(prefix, &sorted[i - 1].prefix))
            continue;
        mark = enter_override(reader, here);
        enf_reader_error(
            reader, here->key, "expected each subscriber once, found %s a second time (first on line %zu)",
            enf_prefix_str(prefix, shown, sizeof(shown)), enf_document_line(sorted[i - 1].override->key));
        enf_reader_leave(reader, mark);
    }
}

static void check_group(struct enf_reader *reader, struct enf_draft *draft, size_t group,
                        const struct enf_rangemap *all)
{
    struct territory territory = {.all = *all};
    struct enf_group_draft *own = &draft->groups[group];
    size_t mark;

    if (map_prefixes(draft->config.groups, group, group + 1, &territory.own) < 0) {
        reader->errors->oom = true;
        return;
    }
    mark = enf_reader_enter(reader, "groups[%zu].subscribers", group);
    for (size_t i = 0; i < own->overrides_len; i++) {
        if (own->overrides[i].prefix.addr.family == ENF_FAMILY_NONE)
            continue;
        size_t inner = enter_override(reader, &own->overrides[i]);
        check_place(reader, draft, group, &territory, &own->overrides[i]);
        enf_reader_leave(reader, inner);
    }
    check_twice(reader, own);
    enf_reader_leave(reader, mark);
    enf_rangemap_clear(&territory.own);
}

void enf_overrides_check(struct enf_reader *reader, struct enf_draft *draft)
{
    struct enf_rangemap all = {0};

    if (map_prefixes(draft->config.groups, 0, draft->config.groups_len, &all) < 0) {
        reader->errors->oom = true;
        return;
    }
    for (size_t i = 0; i < draft->config.groups_len; i++) {
        if (draft->groups[i].overrides_len > 0)
            check_group(reader, draft, i, &all);
    }
    enf_rangemap_clear(&all);
}
