/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of the relays of the file: when each was used last, and what is told of those that are unused,
 * expired or suspect. On the control thread, in memory: the kernel's sets know a week over a restart. */
#pragma once

#include "enforcer/core/rangemap.h"
#include "enforcer/daemon/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct enf_daemon;
struct enf_running;

/* Of one entry of `relays`. Times by the wall clock, 0: never. */
struct enf_relay_life {
    uint64_t used_ms;
    uint64_t suspected_ms;
    bool unused_told;
    bool expired_told;
    bool lapsed;
};

struct enf_relays {
    const struct enf_running *running; /* whose relays these are */
    struct enf_relay_life *lives;      /* one for each */
    struct enf_rangemap map;           /* value: index */
    uint64_t looked_ms;                /* steady clock */
};

/* Once a second; looks every few. */
void enf_relays_tick(struct enf_daemon *d);
/* Reads what the kernel knows now. The lives, one for each relay of the file, or NULL without memory. */
const struct enf_relay_life *enf_relays_look(struct enf_daemon *d);
/* Whether this entry of the file is no relay any more. */
bool enf_relay_lapsed(const struct enf_daemon *d, size_t index);
/* A worker found that one sends like a zombie. */
void enf_relay_suspect(struct enf_daemon *d, const struct enf_report *report, const char *what);
void enf_relays_free(struct enf_daemon *d);
