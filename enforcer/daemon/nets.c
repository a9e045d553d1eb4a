/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prefixes in quarantine: what the kernel's sets of ranges must hold, and whether they do. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/tiers.h"

#include <errno.h>
#include <stdlib.h>

/* What the set of a tier must hold. */
static int flatten(struct enf_daemon *d, enum enf_kernel_tier tier, enum enf_family family,
                   struct enf_quarantine_ranges *out)
{
    enum enf_level at_least = ENF_LEVEL_NONE, at_most = ENF_LEVEL_NONE;

    for (unsigned level = ENF_LEVEL_COUNT; level-- > 0;) {
        if (!enf_tier_holds(tier, level))
            continue;
        at_least = level;
        at_most = at_most == ENF_LEVEL_NONE ? at_least : at_most;
    }
    return enf_quarantine_nets_flatten(d->quarantine, family, at_least, at_most, out);
}

static int nets_of(struct enf_daemon *d, enum enf_kernel_tier tier, enum enf_family family,
                   struct enf_kernel_nets *out)
{
    struct enf_quarantine_ranges ranges = {0};
    uint64_t now_ms = enf_clock_wall_ms();
    int err = flatten(d, tier, family, &ranges);

    if (err < 0)
        return err;
    struct enf_kernel_net *nets = calloc(ranges.len ? ranges.len : 1, sizeof *nets);
    for (size_t i = 0; nets && i < ranges.len; i++)
        nets[i] =
            (struct enf_kernel_net){ranges.items[i].range, enf_left_ms(ranges.items[i].until_ms, now_ms)};
    *out = (struct enf_kernel_nets){nets, nets ? ranges.len : 0};
    enf_quarantine_ranges_clear(&ranges);
    return nets ? 0 : -ENOMEM;
}

int enf_nets_put(struct enf_daemon *d, enum enf_family family)
{
    struct enf_kernel_nets nets[ENF_KERNEL_TIER_COUNT] = {{0}};
    int err = 0;

    for (unsigned tier = 0; err == 0 && tier < ENF_KERNEL_TIER_COUNT; tier++)
        err = nets_of(d, tier, family, &nets[tier]);
    if (err == 0)
        err = enf_kernel_nets_replace(d->kernel, family, nets);
    for (unsigned tier = 0; tier < ENF_KERNEL_TIER_COUNT; tier++)
        free((void *)(uintptr_t)nets[tier].items);
    return err;
}

struct check {
    const struct enf_quarantine_ranges *ranges;
    uint64_t now_ms;
    size_t at;
    size_t right;   /* there, with the right end */
    size_t strange; /* there, and not wanted */
    size_t ends;    /* there, with another end */
};

/* Both ascend. */
static int on_net(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct check *c = ctx;

    while (c->at < c->ranges->len && enf_addr_cmp(&c->ranges->items[c->at].range.first, &range->first) < 0)
        c->at++;
    const struct enf_quarantine_range *wanted = c->at < c->ranges->len ? &c->ranges->items[c->at] : NULL;
    if (!wanted || !enf_addr_equal(&wanted->range.first, &range->first) ||
        !enf_addr_equal(&wanted->range.last, &range->last)) {
        c->strange++;
        return 0;
    }
    c->right++;
    c->at++;
    c->ends +=
        !enf_same_end(wanted->until_ms, expires_ms == ENF_FOREVER ? ENF_FOREVER : c->now_ms + expires_ms);
    return 0;
}

/* What ends now may be gone already. */
static size_t ending(const struct enf_quarantine_ranges *ranges, uint64_t now_ms)
{
    size_t count = 0;

    for (size_t i = 0; i < ranges->len; i++)
        count += ranges->items[i].until_ms != ENF_FOREVER && ranges->items[i].until_ms <= now_ms + 3000;
    return count;
}

static int judge(struct enf_daemon *d, enum enf_kernel_set set, enum enf_family family,
                 const struct check *check, const struct enf_quarantine_ranges *ranges, size_t *wrong)
{
    char who[64];
    size_t missing = ranges->len - check->right, soon = ending(ranges, check->now_ms);

    missing = missing > soon ? missing - soon : 0;
    if (missing == 0 && check->strange == 0 && check->ends == 0)
        return 0;
    *wrong += missing;
    if (check->strange > 0 && missing == 0)
        enf_truth_tell(d, true, "%s: %zu ranges that are not ours, by %s: taken out",
                       enf_kernel_set_name(set), check->strange, enf_truth_who(d, who, sizeof who));
    int err = enf_nets_put(d, family);
    if (err == 0 && check->strange > 0 && missing == 0)
        enf_truth_tell(d, false, "the prefixes in quarantine are as they should be");
    return err;
}

static int check_tier(struct enf_daemon *d, enum enf_kernel_tier tier, enum enf_family family,
                      size_t *desired, size_t *wrong)
{
    enum enf_kernel_set set = enf_kernel_tier_nets(tier, family);
    struct enf_quarantine_ranges ranges = {0};
    int err = flatten(d, tier, family, &ranges);
    struct check check = {.ranges = &ranges, .now_ms = enf_clock_wall_ms()};

    if (err == 0)
        err = enf_kernel_read_set(d->kernel, set, on_net, &check);
    if (err == 0) {
        /* Who is at level full is counted once, by the set of level smtp. */
        *desired += tier == ENF_KERNEL_TIER_FULL ? 0 : ranges.len;
        err = judge(d, set, family, &check, &ranges, wrong);
    }
    enf_quarantine_ranges_clear(&ranges);
    return err;
}

int enf_nets_check(struct enf_daemon *d, enum enf_family family, size_t *desired, size_t *wrong)
{
    int err = 0;

    for (unsigned tier = 0; err == 0 && tier < ENF_KERNEL_TIER_COUNT; tier++)
        err = check_tier(d, tier, family, desired, wrong);
    return err;
}
