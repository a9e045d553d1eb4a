/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From plain values to the nft text of the whole table: fills in nft-templates/. */
#include "enforcer/kernel/ruleset.h"

#include "enforcer/core/text.h"
#include "enforcer/kernel/ruleset_build.h"
#include "enforcer/kernel/ruleset_sets.h"
#include "enforcer/kernel/ruleset_share.h"
#include "enforcer/kernel/ruleset_text.h"
#include "enforcer/kernel/ruleset_workers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* New flows of a subscriber: the bucket `cap`. */
#define CAP_PER_SECOND 20U
#define CAP_BURST      1200U

/* For 32 aligned bits with a mask the kernel calls no function, as it does for `meta nfproto`, `ip frag-off`
 * and `tcp flags`; nor does it for `th sport`, which unlike `tcp sport` does not ask for the protocol again.
 * The version is in the first word and the fragment's offset in the second one of IPv4 (RFC 791, 3.1), the
 * flags are in the fourth one of TCP (RFC 9293, 3.1). The masks keep nft from making one comparison of two
 * neighbours. */
#define IPV4       "@nh,0,32 & 0xf0000000 == 0x40000000"
#define IPV6       "@nh,0,32 & 0xf0000000 == 0x60000000"
#define IPV4_FIRST IPV4 " @nh,32,32 & 0x1fff == 0"
#define SYN_ACK    "@th,96,32 & 0x120000"
#define SYN_ALONE  "0x20000"

/* Of all sources together: whoever floods shall not make the router flood. What is over it is dropped. */
#define RESETS_PER_SECOND "1000"
#define RESETS            "limit rate " RESETS_PER_SECOND "/second burst " RESETS_PER_SECOND " packets"

#define RESET "meta l4proto tcp " RESETS " reject with tcp reset\n    drop"

/* As nft writes it: whole seconds, at least one (0 would be none), at most what a configuration may say. */
static void set_seconds(struct enf_builder *b, const char *name, uint64_t ms)
{
    uint64_t bounded = ms > ENF_DURATION_MAX ? ENF_DURATION_MAX : ms < 1 ? 1 : ms;

    enf_builder_setf(b, name, "%" PRIu64 "s", (bounded + 999) / 1000);
}

/* What chains of one length of subscribers have behind their names. */
static void set_suffix(struct enf_builder *b, enum enf_family family, uint8_t bits)
{
    if (family == ENF_FAMILY_V4)
        enf_builder_set(b, "s", "4");
    else
        enf_builder_setf(b, "s", "6_%u", bits);
}

static void set_subscriber(struct enf_builder *b, const char *name, enum enf_family family, uint8_t bits)
{
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    if (out)
        enf_text_subscriber(out, family, "saddr", bits);
    enf_builder_end(b, name, out, &v);
}

static void set_id(struct enf_builder *b, const char *group)
{
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    if (out)
        enf_text_id(out, group);
    enf_builder_end(b, "id", out, &v);
}

static int render_group(const struct enf_builder *up, const struct enf_ruleset_group *group,
                        enum enf_family family, FILE *out)
{
    const struct enf_ruleset_spec *spec = up->plan->spec;
    struct enf_builder b;

    enf_builder_init(&b, up->plan, up);
    set_id(&b, group->name);
    enf_builder_set(&b, "name", group->name);
    enf_share_group(&b, group);
    set_suffix(&b, family, group->subscriber_v6);
    set_subscriber(&b, "source", family, group->subscriber_v6);
    enf_builder_flag(&b, "copied", enf_plan_copies(b.plan, group) || enf_plan_partial(b.plan, group));
    enf_builder_flag(&b, "block", group->policy == ENF_POLICY_BLOCK && !spec->observe);
    enf_builder_flag(&b, "inspect", group->policy == ENF_POLICY_INSPECT && !spec->observe);
    enf_builder_flag(&b, "watch",
                     group->policy == ENF_POLICY_OBSERVE || spec->observe || enf_plan_partial(b.plan, group));
    bool metered = spec->automatic && group->meter_per_minute > 0;
    enf_builder_flag(&b, "metered", metered);
    enf_builder_flag(&b, "within_cap",
                     metered && group->meter_per_minute <= CAP_PER_SECOND * 60 &&
                         group->meter_burst <= CAP_BURST);
    enf_builder_setf(&b, "meter_rate", "%u/minute", group->meter_per_minute);
    enf_builder_setf(&b, "meter_burst", "%u", group->meter_burst);
    enf_builder_set(&b, "block_with", group->reset ? RESET : "drop");
    enf_builder_render(&b, enf_template_group, out);
    enf_builder_clear(&b);
    return b.err;
}

