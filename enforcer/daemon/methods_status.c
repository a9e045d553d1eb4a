/* SPDX-License-Identifier: GPL-2.0-or-later */
/* status, and the table of all methods. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/methods.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct enf_control_method enf_methods[] = {
    {"status", false, enf_method_status},
    {"quarantine.add", true, enf_method_quarantine_add, .batched = enf_is_small_change},
    {"quarantine.release", true, enf_method_quarantine_release, .batched = enf_is_small_change},
    {"quarantine.list", false, enf_method_quarantine_list},
    {"subscriber.show", false, enf_method_show},
    {"subscriber.top", false, enf_method_top, true},
    {"subscriber.reassigned", true, enf_method_reassigned},
    {"relay.list", false, enf_method_relay_list},
    {"relay.add", true, enf_method_relay_add},
    {"relay.remove", true, enf_method_relay_remove},
    {"mode.set", true, enf_method_mode_set},
    {"config.reload", true, enf_method_reload},
    {"config.confirm", true, enf_method_confirm},
    {"governor.reset", true, enf_method_governor_reset},
    {"ruleset.show", false, enf_method_ruleset, true},
    {"report.rollout", false, enf_method_rollout, true},
    {"report.abuse", false, enf_method_report_abuse},
    {"audit.list", false, enf_method_audit_list, true},
    {"portal.show", false, enf_method_portal_show, .portal = true},
    {"portal.release", true, enf_method_portal_release, .portal = true},
};
const size_t enf_methods_len = sizeof enf_methods / sizeof *enf_methods;

static void add_counter(void *ctx, const char *name, uint64_t packets, uint64_t bytes)
{
    json_object_set_new(ctx, name,
                        json_pack("{s:I, s:I}", "packets", (json_int_t)packets, "bytes", (json_int_t)bytes));
}

/* A group's counters by their nft names, as the templates make them. */
static json_t *group_counters(const struct enf_group *group, const json_t *counters)
{
    static const char *const kinds[] = {"blocked", "connections"};
    json_t *out = json_object();

    for (size_t i = 0; out && i < 2; i++) {
        char name[ENF_NAME_LEN + 32];
        snprintf(name, sizeof name, "g_%s_%s", group->name, kinds[i]);
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : *c;
        json_t *counter = json_object_get(counters, name);
        json_t *packets = json_object_get(counter, "packets");
        json_object_set_new(out, kinds[i], packets ? json_incref(packets) : json_integer(0));
    }
    return out;
}

struct seen {
    const struct enf_running *running;
    uint64_t *groups;
};

static int count_seen(void *ctx, const struct enf_detector_top *subscriber)
{
    struct seen *seen = ctx;
    const struct enf_group *group = enf_group_find(&seen->running->groups, &subscriber->subscriber.addr);

    if (group)
        seen->groups[group - seen->running->config->groups]++;
    return 0;
}

/* How many subscribers of each group the detector knows; NULL without memory. */
static uint64_t *subscribers_seen(struct enf_daemon *d)
{
    struct seen seen = {.running = d->running};

    seen.groups = calloc(d->running->config->groups_len + 1, sizeof *seen.groups);
    if (!seen.groups)
        return NULL;
    enf_crew_each(&d->crew, count_seen, &seen);
    return seen.groups;
}

static json_t *groups_json(struct enf_daemon *d, const json_t *counters)
{
    const struct enf_config *config = d->running->config;
    json_t *list = json_array();
    uint64_t *seen = subscribers_seen(d);

    for (size_t i = 0; list && i < config->groups_len; i++) {
        const struct enf_group *group = &config->groups[i];
        json_t *prefixes = json_array();
        for (size_t j = 0; prefixes && j < group->prefixes_len && j < 64; j++) {
            char text[ENF_PREFIX_STR_LEN];
            json_array_append_new(prefixes,
                                  json_string(enf_prefix_str(&group->prefixes[j], text, sizeof text)));
        }
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:i, s:o, s:o, s:o}", "name", group->name, "policy",
                                        enf_policy_name(group->policy), "canary_percent",
                                        (int)group->canary_percent, "prefixes", prefixes, "subscribers_seen",
                                        seen ? json_integer((json_int_t)seen[i]) : json_null(), "counters",
                                        group_counters(group, counters)));
    }
    free(seen);
    return list;
}

static json_t *worker_json(const struct enf_worker_report *worker)
{
    return json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "queue", (int)worker->queue,
                     "log_group", (int)worker->log_group, "queue_packets", (json_int_t)worker->queue_packets,
                     "queue_waiting", (json_int_t)worker->queue_waiting, "queue_dropped",
                     (json_int_t)worker->queue_dropped, "queue_unread", (json_int_t)worker->queue_unread,
                     "log_messages", (json_int_t)worker->log_messages, "log_lost",
                     (json_int_t)worker->log_lost, "stuck", (int)worker->stuck);
}

