/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timelines in SVG. The picture is stretched to the width there is; labels are HTML above it, so that they
 * keep their size. */
#include "html.h"
#include "report_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define BINS        400
#define SPAN_MIN_MS 10000
#define HEADROOM    1.18 /* above the highest value */
#define WIDTH       1000.0
#define HEIGHT      100.0
#define DAY_MS      86400000ULL
#define RULES_MAX   (ENF_WINDOWS_MAX + 1)

struct chart {
    uint64_t begin_ms;
    uint64_t end_ms;
    double values[BINS]; /* the highest of each bin */
    uint32_t connections[BINS];
    double peak;
    double limit;
    double top; /* of the scale */
    char what[128];
};

static double x_of(const struct chart *chart, uint64_t time_ms)
{
    if (time_ms <= chart->begin_ms)
        return 0;
    if (time_ms >= chart->end_ms)
        return WIDTH;
    return (double)(time_ms - chart->begin_ms) / (double)(chart->end_ms - chart->begin_ms) * WIDTH;
}

static double y_of(const struct chart *chart, double value)
{
    return HEIGHT - value / chart->top * HEIGHT;
}

static unsigned bin_of(const struct chart *chart, uint64_t time_ms)
{
    unsigned bin = (unsigned)(x_of(chart, time_ms) / WIDTH * BINS);
    return bin < BINS ? bin : BINS - 1;
}

static uint64_t bin_end(const struct chart *chart, unsigned bin)
{
    return chart->begin_ms + (uint64_t)((double)(chart->end_ms - chart->begin_ms) * (bin + 1) / BINS);
}

static void set_span(struct chart *chart, uint64_t begin, uint64_t end)
{
    uint64_t margin = (end - begin) / 40;
    if (end - begin + 2 * margin < SPAN_MIN_MS)
        margin = (SPAN_MIN_MS - (end - begin)) / 2;
    chart->begin_ms = begin > margin ? begin - margin : 0;
    chart->end_ms = end + margin;
}

static int peak_of(const struct trace *trace, const struct rule *rule, uint32_t *out)
{
    const struct trace_point *point;
    struct trace_walk walk;
    uint32_t count;
    uint32_t peak = 0;
    int rc = trace_walk_begin(&walk, trace, rule);
    if (rc != 0)
        return rc;
    while (trace_walk_next(&walk, &point, &count))
        if (count > peak)
            peak = count;
    trace_walk_end(&walk);
    *out = peak;
    return 0;
}

/* The rule that convicted, or else the one that is nearest to its limit. 1 where there is one. */
static int choose_rule(const struct account *account, struct rule *out)
{
    struct rule rules[RULES_MAX];
    char text[RULE_TEXT_LEN];
    double best = -1;
    size_t len = rules_of(account->settings, rules, RULES_MAX);
    for (size_t i = 0; i < len; i++) {
        uint32_t peak = 0;
        int rc = peak_of(&account->trace, &rules[i], &peak);
        if (rc != 0)
            return rc;
        double share = (double)peak / rules[i].limit;
        if (account->convictions && strcmp(rule_text(&rules[i], text), account->first.setting) == 0)
            share = 1e12;
        if (share <= best)
            continue;
        best = share;
        *out = rules[i];
    }
    return best >= 0;
}

/* A point counts for its bin; a bin without one shows what the window still holds at its end. */
static int fill_by_rule(struct chart *chart, const struct trace *trace, const struct rule *rule)
{
    char per[ENF_TIME_STR_LEN];
    const struct trace_point *point;
    struct trace_walk walk;
    uint32_t count;
    unsigned next = 0;
    int rc = trace_walk_begin(&walk, trace, rule);
    if (rc != 0)
        return rc;
    while (trace_walk_next(&walk, &point, &count)) {
        unsigned bin = bin_of(chart, point->time_ms);
        if (bin >= next)
            next = bin + 1;
        chart->connections[bin]++;
        if (count > chart->values[bin])
            chart->values[bin] = count;
        uint64_t until = walk.at < trace->len ? trace->points[walk.at].time_ms : chart->end_ms + 1;
        for (; next < BINS && bin_end(chart, next) < until; next++)
            chart->values[next] = trace_walk_count(&walk, bin_end(chart, next));
    }
    trace_walk_end(&walk);
    chart->limit = rule->limit;
    (void)snprintf(chart->what, sizeof(chart->what), "%s within %s",
                   rule->destinations ? "Different destinations" : "Connections", rule_per_text(rule, per));
    return 0;
}

