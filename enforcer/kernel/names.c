/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of chains, sets and counters in our table. */
#include "enforcer/kernel/names.h"

#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

static bool is_ours(const char *table)
{
    return table && strcmp(table, ENF_TABLE) == 0;
}

/* parsed: what libnftnl answered, with errno 0 before. It leaves a name out that it had no memory for: what
 * would be missing here would be taken for missing in the kernel. */
static int lost(int parsed, const char *table, const char *name)
{
    if (parsed == 0 ? table && name : errno != ENOMEM)
        return MNL_CB_OK;
    errno = ENOMEM;
    return MNL_CB_ERROR;
}

static void add(struct enf_names *names, const char *name)
{
    char **grown = realloc(names->items, (names->len + 1) * sizeof *grown);
    char *copy = grown ? strdup(name) : NULL;

    if (grown)
        names->items = grown;
    if (!copy) {
        names->err = -ENOMEM;
        return;
    }
    names->items[names->len++] = copy;
}

static int on_chain(const struct nlmsghdr *h, void *ctx)
{
    struct nftnl_chain *chain = nftnl_chain_alloc();

    if (!chain)
        return MNL_CB_ERROR;
    errno = 0;
    int parsed = nftnl_chain_nlmsg_parse(h, chain);
    const char *table = nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE);
    const char *name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
    int result = lost(parsed, table, name);
    if (parsed == 0 && name && is_ours(table))
        add(ctx, name);
    nftnl_chain_free(chain);
    return result;
}

static int on_set(const struct nlmsghdr *h, void *ctx)
{
    struct nftnl_set *set = nftnl_set_alloc();

    if (!set)
        return MNL_CB_ERROR;
    errno = 0;
    int parsed = nftnl_set_nlmsg_parse(h, set);
    const char *table = nftnl_set_get_str(set, NFTNL_SET_TABLE);
    const char *name = nftnl_set_get_str(set, NFTNL_SET_NAME);
    int result = lost(parsed, table, name);
    if (parsed == 0 && name && is_ours(table) &&
        !(nftnl_set_get_u32(set, NFTNL_SET_FLAGS) & NFT_SET_ANONYMOUS))
        add(ctx, name);
    nftnl_set_free(set);
    return result;
}

static int on_object(const struct nlmsghdr *h, void *ctx)
{
    struct nftnl_obj *obj = nftnl_obj_alloc();

    if (!obj)
        return MNL_CB_ERROR;
    errno = 0;
    int parsed = nftnl_obj_nlmsg_parse(h, obj);
    const char *table = nftnl_obj_get_str(obj, NFTNL_OBJ_TABLE);
    const char *name = nftnl_obj_get_str(obj, NFTNL_OBJ_NAME);
    int result = lost(parsed, table, name);
    if (parsed == 0 && name && is_ours(table) && nftnl_obj_get_u32(obj, NFTNL_OBJ_TYPE) == NFT_OBJECT_COUNTER)
        add(ctx, name);
    nftnl_obj_free(obj);
    return result;
}

static void start_over(void *ctx)
{
    enf_names_clear(ctx);
}

static const struct {
    uint16_t message;
    uint16_t table_attr; /* all kinds have the table's name in attribute 1 */
    mnl_cb_t cb;
} kinds[ENF_KIND_COUNT] = {
    [ENF_KIND_CHAIN] = {NFT_MSG_GETCHAIN, NFTA_CHAIN_TABLE, on_chain},
    [ENF_KIND_SET] = {NFT_MSG_GETSET, NFTA_SET_TABLE, on_set},
    [ENF_KIND_COUNTER] = {NFT_MSG_GETOBJ, NFTA_OBJ_TABLE, on_object},
};

int enf_names_read(struct enf_netlink *nl, enum enf_kind kind, struct enf_names *out)
{
    char buf[512] = {0};
    struct enf_names names = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, kinds[kind].message, NFPROTO_INET, NLM_F_DUMP, 0);

    mnl_attr_put_strz(h, kinds[kind].table_attr, ENF_TABLE);
    int err = enf_netlink_dump(nl, h, kinds[kind].cb, start_over, &names);
    if (err == -ENOENT)
        err = 0;
    if (err == 0)
        err = names.err;
    if (err < 0)
        enf_names_clear(&names);
    else
        *out = names;
    return err;
}

bool enf_names_have(const struct enf_names *names, const char *name, size_t name_len)
{
    for (size_t i = 0; i < names->len; i++) {
        if (strlen(names->items[i]) == name_len && memcmp(names->items[i], name, name_len) == 0)
            return true;
    }
    return false;
}

void enf_names_clear(struct enf_names *names)
{
    for (size_t i = 0; i < names->len; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct enf_names){0};
}

static int ignore(const struct nlmsghdr *h, void *ctx)
{
    (void)h;
    (void)ctx;
    return MNL_CB_STOP;
}

int enf_names_table_exists(struct enf_netlink *nl)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETTABLE, NFPROTO_INET, 0, 0);

    mnl_attr_put_strz(h, NFTA_TABLE_NAME, ENF_TABLE);
    int err = enf_netlink_dump(nl, h, ignore, NULL, NULL);
    return err == 0 ? 1 : err == -ENOENT ? 0 : err;
}
