/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What workers say: events are passed on, convictions become quarantines, with history, evidence and reasons.
 */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/evidence.h"
#include "enforcer/daemon/tiers.h"
#include "enforcer/policy/decide.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct enf_decide_settings settings_of(const struct enf_config *config)
{
    struct enf_decide_settings s = {.level = config->quarantine.level,
                                    .duration_ms = config->quarantine.duration_ms};

    for (; s.escalation_len < config->quarantine.escalation_len; s.escalation_len++)
        s.escalation[s.escalation_len] = config->quarantine.escalation[s.escalation_len];
    return s;
}
_Static_assert(ENF_ESCALATION_MAX <= ENF_DECIDE_STEPS_MAX, "escalation steps are lost");

static struct enf_decide_facts facts_of(struct enf_daemon *d, const struct enf_report *report,
                                        const char *what)
{
    const struct enf_running *running = d->running;
    const struct enf_prefix *subscriber = &report->event.subscriber;
    const struct enf_group *group = enf_group_find(&running->groups, &subscriber->addr);
    struct enf_quarantine now;
    uint64_t now_ms = enf_clock_wall_ms();
    struct enf_decide_facts facts = {
        .now_ms = now_ms,
        .policy = enf_group_policy(group, &subscriber->addr),
        .observe_mode = d->mode == ENF_MODE_OBSERVE,
        .automatic = running->config->quarantine.automatic,
        .relay = enf_decide_touches(&d->relays, subscriber),
        .smarthost = enf_decide_touches(&running->smarthosts, subscriber),
        .never = enf_decide_touches(&running->never, subscriber),
        .governor_held = report->governor_holds,
        .forgeable_only = report->forgeable,
        .dynamic = group && group->addresses == ENF_ADDRESSES_DYNAMIC,
        .lease_ms = group ? group->lease_ms : 0,
        .convictions =
            enf_history_count(d->history, subscriber, now_ms, running->config->quarantine.memory_ms),
        .what = what,
    };

    if (enf_quarantine_find(d->quarantine, subscriber, &now)) {
        facts.quarantined.is = true;
        facts.quarantined.automatic = strncmp(now.actor, "user:", 5) != 0;
        facts.quarantined.level = now.level;
        facts.quarantined.until_ms = now.until_ms;
    }
    return facts;
}

/* The worker's element has a first guess as its end, or should not be there at all: what the table says
 * counts. */
static void correct_element(struct enf_daemon *d, const struct enf_prefix *subscriber,
                            enum enf_kernel_tier tier)
{
    struct enf_quarantine_ends ends = enf_quarantine_ends(d->quarantine, subscriber);
    uint64_t until_ms = enf_tier_end(tier, &ends);
    struct enf_kernel_single single = {
        .subscriber = *subscriber,
        .tier = tier,
        .remove = until_ms == 0,
        .timeout_ms = until_ms ? enf_left_ms(until_ms, enf_clock_wall_ms()) : 0,
    };
    int err = enf_kernel_singles(d->kernel, &single, 1);
    if (err < 0)
        enf_log_line("quarantine", "an element could not be corrected: %s", strerror(-err));
}

static void remember_conviction(struct enf_daemon *d, const struct enf_report *report,
                                const struct enf_decision *decision, const char *actor)
{
    const struct enf_group *group = enf_group_find(&d->running->groups, &report->event.subscriber.addr);
    bool dynamic = group && group->addresses == ENF_ADDRESSES_DYNAMIC;
    char *evidence = enf_evidence_text(report->evidence, report->evidence_len, report->evidence_total);
    struct enf_store_history line = {
        .subscriber = report->event.subscriber,
        .time_ms = enf_clock_wall_ms(),
        .reason = decision->reason,
        .actor = actor,
        .level = decision->level,
        .until_ms = decision->until_ms,
        .evidence = evidence,
    };

    enf_history_add(d->history, &report->event.subscriber, line.time_ms,
                    dynamic ? group->lease_ms : ENF_FOREVER);
    if (enf_store_history_add(d->store, "convicted", &line) < 0)
        enf_log_line("state", "a conviction could not be written: %s", enf_store_message(d->store));
    free(evidence);
}

