/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hosts whose sessions were answered, and which of them behave like mail servers: what a roll-out must know
 * before it cuts them. Fed with the observations of flows that are read. Pure: no I/O, no clock, no globals;
 * one table belongs to one thread. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/inspect/observation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_SENDERS_MAX 8192 /* hosts in one table; a power of two */

/* One host by its own address: what a relay would be allowed by. Numbers stop at their type's end. */
struct enf_sender {
    struct enf_addr address;
    uint64_t first_ms;
    uint64_t last_ms;
    uint64_t destinations; /* a bit for each of 64 classes of destinations: enf_sender_destinations */
    char interface[ENF_IFNAME_LEN]; /* where it was seen last */
    uint32_t answered;              /* connections that a server answered */
    uint32_t failed;                /* … that none did, since the first that was answered */
    uint32_t ended;                 /* sessions that the host ended itself */
    uint32_t quits;                 /* of those: with QUIT */
    uint32_t accepted;              /* sessions with a recipient that the server took */
    uint32_t refused;               /* … that it refused for good */
    uint32_t blocklisted;
    uint32_t early;    /* it spoke before the banner */
    uint32_t helo;     /* hash of its name, the first one */
    bool helo_changed; /* it had other names as well */
    bool helo_good;    /* the last one has a form that RFC 5321 allows a server */
};

enum enf_sender_kind {
    ENF_SENDER_OTHER,
    ENF_SENDER_POSSIBLE, /* some sessions that end as they should, to more than one place */
    ENF_SENDER_LIKELY,   /* many of them to many places, or some and it answers port 25 itself */
};
#define ENF_SENDER_KIND_COUNT 3

struct enf_senders; /* private to senders.c */

/* 0 with *out the caller's, or -ENOMEM. seed: random, strangers choose the addresses. */
int enf_senders_new(uint64_t seed, struct enf_senders **out);
/* Accepts NULL content; clears the caller's pointer. */
void enf_senders_free(struct enf_senders **senders);

/* Takes an observation of a host. A host begins with its first answered connection, so SYNs alone take no
 * room. Where there is none, the one with the fewest answered connections among eight goes, of equal ones the
 * one longest silent. interface: its name, copied. */
void enf_senders_feed(struct enf_senders *senders, const struct enf_observation *obs, const char *interface);
/* Forgets all hosts in the prefix. */
void enf_senders_forget(struct enf_senders *senders, const struct enf_prefix *prefix);
/* Calls fn for each host, in no order, until it answers other than 0; returns that answer, else 0. */
int enf_senders_each(const struct enf_senders *senders, int (*fn)(void *ctx, const struct enf_sender *sender),
                     void *ctx);

/* About how many destinations: exact up to a few, within a third up to 100, at most 266. */
unsigned enf_sender_destinations(const struct enf_sender *sender);
/* serves: it answers connections to its own port 25. */
enum enf_sender_kind enf_sender_judge(const struct enf_sender *sender, bool serves);
/* "other", "possible", "likely"; NULL for a value out of range. */
const char *enf_sender_kind_name(enum enf_sender_kind kind);
