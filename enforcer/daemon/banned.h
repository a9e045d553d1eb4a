/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who was banned a moment ago: packets of theirs that already wait in the queue get no way through. One
 * thread. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stdint.h>

#define ENF_BANNED_SETS 512
#define ENF_BANNED_WAYS 8
#define ENF_BANNED_MS   5000 /* longer than any packet waits in a queue */

/* Zero value: empty. In a full set the one that ends first makes room; then the kernel's set has it for long.
 */
struct enf_banned {
    uint64_t seed;
    uint64_t until_ms; /* of the last one: cheap answer while there is none */
    struct {
        struct enf_prefix subscriber;
        uint64_t until_ms;
    } slots[ENF_BANNED_SETS][ENF_BANNED_WAYS];
};

void enf_banned_add(struct enf_banned *banned, const struct enf_prefix *subscriber, uint64_t now_ms);
bool enf_banned_has(const struct enf_banned *banned, const struct enf_prefix *subscriber, uint64_t now_ms);
/* A release counts at once: forgets all inside prefix. */
void enf_banned_remove(struct enf_banned *banned, const struct enf_prefix *prefix);
