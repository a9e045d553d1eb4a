/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections, those to TCP port 25 or all, that the kernel tracks for somebody else: a firewall with states,
 * NAT, a flowtable. Deleting one takes it out of a flowtable too: from then on its packets come through the
 * forward hook again, where the rules see them. enforcer itself tracks nothing and never loads connection
 * tracking.
 *
 * Source: linux/netfilter/nfnetlink_conntrack.h, net/netfilter/nf_conntrack_netlink.c. One thread. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct enf_conntrack;
/* 0 with *out the caller's, or -errno. Loads nothing and asks nothing of the kernel. */
int enf_conntrack_open(struct enf_conntrack **out);
void enf_conntrack_close(struct enf_conntrack **conntrack); /* accepts NULL content, clears */

/* Tracked connections in this network namespace, all protocols. 0 where connection tracking is not there. */
uint64_t enf_conntrack_count(void);

/* A connection as the one end sees it that talks to port 25, whoever was seen first; another one as that end
 * sees it that was seen first, with the server that really answers. Ports in host order, 0 where there are
 * none. */
struct enf_conntrack_entry {
    struct enf_addr client;
    struct enf_addr server;
    uint16_t client_port;
    uint16_t server_port;
    bool smtp;      /* TCP port 25 at one end */
    bool offloaded; /* in a flowtable: its packets pass no hook */
};

enum enf_conntrack_fate {
    ENF_CONNTRACK_DELETED, /* or gone by itself meanwhile */
    ENF_CONNTRACK_KEPT,    /* the kernel refused: error says why */
};

struct enf_conntrack_ops {
    /* Whether this one is to go. */
    bool (*wanted)(void *ctx, const struct enf_conntrack_entry *entry);
    /* What became of one that was wanted. error: 0 or -errno. */
    void (*done)(void *ctx, const struct enf_conntrack_entry *entry, enum enf_conntrack_fate fate, int error);
    void *ctx;
    bool all; /* all protocols and ports, not port 25 alone */
};

/* Goes through all tracked connections of port 25 once, and deletes those that ops want. The kernel chooses
 * by port, so only those come here; it walks through all of its table for that, four times. With ops->all
 * they all come here. Nothing is collected. 0 or -errno: -EPERM without CAP_NET_ADMIN; some may be deleted by
 * then. Nothing is asked, and 0 returned, where nothing is tracked. */
int enf_conntrack_cut(struct enf_conntrack *conntrack, const struct enf_conntrack_ops *ops);
