/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What other thresholds would have made of the same connections. */
#pragma once

#include "enforcer/core/text.h"
#include "replay.h"

#define BACKTEST_ROWS_MAX  64
#define BACKTEST_NAMES_MAX 4

struct backtest_row {
    struct rule rule;
    bool in_use;        /* some subscriber is judged by it now */
    uint64_t convicted; /* by this rule alone, applied to everybody */
    uint64_t extra;     /* of these, not convicted now */
    uint64_t missed;    /* convicted now, not by this rule */
    uint64_t until;     /* connections up to the conviction, all convicted together */
    struct enf_prefix names[BACKTEST_NAMES_MAX]; /* of the extra ones, the busiest */
};

struct backtest {
    struct backtest_row rows[BACKTEST_ROWS_MAX];
    size_t len;
};

/* The ledger is sorted, its traces are too. Rules in use beyond what there is room for are left out. 0 or
 * -ENOMEM. */
int backtest_run(const struct replay *replay, struct backtest *out);

/* "connection_rate: 20 per 60s", as the detector writes it. */
#define RULE_TEXT_LEN ENF_SETTING_LEN
/* "60s", "10m" */
const char *rule_per_text(const struct rule *rule, char buf[static ENF_TIME_STR_LEN]);
const char *rule_text(const struct rule *rule, char buf[static RULE_TEXT_LEN]);
/* The rules of settings, at most max of them. */
size_t rules_of(const struct enf_detector_settings *settings, struct rule *out, size_t max);
