/* SPDX-License-Identifier: GPL-2.0-or-later */
/* top on a terminal: the busiest subscribers, painted anew every two seconds, with keys. */
#pragma once

#include "tools/enforcerctl/command.h"

/* True where standard input and output are a terminal that can be painted on. */
bool live_possible(const struct ctl *ctl);

/* Until q. An enum ctl_exit; the terminal is as it was. */
int live_top(const struct ctl *ctl);
