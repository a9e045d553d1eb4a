/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a conviction to what is done about it: one pure function over plain values. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/core/rangemap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_DECIDE_STEPS_MAX 16 /* of escalation */

enum enf_decision_kind {
    ENF_DECISION_QUARANTINE,
    ENF_DECISION_WOULD_QUARANTINE, /* observed only: say what would have happened */
    ENF_DECISION_EXEMPT,           /* relay, smarthost, in `never`, or in no group */
    ENF_DECISION_REPORT_ONLY,      /* quarantine.automatic is false */
    ENF_DECISION_HELD_BY_GOVERNOR,
    ENF_DECISION_ALREADY, /* what it has is as strong and lasts as long, or it serves a conviction */
};
#define ENF_DECISION_KIND_COUNT 6

/* What is known of the convicted subscriber. */
struct enf_decide_facts {
    uint64_t now_ms;        /* wall clock */
    enum enf_policy policy; /* of its group; observe also for one outside the canary's share */
    bool observe_mode;
    bool automatic;
    bool relay;
    bool smarthost;
    bool never;
    bool governor_held;  /* tripped before, or by this conviction */
    bool forgeable_only; /* all evidence could be a neighbour's forgery: never leads to level full */
    bool dynamic;        /* addresses change hands: nothing outlasts lease_ms */
    uint64_t lease_ms;
    uint32_t convictions; /* within memory, before this one */
    struct {
        bool is;
        bool automatic; /* by a conviction, not by hand */
        enum enf_level level;
        uint64_t until_ms;
    } quarantined;    /* the strongest that it is in now */
    const char *what; /* the detector's words, or NULL: "21 connections in 60s, limit 20" */
};

struct enf_decide_settings {
    enum enf_level level;
    uint64_t duration_ms; /* used where there are no escalation steps */
    struct enf_decide_step {
        uint64_t duration_ms;
        enum enf_level level; /* NONE: that of the settings */
    } escalation[ENF_DECIDE_STEPS_MAX];
    size_t escalation_len;
};

struct enf_decision {
    enum enf_decision_kind kind;
    enum enf_level level; /* that is or would be given; NONE for EXEMPT */
    uint64_t duration_ms;
    uint64_t until_ms;
    uint32_t convictions;        /* this one included */
    char reason[ENF_REASON_LEN]; /* one or two sentences for people */
};

struct enf_decision enf_decide(const struct enf_decide_facts *facts,
                               const struct enf_decide_settings *settings);

/* How long the nth conviction (1 is the first) keeps a subscriber in quarantine; the last step repeats. */
uint64_t enf_decide_duration(const struct enf_decide_settings *settings, uint32_t convictions);
/* At which level it is kept for that long. */
enum enf_level enf_decide_level(const struct enf_decide_settings *settings, uint32_t convictions);

/* Whether any address of prefix is in the map, as in `never: [192.0.2.0/24]`: an IPv6 subscriber of which one
 * address is exempt is exempt. O(log n). */
bool enf_decide_touches(const struct enf_rangemap *map, const struct enf_prefix *prefix);

/* "quarantine", "would-quarantine", "exempt", "report-only", "held-by-governor", "already"; NULL out of
 * range. */
const char *enf_decision_kind_name(enum enf_decision_kind kind);
