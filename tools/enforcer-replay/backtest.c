/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One walk over a subscriber's connections serves all limits that look back equally far. */
#include "backtest.h"

#include "enforcer/core/text.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_MS   1000ULL
#define MINUTE_MS   (60 * SECOND_MS)
#define HOUR_MS     (60 * MINUTE_MS)
#define RULES_MAX   (ENF_WINDOWS_MAX + 1)
#define UNREACHABLE UINT32_MAX

static const struct rule standard[] = {
    {false, 5, MINUTE_MS},      {false, 10, MINUTE_MS},      {false, 20, MINUTE_MS},
    {false, 30, MINUTE_MS},     {false, 50, MINUTE_MS},      {false, 100, MINUTE_MS},
    {false, 50, HOUR_MS},       {false, 100, HOUR_MS},       {false, 200, HOUR_MS},
    {false, 500, HOUR_MS},      {true, 5, 10 * MINUTE_MS},   {true, 10, 10 * MINUTE_MS},
    {true, 15, 10 * MINUTE_MS}, {true, 20, 10 * MINUTE_MS},  {true, 30, 10 * MINUTE_MS},
    {true, 50, 10 * MINUTE_MS}, {true, 100, 10 * MINUTE_MS},
};

const char *rule_per_text(const struct rule *rule, char buf[static ENF_TIME_STR_LEN])
{
    if (rule->per_ms % SECOND_MS != 0 || rule->per_ms > MINUTE_MS)
        return enf_duration_str(rule->per_ms, buf, ENF_TIME_STR_LEN);
    (void)snprintf(buf, ENF_TIME_STR_LEN, "%us", (unsigned)(rule->per_ms / SECOND_MS));
    return buf;
}

const char *rule_text(const struct rule *rule, char buf[static RULE_TEXT_LEN])
{
    char per[ENF_TIME_STR_LEN];
    (void)snprintf(buf, RULE_TEXT_LEN, "%s: %u per %s",
                   rule->destinations ? "distinct_destinations" : "connection_rate", rule->limit,
                   rule_per_text(rule, per));
    return buf;
}

size_t rules_of(const struct enf_detector_settings *settings, struct rule *out, size_t max)
{
    size_t len = 0;
    for (size_t i = 0; i < settings->connection_rate_len && len < max; i++)
        out[len++] = (struct rule){false, settings->connection_rate[i].connections,
                                   settings->connection_rate[i].per_ms};
    if (settings->distinct_destinations.count > 0 && len < max)
        out[len++] = (struct rule){true, settings->distinct_destinations.count,
                                   settings->distinct_destinations.per_ms};
    return len;
}

static int compare_rows(const void *left, const void *right)
{
    const struct rule *a = &((const struct backtest_row *)left)->rule;
    const struct rule *b = &((const struct backtest_row *)right)->rule;
    if (a->destinations != b->destinations)
        return a->destinations ? 1 : -1;
    if (a->per_ms != b->per_ms)
        return a->per_ms < b->per_ms ? -1 : 1;
    return a->limit < b->limit ? -1 : a->limit > b->limit;
}

static void add_rule(struct backtest *backtest, const struct rule *rule, bool in_use)
{
    for (size_t i = 0; i < backtest->len; i++) {
        const struct rule *there = &backtest->rows[i].rule;
        if (there->destinations != rule->destinations || there->limit != rule->limit ||
            there->per_ms != rule->per_ms)
            continue;
        backtest->rows[i].in_use = backtest->rows[i].in_use || in_use;
        return;
    }
    if (backtest->len < BACKTEST_ROWS_MAX)
        backtest->rows[backtest->len++] = (struct backtest_row){.rule = *rule, .in_use = in_use};
}

static void add_settings(struct backtest *backtest, const struct enf_detector_settings *settings)
{
    struct rule rules[RULES_MAX];
    size_t len = rules_of(settings, rules, RULES_MAX);
    for (size_t i = 0; i < len; i++)
        add_rule(backtest, &rules[i], true);
}

static void make_rows(const struct scope *scope, struct backtest *out)
{
    *out = (struct backtest){0};
    for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++)
        add_rule(out, &standard[i], false);
    if (!scope->config)
        add_settings(out, &scope->defaults);
    for (size_t i = 0; scope->config && i < scope->config->groups_len; i++)
        add_settings(out, &scope->config->groups[i].detector);
    qsort(out->rows, out->len, sizeof(out->rows[0]), compare_rows);
}

static void note(struct backtest_row *row, const struct account *account, uint32_t at)
{
    bool now = account->convictions > 0;
    if (at == UNREACHABLE) {
        row->missed += now;
        return;
    }
    row->convicted++;
    row->until += at + 1ULL;
    if (now)
        return;
    if (row->extra < BACKTEST_NAMES_MAX)
        row->names[row->extra] = account->subscriber;
    row->extra++;
}

/* Rows first to last (excluded) differ in their limits only, which ascend. */
static int try_group(struct backtest_row *first, const struct backtest_row *last,
                     const struct account *account)
{
    const struct trace_point *point;
    struct trace_walk walk;
    struct backtest_row *row = first;
    uint32_t count;
    int rc = 0;
    if (account->trace.len > first->rule.limit) {
        rc = trace_walk_begin(&walk, &account->trace, &first->rule);
        if (rc != 0)
            return rc;
        while (row < last && trace_walk_next(&walk, &point, &count))
            for (; row < last && count > row->rule.limit; row++)
                note(row, account, walk.at - 1);
        trace_walk_end(&walk);
    }
    for (; row < last; row++)
        note(row, account, UNREACHABLE);
    return rc;
}

int backtest_run(const struct replay *replay, struct backtest *out)
{
    make_rows(replay->scope, out);
    for (size_t first = 0; first < out->len;) {
        size_t last = first + 1;
        while (last < out->len && out->rows[last].rule.destinations == out->rows[first].rule.destinations &&
               out->rows[last].rule.per_ms == out->rows[first].rule.per_ms)
            last++;
        for (size_t i = 0; i < replay->ledger.len; i++) {
            int rc = try_group(&out->rows[first], &out->rows[last - 1] + 1, &replay->ledger.accounts[i]);
            if (rc != 0)
                return rc;
        }
        first = last;
    }
    return 0;
}
