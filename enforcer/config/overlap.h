/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prefixes that may not meet: the same one twice, a group that cuts through another's subscribers, a relay
 * among subscribers. */
#pragma once

#include "enforcer/config/reader.h"

/* Reports them; prefixes of family ENF_FAMILY_NONE are skipped. */
void enf_overlap_check(struct enf_reader *reader, const struct enf_config *config);
