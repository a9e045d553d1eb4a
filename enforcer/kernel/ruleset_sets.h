/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of the templates that are sets and what looks them up. Private to kernel/. */
#pragma once

#include "enforcer/kernel/ruleset_build.h"

/* Names of the table: interfaces and the routes to them, counters. */
void enf_sets_table(struct enf_builder *b);
/* Names of one family: smarthosts, relays, groups, never, bogons, subscribers by length, quarantine lookups.
 */
void enf_sets_family(struct enf_builder *b, enum enf_family family);
