/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table that says what each action is in the words of the Elastic Common Schema. */
#include "enforcer/sinks/render.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum {
    INFO = 10,
    LOW = 21,
    MEDIUM = 47,
    HIGH = 73,
    CRITICAL = 99,
};

/* kind `alert` is what somebody may have to look at, `event` what happened. The types are those that ECS
 * expects for the first category. */
static const struct enf_event_class classes[] = {
    [ENF_EVENT_STARTED] = {"event", {"process"}, {"start"}, INFO, NULL, NULL},
    [ENF_EVENT_STOPPED] = {"event", {"process"}, {"end"}, INFO, NULL, NULL},
    [ENF_EVENT_RULESET_INSTALLED] = {"event", {"configuration"}, {"creation"}, INFO, NULL, NULL},
    [ENF_EVENT_RULESET_TAMPERED] = {"alert", {"configuration"}, {"change"}, CRITICAL, NULL, NULL},
    [ENF_EVENT_RULESET_RESTORED] = {"event", {"configuration"}, {"change"}, MEDIUM, NULL, NULL},
    [ENF_EVENT_CONFIG_RELOADED] = {"event", {"configuration"}, {"change"}, INFO, NULL, NULL},
    [ENF_EVENT_CONFIG_REJECTED] = {"event", {"configuration"}, {"info"}, MEDIUM, NULL, NULL},
    [ENF_EVENT_EGRESS_BLOCKED] =
        {"event", {"network"}, {"connection", "denied"}, LOW, "outbound", "groups.policy"},
    [ENF_EVENT_SOURCE_SPOOFED] =
        {"alert", {"network", "intrusion_detection"}, {"denied"}, MEDIUM, "outbound", "antispoof"},
    [ENF_EVENT_INBOUND_SPOOFED] = {"alert",
                                   {"network", "intrusion_detection"},
                                   {"denied"},
                                   LOW,
                                   "inbound",
                                   "inbound.drop_source_port_25"},
    [ENF_EVENT_BOGON_DROPPED] = {"event", {"network"}, {"denied"}, LOW, "unknown", "inbound.bogons"},
    [ENF_EVENT_TRAP_HIT] =
        {"alert", {"intrusion_detection", "network"}, {"info"}, HIGH, "outbound", "detector.traps"},
    [ENF_EVENT_ZOMBIE_DETECTED] =
        {"alert", {"intrusion_detection", "network"}, {"info"}, HIGH, "outbound", NULL},
    [ENF_EVENT_SUSPECT] = {"alert", {"intrusion_detection", "network"}, {"info"}, MEDIUM, "outbound", NULL},
    [ENF_EVENT_WOULD_QUARANTINE] =
        {"alert", {"intrusion_detection", "network"}, {"allowed"}, MEDIUM, "outbound", NULL},
    [ENF_EVENT_QUARANTINED] = {"event", {"network"}, {"denied", "start"}, HIGH, "outbound", NULL},
    [ENF_EVENT_QUARANTINE_EXTENDED] = {"event", {"network"}, {"denied", "info"}, HIGH, "outbound", NULL},
    [ENF_EVENT_RELEASED] = {"event", {"network"}, {"allowed", "end"}, INFO, "outbound", NULL},
    [ENF_EVENT_QUARANTINE_EXPIRED] = {"event", {"network"}, {"allowed", "end"}, INFO, "outbound", NULL},
    [ENF_EVENT_RELAY_ADDED] = {"event", {"configuration"}, {"creation"}, INFO, NULL, NULL},
    [ENF_EVENT_RELAY_REMOVED] = {"event", {"configuration"}, {"deletion"}, INFO, NULL, NULL},
    [ENF_EVENT_MODE_CHANGED] = {"event", {"configuration"}, {"change"}, MEDIUM, NULL, NULL},
    [ENF_EVENT_ACCESS_DENIED] = {"alert", {"configuration"}, {"access"}, MEDIUM, NULL, "control"},
    [ENF_EVENT_TELEMETRY_LOST] = {"event", {"host"}, {"info"}, MEDIUM, NULL, NULL},
    [ENF_EVENT_TELEMETRY_RESTORED] = {"event", {"host"}, {"info"}, LOW, NULL, NULL},
    [ENF_EVENT_GOVERNOR_TRIPPED] =
        {"alert", {"intrusion_detection"}, {"info"}, CRITICAL, NULL, "quarantine.governor"},
    [ENF_EVENT_GOVERNOR_RESET] = {"event", {"configuration"}, {"change"}, INFO, NULL, "quarantine.governor"},
    [ENF_EVENT_COVERAGE_LOST] = {"alert", {"host"}, {"info"}, CRITICAL, NULL, NULL},
    [ENF_EVENT_COVERAGE_RESTORED] = {"event", {"host"}, {"info"}, INFO, NULL, NULL},
    [ENF_EVENT_REASSIGNED] = {"event", {"configuration"}, {"change"}, INFO, NULL, NULL},
    [ENF_EVENT_CONNECTIONS_CUT] = {"event", {"network"}, {"denied", "end"}, LOW, "outbound", NULL},
    [ENF_EVENT_HOOK_FAILED] = {"event", {"process"}, {"end"}, MEDIUM, NULL, "hooks"},
    [ENF_EVENT_HOOK_DROPPED] = {"event", {"process"}, {"info"}, MEDIUM, NULL, "hooks"},
    [ENF_EVENT_CONFIG_CONFIRMED] = {"event", {"configuration"}, {"info"}, INFO, NULL, NULL},
    [ENF_EVENT_CONFIG_REVERTED] = {"alert", {"configuration"}, {"change"}, HIGH, NULL, NULL},
    [ENF_EVENT_RELAY_UNUSED] = {"alert", {"configuration"}, {"info"}, LOW, NULL, "relay_policy.unused"},
    [ENF_EVENT_RELAY_EXPIRED] = {"alert", {"configuration"}, {"info"}, MEDIUM, NULL, "relays.expires"},
    [ENF_EVENT_RELAY_LAPSED] = {"alert", {"configuration"}, {"deletion"}, HIGH, NULL, "relay_policy.lapse"},
    [ENF_EVENT_RELAY_SUSPECT] =
        {"alert", {"intrusion_detection", "network"}, {"info"}, HIGH, "outbound", "relays"},
};
_Static_assert(ARRAY_LEN(classes) == ENF_EVENT_ACTION_COUNT, "every action has a class");

const struct enf_event_class *enf_event_classify(enum enf_event_action action)
{
    if ((size_t)action >= ARRAY_LEN(classes))
        return NULL;
    return &classes[action];
}
