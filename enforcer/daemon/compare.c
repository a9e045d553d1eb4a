/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Desired against enforced: all elements, not a sample. What is missing is put back, what the meter added
 * while nobody listened is adopted, what somebody else put there is taken out, and all of it is told. */
#include "enforcer/core/array.h"
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/tiers.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends may differ by what passes between two clock readings, and elements that end now may be gone already.
 */
#define SLACK_MS 3000

/* One element of a tier, as desired or as the kernel has it. */
struct item {
    enum enf_kernel_tier tier;
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
    struct item *items = enf_array_grow(list->items, list->len, &list->size, sizeof *items);

    if (!items)
        return -ENOMEM;
    list->items = items;
    list->items[list->len++] = *item;
    return 0;
}

static int item_order(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order = (x->tier > y->tier) - (x->tier < y->tier);

    return order ? order : enf_addr_cmp(&x->key, &y->key);
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
    int err = 0;

    for (unsigned tier = 0; err == 0 && !entry->net && tier < ENF_KERNEL_TIER_COUNT; tier++) {
        struct item item = {tier, entry->subscriber.addr, entry->until_ms, entry->since_ms,
                            entry->subscriber};
        if (enf_tier_holds(tier, entry->level))
            err = append(list, &item);
    }
    return err;
}

/* Of a subscriber's entries in one tier, sorted, the latest end counts, and the latest beginning: the element
 * was made anew for it. */
static void unite(struct items *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->len; i++) {
        struct item *last = kept > 0 ? &list->items[kept - 1] : NULL;
        const struct item *item = &list->items[i];
        if (!last || item_order(last, item) != 0) {
            list->items[kept++] = *item;
            continue;
        }
        last->until_ms = item->until_ms > last->until_ms ? item->until_ms : last->until_ms;
        last->since_ms = item->since_ms > last->since_ms ? item->since_ms : last->since_ms;
    }
    list->len = kept;
}

/* Quarantines, not elements: who is at level full has two. */
static size_t count_quarantines(const struct items *desired)
{
    size_t count = 0;

    for (size_t i = 0; i < desired->len; i++)
        count += desired->items[i].tier != ENF_KERNEL_TIER_FULL;
    return count;
}

uint64_t enf_left_ms(uint64_t until_ms, uint64_t now_ms)
{
    if (until_ms == ENF_FOREVER)
        return ENF_FOREVER;
    return until_ms > now_ms ? until_ms - now_ms : 1;
}

bool enf_same_end(uint64_t a, uint64_t b)
{
    if (a == ENF_FOREVER || b == ENF_FOREVER)
        return a == b;
    return a > b ? a - b <= SLACK_MS : b - a <= SLACK_MS;
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
                                                    .tier = items[i]->tier,
                                                    .timeout_ms = enf_left_ms(items[i]->until_ms, now_ms)};
        err = enf_kernel_singles(d->kernel, singles, n);
    }
    return err;
}

/* --- enforced --- */

struct kernel_reading {
    struct items *list;
    enum enf_kernel_tier tier;
    uint64_t now_ms;
};

static int on_kernel_single(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct kernel_reading *r = ctx;
    struct item item = {.tier = r->tier,
                        .key = range->first,
                        .until_ms = expires_ms == ENF_FOREVER ? ENF_FOREVER : r->now_ms + expires_ms};

    return append(r->list, &item);
}

static int read_singles(struct enf_daemon *d, struct items *out)
{
    static const enum enf_family families[] = {ENF_FAMILY_V4, ENF_FAMILY_V6};
    int err = 0;

    for (unsigned i = 0; err == 0 && i < 2 * ENF_KERNEL_TIER_COUNT; i++) {
        struct kernel_reading r = {.list = out, .tier = i / 2, .now_ms = enf_clock_wall_ms()};
        err = enf_kernel_read_set(d->kernel, enf_kernel_tier_singles(r.tier, families[i % 2]),
                                  on_kernel_single, &r);
    }
    return err;
}

/* --- the difference --- */

/* An element that nobody asked for: the meter's, made while no daemon listened, or somebody's by hand in nft.
 */
