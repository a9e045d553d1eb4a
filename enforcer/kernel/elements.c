/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Set elements by libnftnl: what changes while the daemon runs. */
#include "enforcer/kernel/kernel_private.h"

#include "enforcer/core/text.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENT_ROOM     256 /* bytes of one element in a message, more than enough */
#define MESSAGE_ELEMENTS 100 /* an element list is one attribute: 64 KiB at most */

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

/* A list of elements of one set, sent as one or more messages. */
struct elements {
    struct enf_batch *batch;
    uint16_t type; /* NFT_MSG_NEWSETELEM or NFT_MSG_DELSETELEM */
    const char *set_name;
    struct nftnl_set *set;
    size_t len;
};

static void elements_begin(struct elements *e, struct enf_batch *batch, uint16_t type, const char *set_name)
{
    *e = (struct elements){.batch = batch, .type = type, .set_name = set_name};
}

static void elements_flush(struct elements *e)
{
    if (e->set && e->batch->err == 0) {
        uint16_t flags = e->type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0;
        struct nlmsghdr *h =
            enf_batch_message(e->batch, e->type, NFPROTO_INET, flags, ELEMENT_ROOM * (e->len + 1));
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

static void elements_add(struct elements *e, const void *key, uint32_t key_len, uint64_t timeout_ms,
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
    if (timeout_ms > 0 && timeout_ms != ENF_FOREVER && e->type == NFT_MSG_NEWSETELEM)
        nftnl_set_elem_set_u64(elem, NFTNL_SET_ELEM_TIMEOUT, timeout_ms);
    if (flags)
        nftnl_set_elem_set_u32(elem, NFTNL_SET_ELEM_FLAGS, flags);
    nftnl_set_elem_add(e->set, elem);
    if (++e->len == MESSAGE_ELEMENTS)
        elements_flush(e);
}

/* Passes singles of one family to one message type: a list of NEW, then of DEL, then of NEW makes the end
 * right whether or not the element was there, with no moment without it (tried on 6.1, 6.12, 6.18). */
static void add_singles(struct enf_batch *batch, enum enf_family family, uint16_t type,
                        const struct enf_kernel_single *singles, size_t len, bool only_kept)
{
    struct elements e;

    elements_begin(&e, batch, type, family == ENF_FAMILY_V4 ? "quarantine4" : "quarantine6");
    for (size_t i = 0; i < len; i++) {
        const struct enf_addr *addr = &singles[i].subscriber.addr;
        if (addr->family == family && !(only_kept && singles[i].remove))
            elements_add(&e, addr->bytes, enf_addr_len(addr), singles[i].timeout_ms, 0);
    }
    elements_flush(&e);
}

int enf_kernel_singles(struct enf_kernel *kernel, const struct enf_kernel_single *singles, size_t len)
{
    static const enum enf_family families[] = {ENF_FAMILY_V4, ENF_FAMILY_V6};
    struct enf_batch batch;

    if (len == 0)
        return 0;
    enf_batch_begin(&batch, &kernel->nl);
    for (size_t i = 0; i < 2; i++) {
        add_singles(&batch, families[i], NFT_MSG_NEWSETELEM, singles, len, false);
        add_singles(&batch, families[i], NFT_MSG_DELSETELEM, singles, len, false);
        add_singles(&batch, families[i], NFT_MSG_NEWSETELEM, singles, len, true);
    }
    return enf_batch_commit(&batch);
}

static void flush_set(struct enf_batch *batch, const char *name)
{
    struct nlmsghdr *h = enf_batch_message(batch, NFT_MSG_DELSETELEM, NFPROTO_INET, 0, ELEMENT_ROOM);

    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, name);
    enf_batch_message_end(batch);
}

/* An interval is two elements: its first address, and an end mark behind its last one (none at the very end).
 */
static int replace_nets(struct enf_kernel *kernel, const char *name, const struct enf_kernel_net *nets,
                        size_t len, bool timeouts)
{
    struct enf_batch batch;
    struct elements e;

    enf_batch_begin(&batch, &kernel->nl);
    flush_set(&batch, name);
    elements_begin(&e, &batch, NFT_MSG_NEWSETELEM, name);
    for (size_t i = 0; i < len; i++) {
        struct enf_addr behind = nets[i].range.last;
        uint64_t timeout_ms = timeouts ? nets[i].timeout_ms : ENF_FOREVER;
        uint32_t key_len = enf_addr_len(&behind);
        /* Never half an interval in a message: an end mark without its start would be another interval. */
        if (e.len + 2 > MESSAGE_ELEMENTS)
            elements_flush(&e);
        elements_add(&e, nets[i].range.first.bytes, key_len, timeout_ms, 0);
        if (enf_addr_increment(&behind))
            elements_add(&e, behind.bytes, key_len, ENF_FOREVER, NFT_SET_ELEM_INTERVAL_END);
    }
    elements_flush(&e);
    return enf_batch_commit(&batch);
}

int enf_kernel_nets_replace(struct enf_kernel *kernel, enum enf_family family,
                            const struct enf_kernel_net *nets, size_t len)
{
    return replace_nets(kernel, family == ENF_FAMILY_V4 ? "quarantine_nets4" : "quarantine_nets6", nets, len,
                        true);
}

int enf_kernel_relays_replace(struct enf_kernel *kernel, enum enf_family family,
                              const struct enf_kernel_net *nets, size_t len)
{
    return replace_nets(kernel, family == ENF_FAMILY_V4 ? "relays4" : "relays6", nets, len, false);
}

int enf_kernel_governed_replace(struct enf_kernel *kernel, const char *const *names, size_t len)
{
    struct enf_batch batch;
    struct elements e;

    enf_batch_begin(&batch, &kernel->nl);
    flush_set(&batch, "governed_if");
    elements_begin(&e, &batch, NFT_MSG_NEWSETELEM, "governed_if");
    for (size_t i = 0; i < len; i++) {
        char key[16] = {0};
        memcpy(key, names[i], strnlen(names[i], sizeof key - 1));
        elements_add(&e, key, sizeof key, ENF_FOREVER, 0);
    }
    elements_flush(&e);
    return enf_batch_commit(&batch);
}

int enf_kernel_meters_flush(struct enf_kernel *kernel)
{
    static const char *const names[] = {"meter4", "meter6", "cap4", "cap6"};
    struct enf_batch batch;

    enf_batch_begin(&batch, &kernel->nl);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        flush_set(&batch, names[i]);
    return enf_batch_commit(&batch);
}

int enf_kernel_meter_reset(struct enf_kernel *kernel, const struct enf_prefix *subscriber)
{
    struct enf_batch batch;
    struct elements e;
    bool v4 = subscriber->addr.family == ENF_FAMILY_V4;

    enf_batch_begin(&batch, &kernel->nl);
    elements_begin(&e, &batch, NFT_MSG_DELSETELEM, v4 ? "meter4" : "meter6");
    elements_add(&e, subscriber->addr.bytes, enf_addr_len(&subscriber->addr), 0, 0);
    elements_flush(&e);
    int err = enf_batch_commit(&batch);
    return err == -ENOENT ? 0 : err;
}

/* --- reading --- */

static const char *const set_names[] = {
    [ENF_KERNEL_QUARANTINE4] = "quarantine4",
    [ENF_KERNEL_QUARANTINE6] = "quarantine6",
    [ENF_KERNEL_QUARANTINE_NETS4] = "quarantine_nets4",
    [ENF_KERNEL_QUARANTINE_NETS6] = "quarantine_nets6",
    [ENF_KERNEL_RELAYS4] = "relays4",
    [ENF_KERNEL_RELAYS6] = "relays6",
};
_Static_assert(sizeof set_names / sizeof *set_names == ENF_KERNEL_SET_COUNT, "a name is missing");

const char *enf_kernel_set_name(enum enf_kernel_set set)
{
    return set < ENF_KERNEL_SET_COUNT ? set_names[set] : NULL;
}

/* One boundary of an interval set: a first address, or one behind a last. */
struct boundary {
    struct enf_addr addr;
    bool end;
    uint64_t expires_ms;
};

struct reading {
    enum enf_family family;
    bool intervals;
    enf_kernel_element_fn fn;
    void (*restart)(void *ctx);
    void *ctx;
    int stopped;
    /* Intervals are put together when all was read: the order of a dump is the kernel's own business. */
    struct boundary *boundaries;
    size_t len;
    size_t size;
};

static int keep_boundary(struct reading *r, const struct enf_addr *addr, bool is_end, uint64_t expires_ms)
{
    if (r->len == r->size) {
        size_t size = r->size ? r->size * 2 : 64;
        struct boundary *grown = realloc(r->boundaries, size * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        r->boundaries = grown;
        r->size = size;
    }
    r->boundaries[r->len++] = (struct boundary){*addr, is_end, expires_ms};
    return 0;
}

static int on_element(struct nftnl_set_elem *elem, void *data)
{
    struct reading *r = data;
    uint32_t key_len = 0;
    const void *key = nftnl_set_elem_get(elem, NFTNL_SET_ELEM_KEY, &key_len);
    /* libnftnl reads through a NULL pointer for an attribute that is not there. */
    bool has_flags = nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_FLAGS);
    uint32_t flags = has_flags ? nftnl_set_elem_get_u32(elem, NFTNL_SET_ELEM_FLAGS) : 0;
    uint64_t expires_ms = ENF_FOREVER;

    if (r->stopped || !key || key_len != (r->family == ENF_FAMILY_V4 ? 4u : 16u))
        return 0;
    struct enf_addr addr = enf_addr_from_bytes(r->family, key);
    if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_EXPIRATION))
        expires_ms = nftnl_set_elem_get_u64(elem, NFTNL_SET_ELEM_EXPIRATION);
    else if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_TIMEOUT))
        expires_ms = nftnl_set_elem_get_u64(elem, NFTNL_SET_ELEM_TIMEOUT);
    if (r->intervals) {
        r->stopped = keep_boundary(r, &addr, flags & NFT_SET_ELEM_INTERVAL_END, expires_ms);
        return 0;
    }
    struct enf_range range = {.first = addr, .last = addr};
    r->stopped = r->fn(r->ctx, &range, expires_ms);
    return 0;
}

