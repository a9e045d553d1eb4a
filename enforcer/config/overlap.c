/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prefixes that may not meet: the same one twice, a group that cuts through another's subscribers, a relay
 * among subscribers. */
#include "enforcer/config/overlap.h"

#include <stdio.h>
#include <stdlib.h>

/* One prefix of the file and where it stands: LIST[owner].MEMBER[index]. */
struct place {
    struct enf_prefix prefix;
    uint32_t owner;
    uint32_t index;
};

struct places {
    const char *list;
    const char *member;
    struct place *items;
    size_t len;
};

static void places_add(struct places *places, const struct enf_prefix *prefixes, size_t len, size_t owner)
{
    for (size_t i = 0; i < len; i++) {
        if (prefixes[i].addr.family != ENF_FAMILY_NONE)
            places->items[places->len++] = (struct place){prefixes[i], (uint32_t)owner, (uint32_t)i};
    }
}

static int by_prefix(const void *a, const void *b)
{
    const struct place *left = a;
    const struct place *right = b;
    int ret = enf_prefix_cmp(&left->prefix, &right->prefix);

    if (ret != 0)
        return ret;
    if (left->owner != right->owner)
        return left->owner < right->owner ? -1 : 1;
    return left->index < right->index ? -1 : left->index > right->index;
}

#define PLACE_LEN 96

static const char *place_str(const struct places *places, const struct place *place, char buf[PLACE_LEN])
{
    snprintf(buf, PLACE_LEN, "%s[%u].%s[%u]", places->list, place->owner, places->member, place->index);
    return buf;
}

static void check_twice(struct enf_reader *reader, const struct places *places)
{
    for (size_t i = 1; i < places->len; i++) {
        const struct place *here = &places->items[i];
        const struct place *before = &places->items[i - 1];
        char path[PLACE_LEN];
        char other[PLACE_LEN];
        char shown[ENF_PREFIX_STR_LEN];

        if (!enf_prefix_equal(&here->prefix, &before->prefix))
            continue;
        enf_reader_error_at(
            reader, place_str(places, here, path), "expected each prefix once, found %s, which is also %s",
            enf_prefix_str(&here->prefix, shown, sizeof(shown)), place_str(places, before, other));
    }
}

static void check_own_subscribers(struct enf_reader *reader, const struct places *places,
                                  const struct enf_group *groups)
{
    for (size_t i = 0; i < places->len; i++) {
        const struct place *here = &places->items[i];
        uint8_t subscriber = groups[here->owner].subscriber_prefix_v6;
        char path[PLACE_LEN];
        char shown[ENF_PREFIX_STR_LEN];

        if (here->prefix.addr.family != ENF_FAMILY_V6 || here->prefix.len <= subscriber)
            continue;
        enf_reader_error_at(reader, place_str(places, here, path),
                            "expected at most /%u, the group's subscriber_prefix_v6, found %s", subscriber,
                            enf_prefix_str(&here->prefix, shown, sizeof(shown)));
    }
}

/* A prefix inside another group's must leave the subscribers there whole. */
static void check_nested(struct enf_reader *reader, const struct places *places, const struct place *here,
                         const struct place *outer, const struct enf_group *groups)
{
    uint8_t subscriber = groups[outer->owner].subscriber_prefix_v6;
    char path[PLACE_LEN];
    char other[PLACE_LEN];
    char shown[ENF_PREFIX_STR_LEN];

    if (here->prefix.addr.family != ENF_FAMILY_V6 || here->owner == outer->owner ||
        here->prefix.len <= subscriber || enf_prefix_equal(&here->prefix, &outer->prefix))
        return;
    enf_reader_error_at(reader, place_str(places, here, path),
                        "expected at most /%u, because %s around it has subscribers of that length, found %s",
                        subscriber, place_str(places, outer, other),
                        enf_prefix_str(&here->prefix, shown, sizeof(shown)));
}

/* Sorted prefixes come with the outer one first: those around the current one are a stack. */
static void check_nesting(struct enf_reader *reader, const struct places *places,
                          const struct enf_group *groups)
{
    const struct place *around[130]; /* at most one of each length, and equal ones are not stacked */
    size_t depth = 0;

    for (size_t i = 0; i < places->len; i++) {
        const struct place *here = &places->items[i];

        while (depth > 0 && !enf_prefix_covers(&around[depth - 1]->prefix, &here->prefix))
            depth--;
        if (depth > 0) {
            check_nested(reader, places, here, around[depth - 1], groups);
            if (enf_prefix_equal(&around[depth - 1]->prefix, &here->prefix))
                continue;
        }
        around[depth++] = here;
    }
}

