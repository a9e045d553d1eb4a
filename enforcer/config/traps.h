/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traps may not be relays or smarthosts. Private to config/. */
#pragma once

#include "enforcer/config/draft.h"

/* Reports those that are. After enf_groups_finish. */
void enf_traps_check(struct enf_reader *reader, const struct enf_draft *draft);
