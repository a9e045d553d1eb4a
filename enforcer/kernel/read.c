/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads sets as the kernel has them.
 *
 * A dump goes over several messages, and the kernel resumes it by counting elements. Where the set is changed
 * in between, some are left out and some come twice: tried, one dump of twelve lacked elements while another
 * process changed the set, and none was marked as interrupted. So the generation of the ruleset is compared
 * before and after, and what comes twice is given once. What packets add and what expires does not count as a
 * generation: who must be sure about one element asks for it alone. */
#include "enforcer/kernel/kernel_private.h"

#include "enforcer/core/array.h"
#include "enforcer/core/text.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READ_TRIES 5
#define RETRY_MS   1000 /* what takes longer will not find the table at rest the next time either */

static const char *const set_names[] = {
    [ENF_KERNEL_QUARANTINE4] = "quarantine4",
    [ENF_KERNEL_QUARANTINE6] = "quarantine6",
    [ENF_KERNEL_QUARANTINE_NETS4] = "quarantine_nets4",
    [ENF_KERNEL_QUARANTINE_NETS6] = "quarantine_nets6",
    [ENF_KERNEL_RELAYS4] = "relays4",
    [ENF_KERNEL_RELAYS6] = "relays6",
    [ENF_KERNEL_SERVED4] = "served4",
    [ENF_KERNEL_SERVED6] = "served6",
    [ENF_KERNEL_RELAY_USED4] = "relay_used4",
    [ENF_KERNEL_RELAY_USED6] = "relay_used6",
    [ENF_KERNEL_THROTTLE4] = "throttle4",
    [ENF_KERNEL_THROTTLE6] = "throttle6",
    [ENF_KERNEL_THROTTLE_NETS4] = "throttle_nets4",
    [ENF_KERNEL_THROTTLE_NETS6] = "throttle_nets6",
    [ENF_KERNEL_FULL4] = "full4",
    [ENF_KERNEL_FULL6] = "full6",
    [ENF_KERNEL_FULL_NETS4] = "full_nets4",
    [ENF_KERNEL_FULL_NETS6] = "full_nets6",
};
_Static_assert(sizeof set_names / sizeof *set_names == ENF_KERNEL_SET_COUNT, "a name is missing");

const char *enf_kernel_set_name(enum enf_kernel_set set)
{
    return set < ENF_KERNEL_SET_COUNT ? set_names[set] : NULL;
}

enum enf_kernel_set enf_kernel_tier_singles(enum enf_kernel_tier tier, enum enf_family family)
{
    static const enum enf_kernel_set sets[ENF_KERNEL_TIER_COUNT] = {
        [ENF_KERNEL_TIER_SMTP] = ENF_KERNEL_QUARANTINE4,
        [ENF_KERNEL_TIER_THROTTLE] = ENF_KERNEL_THROTTLE4,
        [ENF_KERNEL_TIER_FULL] = ENF_KERNEL_FULL4,
    };

    return sets[tier] + (family == ENF_FAMILY_V6);
}

enum enf_kernel_set enf_kernel_tier_nets(enum enf_kernel_tier tier, enum enf_family family)
{
    static const enum enf_kernel_set sets[ENF_KERNEL_TIER_COUNT] = {
        [ENF_KERNEL_TIER_SMTP] = ENF_KERNEL_QUARANTINE_NETS4,
        [ENF_KERNEL_TIER_THROTTLE] = ENF_KERNEL_THROTTLE_NETS4,
        [ENF_KERNEL_TIER_FULL] = ENF_KERNEL_FULL_NETS4,
    };

    return sets[tier] + (family == ENF_FAMILY_V6);
}

static bool is_intervals(enum enf_kernel_set set)
{
    for (unsigned tier = 0; tier < ENF_KERNEL_TIER_COUNT; tier++) {
        if (set == enf_kernel_tier_nets(tier, ENF_FAMILY_V4) ||
            set == enf_kernel_tier_nets(tier, ENF_FAMILY_V6))
            return true;
    }
    return set == ENF_KERNEL_RELAYS4 || set == ENF_KERNEL_RELAYS6;
}

