/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What nf_tables tells about changes of our table, and whose they were. One thread; nothing here blocks.
 *
 * The kernel ends each transaction with a message that names process and socket (NFT_MSG_NEWGEN). By these
 * our own are told from those of others. What rules of the kernel itself add to a set, what expires, and a
 * transaction that failed is not told. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/kernel/kernel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ENF_NOTIFY_NAME_LEN  16   /* a thread's name in the kernel, with the zero */
#define ENF_NOTIFY_PORTS_MAX 64   /* sockets of our own */
#define ENF_NOTIFY_ADDED_MAX 1024 /* strange elements known by name; beyond it only that there were some */

/* An element that appeared in one of the hash sets. */
struct enf_notify_element {
    enum enf_kernel_tier tier;
    struct enf_addr addr;
};

/* What others did since it was last cleared. */
struct enf_notify_news {
    uint64_t transactions; /* of others, that touched our table */
    bool overrun;          /* messages were lost: everything may have changed */
    bool table_deleted;
    bool rules;                                            /* chains, rules, sets as such, counters */
    bool elements;                                         /* of any set */
    bool static_elements;                                  /* of one with the number of a load in its name */
    size_t elements_added;                                 /* to the hash sets of the tiers */
    size_t elements_removed;                               /* from them */
    struct enf_notify_element added[ENF_NOTIFY_ADDED_MAX]; /* the first of them */
    uint32_t pid;                                          /* of the latest such transaction; 0: not told */
    char name[ENF_NOTIFY_NAME_LEN];                        /* its process; printable */
};

struct enf_notify;
/* Listens. 0 with *out the caller's, or -errno (-EPERM: no CAP_NET_ADMIN). The buffer is 32 MiB. */
int enf_notify_open(struct enf_notify **out);
void enf_notify_close(struct enf_notify **notify); /* accepts NULL content, clears */
int enf_notify_fd(const struct enf_notify *notify);
/* A socket of our own (enf_kernel_port): what it changes is no news. -ENOSPC beyond the maximum. */
int enf_notify_own_port(struct enf_notify *notify, uint32_t port);
/* While static sets are made and filled by libnftables: on, then off. What happens to elements of sets other
 * than the quarantine's is not told meanwhile: a message for each of some hundred thousand would not fit the
 * buffer, and what is lost looks like a change by others. The sets are new: nobody else knows them yet. */
void enf_notify_loading(struct enf_notify *notify, bool on);
/* A thread of our own, whose every transaction is ours: libnftables opens sockets that nobody knows. In a pid
 * namespace the kernel counts threads otherwise; there the thread of a known port is learnt. */
int enf_notify_own_thread(struct enf_notify *notify, pid_t thread);
/* Reads all that waits (or some thousand messages) and adds it to *news. 0, 1 where more waits, or -errno. */
int enf_notify_read(struct enf_notify *notify, struct enf_notify_news *news);
/* The same for messages in a buffer; for tests and the fuzzer. */
void enf_notify_feed(struct enf_notify *notify, const uint8_t *data, size_t len,
                     struct enf_notify_news *news);
/* One without a socket, for these. */
int enf_notify_new_deaf(struct enf_notify **out);
