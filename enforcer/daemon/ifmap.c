/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces by index. */
#include "enforcer/daemon/ifmap.h"

#include "enforcer/core/text.h"

#include <net/if.h>
#include <string.h>

bool enf_interface_matches(const char *pattern, const char *name)
{
    size_t len = strlen(pattern);

    if (len > 0 && pattern[len - 1] == '*')
        return strncmp(pattern, name, len - 1) == 0;
    return strcmp(pattern, name) == 0;
}

static bool in_list(const struct enf_interface *list, size_t len, const char *name)
{
    for (size_t i = 0; i < len; i++) {
        if (enf_interface_matches(list[i].name, name))
            return true;
    }
    return false;
}

const struct enf_ifmap_entry *enf_ifmap_find(struct enf_ifmap *map, const struct enf_config *config,
                                             uint32_t ifindex, uint64_t now_ms)
{
    struct enf_ifmap_entry *slot = &map->slots[ifindex % ENF_IFMAP_SLOTS];
    char name[IF_NAMESIZE] = "";

    if (slot->ifindex == ifindex && now_ms < slot->until_ms)
        return slot;
    *slot = (struct enf_ifmap_entry){.ifindex = ifindex, .until_ms = now_ms + ENF_IFMAP_MS};
    if (ifindex == 0 || !if_indextoname(ifindex, name))
        return slot;
    enf_text_copy(slot->name, sizeof slot->name, name);
    if (in_list(config->interfaces.subscriber, config->interfaces.subscriber_len, name))
        slot->side = ENF_SIDE_SUBSCRIBER;
    else if (in_list(config->interfaces.upstream, config->interfaces.upstream_len, name))
        slot->side = ENF_SIDE_UPSTREAM;
    return slot;
}
