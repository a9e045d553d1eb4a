/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which group, subscriber and detector settings an address has. */
#include "enforcer/policy/group.h"

#include "enforcer/core/share.h"

#include <errno.h>
#include <stdlib.h>

static size_t count_prefixes(const struct enf_group *groups, size_t groups_len)
{
    size_t total = 0;
    for (size_t i = 0; i < groups_len; i++)
        total += groups[i].prefixes_len;
    return total;
}

static size_t count_overrides(const struct enf_group *groups, size_t groups_len)
{
    size_t total = 0;
    for (size_t i = 0; i < groups_len; i++)
        total += groups[i].overrides_len;
    return total;
}

static int build_group_map(const struct enf_group *groups, size_t groups_len, struct enf_rangemap *out)
{
    size_t total = count_prefixes(groups, groups_len);
    if (total == 0)
        return 0;
    struct enf_rangemap_input *input = calloc(total, sizeof(*input));
    if (!input)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < groups_len; i++)
        for (size_t k = 0; k < groups[i].prefixes_len; k++)
            input[n++] = (struct enf_rangemap_input){groups[i].prefixes[k], (uint32_t)i};
    int rc = enf_rangemap_build(input, n, out);
    free(input);
    return rc;
}

static int build_override_map(const struct enf_group *groups, size_t groups_len,
                              struct enf_group_index *index)
{
    size_t total = count_overrides(groups, groups_len);
    if (total == 0)
        return 0;
    struct enf_rangemap_input *input = calloc(total, sizeof(*input));
    const struct enf_override **list = calloc(total, sizeof(const struct enf_override *));
    int rc = -ENOMEM;
    if (!input || !list)
        goto out;
    size_t n = 0;
    for (size_t i = 0; i < groups_len; i++) {
        for (size_t k = 0; k < groups[i].overrides_len; k++) {
            list[n] = &groups[i].overrides[k];
            input[n] = (struct enf_rangemap_input){list[n]->prefix, (uint32_t)n};
            n++;
        }
    }
    rc = enf_rangemap_build(input, n, &index->overrides);
    if (rc == 0) {
        index->override_list = list;
        list = NULL;
    }
out:
    free(list);
    free(input);
    return rc;
}

int enf_group_index_build(const struct enf_group *groups, size_t groups_len, struct enf_group_index *out)
{
    struct enf_group_index index = {.groups = groups, .groups_len = groups_len};
    int rc = build_group_map(groups, groups_len, &index.map);
    if (rc == 0)
        rc = build_override_map(groups, groups_len, &index);
    if (rc != 0) {
        enf_group_index_clear(&index);
        return rc;
    }
    *out = index;
    return 0;
}

void enf_group_index_clear(struct enf_group_index *index)
{
    enf_rangemap_clear(&index->map);
    enf_rangemap_clear(&index->overrides);
    free(index->override_list);
    *index = (struct enf_group_index){0};
}

const struct enf_group *enf_group_find(const struct enf_group_index *index, const struct enf_addr *addr)
{
    const struct enf_rangemap_entry *entry = enf_rangemap_find(&index->map, addr);
    return entry ? &index->groups[entry->value] : NULL;
}

struct enf_prefix enf_group_subscriber(const struct enf_group *group_or_null, const struct enf_addr *addr)
{
    if (addr->family != ENF_FAMILY_V6)
        return enf_prefix_host(addr);
    return enf_prefix_make(addr,
                           group_or_null ? group_or_null->subscriber_prefix_v6 : ENF_SUBSCRIBER_V6_DEFAULT);
}

bool enf_group_in_canary(const struct enf_group *group, const struct enf_addr *addr)
{
    if (group->canary_percent >= 100 || group->canary_percent == 0)
        return group->canary_percent > 0;
    struct enf_prefix subscriber = enf_group_subscriber(group, addr);
    return enf_share(&subscriber) < group->canary_percent;
}

enum enf_policy enf_group_policy(const struct enf_group *group_or_null, const struct enf_addr *addr)
{
    if (!group_or_null)
        return ENF_POLICY_NONE;
    return enf_group_in_canary(group_or_null, addr) ? group_or_null->policy : ENF_POLICY_OBSERVE;
}

/* By address, not by a walk: this is asked for every connection. */
static bool owns(const struct enf_group *group, const struct enf_override *override)
{
    uintptr_t first = (uintptr_t)group->overrides;
    uintptr_t here = (uintptr_t) override;
    return here >= first && here - first < group->overrides_len * sizeof(*override);
}

/* The longest of the group's own overrides that holds addr. */
static const struct enf_override *search(const struct enf_group *group, const struct enf_addr *addr)
{
    const struct enf_override *best = NULL;
    for (size_t i = 0; i < group->overrides_len; i++) {
        const struct enf_override *override = &group->overrides[i];
        if (enf_prefix_contains(&override->prefix, addr) &&
            (!best || override->prefix.len >= best->prefix.len))
            best = override;
    }
    return best;
}

const struct enf_detector_settings *enf_group_detector(const struct enf_group_index *index,
                                                       const struct enf_group *group,
                                                       const struct enf_addr *addr)
{
    const struct enf_rangemap_entry *entry = enf_rangemap_find(&index->overrides, addr);
    if (!entry)
        return &group->detector;
    const struct enf_override *override = index->override_list[entry->value];
    /* The map holds the overrides of all groups. Where groups are nested, the longest one may be another
     * group's and hide ours: rare enough to look through our own. */
    if (!owns(group, override))
        override = search(group, addr);
    return override ? &override->detector : &group->detector;
}
