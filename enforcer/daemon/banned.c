/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recent bans. */
#include "enforcer/daemon/banned.h"

void enf_banned_add(struct enf_banned *banned, const struct enf_prefix *subscriber, uint64_t now_ms)
{
    size_t set = enf_prefix_hash(subscriber, banned->seed) % ENF_BANNED_SETS, oldest = 0;

    for (size_t i = 0; i < ENF_BANNED_WAYS; i++) {
        if (enf_prefix_equal(&banned->slots[set][i].subscriber, subscriber)) {
            oldest = i;
            break;
        }
        if (banned->slots[set][i].until_ms < banned->slots[set][oldest].until_ms)
            oldest = i;
    }
    banned->slots[set][oldest].subscriber = *subscriber;
    banned->slots[set][oldest].until_ms = now_ms + ENF_BANNED_MS;
    banned->until_ms = now_ms + ENF_BANNED_MS;
}

bool enf_banned_has(const struct enf_banned *banned, const struct enf_prefix *subscriber, uint64_t now_ms)
{
    if (now_ms >= banned->until_ms)
        return false;
    size_t set = enf_prefix_hash(subscriber, banned->seed) % ENF_BANNED_SETS;
    for (size_t i = 0; i < ENF_BANNED_WAYS; i++) {
        if (now_ms < banned->slots[set][i].until_ms &&
            enf_prefix_equal(&banned->slots[set][i].subscriber, subscriber))
            return true;
    }
    return false;
}

void enf_banned_remove(struct enf_banned *banned, const struct enf_prefix *prefix)
{
    for (size_t set = 0; set < ENF_BANNED_SETS; set++) {
        for (size_t i = 0; i < ENF_BANNED_WAYS; i++) {
            if (enf_prefix_covers(prefix, &banned->slots[set][i].subscriber))
                banned->slots[set][i].until_ms = 0;
        }
    }
}
