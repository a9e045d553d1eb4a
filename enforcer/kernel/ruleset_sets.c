/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of the templates that are sets and what looks them up. */
#include "enforcer/kernel/ruleset_sets.h"

#include "enforcer/core/array.h"
#include "enforcer/kernel/ruleset_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* --- who is in which set ------------------------------------------------------------------------------- */

static bool relay_pinned(const void *ctx, size_t i)
{
    const struct enf_ruleset_spec *spec = ctx;

    return spec->relays[i].interface && *spec->relays[i].interface;
}

static bool smarthost_quarantined(const void *ctx, size_t i)
{
    const struct enf_ruleset_spec *spec = ctx;

    return spec->smarthosts[i].quarantined_may_use;
}

static bool group_blocks(const void *ctx, size_t i)
{
    const struct enf_ruleset_spec *spec = ctx;

    return spec->groups[i].policy == ENF_POLICY_BLOCK && !spec->observe;
}

static bool group_inspects(const void *ctx, size_t i)
{
    const struct enf_ruleset_spec *spec = ctx;

    return spec->groups[i].policy == ENF_POLICY_INSPECT && !spec->observe;
}

static bool group_observes(const void *ctx, size_t i)
{
    const struct enf_ruleset_spec *spec = ctx;

    return spec->groups[i].policy == ENF_POLICY_OBSERVE || spec->observe;
}

static bool group_copied(const void *ctx, size_t i)
{
    const struct enf_plan *plan = ctx;

    return enf_plan_copies(plan, &plan->spec->groups[i]);
}

struct length_ctx {
    const struct enf_ruleset_spec *spec;
    uint8_t bits; /* 0: every length that is not the default */
};

static bool group_has_length(const void *ctx, size_t i)
{
    const struct length_ctx *c = ctx;
    uint8_t bits = c->spec->groups[i].subscriber_v6;

    return c->bits ? bits == c->bits : bits != 64;
}

struct verdict_ctx {
    const struct enf_ruleset_spec *spec;
    char family;
};

static void put_group_verdict(FILE *out, const void *ctx, uint32_t value)
{
    const struct verdict_ctx *c = ctx;

    fputs(" : goto g_", out);
    enf_text_id(out, c->spec->groups[value].name);
    fputc(c->family, out);
}

/* --- lists of prefixes ---------------------------------------------------------------------------------- */

/* Prefixes of several sources in one list. */
struct prefixes {
    struct enf_prefix *items;
    size_t len;
    size_t size;
    int err;
};

static int append(void *ctx, const struct enf_prefix *prefix)
{
    struct prefixes *list = ctx;

    struct enf_prefix *items = enf_array_grow(list->items, list->len, &list->size, sizeof *items);
    if (!items) {
        list->err = -ENOMEM;
        return -ENOMEM;
    }
    list->items = items;
    list->items[list->len++] = *prefix;
    return 0;
}

static void append_smarthosts(struct prefixes *list, const struct enf_ruleset_spec *spec)
{
    for (size_t i = 0; i < spec->smarthosts_len; i++)
        append(list, &spec->smarthosts[i].prefix);
}

static void append_relays(struct prefixes *list, const struct enf_ruleset_spec *spec)
{
    for (size_t i = 0; i < spec->relays_len; i++)
        append(list, &spec->relays[i].prefix);
}

static void append_groups(struct prefixes *list, const struct enf_ruleset_spec *spec)
{
    for (size_t i = 0; i < spec->group_map->len; i++)
        enf_range_to_prefixes(&spec->group_map->entries[i].range, append, list);
}

/* "elements = { … };" of the prefixes of one family that want() picks of an array of structs that begin with
 * one. */
static void set_list(struct enf_builder *b, const char *name, const struct enf_prefix *first, size_t stride,
                     size_t len, enum enf_family family, enf_text_want_fn want)
{
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);
    int err = out ? enf_text_elements(out, first, stride, len, family, want, b->plan->spec) : 0;

    enf_builder_end(b, name, out, &v);
    enf_builder_fail(b, err);
}

