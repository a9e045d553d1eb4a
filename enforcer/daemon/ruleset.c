/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a configuration to what the kernel room needs to write the table. */
#include "enforcer/kernel/ruleset.h"

#include "enforcer/daemon/running.h"

#include <errno.h>
#include <stdlib.h>

/* SYNs that one connection attempt sends within any window, at most: a refused one is sent again, and the
 * kernel's bucket counts packets where the detector counts connections. Linux since 6.5 sends 10 in the first
 * minute (tcp_syn_linear_timeouts 4), others no more than that. */
#define SYNS_A_CONNECTION 12

/* The vectors that the spec points to. */
struct parts {
    const char **subscriber_if;
    const char **upstream_if;
    struct enf_ruleset_relay *relays;
    struct enf_ruleset_smarthost *smarthosts;
    struct enf_ruleset_group *groups;
    struct enf_prefix *never;
};

static void parts_free(struct parts *p)
{
    free(p->subscriber_if);
    free(p->upstream_if);
    free(p->relays);
    free(p->smarthosts);
    free(p->groups);
    free(p->never);
}

static size_t sum_relays(const struct enf_config *c)
{
    size_t len = 0;

    for (size_t i = 0; i < c->relays_len; i++)
        len += c->relays[i].addresses_len;
    return len;
}

static size_t sum_smarthosts(const struct enf_config *c)
{
    size_t len = 0;

    for (size_t i = 0; i < c->smarthosts_len; i++)
        len += c->smarthosts[i].addresses_len;
    return len;
}

static size_t sum_overrides(const struct enf_config *c)
{
    size_t len = 0;

    for (size_t i = 0; i < c->groups_len; i++)
        len += c->groups[i].overrides_len;
    return len;
}

static bool parts_alloc(struct parts *p, const struct enf_config *c)
{
    /* One more each: calloc(0) may answer NULL. */
    p->subscriber_if = calloc(c->interfaces.subscriber_len + 1, sizeof *p->subscriber_if);
    p->upstream_if = calloc(c->interfaces.upstream_len + 1, sizeof *p->upstream_if);
    p->relays = calloc(sum_relays(c) + 1, sizeof *p->relays);
    p->smarthosts = calloc(sum_smarthosts(c) + 1, sizeof *p->smarthosts);
    p->groups = calloc(c->groups_len + 1, sizeof *p->groups);
    p->never = calloc(c->quarantine.never.len + sum_overrides(c) + 1, sizeof *p->never);
    return p->subscriber_if && p->upstream_if && p->relays && p->smarthosts && p->groups && p->never;
}

/* The bucket that a source within the window never runs over: as many tokens as the window allows, refilled
 * in its time. Looser than the exact window, never stricter. */
static void set_meter(struct enf_ruleset_group *out, const struct enf_detector_settings *detector,
                      uint64_t *longest_ms)
{
    const struct enf_window *shortest = NULL;

    for (size_t i = 0; i < detector->connection_rate_len; i++) {
        if (!shortest || detector->connection_rate[i].per_ms < shortest->per_ms)
            shortest = &detector->connection_rate[i];
    }
    if (!shortest)
        return;
    uint64_t burst = (uint64_t)shortest->connections * SYNS_A_CONNECTION;
    uint64_t per_minute = (burst * 60000 + shortest->per_ms - 1) / shortest->per_ms;
    out->meter_burst = (uint32_t)burst;
    out->meter_per_minute = per_minute > UINT32_MAX ? UINT32_MAX : (uint32_t)per_minute;
    if (shortest->per_ms > *longest_ms)
        *longest_ms = shortest->per_ms;
}

/* Nobody in the canary's share, or nobody under a policy at all: observed as a whole, sessions and all. */
static bool is_observed(const struct enf_group *group, const struct enf_ruleset_spec *spec)
{
    return group->canary_percent == 0 || (group->canary_percent < 100 && spec->observe);
}

static void fill_groups(struct parts *p, struct enf_ruleset_spec *spec, const struct enf_config *c)
{
    for (size_t i = 0; i < c->groups_len; i++) {
        const struct enf_group *group = &c->groups[i];
        p->groups[i] = (struct enf_ruleset_group){
            .name = group->name,
            .policy = is_observed(group, spec) ? ENF_POLICY_OBSERVE : group->policy,
            .observed_percent = is_observed(group, spec) ? 0 : (uint8_t)(100 - group->canary_percent),
            .reset = group->block_with == ENF_BLOCK_RESET,
            .subscriber_v6 = group->subscriber_prefix_v6,
        };
        set_meter(&p->groups[i], &group->detector, &spec->meter_window_ms);
        /* The group's bucket could be stricter than a subscriber's own limits: those are the detector's
         * alone. */
        for (size_t j = 0; j < group->overrides_len; j++)
            p->never[spec->never_len++] = group->overrides[j].prefix;
    }
}

