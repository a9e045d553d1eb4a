/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the detector is told: plain values, filled by the configuration or by a test. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_WINDOWS_MAX 4

/* More than `connections` inside any span of `per_ms` convicts: an observation at t looks at (t - per_ms, t].
 */
struct enf_window {
    uint32_t connections; /* 1 to ENF_WINDOW_CONNECTIONS_MAX */
    uint64_t per_ms;      /* up to ENF_WINDOW_PER_MAX */
};
#define ENF_WINDOW_CONNECTIONS_MAX 100000
#define ENF_WINDOW_PER_MAX         (7ULL * 86400 * 1000)
#define ENF_DISTINCT_MAX           50000 /* destinations that a limit may name; they are counted exactly */

#define ENF_REPLIES_MAX 64 /* a limit on unrequested replies: they are all kept as evidence */

/* Whose line it is: decides what a connection to a network not used before says. */
enum enf_sequential_model {
    ENF_SEQUENTIAL_LINE,   /* without a mail server: strangers are suspicious */
    ENF_SEQUENTIAL_SERVER, /* that may have one: it has a reason to reach strangers */
};

struct enf_sequential_settings {
    bool enabled;
    enum enf_sequential_model model; /* follows from the policy */
    double false_conviction;         /* expected ones a subscriber and day, at most */
    double missed;                   /* beta */
};

struct enf_detector_settings {
    struct enf_window connection_rate[ENF_WINDOWS_MAX];
    size_t connection_rate_len; /* 0: no limit */
    struct {
        uint32_t count; /* more than that many convict, up to ENF_DISTINCT_MAX; 0: no limit */
        uint64_t per_ms;
    } distinct_destinations;
    const struct enf_addr *traps; /* not owned */
    size_t traps_len;
    struct enf_sequential_settings sequential;
    struct {
        uint32_t count; /* so many make a suspect, up to ENF_REPLIES_MAX; 0: off */
        uint64_t per_ms;
        bool convicts; /* instead */
    } unrequested_replies;
};

/* The defaults of a policy, without traps. A residential line in `block` has no reason for 20 connections a
 * minute; an honest mail server in `inspect` must never need an override. */
struct enf_detector_settings enf_detector_defaults(enum enf_policy policy);
