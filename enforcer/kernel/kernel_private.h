/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The adapter's own struct. Private to kernel/. */
#pragma once

#include "enforcer/kernel/kernel.h"

#include "enforcer/kernel/netlink.h"

#define ENF_ELEMENT_ROOM     256 /* bytes of one element in a message, more than enough */
#define ENF_MESSAGE_ELEMENTS 100 /* an element list is one attribute: 64 KiB at most */

struct enf_kernel {
    struct enf_netlink nl;
};

/* 0 where our table exists, -ENOENT where not, or -errno: the kernel answers many a question about a table
 * that is missing with an empty list. */
int enf_kernel_table_present(struct enf_kernel *kernel);

/* What the element with this key has left; ENF_FOREVER without an end. -ENOENT: no element, set or table. */
int enf_element_left(struct enf_kernel *kernel, const char *set_name, const struct enf_addr *key,
                     uint64_t *left_ms);

/* --- elements.c: messages of elements --- */
/* A list of elements of one set, sent as one or more messages. */
struct enf_elements {
    struct enf_batch *batch;
    uint16_t type; /* NFT_MSG_NEWSETELEM or NFT_MSG_DELSETELEM */
    const char *set_name;
    struct nftnl_set *set;
    size_t len;
};
void enf_elements_begin(struct enf_elements *e, struct enf_batch *batch, uint16_t type, const char *set_name);
/* timeout_ms ENF_FOREVER: none; flags of NFTNL_SET_ELEM_FLAGS. */
void enf_elements_add(struct enf_elements *e, const void *key, uint32_t key_len, uint64_t timeout_ms,
                      uint32_t flags);
/* What is not sent yet; without it the last elements are lost. */
void enf_elements_flush(struct enf_elements *e);
/* All elements of a set out. */
void enf_elements_flush_set(struct enf_batch *batch, const char *name);