static void set_prefixes(struct enf_builder *b, const char *name, enum enf_family family,
                         struct prefixes *list)
{
    enf_builder_fail(b, list->err);
    set_list(b, name, list->items, sizeof *list->items, list->len, family, NULL);
    free(list->items);
}

static void set_ours(struct enf_builder *b, enum enf_family family)
{
    struct prefixes list = {0};

    append_smarthosts(&list, b->plan->spec);
    append_groups(&list, b->plan->spec);
    set_prefixes(b, "ours", family, &list);
}

static void set_exempt(struct enf_builder *b, enum enf_family family)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    struct prefixes list = {0};

    append_smarthosts(&list, spec);
    append_relays(&list, spec);
    for (size_t i = 0; i < spec->never_len; i++)
        append(&list, &spec->never[i]);
    set_prefixes(b, "exempt", family, &list);
}

/* Real lists of bogons hold 100.64.0.0/10 and the documentation prefixes: what is ours is never one. */
static void set_bogons(struct enf_builder *b, enum enf_family family)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    struct enf_rangemap left = {0};
    struct prefixes ours = {0};
    struct enf_value v;

    append_smarthosts(&ours, spec);
    append_relays(&ours, spec);
    append_groups(&ours, spec);
    enf_builder_fail(b, ours.err);
    enf_builder_fail(b, enf_rangemap_difference(spec->bogons, spec->bogons_len, ours.items, ours.len, &left));
    FILE *out = enf_builder_begin(b, &v);
    if (out)
        enf_text_map_elements(out, &left, family, NULL, NULL, NULL);
    enf_builder_end(b, "bogons", out, &v);
    enf_rangemap_clear(&left);
    free(ours.items);
}

static void set_map(struct enf_builder *b, const char *name, enum enf_family family, enf_text_want_fn want,
                    enf_text_verdict_fn verdict, const void *ctx)
{
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    if (out)
        enf_text_map_elements(out, b->plan->spec->group_map, family, want, verdict, ctx);
    enf_builder_end(b, name, out, &v);
}

static void set_pinned_rules(struct enf_builder *b, enum enf_family family)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && i < spec->relays_len; i++) {
        const struct enf_ruleset_relay *relay = &spec->relays[i];
        char text[ENF_PREFIX_STR_LEN];
        if (relay->prefix.addr.family != family || !relay_pinned(spec, i))
            continue;
        fprintf(out, "    iifname \"%s\" %s saddr %s return\n", relay->interface,
                family == ENF_FAMILY_V4 ? "ip" : "ip6", enf_prefix_str(&relay->prefix, text, sizeof text));
    }
    enf_builder_end(b, "pinned_rules", out, &v);
}

/* --- subscribers of different lengths ----------------------------------------------------------------------
 */

/* Lines about single subscribers, one a length: one hash set holds IPv6 prefixes of different lengths, so the
 * mask depends on where the address lies. Addresses in no group count by /64. put writes what follows the
 * condition of the place. */
typedef void (*put_line_fn)(FILE *out, const void *ctx, enum enf_family family, const char *dir,
                            uint8_t bits);

static void set_by_length(struct enf_builder *b, const char *name, enum enf_family family, const char *dir,
                          put_line_fn put, const void *ctx)
{
    const uint8_t *lengths;
    size_t len = enf_plan_lengths(b->plan, family, &lengths);
    bool others = false;
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && family == ENF_FAMILY_V6 && i < len; i++) {
        if (lengths[i] == 64)
            continue;
        others = true;
        fprintf(out, "    ip6 %s @length6_%u ", dir, lengths[i]);
        put(out, ctx, family, dir, lengths[i]);
    }
    if (out) {
        fputs("    ", out);
        if (others)
            fprintf(out, "ip6 %s != @length6_other ", dir);
        put(out, ctx, family, dir, family == ENF_FAMILY_V4 ? 32 : 64);
    }
    enf_builder_end(b, name, out, &v);
}

struct lookup {
    const char *set;
    const char *target;
};

