/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is outside of a canary's share is observed: by a hash of the subscriber, in every chain that asks who
 * is observed. Groups with the same share and the same length of subscribers stand in one set. */
#include "enforcer/kernel/ruleset_share.h"

#include "enforcer/core/share.h"
#include "enforcer/kernel/ruleset_text.h"

#include <string.h>

/* Groups with that share in force; bits: of a subscriber, 32 for IPv4. */
struct class
{
    const struct enf_plan *plan;
    enum enf_family family;
    unsigned percent;
    unsigned bits;
};

static struct class class_of(const struct enf_plan *plan, size_t group, enum enf_family family)
{
    const struct enf_ruleset_group *g = &plan->spec->groups[group];

    return (struct class){plan, family, 100u - g->observed_percent,
                          family == ENF_FAMILY_V4 ? 32u : g->subscriber_v6};
}

static bool in_class(const void *ctx, size_t group)
{
    const struct class *c = ctx;

    if (!enf_plan_partial(c->plan, &c->plan->spec->groups[group]))
        return false;
    struct class own = class_of(c->plan, group, c->family);
    return own.percent == c->percent && own.bits == c->bits;
}

/* The class of this group, where it is the first one that has it. */
static bool first_of_class(const struct enf_plan *plan, size_t group, enum enf_family family,
                           struct class *out)
{
    struct class own = class_of(plan, group, family);

    if (!enf_plan_partial(plan, &plan->spec->groups[group]) || !enf_plan_group_in(plan, group, family))
        return false;
    for (size_t i = 0; i < group; i++) {
        if (enf_plan_group_in(plan, i, family) && in_class(&own, i))
            return false;
    }
    *out = own;
    return true;
}

static char digit(enum enf_family family)
{
    return family == ENF_FAMILY_V4 ? '4' : '6';
}

static void put_set(FILE *out, const struct class *c)
{
    fprintf(out, "  set share%c_%u_%u { type %s; flags interval; ", digit(c->family), c->percent, c->bits,
            c->family == ENF_FAMILY_V4 ? "ipv4_addr" : "ipv6_addr");
    enf_text_map_elements(out, c->plan->spec->group_map, c->family, in_class, NULL, c);
    fputs(" }\n", out);
}

/* "!= { 0, 1 }": the numbers outside of a share of 2 percent. One by one, because nft 1.0.6 misreads a masked
 * address inside of jhash where the result is compared with a range or by >=. */
static void put_numbers(FILE *out, unsigned percent)
{
    bool inside = percent < 50;
    unsigned first = inside ? 0 : percent, end = inside ? percent : 100;

    fputs(inside ? "!= { " : "{ ", out);
    for (unsigned i = first; i < end; i++)
        fprintf(out, "%s%u", i > first ? ", " : "", i);
    fputs(" }", out);
}

/* "ip saddr @share4_2_32 jhash ip saddr mod 100 seed … != { 0, 1 } ". dir: "saddr" or "daddr". */
static void put_outside(FILE *out, const struct class *c, const char *dir)
{
    fprintf(out, "%s %s @share%c_%u_%u jhash ", c->family == ENF_FAMILY_V4 ? "ip" : "ip6", dir,
            digit(c->family), c->percent, c->bits);
    enf_text_subscriber(out, c->family, dir, (uint8_t)c->bits);
    fprintf(out, " mod 100 seed 0x%08x ", ENF_SHARE_SEED);
    put_numbers(out, c->percent);
    fputc(' ', out);
}

/* One line a class under a name: before, who is outside, behind. dir NULL: the sets themselves. */
static size_t set_lines(struct enf_builder *b, const char *name, enum enf_family family, const char *dir,
                        const char *before, const char *behind)
{
    size_t count = 0;
    struct class c;
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (size_t i = 0; out && i < b->plan->spec->groups_len; i++) {
        if (!first_of_class(b->plan, i, family, &c))
            continue;
        if (dir) {
            fprintf(out, "    %s", before);
            put_outside(out, &c, dir);
            fprintf(out, "%s\n", behind);
        } else {
            put_set(out, &c);
        }
        count++;
    }
    enf_builder_end(b, name, out, &v);
    return count;
}

static bool any_copied(const struct enf_plan *plan, enum enf_family family)
{
    for (size_t i = 0; i < plan->spec->groups_len; i++) {
        if (enf_plan_group_in(plan, i, family) && enf_plan_copies(plan, &plan->spec->groups[i]))
            return true;
    }
    return false;
}

void enf_share_family(struct enf_builder *b, enum enf_family family)
{
    bool v4 = family == ENF_FAMILY_V4, stateful = !b->plan->spec->stateless;
    const char *asked = v4 ? "goto answers_asked4" : "goto answers_asked6";
    const char *flow = v4 ? "ip daddr . th dport . ip saddr . th sport @free4 "
                          : "ip6 daddr . th dport . ip6 saddr . th sport @free6 ";
    const char *copy =
        v4 ? "ip saddr != @smarthosts4 jump copy_server4" : "ip6 saddr != @smarthosts6 jump copy_server6";
    size_t classes = set_lines(b, "share_sets", family, NULL, "", "");

    set_lines(b, "share_source_accept", family, "saddr", "", "accept");
    set_lines(b, "share_source_return", family, "saddr", "", "return");
    set_lines(b, "share_source_garden", family, "saddr", "", v4 ? "goto garden_of4" : "goto garden_of6");
    set_lines(b, "share_destination_accept", family, "daddr", "", "accept");
    set_lines(b, "share_destination_asked", family, "daddr", "", asked);
    set_lines(b, "share_copies", family, "daddr", stateful ? flow : "", copy);
    enf_builder_flag(b, "copies", classes > 0 || any_copied(b->plan, family));
}

void enf_share_group(struct enf_builder *b, const struct enf_ruleset_group *group)
{
    bool partial = enf_plan_partial(b->plan, group);
    struct enf_value v;

    enf_builder_flag(b, "partial", partial);
    enf_builder_set(b, "watched", partial ? "o" : "g");
    FILE *out = enf_builder_begin(b, &v);
    if (out && partial)
        put_numbers(out, 100u - group->observed_percent);
    enf_builder_end(b, "share_outside", out, &v);
    enf_builder_setf(b, "share_seed", "0x%08x", ENF_SHARE_SEED);
    if (partial)
        enf_builder_setf(b, "policy_name", "%s for %u %% of its subscribers, the others are observed",
                         enf_policy_name(group->policy), 100u - group->observed_percent);
    else
        enf_builder_set(b, "policy_name",
                        b->plan->spec->observe ? "observe (mode)" : enf_policy_name(group->policy));
}
