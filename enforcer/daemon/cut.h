/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cut and confirm: connections of quarantined subscribers that the kernel tracks for somebody else are
 * deleted, so that no flowtable takes them past the rules; then it is watched for a second whether anything
 * of theirs still leaves, and told. All on the control thread; nothing is done where nothing is tracked. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/kernel/conntrack.h"
#include "enforcer/kernel/witness.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct enf_daemon;

#define ENF_CUT_WATCH_MS 1000
#define ENF_CUT_ROUNDS   3  /* looks that still find something before that is told as a failure */
#define ENF_CUT_LINES    64 /* subscribers watched at once; those beyond share one event */

/* One subscriber whose connections were cut. */
struct enf_cut_line {
    struct enf_prefix subscriber; /* ENF_FAMILY_NONE: all beyond ENF_CUT_LINES */
    enum enf_level level;
    uint64_t told_ms; /* when its watch ends; steady clock */
    unsigned rounds;  /* looks that found something */
    bool fresh;       /* found by the look that is going on */
    uint64_t deleted;
    uint64_t offloaded; /* of them */
    uint64_t kept;      /* that the kernel would not delete */
    int error;          /* why */
    uint64_t passed;    /* packets that left while it was watched */
};

/* Zero value: nothing to do. */
struct enf_cut {
    uv_timer_t timer;
    bool ready;
    bool wanted;            /* somebody came into quarantine since the last look … */
    bool wanted_full;       /* … at level full: connections of all ports are looked at */
    uint64_t rest_until_ms; /* a look takes at most a tenth of the thread's time; steady clock */
    struct enf_conntrack *conntrack;
    struct enf_witness *witness;
    bool watching;
    bool blind; /* what leaves cannot be seen, or not all of it */
    bool failed_told;
    struct enf_cut_line lines[ENF_CUT_LINES + 1];
    size_t len;
};

void enf_cut_open(struct enf_daemon *d);
/* While the loop runs: its timer. Then, with no loop any more: the rest. */
void enf_cut_close(struct enf_daemon *d);
void enf_cut_free(struct enf_daemon *d);
/* Somebody is in quarantine who was not: looks soon. full: at level full, where all ports count. Cheap. */
void enf_cut_want(struct enf_daemon *d, bool full);
/* The rules were not there for a while, or are others now: the same for all who are in quarantine. */
void enf_cut_want_anew(struct enf_daemon *d);
