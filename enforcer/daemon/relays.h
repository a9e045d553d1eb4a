/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of the relays, of the file and by hand: when each was used last, and what is told of those that
 * are unused, expired or suspect. On the control thread, in memory: the kernel's sets know a week over a
 * restart; that a relay by hand has lapsed is on disk. */
#pragma once

#include "enforcer/core/rangemap.h"
#include "enforcer/daemon/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct enf_daemon;
struct enf_running;

/* Of one entry of `relays`, or of one relay by hand. Times by the wall clock, 0: never. */
struct enf_relay_life {
    uint64_t used_ms;
    uint64_t suspected_ms;
    bool unused_told;
    bool expired_told;
    bool lapsed;
};

struct enf_relays {
    const struct enf_running *running; /* whose relays these are */
    struct enf_relay_life *lives;      /* one for each of the file */
    struct enf_rangemap map;           /* value: index, those by hand behind those of the file */
    bool stale;                        /* map: others are there by hand now */
    uint64_t looked_ms;                /* steady clock */
};

/* Once a second; looks every few. */
void enf_relays_tick(struct enf_daemon *d);
/* Relays were added, removed or read. */
void enf_relays_changed(struct enf_daemon *d);
/* Reads what the kernel knows now, also for those by hand. The lives, one for each relay of the file, or NULL
 * without memory. */
const struct enf_relay_life *enf_relays_look(struct enf_daemon *d);
/* Whether this entry of the file is no relay any more. */
bool enf_relay_lapsed(const struct enf_daemon *d, size_t index);
/* A worker found that one sends like a zombie. */
void enf_relay_suspect(struct enf_daemon *d, const struct enf_report *report, const char *what);
void enf_relays_free(struct enf_daemon *d);
