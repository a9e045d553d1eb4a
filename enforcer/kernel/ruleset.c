/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From plain values to the nft text of the whole table: fills in nft-templates/. */
#include "enforcer/kernel/ruleset.h"

#include "enforcer/kernel/ruleset_text.h"
#include "enforcer/kernel/templates.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LOG_SNAPLEN 192 /* IP header, some IPv6 extension headers, TCP header */

/* A value being written: text after fclose, owned by the builder. */
struct value {
    char *text;
    size_t len;
};

#define VALUES_MAX 64

struct builder {
    const struct enf_ruleset_spec *spec;
    struct enf_template_var vars[VALUES_MAX];
    size_t vars_len;
    char *owned[VALUES_MAX];
    struct enf_template_scope scope;
    int err; /* the first error; later calls do nothing */
};

static void builder_init(struct builder *b, const struct enf_ruleset_spec *spec, const struct builder *up)
{
    *b = (struct builder){.spec = spec, .err = up ? up->err : 0};
    b->scope = (struct enf_template_scope){.vars = b->vars, .up = up ? &up->scope : NULL};
}

static void builder_clear(struct builder *b)
{
    for (size_t i = 0; i < b->vars_len; i++)
        free(b->owned[i]);
    b->vars_len = 0;
}

/* Takes text, which may be NULL for "not set". */
static void take(struct builder *b, const char *name, char *text)
{
    if (b->vars_len == VALUES_MAX) {
        free(text);
        b->err = b->err ? b->err : -EINVAL;
        return;
    }
    b->owned[b->vars_len] = text;
    b->vars[b->vars_len++] = (struct enf_template_var){.name = name, .value = text};
    b->scope.vars_len = b->vars_len;
}

static void set(struct builder *b, const char *name, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        b->err = -ENOMEM;
    take(b, name, copy);
}

static void flag(struct builder *b, const char *name, bool on)
{
    set(b, name, on ? "1" : "");
}

__attribute__((format(printf, 3, 4))) static void setf(struct builder *b, const char *name,
                                                       const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
        b->err = -ENOMEM;
    }
    va_end(args);
    take(b, name, text);
}

/* A value by a stream: FILE *out = begin(&v); …; end(b, name, out, &v). */
static FILE *begin(struct builder *b, struct value *v)
{
    *v = (struct value){0};
    FILE *out = open_memstream(&v->text, &v->len);
    if (!out)
        b->err = -ENOMEM;
    return out;
}

static void end(struct builder *b, const char *name, FILE *out, struct value *v)
{
    if (out && (ferror(out) | fclose(out)))
        b->err = b->err ? b->err : -ENOMEM;
    take(b, name, v->text);
}

/* --- what the elements are --- */

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

/* A group's name as a part of nft names. */
static void put_id(FILE *out, const char *name)
{
    for (; *name; name++)
        fputc(*name == '-' ? '_' : *name, out);
}

struct verdict_ctx {
    const struct enf_ruleset_spec *spec;
    char family;
};

static void put_group_verdict(FILE *out, const void *ctx, uint32_t value)
{
    const struct verdict_ctx *c = ctx;

    fputs(" : goto g_", out);
    put_id(out, c->spec->groups[value].name);
    fputc(c->family, out);
}

/* Is there any range of this group in this family? The map may have given it all to others. */
static bool group_in_family(const struct enf_ruleset_spec *spec, size_t group, enum enf_family family)
{
    for (size_t i = 0; i < spec->group_map->len; i++) {
        const struct enf_rangemap_entry *entry = &spec->group_map->entries[i];
        if (entry->value == group && entry->range.first.family == family)
            return true;
    }
    return false;
}

/* Lengths of IPv6 subscribers in use, each once. */
static size_t lengths_in_use(const struct enf_ruleset_spec *spec, enum enf_family family,
                             uint8_t lengths[128])
{
    bool seen[129] = {false};
    size_t len = 0;

    if (family == ENF_FAMILY_V4) {
        lengths[0] = 32;
        return 1;
    }
    for (size_t i = 0; i < spec->groups_len; i++) {
        uint8_t bits = spec->groups[i].subscriber_v6;
        if (bits == 0 || bits > 128 || seen[bits] || !group_in_family(spec, i, family))
            continue;
        seen[bits] = true;
        lengths[len++] = bits;
    }
    return len;
}

