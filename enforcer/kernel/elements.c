/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Set elements by libnftnl: what changes while the daemon runs. */
#include "enforcer/kernel/kernel_private.h"

#include "enforcer/core/text.h"
#include "enforcer/kernel/names.h"
#include "enforcer/kernel/ruleset.h"

#include <endian.h>
#include <errno.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#define ENF_ELEMENT_ROOM     256  /* bytes of one element in a message, more than enough */
#define ENF_MESSAGE_ELEMENTS 100  /* an element list is one attribute: 64 KiB at most */
#define FILL_ROOM            48   /* bytes of a bare element: 28 of IPv4, 40 of IPv6 */
#define FILL_ELEMENTS        1000 /* of them in a message: 64 KiB are 1638 */
#define METER_TRIES          3
#define TIMEOUT_MAX          (UINT64_MAX / 1000000 - 1) /* ms */

int enf_kernel_open(struct enf_kernel **out)
{
    struct enf_kernel *kernel = calloc(1, sizeof *kernel);

    if (!kernel)
        return -ENOMEM;
    int err = enf_netlink_open(&kernel->nl);
    if (err < 0) {
        free(kernel);
        return err;
    }
    *out = kernel;
    return 0;
}

void enf_kernel_close(struct enf_kernel **kernel)
{
    if (!*kernel)
        return;
    enf_netlink_close(&(*kernel)->nl);
    free(*kernel);
    *kernel = NULL;
}

uint32_t enf_kernel_port(const struct enf_kernel *kernel)
{
    return kernel->nl.portid;
}

int enf_kernel_table_present(struct enf_kernel *kernel)
{
    int err = enf_names_table_exists(&kernel->nl);

    return err == 0 ? -ENOENT : err < 0 ? err : 0;
}

void enf_elements_begin(struct enf_elements *e, struct enf_batch *batch, uint16_t type, const char *set_name)
{
    *e = (struct enf_elements){.batch = batch, .type = type, .set_name = set_name};
}

void enf_elements_flush(struct enf_elements *e)
{
    if (e->set && e->batch->err == 0) {
        uint16_t flags = e->type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0;
        struct nlmsghdr *h =
            enf_batch_message(e->batch, e->type, NFPROTO_INET, flags, ENF_ELEMENT_ROOM * (e->len + 1));
        if (h) {
            nftnl_set_elems_nlmsg_build_payload(h, e->set);
            enf_batch_message_end(e->batch);
        }
    }
    if (e->set)
        nftnl_set_free(e->set);
    e->set = NULL;
    e->len = 0;
}

/* To the kernel no time is for ever, and it refuses what does not fit 64 bits of nanoseconds. */
static uint64_t kernel_timeout(uint64_t timeout_ms)
{
    return timeout_ms == 0 ? 1 : timeout_ms > TIMEOUT_MAX ? TIMEOUT_MAX : timeout_ms;
}

void enf_elements_add(struct enf_elements *e, const void *key, uint32_t key_len, uint64_t timeout_ms,
                      uint32_t flags)
{
    if (!e->set) {
        e->set = nftnl_set_alloc();
        if (e->set) {
            nftnl_set_set_str(e->set, NFTNL_SET_TABLE, ENF_TABLE);
            nftnl_set_set_str(e->set, NFTNL_SET_NAME, e->set_name);
        }
    }
    struct nftnl_set_elem *elem = e->set ? nftnl_set_elem_alloc() : NULL;
    if (!elem) {
        e->batch->err = e->batch->err ? e->batch->err : -ENOMEM;
        return;
    }
    nftnl_set_elem_set(elem, NFTNL_SET_ELEM_KEY, key, key_len);
    if (timeout_ms != ENF_FOREVER && e->type == NFT_MSG_NEWSETELEM)
        nftnl_set_elem_set_u64(elem, NFTNL_SET_ELEM_TIMEOUT, kernel_timeout(timeout_ms));
    if (flags)
        nftnl_set_elem_set_u32(elem, NFTNL_SET_ELEM_FLAGS, flags);
    nftnl_set_elem_add(e->set, elem);
    if (++e->len == ENF_MESSAGE_ELEMENTS)
        enf_elements_flush(e);
}

/* By tier and subscriber; of one subscriber the last of the list first. */
static int single_order(const void *a, const void *b)
{
    const struct enf_kernel_single *x = *(const struct enf_kernel_single *const *)a;
    const struct enf_kernel_single *y = *(const struct enf_kernel_single *const *)b;
    int order = (x->tier > y->tier) - (x->tier < y->tier);

    if (order == 0)
        order = enf_addr_cmp(&x->subscriber.addr, &y->subscriber.addr);
    return order ? order : (x < y) - (x > y);
}

