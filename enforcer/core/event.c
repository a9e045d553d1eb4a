/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the enumerations, as the interface spells them. */
#include "enforcer/core/event.h"

#include <errno.h>
#include <string.h>

#define COUNT_IS(names, count) _Static_assert(sizeof(names) / sizeof *(names) == (count), "a name is missing")

static const char *const policy_names[] = {
    [ENF_POLICY_NONE] = "none",
    [ENF_POLICY_BLOCK] = "block",
    [ENF_POLICY_INSPECT] = "inspect",
    [ENF_POLICY_OBSERVE] = "observe",
};
COUNT_IS(policy_names, ENF_POLICY_COUNT);

static const char *const level_names[] = {
    [ENF_LEVEL_NONE] = "none",
    [ENF_LEVEL_THROTTLE] = "throttle",
    [ENF_LEVEL_SMTP] = "smtp",
    [ENF_LEVEL_FULL] = "full",
};
COUNT_IS(level_names, ENF_LEVEL_COUNT);

static const char *const verdict_names[] = {
    [ENF_VERDICT_CLEAN] = "clean",
    [ENF_VERDICT_SUSPECT] = "suspect",
    [ENF_VERDICT_ZOMBIE] = "zombie",
};
COUNT_IS(verdict_names, ENF_VERDICT_COUNT);

static const char *const evidence_kind_names[] = {
    [ENF_EVIDENCE_CONNECTION] = "connection",
    [ENF_EVIDENCE_DESTINATION] = "destination",
    [ENF_EVIDENCE_TRAP] = "trap",
    [ENF_EVIDENCE_METER] = "meter",
    [ENF_EVIDENCE_ANSWERED] = "answered",
    [ENF_EVIDENCE_FAILED] = "failed",
    [ENF_EVIDENCE_ACCEPTED] = "accepted",
    [ENF_EVIDENCE_REFUSED] = "refused",
    [ENF_EVIDENCE_SECOND_TRY] = "second-try",
    [ENF_EVIDENCE_NO_SECOND_TRY] = "no-second-try",
    [ENF_EVIDENCE_SESSION] = "session",
    [ENF_EVIDENCE_BLOCKLISTED] = "blocklisted",
    [ENF_EVIDENCE_EARLY_TALK] = "early-talk",
    [ENF_EVIDENCE_HELO_CHANGED] = "helo-changed",
    [ENF_EVIDENCE_HELO_NO_NAME] = "helo-no-name",
    [ENF_EVIDENCE_MANY_RECIPIENTS] = "many-recipients",
    [ENF_EVIDENCE_NO_QUIT] = "no-quit",
    [ENF_EVIDENCE_REPLY] = "reply",
};
COUNT_IS(evidence_kind_names, ENF_EVIDENCE_KIND_COUNT);

static const char *const outcome_names[] = {
    [ENF_OUTCOME_SUCCESS] = "success",
    [ENF_OUTCOME_FAILURE] = "failure",
    [ENF_OUTCOME_UNKNOWN] = "unknown",
};
COUNT_IS(outcome_names, ENF_EVENT_OUTCOME_COUNT);

