/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A seeded hash from a short key to the number of a record: keys are chosen by strangers. Open addressing,
 * deletion without tombstones, so that a table which is full and empty again stays fast. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct enf_key {
    uint8_t bytes[20]; /* unused ones are zero */
};

struct enf_keymap_slot {
    struct enf_key key;
    uint32_t value; /* 0: free */
};

/* The zero value with a seed is an empty map. */
struct enf_keymap {
    uint64_t seed;
    struct enf_keymap_slot *slots;
    size_t slots_len; /* a power of two, or 0 */
    size_t used;
};

/* The value of a key, or 0. */
uint32_t enf_keymap_find(const struct enf_keymap *map, const struct enf_key *key);
/* Fetches the place where the key should be, and returns it: for enf_keymap_at, before anything is added or
 * removed. */
size_t enf_keymap_prefetch(const struct enf_keymap *map, const struct enf_key *key);
/* The value at such a place, mostly that of the key; 0 where there is none. */
uint32_t enf_keymap_at(const struct enf_keymap *map, size_t place);
/* Adds a key that is not there yet. value is not 0. 0 or -ENOMEM. */
int enf_keymap_add(struct enf_keymap *map, const struct enf_key *key, uint32_t value);
/* Removes a key; nothing happens where it is not there. */
void enf_keymap_remove(struct enf_keymap *map, const struct enf_key *key);
void enf_keymap_clear(struct enf_keymap *map);
