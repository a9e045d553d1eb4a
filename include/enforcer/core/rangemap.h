/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Longest-prefix maps flattened into disjoint ranges: what nftables interval sets need (they refuse nested
 * prefixes) and what userspace searches by bisection. No I/O; a finished map is read-only and may be shared.
 */
#pragma once

#include "enforcer/core/addr.h"

#include <stddef.h>
#include <stdint.h>

struct enf_rangemap_entry {
    struct enf_range range;
    uint32_t value;
};

/* Sorted, disjoint; neighbours with one value are fused. Zero value: empty. */
struct enf_rangemap {
    struct enf_rangemap_entry *entries;
    size_t len;
};

/* One prefix of the input. */
struct enf_rangemap_input {
    struct enf_prefix prefix;
    uint32_t value;
};

/* Builds the map: at every address the value of the longest prefix that holds it (of equal ones the last).
 * The input array is sorted in place. O(n log n). 0 or -ENOMEM, then *out is untouched.
 * The caller frees *out with enf_rangemap_clear. */
int enf_rangemap_build(struct enf_rangemap_input *input, size_t input_len, struct enf_rangemap *out);
void enf_rangemap_clear(struct enf_rangemap *map);

/* The entry that holds addr, or NULL. O(log n). The pointer lives as long as the map. */
const struct enf_rangemap_entry *enf_rangemap_find(const struct enf_rangemap *map,
                                                   const struct enf_addr *addr);

/* The first entry that holds any address of prefix, or NULL; else as above. */
const struct enf_rangemap_entry *enf_rangemap_meets(const struct enf_rangemap *map,
                                                    const struct enf_prefix *prefix);

/* Cuts range into the fewest prefixes, in ascending order, and calls fn for each; stops at the first
 * non-zero answer and returns it, else 0. At most 2 * bits calls. */
int enf_range_to_prefixes(const struct enf_range *range,
                          int (*fn)(void *ctx, const struct enf_prefix *prefix), void *ctx);

/* The same into an array of out_max prefixes; returns how many were written (256 always suffice). */
size_t enf_range_prefixes(const struct enf_range *range, struct enf_prefix *out, size_t out_max);

/* The addresses that some prefix of `from` holds and none of `less`, as ranges with value 0.
 * 0 or -ENOMEM with *out untouched. */
int enf_rangemap_difference(const struct enf_prefix *from, size_t from_len, const struct enf_prefix *less,
                            size_t less_len, struct enf_rangemap *out);
