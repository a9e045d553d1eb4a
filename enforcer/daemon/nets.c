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

/* As the kernel wants them. Those that have ended, and are gone by themselves, are left out where ended is
 * false. items of out are the caller's. */
static int timed(const struct enf_quarantine_range *const *ranges, size_t len, bool ended,
                 struct enf_kernel_nets *out)
{
    uint64_t now_ms = enf_clock_wall_ms();
    struct enf_kernel_net *nets = calloc(len ? len : 1, sizeof *nets);
    size_t kept = 0;

    for (size_t i = 0; nets && i < len; i++) {
        uint64_t until_ms = ranges[i]->until_ms;
        if (ended || until_ms == ENF_FOREVER || until_ms > now_ms)
            nets[kept++] = (struct enf_kernel_net){ranges[i]->range, enf_left_ms(until_ms, now_ms)};
    }
    *out = (struct enf_kernel_nets){nets, kept};
    return nets ? 0 : -ENOMEM;
}

static void free_nets(struct enf_kernel_nets nets[ENF_KERNEL_TIER_COUNT])
{
    for (unsigned tier = 0; tier < ENF_KERNEL_TIER_COUNT; tier++)
        free((void *)(uintptr_t)nets[tier].items);
}

/* --- what the kernel was given last --- */

void enf_nets_forget(struct enf_nets *nets)
{
    for (unsigned tier = 0; tier < ENF_KERNEL_TIER_COUNT; tier++)
        enf_quarantine_ranges_clear(&nets->given[tier]);
    nets->known = false;
}

/* Takes the ranges. */
static void remember(struct enf_nets *nets, struct enf_quarantine_ranges ranges[ENF_KERNEL_TIER_COUNT])
{
    enf_nets_forget(nets);
    for (unsigned tier = 0; tier < ENF_KERNEL_TIER_COUNT; tier++) {
        nets->given[tier] = ranges[tier];
        ranges[tier] = (struct enf_quarantine_ranges){0};
    }
    nets->known = true;
}

static int flatten_all(struct enf_daemon *d, enum enf_family family,
                       struct enf_quarantine_ranges out[ENF_KERNEL_TIER_COUNT])
{
    int err = 0;

    for (unsigned tier = 0; err == 0 && tier < ENF_KERNEL_TIER_COUNT; tier++)
        err = flatten(d, tier, family, &out[tier]);
    return err;
}

static void clear_all(struct enf_quarantine_ranges ranges[ENF_KERNEL_TIER_COUNT])
{
    for (unsigned tier = 0; tier < ENF_KERNEL_TIER_COUNT; tier++)
        enf_quarantine_ranges_clear(&ranges[tier]);
}

/* --- the difference --- */

struct difference {
    const struct enf_quarantine_range **removed, **added;
    size_t removed_len, added_len;
};

static bool same_range(const struct enf_quarantine_range *a, const struct enf_quarantine_range *b)
{
    return enf_addr_equal(&a->range.first, &b->range.first) &&
           enf_addr_equal(&a->range.last, &b->range.last) && a->until_ms == b->until_ms;
}

/* Both ascend. */
static void differ(const struct enf_quarantine_ranges *old, const struct enf_quarantine_ranges *new,
                   struct difference *out)
{
    size_t i = 0, j = 0;

    while (i < old->len || j < new->len) {
        int order = i == old->len   ? 1
                    : j == new->len ? -1
                                    : enf_addr_cmp(&old->items[i].range.first, &new->items[j].range.first);
        if (order == 0 && same_range(&old->items[i], &new->items[j])) {
            i++;
            j++;
            continue;
        }
        if (order <= 0)
            out->removed[out->removed_len++] = &old->items[i++];
        if (order >= 0)
            out->added[out->added_len++] = &new->items[j++];
    }
}

static int differ_timed(const struct enf_quarantine_ranges *old, const struct enf_quarantine_ranges *new,
                        struct enf_kernel_nets *removed, struct enf_kernel_nets *added)
{
    struct difference diff = {0};
    diff.removed = calloc(old->len + 1, sizeof(const struct enf_quarantine_range *));
    diff.added = calloc(new->len + 1, sizeof(const struct enf_quarantine_range *));
    int err = diff.removed && diff.added ? 0 : -ENOMEM;

    if (err == 0) {
        differ(old, new, &diff);
        err = timed(diff.removed, diff.removed_len, false, removed);
    }
    if (err == 0)
        err = timed(diff.added, diff.added_len, true, added);
    free(diff.removed);
    free(diff.added);
    return err;
}

static int put_difference(struct enf_daemon *d, enum enf_family family,
                          const struct enf_quarantine_ranges old[ENF_KERNEL_TIER_COUNT],
                          const struct enf_quarantine_ranges new[ENF_KERNEL_TIER_COUNT])
{
    struct enf_kernel_nets removed[ENF_KERNEL_TIER_COUNT] = {{0}}, added[ENF_KERNEL_TIER_COUNT] = {{0}};
    size_t len = 0;
    int err = 0;

    for (unsigned tier = 0; err == 0 && tier < ENF_KERNEL_TIER_COUNT; tier++) {
        err = differ_timed(&old[tier], &new[tier], &removed[tier], &added[tier]);
        len += removed[tier].len + added[tier].len;
    }
    if (err == 0 && len > 0)
        err = enf_kernel_nets_change(d->kernel, family, removed, added);
    free_nets(removed);
    free_nets(added);
    return err;
}

/* --- into the kernel --- */

/* As the difference to nothing. */
static int put_whole(struct enf_daemon *d, enum enf_family family,
                     const struct enf_quarantine_ranges ranges[ENF_KERNEL_TIER_COUNT])
{
    static const struct enf_quarantine_ranges none;
    struct enf_kernel_nets nothing[ENF_KERNEL_TIER_COUNT] = {{0}}, nets[ENF_KERNEL_TIER_COUNT] = {{0}};
    int err = 0;

    for (unsigned tier = 0; err == 0 && tier < ENF_KERNEL_TIER_COUNT; tier++)
        err = differ_timed(&none, &ranges[tier], &nothing[tier], &nets[tier]);
    if (err == 0)
        err = enf_kernel_nets_replace(d->kernel, family, nets);
    free_nets(nothing);
    free_nets(nets);
    return err;
}

static int put(struct enf_daemon *d, enum enf_family family, bool whole)
{
    struct enf_nets *nets = &d->nets[family == ENF_FAMILY_V6];
    struct enf_quarantine_ranges ranges[ENF_KERNEL_TIER_COUNT] = {{0}};
    int err = flatten_all(d, family, ranges);
    int changed =
        err == 0 && nets->known && !whole ? put_difference(d, family, nets->given, ranges) : -EAGAIN;

    if (err == 0 && changed < 0) /* where it is not as it was thought to be, too */
        err = put_whole(d, family, ranges);
    if (err == 0)
        remember(nets, ranges);
    else
        enf_nets_forget(nets);
    clear_all(ranges);
    return err;
}

int enf_nets_put(struct enf_daemon *d, enum enf_family family)
{
    return put(d, family, true);
}

int enf_nets_change(struct enf_daemon *d, enum enf_family family)
{
    return put(d, family, false);
}

/* --- whether it has them --- */

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
