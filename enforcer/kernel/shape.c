/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the shape of the table: sets first, because rules name them, and anonymous ones have names that say
 * nothing. */
#include "enforcer/kernel/shape_private.h"

#include "enforcer/core/array.h"
#include "enforcer/kernel/kernel_private.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void enf_shape_free(struct enf_shape **shape)
{
    if (!*shape)
        return;
    for (size_t i = 0; i < (*shape)->len; i++) {
        free((*shape)->items[i].name);
        free((*shape)->items[i].rules);
    }
    free((*shape)->items);
    free(*shape);
    *shape = NULL;
}

struct enf_shape_item *enf_shape_find(const struct enf_shape *shape, enum enf_canon_kind kind,
                                      const char *name)
{
    for (size_t i = 0; i < shape->len; i++) {
        if (shape->items[i].kind == kind && strcmp(shape->items[i].name, name) == 0)
            return &shape->items[i];
    }
    return NULL;
}

static struct enf_shape_item *add_item(struct enf_shape *shape, enum enf_canon_kind kind, const char *name)
{
    struct enf_shape_item *items = enf_array_grow(shape->items, shape->len, &shape->size, sizeof *items);

    if (!items)
        return NULL;
    shape->items = items;
    char *copy = strdup(name);
    if (!copy)
        return NULL;
    shape->items[shape->len] = (struct enf_shape_item){.kind = kind, .name = copy};
    return &shape->items[shape->len++];
}

static int add_rule(struct enf_shape_item *chain, struct enf_print print)
{
    struct enf_print *rules =
        enf_array_grow(chain->rules, chain->rules_len, &chain->rules_size, sizeof *rules);

    if (!rules)
        return -ENOMEM;
    chain->rules = rules;
    chain->rules[chain->rules_len++] = print;
    return 0;
}

/* --- objects --- */

struct reading {
    struct enf_shape *shape;
    enum enf_canon_kind kind;
    size_t chain; /* of the rule before */
    size_t from;  /* items of earlier kinds: a dump that is begun anew takes its own away */
};

/* What a rule says by naming a set. */
static void name_of_set(void *ctx, const char *name, struct enf_canon *canon)
{
    const struct enf_shape *shape = ctx;
    const struct enf_shape_item *set = enf_shape_find(shape, ENF_CANON_SET, name);

    if (set && set->flags & NFT_SET_ANONYMOUS) {
        enf_canon_put(canon, &set->declared, sizeof set->declared);
        enf_canon_put(canon, &set->content, sizeof set->content);
    } else {
        enf_canon_put(canon, name, enf_canon_plain_len(name));
    }
}

static int keep(struct reading *r, const char *name, uint32_t flags, struct enf_print print)
{
    struct enf_shape_item *item;

    if (r->kind == ENF_CANON_RULE) {
        /* Rules come chain by chain. A chain that came between the two dumps: the next look has it. */
        bool same = r->chain < r->shape->len && r->shape->items[r->chain].kind == ENF_CANON_CHAIN &&
                    strcmp(r->shape->items[r->chain].name, name) == 0;
        item = same ? &r->shape->items[r->chain] : enf_shape_find(r->shape, ENF_CANON_CHAIN, name);
        r->chain = item ? (size_t)(item - r->shape->items) : 0;
        return item ? add_rule(item, print) : 0;
    }
    item = add_item(r->shape, r->kind, name);
    if (!item)
        return -ENOMEM;
    item->declared = print;
    item->flags = flags;
    return 0;
}

static void to_message(const struct nlmsghdr *h, struct enf_message *out)
{
    *out = (struct enf_message){
        .type = h->nlmsg_type,
        .flags = h->nlmsg_flags,
        .body = (const uint8_t *)mnl_nlmsg_get_payload(h),
        .body_len = mnl_nlmsg_get_payload_len(h),
    };
}

