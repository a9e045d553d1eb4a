/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was seen of one subscriber, as a plain value: the same from live traffic, captures and flow records.
 * enforcer/inspect/flows.h makes them of packets. Each kind says one thing, once: what a session does ten
 * times is one observation, with the number in `value` where the number matters. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stdint.h>

enum enf_observation_kind {
    ENF_OBSERVATION_SYN,      /* a SYN to port 25; retransmissions included, the detector counts them once */
    ENF_OBSERVATION_ANSWERED, /* the server's SYN-ACK to a connection; the first one */
    ENF_OBSERVATION_FAILED,   /* a reset instead, or no answer in time. value: 1 for a reset, 0 for silence */
    ENF_OBSERVATION_EARLY_TALK, /* the client spoke before it had received the banner (RFC 5321, 4.3.1) */
    ENF_OBSERVATION_HELO,       /* a name of EHLO or HELO. value: its hash; helo_form: enum enf_helo_form */
    ENF_OBSERVATION_ACCEPTED,   /* the session's first recipient that the server took (2yz) */
    ENF_OBSERVATION_REFUSED,    /* the first that it refused for good (5yz) */
    ENF_OBSERVATION_DEFERRED, /* the first 4yz to MAIL, RCPT, DATA or the end of data: a queue tries again */
    ENF_OBSERVATION_BLOCKLISTED, /* a refusal that names a blocklist; comes before the REFUSED or DEFERRED of
                                    the same reply, which it explains */
    ENF_OBSERVATION_RECIPIENTS,  /* a message reached ENF_MANY_RECIPIENTS. value: how many it has */
    ENF_OBSERVATION_NOT_SMTP,    /* what the client speaks is something else. value: enum enf_smtp_protocol */
    ENF_OBSERVATION_END,   /* the client ended a session in which it had spoken. value: 1 with QUIT, 0 without
                            */
    ENF_OBSERVATION_REPLY, /* a reply of SMTP (220, 250, 354) from a server that the subscriber sent no SYN.
                              value: its code. Here source is the server, destination the subscriber's host */
};
#define ENF_OBSERVATION_KIND_COUNT 13

#define ENF_MANY_RECIPIENTS 20 /* of one message */

struct enf_observation {
    enum enf_observation_kind kind;
    uint64_t time_ms;             /* of the input's own clock; not required to be monotonic */
    struct enf_prefix subscriber; /* see enf_group_subscriber */
    struct enf_addr source;
    struct enf_addr destination;
    uint16_t source_port; /* host order, like all numbers here */
    uint16_t destination_port;
    uint32_t sequence; /* initial sequence number of the SYN; 0 where it was not seen */
    uint32_t ifindex;  /* where it came in; 0: unknown */
    bool blocked;      /* it was refused */
    bool forgeable;    /* nothing proves that this subscriber sent it (no source check on its interface) */
    uint8_t helo_form; /* of ENF_OBSERVATION_HELO */
    uint64_t value;    /* see the kinds; else 0 */
};

/* "syn", "answered", "failed", "early-talk" …; NULL for a value out of range. */
const char *enf_observation_name(enum enf_observation_kind kind);