static void check_relay(struct enf_reader *reader, const struct enf_config *config, size_t index,
                        const struct places *groups, const struct enf_rangemap *map)
{
    const struct enf_relay *relay = &config->relays[index];
    char path[PLACE_LEN];
    const yaml_node_t *node;

    snprintf(path, sizeof(path), "relays[%zu]", index);
    node = enf_document_find(reader->document, path);
    if (enf_document_get(reader->document, node, "interface") != NULL)
        return;
    snprintf(path, sizeof(path), "relays[%zu].interface", index);
    for (size_t i = 0; i < relay->addresses_len; i++) {
        const struct enf_prefix *address = &relay->addresses[i];
        const struct enf_rangemap_entry *entry;
        char shown[ENF_PREFIX_STR_LEN];
        char other[PLACE_LEN];

        entry = address->addr.family != ENF_FAMILY_NONE ? enf_rangemap_meets(map, address) : NULL;
        if (entry == NULL)
            continue;
        enf_reader_error_at(
            reader, path,
            "expected the interface the relay is on, found no such key: %s overlaps %s, so the "
            "relay's address could otherwise come in by a subscriber interface",
            enf_prefix_str(address, shown, sizeof(shown)),
            place_str(groups, &groups->items[entry->value], other));
        return;
    }
}

static void check_relays(struct enf_reader *reader, const struct enf_config *config,
                         const struct places *groups)
{
    struct enf_rangemap_input *input = calloc(groups->len + 1, sizeof(*input));
    struct enf_rangemap map = {0};

    for (size_t i = 0; input != NULL && i < groups->len; i++)
        input[i] = (struct enf_rangemap_input){groups->items[i].prefix, (uint32_t)i};
    if (input == NULL || enf_rangemap_build(input, groups->len, &map) < 0)
        reader->errors->oom = true;
    free(input);
    for (size_t i = 0; i < config->relays_len; i++)
        check_relay(reader, config, i, groups, &map);
    enf_rangemap_clear(&map);
}

static size_t count_all(const struct enf_config *config)
{
    size_t groups = 0;
    size_t relays = 0;
    size_t smarthosts = 0;

    for (size_t i = 0; i < config->groups_len; i++)
        groups += config->groups[i].prefixes_len;
    for (size_t i = 0; i < config->relays_len; i++)
        relays += config->relays[i].addresses_len;
    for (size_t i = 0; i < config->smarthosts_len; i++)
        smarthosts += config->smarthosts[i].addresses_len;
    return groups + relays + smarthosts;
}

/* The three lists, one after the other in an array of the arena. */
void enf_overlap_check(struct enf_reader *reader, const struct enf_config *config)
{
    size_t total = count_all(config);
    struct place *items = enf_reader_alloc(reader, &reader->temp, total, sizeof(*items));
    struct places groups = {.list = "groups", .member = "prefixes", .items = items};
    struct places relays = {.list = "relays", .member = "addresses"};
    struct places smarthosts = {.list = "smarthosts", .member = "addresses"};

    if (items == NULL)
        return;
    for (size_t i = 0; i < config->groups_len; i++)
        places_add(&groups, config->groups[i].prefixes, config->groups[i].prefixes_len, i);
    relays.items = groups.items + groups.len;
    for (size_t i = 0; i < config->relays_len; i++)
        places_add(&relays, config->relays[i].addresses, config->relays[i].addresses_len, i);
    smarthosts.items = relays.items + relays.len;
    for (size_t i = 0; i < config->smarthosts_len; i++)
        places_add(&smarthosts, config->smarthosts[i].addresses, config->smarthosts[i].addresses_len, i);

    qsort(groups.items, groups.len, sizeof(*items), by_prefix);
    qsort(relays.items, relays.len, sizeof(*items), by_prefix);
    qsort(smarthosts.items, smarthosts.len, sizeof(*items), by_prefix);
    check_twice(reader, &groups);
    check_twice(reader, &relays);
    check_twice(reader, &smarthosts);
    check_own_subscribers(reader, &groups, config->groups);
    check_nesting(reader, &groups, config->groups);
    check_relays(reader, config, &groups);
}
