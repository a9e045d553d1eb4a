/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a shape is made of. Private to kernel/. */
#pragma once

#include "enforcer/kernel/canon.h"
#include "enforcer/kernel/shape.h"

struct enf_shape_item {
    enum enf_canon_kind kind;
    char *name;
    struct enf_print declared;
    /* sets */
    uint32_t flags;
    bool large; /* not read at once */
    bool known; /* content and count are */
    struct enf_print content;
    size_t count;
    /* chains */
    struct enf_print *rules;
    size_t rules_len;
    size_t rules_size;
};

struct enf_shape {
    struct enf_shape_item *items;
    size_t len;
    size_t size;
};

struct enf_shape_item *enf_shape_find(const struct enf_shape *shape, enum enf_canon_kind kind,
                                      const char *name);
