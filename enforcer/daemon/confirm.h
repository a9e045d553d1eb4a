/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration on trial: unless somebody confirms it in time, the one before is in force again. On the
 * control thread. What is on trial, or went back, is named by a hash of its text in the state; the confirmed
 * text lies beside it, so that a start never takes up what nobody confirmed. */
#pragma once

#include "enforcer/config/config.h"
#include "enforcer/core/event.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct enf_daemon;
struct enf_running;

#define ENF_CONFIRMED_FILE "confirmed.yaml"      /* in the state's folder */
#define ENF_CONFIRM_MAX_MS (24ULL * 3600 * 1000) /* of a trial */

struct enf_confirm {
    uv_timer_t timer;
    bool ready;
    bool pending;      /* on trial */
    bool unconfirmed;  /* the file holds what was on trial and went back */
    bool recalled;     /* by a start: not told yet */
    bool lost;         /* a start found no confirmed text: not told yet */
    uint64_t hash;     /* of the text on trial, or that went back */
    uint64_t until_ms; /* wall clock, for people: the timer counts */
    char actor[ENF_ACTOR_LEN];
    struct enf_running *kept; /* owned. The one before, while another is on trial; after enf_confirm_recall
                                 the one of the file, until enf_confirm_tell */
};

void enf_confirm_open(struct enf_daemon *d);
void enf_confirm_close(struct enf_daemon *d); /* handles; the loop must run once more */
void enf_confirm_free(struct enf_daemon *d);

/* Puts the file in force for wait_ms. As enf_reload; while one is on trial, another takes its place, and the
 * one before both stays the one that it goes back to. */
int enf_confirm_reload(struct enf_daemon *d, const char *actor, uint64_t wait_ms,
                       struct enf_config_errors *errors, json_t *changes);
/* What is on trial stays. 0, or -errno of the disk: then it is on trial still. */
int enf_confirm(struct enf_daemon *d, const char *actor);
/* SIGHUP: a reload that confirms nothing, and does not take up again what went back. */
void enf_confirm_signal(struct enf_daemon *d, struct enf_config_errors *errors);

/* For reload.c: the file was taken as it is; and the configuration that it replaced is no more needed. */
void enf_confirm_taken(struct enf_daemon *d);
void enf_confirm_release(struct enf_daemon *d, struct enf_running *old);

/* At a start, once the state is open and before anything is in the kernel: where the file holds what nobody
 * confirmed, the confirmed one takes its place. Then, once events can be told and workers have their view:
 * says so. */
void enf_confirm_recall(struct enf_daemon *d);
void enf_confirm_tell(struct enf_daemon *d);

/* For status. A new reference, or NULL without memory. */
json_t *enf_confirm_json(const struct enf_daemon *d);
