/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who lives in the simulated network, and what each of them does next. */
#pragma once

#include "enforcer/core/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECOND_MS 1000.0
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

/* One subscriber: all that it remembers. `a` to `d` belong to its kind. */
struct agent {
    uint64_t random;
    uint64_t first_ms; /* its first connection; 0: none yet */
    uint32_t connections;
    uint16_t convictions;
    uint8_t kind;
    uint8_t unused;
    float rate; /* connections a day, or what its kind calls a rate */
    uint32_t a, b, c, d;
    uint32_t retry_to; /* the server that put a mail off; 0: none */
    uint32_t retry_s;  /* when it is tried again: seconds since the start of the run */
    uint16_t name;     /* HELO, changed by some with each session */
    uint8_t habits;    /* see session.h */
    uint32_t wait_ms;  /* after a second try: until its own next step */
};

/* A step of an agent: where it connects, and how long after that it does so again. */
struct act {
    uint32_t destination; /* IPv4, host order; 0: nowhere, it only waits */
    double gap_ms;
    bool down; /* its line is: no answer */
};

struct session_kind; /* session.h: how it speaks, where that is seen */

struct kind {
    const char *name;
    const char *what;
    bool zombie;
    enum enf_policy policy; /* of the group that such a subscriber belongs into */
    double share;           /* of the honest, or of the zombies, where nobody chooses kinds */
    /* Draws what is its own for life; returns the wait before its first step. */
    double (*start)(struct agent *agent);
    void (*act)(struct agent *agent, uint64_t now_ms, struct act *out);
    const struct session_kind *session; /* NULL: its connections are refused, nothing is said in them */
};

/* honest.c and zombies.c */
extern const struct kind honest_kinds[];
extern const size_t honest_kinds_len;
extern const struct kind zombie_kinds[];
extern const size_t zombie_kinds_len;

/* The n-th network (IPv4 /16) of a numbering that is the owner's: always the same, like no other's. */
uint32_t network_of(uint64_t owner, uint32_t n);
/* One of the networks of the largest mail providers, the first ones most often. */
uint32_t network_of_provider(struct agent *agent);
/* A waiting time that ends in the night ends in the morning instead, most often. */
double by_day(struct agent *agent, uint64_t now_ms, double gap_ms);