static bool same_element(const struct enf_kernel_single *a, const struct enf_kernel_single *b)
{
    return a->tier == b->tier && enf_addr_equal(&a->subscriber.addr, &b->subscriber.addr);
}

static const char *singles_name(enum enf_kernel_tier tier, enum enf_family family)
{
    return enf_kernel_set_name(enf_kernel_tier_singles(tier, family));
}

/* Each subscriber once in a tier, with the last word about it: to remove one twice is an error to the kernel.
 * Returns how many; all has room for len. */
static size_t last_words(const struct enf_kernel_single *singles, size_t len,
                         const struct enf_kernel_single **all)
{
    size_t kept = 0;

    for (size_t i = 0; i < len; i++)
        all[i] = &singles[i];
    qsort(all, len, sizeof(const struct enf_kernel_single *), single_order);
    for (size_t i = 0; i < len; i++) {
        if (kept == 0 || !same_element(all[i], all[kept - 1]))
            all[kept++] = all[i];
    }
    return kept;
}

/* Passes singles of one set to one message type: a list of NEW, then of DEL, then of NEW makes the end
 * right whether or not the element was there, with no moment without it (tried on 6.1, 6.12, 6.18). */
static void add_singles(struct enf_batch *batch, enum enf_kernel_tier tier, enum enf_family family,
                        uint16_t type, const struct enf_kernel_single *const *singles, size_t len,
                        bool only_kept)
{
    struct enf_elements e;

    enf_elements_begin(&e, batch, type, singles_name(tier, family));
    for (size_t i = 0; i < len; i++) {
        const struct enf_addr *addr = &singles[i]->subscriber.addr;
        if (singles[i]->tier == tier && addr->family == family && !(only_kept && singles[i]->remove))
            enf_elements_add(&e, addr->bytes, enf_addr_len(addr), singles[i]->timeout_ms, 0);
    }
    enf_elements_flush(&e);
}

int enf_kernel_singles(struct enf_kernel *kernel, const struct enf_kernel_single *singles, size_t len)
{
    static const enum enf_family families[] = {ENF_FAMILY_V4, ENF_FAMILY_V6};
    struct enf_batch batch;

    if (len == 0)
        return 0;
    const struct enf_kernel_single **all = calloc(len, sizeof(const struct enf_kernel_single *));
    if (!all)
        return -ENOMEM;
    len = last_words(singles, len, all);
    enf_batch_begin(&batch, &kernel->nl);
    for (unsigned i = 0; i < 2 * ENF_KERNEL_TIER_COUNT; i++) {
        enum enf_kernel_tier tier = i / 2;
        add_singles(&batch, tier, families[i % 2], NFT_MSG_NEWSETELEM, all, len, false);
        add_singles(&batch, tier, families[i % 2], NFT_MSG_DELSETELEM, all, len, false);
        add_singles(&batch, tier, families[i % 2], NFT_MSG_NEWSETELEM, all, len, true);
    }
    free(all);
    return enf_batch_commit(&batch);
}

/* Attributes by hand: libnftnl's object for each element takes longer than the kernel. The layout is what
 * nf_tables reads (linux/netfilter/nf_tables.h, NFTA_SET_ELEM_LIST_ELEMENTS): a list of nests, each with a
 * key, which is a nest with a value, and a timeout of 64 bits in network order. */
static void put_single(struct nlmsghdr *h, const struct enf_kernel_single *single)
{
    const struct enf_addr *addr = &single->subscriber.addr;
    struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    struct nlattr *key = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);

    mnl_attr_put(h, NFTA_DATA_VALUE, enf_addr_len(addr), addr->bytes);
    mnl_attr_nest_end(h, key);
    if (single->timeout_ms != ENF_FOREVER)
        mnl_attr_put_u64(h, NFTA_SET_ELEM_TIMEOUT, htobe64(kernel_timeout(single->timeout_ms)));
    mnl_attr_nest_end(h, elem);
}

/* From *at on, those of one set that follow each other. */
static void fill_set(struct enf_batch *batch, const struct enf_kernel_single *singles, size_t len, size_t *at)
{
    enum enf_kernel_tier tier = singles[*at].tier;
    uint8_t family = singles[*at].subscriber.addr.family;
    struct nlmsghdr *h = enf_batch_message(batch, NFT_MSG_NEWSETELEM, NFPROTO_INET, NLM_F_CREATE,
                                           FILL_ROOM * (FILL_ELEMENTS + 2));

    if (!h) {
        *at = len;
        return;
    }
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, singles_name(tier, family));
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (size_t n = 0; n < FILL_ELEMENTS && *at < len && singles[*at].tier == tier &&
                       singles[*at].subscriber.addr.family == family;
         n++)
        put_single(h, &singles[(*at)++]);
    mnl_attr_nest_end(h, list);
    enf_batch_message_end(batch);
}

