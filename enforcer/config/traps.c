/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traps may not be relays or smarthosts: whoever sends there as told would be convicted by one connection. */
#include "enforcer/config/traps.h"

#include "enforcer/core/rangemap.h"

#include <stdlib.h>

/* What stands in the lists: the smarthosts behind the relays. */
struct lists {
    const struct enf_config *config;
    struct enf_rangemap map; /* to an index of places */
    struct place {
        bool relay;
        uint32_t entry;
        uint32_t index;
    } * places;
    struct enf_rangemap_input *input;
    size_t len;
};

static void add(struct lists *lists, bool relay, size_t entry, const struct enf_prefix *addresses, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (addresses[i].addr.family == ENF_FAMILY_NONE)
            continue;
        lists->places[lists->len] = (struct place){relay, (uint32_t)entry, (uint32_t)i};
        lists->input[lists->len] = (struct enf_rangemap_input){addresses[i], (uint32_t)lists->len};
        lists->len++;
    }
}

static bool build(struct enf_reader *reader, struct lists *lists)
{
    const struct enf_config *config = lists->config;
    size_t len = 0;

    for (size_t i = 0; i < config->relays_len; i++)
        len += config->relays[i].addresses_len;
    for (size_t i = 0; i < config->smarthosts_len; i++)
        len += config->smarthosts[i].addresses_len;
    lists->places = enf_reader_alloc(reader, &reader->temp, len, sizeof(*lists->places));
    lists->input = enf_reader_alloc(reader, &reader->temp, len, sizeof(*lists->input));
    if (lists->places == NULL || lists->input == NULL)
        return false;
    for (size_t i = 0; i < config->relays_len; i++)
        add(lists, true, i, config->relays[i].addresses, config->relays[i].addresses_len);
    for (size_t i = 0; i < config->smarthosts_len; i++)
        add(lists, false, i, config->smarthosts[i].addresses, config->smarthosts[i].addresses_len);
    if (enf_rangemap_build(lists->input, lists->len, &lists->map) < 0) {
        reader->errors->oom = true;
        return false;
    }
    return true;
}

/* One section `detector`, whose path has been entered. */
static void check_part(struct enf_reader *reader, const struct lists *lists,
                       const struct enf_detector_part *part)
{
    const yaml_node_t *traps =
        part->node != NULL ? enf_document_get(reader->document, part->node, "traps") : NULL;

    if (traps == NULL || traps->type != YAML_SEQUENCE_NODE)
        return;
    for (size_t i = 0; i < part->settings.traps_len; i++) {
        const struct enf_addr *trap = &part->settings.traps[i];
        const struct enf_rangemap_entry *entry =
            trap->family != ENF_FAMILY_NONE ? enf_rangemap_find(&lists->map, trap) : NULL;
        char shown[ENF_PREFIX_STR_LEN];

        if (entry == NULL)
            continue;
        const struct place *place = &lists->places[entry->value];
        size_t mark = enf_reader_enter(reader, "detector.traps[%zu]", i);
        enf_reader_error(reader,
                         yaml_document_get_node(reader->document, traps->data.sequence.items.start[i]),
                         "expected an address that is no relay and no smarthost, found %s, which is in "
                         "%s[%u].addresses[%u]",
                         enf_addr_str(trap, shown, sizeof(shown)), place->relay ? "relays" : "smarthosts",
                         place->entry, place->index);
        enf_reader_leave(reader, mark);
    }
}

static void check_group(struct enf_reader *reader, const struct lists *lists,
                        const struct enf_group_draft *group, size_t index)
{
    size_t mark = enf_reader_enter(reader, "groups[%zu]", index);

    check_part(reader, lists, &group->detector);
    for (size_t i = 0; i < group->overrides_len; i++) {
        char shown[ENF_DESCRIBE_LEN];
        size_t inner = enf_reader_enter(reader, "subscribers[%s]",
                                        enf_document_describe(group->overrides[i].key, shown, sizeof(shown)));

        check_part(reader, lists, &group->overrides[i].detector);
        enf_reader_leave(reader, inner);
    }
    enf_reader_leave(reader, mark);
}

void enf_traps_check(struct enf_reader *reader, const struct enf_draft *draft)
{
    struct lists lists = {.config = &draft->config};

    if (draft->config.traps_len == 0)
        return;
    if (build(reader, &lists)) {
        check_part(reader, &lists, &draft->detector);
        for (size_t i = 0; i < draft->groups_len; i++)
            check_group(reader, &lists, &draft->groups[i], i);
    }
    enf_rangemap_clear(&lists.map);
}