static json_t *telemetry_json(struct enf_daemon *d)
{
    struct enf_worker_report sum = {0};
    json_t *workers = json_array();

    enf_telemetry_look(d);
    for (unsigned i = 0; i < d->telemetry.len; i++) {
        const struct enf_worker_report *worker = &d->telemetry.workers[i];
        sum.log_messages += worker->log_messages;
        sum.log_lost += worker->log_lost;
        sum.queue_packets += worker->queue_packets;
        sum.queue_dropped += worker->queue_dropped;
        sum.queue_refused += worker->queue_refused;
        sum.queue_unread += worker->queue_unread;
        json_array_append_new(workers, worker_json(worker));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "log_messages", (json_int_t)sum.log_messages,
                     "log_lost", (json_int_t)sum.log_lost, "queue_packets", (json_int_t)sum.queue_packets,
                     "queue_dropped", (json_int_t)sum.queue_dropped, "queue_refused",
                     (json_int_t)sum.queue_refused, "queue_unread", (json_int_t)sum.queue_unread,
                     "reports_lost", (json_int_t)enf_mailbox_lost(&d->mailbox), "workers", workers);
}

static json_t *sinks_json(struct enf_daemon *d)
{
    struct enf_hub_sink_stats sink;
    json_t *list = json_array();

    for (size_t i = 0; list && enf_hub_sink_stats(d->hub, i, &sink) == 0; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "name", enf_control_text(sink.path),
                            "written", (json_int_t)sink.written, "lost", (json_int_t)sink.lost, "waiting",
                            (json_int_t)sink.waiting, "spooled", (json_int_t)sink.spooled, "failures",
                            (json_int_t)sink.failures, "error",
                            sink.error ? json_string(strerror(sink.error)) : json_null()));
    return list;
}

static json_t *hooks_json(const struct enf_daemon *d)
{
    const struct enf_hooks *hooks = &d->hooks;

    return json_pack("{s:I, s:b, s:I, s:I, s:I}", "configured", (json_int_t)hooks->rows_len, "running",
                     (int)(hooks->fd >= 0), "done", (json_int_t)hooks->counts[ENF_HOOK_DONE], "failed",
                     (json_int_t)hooks->counts[ENF_HOOK_FAILED], "dropped",
                     (json_int_t)hooks->counts[ENF_HOOK_DROPPED]);
}

static json_t *events_json(struct enf_daemon *d)
{
    struct enf_hub_stats stats;

    enf_hub_stats(d->hub, &stats);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "written", (json_int_t)stats.written, "lost",
                     (json_int_t)stats.lost, "waiting", (json_int_t)stats.waiting, "spooled",
                     (json_int_t)stats.spooled, "sequence", (json_int_t)stats.sequence, "sinks",
                     sinks_json(d));
}

static int add_tripped(void *ctx, const struct enf_governor_trip *trip)
{
    json_array_append_new(ctx, enf_control_text(trip->shared ? "(shared)" : trip->interface));
    return 0;
}

static json_t *governor_json(struct enf_daemon *d)
{
    json_t *list = json_array();

    if (!list)
        return NULL;
    enf_crew_governor_each(&d->crew, add_tripped, list);
    return json_pack("{s:b, s:o}", "tripped", json_array_size(list) > 0, "interfaces", list);
}

static json_t *detector_json(struct enf_daemon *d)
{
    struct enf_detector_stats stats;

    enf_crew_detector_stats(&d->crew, &stats);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "subscribers", (json_int_t)stats.subscribers,
                     "capacity", (json_int_t)stats.max_subscribers, "evicted", (json_int_t)stats.evicted,
                     "observations", (json_int_t)stats.observations, "convictions",
                     (json_int_t)stats.convictions, "bytes", (json_int_t)stats.bytes);
}

static json_t *flows_json(struct enf_daemon *d)
{
    struct enf_flows_stats stats;

    enf_crew_flow_stats(&d->crew, &stats);
    uint64_t unread = stats.unread + stats.over_subscriber;
    uint64_t evicted = stats.evicted_waiting + stats.evicted_read;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "known", (json_int_t)stats.flows, "waiting",
                     (json_int_t)stats.waiting, "read", (json_int_t)stats.read, "sessions",
                     (json_int_t)stats.sessions, "unread", (json_int_t)unread, "evicted", (json_int_t)evicted,
                     "bytes", (json_int_t)stats.bytes);
}

static int count_element(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    (void)range;
    (void)expires_ms;
    ++*(size_t *)ctx;
    return 0;
}

/* Looks at the kernel now, and puts it right, where that is cheap. Counting a million elements takes a
 * minute: then the timer's last look has to do. */
