/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Desired against enforced: all elements, not a sample. What is missing is put back, what the meter added
 * while nobody listened is adopted, and both are told. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends may differ by what passes between two clock readings, and elements that end now may be gone already.
 */
#define SLACK_MS 3000

/* One single subscriber, as desired or as the kernel has it. */
struct item {
    struct enf_addr key;
    uint64_t until_ms;            /* wall clock */
    uint64_t since_ms;            /* desired ones only */
    struct enf_prefix subscriber; /* desired ones only */
};

struct items {
    struct item *items;
    size_t len;
    size_t size;
};

static int append(struct items *list, const struct item *item)
{
    if (list->len == list->size) {
        size_t size = list->size ? list->size * 2 : 256;
        struct item *grown = reallocarray(list->items, size, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        list->items = grown;
        list->size = size;
    }
    list->items[list->len++] = *item;
    return 0;
}

static int item_order(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    return enf_addr_cmp(&x->key, &y->key);
}

static void sort(struct items *list)
{
    if (list->len > 1)
        qsort(list->items, list->len, sizeof *list->items, item_order);
}

/* --- desired --- */

static int collect_desired(void *ctx, const struct enf_quarantine *entry)
{
    struct items *list = ctx;
    struct item item = {entry->subscriber.addr, entry->until_ms, entry->since_ms, entry->subscriber};

    if (entry->net)
        return 0;
    /* Entries of one subscriber (of several levels) follow each other: the latest end counts. */
    if (list->len > 0 && enf_addr_equal(&list->items[list->len - 1].key, &item.key)) {
        if (item.until_ms > list->items[list->len - 1].until_ms)
            list->items[list->len - 1].until_ms = item.until_ms;
        return 0;
    }
    return append(list, &item);
}

static uint64_t left_ms(uint64_t until_ms, uint64_t now_ms)
{
    if (until_ms == ENF_FOREVER)
        return ENF_FOREVER;
    return until_ms > now_ms ? until_ms - now_ms : 1;
}

static int put_items(struct enf_daemon *d, const struct item *const *items, size_t len)
{
    struct enf_kernel_single singles[ENF_KERNEL_CHUNK];
    uint64_t now_ms = enf_clock_wall_ms();
    int err = 0;

    for (size_t i = 0; err == 0 && i < len;) {
        size_t n = 0;
        for (; n < ENF_KERNEL_CHUNK && i < len; i++, n++)
            singles[n] = (struct enf_kernel_single){.subscriber = items[i]->subscriber,
                                                    .timeout_ms = left_ms(items[i]->until_ms, now_ms)};
        err = enf_kernel_singles(d->kernel, singles, n);
    }
    return err;
}

static int put_family_nets(struct enf_daemon *d, enum enf_family family)
{
    struct enf_quarantine_ranges ranges = {0};
    int err = enf_quarantine_nets_flatten(d->quarantine, family, ENF_LEVEL_NONE, &ranges);
    struct enf_kernel_net *nets = err == 0 ? calloc(ranges.len ? ranges.len : 1, sizeof *nets) : NULL;
    uint64_t now_ms = enf_clock_wall_ms();

    if (err == 0 && !nets)
        err = -ENOMEM;
    for (size_t i = 0; err == 0 && i < ranges.len; i++)
        nets[i] = (struct enf_kernel_net){ranges.items[i].range, left_ms(ranges.items[i].until_ms, now_ms)};
    if (err == 0)
        err = enf_kernel_nets_replace(d->kernel, family, nets, ranges.len);
    free(nets);
    enf_quarantine_ranges_clear(&ranges);
    return err;
}

/* --- enforced --- */

struct kernel_reading {
    struct items *list;
    uint64_t now_ms;
};

static int on_kernel_single(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct kernel_reading *r = ctx;
    struct item item = {.key = range->first,
                        .until_ms = expires_ms == ENF_FOREVER ? ENF_FOREVER : r->now_ms + expires_ms};

    return append(r->list, &item);
}

static int read_singles(struct enf_daemon *d, struct items *out)
{
    static const enum enf_kernel_set sets[] = {ENF_KERNEL_QUARANTINE4, ENF_KERNEL_QUARANTINE6};
    int err = 0;

    for (size_t i = 0; err == 0 && i < 2; i++) {
        struct kernel_reading r = {.list = out, .now_ms = enf_clock_wall_ms()};
        err = enf_kernel_read_set(d->kernel, sets[i], on_kernel_single, &r);
    }
    return err;
}

struct net_check {
    const struct enf_quarantine_ranges *ranges;
    size_t seen;
    size_t wrong;
};

static int on_kernel_net(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct net_check *c = ctx;

    (void)expires_ms;
    if (c->seen < c->ranges->len && (!enf_addr_equal(&c->ranges->items[c->seen].range.first, &range->first) ||
                                     !enf_addr_equal(&c->ranges->items[c->seen].range.last, &range->last)))
        c->wrong++;
    c->seen++;
    return 0;
}

/* How many ranges of prefixes by hand differ; they are few, and replaced as a whole. */
static int check_nets(struct enf_daemon *d, enum enf_family family, size_t *desired, size_t *wrong)
{
    struct enf_quarantine_ranges ranges = {0};
    int err = enf_quarantine_nets_flatten(d->quarantine, family, ENF_LEVEL_NONE, &ranges);
    struct net_check check = {.ranges = &ranges};

    if (err == 0)
        err = enf_kernel_read_set(
            d->kernel, family == ENF_FAMILY_V4 ? ENF_KERNEL_QUARANTINE_NETS4 : ENF_KERNEL_QUARANTINE_NETS6,
            on_kernel_net, &check);
    if (err == 0) {
        *desired += ranges.len;
        size_t different = check.wrong + (check.seen < ranges.len ? ranges.len - check.seen : 0);
        *wrong += different;
        if (different > 0 || check.seen != ranges.len)
            err = put_family_nets(d, family);
    }
    enf_quarantine_ranges_clear(&ranges);
    return err;
}

/* Sets of prefixes are replaced only where they differ: kernels 6.1 and 6.12 miss elements meanwhile. */
int enf_enforce_all(struct enf_daemon *d)
{
    struct items desired = {0};
    int err = enf_quarantine_each(d->quarantine, collect_desired, &desired);
    const struct item **all =
        err == 0 ? calloc(desired.len ? desired.len : 1, sizeof(const struct item *)) : NULL;

    if (err == 0 && !all)
        err = -ENOMEM;
    for (size_t i = 0; err == 0 && i < desired.len; i++)
        all[i] = &desired.items[i];
    if (err == 0)
        err = put_items(d, all, desired.len);
    size_t nets = 0, wrong = 0;
    if (err == 0)
        err = check_nets(d, ENF_FAMILY_V4, &nets, &wrong);
    if (err == 0)
        err = check_nets(d, ENF_FAMILY_V6, &nets, &wrong);
    free(all);
    free(desired.items);
    return err;
}

/* --- the difference --- */

static bool same_end(uint64_t a, uint64_t b)
{
    if (a == ENF_FOREVER || b == ENF_FOREVER)
        return a == b;
    return a > b ? a - b <= SLACK_MS : b - a <= SLACK_MS;
}

/* An element that nobody asked for: the meter's, made while no daemon listened, or somebody's by hand in nft.
 */
static void adopt(struct enf_daemon *d, const struct item *item, uint64_t now_ms)
{
    const struct enf_group *group = enf_group_find(&d->running->groups, &item->key);
    struct enf_quarantine entry = {
        .subscriber = enf_group_subscriber(group, &item->key),
        .level = ENF_LEVEL_SMTP,
        .since_ms = now_ms,
        .until_ms = item->until_ms > now_ms ? item->until_ms : now_ms + 1,
        .convictions = 1,
    };

    enf_text_copy(entry.actor, sizeof entry.actor, "meter");
    enf_text_copy(entry.reason, sizeof entry.reason,
                  "found in the kernel's set without a record: the meter's, or of a state that was lost");
    if (group)
        enf_text_copy(entry.group, sizeof entry.group, group->name);
    if (group && group->addresses == ENF_ADDRESSES_DYNAMIC && entry.until_ms > now_ms + group->lease_ms)
        entry.until_ms = now_ms + group->lease_ms;
    int err = enf_enforce_add(d, &entry, 1, ENF_QUARANTINE_EXTEND);
    if (err < 0)
        enf_log_line("coverage", "an element of the kernel could not be adopted: %s", strerror(-err));
}

struct difference {
    const struct item **put; /* desired, but missing or with another end */
    size_t put_len;
    size_t missing;
    size_t unknown;
};

static void compare_singles(struct enf_daemon *d, const struct items *desired, const struct items *kernel,
                            bool adopting, uint64_t read_ms, struct difference *out)
{
    uint64_t now_ms = enf_clock_wall_ms();
    size_t i = 0, j = 0;

    while (i < desired->len || j < kernel->len) {
        int order = i == desired->len  ? 1
                    : j == kernel->len ? -1
                                       : enf_addr_cmp(&desired->items[i].key, &kernel->items[j].key);
        if (order < 0) {
            const struct item *item = &desired->items[i++];
            bool ends_now = item->until_ms != ENF_FOREVER && item->until_ms <= now_ms + SLACK_MS;
            /* Younger than the reading: it was not there to be read. */
            if (!ends_now && item->since_ms < read_ms) {
                out->put[out->put_len++] = item;
                out->missing++;
            }
        } else if (order > 0) {
            out->unknown++;
            if (adopting)
                adopt(d, &kernel->items[j], now_ms);
            j++;
        } else {
            if (!same_end(desired->items[i].until_ms, kernel->items[j].until_ms))
                out->put[out->put_len++] = &desired->items[i];
            i++;
            j++;
        }
    }
}

static void tell_coverage(struct enf_daemon *d, size_t missing)
{
    struct enf_event event = {.outcome = missing ? ENF_OUTCOME_FAILURE : ENF_OUTCOME_SUCCESS,
                              .count = missing};

    if (missing > 0 && !d->coverage.lost) {
        event.action = ENF_EVENT_COVERAGE_LOST;
        snprintf(event.reason, sizeof event.reason,
                 "%zu of %zu quarantines were missing in the kernel and are put back", missing,
                 d->coverage.desired);
        d->coverage.lost = true;
        enf_tell(d, &event);
    } else if (missing == 0 && d->coverage.lost) {
        event.action = ENF_EVENT_COVERAGE_RESTORED;
        snprintf(event.reason, sizeof event.reason, "all %zu quarantines are in the kernel",
                 d->coverage.desired);
        d->coverage.lost = false;
        enf_tell(d, &event);
    }
}

static int compare(struct enf_daemon *d, bool adopting)
{
    struct items kernel = {0}, desired = {0};
    struct difference diff = {0};
    size_t nets = 0, wrong = 0;
    uint64_t read_ms = enf_clock_wall_ms();
    int err = read_singles(d, &kernel);

    /* What workers banned before the reading is in their reports: those first, else it looks unknown. */
    enf_reports_handle(d);
    if (err == 0)
        err = enf_quarantine_each(d->quarantine, collect_desired, &desired);
    if (err == 0) {
        diff.put = calloc(desired.len ? desired.len : 1, sizeof(const struct item *));
        err = diff.put ? 0 : -ENOMEM;
    }
    if (err == 0) {
        sort(&kernel);
        sort(&desired);
        compare_singles(d, &desired, &kernel, adopting, read_ms, &diff);
        err = put_items(d, diff.put, diff.put_len);
    }
    if (err == 0)
        err = check_nets(d, ENF_FAMILY_V4, &nets, &wrong);
    if (err == 0)
        err = check_nets(d, ENF_FAMILY_V6, &nets, &wrong);
    if (err == 0) {
        d->coverage.desired = desired.len + nets;
        d->coverage.enforced = d->coverage.desired - diff.missing - wrong;
        d->coverage.checked_steady_ms = enf_clock_steady_ms();
        tell_coverage(d, diff.missing + wrong);
    }
    free(diff.put);
    free(kernel.items);
    free(desired.items);
    return err;
}

/* The table is gone or its rules are not ours any more: everything anew, the sets before the rules. */
static int rebuild(struct enf_daemon *d, const char *what)
{
    char *error = NULL;

    enf_tell_text(d, ENF_EVENT_RULESET_TAMPERED, ENF_OUTCOME_FAILURE, NULL, "%s", what);
    enf_log_line("ruleset", "%s; it is put back", what);
    int err = enf_ruleset_load_sets(d->ruleset, &error);
    if (err == 0)
        err = enf_enforce_all(d);
    if (err == 0)
        err = enf_install_relays(d);
    if (err == 0)
        err = enf_install(d, d->running, d->mode, &error);
    if (err == 0)
        enf_tell_text(d, ENF_EVENT_RULESET_RESTORED, ENF_OUTCOME_SUCCESS, NULL,
                      "the table is complete again");
    else
        enf_log_line("ruleset", "could not be put back: %s", error ? error : strerror(-err));
    free(error);
    return err;
}

/* A relay that is missing is somebody's mail; one too many is a hole. */
static int compare_relays(struct enf_daemon *d)
{
    size_t missing = 0, strange = 0;
    int err = enf_relays_check(d, &missing, &strange);

    if (err < 0 || (missing == 0 && strange == 0))
        return err;
    enf_tell_text(d, ENF_EVENT_RULESET_TAMPERED, ENF_OUTCOME_FAILURE, NULL,
                  "the relay sets were changed by somebody else: %zu missing, %zu not ours", missing,
                  strange);
    enf_log_line("ruleset", "the relay sets were changed by somebody else; they are put back");
    err = enf_install_relays(d);
    if (err == 0)
        enf_tell_text(d, ENF_EVENT_RULESET_RESTORED, ENF_OUTCOME_SUCCESS, NULL,
                      "the relay sets are complete again");
    return err;
}

int enf_enforce_compare(struct enf_daemon *d, bool adopting)
{
    size_t rules = 0;
    int err = enf_kernel_rule_count(d->kernel, &rules);

    if (err == -ENOENT || (err == 0 && rules == 0 && d->rules_expected > 0))
        err = rebuild(d, "the table inet enforcer was deleted by somebody else");
    else if (err == 0 && rules != d->rules_expected)
        err = rebuild(d, "rules of the table inet enforcer were changed by somebody else");
    if (err == 0)
        err = compare_relays(d);
    if (err == 0)
        err = compare(d, adopting);
    return err;
}
