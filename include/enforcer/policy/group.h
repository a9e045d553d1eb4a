/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups of subscribers, and which group, subscriber and detector settings an address has. No I/O. An index
 * that is built is read-only and may be shared between threads. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/core/rangemap.h"
#include "enforcer/detect/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_GROUPS_MAX            256
#define ENF_SUBSCRIBER_V6_DEFAULT 64 /* bits, also for addresses in no group */

enum enf_block_with {
    ENF_BLOCK_DROP,
    ENF_BLOCK_RESET,
};

enum enf_addresses {
    ENF_ADDRESSES_STATIC,
    ENF_ADDRESSES_DYNAMIC,
};

/* Settings of one subscriber or prefix of them inside a group. */
struct enf_override {
    struct enf_prefix prefix;
    struct enf_detector_settings detector;
};

struct enf_group {
    char name[ENF_NAME_LEN]; /* [a-z0-9_-], starts with a letter: also a part of nft names */
    struct enf_prefix *prefixes;
    size_t prefixes_len;
    enum enf_policy policy;
    enum enf_block_with block_with;
    uint8_t canary_percent;       /* so many of 100 subscribers are under the policy, the others observed */
    uint8_t subscriber_prefix_v6; /* bits */
    enum enf_addresses addresses;
    uint64_t lease_ms; /* for ENF_ADDRESSES_DYNAMIC: nothing outlasts it */
    struct enf_detector_settings detector;
    struct enf_override *overrides;
    size_t overrides_len;
};

/* Finds by address; built from groups that must outlive it. */
struct enf_group_index {
    const struct enf_group *groups;
    size_t groups_len;
    struct enf_rangemap map;       /* value: index into groups */
    struct enf_rangemap overrides; /* value: index into override_list */
    const struct enf_override **override_list;
};

/* 0 or -ENOMEM with *out untouched. */
int enf_group_index_build(const struct enf_group *groups, size_t groups_len, struct enf_group_index *out);
void enf_group_index_clear(struct enf_group_index *index);

/* The group that addr belongs to (the longest prefix wins), or NULL. */
const struct enf_group *enf_group_find(const struct enf_group_index *index, const struct enf_addr *addr);

/* The subscriber that addr is: the address itself for IPv4, the group's (or the default) prefix for IPv6. */
struct enf_prefix enf_group_subscriber(const struct enf_group *group_or_null, const struct enf_addr *addr);

/* Whether the group's policy holds for the subscriber that addr belongs to, or it is one of those who are
 * only observed (see core/share.h). */
bool enf_group_in_canary(const struct enf_group *group, const struct enf_addr *addr);
/* The policy that holds for addr: the group's, `observe` outside of the canary's share, none without a group.
 */
enum enf_policy enf_group_policy(const struct enf_group *group_or_null, const struct enf_addr *addr);

/* Detector settings for addr in group: the override's, where there is one, else the group's. */
const struct enf_detector_settings *enf_group_detector(const struct enf_group_index *index,
                                                       const struct enf_group *group,
                                                       const struct enf_addr *addr);
