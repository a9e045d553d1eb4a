/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ctnetlink: a dump that the kernel filters by port, and a deletion for each entry that is wanted away. */
#include "enforcer/kernel/conntrack.h"

#include "enforcer/kernel/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMTP 25
/* Which fields of a tuple a dump is filtered by; in no header of the kernel's for programs
 * (net/netfilter/nf_internals.h). */
#define FILTER_PROTOCOL         (1u << 3)
#define FILTER_SOURCE_PORT      (1u << 4)
#define FILTER_DESTINATION_PORT (1u << 5)

struct enf_conntrack {
    struct enf_netlink dump;
    struct enf_netlink change; /* a dump that is not done yet keeps the other one busy */
};

int enf_conntrack_open(struct enf_conntrack **out)
{
    struct enf_conntrack *conntrack = calloc(1, sizeof *conntrack);

    if (!conntrack)
        return -ENOMEM;
    int err = enf_netlink_open(&conntrack->dump);
    if (err == 0)
        err = enf_netlink_open(&conntrack->change);
    if (err < 0) {
        enf_conntrack_close(&conntrack);
        return err;
    }
    *out = conntrack;
    return 0;
}

void enf_conntrack_close(struct enf_conntrack **conntrack)
{
    if (!*conntrack)
        return;
    enf_netlink_close(&(*conntrack)->dump);
    enf_netlink_close(&(*conntrack)->change);
    free(*conntrack);
    *conntrack = NULL;
}

uint64_t enf_conntrack_count(void)
{
    char text[32] = {0};
    /* Of the caller's network namespace. A request by netlink would load the module. */
    int fd = open("/proc/sys/net/netfilter/nf_conntrack_count", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    return got > 0 ? strtoull(text, NULL, 10) : 0;
}

/* --- what the kernel says --------------------------------------------------------------------------------
 */

#define ATTRIBUTES 32
_Static_assert(CTA_MAX < ATTRIBUTES && CTA_IP_MAX < ATTRIBUTES && CTA_PROTO_MAX < ATTRIBUTES, "room");
struct attributes {
    const struct nlattr *by_type[ATTRIBUTES];
};

static int on_attribute(const struct nlattr *attr, void *ctx)
{
    struct attributes *all = ctx;
    uint16_t type = mnl_attr_get_type(attr);

    if (type < ATTRIBUTES)
        all->by_type[type] = attr;
    return MNL_CB_OK;
}

static struct attributes inside(const struct nlattr *nest)
{
    struct attributes all = {0};

    if (nest)
        mnl_attr_parse_nested(nest, on_attribute, &all);
    return all;
}

/* NULL where it is missing or of another length. */
static const void *value(const struct attributes *all, uint16_t type, size_t len)
{
    const struct nlattr *attr = all->by_type[type];

    return attr && mnl_attr_get_payload_len(attr) == len ? mnl_attr_get_payload(attr) : NULL;
}

static uint16_t port(const struct attributes *all, uint16_t type)
{
    const void *at = value(all, type, sizeof(uint16_t));
    uint16_t network = 0;

    if (at)
        memcpy(&network, at, sizeof network);
    return ntohs(network);
}

static bool addresses(const struct attributes *ip, struct enf_addr *source, struct enf_addr *destination)
{
    const void *source4 = value(ip, CTA_IP_V4_SRC, 4), *destination4 = value(ip, CTA_IP_V4_DST, 4);
    const void *source6 = value(ip, CTA_IP_V6_SRC, 16), *destination6 = value(ip, CTA_IP_V6_DST, 16);

    if (source4 && destination4) {
        *source = enf_addr_from_bytes(ENF_FAMILY_V4, source4);
        *destination = enf_addr_from_bytes(ENF_FAMILY_V4, destination4);
        return true;
    }
    if (source6 && destination6) {
        *source = enf_addr_from_bytes(ENF_FAMILY_V6, source6);
        *destination = enf_addr_from_bytes(ENF_FAMILY_V6, destination6);
        return true;
    }
    return false;
}

/* Not of port 25: the answers' source is where it really goes, whatever its address is translated to. */
static bool read_other(const struct attributes *all, struct enf_conntrack_entry *out)
{
    struct attributes tuple = inside(all->by_type[CTA_TUPLE_REPLY]);
    struct attributes ip = inside(tuple.by_type[CTA_TUPLE_IP]);
    struct attributes proto = inside(tuple.by_type[CTA_TUPLE_PROTO]);
    struct enf_addr translated;

    out->server_port = port(&proto, CTA_PROTO_SRC_PORT);
    return addresses(&ip, &out->server, &translated);
}

/* False where it is nothing that can be read. */
static bool read_entry(const struct attributes *all, struct enf_conntrack_entry *out)
{
    struct attributes tuple = inside(all->by_type[CTA_TUPLE_ORIG]);
    struct attributes ip = inside(tuple.by_type[CTA_TUPLE_IP]);
    struct attributes proto = inside(tuple.by_type[CTA_TUPLE_PROTO]);
    const uint8_t *number = value(&proto, CTA_PROTO_NUM, sizeof *number);
    const void *status = value(all, CTA_STATUS, sizeof(uint32_t));
    uint16_t source_port = port(&proto, CTA_PROTO_SRC_PORT);
    uint16_t destination_port = port(&proto, CTA_PROTO_DST_PORT);
    struct enf_addr source, destination;
    uint32_t bits = 0;

    if (!number || !addresses(&ip, &source, &destination))
        return false;
    if (status)
        memcpy(&bits, status, sizeof bits);
    *out = (struct enf_conntrack_entry){.offloaded = ntohl(bits) & (IPS_OFFLOAD | IPS_HW_OFFLOAD)};
    out->smtp = *number == IPPROTO_TCP && (destination_port == SMTP || source_port == SMTP);
    if (out->smtp &&
        destination_port != SMTP) { /* picked up in the middle, when the server happened to talk */
        out->client = destination;
        out->client_port = destination_port;
        out->server = source;
        out->server_port = source_port;
        return true;
    }
    out->client = source;
    out->client_port = source_port;
    out->server = destination;
    out->server_port = destination_port;
    return out->smtp || read_other(all, out);
}

/* --- deleting --------------------------------------------------------------------------------------------
 */

static struct nlmsghdr *begin_message(void *buf, uint16_t type, uint16_t flags, uint8_t family)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

    h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | type;
    h->nlmsg_flags = NLM_F_REQUEST | flags;
    struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof *g);
    g->nfgen_family = family;
    g->version = NFNETLINK_V0;
    return h;
}