/* An element of a hash set; or a boundary of an interval set: a first address, or one behind a last. */
struct element {
    struct enf_addr addr;
    bool end;
    uint64_t expires_ms;
};

/* All of a set: a dump is in the order of the kernel's own business. */
struct reading {
    enum enf_family family;
    uint64_t began_ms; /* monotonic */
    uint64_t age_ms;   /* of the message that is read, since then */
    struct element *items;
    size_t len;
    size_t size;
    int err;
};

static uint64_t monotonic_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void keep(struct reading *r, const struct element *element)
{
    struct element *items = enf_array_grow(r->items, r->len, &r->size, sizeof *items);

    if (!items) {
        r->err = -ENOMEM;
        return;
    }
    r->items = items;
    r->items[r->len++] = *element;
}

/* libnftnl answers 0 for what is not set, and NULL behind that where it is read as a number. */
static uint64_t expires_of(struct nftnl_set_elem *elem)
{
    if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_EXPIRATION))
        return nftnl_set_elem_get_u64(elem, NFTNL_SET_ELEM_EXPIRATION);
    if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_TIMEOUT))
        return nftnl_set_elem_get_u64(elem, NFTNL_SET_ELEM_TIMEOUT);
    return ENF_FOREVER;
}

static bool is_end(struct nftnl_set_elem *elem)
{
    return nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_FLAGS) &&
           nftnl_set_elem_get_u32(elem, NFTNL_SET_ELEM_FLAGS) & NFT_SET_ELEM_INTERVAL_END;
}

static int on_element(struct nftnl_set_elem *elem, void *data)
{
    struct reading *r = data;
    uint32_t key_len = 0;
    const void *key = nftnl_set_elem_get(elem, NFTNL_SET_ELEM_KEY, &key_len);

    if (!key || key_len != (r->family == ENF_FAMILY_V4 ? 4u : 16u))
        return 0;
    uint64_t expires_ms = expires_of(elem);
    keep(r, &(struct element){
                .addr = enf_addr_from_bytes(r->family, key),
                .end = is_end(elem),
                .expires_ms = expires_ms == ENF_FOREVER ? ENF_FOREVER : expires_ms + r->age_ms,
            });
    return 0;
}

/* Each element of a message. -1 with errno ENOMEM: what is missing would be taken for missing in the kernel.
 */
static int each(const struct nlmsghdr *h, struct nftnl_set *set, int (*fn)(struct nftnl_set_elem *, void *),
                void *data)
{
    errno = 0;
    if (nftnl_set_elems_nlmsg_parse(h, set) == 0)
        return nftnl_set_elem_foreach(set, fn, data);
    return errno == ENOMEM ? -1 : 0;
}

static int on_elements_message(const struct nlmsghdr *h, void *data)
{
    struct reading *r = data;
    struct nftnl_set *set = nftnl_set_alloc();

    r->age_ms = monotonic_ms() - r->began_ms;
    if (!set)
        r->err = -ENOMEM;
    if (set && each(h, set, on_element, r) < 0)
        r->err = -ENOMEM;
    if (set)
        nftnl_set_free(set);
    if (r->err == 0)
        return MNL_CB_OK;
    errno = -r->err;
    return MNL_CB_ERROR;
}

static void begin_anew(void *data)
{
    struct reading *r = data;

    r->len = 0;
}

static int dump(struct enf_kernel *kernel, enum enf_kernel_set set, struct reading *r)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP, 0);

    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set_names[set]);
    return enf_netlink_dump(&kernel->nl, h, on_elements_message, begin_anew, r);
}