static int quarantine(struct enf_daemon *d, const struct enf_report *report,
                      const struct enf_decision *decision, const char *actor)
{
    struct enf_quarantine entry = {
        .subscriber = report->event.subscriber,
        .level = decision->level,
        .since_ms = enf_clock_wall_ms(),
        .until_ms = decision->until_ms,
        .convictions = decision->convictions,
    };

    enf_text_copy(entry.reason, sizeof entry.reason, decision->reason);
    enf_text_copy(entry.actor, sizeof entry.actor, actor);
    enf_text_copy(entry.group, sizeof entry.group, report->event.group);
    return enf_enforce_add(d, &entry, 1, ENF_QUARANTINE_EXTEND);
}

/* Told once for as long as the quarantine would last: a bot that is only observed goes on all the time. */
static void would_quarantine(struct enf_daemon *d, const struct enf_report *report,
                             const struct enf_decision *decision)
{
    struct enf_quarantine entry = {
        .subscriber = report->event.subscriber,
        .level = decision->level,
        .since_ms = enf_clock_wall_ms(),
        .until_ms = decision->until_ms,
    };

    if (enf_quarantine_find(d->would, &entry.subscriber, NULL))
        return;
    enf_quarantine_add(d->would, &entry, 1, ENF_QUARANTINE_EXTEND, NULL);
    struct enf_event event = report->event;
    event.action = ENF_EVENT_WOULD_QUARANTINE;
    event.outcome = ENF_OUTCOME_UNKNOWN;
    event.level = decision->level;
    event.until_ms = decision->until_ms;
    event.count = decision->convictions;
    event.evidence = report->evidence;
    event.evidence_len = report->evidence_len;
    enf_text_copy(event.reason, sizeof event.reason, decision->reason);
    enf_text_copy(event.actor, sizeof event.actor, "detector");
    enf_tell(d, &event);
}

static void tell_zombie(struct enf_daemon *d, const struct enf_report *report,
                        const struct enf_decision *decision, const char *actor)
{
    struct enf_event event = report->event;

    if (report->cause == ENF_CAUSE_TRAP) {
        event.action = ENF_EVENT_TRAP_HIT;
        event.outcome = ENF_OUTCOME_SUCCESS;
        enf_text_copy(event.reason, sizeof event.reason, "connection to a trap address");
        enf_tell(d, &event);
    }
    event.action = ENF_EVENT_ZOMBIE_DETECTED;
    event.outcome = ENF_OUTCOME_SUCCESS;
    event.count = report->evidence_total;
    event.evidence = report->evidence;
    event.evidence_len = report->evidence_len;
    enf_text_copy(event.reason, sizeof event.reason, decision->reason);
    enf_text_copy(event.actor, sizeof event.actor, actor);
    enf_tell(d, &event);
}

struct governed {
    const char *names[ENF_GOVERNOR_INTERFACES_MAX];
    char copies[ENF_GOVERNOR_INTERFACES_MAX][ENF_IFNAME_LEN];
    size_t len;
};

static int collect_governed(void *ctx, const struct enf_governor_trip *trip)
{
    struct governed *g = ctx;

    if (trip->shared || !*trip->interface || g->len == ENF_GOVERNOR_INTERFACES_MAX)
        return 0;
    enf_text_copy(g->copies[g->len], ENF_IFNAME_LEN, trip->interface);
    g->names[g->len] = g->copies[g->len];
    g->len++;
    return 0;
}

static struct governed *governed_now(struct enf_daemon *d)
{
    struct governed *g = calloc(1, sizeof *g);

    if (!g)
        return NULL;
    enf_crew_governor_each(&d->crew, collect_governed, g);
    return g;
}

int enf_governor_to_kernel(struct enf_daemon *d)
{
    struct governed *g = governed_now(d);
    int err = g ? enf_kernel_governed_replace(d->kernel, g->names, g->len) : -ENOMEM;

    free(g);
    return err;
}

