/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the text that depend on how many workers there are. Private to kernel/. */
#pragma once

#include "enforcer/kernel/ruleset_build.h"

/* How the table's templates hand packets and copies to workers: chains, counters, log statements. */
void enf_workers_table(struct enf_builder *b);
/* The same of one family. */
void enf_workers_family(struct enf_builder *b, enum enf_family family);