/* Other tests explain themselves by a score: it stays until the next step. */
static void fill_by_score(struct chart *chart, const struct account *account)
{
    const struct enf_signal *signal = &account->first;
    double score = 0;
    size_t next = 0;
    for (uint32_t i = 0; i < account->trace.len; i++) {
        uint64_t time_ms = account->trace.points[i].time_ms;
        if (time_ms >= chart->begin_ms && time_ms <= chart->end_ms)
            chart->connections[bin_of(chart, time_ms)]++;
    }
    for (unsigned bin = 0; bin < BINS && bin <= bin_of(chart, signal->time_ms); bin++) {
        double highest = score;
        for (; next < signal->evidence_len && bin_of(chart, signal->evidence[next].time_ms) <= bin; next++) {
            score = signal->evidence[next].score;
            if (score > highest)
                highest = score;
        }
        chart->values[bin] = highest > 0 ? highest : 0;
    }
    chart->limit = signal->evidence[signal->evidence_len - 1].threshold;
    (void)snprintf(chart->what, sizeof(chart->what), "Score up to the conviction");
}

static bool explains_itself(const struct account *account)
{
    struct rule rules[RULES_MAX];
    char text[RULE_TEXT_LEN];
    const struct enf_signal *signal = &account->first;
    if (!account->convictions || signal->cause == ENF_CAUSE_TRAP || signal->evidence_len < 2 ||
        signal->evidence[signal->evidence_len - 1].threshold <= 0)
        return false;
    size_t len = rules_of(account->settings, rules, RULES_MAX);
    for (size_t i = 0; i < len; i++)
        if (strcmp(rule_text(&rules[i], text), signal->setting) == 0)
            return false;
    return true;
}

static int fill(struct chart *chart, const struct account *account)
{
    struct rule rule = {false, UINT32_MAX, 60000};
    int rc = 0;
    *chart = (struct chart){0};
    if (explains_itself(account)) {
        set_span(chart, account->first.evidence[0].time_ms, account->first.time_ms);
        fill_by_score(chart, account);
    } else {
        set_span(chart, account->trace.points[0].time_ms,
                 account->trace.points[account->trace.len - 1].time_ms);
        rc = choose_rule(account, &rule);
        if (rc >= 0)
            rc = fill_by_rule(chart, &account->trace, &rule);
        if (rule.limit == UINT32_MAX)
            chart->limit = 0; /* no rule at all: only traps convict */
    }
    for (unsigned bin = 0; bin < BINS; bin++)
        if (chart->values[bin] > chart->peak)
            chart->peak = chart->values[bin];
    chart->top = (chart->peak > chart->limit ? chart->peak : chart->limit) * HEADROOM;
    if (chart->top <= 0)
        chart->top = 1;
    return rc;
}

/* --- drawing --- */

static void draw_path(const struct chart *chart, bool closed, FILE *to)
{
    double last = -1;
    (void)fprintf(to, "<path class=\"%s\" d=\"M0 %.1f", closed ? "area" : "line", HEIGHT);
    for (unsigned bin = 0; bin < BINS; bin++) {
        double y = y_of(chart, chart->values[bin]);
        if (y != last)
            (void)fprintf(to, "H%.1fV%.1f", bin * WIDTH / BINS, y);
        last = y;
    }
    (void)fprintf(to, "H%.0f%s\"/>", WIDTH, closed ? "V100Z" : "");
}