int enf_kernel_singles_fill(struct enf_kernel *kernel, const struct enf_kernel_single *singles, size_t len)
{
    struct enf_batch batch;
    size_t at = 0;

    if (len == 0)
        return 0;
    enf_batch_begin(&batch, &kernel->nl);
    while (at < len)
        fill_set(&batch, singles, len, &at);
    return enf_batch_commit(&batch);
}

void enf_elements_flush_set(struct enf_batch *batch, const char *name)
{
    struct nlmsghdr *h = enf_batch_message(batch, NFT_MSG_DELSETELEM, NFPROTO_INET, 0, ENF_ELEMENT_ROOM);

    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, name);
    enf_batch_message_end(batch);
}

int enf_kernel_governed_replace(struct enf_kernel *kernel, const char *const *names, size_t len)
{
    struct enf_batch batch;
    struct enf_elements e;

    enf_batch_begin(&batch, &kernel->nl);
    enf_elements_flush_set(&batch, "governed_if");
    enf_elements_begin(&e, &batch, NFT_MSG_NEWSETELEM, "governed_if");
    for (size_t i = 0; i < len; i++) {
        char key[16] = {0};
        memcpy(key, names[i], strnlen(names[i], sizeof key - 1));
        enf_elements_add(&e, key, sizeof key, ENF_FOREVER, 0);
    }
    enf_elements_flush(&e);
    return enf_batch_commit(&batch);
}

int enf_kernel_meters_flush(struct enf_kernel *kernel)
{
    static const char *const names[] = {"meter4", "meter6",         "cap4",
                                        "cap6",   "throttle_rate4", "throttle_rate6"};
    struct enf_batch batch;

    enf_batch_begin(&batch, &kernel->nl);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        enf_elements_flush_set(&batch, names[i]);
    return enf_batch_commit(&batch);
}

static const char *meter_name(enum enf_family family)
{
    return family == ENF_FAMILY_V4 ? "meter4" : "meter6";
}

static int addr_order(const void *a, const void *b)
{
    return enf_addr_cmp(*(const struct enf_addr *const *)a, *(const struct enf_addr *const *)b);
}

/* Those that have an element, each once, to there. How many, or -errno. */
static ssize_t metered(struct enf_kernel *kernel, const struct enf_prefix *subscribers, size_t len,
                       const struct enf_addr **there)
{
    size_t count = 0, kept = 0;

    for (size_t i = 0; i < len; i++) {
        const struct enf_addr *addr = &subscribers[i].addr;
        uint64_t left_ms = 0;
        int err = enf_element_left(kernel, meter_name(addr->family), addr, &left_ms);
        if (err < 0 && err != -ENOENT)
            return err;
        if (err == 0)
            there[count++] = addr;
    }
    if (count > 1)
        qsort(there, count, sizeof(const struct enf_addr *), addr_order);
    for (size_t i = 0; i < count; i++) { /* to remove one twice is an error to the kernel */
        if (kept == 0 || !enf_addr_equal(there[kept - 1], there[i]))
            there[kept++] = there[i];
    }
    return (ssize_t)kept;
}

static int remove_metered(struct enf_kernel *kernel, const struct enf_addr *const *there, size_t len)
{
    static const enum enf_family families[] = {ENF_FAMILY_V4, ENF_FAMILY_V6};
    struct enf_batch batch;
    struct enf_elements e;

    enf_batch_begin(&batch, &kernel->nl);
    for (unsigned f = 0; f < 2; f++) {
        enf_elements_begin(&e, &batch, NFT_MSG_DELSETELEM, meter_name(families[f]));
        for (size_t i = 0; i < len; i++) {
            if (there[i]->family == families[f])
                enf_elements_add(&e, there[i]->bytes, enf_addr_len(there[i]), 0, 0);
        }
        enf_elements_flush(&e);
    }
    return enf_batch_commit(&batch);
}

int enf_kernel_meters_reset(struct enf_kernel *kernel, const struct enf_prefix *subscribers, size_t len)
{
    const struct enf_addr **there = calloc(len ? len : 1, sizeof(const struct enf_addr *));
    int err = there ? -ENOENT : -ENOMEM;

    /* One that ends between question and answer lets the transaction fail. */
    for (int i = 0; err == -ENOENT && i < METER_TRIES; i++) {
        ssize_t count = metered(kernel, subscribers, len, there);
        if (count == 0)
            err = enf_kernel_table_present(kernel);
        else
            err = count < 0 ? (int)count : remove_metered(kernel, there, (size_t)count);
        if (count == 0)
            break;
    }
    free(there);
    return err;
}
