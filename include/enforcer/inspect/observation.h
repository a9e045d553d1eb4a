/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was seen of one subscriber, as a plain value: the same from live traffic, captures and flow records.
 */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stdint.h>

enum enf_observation_kind {
    ENF_OBSERVATION_SYN, /* a SYN to port 25; retransmissions included, the detector counts them once */
};
#define ENF_OBSERVATION_KIND_COUNT 1

struct enf_observation {
    enum enf_observation_kind kind;
    uint64_t time_ms;             /* of the input's own clock; not required to be monotonic */
    struct enf_prefix subscriber; /* see enf_group_subscriber */
    struct enf_addr source;
    struct enf_addr destination;
    uint16_t source_port; /* host order, like all numbers here */
    uint16_t destination_port;
    uint32_t sequence; /* initial sequence number of the SYN */
    uint32_t ifindex;  /* where it came in; 0: unknown */
    bool blocked;      /* it was refused */
    bool forgeable;    /* nothing proves that this subscriber sent it (no source check on its interface) */
};
