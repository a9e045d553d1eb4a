/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where events go (`events`), who is called for them (`hooks`), and who signs reports about them (`report`).
 */
#pragma once

#include "enforcer/config/draft.h"

/* Row readers: the lists, and the section. base: the draft. */
void enf_read_sinks(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                    void *base);
void enf_read_hooks(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                    void *base);
void enf_read_report(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base);

/* A list of names of events, as bits of a uint64_t. */
void enf_read_actions(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base);
/* info, low, medium, high or critical, as the number that events carry. */
extern const struct enf_choice enf_severities[];

/* Reports sinks and hooks that are given twice. */
void enf_sinks_check(struct enf_reader *reader, const struct enf_config *config);
void enf_hooks_check(struct enf_reader *reader, const struct enf_config *config);