static json_t *kernel_json(struct enf_daemon *d)
{
    static const char *const states[] = {
        [ENF_TABLE_OK] = "ok", [ENF_TABLE_CHANGED] = "changed", [ENF_TABLE_MISSING] = "missing"};
    const struct enf_truth *t = &d->truth;
    json_t *elements = json_object();
    size_t rules = 0;

    enf_kernel_rule_count(d->kernel, &rules);
    for (int i = 0;
         elements && i <= ENF_KERNEL_RELAYS6 && enf_quarantine_count(d->quarantine) <= ENF_COMPARE_AT_ONCE;
         i++) {
        size_t count = 0;
        int err = enf_kernel_read_set(d->kernel, (enum enf_kernel_set)i, count_element, &count);
        if (err == -ENOMEM) { /* no answer rather than one that lacks a set */
            json_decref(elements);
            return NULL;
        }
        if (err == 0)
            json_object_set_new(elements, enf_kernel_set_name((enum enf_kernel_set)i),
                                json_integer((json_int_t)count));
    }
    return json_pack("{s:s, s:I, s:o, s:I, s:I, s:I, s:b}", "table", states[t->table], "rules",
                     (json_int_t)rules, "elements", elements, "changes_by_others", (json_int_t)t->changes,
                     "repairs", (json_int_t)t->repairs, "leaked", (json_int_t)t->leaked, "fight",
                     (int)t->fight.on);
}

static json_t *coverage_json(const struct enf_daemon *d)
{
    const struct enf_coverage *c = &d->coverage;
    /* Without the table nobody is held, whatever the last look at the sets said. */
    size_t enforced = d->truth.table == ENF_TABLE_MISSING ? 0 : c->enforced;

    return json_pack("{s:I, s:I, s:f, s:b}", "desired", (json_int_t)c->desired, "enforced",
                     (json_int_t)enforced, "ratio", c->desired ? (double)enforced / (double)c->desired : 1.0,
                     "dropping", (int)(d->mode == ENF_MODE_ENFORCE));
}

static json_t *warnings_json(const struct enf_daemon *d)
{
    const char *warnings[ENF_WARNINGS_MAX];
    size_t len = enf_running_warnings(d->running, warnings);
    json_t *list = json_array();

    for (size_t i = 0; list && i < len; i++)
        json_array_append_new(list, json_string(warnings[i]));
    return list;
}

/* How many are at which level. */
static json_t *quarantine_json(const struct enf_daemon *d)
{
    json_t *levels = json_object();

    for (unsigned level = ENF_LEVEL_THROTTLE; levels && level < ENF_LEVEL_COUNT; level++)
        json_object_set_new(
            levels, enf_level_name(level),
            json_integer((json_int_t)enf_quarantine_count_level(d->quarantine, (enum enf_level)level)));
    return json_pack("{s:I, s:I, s:o}", "entries", (json_int_t)enf_quarantine_count(d->quarantine),
                     "capacity", (json_int_t)d->running->config->quarantine.max_entries, "levels", levels);
}

/* What the disk was waited for. */
static json_t *state_json(const struct enf_daemon *d)
{
    struct enf_store_counts counts;

    enf_store_count(d->store, &counts);
    return json_pack("{s:I, s:I}", "changes", (json_int_t)counts.changes, "commits",
                     (json_int_t)counts.commits);
}

METHOD(enf_method_status)
{
    static const char *const known[] = {NULL};
    struct enf_daemon *d = ctx;
    struct enf_control_stats control;

    (void)caller;
    if (enf_params_known(params, known, error) < 0)
        return -EINVAL;
    json_t *counters = json_object();
    if (!counters)
        return enf_done(NULL, result, error);
    if (enf_kernel_read_counters(d->kernel, add_counter, counters) == -ENOMEM) {
        json_decref(counters); /* no answer rather than one that lacks some */
        return enf_done(NULL, result, error);
    }
    enf_control_stats(d->control, &control);
    if (enf_quarantine_count(d->quarantine) <= ENF_COMPARE_AT_ONCE)
        enf_truth_check(d, ENF_ADOPT_METER);
    json_t *kernel = kernel_json(d);
    json_t *coverage = coverage_json(d);
    return enf_done(
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:I, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, "
                  "s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}",
                  "version", ENF_VERSION, "run", d->run, "pid", (int)getpid(), "mode",
                  d->mode == ENF_MODE_OBSERVE ? "observe" : "enforce", "mode_origin",
                  d->mode_by_hand ? "hand" : "file", "started", enf_time_json(d->started_ms), "uptime_s",
                  (json_int_t)((enf_clock_wall_ms() - d->started_ms) / 1000), "config", d->running->path,
                  "confirm", enf_confirm_json(d), "queue_kind",
                  d->queued ? enf_kernel_queue_name(d->queue_kind) : "none", "groups",
                  groups_json(d, counters), "counters", counters, "telemetry", telemetry_json(d), "events",
                  events_json(d), "hooks", hooks_json(d), "kernel", kernel, "governor", governor_json(d),
                  "coverage", coverage, "detector", detector_json(d), "flows", flows_json(d), "quarantine",
                  quarantine_json(d), "state", state_json(d), "warnings", warnings_json(d), "relays",
                  (json_int_t)d->hand_relays_len + (json_int_t)d->running->config->relays_len, "clients",
                  (json_int_t)control.clients),
        result, error);
}
