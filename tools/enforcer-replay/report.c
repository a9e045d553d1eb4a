/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole page. */
#include "report.h"

#include "html.h"
#include "report_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define INPUTS_MAX  20 /* named */
#define BUSIEST_MAX 5  /* of those not convicted, with a timeline for comparison */
#define DOCTYPE     "<!DOCTYPE html>"

static bool may_overwrite(FILE *file)
{
    char head[sizeof(DOCTYPE)] = "";
    size_t len = fread(head, 1, sizeof(DOCTYPE) - 1, file);
    return len == 0 || strncasecmp(head, DOCTYPE, sizeof(DOCTYPE) - 1) == 0;
}

FILE *report_open(const char *path, char *error, size_t error_len)
{
    FILE *there = fopen(path, "re");
    bool fine = !there || may_overwrite(there);
    if (there)
        (void)fclose(there);
    if (!fine) {
        (void)snprintf(error, error_len, "is there and is no report: it stays as it is");
        return NULL;
    }
    FILE *file = fopen(path, "we");
    if (!file)
        (void)snprintf(error, error_len, "%s", strerror(errno));
    return file;
}

static void write_head(const struct options *options, FILE *to)
{
    (void)fputs(DOCTYPE "\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
                        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>"
                        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                        "style-src 'unsafe-inline'\"/>"
                        "<meta name=\"color-scheme\" content=\"light dark\"/>"
                        "<title>Port 25: who would have been convicted</title>\n<style>",
                to);
    (void)fputs(report_style, to);
    (void)fputs("</style></head>\n<body><header><h1>Port 25: who would have been convicted</h1>\n"
                "<p class=\"soft small\">",
                to);
    for (size_t i = 0; i < options->inputs_len && i < INPUTS_MAX; i++) {
        (void)fputs(i > 0 ? ", <code>" : "Read: <code>", to);
        html_text(strcmp(options->inputs[i], "-") == 0 ? "standard input" : options->inputs[i], to);
        (void)fputs("</code>", to);
    }
    if (options->inputs_len > INPUTS_MAX)
        (void)fprintf(to, " and %zu more", options->inputs_len - INPUTS_MAX);
    if (options->config) {
        (void)fputs(". Configuration: <code>", to);
        html_text(options->config, to);
        (void)fputs("</code>.</p>", to);
    } else {
        (void)fputs(". No configuration: every source is a subscriber, with the defaults of policy "
                    "<code>block</code>.</p>",
                    to);
    }
    (void)fputs("</header>\n<main>", to);
}

static void tile(uint64_t count, const char *name, bool alarm, FILE *to)
{
    (void)fprintf(to, "<div class=\"tile%s\"><b>", alarm ? " alarm" : "");
    html_count(count, to);
    (void)fprintf(to, "</b><span>%s</span></div>", name);
}

static uint64_t suspects_of(const struct ledger *ledger)
{
    uint64_t suspects = 0;
    for (size_t i = 0; i < ledger->len && ledger->accounts[i].convictions; i++)
        suspects += ledger->accounts[i].first.verdict == ENF_VERDICT_SUSPECT;
    return suspects;
}

static void write_summary(const struct replay *replay, FILE *to)
{
    const struct ledger *ledger = &replay->ledger;
    uint64_t connections = 0;
    uint64_t begin = UINT64_MAX;
    uint64_t end = 0;
    for (size_t i = 0; i < ledger->len; i++) {
        connections += ledger->accounts[i].connections;
        if (ledger->accounts[i].first_seen_ms < begin)
            begin = ledger->accounts[i].first_seen_ms;
        if (ledger->accounts[i].last_seen_ms > end)
            end = ledger->accounts[i].last_seen_ms;
    }
    uint64_t suspects = suspects_of(ledger);
    (void)fputs("<div class=\"tiles\">", to);
    tile(ledger->zombies - suspects, "zombies", ledger->zombies > suspects, to);
    tile(suspects, "suspects", false, to);
    tile(ledger->len, "subscribers on port 25", false, to);
    tile(connections, "connections", false, to);
    if (replay->read_captures || !replay->read_flows)
        tile(replay->packets, "packets read", false, to);
    if (replay->read_flows)
        tile(replay->records, "flow records read", false, to);
    tile(replay->undecodable, "not decoded", false, to);
    (void)fputs("</div>\n", to);
    if (ledger->len > 0) {
        (void)fputs("<p class=\"soft small\">Connections from ", to);
        html_time(begin, HTML_TIME_FULL, to);
        (void)fputs(" to ", to);
        html_time(end, HTML_TIME_FULL, to);
        (void)fputs(". All times are UTC.</p>\n", to);
    }
    if (ledger->unlisted > 0) {
        (void)fputs("<p>Not in this report: ", to);
        html_counted(ledger->unlisted, "connection", "connections", to);
        (void)fprintf(to, " of subscribers beyond the first %zu.</p>\n", ledger->max);
    }
}