static void put_lookup(FILE *out, const void *ctx, enum enf_family family, const char *dir, uint8_t bits)
{
    const struct lookup *lookup = ctx;
    char f = family == ENF_FAMILY_V4 ? '4' : '6';

    enf_text_subscriber(out, family, dir, bits);
    fprintf(out, " @%s%c %s%c\n", lookup->set, f, lookup->target, f);
}

static void put_rate(FILE *out, const void *ctx, enum enf_family family, const char *dir, uint8_t bits)
{
    const struct enf_ruleset_spec *spec = ctx;
    uint64_t per_ms = spec->throttle_per_ms > ENF_DURATION_MAX ? ENF_DURATION_MAX : spec->throttle_per_ms;

    fprintf(out, "add @throttle_rate%c { ", family == ENF_FAMILY_V4 ? '4' : '6');
    enf_text_subscriber(out, family, dir, bits);
    fprintf(out, " timeout %" PRIu64 "s limit rate 1/day burst %u packets } return\n",
            per_ms > 1000 ? (per_ms + 999) / 1000 : 1,
            spec->throttle_connections > 0 ? spec->throttle_connections : 1);
}

static void set_lookups(struct enf_builder *b, enum enf_family family)
{
    static const struct {
        const char *name;
        const char *dir;
        struct lookup lookup;
    } rows[] = {
        {"quarantine_source", "saddr", {"quarantine", "jump quarantined"}},
        {"quarantine_destination", "daddr", {"quarantine", "goto quarantined_answers"}},
        {"throttle_source", "saddr", {"throttle", "goto throttled"}},
        {"full_source", "saddr", {"full", "goto garden_from"}},
        {"full_destination", "daddr", {"full", "goto garden_to"}},
        {"full_peers", "daddr", {"full", "goto confined"}},
        {"full_redirect", "saddr", {"full", "goto redirected"}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        set_by_length(b, rows[i].name, family, rows[i].dir, put_lookup, &rows[i].lookup);
    set_by_length(b, "throttle_rates", family, "saddr", put_rate, b->plan->spec);
}

/* Where web traffic of this family goes; nothing where the portal has no address of it. */
static void set_redirect(struct enf_builder *b, enum enf_family family)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    const char *ip = family == ENF_FAMILY_V4 ? "ip" : "ip6";
    char text[ENF_PREFIX_STR_LEN] = "";

    for (size_t i = 0; i < spec->portal_len && !*text; i++) {
        if (spec->portal[i].addr.family == family && enf_prefix_is_host(&spec->portal[i]))
            enf_addr_str(&spec->portal[i].addr, text, sizeof text);
    }
    if (spec->redirect == ENF_RULESET_REDIRECT_TPROXY)
        enf_builder_setf(b, "redirect_to",
                         "    meta l4proto tcp tproxy %s to :%u meta mark set 0x%08" PRIx32 " accept\n", ip,
                         spec->tproxy_port, spec->tproxy_mark);
    else if (*text)
        enf_builder_setf(b, "redirect_to", "    dnat %s to %s\n", ip, text);
    else
        enf_builder_set(b, "redirect_to", "    # the portal has no address of this family\n");
}

/* Lists of people, which may overlap. */
static void set_flat(struct enf_builder *b, const char *name, enum enf_family family,
                     const struct enf_prefix *prefixes, size_t prefixes_len)
{
    struct enf_rangemap flat = {0};
    struct enf_value v;

    enf_builder_fail(b, enf_rangemap_difference(prefixes, prefixes_len, NULL, 0, &flat));
    FILE *out = enf_builder_begin(b, &v);
    if (out)
        enf_text_map_elements(out, &flat, family, NULL, NULL, NULL);
    enf_builder_end(b, name, out, &v);
    enf_rangemap_clear(&flat);
}

static void put_length_set(FILE *out, const struct enf_ruleset_spec *spec, uint8_t bits)
{
    struct length_ctx ctx = {.spec = spec, .bits = bits};

    if (bits)
        fprintf(out, "  set length6_%u { type ipv6_addr; flags interval; ", bits);
    else
        fputs("  set length6_other { type ipv6_addr; flags interval; ", out);
    enf_text_map_elements(out, spec->group_map, ENF_FAMILY_V6, group_has_length, NULL, &ctx);
    fputs(" }\n", out);
}

static void set_length_sets(struct enf_builder *b, enum enf_family family)
{
    const uint8_t *lengths;
    size_t len = enf_plan_lengths(b->plan, family, &lengths);
    bool others = false;
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && family == ENF_FAMILY_V6 && i < len; i++) {
        if (lengths[i] == 64)
            continue;
        others = true;
        put_length_set(out, b->plan->spec, lengths[i]);
    }
    if (out && others)
        put_length_set(out, b->plan->spec, 0);
    enf_builder_end(b, "length_sets", out, &v);
}

