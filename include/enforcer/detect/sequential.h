/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sequential probability ratio test (Wald 1947) over what one subscriber does. Each observation adds a
 * step, the logarithm of how much likelier a zombie is to do this than an honest host; the sum is the score.
 * Above one threshold the subscriber is convicted, below the other it is cleared and a new test starts. No
 * I/O, no clock, no allocation: the state is the caller's. Safe from any thread on different states.
 *
 * False convictions are budgeted by the day: the i-th test that starts within a period of 24 hours may err
 * with probability budget * 6 / (pi * i)^2, and the sum over all i is the budget. docs/detection.md has the
 * derivation and the table of steps with their sources. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/detect/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_SEQUENTIAL_PERIOD_MS (24ULL * 3600 * 1000) /* no test lasts longer */
#define ENF_SEQUENTIAL_NETWORKS  10                    /* remembered, the ones used last */
#define ENF_SEQUENTIAL_TESTS_MAX 65535                 /* in a period; the last one never ends */
#define ENF_SEQUENTIAL_UNIT      256                   /* steps and scores are whole numbers of 1/256 */
/* Of the budgets: what the arithmetic bears. */
#define ENF_SEQUENTIAL_FALSE_MIN  1e-12
#define ENF_SEQUENTIAL_FALSE_MAX  0.1
#define ENF_SEQUENTIAL_MISSED_MIN 1e-6
#define ENF_SEQUENTIAL_MISSED_MAX 0.5

/* What was seen. A connection goes to a network (IPv4 /16, IPv6 /32) that is new or known; what that says
 * depends on how many networks are known already. One more connection to the network used last says nothing:
 * neither can a client be convicted by trying again, nor can a zombie hide by it. */
enum enf_sequential_kind {
    ENF_SEQUENTIAL_NONE,  /* says nothing */
    ENF_SEQUENTIAL_FIRST, /* the first network of all, or the second: it could not be any other */
    ENF_SEQUENTIAL_NEW_2, /* a new network, two are known … */
    ENF_SEQUENTIAL_NEW_3,
    ENF_SEQUENTIAL_NEW_4,
    ENF_SEQUENTIAL_NEW_5,
    ENF_SEQUENTIAL_NEW_6,   /* … six or more are */
    ENF_SEQUENTIAL_AGAIN_2, /* back to a known network, two are known … */
    ENF_SEQUENTIAL_AGAIN_3,
    ENF_SEQUENTIAL_AGAIN_4,
    ENF_SEQUENTIAL_AGAIN_5,
    ENF_SEQUENTIAL_AGAIN_6,
    /* Only where the outcome says something about the host: under `block` every connection is refused. */
    ENF_SEQUENTIAL_FAILED, /* first connection to a network: no answer or a reset. A fourth in a row says
                              nothing (see ENF_SEQUENTIAL_FAILURES) */
    ENF_SEQUENTIAL_ANSWERED,
    ENF_SEQUENTIAL_REFUSED, /* a mail, the first to that network: a recipient got a 5yz */
    ENF_SEQUENTIAL_ACCEPTED,
    ENF_SEQUENTIAL_NOT_RETRIED, /* a mail got a 4yz: no second try within four hours */
    ENF_SEQUENTIAL_RETRIED,
    /* What software or line do in all their sessions: counted once a test. SESSION comes before them with the
     * first session that was read, and stands for none of them seen; without it the others are no kinds. */
    ENF_SEQUENTIAL_SESSION,
    ENF_SEQUENTIAL_BLOCKLISTED,     /* a refusal that names a blocklist */
    ENF_SEQUENTIAL_EARLY_TALK,      /* spoke before the banner */
    ENF_SEQUENTIAL_HELO_CHANGED,    /* another HELO than in the session before */
    ENF_SEQUENTIAL_HELO_NO_NAME,    /* HELO is neither a domain name nor an address literal */
    ENF_SEQUENTIAL_MANY_RECIPIENTS, /* 20 or more in one mail */
    ENF_SEQUENTIAL_NO_QUIT,         /* a session ended by its client without QUIT */
};
#define ENF_SEQUENTIAL_KIND_COUNT 25

/* A row of the table. Probabilities are those of this kind among the kinds that could have come instead. */
struct enf_sequential_row {
    const char *name;
    double honest;
    double zombie;
    int16_t step; /* in units; rounded down, so that rounding never convicts */
    bool once;    /* a test */
};

/* One subscriber. Zero value: nothing known. */
struct enf_sequential {
    uint32_t started;      /* of the period: low 32 bits of milliseconds */
    uint16_t tests;        /* started in the period, the running one included; 0: none ever */
    uint16_t observations; /* of the running test */
    int16_t score;         /* of the running test, in units */
    uint8_t networks_len;
    uint8_t seen;                               /* bits: those counted once; ENF_SEQUENTIAL_FORGEABLE */
    uint16_t networks[ENF_SEQUENTIAL_NETWORKS]; /* the last one used first */
};
_Static_assert(sizeof(struct enf_sequential) <= 32, "a million of them take 32 MB at most");
/* For callers: first contacts in a row that failed and count. A line that is down fails everywhere. */
#define ENF_SEQUENTIAL_FAILURES  3
#define ENF_SEQUENTIAL_FORGEABLE 0x80 /* for the caller: lasts as long as the running test */

/* Thresholds of a pair of budgets, in units. */
struct enf_sequential_rules {
    double convict; /* of the first test of a period */
    double clear;   /* below 0 */
    enum enf_sequential_model model;
};

enum enf_sequential_result {
    ENF_SEQUENTIAL_CONTINUE,
    ENF_SEQUENTIAL_CONVICT,
    ENF_SEQUENTIAL_CLEAR,
};

/* What an observation did. Natural logarithms, as evidence shows them. */
struct enf_sequential_step {
    enum enf_sequential_kind kind; /* NONE: counted already, or no kind of this model */
    double step;
    double score;     /* after it, also where the test ended by it */
    double threshold; /* that convicts in this test; of a step that stays below that of a first test: that */
    uint16_t observations; /* of this test, this one included */
};

/* -EINVAL where a budget is out of range (or no number); then *out is as it was. */
int enf_sequential_rules_make(const struct enf_sequential_settings *settings,
                              struct enf_sequential_rules *out);

/* Counts one observation of any kind but connections, made at now_ms, which is not before any other of this
 * state. After CONVICT and CLEAR the next test is set up. *out is always written. */
enum enf_sequential_result enf_sequential_step(struct enf_sequential *state,
                                               const struct enf_sequential_rules *rules,
                                               enum enf_sequential_kind kind, uint64_t now_ms,
                                               struct enf_sequential_step *out);
/* The same for a connection, whose kind follows from its destination: remembers the network. In the model
 * `server` connections have no step. */
enum enf_sequential_result enf_sequential_connection(struct enf_sequential *state,
                                                     const struct enf_sequential_rules *rules,
                                                     const struct enf_addr *destination, uint64_t now_ms,
                                                     struct enf_sequential_step *out);

/* Ends the running test without a result: something else convicted. The next one counts as one more. */
void enf_sequential_restart(struct enf_sequential *state);

/* Score and threshold of the running test at now_ms (0 and that of a first test where the period is over). */
void enf_sequential_show(const struct enf_sequential *state, const struct enf_sequential_rules *rules,
                         uint64_t now_ms, struct enf_sequential_step *out);

/* The network that an address lies in, as the test knows it. */
uint16_t enf_sequential_network(const struct enf_addr *addr);

/* The table; NULL for a value out of range. */
const struct enf_sequential_row *enf_sequential_row(enum enf_sequential_kind kind);