static void draw_plot(const struct chart *chart, const struct account *account, uint64_t until_ms, FILE *to)
{
    (void)fputs("<svg class=\"curve\" viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" role=\"img\">",
                to);
    (void)fprintf(to, "<title>%s: at most %.4g, limit %.4g</title>", chart->what, chart->peak, chart->limit);
    if (account->convictions && until_ms > account->first.time_ms) {
        double from = x_of(chart, account->first.time_ms);
        (void)fprintf(to, "<rect class=\"held\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"100\"/>", from,
                      x_of(chart, until_ms) - from);
    }
    draw_path(chart, true, to);
    draw_path(chart, false, to);
    if (chart->limit > 0)
        (void)fprintf(to, "<path class=\"limit\" d=\"M0 %.1fH1000\"/>", y_of(chart, chart->limit));
    if (account->convictions)
        (void)fprintf(to, "<path class=\"hit\" d=\"M%.1f 0V100\"/>", x_of(chart, account->first.time_ms));
    (void)fputs("</svg>", to);
}

#define LATE 600 /* of WIDTH: what is marked there has its words on the left */

/* On the side where the conviction is not. */
static void draw_limit_mark(const struct chart *chart, const struct account *account, FILE *to)
{
    bool late = account->convictions && x_of(chart, account->first.time_ms) >= LATE;
    if (chart->limit > 0)
        (void)fprintf(to, "<span class=\"mark limit-mark\" style=\"%s:0;bottom:%.1f%%\">limit %.4g</span>",
                      late ? "left" : "right", 100 - y_of(chart, chart->limit), chart->limit);
}

/* In a line of its own, above the picture. */
static void draw_hit_mark(const struct chart *chart, const struct account *account, FILE *to)
{
    if (!account->convictions)
        return;
    double x = x_of(chart, account->first.time_ms) / 10;
    bool right = x_of(chart, account->first.time_ms) >= LATE;
    (void)fprintf(to, "<div class=\"hits\"><span class=\"mark hit-mark %s\" style=\"%s:%.1f%%\">convicted ",
                  right ? "ends" : "begins", right ? "right" : "left", right ? 100 - x : x);
    html_time(account->first.time_ms, HTML_TIME_SHORT, to);
    (void)fputs("</span></div>", to);
}

static void draw_rug(const struct chart *chart, FILE *to)
{
    uint32_t most = 1;
    for (unsigned bin = 0; bin < BINS; bin++)
        if (chart->connections[bin] > most)
            most = chart->connections[bin];
    (void)fprintf(to,
                  "<svg class=\"rug\" viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" role=\"img\">"
                  "<title>Connections; the highest mark stands for %" PRIu32 "</title><path d=\"",
                  most);
    for (unsigned bin = 0; bin < BINS; bin++)
        if (chart->connections[bin] > 0)
            (void)fprintf(to, "M%.1f 100V%.0f", (bin + 0.5) * WIDTH / BINS,
                          100 - 35 - 65.0 * chart->connections[bin] / most);
    (void)fputs("\"/></svg>", to);
}

static void draw_axis(const struct chart *chart, FILE *to)
{
    uint64_t span = chart->end_ms - chart->begin_ms;
    (void)fputs("<div class=\"axis\">", to);
    for (unsigned i = 0; i < 4; i++) {
        (void)fputs("<span>", to);
        html_time(chart->begin_ms + span * i / 3, span > DAY_MS ? HTML_TIME_DAY : HTML_TIME_SHORT, to);
        (void)fputs("</span>", to);
    }
    (void)fputs("</div>", to);
}

int report_chart(const struct account *account, uint64_t until_ms, FILE *to)
{
    struct chart chart;
    if (account->trace.len == 0)
        return 0;
    int rc = fill(&chart, account);
    if (rc < 0)
        return rc;
    (void)fprintf(to, "<figure><figcaption>%s: at most <b>%.4g</b>", chart.what, chart.peak);
    if (chart.limit > 0)
        (void)fprintf(to, ", limit %.4g", chart.limit);
    (void)fputs(". From ", to);
    html_time(chart.begin_ms, HTML_TIME_SECONDS, to);
    (void)fputs(" UTC on.</figcaption>", to);
    draw_hit_mark(&chart, account, to);
    (void)fputs("<div class=\"plot\">", to);
    draw_plot(&chart, account, until_ms, to);
    draw_limit_mark(&chart, account, to);
    (void)fputs("</div>", to);
    draw_rug(&chart, to);
    draw_axis(&chart, to);
    (void)fputs("</figure>\n", to);
    return 0;
}
