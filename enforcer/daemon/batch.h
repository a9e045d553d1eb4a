/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of the quarantine that wait for the disk together, and what follows from each once the disk has it.
 * All of the control thread. */
#pragma once

#include "enforcer/daemon/changes.h"
#include "enforcer/daemon/daemon.h"

/* One change that kernel and store have. Its fields are to be set before enf_conclusion_init. */
struct enf_conclusion {
    struct enf_changes changes;
    struct enf_prefix *released; /* prefixes that something was released of; owned */
    size_t released_len;
    bool needs_disk; /* else it is in force also where the disk refuses */
    bool reserved;   /* a place in the batch */
};

/* Makes changes ready to collect, and a place in the batch where one is on. 0 or -ENOMEM. In any case
 * enf_conclusion_clear follows. */
int enf_conclusion_init(struct enf_daemon *d, struct enf_conclusion *c);
void enf_conclusion_clear(struct enf_daemon *d, struct enf_conclusion *c);
/* Tells, and forgets counters of what was released: at once, or at the end of the batch, which then has it
 * (*c is empty). actor and reason: NULL, or those to be told instead of the entries'. Cannot fail. */
void enf_conclude(struct enf_daemon *d, struct enf_conclusion *c, const char *actor, const char *reason);

/* The rows are in force and not on disk: keeps them, says so once. */
void enf_keep_unsaved(struct enf_daemon *d, const struct enf_changes *changes);
/* Counters and meters of those that are told start anew. */
void enf_forget_ended(struct enf_daemon *d, const struct enf_changes *changes);
/* --- enforce.c --- */
/* Table and kernel as the disk has them, after it refused all of these. */
void enf_enforce_take_back(struct enf_daemon *d, const struct enf_conclusion *items, size_t len);
