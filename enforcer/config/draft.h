/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration while it is read: what the file says, before sections inherit from each other. */
#pragma once

#include "enforcer/config/config.h"
#include "enforcer/config/detector.h"
#include "enforcer/config/reader.h"

/* One entry of a group's `subscribers`. */
struct enf_override_draft {
    const yaml_node_t *key;
    struct enf_prefix prefix;
    struct enf_detector_part detector;
};

struct enf_group_draft {
    struct enf_group group; /* without detector and overrides until enf_groups_finish */
    struct enf_detector_part detector;
    struct enf_override_draft *overrides;
    size_t overrides_len;
};

struct enf_draft {
    struct enf_config config;
    struct enf_detector_part detector;
    struct enf_group_draft *groups;
    size_t groups_len;
};

/* group.c: row readers for the list of groups, and for one group's `subscribers`. */
void enf_read_groups(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base);
/* override.c: a mapping from address or prefix to {detector}. */
void enf_read_overrides(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                        void *base);

/* Makes config.groups and config.traps of the drafts: global settings, a group's, a subscriber's. */
void enf_groups_finish(struct enf_reader *reader, struct enf_draft *draft);

/* Reports overrides that are outside of their group or name one subscriber twice. After enf_groups_finish. */
void enf_overrides_check(struct enf_reader *reader, struct enf_draft *draft);

/* check.c: reports what is wrong between values that are right each for itself. After enf_groups_finish. */
void enf_draft_check(struct enf_reader *reader, struct enf_draft *draft);