static void adopt(struct enf_daemon *d, const struct item *item, uint64_t now_ms)
{
    const struct enf_group *group = enf_group_find(&d->running->groups, &item->key);
    struct enf_quarantine entry = {
        .subscriber = enf_group_subscriber(group, &item->key),
        .level = enf_tier_level(item->tier),
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

/* What differs, as candidates: the last word has the kernel, asked for each. */
struct difference {
    const struct item **missing;
    size_t missing_len;
    const struct item **other; /* there, with another end */
    size_t other_len;
    const struct item **unknown;
    size_t unknown_len;
};

static void difference_clear(struct difference *diff)
{
    free(diff->missing);
    free(diff->other);
    free(diff->unknown);
}

static int difference_make(struct difference *diff, size_t desired, size_t kernel)
{
    diff->missing = calloc(desired + 1, sizeof(const struct item *));
    diff->other = calloc(desired + 1, sizeof(const struct item *));
    diff->unknown = calloc(kernel + 1, sizeof(const struct item *));
    return diff->missing && diff->other && diff->unknown ? 0 : -ENOMEM;
}

static void find_difference(const struct items *desired, const struct items *kernel, uint64_t read_ms,
                            struct difference *out)
{
    uint64_t now_ms = enf_clock_wall_ms();
    size_t i = 0, j = 0;

    while (i < desired->len || j < kernel->len) {
        int order = i == desired->len  ? 1
                    : j == kernel->len ? -1
                                       : item_order(&desired->items[i], &kernel->items[j]);
        if (order < 0) {
            const struct item *item = &desired->items[i++];
            bool ends_now = item->until_ms != ENF_FOREVER && item->until_ms <= now_ms + SLACK_MS;
            /* Younger than the reading: it was not there to be read. */
            if (!ends_now && item->since_ms < read_ms)
                out->missing[out->missing_len++] = item;
        } else if (order > 0) {
            out->unknown[out->unknown_len++] = &kernel->items[j++];
        } else {
            if (!enf_same_end(desired->items[i].until_ms, kernel->items[j].until_ms))
                out->other[out->other_len++] = &desired->items[i];
            i++;
            j++;
        }
    }
}

/* Keeps of the list what the kernel, asked now, has (there) or has not. */
static int confirm(struct enf_daemon *d, const struct item **list, size_t *len, bool there)
{
    struct enf_prefix subscribers[256];
    uint64_t left_ms[256];
    size_t kept = 0;

    for (size_t i = 0; i < *len;) {
        size_t n = 0, from = i;
        enum enf_kernel_tier tier = list[i]->tier;
        for (; n < 256 && i < *len && list[i]->tier == tier; i++, n++)
            subscribers[n] = (struct enf_prefix){.addr = list[i]->key};
        int err = enf_kernel_singles_left(d->kernel, tier, subscribers, n, left_ms);
        if (err < 0)
            return err;
        for (size_t k = 0; k < n; k++) {
            if ((left_ms[k] > 0) == there)
                list[kept++] = list[from + k];
        }
    }
    *len = kept;
    return 0;
}

/* --- elements that nobody asked for --- */

/* Notifications name who put it there. Where they were lost, what lasts longer than the meter's is not its.
 */
static bool is_foreign(const struct enf_daemon *d, const struct item *item)
{
    const struct enf_notify_news *news = &d->truth.news;
    uint64_t now_ms = enf_clock_wall_ms();

    if (item->tier == ENF_KERNEL_TIER_FULL) /* no rule adds to these sets */
        return true;
    for (size_t i = 0; i < news->elements_added && i < ENF_NOTIFY_ADDED_MAX; i++) {
        if (news->added[i].tier == item->tier && enf_addr_equal(&news->added[i].addr, &item->key))
            return true;
    }
    if (!news->overrun && news->elements_added <= ENF_NOTIFY_ADDED_MAX)
        return false;
    return item->until_ms == ENF_FOREVER ||
           item->until_ms > now_ms + SLACK_MS + enf_running_first_quarantine_ms(d->running->config);
}

static int take_out(struct enf_daemon *d, const struct item *const *items, size_t len)
{
    struct enf_kernel_single singles[ENF_KERNEL_CHUNK];
    char who[64], address[ENF_PREFIX_STR_LEN];
    int err = 0;

    if (len == 0)
        return 0;
    enf_truth_tell(
        d, true,
        "%zu elements in the quarantine sets are nobody's quarantine (%s%s), put there by %s: taken "
        "out; use `enforcerctl quarantine`",
        len, enf_addr_str(&items[0]->key, address, sizeof address), len > 1 ? " and others" : "",
        enf_truth_who(d, who, sizeof who));
    for (size_t i = 0; err == 0 && i < len;) {
        size_t n = 0;
        for (; n < ENF_KERNEL_CHUNK && i < len; i++, n++)
            singles[n] = (struct enf_kernel_single){
                .subscriber = {.addr = items[i]->key}, .tier = items[i]->tier, .remove = true};
        err = enf_kernel_singles(d->kernel, singles, n);
    }
    if (err == 0)
        enf_truth_tell(d, false, "the quarantine sets hold quarantines only");
    return err;
}

static int deal_with_unknown(struct enf_daemon *d, enum enf_adopt adopting, struct difference *diff)
{
    uint64_t now_ms = enf_clock_wall_ms();
    size_t foreign = 0;
    int err = adopting == ENF_ADOPT_NONE ? 0 : confirm(d, diff->unknown, &diff->unknown_len, true);

    if (err < 0 || adopting == ENF_ADOPT_NONE)
        return err;
    for (size_t i = 0; i < diff->unknown_len; i++) {
        if (adopting == ENF_ADOPT_METER && is_foreign(d, diff->unknown[i]))
            diff->unknown[foreign++] = diff->unknown[i];
        else
            adopt(d, diff->unknown[i], now_ms);
    }
    return take_out(d, diff->unknown, foreign);
}

static int mend(struct enf_daemon *d, enum enf_adopt adopting, const struct items *desired,
                const struct items *kernel, uint64_t read_ms, size_t *missing)
{
    struct difference diff = {0};
    int err = difference_make(&diff, desired->len, kernel->len);

    if (err == 0) {
        find_difference(desired, kernel, read_ms, &diff);
        err = confirm(d, diff.missing, &diff.missing_len, false);
    }
    if (err == 0)
        err = put_items(d, diff.missing, diff.missing_len);
    if (err == 0)
        err = put_items(d, diff.other, diff.other_len);
    /* Last: adopting changes the table that the lists point to values of. */
    if (err == 0)
        err = deal_with_unknown(d, adopting, &diff);
    if (err == 0)
        *missing = diff.missing_len;
    difference_clear(&diff);
    return err;
}

static int compare_singles(struct enf_daemon *d, enum enf_adopt adopting, size_t *desired_len,
                           size_t *missing)
{
    struct items kernel = {0}, desired = {0};
    uint64_t read_ms = enf_clock_wall_ms();
    int err = read_singles(d, &kernel);

    /* What workers banned before the reading is in their reports: those first, else it looks unknown. */
    enf_reports_handle(d);
    if (err == 0)
        err = enf_quarantine_each(d->quarantine, collect_desired, &desired);
    if (err == 0) {
        sort(&kernel);
        sort(&desired);
        unite(&desired);
        err = mend(d, adopting, &desired, &kernel, read_ms, missing);
    }
    *desired_len = count_quarantines(&desired);
    free(kernel.items);
    free(desired.items);
    return err;
}

int enf_compare_at_once(struct enf_daemon *d, enum enf_adopt adopting)
{
    size_t missing = 0, desired = 0, nets = 0, wrong = 0;
    int err = compare_singles(d, adopting, &desired, &missing);

    if (err == 0)
        err = enf_nets_check(d, ENF_FAMILY_V4, &nets, &wrong);
    if (err == 0)
        err = enf_nets_check(d, ENF_FAMILY_V6, &nets, &wrong);
    if (err == 0)
        enf_coverage_set(d, desired + nets, missing + wrong);
    return err == 0 && missing + wrong > 0 ? 1 : err;
}

struct held {
    enum enf_kernel_tier tier;
    bool is;
};

static int note_held(void *ctx, const struct enf_quarantine *entry)
{
    struct held *held = ctx;

    held->is |= !entry->net && enf_tier_holds(held->tier, entry->level);
    return 0;
}

/* Strange elements that are known by name are dealt with now; all the rest by a walk in pieces. */
int enf_compare_large(struct enf_daemon *d, enum enf_adopt adopting, bool due)
{
    const struct enf_notify_news *news = &d->truth.news;
    size_t len = news->elements_added < ENF_NOTIFY_ADDED_MAX ? news->elements_added : ENF_NOTIFY_ADDED_MAX;
    struct items strange = {0};
    struct difference diff = {0};
    int err = difference_make(&diff, 0, len);

    enf_reports_handle(d);
    for (size_t i = 0; err == 0 && i < len; i++) {
        struct item item = {.tier = news->added[i].tier, .key = news->added[i].addr, .until_ms = ENF_FOREVER};
        struct enf_prefix host = enf_prefix_make(&item.key, (uint8_t)(enf_addr_len(&item.key) * 8));
        struct held held = {.tier = item.tier};
        enf_quarantine_covering(d->quarantine, &host, note_held, &held);
        if (!held.is)
            err = append(&strange, &item);
    }
    for (size_t i = 0; err == 0 && i < strange.len; i++)
        diff.unknown[diff.unknown_len++] = &strange.items[i];
    if (err == 0)
        err = deal_with_unknown(d, adopting, &diff);
    difference_clear(&diff);
    free(strange.items);
    enf_patrol_scan(d);
    if (err == 0 && (due || adopting == ENF_ADOPT_ALL || news->overrun || news->table_deleted ||
                     news->elements_removed > 0))
        enf_patrol_start(d, false);
    return err;
}