static void set_groups(struct enf_builder *b, enum enf_family family)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && i < spec->groups_len; i++) {
        if (enf_plan_group_in(b->plan, i, family))
            enf_builder_fail(b, render_group(b, &spec->groups[i], family, out));
    }
    enf_builder_end(b, "groups", out, &v);
}

static int render_length(const struct enf_builder *up, enum enf_family family, uint8_t bits, FILE *out)
{
    const struct enf_ruleset_spec *spec = up->plan->spec;
    struct enf_builder b;

    enf_builder_init(&b, up->plan, up);
    set_suffix(&b, family, bits);
    enf_builder_setf(&b, "length", "%u", bits);
    set_subscriber(&b, "source", family, bits);
    enf_builder_flag(&b, "automatic", spec->automatic && !spec->observe);
    set_seconds(&b, "meter_quarantine", spec->meter_quarantine_ms);
    enf_builder_set(&b, "meter_set", spec->meter_throttles ? "throttle" : "quarantine");
    enf_builder_render(&b, enf_template_length, out);
    enf_builder_clear(&b);
    return b.err;
}

static void set_lengths(struct enf_builder *b, enum enf_family family)
{
    const uint8_t *lengths;
    size_t len = enf_plan_lengths(b->plan, family, &lengths);
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && i < len; i++)
        enf_builder_fail(b, render_length(b, family, lengths[i], out));
    enf_builder_end(b, "lengths", out, &v);
}

static int render_family(const struct enf_builder *up, enum enf_family family, FILE *out)
{
    bool v4 = family == ENF_FAMILY_V4;
    const char *ip = v4 ? "ip" : "ip6", *type = v4 ? "ipv4_addr" : "ipv6_addr";
    const struct enf_ruleset_spec *spec = up->plan->spec;
    struct enf_builder b;

    enf_builder_init(&b, up->plan, up);
    enf_builder_set(&b, "ip", ip);
    enf_builder_set(&b, "f", v4 ? "4" : "6");
    enf_builder_set(&b, "type", type);
    enf_builder_setf(&b, "tuple", "%s . inet_service . %s . inet_service", type, type);
    enf_builder_setf(&b, "forward", "%s saddr . th sport . %s daddr . th dport", ip, ip);
    enf_builder_setf(&b, "reverse", "%s daddr . th dport . %s saddr . th sport", ip, ip);
    enf_builder_set(&b, "too_big",
                    v4 ? "icmp type destination-unreachable icmp code frag-needed"
                       : "icmpv6 type packet-too-big");
    enf_builder_flag(&b, "later_fragments", !v4); /* of IPv4 they do not come so far: IPV4_FIRST */
    set_subscriber(&b, "source64", family, v4 ? 32 : 64);
    enf_builder_setf(&b, "relay_used", "%llu", ENF_RELAY_USED_MS / 1000);
    enf_builder_setf(&b, "served",
                     "%stcp flags & (syn|ack) == (syn|ack) %s saddr @grouped%c update @served%c { %s saddr "
                     "timeout 7d }",
                     spec->upstream_if_len ? "iifname != @upstream_if " : "", ip, v4 ? '4' : '6',
                     v4 ? '4' : '6', ip);
    enf_workers_family(&b, family);
    enf_sets_family(&b, family);
    enf_share_family(&b, family);
    set_lengths(&b, family);
    set_groups(&b, family);
    enf_builder_render(&b, enf_template_family, out);
    enf_builder_clear(&b);
    return b.err;
}

static void set_families(struct enf_builder *b)
{
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    if (out) {
        enf_builder_fail(b, render_family(b, ENF_FAMILY_V4, out));
        fputc('\n', out);
        enf_builder_fail(b, render_family(b, ENF_FAMILY_V6, out));
    }
    enf_builder_end(b, "families", out, &v);
}

static const char *antispoof_name(enum enf_ruleset_antispoof antispoof)
{
    switch (antispoof) {
    case ENF_RULESET_ANTISPOOF_GROUPS:
        return "groups";
    case ENF_RULESET_ANTISPOOF_STRICT:
        return "strict";
    case ENF_RULESET_ANTISPOOF_OFF:
        break;
    }
    return "off";
}

