/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One subscriber: the conviction in a sentence, what would have been done, its timeline, its evidence. */
#include "html.h"
#include "report.h"
#include "report_parts.h"

#include <string.h>

#define DEFAULT_DURATION_MS 3600000
#define DAY_MS              86400000

static const struct enf_config no_config = {
    .mode = ENF_MODE_ENFORCE,
    .quarantine = {.automatic = true, .level = ENF_LEVEL_SMTP, .duration_ms = DEFAULT_DURATION_MS},
};

static bool is_never(const struct enf_config *config, const struct enf_prefix *subscriber)
{
    for (size_t i = 0; i < config->quarantine.never.len; i++)
        if (enf_prefix_overlaps(&config->quarantine.never.items[i], subscriber))
            return true;
    return false;
}

/* As the daemon decides a first conviction; the governor, which counts by interface, cannot be asked here. */
static struct enf_decision decide(const struct scope *scope, const struct account *account)
{
    const struct enf_config *config = scope->config ? scope->config : &no_config;
    const struct enf_group *group = account->group;
    struct enf_decide_settings settings = {
        .level = config->quarantine.level,
        .duration_ms = config->quarantine.duration_ms,
        .escalation_len = config->quarantine.escalation_len,
    };
    memcpy(settings.escalation, config->quarantine.escalation, sizeof(settings.escalation));
    struct enf_decide_facts facts = {
        .now_ms = account->first.time_ms,
        .policy = group ? group->policy : ENF_POLICY_BLOCK,
        .observe_mode = config->mode == ENF_MODE_OBSERVE,
        .automatic = config->quarantine.automatic,
        .never = is_never(config, &account->subscriber),
        .forgeable_only = account->first.forgeable,
        .dynamic = group && group->addresses == ENF_ADDRESSES_DYNAMIC,
        .lease_ms = group ? group->lease_ms : 0,
    };
    return enf_decide(&facts, &settings);
}

static const char *unit_of(const struct enf_signal *signal)
{
    bool one = signal->evidence_total == 1;
    if (signal->cause == ENF_CAUSE_DISTINCT_DESTINATIONS)
        return one ? "different destination" : "different destinations";
    if (signal->cause == ENF_CAUSE_TRAP)
        return one ? "connection to a trap" : "connections to a trap";
    if (signal->cause == ENF_CAUSE_CONNECTION_RATE)
        return one ? "connection" : "connections";
    return one ? "observation" : "observations";
}

static void write_conviction(const struct account *account, FILE *to)
{
    const struct enf_signal *signal = &account->first;
    (void)fputs("<p>Convicted <b>", to);
    html_time(signal->time_ms, HTML_TIME_FULL, to);
    (void)fputs("</b> by ", to);
    html_count(signal->evidence_total, to);
    (void)fprintf(to, " %s; setting <code>", unit_of(signal));
    html_text(signal->setting, to);
    (void)fputs("</code>.", to);
    if (account->convictions > 1) {
        (void)fputs(" Convicted ", to);
        html_counted(account->convictions, "time", "times", to);
        (void)fputs(" in all.", to);
    }
    (void)fputs("</p>\n", to);
}

/* How much of the trace came by then, and how much of the rest inside the quarantine. */
static void write_effect(const struct account *account, uint64_t until_ms, FILE *to)
{
    uint64_t before = 0;
    uint64_t held = 0;
    for (uint32_t i = 0; i < account->trace.len; i++) {
        uint64_t time_ms = account->trace.points[i].time_ms;
        before += time_ms <= account->first.time_ms;
        held += time_ms > account->first.time_ms && time_ms < until_ms;
    }
    (void)fputs(" It had made ", to);
    html_counted(before, "connection", "connections", to);
    (void)fputs(" by then", to);
    if (until_ms > 0) {
        (void)fputs("; ", to);
        html_count(held, to);
        (void)fputs(" followed while the quarantine would have lasted", to);
    }
    (void)fputs(".", to);
}

static uint64_t write_decision(const struct scope *scope, const struct account *account, FILE *to)
{
    struct enf_decision decision = decide(scope, account);
    bool done = decision.kind == ENF_DECISION_QUARANTINE || decision.kind == ENF_DECISION_WOULD_QUARANTINE;
    (void)fputs("<p>", to);
    if (decision.kind == ENF_DECISION_QUARANTINE) {
        char duration[ENF_TIME_STR_LEN];
        (void)fprintf(to, "Would have been quarantined at level <b>%s</b> for %s, until ",
                      enf_level_name(decision.level),
                      enf_duration_str(decision.duration_ms, duration, sizeof(duration)));
        html_time(decision.until_ms, HTML_TIME_FULL, to);
        (void)fputs(".", to);
    } else {
        (void)fputs("Not quarantined: ", to);
        html_text(decision.reason, to);
    }
    write_effect(account, done ? decision.until_ms : 0, to);
    (void)fputs("</p>\n", to);
    return done ? decision.until_ms : 0;
}