static int write_details(const struct replay *replay, FILE *to)
{
    const struct ledger *ledger = &replay->ledger;
    size_t convicted = 0;
    int rc = 0;
    while (convicted < ledger->len && ledger->accounts[convicted].convictions)
        convicted++;
    (void)fputs("<h2>Convicted</h2>\n", to);
    if (convicted == 0)
        (void)fputs("<div class=\"card\">Nobody would have been convicted.</div>\n", to);
    if (ledger->len > 0)
        (void)fputs("<div class=\"legend\"><span><i></i>what the window holds, or the score</span>"
                    "<span><i class=\"l\"></i>the limit</span>"
                    "<span><i class=\"h\"></i>conviction and quarantine</span></div>\n",
                    to);
    size_t shown = convicted < REPORT_DETAILS_MAX ? convicted : REPORT_DETAILS_MAX;
    for (size_t i = 0; i < shown && rc == 0; i++)
        rc = report_subscriber(replay, &ledger->accounts[i], to);
    if (convicted > shown)
        (void)fprintf(to, "<p>Left out: the timelines of %zu more, those with the fewest connections.</p>\n",
                      convicted - shown);
    if (convicted < ledger->len && rc == 0)
        (void)fputs("<h2>The busiest that stay clean</h2>\n", to);
    for (size_t i = convicted; i < ledger->len && i < convicted + BUSIEST_MAX && rc == 0; i++)
        rc = report_subscriber(replay, &ledger->accounts[i], to);
    return rc;
}

static void write_list_row(const struct account *account, bool groups, FILE *to)
{
    char text[ENF_PREFIX_STR_LEN];
    const char *verdict = enf_verdict_name(account->convictions ? account->first.verdict : ENF_VERDICT_CLEAN);
    (void)fputs("<tr><td>", to);
    html_text(enf_prefix_str(&account->subscriber, text, sizeof(text)), to);
    if (groups) {
        (void)fputs("</td><td class=\"wide\">", to);
        html_text(account->group ? account->group->name : "", to);
    }
    (void)fprintf(to, "</td><td><span class=\"badge %s\">%s</span></td><td class=\"n\">", verdict, verdict);
    html_count(account->connections, to);
    (void)fputs("</td><td class=\"n\">", to);
    html_count(account->destinations_len, to);
    (void)fputs("</td><td class=\"wide t\">", to);
    html_time(account->first_seen_ms, HTML_TIME_SECONDS, to);
    (void)fputs("</td><td class=\"wide t\">", to);
    if (account->convictions)
        html_time(account->first.time_ms, HTML_TIME_SECONDS, to);
    (void)fputs("</td></tr>\n", to);
}

static void write_list(const struct replay *replay, FILE *to)
{
    const struct ledger *ledger = &replay->ledger;
    bool groups = replay->scope->config != NULL;
    if (ledger->len == 0)
        return;
    (void)fputs("<h2>All subscribers</h2>\n<div class=\"card scroll\"><table><thead><tr><th>Subscriber</th>",
                to);
    (void)fputs(groups ? "<th class=\"wide\">Group</th>" : "", to);
    (void)fputs(
        "<th>Verdict</th><th class=\"n\">Conn<span class=\"wide\">ections</span></th>"
        "<th class=\"n\">Dest<span class=\"wide\">inations</span></th><th class=\"wide\">First seen</th>"
        "<th class=\"wide\">Convicted</th></tr></thead><tbody>\n",
        to);
    for (size_t i = 0; i < ledger->len && i < REPORT_LIST_MAX; i++)
        write_list_row(&ledger->accounts[i], groups, to);
    (void)fputs("</tbody></table></div>\n", to);
    if (ledger->len > REPORT_LIST_MAX)
        (void)fprintf(to, "<p>Left out: %zu more, all of them with %s.</p>\n", ledger->len - REPORT_LIST_MAX,
                      ledger->accounts[REPORT_LIST_MAX].convictions
                          ? "the fewest connections of their verdict"
                          : "no conviction and fewer connections");
}

int report_write(struct replay *replay, const struct options *options, FILE *file)
{
    int rc = 0;
    for (size_t i = 0; i < replay->ledger.len && rc == 0; i++)
        rc = trace_sort(&replay->ledger.accounts[i].trace);
    write_head(options, file);
    write_summary(replay, file);
    if (rc == 0)
        rc = write_details(replay, file);
    if (rc == 0)
        rc = report_backtest(replay, file);
    write_list(replay, file);
    if (rc != 0)
        (void)fputs("<p><b>There was not enough memory for the rest of this report.</b></p>\n", file);
    (void)fputs("</main>\n<footer>enforcer-replay " ENF_VERSION
                ". What the detector would have said, had it seen these connections; times are the "
                "input\u2019s own.</footer></body></html>\n",
                file);
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        rc = -EIO;
    return rc;
}
