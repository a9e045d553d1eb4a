/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups of which only a share is under the policy, the others being observed. Private to kernel/. */
#pragma once

#include "enforcer/kernel/ruleset_build.h"

/* What all chains of a family need to know of such groups, and whether anybody in it is read by copies. After
 * enf_sets_family. */
void enf_share_family(struct enf_builder *b, enum enf_family family);
/* What the template of one group needs. */
void enf_share_group(struct enf_builder *b, const struct enf_ruleset_group *group);
