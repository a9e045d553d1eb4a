/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line. */
#pragma once

#include "enforcer/core/event.h"

#include <stdbool.h>
#include <stdint.h>

#define KINDS_CHOSEN_MAX 16

struct options {
    uint32_t subscribers; /* the honest ones */
    uint32_t bots;
    double days;
    uint64_t seed;
    enum enf_policy policy;                      /* NONE: each kind in the one it belongs to */
    const struct kind *chosen[KINDS_CHOSEN_MAX]; /* in equal parts; none: all by their shares */
    unsigned chosen_len;
    double false_conviction;
    double missed;
    uint32_t destinations; /* the limit on them under `block`; 0: its default */
    uint64_t max_bytes;    /* of the detector; 0: as it chooses */
    bool sequential;
    bool windows;
    bool json;
};

/* -1 with *out filled, or the exit code of a run that ends here (a text is on stdout or stderr). */
int options_parse(int argc, char **argv, struct options *out);
