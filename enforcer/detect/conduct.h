/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host does in its sessions, on lines that may have a mail server: turns observations into steps of
 * the sequential test, and remembers what that needs. Nothing is allocated before the first of them. */
#pragma once

#include "enforcer/detect/activity.h"
#include "enforcer/detect/conviction.h"
#include "enforcer/detect/prints.h"
#include "enforcer/detect/sequential.h"
#include "enforcer/detect/trail.h"
#include "enforcer/inspect/observation.h"

#include <stdbool.h>
#include <stdint.h>

struct conduct {
    struct prints known;   /* networks whose first contact, first mail, first delay was counted */
    struct trail facts;    /* what the test weighed: its evidence */
    struct trail deferred; /* mails that wait for a second try, in order of time */
    struct trail replies;  /* that nobody asked for, in the window */
    uint32_t helo;         /* hash of the last HELO; 0: none yet */
    uint32_t listed;       /* hash of the connection that a blocklist was named in last; 0: none yet */
    uint32_t replies_told; /* when they made a suspect last, low 32 bits of milliseconds */
    uint8_t failures;      /* first contacts in a row that failed */
    bool told;             /* replies_told means something */
    bool own;              /* there was evidence against the host that only it can make … */
    uint32_t own_at;       /* … last then: low 32 bits of milliseconds */
};

struct conduct_context {
    struct budget *budget;
    uint64_t seed;
    uint64_t now_ms;
    uint64_t silence_ms; /* of the subscriber, before this observation */
    const struct enf_sequential_rules *rules;
    const struct enf_sequential_settings *settings;
};

/* Counts an observation: a SYN that is no retransmission, or any other kind but REPLY. Where head has no
 * cause yet and the threshold is crossed it becomes SEQUENTIAL, with score and threshold. False without
 * memory. */
bool conduct_account(struct subscriber *subscriber, const struct conduct_context *context,
                     const struct enf_observation *obs, struct conviction *head);

/* Counts a REPLY at context->now_ms (the rest of the context does not matter). Where the limit is reached,
 * and was not within the window before, head becomes UNREQUESTED_REPLIES, complete. */
bool conduct_reply(struct subscriber *subscriber, const struct conduct_context *context,
                   const struct enf_observation *obs, const struct enf_detector_settings *settings,
                   struct conviction *head);

/* Fills connections of a conviction by the sequential test on what conduct_account counted. */
void conduct_gather(struct conviction *out, const struct subscriber *subscriber);

/* Time of the last reply, 0 where there was none. */
uint64_t conduct_last_reply_ms(const struct subscriber *subscriber);

void conduct_free(struct conduct **conduct, struct budget *budget);
