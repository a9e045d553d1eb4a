/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Levels and tiers. */
#include "enforcer/daemon/tiers.h"

bool enf_tier_holds(enum enf_kernel_tier tier, enum enf_level level)
{
    switch (tier) {
    case ENF_KERNEL_TIER_SMTP:
        return level == ENF_LEVEL_SMTP || level == ENF_LEVEL_FULL;
    case ENF_KERNEL_TIER_THROTTLE:
        return level == ENF_LEVEL_THROTTLE;
    case ENF_KERNEL_TIER_FULL:
        return level == ENF_LEVEL_FULL;
    }
    return false;
}

enum enf_level enf_tier_level(enum enf_kernel_tier tier)
{
    switch (tier) {
    case ENF_KERNEL_TIER_SMTP:
        return ENF_LEVEL_SMTP;
    case ENF_KERNEL_TIER_THROTTLE:
        return ENF_LEVEL_THROTTLE;
    case ENF_KERNEL_TIER_FULL:
        return ENF_LEVEL_FULL;
    }
    return ENF_LEVEL_SMTP;
}

enum enf_kernel_tier enf_tier_of_first(enum enf_level level)
{
    return level == ENF_LEVEL_THROTTLE ? ENF_KERNEL_TIER_THROTTLE : ENF_KERNEL_TIER_SMTP;
}

uint64_t enf_tier_end(enum enf_kernel_tier tier, const struct enf_quarantine_ends *ends)
{
    uint64_t until_ms = 0;

    for (unsigned level = 0; level < ENF_LEVEL_COUNT; level++) {
        if (enf_tier_holds(tier, level) && ends->until_ms[level] > until_ms)
            until_ms = ends->until_ms[level];
    }
    return until_ms;
}