static void write_evidence_row(const struct enf_evidence *evidence, enum html_time form, FILE *to)
{
    char text[ENF_PREFIX_STR_LEN];
    (void)fputs("<tr><td class=\"t\">", to);
    html_time(evidence->time_ms, form, to);
    (void)fputs("</td><td>", to);
    html_text(enf_addr_str(&evidence->destination, text, sizeof(text)), to);
    (void)fprintf(to, "</td><td class=\"n wide\">%u</td><td class=\"wide\">%s</td><td class=\"wide\">%s</td>",
                  evidence->destination_port, evidence->blocked ? "refused" : "let through",
                  evidence->forgeable ? "yes" : "no");
    (void)fprintf(to,
                  "<td class=\"n wide\">%+.4g</td><td class=\"n\">%.4g</td><td class=\"n\">%.4g</td></tr>\n",
                  evidence->step, evidence->score, evidence->threshold);
}

static void write_evidence(const struct account *account, FILE *to)
{
    const struct enf_signal *signal = &account->first;
    size_t first =
        signal->evidence_len > REPORT_EVIDENCE_MAX ? signal->evidence_len - REPORT_EVIDENCE_MAX : 0;
    if (signal->evidence_len == 0)
        return;
    bool one_day = signal->evidence[first].time_ms / DAY_MS == signal->time_ms / DAY_MS;
    enum html_time form = one_day ? HTML_TIME_CLOCK : HTML_TIME_SECONDS;
    (void)fputs("<details><summary>Evidence: ", to);
    html_counted(signal->evidence_total, "observation", "observations", to);
    if (signal->evidence_total > signal->evidence_len - first) {
        (void)fputs(", the last ", to);
        html_count(signal->evidence_len - first, to);
    }
    (void)fputs(
        "</summary><div class=\"scroll evidence\"><table><thead><tr><th>Time</th><th>Destination</th>"
        "<th class=\"n wide\">Port</th><th class=\"wide\">Attempt</th><th class=\"wide\">Forgeable</th>"
        "<th class=\"n wide\">Step</th><th class=\"n\">Score</th><th class=\"n\">Limit</th></tr></thead>"
        "<tbody>\n",
        to);
    for (size_t i = first; i < signal->evidence_len; i++)
        write_evidence_row(&signal->evidence[i], form, to);
    (void)fputs("</tbody></table></div></details>\n", to);
}

static void write_title(const struct account *account, FILE *to)
{
    char text[ENF_PREFIX_STR_LEN];
    const char *verdict = enf_verdict_name(account->convictions ? account->first.verdict : ENF_VERDICT_CLEAN);
    (void)fputs("<h3><code>", to);
    html_text(enf_prefix_str(&account->subscriber, text, sizeof(text)), to);
    (void)fprintf(to, "</code> <span class=\"badge %s\">%s</span>", verdict, verdict);
    if (account->group) {
        (void)fputs("<span class=\"soft small\">group ", to);
        html_text(account->group->name, to);
        (void)fputs("</span>", to);
    }
    (void)fputs("</h3>\n<p class=\"soft small\">", to);
    html_counted(account->connections, "connection", "connections", to);
    (void)fputs(" to ", to);
    html_counted(account->destinations_len, "destination", "destinations", to);
    if (account->connections > account->outcomes[FLOW_OUTCOME_UNKNOWN]) {
        (void)fputs("; ", to);
        html_count(account->outcomes[FLOW_OUTCOME_ANSWERED], to);
        (void)fputs(" answered, ", to);
        html_count(account->outcomes[FLOW_OUTCOME_REFUSED], to);
        (void)fputs(" refused, ", to);
        html_count(account->outcomes[FLOW_OUTCOME_UNANSWERED], to);
        (void)fputs(" not answered", to);
    }
    (void)fputs("; from ", to);
    html_time(account->first_seen_ms, HTML_TIME_SECONDS, to);
    (void)fputs(" to ", to);
    html_time(account->last_seen_ms, HTML_TIME_SECONDS, to);
    (void)fputs(" UTC</p>\n", to);
}

int report_subscriber(const struct replay *replay, const struct account *account, FILE *to)
{
    uint64_t until_ms = 0;
    (void)fputs("<section class=\"card\">", to);
    write_title(account, to);
    if (account->convictions) {
        write_conviction(account, to);
        until_ms = write_decision(replay->scope, account, to);
    }
    int rc = report_chart(account, until_ms, to);
    if (account->convictions)
        write_evidence(account, to);
    (void)fputs("</section>\n", to);
    return rc;
}