static void suffix(char *buf, size_t buf_len, enum enf_family family, uint8_t bits)
{
    if (family == ENF_FAMILY_V4)
        snprintf(buf, buf_len, "4");
    else
        snprintf(buf, buf_len, "6_%u", bits);
}

/* --- groups and lengths --- */

static void set_subscriber(struct builder *b, const char *name, enum enf_family family, uint8_t bits)
{
    struct value v;
    FILE *out = begin(b, &v);

    if (out)
        enf_text_subscriber(out, family, "saddr", bits);
    end(b, name, out, &v);
}

static void render_group(const struct builder *up, const struct enf_ruleset_group *group,
                         enum enf_family family, FILE *out, int *err)
{
    const struct enf_ruleset_spec *spec = up->spec;
    struct builder b;
    struct value v;
    char s[16];

    builder_init(&b, spec, up);
    suffix(s, sizeof s, family, group->subscriber_v6);
    FILE *id = begin(&b, &v);
    if (id)
        put_id(id, group->name);
    end(&b, "id", id, &v);
    set(&b, "name", group->name);
    set(&b, "policy_name", spec->observe ? "observe (mode)" : enf_policy_name(group->policy));
    set(&b, "s", s);
    set_subscriber(&b, "source", family, group->subscriber_v6);
    flag(&b, "block", group->policy == ENF_POLICY_BLOCK && !spec->observe);
    flag(&b, "inspect", group->policy == ENF_POLICY_INSPECT && !spec->observe);
    flag(&b, "watch", group->policy == ENF_POLICY_OBSERVE || spec->observe);
    flag(&b, "metered", spec->automatic && group->meter_per_minute > 0);
    setf(&b, "meter_rate", "%u/minute", group->meter_per_minute);
    setf(&b, "meter_burst", "%u", group->meter_burst);
    set(&b, "block_with", group->reset ? "meta l4proto tcp reject with tcp reset\n    drop" : "drop");
    if (b.err == 0)
        b.err = enf_template_render(enf_template_group, &b.scope, out);
    *err = *err ? *err : b.err;
    builder_clear(&b);
}

static void set_groups(struct builder *b, enum enf_family family)
{
    struct value v;
    FILE *out = begin(b, &v);

    for (size_t i = 0; out && i < b->spec->groups_len; i++) {
        if (group_in_family(b->spec, i, family))
            render_group(b, &b->spec->groups[i], family, out, &b->err);
    }
    end(b, "groups", out, &v);
}

static void set_lengths(struct builder *b, enum enf_family family)
{
    uint8_t lengths[128];
    size_t len = lengths_in_use(b->spec, family, lengths);
    struct value v;
    FILE *out = begin(b, &v);

    for (size_t i = 0; out && i < len; i++) {
        struct builder l;
        char s[16];
        builder_init(&l, b->spec, b);
        suffix(s, sizeof s, family, lengths[i]);
        set(&l, "s", s);
        setf(&l, "length", "%u", lengths[i]);
        set_subscriber(&l, "source", family, lengths[i]);
        flag(&l, "automatic", b->spec->automatic && !b->spec->observe);
        setf(&l, "meter_quarantine", "%" PRIu64 "s", (b->spec->meter_quarantine_ms + 999) / 1000);
        if (l.err == 0)
            l.err = enf_template_render(enf_template_length, &l.scope, out);
        b->err = b->err ? b->err : l.err;
        builder_clear(&l);
    }
    end(b, "lengths", out, &v);
}

/* The lookups of single subscribers: one hash set holds IPv6 prefixes of different lengths, so the mask
 * depends on where the address lies. Addresses in no group count by /64. */
