/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pieces that the report is made of. */
#pragma once

#include "backtest.h"
#include "enforcer/policy/decide.h"

#include <stdio.h>

extern const char report_style[];

/* A subscriber's timeline: what its window holds from moment to moment, the limit, the conviction, and how
 * long it would have been held. until_ms 0: it would not have been. 0 or -ENOMEM. */
int report_chart(const struct account *account, uint64_t until_ms, FILE *to);

/* The table of thresholds. 0 or -ENOMEM. */
int report_backtest(const struct replay *replay, FILE *to);

/* The section of one subscriber. 0 or -ENOMEM. */
int report_subscriber(const struct replay *replay, const struct account *account, FILE *to);
