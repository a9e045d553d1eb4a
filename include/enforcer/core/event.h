/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happened, as plain values: evidence, signals' results and the events that tell people and the SIEM.
 * Rendering is the business of sinks/. No I/O, safe from any thread. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_NAME_LEN               32 /* group, relay and smarthost names, with the zero */
#define ENF_IFNAME_LEN             16 /* IFNAMSIZ */
#define ENF_REASON_LEN             256
#define ENF_TICKET_LEN             64
#define ENF_ACTOR_LEN              64
#define ENF_OWNER_LEN              128 /* who answers for a relay, and why it is there */
#define ENF_SETTING_LEN            80
#define ENF_EVIDENCE_MAX           256 /* observations kept with one conviction; the count of all is kept besides */
#define ENF_EVENT_DESTINATIONS_MAX 16

enum enf_policy {
    ENF_POLICY_NONE, /* address in no group */
    ENF_POLICY_BLOCK,
    ENF_POLICY_INSPECT,
    ENF_POLICY_OBSERVE,
};
#define ENF_POLICY_COUNT 4

enum enf_level {
    ENF_LEVEL_NONE,
    ENF_LEVEL_THROTTLE,
    ENF_LEVEL_SMTP,
    ENF_LEVEL_FULL,
};
#define ENF_LEVEL_COUNT 4

enum enf_verdict {
    ENF_VERDICT_CLEAN,
    ENF_VERDICT_SUSPECT,
    ENF_VERDICT_ZOMBIE,
};
#define ENF_VERDICT_COUNT 3

/* What a piece of evidence saw. */
enum enf_evidence_kind {
    ENF_EVIDENCE_CONNECTION,
    ENF_EVIDENCE_DESTINATION, /* a connection to a destination not seen before */
    ENF_EVIDENCE_TRAP,
    ENF_EVIDENCE_METER,    /* the kernel's own token bucket ran over while nobody counted exactly */
    ENF_EVIDENCE_ANSWERED, /* first contact with a network */
    ENF_EVIDENCE_FAILED,   /* the same without an answer, or with a reset */
    ENF_EVIDENCE_ACCEPTED, /* a recipient, in the first mail to a network */
    ENF_EVIDENCE_REFUSED,
    ENF_EVIDENCE_SECOND_TRY, /* of a mail that the server put off */
    ENF_EVIDENCE_NO_SECOND_TRY,
    ENF_EVIDENCE_SESSION, /* the first session of a test */
    ENF_EVIDENCE_BLOCKLISTED,
    ENF_EVIDENCE_EARLY_TALK,
    ENF_EVIDENCE_HELO_CHANGED,
    ENF_EVIDENCE_HELO_NO_NAME,
    ENF_EVIDENCE_MANY_RECIPIENTS, /* value: how many */
    ENF_EVIDENCE_NO_QUIT,
    ENF_EVIDENCE_REPLY, /* of SMTP, to a subscriber that asked nothing. value: its code */
};
#define ENF_EVIDENCE_KIND_COUNT 18

/* One observation and the arithmetic it entered: score after the step, against threshold, by setting. */
struct enf_evidence {
    uint64_t time_ms; /* wall clock */
    enum enf_evidence_kind kind;
    struct enf_addr destination;
    uint16_t destination_port; /* host order */
    bool blocked;              /* the attempt was refused */
    bool forgeable; /* a neighbour could have sent it under this address, or it came from outside */
    uint32_t value; /* a number that the kind has, else 0 */
    double step;
    double score;
    double threshold;
    char setting[ENF_SETTING_LEN]; /* as in the configuration: "connection_rate: 20 per 60s" */
};