static void set_quarantine_lookups(struct builder *b, const char *name, enum enf_family family,
                                   const char *dir, const char *target)
{
    uint8_t lengths[128];
    size_t len = lengths_in_use(b->spec, family, lengths);
    bool others = false;
    struct value v;
    FILE *out = begin(b, &v);

    for (size_t i = 0; out && family == ENF_FAMILY_V6 && i < len; i++) {
        if (lengths[i] == 64)
            continue;
        others = true;
        fprintf(out, "    ip6 %s @length6_%u ", dir, lengths[i]);
        enf_text_subscriber(out, family, dir, lengths[i]);
        fprintf(out, " @quarantine6 %s\n", target);
    }
    if (out) {
        fputs("    ", out);
        if (others)
            fprintf(out, "ip6 %s != @length6_other ", dir);
        enf_text_subscriber(out, family, dir, family == ENF_FAMILY_V4 ? 32 : 64);
        fprintf(out, " @quarantine%c %s\n", family == ENF_FAMILY_V4 ? '4' : '6', target);
    }
    end(b, name, out, &v);
}

static void set_length_sets(struct builder *b, enum enf_family family)
{
    uint8_t lengths[128];
    size_t len = family == ENF_FAMILY_V6 ? lengths_in_use(b->spec, family, lengths) : 0;
    bool others = false;
    struct value v;
    FILE *out = begin(b, &v);

    for (size_t i = 0; out && i < len; i++) {
        if (lengths[i] == 64)
            continue;
        others = true;
        struct length_ctx ctx = {.spec = b->spec, .bits = lengths[i]};
        fprintf(out, "  set length6_%u { type ipv6_addr; flags interval; ", lengths[i]);
        enf_text_map_elements(out, b->spec->group_map, family, group_has_length, NULL, &ctx);
        fputs(" }\n", out);
    }
    if (out && others) {
        struct length_ctx ctx = {.spec = b->spec};
        fputs("  set length6_other { type ipv6_addr; flags interval; ", out);
        enf_text_map_elements(out, b->spec->group_map, family, group_has_length, NULL, &ctx);
        fputs(" }\n", out);
    }
    end(b, "length_sets", out, &v);
}

/* --- static sets --- */

static void set_map(struct builder *b, const char *name, enum enf_family family, enf_text_want_fn want,
                    enf_text_verdict_fn verdict, const void *ctx)
{
    struct value v;
    FILE *out = begin(b, &v);

    if (out)
        enf_text_map_elements(out, b->spec->group_map, family, want, verdict, ctx);
    end(b, name, out, &v);
}

static void set_list(struct builder *b, const char *name, const struct enf_prefix *first, size_t stride,
                     size_t len, enum enf_family family, enf_text_want_fn want)
{
    struct value v;
    FILE *out = begin(b, &v);
    int err = out ? enf_text_elements(out, first, stride, len, family, want, b->spec) : 0;

    end(b, name, out, &v);
    b->err = b->err ? b->err : err;
}

/* A list put together from several: groups, smarthosts and, where wanted, relays. Free with free(). */
static struct enf_prefix *collect(struct builder *b, bool groups, bool smarthosts, bool relays, bool never,
                                  size_t *out_len)
{
    const struct enf_ruleset_spec *spec = b->spec;
    size_t most = spec->smarthosts_len + spec->relays_len + spec->never_len + spec->group_map->len * 256 + 1;
    struct enf_prefix *all = calloc(most, sizeof *all);
    size_t len = 0;

    if (!all) {
        b->err = -ENOMEM;
        *out_len = 0;
        return NULL;
    }
    for (size_t i = 0; smarthosts && i < spec->smarthosts_len; i++)
        all[len++] = spec->smarthosts[i].prefix;
    for (size_t i = 0; relays && i < spec->relays_len; i++)
        all[len++] = spec->relays[i].prefix;
    for (size_t i = 0; never && i < spec->never_len; i++)
        all[len++] = spec->never[i];
    for (size_t i = 0; groups && i < spec->group_map->len; i++)
        len += enf_range_prefixes(&spec->group_map->entries[i].range, all + len, 256);
    *out_len = len;
    return all;
}

static void set_collected(struct builder *b, const char *name, enum enf_family family, bool groups,
                          bool relays, bool never)
{
    size_t len;
    struct enf_prefix *all = collect(b, groups, true, relays, never, &len);

    set_list(b, name, all, sizeof *all, len, family, NULL);
    free(all);
}

