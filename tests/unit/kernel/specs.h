/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rulesets to test with: what a configuration could give, written down as plain values. */
#pragma once

#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* A network namespace of our own for the rest of this process: 0, or -errno where that needs more rights. A
 * user namespace of our own is tried as well; *own_user says so: limits of the first one then hold. */
static inline int enter_namespace(bool *own_user)
{
    *own_user = false;
    if (unshare(CLONE_NEWNET) == 0)
        return 0;
    *own_user = true;
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : -errno;
}

#define SPEC_LISTS_MAX 8

/* A spec and all that it points to. Clear with bed_clear. */
struct bed {
    struct enf_ruleset_spec spec;
    const char *subscriber_if[SPEC_LISTS_MAX];
    const char *upstream_if[SPEC_LISTS_MAX];
    struct enf_ruleset_relay relays[SPEC_LISTS_MAX];
    struct enf_ruleset_smarthost smarthosts[SPEC_LISTS_MAX];
    struct enf_ruleset_group groups[SPEC_LISTS_MAX];
    struct enf_rangemap_input input[4 * SPEC_LISTS_MAX];
    size_t input_len;
    struct enf_rangemap map;
    struct enf_prefix never[SPEC_LISTS_MAX];
    struct enf_prefix bogons[SPEC_LISTS_MAX];
};

static inline struct enf_prefix bed_prefix(const char *text)
{
    struct enf_prefix prefix;

    if (enf_prefix_parse(text, &prefix) < 0)
        abort();
    return prefix;
}

/* Nothing configured: what every other one starts from. */
static inline void bed_init(struct bed *bed)
{
    memset(bed, 0, sizeof *bed);
    bed->spec = (struct enf_ruleset_spec){
        .subscriber_if = bed->subscriber_if,
        .upstream_if = bed->upstream_if,
        .relays = bed->relays,
        .smarthosts = bed->smarthosts,
        .groups = bed->groups,
        .group_map = &bed->map,
        .never = bed->never,
        .bogons = bed->bogons,
        .drop_source_port_25 = true,
        .automatic = true,
        .meter_quarantine_ms = 3600000,
        .meter_window_ms = 60000,
        .throttle_connections = 2,
        .throttle_per_ms = 60000,
    };
}

/* Level full, with all that belongs to it, and somebody at it. */
static inline void bed_garden(struct bed *bed, enum enf_ruleset_redirect redirect)
{
    static const uint16_t ports[] = {80, 8080};
    static struct enf_prefix portal[2], lifeline[3], resolvers[1];

    portal[0] = bed_prefix("203.0.113.81");
    portal[1] = bed_prefix("2001:db8:f::81");
    lifeline[0] = bed_prefix("198.51.100.64/26");
    lifeline[1] = bed_prefix("198.51.100.80/28"); /* within the one before */
    lifeline[2] = bed_prefix("2001:db8:f:1::/64");
    resolvers[0] = bed_prefix("203.0.113.53");
    bed->spec.garden = true;
    bed->spec.garden_nets = redirect == ENF_RULESET_REDIRECT_DNAT;
    bed->spec.portal = portal;
    bed->spec.portal_len = 2;
    bed->spec.lifeline = lifeline;
    bed->spec.lifeline_len = 3;
    bed->spec.resolvers = resolvers;
    bed->spec.resolvers_len = 1;
    bed->spec.redirect = redirect;
    bed->spec.redirect_ports = ports;
    bed->spec.redirect_ports_len = 2;
    bed->spec.tproxy_port = 8080;
    bed->spec.tproxy_mark = 0x100;
}

static inline void bed_relay(struct bed *bed, const char *prefix, const char *interface)
{
    bed->relays[bed->spec.relays_len++] = (struct enf_ruleset_relay){bed_prefix(prefix), interface};
}

static inline void bed_smarthost(struct bed *bed, const char *prefix, bool quarantined_may_use)
{
    bed->smarthosts[bed->spec.smarthosts_len++] =
        (struct enf_ruleset_smarthost){bed_prefix(prefix), quarantined_may_use};
}

/* prefixes: one text, with blanks between. */
static inline void bed_group(struct bed *bed, const char *name, enum enf_policy policy, uint8_t v6,
                             const char *prefixes)
{
    bed->groups[bed->spec.groups_len] = (struct enf_ruleset_group){
        .name = name, .policy = policy, .subscriber_v6 = v6, .meter_per_minute = 240, .meter_burst = 240};
    for (const char *at = prefixes; *at; at += strspn(at, " ")) {
        char text[ENF_PREFIX_STR_LEN] = "";
        size_t len = strcspn(at, " ");
        memcpy(text, at, len);
        bed->input[bed->input_len++] =
            (struct enf_rangemap_input){bed_prefix(text), (uint32_t)bed->spec.groups_len};
        at += len;
    }
    bed->spec.groups_len++;
}

static inline void bed_finish(struct bed *bed)
{
    if (enf_rangemap_build(bed->input, bed->input_len, &bed->map) < 0)
        abort();
}

static inline void bed_clear(struct bed *bed)
{
    enf_rangemap_clear(&bed->map);
}

static inline void bed_interfaces(struct bed *bed, bool subscriber, bool upstream)
{
    bed->subscriber_if[0] = "eth1";
    bed->subscriber_if[1] = "ppp*";
    bed->upstream_if[0] = "eth0";
    bed->upstream_if[1] = "wan*";
    bed->spec.subscriber_if_len = subscriber ? 2 : 0;
    bed->spec.upstream_if_len = upstream ? 2 : 0;
}

static inline void bed_relays(struct bed *bed)
{
    bed_relay(bed, "192.0.2.10", "eth2");
    bed_relay(bed, "192.0.2.64/28", "");
    bed_relay(bed, "2001:db8:1::10", "eth2");
    bed_smarthost(bed, "198.51.100.25", false);
    bed_smarthost(bed, "198.51.100.26", true);
    bed_smarthost(bed, "2001:db8:2::25", true);
}

/* Nested groups of every policy, with three lengths of IPv6 subscribers. */
static inline void bed_groups(struct bed *bed)
{
    bed_group(bed, "residential", ENF_POLICY_BLOCK, 56, "100.64.0.0/10 2001:db8:1000::/36");
    bed_group(bed, "business", ENF_POLICY_INSPECT, 48, "100.64.9.0/24 2001:db8:1200::/40");
    bed_group(bed, "lab-net", ENF_POLICY_OBSERVE, 64, "10.0.0.0/8 2001:db8:1234::/48");
    bed->groups[0].reset = true;
}

static inline void bed_bogons(struct bed *bed)
{
    static const char *const texts[] = {"0.0.0.0/8", "100.64.0.0/10", "192.0.2.0/24", "240.0.0.0/4",
                                        "2001:db8::/32"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        bed->bogons[bed->spec.bogons_len++] = bed_prefix(texts[i]);
}

/* All that can be configured, enforced. */
static inline void bed_full(struct bed *bed)
{
    bed_init(bed);
    bed_interfaces(bed, true, true);
    bed_relays(bed);
    bed_groups(bed);
    bed_bogons(bed);
    bed->never[bed->spec.never_len++] = bed_prefix("192.0.2.0/24");
    bed->never[bed->spec.never_len++] = bed_prefix("2001:db8:1000:ff00::/56");
    bed->spec.antispoof = ENF_RULESET_ANTISPOOF_STRICT;
    bed_finish(bed);
}