enum enf_event_action {
    ENF_EVENT_STARTED,
    ENF_EVENT_STOPPED,
    ENF_EVENT_RULESET_INSTALLED,
    ENF_EVENT_RULESET_TAMPERED,
    ENF_EVENT_RULESET_RESTORED,
    ENF_EVENT_CONFIG_RELOADED,
    ENF_EVENT_CONFIG_REJECTED,
    ENF_EVENT_EGRESS_BLOCKED,
    ENF_EVENT_SOURCE_SPOOFED,
    ENF_EVENT_INBOUND_SPOOFED,
    ENF_EVENT_BOGON_DROPPED,
    ENF_EVENT_TRAP_HIT,
    ENF_EVENT_ZOMBIE_DETECTED,
    ENF_EVENT_SUSPECT,
    ENF_EVENT_WOULD_QUARANTINE,
    ENF_EVENT_QUARANTINED,
    ENF_EVENT_QUARANTINE_EXTENDED,
    ENF_EVENT_RELEASED,
    ENF_EVENT_QUARANTINE_EXPIRED,
    ENF_EVENT_RELAY_ADDED,
    ENF_EVENT_RELAY_REMOVED,
    ENF_EVENT_MODE_CHANGED,
    ENF_EVENT_ACCESS_DENIED,
    ENF_EVENT_TELEMETRY_LOST,
    ENF_EVENT_TELEMETRY_RESTORED,
    ENF_EVENT_GOVERNOR_TRIPPED,
    ENF_EVENT_GOVERNOR_RESET,
    ENF_EVENT_COVERAGE_LOST,
    ENF_EVENT_COVERAGE_RESTORED,
    ENF_EVENT_REASSIGNED,
    ENF_EVENT_CONNECTIONS_CUT,
    ENF_EVENT_HOOK_FAILED,
    ENF_EVENT_HOOK_DROPPED,
    ENF_EVENT_CONFIG_CONFIRMED,
    ENF_EVENT_CONFIG_REVERTED,
    ENF_EVENT_RELAY_UNUSED,
    ENF_EVENT_RELAY_EXPIRED,
    ENF_EVENT_RELAY_LAPSED,
    ENF_EVENT_RELAY_SUSPECT,
};
#define ENF_EVENT_ACTION_COUNT 39

enum enf_event_outcome {
    ENF_OUTCOME_SUCCESS,
    ENF_OUTCOME_FAILURE,
    ENF_OUTCOME_UNKNOWN,
};
#define ENF_EVENT_OUTCOME_COUNT 3

/* The zero value of a field means "does not apply" and the field is left out of the JSON. */
struct enf_event {
    enum enf_event_action action;
    enum enf_event_outcome outcome;
    uint64_t time_ms;  /* wall clock */
    uint64_t sequence; /* given by the hub in sinks/, 1 is the first of a run */
    char reason[ENF_REASON_LEN];
    struct enf_addr source;
    uint16_t source_port;
    struct enf_addr destination;
    uint16_t destination_port;
    char interface[ENF_IFNAME_LEN]; /* where the packet came in */
    struct enf_prefix subscriber;
    char group[ENF_NAME_LEN];
    enum enf_policy policy;
    enum enf_level level;
    uint64_t until_ms; /* wall clock; ENF_FOREVER: no end */
    char ticket[ENF_TICKET_LEN];
    char actor[ENF_ACTOR_LEN]; /* "detector", "meter", "config", or "user:NAME" */
    uint64_t count;            /* of aggregated packets or connections, of convictions … */
    uint64_t interval_ms;      /* that count covers */
    struct enf_addr destinations[ENF_EVENT_DESTINATIONS_MAX];
    size_t destinations_len;
    struct enf_evidence *evidence; /* not owned by the event: valid while the call that gets it runs */
    size_t evidence_len;
};

/* Names as the interface spells them; NULL for a value out of range. */
const char *enf_policy_name(enum enf_policy policy);
const char *enf_level_name(enum enf_level level);
const char *enf_verdict_name(enum enf_verdict verdict);
const char *enf_evidence_kind_name(enum enf_evidence_kind kind);
const char *enf_event_action_name(enum enf_event_action action);
const char *enf_event_outcome_name(enum enf_event_outcome outcome);

/* The way back: 0 with *out set, or -EINVAL. */
int enf_policy_from_name(const char *name, enum enf_policy *out);
int enf_level_from_name(const char *name, enum enf_level *out);
int enf_event_action_from_name(const char *name, enum enf_event_action *out);