void enf_sets_family(struct enf_builder *b, enum enf_family family)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    const struct enf_prefix *smarthosts = spec->smarthosts_len ? &spec->smarthosts->prefix : NULL;
    const struct enf_prefix *relays = spec->relays_len ? &spec->relays->prefix : NULL;
    struct verdict_ctx verdict = {.spec = spec, .family = family == ENF_FAMILY_V4 ? '4' : '6'};

    set_list(b, "smarthosts", smarthosts, sizeof *spec->smarthosts, spec->smarthosts_len, family, NULL);
    set_list(b, "smarthosts_quarantined", smarthosts, sizeof *spec->smarthosts, spec->smarthosts_len, family,
             smarthost_quarantined);
    set_list(b, "relays", relays, sizeof *spec->relays, spec->relays_in_text ? spec->relays_len : 0, family,
             NULL);
    set_list(b, "pinned", relays, sizeof *spec->relays, spec->relays_len, family, relay_pinned);
    set_ours(b, family);
    set_exempt(b, family);
    set_map(b, "grouped", family, NULL, NULL, NULL);
    set_map(b, "denied", family, group_blocks, NULL, spec);
    set_map(b, "inspected", family, group_inspects, NULL, spec);
    set_map(b, "observed", family, group_observes, NULL, spec);
    set_map(b, "copied", family, group_copied, NULL, b->plan);
    set_map(b, "policy", family, NULL, put_group_verdict, &verdict);
    set_bogons(b, family);
    set_pinned_rules(b, family);
    set_length_sets(b, family);
    set_lookups(b, family);
    set_redirect(b, family);
    set_flat(b, "portal", family, spec->portal, spec->portal_len);
    set_flat(b, "lifeline", family, spec->lifeline, spec->lifeline_len);
    set_flat(b, "resolvers_here", family, spec->resolvers, spec->resolvers_len);
}

/* --- the table -------------------------------------------------------------------------------------------
 */

static void set_counters(struct enf_builder *b)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && i < spec->groups_len; i++) {
        /* Both for every policy: a change of policy or mode must not take a counter's value away. */
        fputs("  counter g_", out);
        enf_text_id(out, spec->groups[i].name);
        fputs("_blocked { }\n  counter g_", out);
        enf_text_id(out, spec->groups[i].name);
        fputs("_connections { }\n", out);
    }
    enf_builder_end(b, "counters", out, &v);
}

static void set_interfaces(struct enf_builder *b, const char *name, const char *const *names, size_t len)
{
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && i < len; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : "", names[i]);
    enf_builder_end(b, name, out, &v);
}

/* nft 1.0.6 compares the name of a route's interface with words, not with a set of type ifname. */
static void set_upstream_routes(struct enf_builder *b)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && i < spec->upstream_if_len; i++)
        fprintf(out, "    fib saddr oifname \"%s\" return\n", spec->upstream_if[i]);
    enf_builder_end(b, "upstream_routes", out, &v);
}

void enf_sets_table(struct enf_builder *b)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;

    set_interfaces(b, "subscriber_if", spec->subscriber_if, spec->subscriber_if_len);
    set_interfaces(b, "upstream_if", spec->upstream_if, spec->upstream_if_len);
    set_upstream_routes(b);
    set_counters(b);
}
