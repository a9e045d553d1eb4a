/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one call of policy/quarantine.h changed, collected so that kernel and disk can take it as a whole. */
#pragma once

#include "enforcer/policy/quarantine.h"

#include <stdbool.h>
#include <stddef.h>

struct enf_change_row {
    bool present;
    struct enf_quarantine entry;
};

struct enf_change_told {
    enum enf_quarantine_change change;
    struct enf_quarantine entry;
};

struct enf_changes {
    struct enf_quarantine_sink sink; /* hand this to the table */
    struct enf_quarantine_element *elements;
    size_t elements_len, elements_size;
    struct enf_change_row *rows;
    size_t rows_len, rows_size;
    struct enf_change_told *told;
    size_t told_len, told_size;
    bool nets4, nets6;
    int err; /* -ENOMEM while collecting */
};

/* The struct must not move while its sink is in use. */
void enf_changes_init(struct enf_changes *changes);
/* After the table's call: copies the flags. */
void enf_changes_seal(struct enf_changes *changes);
void enf_changes_clear(struct enf_changes *changes);
