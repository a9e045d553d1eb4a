/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The dynamic side of the table: quarantine, relays, counters, the queue statement. Every change is one
 * nf_tables transaction that is answered before the call returns. One struct enf_kernel is used by one
 * thread; open one a thread.
 *
 * All functions return 0 or -errno. -ENOENT means that the table or a set is missing: somebody deleted it. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct enf_kernel;

/* 0 or -errno; the caller frees with enf_kernel_close, which accepts NULL content and clears the pointer. */
int enf_kernel_open(struct enf_kernel **out);
void enf_kernel_close(struct enf_kernel **kernel);
/* The number of its socket, by which notifications name who made a change. */
uint32_t enf_kernel_port(const struct enf_kernel *kernel);

/* Which sets: what the rules do to those who are in them. Somebody may be in several. */
enum enf_kernel_tier {
    ENF_KERNEL_TIER_SMTP,     /* quarantine4 and so on: TCP/25 is refused */
    ENF_KERNEL_TIER_THROTTLE, /* throttle4 …: a few new connections to TCP/25 pass */
    ENF_KERNEL_TIER_FULL,     /* full4 …: everything but the portal is refused */
};
#define ENF_KERNEL_TIER_COUNT 3

/* What one single subscriber's element shall be. */
struct enf_kernel_single {
    struct enf_prefix subscriber; /* the address is the key; an IPv6 one is masked already */
    enum enf_kernel_tier tier;
    bool remove;
    uint64_t timeout_ms; /* rest from now, 0: over at once; ENF_FOREVER: none */
};

/* Adds, replaces and removes elements of the hash sets, all or nothing, in one transaction. Sets the
 * remaining time also where the element exists (kernels before about 6.12 ignore a second add), and removing
 * one that is absent is no error. Where a subscriber stands twice in a tier, the last word counts. A packet
 * that looks into two sets may see the one as it was before and the other as it is after: who changes tiers
 * is added in one call and removed in a later one. Up to a few thousand at a time: see ENF_KERNEL_CHUNK. */
#define ENF_KERNEL_CHUNK 1000
int enf_kernel_singles(struct enf_kernel *kernel, const struct enf_kernel_single *singles, size_t len);

/* The same for a set that is being filled: `remove` is not looked at, each subscriber stands there once. A
 * third of the kernel's work. An element that is there already stays; kernels from about 6.12 on set its
 * time. */
int enf_kernel_singles_fill(struct enf_kernel *kernel, const struct enf_kernel_single *singles, size_t len);

/* A range of a set of intervals. */
struct enf_kernel_net {
    struct enf_range range;
    uint64_t timeout_ms; /* ENF_FOREVER: none; ignored for relays */
};

struct enf_kernel_nets {
    const struct enf_kernel_net *items;
    size_t len;
};

/* Replaces all of quarantine_nets4, throttle_nets4 and full_nets4, or those of IPv6; nets has an item a tier.
 * Ranges are disjoint, of that family, ascending. An address that was in one of them and shall be in any is
 * in one of them at each moment (by way of quarantine_moving4 and the like). */
int enf_kernel_nets_replace(struct enf_kernel *kernel, enum enf_family family,
                            const struct enf_kernel_nets nets[ENF_KERNEL_TIER_COUNT]);
/* The same for a difference: what is there and shall not be, and what shall be and is not, each as above. A
 * range with another end is both. -ENOENT where one of removed is not there, other -errno of the kernel: then
 * the sets are as before, or hold what they should; what is right is put by enf_kernel_nets_replace. */
int enf_kernel_nets_change(struct enf_kernel *kernel, enum enf_family family,
                           const struct enf_kernel_nets removed[ENF_KERNEL_TIER_COUNT],
                           const struct enf_kernel_nets added[ENF_KERNEL_TIER_COUNT]);
/* Replaces relays4 or relays6. */
int enf_kernel_relays_replace(struct enf_kernel *kernel, enum enf_family family,
                              const struct enf_kernel_net *nets, size_t len);
/* The interfaces on which the meter must not quarantine. */
int enf_kernel_governed_replace(struct enf_kernel *kernel, const char *const *names, size_t len);
/* Whether the kernel has just these, each once in names. */
int enf_kernel_governed_same(struct enf_kernel *kernel, const char *const *names, size_t len, bool *same);

/* Empties the meters and caps of all subscribers, of both families. */
int enf_kernel_meters_flush(struct enf_kernel *kernel);
/* Removes the meter's elements of subscribers; absent ones are fine. A transaction that fails costs the
 * kernel a grace period of RCU (some 10 ms), so it is asked first which are there. 0 or -errno; some may be
 * removed then. */
int enf_kernel_meters_reset(struct enf_kernel *kernel, const struct enf_prefix *subscribers, size_t len);