static int on_elements_message(const struct nlmsghdr *h, void *data)
{
    struct nftnl_set *set = nftnl_set_alloc();

    if (!set)
        return MNL_CB_ERROR;
    if (nftnl_set_elems_nlmsg_parse(h, set) == 0)
        nftnl_set_elem_foreach(set, on_element, data);
    nftnl_set_free(set);
    return MNL_CB_OK;
}

static void restart_reading(void *data)
{
    struct reading *r = data;

    r->len = 0;
    if (r->restart)
        r->restart(r->ctx);
}

/* Where one interval ends and the next begins at the same address, the end comes first. */
static int boundary_order(const void *a, const void *b)
{
    const struct boundary *x = a, *y = b;
    int order = enf_addr_cmp(&x->addr, &y->addr);

    return order ? order : (int)y->end - (int)x->end;
}

static int report_intervals(struct reading *r)
{
    int stopped = 0;

    if (r->len > 1)
        qsort(r->boundaries, r->len, sizeof *r->boundaries, boundary_order);
    for (size_t i = 0; i < r->len && !stopped; i++) {
        if (r->boundaries[i].end)
            continue;
        struct enf_prefix all = enf_prefix_make(&r->boundaries[i].addr, 0);
        struct enf_range range = {.first = r->boundaries[i].addr, .last = enf_prefix_range(&all).last};
        if (i + 1 < r->len) {
            range.last = r->boundaries[i + 1].addr;
            enf_addr_decrement(&range.last);
        }
        stopped = r->fn(r->ctx, &range, r->boundaries[i].expires_ms);
    }
    return stopped;
}

int enf_kernel_read_set(struct enf_kernel *kernel, enum enf_kernel_set set, enf_kernel_element_fn fn,
                        void (*restart)(void *ctx), void *ctx)
{
    char buf[512];
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP, 0);
    bool v4 =
        set == ENF_KERNEL_QUARANTINE4 || set == ENF_KERNEL_QUARANTINE_NETS4 || set == ENF_KERNEL_RELAYS4;
    struct reading r = {
        .family = v4 ? ENF_FAMILY_V4 : ENF_FAMILY_V6,
        .intervals = set != ENF_KERNEL_QUARANTINE4 && set != ENF_KERNEL_QUARANTINE6,
        .fn = fn,
        .restart = restart,
        .ctx = ctx,
    };

    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set_names[set]);
    int err = enf_netlink_dump(&kernel->nl, h, on_elements_message, restart_reading, &r);
    if (err == 0)
        err = r.stopped ? r.stopped : report_intervals(&r);
    free(r.boundaries);
    return err;
}