static const char *const action_names[] = {
    [ENF_EVENT_STARTED] = "started",
    [ENF_EVENT_STOPPED] = "stopped",
    [ENF_EVENT_RULESET_INSTALLED] = "ruleset-installed",
    [ENF_EVENT_RULESET_TAMPERED] = "ruleset-tampered",
    [ENF_EVENT_RULESET_RESTORED] = "ruleset-restored",
    [ENF_EVENT_CONFIG_RELOADED] = "config-reloaded",
    [ENF_EVENT_CONFIG_REJECTED] = "config-rejected",
    [ENF_EVENT_EGRESS_BLOCKED] = "egress-blocked",
    [ENF_EVENT_SOURCE_SPOOFED] = "source-spoofed",
    [ENF_EVENT_INBOUND_SPOOFED] = "inbound-spoofed",
    [ENF_EVENT_BOGON_DROPPED] = "bogon-dropped",
    [ENF_EVENT_TRAP_HIT] = "trap-hit",
    [ENF_EVENT_ZOMBIE_DETECTED] = "zombie-detected",
    [ENF_EVENT_SUSPECT] = "suspect",
    [ENF_EVENT_WOULD_QUARANTINE] = "would-quarantine",
    [ENF_EVENT_QUARANTINED] = "quarantined",
    [ENF_EVENT_QUARANTINE_EXTENDED] = "quarantine-extended",
    [ENF_EVENT_RELEASED] = "released",
    [ENF_EVENT_QUARANTINE_EXPIRED] = "quarantine-expired",
    [ENF_EVENT_RELAY_ADDED] = "relay-added",
    [ENF_EVENT_RELAY_REMOVED] = "relay-removed",
    [ENF_EVENT_MODE_CHANGED] = "mode-changed",
    [ENF_EVENT_ACCESS_DENIED] = "access-denied",
    [ENF_EVENT_TELEMETRY_LOST] = "telemetry-lost",
    [ENF_EVENT_TELEMETRY_RESTORED] = "telemetry-restored",
    [ENF_EVENT_GOVERNOR_TRIPPED] = "governor-tripped",
    [ENF_EVENT_GOVERNOR_RESET] = "governor-reset",
    [ENF_EVENT_COVERAGE_LOST] = "coverage-lost",
    [ENF_EVENT_COVERAGE_RESTORED] = "coverage-restored",
    [ENF_EVENT_REASSIGNED] = "subscriber-reassigned",
    [ENF_EVENT_CONNECTIONS_CUT] = "connections-cut",
    [ENF_EVENT_HOOK_FAILED] = "hook-failed",
    [ENF_EVENT_HOOK_DROPPED] = "hook-dropped",
    [ENF_EVENT_CONFIG_CONFIRMED] = "config-confirmed",
    [ENF_EVENT_CONFIG_REVERTED] = "config-reverted",
    [ENF_EVENT_RELAY_UNUSED] = "relay-unused",
    [ENF_EVENT_RELAY_EXPIRED] = "relay-expired",
    [ENF_EVENT_RELAY_LAPSED] = "relay-lapsed",
    [ENF_EVENT_RELAY_SUSPECT] = "relay-suspect",
};
COUNT_IS(action_names, ENF_EVENT_ACTION_COUNT);

static const char *name_at(const char *const *names, unsigned count, unsigned value)
{
    return value < count ? names[value] : NULL;
}

static int value_of(const char *const *names, unsigned count, const char *name, unsigned *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *enf_policy_name(enum enf_policy policy)
{
    return name_at(policy_names, ENF_POLICY_COUNT, policy);
}

const char *enf_level_name(enum enf_level level)
{
    return name_at(level_names, ENF_LEVEL_COUNT, level);
}

const char *enf_verdict_name(enum enf_verdict verdict)
{
    return name_at(verdict_names, ENF_VERDICT_COUNT, verdict);
}

const char *enf_evidence_kind_name(enum enf_evidence_kind kind)
{
    return name_at(evidence_kind_names, ENF_EVIDENCE_KIND_COUNT, kind);
}

const char *enf_event_action_name(enum enf_event_action action)
{
    return name_at(action_names, ENF_EVENT_ACTION_COUNT, action);
}

const char *enf_event_outcome_name(enum enf_event_outcome outcome)
{
    return name_at(outcome_names, ENF_EVENT_OUTCOME_COUNT, outcome);
}

int enf_policy_from_name(const char *name, enum enf_policy *out)
{
    unsigned value;
    int err = value_of(policy_names, ENF_POLICY_COUNT, name, &value);

    if (err == 0)
        *out = (enum enf_policy)value;
    return err;
}

int enf_level_from_name(const char *name, enum enf_level *out)
{
    unsigned value;
    int err = value_of(level_names, ENF_LEVEL_COUNT, name, &value);

    if (err == 0)
        *out = (enum enf_level)value;
    return err;
}

int enf_event_action_from_name(const char *name, enum enf_event_action *out)
{
    unsigned value;
    int err = value_of(action_names, ENF_EVENT_ACTION_COUNT, name, &value);

    if (err == 0)
        *out = (enum enf_event_action)value;
    return err;
}
