/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One TCP connection to port 25 with its two directions and what was read of it. No I/O, no clock; memory is
 * allocated only for bytes that must wait (enforcer/inspect/stream.h). A session belongs to one thread. The
 * table that finds the session of a packet is the caller's. */
#pragma once

#include "enforcer/inspect/packet.h"
#include "enforcer/inspect/smtp.h"
#include "enforcer/inspect/stream.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes read of one connection by default; message bodies count. docs/inspection.md says why these. */
#define ENF_SESSION_CLIENT_BUDGET 65536U
#define ENF_SESSION_SERVER_BUDGET 32768U
/* sizeof(struct enf_session) is at most this; with both directions waiting at their worst
 * ENF_SESSION_HELD_MAX more, with these budgets. */
#define ENF_SESSION_SIZE_MAX 2048
#define ENF_SESSION_HELD_MAX (ENF_SESSION_CLIENT_BUDGET + ENF_SESSION_SERVER_BUDGET + 2048)

enum enf_direction {
    ENF_DIRECTION_CLIENT, /* from who opened the connection */
    ENF_DIRECTION_SERVER,
};

struct enf_session_params {
    uint64_t seed;                    /* of the hashes in the facts */
    uint32_t client_budget;           /* bytes */
    uint32_t server_budget;           /* bytes */
    struct enf_stream_memory *memory; /* must outlive the sessions that use it */
};

/* Answers of enf_session_feed, or'ed. */
#define ENF_SESSION_CHANGED  0x01 /* the facts are others than before */
#define ENF_SESSION_FINISHED 0x02 /* nothing that may come matters; more packets do no harm */
#define ENF_SESSION_OTHER                                                                                    \
    0x04 /* the packet begins another connection with the same addresses and ports and was                   \
            not read: end this session, start one, and feed the packet to that */

/* Called during enf_session_feed and enf_session_end each time that something was read, at most a line of the
 * client at a time. Must not touch the session. */
typedef void (*enf_session_watch)(void *ctx, const struct enf_smtp_facts *facts);

/* All but smtp.facts, the times and the watch is private. */
struct enf_session {
    struct enf_smtp smtp;
    struct enf_stream client;
    struct enf_stream server;
    enf_session_watch watch; /* the caller's to set between calls; NULL: none */
    void *watch_ctx;
    uint64_t first_ms;   /* may be read: of the first packet, as the caller gave it */
    uint64_t last_ms;    /* may be read: of the latest */
    uint32_t client_isn; /* where the client stream is synchronised */
    uint32_t candidate;  /* ISN of a SYN that may begin another connection */
    bool begun;
    bool ended;
    bool has_candidate;
    bool answered; /* a SYN-ACK was seen */
};

_Static_assert(sizeof(struct enf_session) <= ENF_SESSION_SIZE_MAX, "a session grew");

/* What the reading starts with is decided by the first packet: a SYN or SYN-ACK, or something from the
 * middle. */
void enf_session_init(struct enf_session *session, const struct enf_session_params *params);

/* One packet of this connection: the result of enf_packet_parse was ENF_PACKET_OK, and its payload is there
 * while the call runs. now_ms: of any clock, only kept. Returns ENF_SESSION_ bits. */
unsigned enf_session_feed(struct enf_session *session, const struct enf_packet *packet,
                          enum enf_direction direction, uint64_t now_ms);

/* No more packets will come: reads what waited for something that will not come, and frees what is held.
 * After it the facts stand, and feeding does nothing. True where the facts changed. */
bool enf_session_end(struct enf_session *session);

/* As enf_session_end, without reading. Accepts a session in any state, once initialised. */
void enf_session_clear(struct enf_session *session);
