/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The canonical form: which attributes count, by kind (include/uapi/linux/netfilter/nf_tables.h). What a
 * later kernel adds to a set or a chain is left out; of a rule's expressions everything counts but their
 * counters. */
#include "enforcer/kernel/canon.h"

#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ATTRIBUTE_TABLE 1 /* of all kinds; of a table itself its name */

bool enf_print_equal(struct enf_print a, struct enf_print b)
{
    return a.low == b.low && a.high == b.high;
}

void enf_print_add(struct enf_print *bag, struct enf_print print)
{
    bag->low += print.low;
    bag->high += print.high;
}

void enf_canon_clear(struct enf_canon *canon)
{
    free(canon->bytes);
    *canon = (struct enf_canon){0};
}

void enf_canon_put(struct enf_canon *canon, const void *bytes, size_t len)
{
    if (len == 0 || canon->err < 0)
        return;
    if (canon->size - canon->len < len) {
        size_t size = (canon->len + len) * 2 + 256;
        uint8_t *grown = realloc(canon->bytes, size);
        if (!grown) {
            canon->err = -ENOMEM;
            return;
        }
        canon->bytes = grown;
        canon->size = size;
    }
    memcpy(canon->bytes + canon->len, bytes, len);
    canon->len += len;
}

static struct enf_print print_of(const void *bytes, size_t len)
{
    XXH128_hash_t hash = XXH3_128bits(bytes, len);

    return (struct enf_print){hash.low64, hash.high64};
}

struct enf_print enf_canon_print(const struct enf_canon *canon)
{
    return print_of(canon->bytes ? (const void *)canon->bytes : "", canon->len);
}

/* Type and length go with the bytes, else two attributes could look like one. */
static void put_head(struct enf_canon *canon, unsigned type, size_t len)
{
    uint32_t head[2] = {type, (uint32_t)len};

    enf_canon_put(canon, head, sizeof head);
}

static void put_attribute(struct enf_canon *canon, const struct enf_attribute *attr)
{
    put_head(canon, attr->type, attr->len);
    enf_canon_put(canon, attr->data, attr->len);
}

/* Cut to what fits. */
static void copy_name(char out[ENF_CANON_NAME_LEN], const struct enf_attribute *attr)
{
    size_t len = strnlen((const char *)attr->data, attr->len);

    len = len < ENF_CANON_NAME_LEN - 1 ? len : ENF_CANON_NAME_LEN - 1;
    memcpy(out, attr->data, len);
    out[len] = '\0';
}

static bool is_text(const struct enf_attribute *attr, const char *text)
{
    size_t len = strlen(text);

    return attr->len >= len && memcmp(attr->data, text, len) == 0 &&
           (attr->len == len || attr->data[len] == '\0');
}

size_t enf_canon_plain_len(const char *name)
{
    size_t len = strlen(name), at = len;

    while (at > 0 && name[at - 1] >= '0' && name[at - 1] <= '9')
        at--;
    if (at < len && at > 2 && name[at - 1] == 'g' && name[at - 2] == '_')
        return at - 2;
    return len;
}

/* --- expressions --- */

/* Where an expression keeps what changes by itself (skip), or names a set. */
static const struct {
    const char *expression;
    bool skip_all;
    unsigned skip;
    unsigned set_name;
} special[] = {
    {"counter", true, 0, 0},
    {"last", true, 0, 0},
    {"quota", false, NFTA_QUOTA_CONSUMED, 0},
    {"lookup", false, NFTA_LOOKUP_SET_ID, NFTA_LOOKUP_SET},
    {"dynset", false, NFTA_DYNSET_SET_ID, NFTA_DYNSET_SET_NAME},
    {"objref", false, NFTA_OBJREF_SET_ID, NFTA_OBJREF_SET_NAME},
};

struct walk {
    enf_canon_set_fn set_fn;
    void *ctx;
    struct enf_canon *canon;
};

static void put_set_name(const struct walk *w, const struct enf_attribute *attr)
{
    char name[ENF_CANON_NAME_LEN];

    copy_name(name, attr);
    put_head(w->canon, attr->type, 0);
    if (w->set_fn)
        w->set_fn(w->ctx, name, w->canon);
    else
        enf_canon_put(w->canon, name, strlen(name) + 1);
}

static void put_data(const struct walk *w, const struct enf_attribute *name, const struct enf_attribute *data)
{
    const uint8_t *at = data->data, *end = data->data + data->len;
    struct enf_attribute attr;
    size_t row = 0;

    while (row < sizeof special / sizeof *special && !is_text(name, special[row].expression))
        row++;
    if (row == sizeof special / sizeof *special) {
        put_attribute(w->canon, data);
        return;
    }
    while (!special[row].skip_all && enf_attribute_next(&at, end, &attr)) {
        if (special[row].set_name && attr.type == special[row].set_name)
            put_set_name(w, &attr);
        else if (attr.type != special[row].skip)
            put_attribute(w->canon, &attr);
    }
}

static void put_expressions(const struct walk *w, const struct enf_attribute *list)
{
    const uint8_t *at = list->data, *end = list->data + list->len;
    struct enf_attribute elem, attr;

    while (enf_attribute_next(&at, end, &elem)) {
        struct enf_attribute name = {0}, data = {0};
        const uint8_t *inner = elem.data;
        while (enf_attribute_next(&inner, elem.data + elem.len, &attr)) {
            if (attr.type == NFTA_EXPR_NAME)
                name = attr;
            else if (attr.type == NFTA_EXPR_DATA)
                data = attr;
        }
        if (!name.data)
            continue;
        put_attribute(w->canon, &name);
        if (data.data)
            put_data(w, &name, &data);
    }
}

