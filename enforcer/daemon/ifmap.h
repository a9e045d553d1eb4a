/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of interfaces by index, remembered for a few seconds, and what the configuration calls them. One
 * thread. */
#pragma once

#include "enforcer/config/config.h"

#include <stdint.h>

#define ENF_IFMAP_SLOTS 1024       /* more interfaces than that in use at once cost a system call a packet */
#define ENF_IFMAP_MS    (5 * 1000) /* a name can change: "ppp0" is another subscriber's a minute later */

enum enf_side {
    ENF_SIDE_UNKNOWN, /* in neither list */
    ENF_SIDE_SUBSCRIBER,
    ENF_SIDE_UPSTREAM,
};

struct enf_ifmap_entry {
    uint32_t ifindex; /* 0: free */
    uint64_t until_ms;
    enum enf_side side;
    char name[ENF_IFNAME_LEN];
};

/* Zero value: empty. Clear it by zeroing when the configuration changes. */
struct enf_ifmap {
    struct enf_ifmap_entry slots[ENF_IFMAP_SLOTS];
};

/* Never NULL; for an index without an interface the name is "". The pointer lives until the next call. */
const struct enf_ifmap_entry *enf_ifmap_find(struct enf_ifmap *map, const struct enf_config *config,
                                             uint32_t ifindex, uint64_t now_ms);
/* "ppp*" matches "ppp0". */
bool enf_interface_matches(const char *pattern, const char *name);
