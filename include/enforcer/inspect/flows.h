/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets of TCP port 25 into observations: finds the connection of a packet, reads it, and says each thing
 * that is known of it once. No I/O, no clock, no globals: time comes with the packets. A table of flows
 * belongs to one thread. docs/inspection.md ("Flows") says what is concluded from what.
 *
 * A SYN costs 64 bytes of a table that is allocated at the start; only a flow whose server answered, or whose
 * client went on, has a reader (enforcer/inspect/session.h). At the bound of flows those go first that have
 * nothing left to say, then SYNs without an answer, both oldest first; never one that is being read. At the
 * bound of bytes the oldest reader goes whose server was never seen or whose client sent a reset, then the
 * one longest idle, if it was for ENF_FLOWS_YIELD_MS; else the new flow is not read. What is not remembered
 * is not concluded from: a SYN is told in each case. */
#pragma once

#include "enforcer/inspect/observation.h"
#include "enforcer/inspect/packet.h"
#include "enforcer/inspect/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No answer to a SYN for so long is ENF_OBSERVATION_FAILED: five attempts of a host that doubles its wait
 * from one second (RFC 6298, 2.1 and 5.5). */
#define ENF_FLOWS_ANSWER_MS (30ULL * 1000)
/* A flow that has nothing left to say is remembered so long after its last packet, so that attempts that go
 * on are no new flow: the last one of six retransmissions comes after 63 s and waits 64 s. */
#define ENF_FLOWS_TOLD_MS (130ULL * 1000)
/* A session without a packet for so long is forgotten, and nothing concluded: RFC 5321, 4.5.3.2.6 lets a
 * client wait ten minutes. */
#define ENF_FLOWS_IDLE_MS (15ULL * 60 * 1000)
/* At the bound of bytes a session may be forgotten for another one after so long without a packet. */
#define ENF_FLOWS_YIELD_MS (60ULL * 1000)
/* Packets so much older than the newest are of another capture, or the clock was set: all flows are
 * forgotten. */
#define ENF_FLOWS_STEP_MS (60ULL * 1000)

#define ENF_FLOWS_MAX            16777216
#define ENF_FLOWS_DEFAULT        262144
#define ENF_FLOWS_BYTES_DEFAULT  (64U << 20)
#define ENF_FLOWS_SUBSCRIBER_MAX 4096 /* default of max_of_subscriber */
/* sizeof of what a flow that is read takes, without bytes that wait. */
#define ENF_FLOWS_READING_MAX (ENF_SESSION_SIZE_MAX + 128)

struct enf_flows; /* private to flow_table.h */

struct enf_flows_params {
    size_t max_flows; /* 1 to ENF_FLOWS_MAX; 0: ENF_FLOWS_DEFAULT. 64 to 96 bytes each, taken as they fill */
    size_t max_bytes; /* of readers: half for them, half for bytes that wait. 0: ENF_FLOWS_BYTES_DEFAULT */
    uint32_t max_of_subscriber; /* flows of one subscriber that wait for an answer or are read; 0: the
                                   default. Counted by a sketch that never counts too few */
    uint64_t seed;              /* random: strangers choose the keys; also of the hashes in observations */
};

/* What is known of a packet besides its bytes. */
struct enf_flow_context {
    uint64_t time_ms;
    struct enf_prefix subscriber; /* whose connection it is: of the source for ENF_DIRECTION_CLIENT, of the
                                     destination for ENF_DIRECTION_SERVER */
    uint32_t ifindex;             /* where it came in; 0: unknown */
    bool blocked;                 /* it was refused: of a SYN nothing more is expected */
    bool unread;      /* of a SYN: nobody wants the dialogue, only how the SYN was answered is told */
    bool forgeable;   /* nothing proves that this subscriber sent it */
    bool unrequested; /* of a server's packet: as far as others know (the kernel's flow sets) nobody asked for
                         it. Only then it may become ENF_OBSERVATION_REPLY */
};