static int on_object(const struct nlmsghdr *h, void *ctx)
{
    struct reading *r = ctx;
    struct enf_canon canon = {0};
    struct enf_message message;
    char name[ENF_CANON_NAME_LEN];
    uint32_t flags = 0;
    int err = 0;

    to_message(h, &message);
    bool ours = enf_canon_object(r->kind, &message, name_of_set, r->shape, &canon, name, &flags);
    if (ours)
        err = canon.err ? canon.err : keep(r, name, flags, enf_canon_print(&canon));
    enf_canon_clear(&canon);
    errno = -err;
    /* A table is asked for by name, and answered by one message. */
    return err < 0 ? MNL_CB_ERROR : r->kind == ENF_CANON_TABLE ? MNL_CB_STOP : MNL_CB_OK;
}

static void begin_anew(void *ctx)
{
    struct reading *r = ctx;

    for (size_t i = 0; r->kind == ENF_CANON_RULE && i < r->shape->len; i++)
        r->shape->items[i].rules_len = 0;
    while (r->shape->len > r->from) {
        struct enf_shape_item *item = &r->shape->items[--r->shape->len];
        free(item->name);
        free(item->rules);
    }
}

static int read_kind(struct enf_netlink *nl, struct enf_shape *shape, enum enf_canon_kind kind)
{
    static const uint16_t requests[ENF_CANON_KIND_COUNT] = {
        [ENF_CANON_TABLE] = NFT_MSG_GETTABLE, [ENF_CANON_CHAIN] = NFT_MSG_GETCHAIN,
        [ENF_CANON_RULE] = NFT_MSG_GETRULE,   [ENF_CANON_SET] = NFT_MSG_GETSET,
        [ENF_CANON_OBJECT] = NFT_MSG_GETOBJ,  [ENF_CANON_FLOWTABLE] = NFT_MSG_GETFLOWTABLE,
    };
    char buf[512] = {0};
    uint16_t flags = kind == ENF_CANON_TABLE ? 0 : NLM_F_DUMP;
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, requests[kind], NFPROTO_INET, flags, 0);
    struct reading r = {.shape = shape, .kind = kind, .from = shape->len};

    mnl_attr_put_strz(h, 1, ENF_TABLE); /* the table, in all kinds */
    return enf_netlink_dump(nl, h, on_object, begin_anew, &r);
}

/* --- elements --- */

struct enf_scan {
    struct enf_netlink nl;
    struct enf_dump dump;
    char name[ENF_CANON_NAME_LEN];
    struct enf_print bag;
    size_t count; /* elements, or intervals */
    size_t read;  /* with the marks of their ends */
    uint8_t *buf;
};

static void on_print(void *ctx, struct enf_print print, bool end)
{
    struct enf_scan *scan = ctx;

    enf_print_add(&scan->bag, print);
    scan->count += !end;
    scan->read++;
}

static int on_elements(const struct nlmsghdr *h, void *ctx)
{
    struct enf_message message;

    to_message(h, &message);
    enf_canon_elements(&message, on_print, ctx);
    return MNL_CB_OK;
}

/* Another table's or set's change does not shake a static set: what changed in it is told, and then read
 * again. */
static int scan_start(struct enf_scan *scan, const char *set)
{
    char buf[1024] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP, 0);

    snprintf(scan->name, sizeof scan->name, "%s", set);
    scan->bag = (struct enf_print){0};
    scan->count = scan->read = 0;
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, scan->name);
    int err = enf_dump_begin(&scan->dump, &scan->nl, h, on_elements, scan);
    scan->dump.unshaken = true;
    return err;
}

static int scan_open(struct enf_scan *scan)
{
    int err = enf_netlink_open(&scan->nl);

    if (err == 0 && !scan->buf) {
        scan->buf = malloc(ENF_DUMP_ROOM);
        err = scan->buf ? 0 : -ENOMEM;
    }
    return err;
}

static void scan_close(struct enf_scan *scan)
{
    enf_netlink_close(&scan->nl);
    free(scan->buf);
    scan->buf = NULL;
}

int enf_scan_begin(const char *set, struct enf_scan **out)
{
    struct enf_scan *scan = calloc(1, sizeof *scan);
    int err = scan ? scan_open(scan) : -ENOMEM;

    if (err == 0)
        err = scan_start(scan, set);
    if (err < 0)
        enf_scan_end(&scan);
    else
        *out = scan;
    return err;
}

