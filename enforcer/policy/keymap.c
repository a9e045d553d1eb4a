/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linear probing at most half full; removal moves later keys of the run back into the hole. */
#include "enforcer/policy/keymap.h"

#include "enforcer/core/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL /* keys of known length: a call costs more than the hash */
#include <xxhash.h>

#define SLOTS_MIN 64u

static size_t home_of(const struct enf_keymap *map, const struct enf_key *key)
{
    return (size_t)XXH3_64bits_withSeed(key->bytes, sizeof(key->bytes), map->seed) & (map->slots_len - 1);
}

/* The key's slot, or the free one where it belongs. The map is never full. */
static size_t slot_of(const struct enf_keymap *map, const struct enf_key *key)
{
    size_t at = home_of(map, key);

    while (map->slots[at].value && memcmp(&map->slots[at].key, key, sizeof(*key)) != 0)
        at = (at + 1) & (map->slots_len - 1);
    return at;
}

/* Zeroed. Large ones begin where a huge page does. */
static struct enf_keymap_slot *make_slots(size_t len)
{
    size_t size = len * sizeof(struct enf_keymap_slot);
    struct enf_keymap_slot *slots;

    if (size < ENF_HUGE_PAGE)
        return calloc(len, sizeof(*slots));
    size = (size + ENF_HUGE_PAGE - 1) / ENF_HUGE_PAGE * ENF_HUGE_PAGE;
    slots = aligned_alloc(ENF_HUGE_PAGE, size);
    if (!slots)
        return NULL;
    enf_pages_wish_huge(slots, size);
    memset(slots, 0, size);
    return slots;
}

static int grow(struct enf_keymap *map)
{
    struct enf_keymap larger = {.seed = map->seed, .used = map->used};

    larger.slots_len = map->slots_len ? map->slots_len * 2 : SLOTS_MIN;
    larger.slots = make_slots(larger.slots_len);
    if (!larger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < map->slots_len; i++)
        if (map->slots[i].value)
            larger.slots[slot_of(&larger, &map->slots[i].key)] = map->slots[i];
    free(map->slots);
    map->slots = larger.slots;
    map->slots_len = larger.slots_len;
    return 0;
}

uint32_t enf_keymap_find(const struct enf_keymap *map, const struct enf_key *key)
{
    return map->slots_len ? map->slots[slot_of(map, key)].value : 0;
}

size_t enf_keymap_prefetch(const struct enf_keymap *map, const struct enf_key *key)
{
    if (!map->slots_len)
        return 0;
    size_t home = home_of(map, key);
    __builtin_prefetch(&map->slots[home]);
    return home;
}

uint32_t enf_keymap_at(const struct enf_keymap *map, size_t place)
{
    return place < map->slots_len ? map->slots[place].value : 0;
}

int enf_keymap_add(struct enf_keymap *map, const struct enf_key *key, uint32_t value)
{
    size_t slot;

    if ((map->used + 1) * 2 > map->slots_len && grow(map) < 0)
        return -ENOMEM;
    slot = slot_of(map, key);
    map->slots[slot] = (struct enf_keymap_slot){*key, value};
    map->used++;
    return 0;
}

void enf_keymap_remove(struct enf_keymap *map, const struct enf_key *key)
{
    size_t mask = map->slots_len - 1;
    size_t hole;

    if (!enf_keymap_find(map, key))
        return;
    hole = slot_of(map, key);
    for (size_t at = (hole + 1) & mask; map->slots[at].value; at = (at + 1) & mask) {
        size_t home = home_of(map, &map->slots[at].key);

        /* it may move back to the hole unless its home lies between the two */
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole].value = 0;
    map->used--;
}

void enf_keymap_clear(struct enf_keymap *map)
{
    free(map->slots);
    *map = (struct enf_keymap){.seed = map->seed};
}
