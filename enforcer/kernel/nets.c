/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets of intervals: prefixes in quarantine, relays. */
#include "enforcer/kernel/kernel_private.h"

#include "enforcer/core/text.h"

#include <libnftnl/set.h>
#include <linux/netfilter/nf_tables.h>

/* An interval is two elements: its first address, and an end mark behind its last one (none at the very end).
 */
static void put_nets(struct enf_batch *batch, uint16_t type, const char *name,
                     const struct enf_kernel_net *nets, size_t len, bool timeouts)
{
    struct enf_elements e;

    enf_elements_begin(&e, batch, type, name);
    for (size_t i = 0; i < len; i++) {
        struct enf_addr behind = nets[i].range.last;
        uint64_t timeout_ms = timeouts ? nets[i].timeout_ms : ENF_FOREVER;
        uint32_t key_len = enf_addr_len(&behind);
        /* Never half an interval in a message: an end mark without its start would be another interval. */
        if (e.len + 2 > ENF_MESSAGE_ELEMENTS)
            enf_elements_flush(&e);
        enf_elements_add(&e, nets[i].range.first.bytes, key_len, timeout_ms, 0);
        if (enf_addr_increment(&behind))
            enf_elements_add(&e, behind.bytes, key_len, ENF_FOREVER, NFT_SET_ELEM_INTERVAL_END);
    }
    enf_elements_flush(&e);
}

static int replace_nets(struct enf_kernel *kernel, const char *name, const struct enf_kernel_net *nets,
                        size_t len, bool timeouts)
{
    struct enf_batch batch;

    enf_batch_begin(&batch, &kernel->nl);
    enf_elements_flush_set(&batch, name);
    put_nets(&batch, NFT_MSG_NEWSETELEM, name, nets, len, timeouts);
    return enf_batch_commit(&batch);
}

/* One set a tier, in one transaction. nets NULL: empties them. */
static int replace_tiers(struct enf_kernel *kernel, const char *const names[ENF_KERNEL_TIER_COUNT],
                         const struct enf_kernel_nets *nets)
{
    struct enf_batch batch;

    enf_batch_begin(&batch, &kernel->nl);
    for (size_t i = 0; i < ENF_KERNEL_TIER_COUNT; i++) {
        enf_elements_flush_set(&batch, names[i]);
        if (nets)
            put_nets(&batch, NFT_MSG_NEWSETELEM, names[i], nets[i].items, nets[i].len, true);
    }
    return enf_batch_commit(&batch);
}

/* Of one family: the sets that hold the prefixes, and those that hold what is moved. */
struct net_sets {
    const char *first[ENF_KERNEL_TIER_COUNT];
    const char *const *second;
};

static struct net_sets sets_of(enum enf_family family)
{
    static const char *const moving[2][ENF_KERNEL_TIER_COUNT] = {
        {"quarantine_moving4", "throttle_moving4", "full_moving4"},
        {"quarantine_moving6", "throttle_moving6", "full_moving6"}};
    struct net_sets sets = {.second = moving[family == ENF_FAMILY_V6]};

    for (unsigned i = 0; i < ENF_KERNEL_TIER_COUNT; i++)
        sets.first[i] = enf_kernel_set_name(enf_kernel_tier_nets(i, family));
    return sets;
}

/* In three transactions, because kernels 6.1 and 6.12 miss elements of an interval set while it is filled
 * anew (docs/decisions/0017): what shall be in force goes into second sets that the rules ask as well, then
 * into the first, then out of the second. An address that stays, be it in another tier, is at each moment in
 * one that rests. */
int enf_kernel_nets_replace(struct enf_kernel *kernel, enum enf_family family,
                            const struct enf_kernel_nets nets[ENF_KERNEL_TIER_COUNT])
{
    struct net_sets sets = sets_of(family);
    int err = replace_tiers(kernel, sets.second, nets);

    if (err < 0)
        return err;
    err = replace_tiers(kernel, sets.first, nets);
    int tidied = replace_tiers(kernel, sets.second, NULL);
    return err < 0 ? err : tidied;
}

/* Old ranges out and new ones in, one transaction for all tiers. */
static int change_tiers(struct enf_kernel *kernel, const struct net_sets *sets,
                        const struct enf_kernel_nets *removed, const struct enf_kernel_nets *added)
{
    struct enf_batch batch;

    enf_batch_begin(&batch, &kernel->nl);
    for (size_t i = 0; i < ENF_KERNEL_TIER_COUNT; i++)
        put_nets(&batch, NFT_MSG_DELSETELEM, sets->first[i], removed[i].items, removed[i].len, false);
    for (size_t i = 0; i < ENF_KERNEL_TIER_COUNT; i++)
        put_nets(&batch, NFT_MSG_NEWSETELEM, sets->first[i], added[i].items, added[i].len, true);
    return enf_batch_commit(&batch);
}

/* The same three steps with what differs. A range that stays has no changed element between its two, so it is
 * found all the while. */
int enf_kernel_nets_change(struct enf_kernel *kernel, enum enf_family family,
                           const struct enf_kernel_nets removed[ENF_KERNEL_TIER_COUNT],
                           const struct enf_kernel_nets added[ENF_KERNEL_TIER_COUNT])
{
    struct net_sets sets = sets_of(family);
    int err = replace_tiers(kernel, sets.second, added);

    if (err < 0)
        return err;
    err = change_tiers(kernel, &sets, removed, added);
    int tidied = replace_tiers(kernel, sets.second, NULL);
    return err < 0 ? err : tidied;
}

int enf_kernel_relays_replace(struct enf_kernel *kernel, enum enf_family family,
                              const struct enf_kernel_net *nets, size_t len)
{
    return replace_nets(kernel, family == ENF_FAMILY_V4 ? "relays4" : "relays6", nets, len, false);
}