int enf_governor_check(struct enf_daemon *d, bool *same)
{
    struct governed *g = governed_now(d);
    int err = g ? enf_kernel_governed_same(d->kernel, g->names, g->len, same) : -ENOMEM;

    free(g);
    return err;
}

static void tell_tripped(struct enf_daemon *d, const struct enf_report *report)
{
    struct enf_event event = {.action = ENF_EVENT_GOVERNOR_TRIPPED, .outcome = ENF_OUTCOME_FAILURE};
    char per[32];

    enf_duration_str(d->running->config->quarantine.governor.per_ms, per, sizeof per);
    enf_text_copy(event.interface, sizeof event.interface, report->event.interface);
    snprintf(event.reason, sizeof event.reason,
             "more than %" PRIu32
             " convictions in %s on interface %s: automatic quarantine stops there until `enforcerctl "
             "governor reset`; reporting goes on",
             d->running->config->quarantine.governor.convictions, per,
             *report->event.interface ? report->event.interface : "(unknown)");
    event.count = d->running->config->quarantine.governor.convictions;
    enf_tell(d, &event);
    enf_remember_governor(d);
    int err = enf_governor_to_kernel(d);
    if (err < 0)
        enf_log_line("governor", "the kernel's meter could not be told: %s", strerror(-err));
}

/* "21 connections, the limit is 20 per 60s": what a help desk reads out. */
static void describe(const struct enf_report *report, char *out, size_t out_len)
{
    const char *limit = strstr(report->setting, ": ");

    limit = limit ? limit + 2 : report->setting;
    if (report->kind == ENF_REPORT_METER) {
        enf_text_copy(out, out_len, "so many connections that the kernel's own meter ran over");
        return;
    }
    switch (report->cause) {
    case ENF_CAUSE_TRAP:
        enf_text_copy(out, out_len, "a connection to a trap address, to which no honest host sends mail");
        break;
    case ENF_CAUSE_CONNECTION_RATE:
        snprintf(out, out_len, "%" PRIu64 " connections to port 25, the limit is %s", report->evidence_total,
                 limit);
        break;
    case ENF_CAUSE_DISTINCT_DESTINATIONS:
        snprintf(out, out_len, "%" PRIu64 " different mail servers, the limit is %s", report->evidence_total,
                 limit);
        break;
    case ENF_CAUSE_SEQUENTIAL: {
        const struct enf_evidence *last =
            report->evidence_len > 0 ? &report->evidence[report->evidence_len - 1] : NULL;
        snprintf(out, out_len, "%" PRIu64 " observations of a zombie's kind, score %.1f of %.1f",
                 report->evidence_total, last ? last->score : 0, last ? last->threshold : 0);
        break;
    }
    case ENF_CAUSE_UNREQUESTED_REPLIES:
        snprintf(out, out_len, "%" PRIu64 " SMTP replies from servers that it had not asked, the limit is %s",
                 report->evidence_total, limit);
        break;
    case ENF_CAUSE_NONE:
        snprintf(out, out_len, "%" PRIu64 " observations, %s", report->evidence_total, report->setting);
    }
}

/* It is not in force: whoever reads the event must know of whom, and why. */
static void tell_not_quarantined(struct enf_daemon *d, const struct enf_prefix *subscriber, const char *actor,
                                 int err)
{
    struct enf_event event = {
        .action = ENF_EVENT_COVERAGE_LOST, .outcome = ENF_OUTCOME_FAILURE, .subscriber = *subscriber};
    char why[128];

    if (err == -ENOSPC)
        snprintf(why, sizeof why, "the quarantine is full (quarantine.max_entries is %zu)",
                 d->running->config->quarantine.max_entries);
    else
        enf_text_copy(why, sizeof why, err == -ENFILE ? "the kernel's set is full" : strerror(-err));
    snprintf(event.reason, sizeof event.reason, "a convicted subscriber could not be quarantined: %s", why);
    enf_text_copy(event.actor, sizeof event.actor, actor);
    enf_tell(d, &event);
    enf_log_line("quarantine", "could not be done: %s", why);
}

