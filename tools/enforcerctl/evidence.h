/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Evidence as sentences that a help desk can read to a customer. */
#pragma once

#include "tools/enforcerctl/command.h"

#include <jansson.h>

/* list: the evidence of a subscriber; total: how many observations there were. */
void print_evidence(const struct ctl *ctl, const json_t *list, long long total);