/* Real lists of bogons hold 100.64.0.0/10 and the documentation prefixes: what is ours is never one. */
static void set_bogons(struct builder *b, enum enf_family family)
{
    size_t ours_len;
    struct enf_prefix *ours = collect(b, true, true, true, false, &ours_len);
    struct enf_rangemap left = {0};
    struct value v;
    FILE *out = begin(b, &v);
    int err = enf_rangemap_difference(b->spec->bogons, b->spec->bogons_len, ours, ours_len, &left);

    if (out && err == 0)
        enf_text_map_elements(out, &left, family, NULL, NULL, NULL);
    end(b, "bogons", out, &v);
    b->err = b->err ? b->err : err;
    enf_rangemap_clear(&left);
    free(ours);
}

static void set_pinned_rules(struct builder *b, enum enf_family family)
{
    const struct enf_ruleset_spec *spec = b->spec;
    struct value v;
    FILE *out = begin(b, &v);

    for (size_t i = 0; out && i < spec->relays_len; i++) {
        const struct enf_ruleset_relay *relay = &spec->relays[i];
        char text[ENF_PREFIX_STR_LEN];
        if (relay->prefix.addr.family != family || !relay_pinned(spec, i))
            continue;
        fprintf(out, "    iifname \"%s\" %s saddr %s return\n", relay->interface,
                family == ENF_FAMILY_V4 ? "ip" : "ip6", enf_prefix_str(&relay->prefix, text, sizeof text));
    }
    end(b, "pinned_rules", out, &v);
}

/* --- families and the table --- */

static void render_family(const struct builder *up, enum enf_family family, FILE *out, int *err)
{
    const struct enf_ruleset_spec *spec = up->spec;
    bool v4 = family == ENF_FAMILY_V4;
    const char *ip = v4 ? "ip" : "ip6";
    struct verdict_ctx verdict = {.spec = spec, .family = v4 ? '4' : '6'};
    struct builder b;

    builder_init(&b, spec, up);
    set(&b, "ip", ip);
    set(&b, "f", v4 ? "4" : "6");
    set(&b, "type", v4 ? "ipv4_addr" : "ipv6_addr");
    setf(&b, "tuple", "%s . inet_service . %s . inet_service", b.vars[2].value, b.vars[2].value);
    setf(&b, "forward", "%s saddr . tcp sport . %s daddr . tcp dport", ip, ip);
    setf(&b, "reverse", "%s daddr . tcp dport . %s saddr . tcp sport", ip, ip);
    set_subscriber(&b, "source64", family, v4 ? 32 : 64);
    set_list(&b, "smarthosts", &spec->smarthosts->prefix, sizeof *spec->smarthosts, spec->smarthosts_len,
             family, NULL);
    set_list(&b, "smarthosts_quarantined", &spec->smarthosts->prefix, sizeof *spec->smarthosts,
             spec->smarthosts_len, family, smarthost_quarantined);
    set_list(&b, "pinned", &spec->relays->prefix, sizeof *spec->relays, spec->relays_len, family,
             relay_pinned);
    set_collected(&b, "ours", family, true, false, false);
    set_collected(&b, "exempt", family, false, true, true);
    set_map(&b, "grouped", family, NULL, NULL, NULL);
    set_map(&b, "denied", family, group_blocks, NULL, spec);
    set_map(&b, "inspected", family, group_inspects, NULL, spec);
    set_map(&b, "observed", family, group_observes, NULL, spec);
    set_map(&b, "policy", family, NULL, put_group_verdict, &verdict);
    set_bogons(&b, family);
    set_pinned_rules(&b, family);
    set_length_sets(&b, family);
    set_quarantine_lookups(&b, "quarantine_source", family, "saddr",
                           v4 ? "jump quarantined4" : "jump quarantined6");
    set_quarantine_lookups(&b, "quarantine_destination", family, "daddr",
                           v4 ? "goto quarantined_answers4" : "goto quarantined_answers6");
    set_lengths(&b, family);
    set_groups(&b, family);
    if (b.err == 0)
        b.err = enf_template_render(enf_template_family, &b.scope, out);
    *err = *err ? *err : b.err;
    builder_clear(&b);
}

