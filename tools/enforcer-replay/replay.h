/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run over all inputs: the detector, and what is counted beside it. */
#pragma once

#include "enforcer/detect/detector.h"
#include "enforcer/inspect/flows.h"
#include "enforcer/inspect/observation.h"
#include "flow_joins.h"
#include "flow_window.h"
#include "ledger.h"
#include "scope.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct replay {
    const struct scope *scope;
    struct enf_detector *detector;
    struct enf_flows *flows; /* of captures */
    uint64_t seed;           /* of hashes */
    int error;               /* of an observation that could not be taken: a negative errno */
    struct ledger ledger;
    bool read_captures;
    bool read_flows;
    uint64_t packets;
    uint64_t records;
    uint64_t port25_packets; /* or records, the same below */
    uint64_t port25_syns;
    uint64_t undecodable; /* cut or contradictory headers, or a link layer that is not read */
    uint64_t last_packet_ms;
    uint64_t fed; /* SYNs, for the upkeep of the detector */
    uint64_t retransmissions;
    struct flow_window window;
    struct flow_joins joins;
    uint64_t last_flow_ms; /* the latest start that was fed */
    uint64_t late;         /* records that the window could not put in order */
};

/* 0 or a negative errno. The scope must outlive it. keep_traces: for the report. */
int replay_init(struct replay *replay, const struct scope *scope, bool keep_traces);
void replay_clear(struct replay *replay);

/* Everything of an observation but the subscriber is set. outcome: of an ENF_OBSERVATION_SYN, if the input
 * tells. 1 where it counts, 0 where it does not (a retransmission, nobody's), or -ENOMEM. */
int replay_observe(struct replay *replay, struct enf_observation *obs, enum flow_outcome outcome);

/* Reads a capture (pcap or pcapng) to its end or to where it is damaged; then, or where something in it is
 * not read, returns false with a text in error. The stream is closed in each case. */
bool capture_read(struct replay *replay, FILE *stream, char *error, size_t error_len);
/* Tells what sessions still held back at the end of all captures. 0 or -ENOMEM. */
int capture_finish(struct replay *replay);

/* Reads flow records to the end of the stream and closes it. False with a text in error as above, or with
 * none where the stream itself has the reason. What is held back for sorting comes with flow_finish, which
 * must follow before anything else is observed or printed; it returns 0 or -ENOMEM. */
bool flow_read(struct replay *replay, enum flow_format format, FILE *stream, char *error, size_t error_len);
int flow_finish(struct replay *replay);

/* Writes the results, as a table for people or as lines of JSON. */
void print_table(const struct replay *replay, FILE *to);
void print_json(const struct replay *replay, FILE *to);
