/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads counters and rules, and fills the queue statement in. */
#include "enforcer/kernel/kernel_private.h"

#include "enforcer/kernel/names.h"
#include "enforcer/kernel/ruleset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/expr.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULE_ROOM 1024

struct counter_reading {
    enf_kernel_counter_fn fn;
    void *ctx;
    size_t count;
};

static int on_counter(const struct nlmsghdr *h, void *data)
{
    struct counter_reading *r = data;
    struct nftnl_obj *obj = nftnl_obj_alloc();

    if (!obj)
        return MNL_CB_ERROR;
    errno = 0;
    int parsed = nftnl_obj_nlmsg_parse(h, obj);
    /* libnftnl leaves a name out that it had no memory for. */
    const char *name = nftnl_obj_get_str(obj, NFTNL_OBJ_NAME);
    bool lost = parsed == 0 ? !name : errno == ENOMEM;
    if (parsed == 0 && name && nftnl_obj_get_u32(obj, NFTNL_OBJ_TYPE) == NFT_OBJECT_COUNTER) {
        r->count++;
        r->fn(r->ctx, name, nftnl_obj_get_u64(obj, NFTNL_OBJ_CTR_PKTS),
              nftnl_obj_get_u64(obj, NFTNL_OBJ_CTR_BYTES));
    }
    nftnl_obj_free(obj);
    if (!lost)
        return MNL_CB_OK;
    errno = ENOMEM;
    return MNL_CB_ERROR;
}

int enf_kernel_read_counters(struct enf_kernel *kernel, enf_kernel_counter_fn fn, void *ctx)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETOBJ, NFPROTO_INET, NLM_F_DUMP, 0);
    struct counter_reading r = {.fn = fn, .ctx = ctx};

    mnl_attr_put_strz(h, NFTA_OBJ_TABLE, ENF_TABLE);
    mnl_attr_put_u32(h, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
    int err = enf_netlink_dump(&kernel->nl, h, on_counter, NULL, &r);
    return err == 0 && r.count == 0 ? enf_kernel_table_present(kernel) : err;
}

/* All of the message that counts is that it is there: the kernel filters by table. */
static int on_rule(const struct nlmsghdr *h, void *data)
{
    (void)h;
    ++*(size_t *)data;
    return MNL_CB_OK;
}

int enf_kernel_rule_count(struct enf_kernel *kernel, size_t *out)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, 0);
    size_t count = 0;

    mnl_attr_put_strz(h, NFTA_RULE_TABLE, ENF_TABLE);
    /* The kernel counts from the table's first rule (nf_tables_dump_rules): other tables do not matter. */
    int err = enf_netlink_dump_unshaken(&kernel->nl, h, on_rule, &count);
    if (err == 0 && count == 0)
        err = enf_kernel_table_present(kernel);
    if (err == 0)
        *out = count;
    return err;
}

const char *enf_kernel_queue_name(enum enf_kernel_queue kind)
{
    return kind == ENF_KERNEL_QUEUE_NATIVE ? "native" : "xt";
}

/* queue num N [bypass] */
static struct nftnl_expr *native_expr(uint16_t queue, bool bypass)
{
    struct nftnl_expr *expr = nftnl_expr_alloc("queue");

    if (!expr)
        return NULL;
    nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_NUM, queue);
    nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_TOTAL, 1);
    nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_FLAGS, bypass ? NFT_QUEUE_FLAG_BYPASS : 0);
    return expr;
}

/* The same as a target of x_tables. libnftnl frees the info with the expression. */
static struct nftnl_expr *xt_expr(uint16_t queue, bool bypass)
{
    struct nftnl_expr *expr = nftnl_expr_alloc("target");
    struct xt_NFQ_info_v3 *info = expr ? calloc(1, sizeof *info) : NULL;

    if (!info) {
        if (expr)
            nftnl_expr_free(expr);
        return NULL;
    }
    info->queuenum = queue;
    info->queues_total = 1;
    info->flags = bypass ? NFQ_FLAG_BYPASS : 0;
    nftnl_expr_set_str(expr, NFTNL_EXPR_TG_NAME, "NFQUEUE");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_TG_REV, 3);
    nftnl_expr_set(expr, NFTNL_EXPR_TG_INFO, info, sizeof *info);
    return expr; /* NOLINT(clang-analyzer-unix.Malloc): info is the expression's now */
}

/* insert rule inet enforcer queueN … : in front of the verdict that stands there for a missing queue. */
static int put_rule(struct enf_batch *batch, unsigned worker, struct nftnl_expr *expr)
{
    struct nftnl_rule *rule = expr ? nftnl_rule_alloc() : NULL;
    char chain[32];

    if (!rule) {
        if (expr)
            nftnl_expr_free(expr);
        return -ENOMEM;
    }
    snprintf(chain, sizeof chain, "queue%u", worker);
    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, ENF_TABLE);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain);
    nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
    nftnl_rule_add_expr(rule, expr);
    struct nlmsghdr *h = enf_batch_message(batch, NFT_MSG_NEWRULE, NFPROTO_INET, NLM_F_CREATE, RULE_ROOM);
    if (h) {
        nftnl_rule_nlmsg_build_payload(h, rule);
        enf_batch_message_end(batch);
    }
    nftnl_rule_free(rule);
    return 0;
}