static void set_families(struct builder *b)
{
    struct value v;
    FILE *out = begin(b, &v);

    if (out) {
        render_family(b, ENF_FAMILY_V4, out, &b->err);
        fputc('\n', out);
        render_family(b, ENF_FAMILY_V6, out, &b->err);
    }
    end(b, "families", out, &v);
}

static void set_counters(struct builder *b)
{
    struct value v;
    FILE *out = begin(b, &v);

    for (size_t i = 0; out && i < b->spec->groups_len; i++) {
        /* Both for every policy: a change of policy or mode must not take a counter's value away. */
        fputs("  counter g_", out);
        put_id(out, b->spec->groups[i].name);
        fputs("_blocked { }\n  counter g_", out);
        put_id(out, b->spec->groups[i].name);
        fputs("_connections { }\n", out);
    }
    end(b, "counters", out, &v);
}

static void set_interfaces(struct builder *b, const char *name, const char *const *names, size_t len)
{
    struct value v;
    FILE *out = begin(b, &v);

    for (size_t i = 0; out && i < len; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : "", names[i]);
    end(b, name, out, &v);
}

/* nft 1.0.6 compares the name of a route's interface with words, not with a set of type ifname. */
static void set_upstream_routes(struct builder *b)
{
    struct value v;
    FILE *out = begin(b, &v);

    for (size_t i = 0; out && i < b->spec->upstream_if_len; i++)
        fprintf(out, "    fib saddr oifname \"%s\" return\n", b->spec->upstream_if[i]);
    end(b, "upstream_routes", out, &v);
}

int enf_ruleset_render(const struct enf_ruleset_spec *spec, char **out)
{
    static const char *const antispoof[] = {
        [ENF_RULESET_ANTISPOOF_OFF] = "off",
        [ENF_RULESET_ANTISPOOF_GROUPS] = "groups",
        [ENF_RULESET_ANTISPOOF_STRICT] = "strict",
    };
    struct builder b;
    struct value v;

    builder_init(&b, spec, NULL);
    flag(&b, "observe", spec->observe);
    flag(&b, "stateful", !spec->stateless);
    flag(&b, "drop_source_port_25", spec->drop_source_port_25);
    flag(&b, "antispoof_strict", spec->antispoof == ENF_RULESET_ANTISPOOF_STRICT);
    flag(&b, "antispoof_groups", spec->antispoof == ENF_RULESET_ANTISPOOF_GROUPS);
    flag(&b, "upstream_forged", spec->upstream_if_len > 0 && spec->antispoof != ENF_RULESET_ANTISPOOF_OFF);
    set(&b, "antispoof", antispoof[spec->antispoof]);
    set_interfaces(&b, "subscriber_if", spec->subscriber_if, spec->subscriber_if_len);
    set_interfaces(&b, "upstream_if", spec->upstream_if, spec->upstream_if_len);
    set_upstream_routes(&b);
    set(&b, "drop", spec->observe ? "accept" : "drop");
    set(&b, "priority", "filter - 10");
    setf(&b, "log", "group %u snaplen %u queue-threshold 32", ENF_LOG_GROUP, LOG_SNAPLEN);
    setf(&b, "log_copy", "group %u snaplen 512 queue-threshold 32", ENF_LOG_GROUP);
    set(&b, "log_limit", "limit rate 2000/second burst 2000 packets");
    set(&b, "log_limit_full", "limit rate 10/second burst 10 packets");
    setf(&b, "queue", "%u", spec->queue);
    set(&b, "bypass", spec->fail_open ? " bypass" : "");
    set(&b, "queue_end", spec->fail_open ? "accept" : "drop");
    setf(&b, "meter_timeout", "%" PRIu64 "s", (spec->meter_window_ms + 60000) / 1000);
    set_counters(&b);
    set_families(&b);

    FILE *stream = begin(&b, &v);
    if (stream) {
        if (b.err == 0)
            b.err = enf_template_render(enf_template_table, &b.scope, stream);
        if (fclose(stream) != 0)
            b.err = b.err ? b.err : -ENOMEM;
    }
    builder_clear(&b);
    if (b.err < 0)
        free(v.text);
    else
        *out = v.text;
    return b.err;
}