enum enf_kernel_set {
    ENF_KERNEL_QUARANTINE4,
    ENF_KERNEL_QUARANTINE6,
    ENF_KERNEL_QUARANTINE_NETS4,
    ENF_KERNEL_QUARANTINE_NETS6,
    ENF_KERNEL_RELAYS4,
    ENF_KERNEL_RELAYS6,
    ENF_KERNEL_SERVED4,
    ENF_KERNEL_SERVED6,
    ENF_KERNEL_RELAY_USED4,
    ENF_KERNEL_RELAY_USED6,
    ENF_KERNEL_THROTTLE4,
    ENF_KERNEL_THROTTLE6,
    ENF_KERNEL_THROTTLE_NETS4,
    ENF_KERNEL_THROTTLE_NETS6,
    ENF_KERNEL_FULL4,
    ENF_KERNEL_FULL6,
    ENF_KERNEL_FULL_NETS4,
    ENF_KERNEL_FULL_NETS6,
};
#define ENF_KERNEL_SET_COUNT 18
const char *enf_kernel_set_name(enum enf_kernel_set set);
/* The hash set, or the set of ranges, of a tier. */
enum enf_kernel_set enf_kernel_tier_singles(enum enf_kernel_tier tier, enum enf_family family);
enum enf_kernel_set enf_kernel_tier_nets(enum enf_kernel_tier tier, enum enf_family family);

/* Reads a set as the kernel has it: one call of fn for an element or range, ascending; expires_ms is what was
 * left when this function was called (ENF_FOREVER: no timeout). A non-zero answer of fn stops and is
 * returned. fn is called when all is read: the kernel's dump leaves elements out where the set changes
 * meanwhile, and is then read again. -EINTR where the ruleset of the namespace did not stay the same for one
 * dump in five, or for one that took a second. What packets add and what expires during a dump is not seen as
 * a change: who misses an element asks for it with enf_kernel_singles_left.
 *
 * The kernel's time for a dump grows with the square of the elements, because it finds its place again by
 * counting them: 0.5 s for 100,000, 44 s for a million (6.18). For more than ENF_KERNEL_READ_MAX ask for
 * those that should be there, some thousands at a time: a million takes 5 s that way. */
#define ENF_KERNEL_READ_MAX 100000
typedef int (*enf_kernel_element_fn)(void *ctx, const struct enf_range *range, uint64_t expires_ms);
int enf_kernel_read_set(struct enf_kernel *kernel, enum enf_kernel_set set, enf_kernel_element_fn fn,
                        void *ctx);

/* Whether none of the tiers' hash sets holds anything: at most the beginning of each is read, however
 * large it is. Uses a socket of its own. 0 or -errno. */
int enf_kernel_singles_empty(bool *out);

/* What is left of single subscribers in the hash sets of a tier, asked for one by one (5 us each): exact
 * whatever else changes. left_ms has len places: 0 for one that is not there, ENF_FOREVER for no
 * timeout. On failure some may be written. */
int enf_kernel_singles_left(struct enf_kernel *kernel, enum enf_kernel_tier tier,
                            const struct enf_prefix *subscribers, size_t len, uint64_t *left_ms);

/* Reads all named counters of the table. */
typedef void (*enf_kernel_counter_fn)(void *ctx, const char *name, uint64_t packets, uint64_t bytes);
int enf_kernel_read_counters(struct enf_kernel *kernel, enf_kernel_counter_fn fn, void *ctx);

/* How many rules the table has: a coarse look at its health. -ENOENT where the table is missing. */
int enf_kernel_rule_count(struct enf_kernel *kernel, size_t *out);

enum enf_kernel_queue {
    ENF_KERNEL_QUEUE_NATIVE, /* nft `queue` */
    ENF_KERNEL_QUEUE_XT,     /* the xt NFQUEUE target through nft_compat */
};
const char *enf_kernel_queue_name(enum enf_kernel_queue kind);

/* Puts a queue statement in front of each chain queue0, queue1 … for queue first, first + 1 …, all in one
 * transaction: of the kind that *kind says, or of the other one where the kernel lacks it; says which. A
 * refused transaction makes all who want to change tables wait for a grace period of RCU, 10 to 30 ms: who
 * knows the kind should say it. -EOPNOTSUPP where the kernel has neither. */
int enf_kernel_queue_install(struct enf_kernel *kernel, uint16_t first, uint16_t workers, bool bypass,
                             enum enf_kernel_queue *kind);
/* Of which kind the statement in the chain queue0 is, whatever queue it leads to. -ENOENT where there is
 * none. */
int enf_kernel_queue_kind(struct enf_kernel *kernel, enum enf_kernel_queue *out);
/* 0 where each of these chains begins with that statement, alone before its verdict; -ENOENT where one does
 * not. */
int enf_kernel_queue_check(struct enf_kernel *kernel, uint16_t first, uint16_t workers, bool bypass);