static void fill(struct parts *p, struct enf_ruleset_spec *spec, const struct enf_config *c)
{
    for (size_t i = 0; i < c->interfaces.subscriber_len; i++)
        p->subscriber_if[spec->subscriber_if_len++] = c->interfaces.subscriber[i].name;
    for (size_t i = 0; i < c->interfaces.upstream_len; i++)
        p->upstream_if[spec->upstream_if_len++] = c->interfaces.upstream[i].name;
    for (size_t i = 0; i < c->relays_len; i++) {
        for (size_t j = 0; j < c->relays[i].addresses_len; j++)
            p->relays[spec->relays_len++] =
                (struct enf_ruleset_relay){c->relays[i].addresses[j], c->relays[i].interface};
    }
    for (size_t i = 0; i < c->smarthosts_len; i++) {
        for (size_t j = 0; j < c->smarthosts[i].addresses_len; j++)
            p->smarthosts[spec->smarthosts_len++] = (struct enf_ruleset_smarthost){
                c->smarthosts[i].addresses[j], c->smarthosts[i].quarantined_may_use};
    }
    for (size_t i = 0; i < c->quarantine.never.len; i++)
        p->never[spec->never_len++] = c->quarantine.never.items[i];
    fill_groups(p, spec, c);
}

uint64_t enf_running_first_quarantine_ms(const struct enf_config *config)
{
    return config->quarantine.escalation_len > 0 ? config->quarantine.escalation[0].duration_ms
                                                 : config->quarantine.duration_ms;
}

enum enf_level enf_running_first_level(const struct enf_config *config)
{
    enum enf_level level =
        config->quarantine.escalation_len > 0 ? config->quarantine.escalation[0].level : ENF_LEVEL_NONE;

    return level != ENF_LEVEL_NONE ? level : config->quarantine.level;
}

static int render(const struct enf_running *running, enum enf_mode mode, enum enf_garden_need garden,
                  bool relays_in_text, char **out)
{
    static const enum enf_ruleset_antispoof antispoof[] = {
        [ENF_ANTISPOOF_OFF] = ENF_RULESET_ANTISPOOF_OFF,
        [ENF_ANTISPOOF_GROUPS] = ENF_RULESET_ANTISPOOF_GROUPS,
        [ENF_ANTISPOOF_STRICT] = ENF_RULESET_ANTISPOOF_STRICT,
    };
    static const enum enf_ruleset_redirect redirect[] = {
        [ENF_REDIRECT_NONE] = ENF_RULESET_REDIRECT_NONE,
        [ENF_REDIRECT_DNAT] = ENF_RULESET_REDIRECT_DNAT,
        [ENF_REDIRECT_TPROXY] = ENF_RULESET_REDIRECT_TPROXY,
    };
    const struct enf_config *c = running->config;
    struct parts p = {0};
    int err = -ENOMEM;

    if (parts_alloc(&p, c)) {
        struct enf_ruleset_spec spec = {
            .observe = mode == ENF_MODE_OBSERVE,
            .relays_in_text = relays_in_text,
            .subscriber_if = p.subscriber_if,
            .upstream_if = p.upstream_if,
            .relays = p.relays,
            .smarthosts = p.smarthosts,
            .groups = p.groups,
            .groups_len = c->groups_len,
            .group_map = &running->groups.map,
            .never = p.never,
            .bogons = running->bogons.items,
            .bogons_len = running->bogons.len,
            .drop_source_port_25 = c->inbound.drop_source_port_25,
            .stateless = c->inbound.stateless,
            .antispoof = antispoof[c->antispoof],
            .queue = c->queue.first,
            .workers = c->queue.count,
            .fail_open = c->queue.fail == ENF_FAIL_OPEN,
            .throttle_connections = c->quarantine.throttle.connections,
            .throttle_per_ms = c->quarantine.throttle.per_ms,
            .quarantine_resets = c->quarantine.block_with == ENF_BLOCK_RESET,
            .garden = garden >= ENF_GARDEN_SINGLES,
            .garden_nets = garden >= ENF_GARDEN_NETS,
            .portal = c->quarantine.portal.items,
            .portal_len = c->quarantine.portal.len,
            .lifeline = c->quarantine.lifeline.items,
            .lifeline_len = c->quarantine.lifeline.len,
            .resolvers = c->quarantine.resolvers.items,
            .resolvers_len = c->quarantine.resolvers.len,
            .redirect = redirect[c->quarantine.redirect],
            .redirect_ports = c->quarantine.redirect_ports,
            .redirect_ports_len = c->quarantine.redirect_ports_len,
            .tproxy_port = c->quarantine.tproxy.port,
            .tproxy_mark = c->quarantine.tproxy.mark,
            .meter_throttles = enf_running_first_level(c) == ENF_LEVEL_THROTTLE,
            .automatic = c->quarantine.automatic,
            .meter_quarantine_ms = enf_running_first_quarantine_ms(c),
        };
        fill(&p, &spec, c);
        err = enf_ruleset_render(&spec, out);
    }
    parts_free(&p);
    return err;
}

int enf_running_ruleset(const struct enf_running *running, enum enf_mode mode, enum enf_garden_need garden,
                        char **out)
{
    return render(running, mode, garden, false, out);
}

int enf_running_ruleset_print(const struct enf_running *running, char **out)
{
    return render(running, running->config->mode,
                  running->config->quarantine.portal.len > 0 ? ENF_GARDEN_NETS : ENF_GARDEN_CLOSED, true,
                  out);
}
