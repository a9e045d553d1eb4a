/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of the connections of a line whose mail is let through and read, and what is said in them.
 * Shares are probabilities. docs/detection.md says where they come from. */
#pragma once

#include "population.h"

#include "enforcer/inspect/observation.h"

#include <stddef.h>

#define SESSION_OBSERVATIONS_MAX 10 /* of one connection */

enum {
    HABIT_NO_QUIT = 1,
    HABIT_NO_NAME = 2,
    HABIT_CHANGES_NAME = 4,
    HABIT_EARLY = 8,
    HABIT_LISTED = 16,
    HABIT_MANY = 32, /* recipients */
};

struct session_kind {
    /* Of subscribers: what one does it does always. */
    double no_quit, no_name, changes_name, early, listed, many;
    /* Of servers, each for a subscriber and for good. */
    double dead;     /* no answer */
    double closed;   /* a reset */
    double refuses;  /* the recipient, 5yz */
    double puts_off; /* the first try, 4yz */
    /* Of what was put off. */
    double retries;
    bool fresh;  /* outcomes are drawn anew each time: exactly the probabilities of the table */
    bool silent; /* connects, and says nothing */
};

/* Draws the habits of an agent. */
void session_start(struct agent *agent, const struct session_kind *kind);
/* The observations of a connection that was made at now_ms, after its SYN; base has all that they share.
 * Plans a second try where there is one to come. Returns how many. */
size_t session_hold(struct agent *agent, const struct session_kind *kind, const struct act *act,
                    const struct enf_observation *base, uint64_t start_ms,
                    struct enf_observation out[static SESSION_OBSERVATIONS_MAX]);