static void ignore(void *ctx, const uint8_t *data, size_t len)
{
    (void)ctx;
    (void)data;
    (void)len;
}

/* The one that was seen and no other: the kernel compares the id, so a new one between the same ports stays.
 */
static int delete_entry(struct enf_conntrack *conntrack, uint8_t family, const struct attributes *all)
{
    static const uint16_t same[] = {CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID};
    char buf[1024] = {0};
    struct nlmsghdr *h = begin_message(buf, IPCTNL_MSG_CT_DELETE, 0, family);

    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const struct nlattr *attr = all->by_type[same[i]];
        if (attr && !mnl_attr_put_check(h, sizeof buf, attr->nla_type, mnl_attr_get_payload_len(attr),
                                        mnl_attr_get_payload(attr)))
            return -EMSGSIZE;
    }
    return enf_netlink_request(conntrack->change.socket, h, ignore, NULL);
}

struct walk {
    struct enf_conntrack *conntrack;
    const struct enf_conntrack_ops *ops;
};

static int on_entry(const struct nlmsghdr *h, void *ctx)
{
    const struct walk *walk = ctx;
    const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
    struct attributes all = {0};
    struct enf_conntrack_entry entry;

    mnl_attr_parse(h, sizeof *g, on_attribute, &all);
    if (!read_entry(&all, &entry) || !(entry.smtp || walk->ops->all) ||
        !walk->ops->wanted(walk->ops->ctx, &entry))
        return MNL_CB_OK;
    int err = delete_entry(walk->conntrack, g->nfgen_family, &all);
    bool gone = err == 0 || err == -ENOENT;
    walk->ops->done(walk->ops->ctx, &entry, gone ? ENF_CONNTRACK_DELETED : ENF_CONNTRACK_KEPT, err);
    return MNL_CB_OK;
}

/* Those of one family that have the port at one end of the direction that was seen first. */
static int cut_one(struct walk *walk, uint8_t family, uint16_t attribute, uint32_t flag)
{
    char buf[512] = {0};
    struct nlmsghdr *h = begin_message(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
    struct nlattr *tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG);
    struct nlattr *proto = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);

    mnl_attr_put_u8(h, CTA_PROTO_NUM, IPPROTO_TCP);
    mnl_attr_put_u16(h, attribute, htons(SMTP));
    mnl_attr_nest_end(h, proto);
    mnl_attr_nest_end(h, tuple);
    struct nlattr *filter = mnl_attr_nest_start(h, CTA_FILTER);
    mnl_attr_put_u32(h, CTA_FILTER_ORIG_FLAGS, FILTER_PROTOCOL | flag);
    mnl_attr_put_u32(h, CTA_FILTER_REPLY_FLAGS, 0);
    mnl_attr_nest_end(h, filter);
    return enf_netlink_dump(&walk->conntrack->dump, h, on_entry, NULL, walk);
}

static int cut_all(struct walk *walk, uint8_t family)
{
    char buf[512] = {0};
    struct nlmsghdr *h = begin_message(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);

    return enf_netlink_dump(&walk->conntrack->dump, h, on_entry, NULL, walk);
}

int enf_conntrack_cut(struct enf_conntrack *conntrack, const struct enf_conntrack_ops *ops)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct walk walk = {conntrack, ops};
    int err = 0;

    if (enf_conntrack_count() == 0)
        return 0;
    for (size_t i = 0; err == 0 && i < sizeof families; i++) {
        if (ops->all) {
            err = cut_all(&walk, families[i]);
            continue;
        }
        err = cut_one(&walk, families[i], CTA_PROTO_DST_PORT, FILTER_DESTINATION_PORT);
        if (err == 0)
            err = cut_one(&walk, families[i], CTA_PROTO_SRC_PORT, FILTER_SOURCE_PORT);
    }
    return err;
}