static void on_conviction(struct enf_daemon *d, const struct enf_report *report)
{
    const char *actor = report->kind == ENF_REPORT_METER ? "meter" : "detector";
    char what[ENF_SETTING_LEN + 192];

    describe(report, what, sizeof what);
    struct enf_decide_facts facts = facts_of(d, report, what);
    struct enf_decide_settings settings = settings_of(d->running->config);
    struct enf_decision decision = enf_decide(&facts, &settings);
    int err = 0;

    if (decision.kind != ENF_DECISION_ALREADY && report->kind == ENF_REPORT_METER)
        d->metrics.metered++;
    else if (decision.kind != ENF_DECISION_ALREADY && report->cause < ENF_CAUSE_COUNT)
        d->metrics.convictions[report->cause]++;
    if (report->governor_tripped)
        tell_tripped(d, report);
    if (decision.kind != ENF_DECISION_ALREADY)
        tell_zombie(d, report, &decision, actor);
    if (decision.kind == ENF_DECISION_QUARANTINE || decision.kind == ENF_DECISION_WOULD_QUARANTINE)
        remember_conviction(d, report, &decision, actor);
    if (decision.kind == ENF_DECISION_QUARANTINE)
        err = quarantine(d, report, &decision, actor);
    if (decision.kind == ENF_DECISION_WOULD_QUARANTINE)
        would_quarantine(d, report, &decision);
    if (err < 0)
        tell_not_quarantined(d, &report->event.subscriber, actor, err);
    if (report->banned && (decision.kind != ENF_DECISION_QUARANTINE || err < 0 ||
                           !enf_tier_holds(report->tier, decision.level)))
        correct_element(d, &report->event.subscriber, report->tier);
}

static void on_suspect(struct enf_daemon *d, const struct enf_report *report)
{
    struct enf_event event = report->event;
    char what[ENF_SETTING_LEN + 192];

    describe(report, what, sizeof what);
    d->metrics.suspects++;
    event.action = ENF_EVENT_SUSPECT;
    event.outcome = ENF_OUTCOME_UNKNOWN;
    event.count = report->evidence_total;
    event.evidence = report->evidence;
    event.evidence_len = report->evidence_len;
    snprintf(event.reason, sizeof event.reason, "%s; anybody could forge this, so nothing is done", what);
    enf_text_copy(event.actor, sizeof event.actor, "detector");
    enf_tell(d, &event);
}

static void on_relay(struct enf_daemon *d, const struct enf_report *report)
{
    char what[ENF_SETTING_LEN + 192];

    describe(report, what, sizeof what);
    enf_relay_suspect(d, report, what);
}

#define BATCH_MAX 256 /* convictions that are lasting together */

/* Events of which there may be thousands wait for each other on their way out; a conviction waits for
 * nothing. */
static void handle(struct enf_daemon *d, struct enf_report *report)
{
    if (report->kind == ENF_REPORT_EVENT) {
        enf_hub_hold(d->hub);
        enf_tell(d, &report->event);
        return;
    }
    enf_hub_release(d->hub, enf_clock_steady_ms());
    if (report->kind == ENF_REPORT_SUSPECT)
        on_suspect(d, report);
    else if (report->kind == ENF_REPORT_RELAY)
        on_relay(d, report);
    else
        on_conviction(d, report);
}

static bool is_conviction(const struct enf_report *report)
{
    return report->kind == ENF_REPORT_CONVICTION || report->kind == ENF_REPORT_METER;
}

/* All convictions that wait share the waits for the disk. They are in force already. */
void enf_reports_handle(struct enf_daemon *d)
{
    size_t batched = 0;

    for (struct enf_report *report = enf_mailbox_take(&d->mailbox), *next; report; report = next) {
        next = report->next;
        if (is_conviction(report) && batched++ == 0)
            enf_enforce_batch_begin(d);
        handle(d, report);
        enf_report_free(report);
        if (batched == BATCH_MAX) {
            enf_enforce_batch_end(d);
            batched = 0;
        }
    }
    enf_enforce_batch_end(d);
    enf_hub_release(d->hub, enf_clock_steady_ms());
    enf_sinks_kick(d); /* a receiver that had no room for them */
}
