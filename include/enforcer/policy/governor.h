/* SPDX-License-Identifier: GPL-2.0-or-later */
/* More convictions than a real outbreak gives mean that we are wrong: the governor then stops automatic
 * quarantine on that subscriber interface until a person resets it. No I/O, no clock; one thread at a time.
 */
#pragma once

#include "enforcer/core/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_GOVERNOR_INTERFACES_MAX  4096
#define ENF_GOVERNOR_CONVICTIONS_MAX 10000

struct enf_governor;

enum enf_governor_state {
    ENF_GOVERNOR_OPEN,        /* quarantine may go ahead */
    ENF_GOVERNOR_TRIPPED_NOW, /* by this very conviction: tell people once */
    ENF_GOVERNOR_TRIPPED,
};

/* One tripped interface. */
struct enf_governor_trip {
    char interface[ENF_IFNAME_LEN]; /* "" for the shared counter */
    bool shared;
    uint64_t since_ms;
    uint64_t held; /* convictions since, the one that tripped it included */
};

/* More than `convictions` (1 to ENF_GOVERNOR_CONVICTIONS_MAX; 0: no limit) within per_ms trip it. seed:
 * random, secret. 0 with *out the caller's; -EINVAL, -ENOMEM with *out untouched. */
int enf_governor_new(uint32_t convictions, uint64_t per_ms, uint64_t seed, struct enf_governor **out);
/* Accepts NULL content; clears the caller's pointer. */
void enf_governor_free(struct enf_governor **governor);
/* New limits: the windows start anew, what is tripped stays so. 0, -EINVAL or -ENOMEM with nothing changed.
 */
int enf_governor_configure(struct enf_governor *governor, uint32_t convictions, uint64_t per_ms);

/* Accounts one conviction on interface ("" where it is not known: an interface like any other) at now_ms, and
 * says whether its quarantine may go ahead. The window at t is (t - per_ms, t], exact. A clock that steps
 * back by no more than per_ms stands still here; a longer step starts the window anew. At
 * ENF_GOVERNOR_INTERFACES_MAX interfaces one that is idle (not tripped, window empty) makes room; without
 * such all further ones share one counter, which then trips for all of them. Cannot fail: without memory for
 * a window of its own an interface shares too. */
enum enf_governor_state enf_governor_conviction(struct enf_governor *governor, const char *interface,
                                                uint64_t now_ms);

/* Puts back at start what was tripped when the state was saved. "" with shared: the shared counter. */
void enf_governor_restore(struct enf_governor *governor, const struct enf_governor_trip *trip);
bool enf_governor_tripped(const struct enf_governor *governor, const char *interface);
/* Calls fn for each tripped one, the shared counter last; stops at a non-zero answer and returns it. */
int enf_governor_each(const struct enf_governor *governor,
                      int (*fn)(void *ctx, const struct enf_governor_trip *trip), void *ctx);
/* Automatic quarantine goes on: on one interface, or with NULL on all of them and the shared counter. Windows
 * start anew. Returns how many were tripped. */
size_t enf_governor_reset(struct enf_governor *governor, const char *interface);