void enf_scan_end(struct enf_scan **scan)
{
    if (!*scan)
        return;
    scan_close(*scan);
    free(*scan);
    *scan = NULL;
}

static uint64_t monotonic_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int enf_scan_step(struct enf_scan *scan, uint64_t budget_us)
{
    uint64_t until = monotonic_us() + budget_us;
    int done;

    do {
        done = enf_dump_step(&scan->dump, &scan->nl, scan->buf);
    } while (done == 0 && monotonic_us() < until);
    return done == 1 && scan->dump.err < 0 ? scan->dump.err : done;
}

int enf_shape_judge(struct enf_shape *shape, const struct enf_scan *scan, bool learn, char *text, size_t len)
{
    struct enf_shape_item *item = enf_shape_find(shape, ENF_CANON_SET, scan->name);

    if (!item)
        return -ENOENT;
    if (!item->known && learn) {
        item->known = true;
        item->content = scan->bag;
        item->count = scan->count;
    }
    if (!item->known)
        return 0;
    if (item->count == scan->count && enf_print_equal(item->content, scan->bag))
        return 0;
    snprintf(text, len, "set %.*s: %zu elements instead of %zu%s", (int)enf_canon_plain_len(item->name),
             item->name, scan->count, item->count,
             item->count == scan->count ? ", but not the same ones" : "");
    return 1;
}

/* One that is too large is left in the middle, and the socket with it. */
static int read_content(struct enf_scan *scan, struct enf_shape_item *set)
{
    int err = scan->nl.socket ? 0 : scan_open(scan), done = 0;

    if (err == 0)
        err = scan_start(scan, set->name);
    while (err == 0 && done == 0 && scan->read <= ENF_SHAPE_ELEMENTS_MAX) {
        done = enf_dump_step(&scan->dump, &scan->nl, scan->buf);
        err = done < 0 ? done : done == 1 ? scan->dump.err : 0;
    }
    if (err < 0)
        return err;
    if (done == 0) {
        enf_netlink_close(&scan->nl);
        set->large = true;
        return 0;
    }
    set->known = true;
    set->content = scan->bag;
    set->count = scan->count;
    return 0;
}

static bool is_static(const struct enf_shape_item *item)
{
    return item->kind == ENF_CANON_SET &&
           (item->flags & NFT_SET_ANONYMOUS || enf_canon_plain_len(item->name) < strlen(item->name));
}

static int read_contents(struct enf_shape *shape)
{
    struct enf_scan scan = {0};
    int err = 0;

    for (size_t i = 0; err == 0 && i < shape->len; i++) {
        if (is_static(&shape->items[i]))
            err = read_content(&scan, &shape->items[i]);
    }
    scan_close(&scan);
    return err;
}

int enf_shape_read(struct enf_kernel *kernel, struct enf_shape **out)
{
    struct enf_shape *shape = calloc(1, sizeof *shape);

    if (!shape)
        return -ENOMEM;
    int err = read_kind(&kernel->nl, shape, ENF_CANON_TABLE);
    if (err == 0)
        err = read_kind(&kernel->nl, shape, ENF_CANON_SET);
    if (err == 0)
        err = read_contents(shape);
    if (err == 0)
        err = read_kind(&kernel->nl, shape, ENF_CANON_CHAIN);
    if (err == 0)
        err = read_kind(&kernel->nl, shape, ENF_CANON_OBJECT);
    if (err == 0)
        err = read_kind(&kernel->nl, shape, ENF_CANON_FLOWTABLE);
    if (err == 0)
        err = read_kind(&kernel->nl, shape, ENF_CANON_RULE);
    if (err == 0)
        *out = shape;
    else
        enf_shape_free(&shape);
    return err;
}

size_t enf_shape_rules(const struct enf_shape *shape)
{
    size_t rules = 0;

    for (size_t i = 0; i < shape->len; i++)
        rules += shape->items[i].rules_len;
    return rules;
}