/* --- objects --- */

#define BIT(n) (1u << (n))

static const struct {
    unsigned message;
    unsigned name;
    uint32_t counts; /* attributes that count, by number */
} kinds[ENF_CANON_KIND_COUNT] = {
    [ENF_CANON_TABLE] = {NFT_MSG_NEWTABLE, NFTA_TABLE_NAME, BIT(NFTA_TABLE_FLAGS) | BIT(NFTA_TABLE_OWNER)},
    [ENF_CANON_CHAIN] = {NFT_MSG_NEWCHAIN, NFTA_CHAIN_NAME,
                         BIT(NFTA_CHAIN_HOOK) | BIT(NFTA_CHAIN_POLICY) | BIT(NFTA_CHAIN_TYPE) |
                             BIT(NFTA_CHAIN_FLAGS)},
    [ENF_CANON_RULE] = {NFT_MSG_NEWRULE, NFTA_RULE_CHAIN, BIT(NFTA_RULE_EXPRESSIONS) | BIT(NFTA_RULE_COMPAT)},
    [ENF_CANON_SET] = {NFT_MSG_NEWSET, NFTA_SET_NAME,
                       BIT(NFTA_SET_FLAGS) | BIT(NFTA_SET_KEY_TYPE) | BIT(NFTA_SET_KEY_LEN) |
                           BIT(NFTA_SET_DATA_TYPE) | BIT(NFTA_SET_DATA_LEN) | BIT(NFTA_SET_POLICY) |
                           BIT(NFTA_SET_DESC) | BIT(NFTA_SET_TIMEOUT) | BIT(NFTA_SET_GC_INTERVAL) |
                           BIT(NFTA_SET_OBJ_TYPE) | BIT(NFTA_SET_EXPR) | BIT(NFTA_SET_EXPRESSIONS)},
    [ENF_CANON_OBJECT] = {NFT_MSG_NEWOBJ, NFTA_OBJ_NAME, BIT(NFTA_OBJ_TYPE)},
    [ENF_CANON_FLOWTABLE] = {NFT_MSG_NEWFLOWTABLE, NFTA_FLOWTABLE_NAME,
                             BIT(NFTA_FLOWTABLE_HOOK) | BIT(NFTA_FLOWTABLE_FLAGS)},
};

/* Where the attributes begin; NULL where message is another kind, or of another family. */
static const uint8_t *attributes(const struct enf_message *message, unsigned kind)
{
    struct nfgenmsg head;

    if (message->type != (NFNL_SUBSYS_NFTABLES << 8 | kind) || message->body_len < sizeof head)
        return NULL;
    memcpy(&head, message->body, sizeof head);
    return head.nfgen_family == NFPROTO_INET ? message->body + sizeof head : NULL;
}

bool enf_canon_object(enum enf_canon_kind kind, const struct enf_message *message, enf_canon_set_fn set_fn,
                      void *ctx, struct enf_canon *canon, char name[ENF_CANON_NAME_LEN], uint32_t *flags)
{
    const uint8_t *at = attributes(message, kinds[kind].message), *end = message->body + message->body_len;
    const struct walk walk = {set_fn, ctx, canon};
    struct enf_attribute attr;
    bool ours = false, named = false;

    if (!at)
        return false;
    while (enf_attribute_next(&at, end, &attr)) {
        ours |= attr.type == ATTRIBUTE_TABLE && is_text(&attr, ENF_TABLE);
        if (attr.type == kinds[kind].name) {
            copy_name(name, &attr);
            named = true;
        }
        if (kind == ENF_CANON_SET && attr.type == NFTA_SET_FLAGS && flags)
            enf_attribute_u32(&attr, flags);
        if (attr.type >= 32 || !(kinds[kind].counts & BIT(attr.type)))
            continue;
        if (kind == ENF_CANON_RULE && attr.type == NFTA_RULE_EXPRESSIONS)
            put_expressions(&walk, &attr);
        else
            put_attribute(canon, &attr);
    }
    return ours && named;
}

/* --- elements --- */

void enf_canon_elements(const struct enf_message *message, enf_canon_element_fn fn, void *ctx)
{
    const uint32_t counts = BIT(NFTA_SET_ELEM_KEY) | BIT(NFTA_SET_ELEM_DATA) | BIT(NFTA_SET_ELEM_FLAGS) |
                            BIT(NFTA_SET_ELEM_TIMEOUT) | BIT(NFTA_SET_ELEM_OBJREF) |
                            BIT(NFTA_SET_ELEM_KEY_END);
    const uint8_t *at = attributes(message, NFT_MSG_NEWSETELEM), *end = message->body + message->body_len;
    struct enf_attribute list, elem, attr;
    struct enf_canon canon = {0};

    while (at && enf_attribute_next(&at, end, &list)) {
        const uint8_t *in = list.data;
        if (list.type != NFTA_SET_ELEM_LIST_ELEMENTS)
            continue;
        while (enf_attribute_next(&in, list.data + list.len, &elem)) {
            const uint8_t *part = elem.data;
            uint32_t flags = 0;
            canon.len = 0;
            while (enf_attribute_next(&part, elem.data + elem.len, &attr)) {
                if (attr.type < 32 && counts & BIT(attr.type))
                    put_attribute(&canon, &attr);
                if (attr.type == NFTA_SET_ELEM_FLAGS)
                    enf_attribute_u32(&attr, &flags);
            }
            fn(ctx, enf_canon_print(&canon), flags & NFT_SET_ELEM_INTERVAL_END);
        }
    }
    enf_canon_clear(&canon);
}
