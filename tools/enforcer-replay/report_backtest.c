/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of thresholds. */
#include "html.h"
#include "report_parts.h"

#include <inttypes.h>

static void write_names(const struct backtest_row *row, FILE *to)
{
    char text[ENF_PREFIX_STR_LEN];
    uint64_t named = row->extra < BACKTEST_NAMES_MAX ? row->extra : BACKTEST_NAMES_MAX;
    for (uint64_t i = 0; i < named; i++) {
        (void)fputs(i > 0 ? ", " : "", to);
        html_text(enf_prefix_str(&row->names[i], text, sizeof(text)), to);
    }
    if (row->extra > named)
        (void)fprintf(to, " and %" PRIu64 " more", row->extra - named);
}

static void write_change(const struct backtest_row *row, FILE *to)
{
    (void)fputs("<td class=\"n\">", to);
    if (row->extra > 0) {
        (void)fputs("<span class=\"more\">+", to);
        html_count(row->extra, to);
        (void)fputs("</span>", to);
    }
    if (row->missed > 0) {
        (void)fputs(row->extra > 0 ? " <span class=\"less\">\u2212" : "<span class=\"less\">\u2212", to);
        html_count(row->missed, to);
        (void)fputs("</span>", to);
    }
    (void)fputs(row->extra + row->missed > 0 ? "</td>" : "0</td>", to);
}

static void write_row(const struct backtest_row *row, FILE *to)
{
    (void)fprintf(to, "<tr%s><td>more than ", row->in_use ? " class=\"inuse\"" : "");
    html_count(row->rule.limit, to);
    (void)fputs(row->in_use ? " <span class=\"badge now\">in use</span></td><td class=\"n\">"
                            : "</td><td class=\"n\">",
                to);
    html_count(row->convicted, to);
    (void)fputs("</td>", to);
    write_change(row, to);
    (void)fputs("<td class=\"n\">", to);
    if (row->convicted > 0)
        (void)fprintf(to, "%.*f", row->until % row->convicted ? 1 : 0,
                      (double)row->until / (double)row->convicted);
    else
        (void)fputs("\u2013", to);
    (void)fputs("</td><td class=\"wide small\">", to);
    write_names(row, to);
    (void)fputs("</td></tr>\n", to);
}

static bool same_group(const struct rule *a, const struct rule *b)
{
    return a->destinations == b->destinations && a->per_ms == b->per_ms;
}

int report_backtest(const struct replay *replay, FILE *to)
{
    struct backtest backtest;
    char per[ENF_TIME_STR_LEN];
    int rc = backtest_run(replay, &backtest);
    if (rc != 0)
        return rc;
    (void)fputs(
        "<h2>Other thresholds</h2>\n<div class=\"card\"><p>What each threshold alone would have made of the "
        "same "
        "connections, applied to every subscriber. <b>Change</b> is against the run above: <span "
        "class=\"more\">"
        "+</span> would be convicted in addition, <span class=\"less\">\u2212</span> would be missed by this "
        "rule.</p>\n<div class=\"scroll\"><table><thead><tr><th>Threshold</th><th class=\"n\">Convicted</th>"
        "<th class=\"n\">Change</th><th class=\"n\">After<span class=\"wide\"> connections</span></th>"
        "<th class=\"wide\">In addition</th></tr></thead><tbody>\n",
        to);
    for (size_t i = 0; i < backtest.len; i++) {
        const struct rule *rule = &backtest.rows[i].rule;
        if (i == 0 || !same_group(rule, &backtest.rows[i - 1].rule))
            (void)fprintf(to, "<tr class=\"group\"><td colspan=\"5\">%s within %s</td></tr>\n",
                          rule->destinations ? "Different destinations" : "Connections",
                          rule_per_text(rule, per));
        write_row(&backtest.rows[i], to);
    }
    (void)fputs(
        "</tbody></table></div>\n<p class=\"soft small\"><b>After</b>: how many connections a convicted "
        "subscriber had made by then, on average. ",
        to);
    if (replay->ledger.untraced > 0) {
        (void)fputs("This table and the timelines leave out ", to);
        html_counted(replay->ledger.untraced, "connection", "connections", to);
        (void)fputs(" at the end of the input, beyond what is kept. ", to);
    }
    (void)fputs("Connections that are out of order of time are sorted first.</p></div>\n", to);
    return 0;
}
