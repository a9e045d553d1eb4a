/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prefixes in quarantine: what the kernel's sets of ranges must hold, and whether they do. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>

int enf_nets_put(struct enf_daemon *d, enum enf_family family)
{
    struct enf_quarantine_ranges ranges = {0};
    int err = enf_quarantine_nets_flatten(d->quarantine, family, ENF_LEVEL_NONE, &ranges);
    uint64_t now_ms = enf_clock_wall_ms();

    if (err < 0)
        return err;
    struct enf_kernel_net *nets = calloc(ranges.len ? ranges.len : 1, sizeof *nets);
    for (size_t i = 0; nets && i < ranges.len; i++)
        nets[i] =
            (struct enf_kernel_net){ranges.items[i].range, enf_left_ms(ranges.items[i].until_ms, now_ms)};
    err = nets ? enf_kernel_nets_replace(d->kernel, family, nets, ranges.len) : -ENOMEM;
    free(nets);
    enf_quarantine_ranges_clear(&ranges);
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

static int judge(struct enf_daemon *d, enum enf_family family, const struct check *check,
                 const struct enf_quarantine_ranges *ranges, size_t *wrong)
{
    char who[64];
    size_t missing = ranges->len - check->right, soon = ending(ranges, check->now_ms);

    missing = missing > soon ? missing - soon : 0;
    if (missing == 0 && check->strange == 0 && check->ends == 0)
        return 0;
    *wrong += missing;
    if (check->strange > 0 && missing == 0)
        enf_truth_tell(d, true, "quarantine_nets%c: %zu ranges that are not ours, by %s: taken out",
                       family == ENF_FAMILY_V4 ? '4' : '6', check->strange,
                       enf_truth_who(d, who, sizeof who));
    int err = enf_nets_put(d, family);
    if (err == 0 && check->strange > 0 && missing == 0)
        enf_truth_tell(d, false, "the prefixes in quarantine are as they should be");
    return err;
}

int enf_nets_check(struct enf_daemon *d, enum enf_family family, size_t *desired, size_t *wrong)
{
    struct enf_quarantine_ranges ranges = {0};
    int err = enf_quarantine_nets_flatten(d->quarantine, family, ENF_LEVEL_NONE, &ranges);
    struct check check = {.ranges = &ranges, .now_ms = enf_clock_wall_ms()};

    if (err == 0)
        err = enf_kernel_read_set(
            d->kernel, family == ENF_FAMILY_V4 ? ENF_KERNEL_QUARANTINE_NETS4 : ENF_KERNEL_QUARANTINE_NETS6,
            on_net, &check);
    if (err == 0) {
        *desired += ranges.len;
        err = judge(d, family, &check, &ranges, wrong);
    }
    enf_quarantine_ranges_clear(&ranges);
    return err;
}
