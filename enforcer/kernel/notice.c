/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of nf_tables about changes. All kinds have the table's name in attribute 1
 * (include/uapi/linux/netfilter/nf_tables.h). */
#include "enforcer/kernel/notice.h"

#include "enforcer/kernel/ruleset.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define ATTRIBUTE_TABLE 1

static enum enf_notice_kind kind_of(unsigned message, bool *deleted)
{
    *deleted = false;
    switch (message) {
    case NFT_MSG_DELTABLE:
        *deleted = true;
        return ENF_NOTICE_TABLE;
    case NFT_MSG_NEWTABLE:
        return ENF_NOTICE_TABLE;
    case NFT_MSG_DELCHAIN:
    case NFT_MSG_DELRULE:
    case NFT_MSG_DELSET:
    case NFT_MSG_DELOBJ:
    case NFT_MSG_DELFLOWTABLE:
        *deleted = true;
        return ENF_NOTICE_RULES;
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_NEWRULE:
    case NFT_MSG_NEWSET:
    case NFT_MSG_NEWOBJ:
    case NFT_MSG_NEWFLOWTABLE:
        return ENF_NOTICE_RULES;
    case NFT_MSG_DELSETELEM:
        *deleted = true;
        return ENF_NOTICE_ELEMENTS;
    case NFT_MSG_NEWSETELEM:
        return ENF_NOTICE_ELEMENTS;
    case NFT_MSG_NEWGEN:
        return ENF_NOTICE_GENERATION;
    default:
        return ENF_NOTICE_OTHER;
    }
}

/* Text up to its zero, cut to what fits; bytes that a terminal would act on become question marks. */
static void copy_text(char *out, size_t size, const struct enf_attribute *attr)
{
    size_t len = 0;

    while (len < attr->len && len + 1 < size && attr->data[len]) {
        unsigned char c = attr->data[len];
        out[len++] = c < 0x20 || c > 0x7e ? '?' : (char)c;
    }
    out[len] = '\0';
}

static bool is_ours(const struct enf_attribute *attr)
{
    return attr->len >= sizeof ENF_TABLE && memcmp(attr->data, ENF_TABLE, sizeof ENF_TABLE) == 0;
}

static void read_generation(const uint8_t *at, const uint8_t *end, struct enf_notice *out)
{
    struct enf_attribute attr;

    while (enf_attribute_next(&at, end, &attr)) {
        if (attr.type == NFTA_GEN_PROC_PID)
            enf_attribute_u32(&attr, &out->pid);
        else if (attr.type == NFTA_GEN_PROC_NAME)
            copy_text(out->name, sizeof out->name, &attr);
    }
}

static void read_change(const uint8_t *at, const uint8_t *end, struct enf_notice *out)
{
    enum enf_notice_kind kind = out->kind;
    struct enf_attribute attr;

    out->kind = ENF_NOTICE_OTHER;
    while (enf_attribute_next(&at, end, &attr)) {
        if (attr.type == ATTRIBUTE_TABLE && is_ours(&attr)) {
            out->kind = kind;
        } else if (kind == ENF_NOTICE_ELEMENTS && attr.type == NFTA_SET_ELEM_LIST_SET) {
            copy_text(out->set, sizeof out->set, &attr);
        } else if (kind == ENF_NOTICE_ELEMENTS && attr.type == NFTA_SET_ELEM_LIST_ELEMENTS) {
            out->elements = attr.data;
            out->elements_len = attr.len;
        }
    }
}

bool enf_notice_read(const struct enf_message *message, struct enf_notice *out)
{
    struct nfgenmsg head;

    if (message->type >> 8 != NFNL_SUBSYS_NFTABLES || message->body_len < sizeof head)
        return false;
    memcpy(&head, message->body, sizeof head);
    *out = (struct enf_notice){0};
    out->kind = kind_of(message->type & 0xff, &out->deleted);
    const uint8_t *at = message->body + sizeof head, *end = message->body + message->body_len;
    if (out->kind == ENF_NOTICE_GENERATION)
        read_generation(at, end, out);
    else if (head.nfgen_family == NFPROTO_INET)
        read_change(at, end, out);
    else
        out->kind = ENF_NOTICE_OTHER;
    return true;
}

static void read_key(const struct enf_attribute *elem, struct enf_notice_key *out)
{
    const uint8_t *at = elem->data, *end = elem->data + elem->len;
    struct enf_attribute attr, value;
    uint32_t flags = 0;

    while (enf_attribute_next(&at, end, &attr)) {
        const uint8_t *inner = attr.data;
        if (attr.type == NFTA_SET_ELEM_KEY && enf_attribute_next(&inner, attr.data + attr.len, &value) &&
            value.type == NFTA_DATA_VALUE) {
            out->data = value.data;
            out->len = value.len;
        } else if (attr.type == NFTA_SET_ELEM_FLAGS && enf_attribute_u32(&attr, &flags)) {
            out->end = flags & NFT_SET_ELEM_INTERVAL_END;
        }
    }
}

bool enf_notice_next_key(struct enf_notice *notice, struct enf_notice_key *out)
{
    const uint8_t *at = notice->elements;
    struct enf_attribute elem;

    if (!at)
        return false;
    const uint8_t *end = at + notice->elements_len;
    if (!enf_attribute_next(&at, end, &elem))
        return false;
    notice->elements_len = (size_t)(end - at);
    notice->elements = at;
    *out = (struct enf_notice_key){0};
    read_key(&elem, out);
    return true;
}