/* One dump during which nothing changed. */
static int dump_whole(struct enf_kernel *kernel, enum enf_kernel_set set, struct reading *r)
{
    uint32_t before = 0, after = 0;

    for (int i = 0; i < READ_TRIES; i++) {
        begin_anew(r);
        int err = enf_netlink_generation(&kernel->nl, &before);
        if (err == 0)
            err = dump(kernel, set, r);
        if (err == 0)
            err = enf_netlink_generation(&kernel->nl, &after);
        if (err < 0 || before == after)
            return err;
        if (monotonic_ms() - r->began_ms > RETRY_MS)
            break;
    }
    return -EINTR;
}

/* Where one interval ends and the next begins at the same address, the end comes first; of what came twice,
 * what lasts longer. */
static int element_order(const void *a, const void *b)
{
    const struct element *x = a, *y = b;
    int order = enf_addr_cmp(&x->addr, &y->addr);

    if (order == 0)
        order = (int)y->end - (int)x->end;
    return order ? order : (x->expires_ms < y->expires_ms) - (x->expires_ms > y->expires_ms);
}

static void sort_unique(struct reading *r)
{
    size_t kept = 0;

    if (r->len > 1)
        qsort(r->items, r->len, sizeof *r->items, element_order);
    for (size_t i = 0; i < r->len; i++) {
        if (kept == 0 || r->items[i].end != r->items[kept - 1].end ||
            !enf_addr_equal(&r->items[i].addr, &r->items[kept - 1].addr))
            r->items[kept++] = r->items[i];
    }
    r->len = kept;
}

static int report(const struct reading *r, bool intervals, enf_kernel_element_fn fn, void *ctx)
{
    int stopped = 0;

    for (size_t i = 0; i < r->len && !stopped; i++) {
        const struct element *e = &r->items[i];
        struct enf_range range = {.first = e->addr, .last = e->addr};
        if (e->end)
            continue;
        if (intervals && i + 1 < r->len) {
            range.last = r->items[i + 1].addr;
            enf_addr_decrement(&range.last);
        } else if (intervals) { /* to the very end there is no mark behind */
            struct enf_prefix all = enf_prefix_make(&e->addr, 0);
            range.last = enf_prefix_range(&all).last;
        }
        stopped = fn(ctx, &range, e->expires_ms);
    }
    return stopped;
}

int enf_kernel_read_set(struct enf_kernel *kernel, enum enf_kernel_set set, enf_kernel_element_fn fn,
                        void *ctx)
{
    bool v4 = set_names[set][strlen(set_names[set]) - 1] == '4';
    bool intervals = is_intervals(set);
    struct reading r = {.family = v4 ? ENF_FAMILY_V4 : ENF_FAMILY_V6, .began_ms = monotonic_ms()};
    int err = dump_whole(kernel, set, &r);

    if (err == 0) {
        sort_unique(&r);
        err = report(&r, intervals, fn, ctx);
    }
    free(r.items);
    return err;
}

static int on_any(struct nftnl_set_elem *elem, void *data)
{
    (void)elem;
    *(bool *)data = true;
    return -1;
}

static int on_any_message(const struct nlmsghdr *h, void *data)
{
    struct nftnl_set *set = nftnl_set_alloc();

    if (!set) {
        errno = ENOMEM;
        return MNL_CB_ERROR;
    }
    if (nftnl_set_elems_nlmsg_parse(h, set) == 0)
        nftnl_set_elem_foreach(set, on_any, data);
    nftnl_set_free(set);
    return MNL_CB_OK;
}

/* A large dump is left after its beginning, and the socket with it. */
static int begins_with_any(enum enf_kernel_set set, void *room, bool *any)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP, 0);
    struct enf_netlink nl = {0};
    struct enf_dump dump;
    int err = enf_netlink_open(&nl), done = 0;

    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set_names[set]);
    if (err == 0)
        err = enf_dump_begin(&dump, &nl, h, on_any_message, any);
    while (err == 0 && done == 0 && !*any)
        done = enf_dump_step(&dump, &nl, room);
    if (err == 0 && done != 0)
        err = done < 0 ? done : dump.err;
    enf_netlink_close(&nl);
    return err;
}