/* All workers' statements, or none. */
static int insert_rules(struct enf_kernel *kernel, struct nftnl_expr *(*expr)(uint16_t, bool), uint16_t first,
                        uint16_t workers, bool bypass)
{
    struct enf_batch batch;
    int err = 0;

    enf_batch_begin(&batch, &kernel->nl);
    for (uint16_t i = 0; err == 0 && i < workers; i++)
        err = put_rule(&batch, i, expr((uint16_t)(first + i), bypass));
    if (err < 0)
        batch.err = err;
    return enf_batch_commit(&batch);
}

/* -ENOENT where the chain is missing, -EOPNOTSUPP where it is not: then the kernel lacks what was asked for.
 */
static int what_is_missing(struct enf_kernel *kernel)
{
    struct enf_names chains = {0};
    int err = enf_names_read(&kernel->nl, ENF_KIND_CHAIN, &chains);

    if (err == 0)
        err = enf_names_have(&chains, "queue0", strlen("queue0")) ? -EOPNOTSUPP : -ENOENT;
    enf_names_clear(&chains);
    return err;
}

int enf_kernel_queue_install(struct enf_kernel *kernel, uint16_t first, uint16_t workers, bool bypass,
                             enum enf_kernel_queue *kind)
{
    bool xt = *kind == ENF_KERNEL_QUEUE_XT;
    int err = insert_rules(kernel, xt ? xt_expr : native_expr, first, workers, bypass);

    if (err == -ENOENT || err == -EOPNOTSUPP) {
        xt = !xt;
        err = insert_rules(kernel, xt ? xt_expr : native_expr, first, workers, bypass);
    }
    if (err == 0)
        *kind = xt ? ENF_KERNEL_QUEUE_XT : ENF_KERNEL_QUEUE_NATIVE;
    return err == -ENOENT ? what_is_missing(kernel) : err;
}

/* --- is the statement there? --- */

struct queue_check {
    uint16_t queue;
    bool bypass;
    size_t rules;
    bool found; /* in the first rule */
    bool known; /* the first rule begins with a statement of that kind, whatever it says */
    enum enf_kernel_queue kind;
};

static bool is_native(const struct nftnl_expr *expr, const struct queue_check *want)
{
    bool bypass = nftnl_expr_get_u16(expr, NFTNL_EXPR_QUEUE_FLAGS) & NFT_QUEUE_FLAG_BYPASS;

    return strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), "queue") == 0 &&
           nftnl_expr_get_u16(expr, NFTNL_EXPR_QUEUE_NUM) == want->queue && bypass == want->bypass;
}

static bool is_xt(const struct nftnl_expr *expr, const struct queue_check *want)
{
    struct xt_NFQ_info_v3 info;
    uint32_t len = 0;

    if (strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), "target") != 0)
        return false;
    const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_TG_NAME);
    const void *data = nftnl_expr_get(expr, NFTNL_EXPR_TG_INFO, &len);
    if (!name || strcmp(name, "NFQUEUE") != 0 || !data || len < sizeof info)
        return false;
    memcpy(&info, data, sizeof info);
    return info.queuenum == want->queue && info.queues_total == 1 &&
           info.flags == (want->bypass ? NFQ_FLAG_BYPASS : 0);
}

static int on_queue_expr(struct nftnl_expr *expr, void *data)
{
    struct queue_check *check = data;
    const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);

    check->found = is_native(expr, check) || is_xt(expr, check);
    check->kind = strcmp(name, "queue") == 0 ? ENF_KERNEL_QUEUE_NATIVE : ENF_KERNEL_QUEUE_XT;
    check->known = check->kind == ENF_KERNEL_QUEUE_NATIVE || strcmp(name, "target") == 0;
    return -1; /* the first one says it */
}

static int on_queue_rule(const struct nlmsghdr *h, void *data)
{
    struct queue_check *check = data;
    struct nftnl_rule *rule = nftnl_rule_alloc();

    if (!rule)
        return MNL_CB_ERROR;
    errno = 0;
    if (nftnl_rule_nlmsg_parse(h, rule) == 0 && check->rules++ == 0)
        nftnl_expr_foreach(rule, on_queue_expr, check);
    bool lost = errno == ENOMEM;
    nftnl_rule_free(rule);
    if (!lost)
        return MNL_CB_OK;
    errno = ENOMEM;
    return MNL_CB_ERROR;
}

static void queue_check_reset(void *data)
{
    struct queue_check *check = data;

    check->rules = 0;
    check->found = check->known = false;
}

static int look_at_queue(struct enf_kernel *kernel, unsigned worker, struct queue_check *check)
{
    char buf[512] = {0}, chain[32];
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, 0);

    snprintf(chain, sizeof chain, "queue%u", worker);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, ENF_TABLE);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
    return enf_netlink_dump(&kernel->nl, h, on_queue_rule, queue_check_reset, check);
}

int enf_kernel_queue_check(struct enf_kernel *kernel, uint16_t first, uint16_t workers, bool bypass)
{
    int err = 0;

    for (unsigned i = 0; err == 0 && i < workers; i++) {
        struct queue_check check = {.queue = (uint16_t)(first + i), .bypass = bypass};
        err = look_at_queue(kernel, i, &check);
        if (err == 0 && (!check.found || check.rules != 2))
            err = -ENOENT;
    }
    return err;
}

int enf_kernel_queue_kind(struct enf_kernel *kernel, enum enf_kernel_queue *out)
{
    struct queue_check check = {0};
    int err = look_at_queue(kernel, 0, &check);

    if (err == 0 && !check.known)
        err = -ENOENT;
    if (err == 0)
        *out = check.kind;
    return err;
}
