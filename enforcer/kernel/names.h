/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is in our table by name, read by libnftnl: nft itself would read all elements. Private to kernel/. */
#pragma once

#include "enforcer/kernel/netlink.h"

#include <stdbool.h>
#include <stddef.h>

enum enf_kind {
    ENF_KIND_CHAIN,
    ENF_KIND_SET, /* maps too */
    ENF_KIND_COUNTER,
};
#define ENF_KIND_COUNT 3

struct enf_names {
    char **items;
    size_t len;
    int err; /* -ENOMEM while collecting */
};

/* 1 where the table exists, 0 where not, or -errno. */
int enf_names_table_exists(struct enf_netlink *nl);
/* All of one kind in the table; a table that is missing has none. The caller clears. Anonymous sets are left
 * out. */
int enf_names_read(struct enf_netlink *nl, enum enf_kind kind, struct enf_names *out);
bool enf_names_have(const struct enf_names *names, const char *name, size_t name_len);
void enf_names_clear(struct enf_names *names);
