/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `quarantine` section. */
#pragma once

#include "enforcer/config/draft.h"
#include "enforcer/config/value.h"

void enf_quarantine_defaults(struct enf_config *config);
/* Row reader into a struct enf_draft. */
void enf_read_quarantine(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                         void *base);
/* What `block_with` may be, also of a group. */
extern const struct enf_choice enf_block_withs[];