static void set_garden(struct enf_builder *b)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    bool garden = spec->garden && !spec->observe, tproxy = spec->redirect == ENF_RULESET_REDIRECT_TPROXY;
    struct enf_value v;

    enf_builder_flag(b, "garden", garden);
    enf_builder_flag(b, "garden_nets", spec->garden_nets);
    enf_builder_set(b, "garden_priority", "filter - 9");
    enf_builder_flag(b, "resolvers", spec->resolvers_len > 0);
    enf_builder_flag(b, "redirect",
                     garden && spec->redirect != ENF_RULESET_REDIRECT_NONE && spec->redirect_ports_len > 0);
    enf_builder_set(b, "redirect_hook",
                    tproxy ? "type filter hook prerouting priority mangle"
                           : "type nat hook prerouting priority dstnat");
    set_seconds(b, "throttle_per", spec->throttle_per_ms);
    FILE *out = enf_builder_begin(b, &v);
    for (size_t i = 0; out && i < spec->redirect_ports_len; i++)
        fprintf(out, "%s%u", i ? ", " : "", spec->redirect_ports[i]);
    enf_builder_end(b, "redirect_ports", out, &v);
}

static void set_table(struct enf_builder *b)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;

    enf_builder_flag(b, "observe", spec->observe);
    enf_builder_flag(b, "stateful", !spec->stateless);
    enf_builder_flag(b, "drop_source_port_25", spec->drop_source_port_25);
    enf_builder_flag(b, "antispoof_strict", spec->antispoof == ENF_RULESET_ANTISPOOF_STRICT);
    enf_builder_flag(b, "antispoof_groups", spec->antispoof == ENF_RULESET_ANTISPOOF_GROUPS);
    enf_builder_flag(b, "upstream_forged",
                     spec->upstream_if_len > 0 && spec->antispoof != ENF_RULESET_ANTISPOOF_OFF);
    enf_builder_set(b, "antispoof", antispoof_name(spec->antispoof));
    enf_builder_set(b, "drop", spec->observe ? "accept" : "drop");
    enf_builder_set(b, "ipv4_first", IPV4_FIRST);
    enf_builder_set(b, "ipv6", IPV6);
    enf_builder_set(b, "syn", SYN_ACK " == " SYN_ALONE);
    enf_builder_set(b, "not_syn", SYN_ACK " != " SYN_ALONE);
    enf_builder_set(b, "resets", RESETS);
    enf_builder_flag(b, "quarantine_resets", spec->quarantine_resets && !spec->observe);
    enf_builder_set(b, "refuse", spec->observe ? "accept" : spec->quarantine_resets ? RESET : "drop");
    enf_builder_set(b, "priority", "filter - 10");
    set_garden(b);
    enf_builder_set(b, "log_limit", "limit rate 2000/second burst 2000 packets");
    enf_builder_setf(b, "cap_limit", "limit rate over %u/second burst %u packets", CAP_PER_SECOND, CAP_BURST);
    enf_builder_set(b, "log_limit_full", "limit rate 10/second burst 10 packets");
    enf_builder_set(b, "bypass", spec->fail_open ? " bypass" : "");
    enf_builder_set(b, "queue_end", spec->fail_open || spec->observe ? "accept" : "drop");
    /* A bucket of that window is full again after it; a minute on top. */
    uint64_t window_ms = spec->meter_window_ms > ENF_DURATION_MAX ? ENF_DURATION_MAX : spec->meter_window_ms;
    set_seconds(b, "meter_timeout", window_ms + 60000);
    enf_workers_table(b);
    enf_sets_table(b);
    set_families(b);
}

int enf_ruleset_render(const struct enf_ruleset_spec *spec, char **out)
{
    struct enf_builder b;
    struct enf_plan plan;
    struct enf_text written;
    char *text = NULL;
    int err = enf_plan_make(spec, &plan);

    if (err < 0) {
        enf_plan_clear(&plan);
        return err;
    }
    enf_builder_init(&b, &plan, NULL);
    set_table(&b);
    FILE *stream = enf_text_open(&written);
    if (!stream)
        enf_builder_fail(&b, -ENOMEM);
    else
        enf_builder_render(&b, enf_template_table, stream);
    if (enf_text_close(stream, &written, &text) < 0)
        enf_builder_fail(&b, -ENOMEM);
    enf_builder_clear(&b);
    enf_plan_clear(&plan);
    if (b.err < 0)
        free(text);
    else
        *out = text;
    return b.err;
}
