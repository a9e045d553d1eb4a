/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each subscriber's packets and copies to one worker, by a hash in the kernel. */
#include "enforcer/kernel/ruleset_workers.h"

#include "enforcer/kernel/ruleset_text.h"

#include <stdlib.h>
#include <string.h>

#define LOG_SNAPLEN  192 /* IP header, some IPv6 extension headers, TCP header */
#define LOG_BATCH    96 /* copies delivered together, at the latest with the next tick of the kernel's clock */
#define COPY_SNAPLEN 2000 /* of an SMTP dialogue; what is longer is body */
/* Fixed: both directions and all chains must agree, and a reload must not move subscribers. Who picks
 * addresses to meet in one worker gains nothing but that worker's company. */
#define HASH_SEED "0x25c0ffee"

static unsigned workers(const struct enf_builder *b)
{
    return b->plan->spec->workers > 1 ? b->plan->spec->workers : 1;
}

static void set_log(struct enf_builder *b, const char *name, unsigned worker, unsigned snaplen,
                    unsigned threshold)
{
    enf_builder_setf(b, name, "group %u snaplen %u queue-threshold %u", ENF_LOG_GROUP + worker, snaplen,
                     threshold);
}

static int render_worker(const struct enf_builder *up, unsigned worker, FILE *out)
{
    const struct enf_ruleset_spec *spec = up->plan->spec;
    struct enf_builder b;

    enf_builder_init(&b, up->plan, up);
    enf_builder_setf(&b, "worker", "%u", worker);
    enf_builder_setf(&b, "queue", "%u", spec->queue + worker);
    enf_builder_flag(&b, "queued", !spec->observe);
    set_log(&b, "log", worker, LOG_SNAPLEN, LOG_BATCH);
    set_log(&b, "log_now", worker, LOG_SNAPLEN, 1);
    set_log(&b, "log_copy", worker, COPY_SNAPLEN, LOG_BATCH);
    enf_builder_render(&b, enf_template_worker, out);
    enf_builder_clear(&b);
    return b.err;
}

void enf_workers_table(struct enf_builder *b)
{
    struct enf_value v;

    set_log(b, "log", 0, LOG_SNAPLEN, LOG_BATCH);
    enf_builder_flag(b, "sharded", workers(b) > 1);
    enf_builder_setf(b, "workers", "%u", workers(b));
    enf_builder_set(b, "hash_seed", HASH_SEED);
    FILE *out = enf_builder_begin(b, &v);
    for (unsigned i = 0; out && i < workers(b); i++)
        fprintf(out, "  counter queue%u { }\n", i);
    enf_builder_end(b, "worker_counters", out, &v);
    out = enf_builder_begin(b, &v);
    for (unsigned i = 0; out && i < workers(b); i++)
        enf_builder_fail(b, render_worker(b, i, out));
    enf_builder_end(b, "worker_chains", out, &v);
}

/* The shortest subscriber of the groups that are read in both directions, or of the others: all longer ones
 * lie inside one of these, so that a packet need not tell its group, which an answer cannot. */
static uint8_t hash_bits(const struct enf_builder *b, enum enf_family family, bool inspected)
{
    const struct enf_ruleset_spec *spec = b->plan->spec;
    uint8_t bits = family == ENF_FAMILY_V4 ? 32 : 128;

    for (size_t i = 0; family == ENF_FAMILY_V6 && i < spec->groups_len; i++) {
        bool blocks = spec->groups[i].policy == ENF_POLICY_BLOCK;
        bool is = inspected ? !blocks || enf_plan_partial(b->plan, &spec->groups[i]) : blocks;
        if (is && enf_plan_group_in(b->plan, i, family) && spec->groups[i].subscriber_v6 < bits)
            bits = spec->groups[i].subscriber_v6;
    }
    return bits;
}

static void set_hash(struct enf_builder *b, const char *name, enum enf_family family, const char *dir,
                     bool inspected)
{
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    if (out)
        enf_text_subscriber(out, family, dir, hash_bits(b, family, inspected));
    enf_builder_end(b, name, out, &v);
}

static void set_map(struct enf_builder *b, const char *name, const char *chain)
{
    struct enf_value v;
    FILE *out = enf_builder_begin(b, &v);

    for (unsigned i = 0; out && i < workers(b); i++)
        fprintf(out, "%s%u : goto %s%u", i ? ", " : "", i, chain, i);
    enf_builder_end(b, name, out, &v);
}

static void set_tell(struct enf_builder *b, const char *name, const char *what, const char *suffix,
                     unsigned snaplen)
{
    if (workers(b) > 1)
        enf_builder_setf(b, name, "jump tell_%s%s", name + strlen("log_"), suffix);
    else
        enf_builder_setf(b, name, "log prefix \"enf:%s\" group %u snaplen %u queue-threshold %u", what,
                         ENF_LOG_GROUP, snaplen, LOG_BATCH);
}

void enf_workers_family(struct enf_builder *b, enum enf_family family)
{
    const char *suffix = family == ENF_FAMILY_V4 ? "4" : "6";

    if (workers(b) > 1)
        enf_builder_setf(b, "log_block", "jump tell_block%s", suffix);
    else
        enf_builder_set(b, "log_block", "jump log_block0");
    set_tell(b, "log_observe", "observe", suffix, LOG_SNAPLEN);
    set_tell(b, "log_copy_client", "copy", suffix, COPY_SNAPLEN);
    set_tell(b, "log_copy_server", "copy", suffix, COPY_SNAPLEN);
    set_tell(b, "log_meter", "meter", suffix, LOG_SNAPLEN);
    if (workers(b) == 1) {
        enf_builder_set(b, "shard_source", "shard0");
        enf_builder_set(b, "shard_destination", "shard0");
        return;
    }
    enf_builder_setf(b, "shard_source", "shard_source%s", suffix);
    enf_builder_setf(b, "shard_destination", "shard_destination%s", suffix);
    set_hash(b, "hash_source", family, "saddr", false);
    set_hash(b, "hash_inspected", family, "saddr", true);
    set_hash(b, "hash_destination", family, "daddr", true);
    set_map(b, "shard_map", "shard");
    set_map(b, "block_map", "log_block");
    set_map(b, "observe_map", "log_observe");
    set_map(b, "copy_map", "log_copy");
    set_map(b, "meter_map", "log_meter");
}