/* Takes one observation; it is the caller's for the time of the call. Must not call the table. */
typedef void (*enf_flows_fn)(void *ctx, const struct enf_observation *obs);

/* Answers of enf_flows_feed. */
#define ENF_FLOWS_ENOUGH                                                                                     \
    0x01 /* nothing of this flow need be read any more, but the SYN of the next with the same ports */

struct enf_flows_stats {
    size_t flows;             /* in the table now */
    size_t waiting;           /* of those: for an answer to the SYN */
    size_t read;              /* of those: with a reader */
    size_t bytes;             /* readers and what waits in them, now */
    size_t bytes_fixed;       /* of the table */
    uint64_t packets;         /* fed */
    uint64_t sessions;        /* flows that had a reader */
    uint64_t evicted_told;    /* to make room: had nothing left to say */
    uint64_t evicted_waiting; /* to make room: waited for an answer */
    uint64_t evicted_read;    /* to make room: readers */
    uint64_t over_subscriber; /* SYNs not remembered: their subscriber has max_of_subscriber */
    uint64_t unread;          /* flows not remembered or not read: no room */
    uint64_t clock_steps;
};

/* The caller owns *out. -EINVAL for params out of range, -ENOMEM; then *out is as it was. */
int enf_flows_new(const struct enf_flows_params *params, struct enf_flows **out);
/* Accepts NULL content; clears the caller's pointer. Tells nothing. */
void enf_flows_free(struct enf_flows **flows);

/* One packet to or from port 25. result: what enf_packet_parse said; of a packet that is not ENF_PACKET_OK
 * only a SYN is taken. The payload must be there while the call runs. Calls fn for what is now known, in
 * order of time; before it for a few of the flows that have waited too long (enf_flows_tick does all).
 * Returns ENF_FLOWS_ bits. Allocates at most one reader and what waits in it; does not fail: what there is no
 * memory for is not read. */
unsigned enf_flows_feed(struct enf_flows *flows, enum enf_packet_result result,
                        const struct enf_packet *packet, enum enf_direction direction,
                        const struct enf_flow_context *context, enf_flows_fn fn, void *ctx);

/* Which side sent the packet: the one with the other port than 25; with 25 on both sides the one that sent
 * the SYN, as far as the flow is known, else the client. */
enum enf_direction enf_flows_direction(const struct enf_flows *flows, const struct enf_packet *packet);

/* Optional, before feeding what was received together: has the memory of all these packets on its way while
 * the first is fed. subscribers: of each packet the one that its context will name; NULL: not known. Changes
 * nothing but the speed. */
#define ENF_FLOWS_PREFETCH_MAX 64
void enf_flows_prefetch(const struct enf_flows *flows, const struct enf_packet *const *packets,
                        const struct enf_prefix *const *subscribers, size_t len);

/* Tells what time tells at now_ms (the clock of the packets) and forgets what is idle, at most max_work
 * flows. Returns how many; where it is max_work, more may be due. To be called several times a second live,
 * and before each packet of a capture. The time of such an observation is when it was due. */
size_t enf_flows_tick(struct enf_flows *flows, uint64_t now_ms, size_t max_work, enf_flows_fn fn, void *ctx);

/* No more packets will come: ends all sessions, tells what they still held back, and forgets every flow. What
 * was not due yet is not concluded. */
void enf_flows_finish(struct enf_flows *flows, enf_flows_fn fn, void *ctx);

/* Forgets every flow of subscribers that lie in prefix, and tells nothing. Returns how many. Walks over all
 * flows. */
size_t enf_flows_forget(struct enf_flows *flows, const struct enf_prefix *prefix);

void enf_flows_stats(const struct enf_flows *flows, struct enf_flows_stats *out);

/* 220, 250 or 354 where the packet comes from port 25 and its payload begins with such a reply of SMTP (the
 * code, then a blank, a hyphen or the end of the line; RFC 5321, 4.2); else 0. */
uint16_t enf_flows_reply_code(const struct enf_packet *packet);
