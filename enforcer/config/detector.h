/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `detector` sections: global, of a group, of a subscriber; each overrides the one before key by key. */
#pragma once

#include "enforcer/config/reader.h"
#include "enforcer/detect/settings.h"

#include <stddef.h>

/* What one section says. Zero value: nothing. */
struct enf_detector_part {
    const yaml_node_t *node;
    struct enf_detector_settings settings; /* only the keys that node has are meant */
    size_t max_subscribers;                /* in the global section only */
};

/* Row readers into a struct enf_detector_part. */
void enf_read_detector_global(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                              void *base);
void enf_read_detector_local(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                             void *base);

/* Overrides in settings what part says. */
void enf_detector_part_apply(struct enf_reader *reader, const struct enf_detector_part *part,
                             struct enf_detector_settings *settings);

/* Copies the part's traps to next, points the part there and returns the place behind them. */
struct enf_addr *enf_detector_part_place(struct enf_detector_part *part, struct enf_addr *next);
