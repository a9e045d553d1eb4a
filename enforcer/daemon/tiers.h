/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the level of a quarantine to the sets of the kernel that hold it. Whoever is at level full is refused
 * TCP/25 as well, by the sets of level smtp. Pure. */
#pragma once

#include "enforcer/kernel/kernel.h"
#include "enforcer/policy/quarantine.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether a quarantine of that level stands in the sets of a tier. */
bool enf_tier_holds(enum enf_kernel_tier tier, enum enf_level level);
/* The level of a quarantine that is known by its tier alone. */
enum enf_level enf_tier_level(enum enf_kernel_tier tier);
/* Where the kernel's meter and a worker put somebody of whom only the level of a first conviction is known:
 * throttle or smtp. What level full takes is done by the control thread. */
enum enf_kernel_tier enf_tier_of_first(enum enf_level level);
/* When a subscriber's element of a tier ends, by the ends of its entries; 0: it has none there. */
uint64_t enf_tier_end(enum enf_kernel_tier tier, const struct enf_quarantine_ends *ends);