int enf_kernel_singles_empty(bool *out)
{
    void *room = malloc(ENF_DUMP_ROOM);
    bool any = false;
    static const enum enf_family families[] = {ENF_FAMILY_V4, ENF_FAMILY_V6};
    int err = room ? 0 : -ENOMEM;

    for (unsigned i = 0; err == 0 && !any && i < 2 * ENF_KERNEL_TIER_COUNT; i++)
        err = begins_with_any(enf_kernel_tier_singles(i / 2, families[i % 2]), room, &any);
    free(room);
    if (err == 0)
        *out = !any;
    return err;
}

struct governed_reading {
    const char *const *names;
    size_t len;
    size_t known;
    size_t strange;
};

static int on_governed(struct nftnl_set_elem *elem, void *data)
{
    struct governed_reading *r = data;
    uint32_t key_len = 0;
    const char *key = nftnl_set_elem_get(elem, NFTNL_SET_ELEM_KEY, &key_len);
    bool known = false;

    for (size_t i = 0; key && i < r->len && !known; i++)
        known = strlen(r->names[i]) == strnlen(key, key_len) &&
                memcmp(r->names[i], key, strlen(r->names[i])) == 0;
    r->known += known;
    r->strange += !known;
    return 0;
}

static int on_governed_message(const struct nlmsghdr *h, void *data)
{
    struct nftnl_set *set = nftnl_set_alloc();

    if (!set) {
        errno = ENOMEM;
        return MNL_CB_ERROR;
    }
    int result = each(h, set, on_governed, data);
    nftnl_set_free(set);
    return result < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static void governed_anew(void *data)
{
    struct governed_reading *r = data;

    r->known = r->strange = 0;
}

int enf_kernel_governed_same(struct enf_kernel *kernel, const char *const *names, size_t len, bool *same)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP, 0);
    struct governed_reading r = {.names = names, .len = len};

    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, "governed_if");
    int err = enf_netlink_dump(&kernel->nl, h, on_governed_message, governed_anew, &r);
    if (err == 0)
        *same = r.known == len && r.strange == 0;
    return err;
}

/* --- one by one --------------------------------------------------------------------------------------------
 */

static int on_answered_element(struct nftnl_set_elem *elem, void *data)
{
    *(uint64_t *)data = expires_of(elem);
    return 0;
}

static int on_answer(const struct nlmsghdr *h, void *data)
{
    struct nftnl_set *set = nftnl_set_alloc();

    if (!set) {
        errno = ENOMEM;
        return MNL_CB_ERROR;
    }
    int result = each(h, set, on_answered_element, data);
    nftnl_set_free(set);
    return result < 0 ? MNL_CB_ERROR : MNL_CB_STOP;
}

/* get element inet enforcer NAME { ADDRESS } */
int enf_element_left(struct enf_kernel *kernel, const char *set_name, const struct enf_addr *key,
                     uint64_t *left_ms)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, 0, 0);

    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set_name);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    struct nlattr *value = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
    mnl_attr_put(h, NFTA_DATA_VALUE, enf_addr_len(key), key->bytes);
    mnl_attr_nest_end(h, value);
    mnl_attr_nest_end(h, elem);
    mnl_attr_nest_end(h, list);
    *left_ms = 0;
    return enf_netlink_dump(&kernel->nl, h, on_answer, NULL, left_ms);
}

int enf_kernel_singles_left(struct enf_kernel *kernel, enum enf_kernel_tier tier,
                            const struct enf_prefix *subscribers, size_t len, uint64_t *left_ms)
{
    bool present = false; /* the table: asked once, when an element is missing */

    for (size_t i = 0; i < len; i++) {
        enum enf_kernel_set set = enf_kernel_tier_singles(tier, subscribers[i].addr.family);
        int err = enf_element_left(kernel, set_names[set], &subscribers[i].addr, &left_ms[i]);
        if (err == -ENOENT && !present) {
            err = enf_kernel_table_present(kernel);
            present = err == 0;
        } else if (err == -ENOENT) {
            err = 0;
        }
        if (err < 0)
            return err;
    }
    return 0;
}
