/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the flow table share: flow_table.c finds and keeps flows, flow_reading.c makes
 * observations of a session's facts, flows.c knows what a packet does to a flow. */
#pragma once

#include "enforcer/inspect/flows.h"

#define FLOW_NONE UINT32_MAX

/* Where a flow stands; a list each, in order of `time_ms`. */
enum flow_list {
    FLOW_TOLD,    /* nothing left to say, or known from its middle only: remembered, nothing is read */
    FLOW_WAITING, /* a SYN, nothing else */
    FLOW_HALF,    /* read, but perhaps of nothing: the server was never seen, or the client reset it */
    FLOW_READ,
};
#define FLOW_LIST_COUNT 4

/* Bits of flow.flags. */
#define FLOW_LIST_MASK 0x03
#define FLOW_V6        0x04
#define FLOW_FORGEABLE 0x08
#define FLOW_HELD                                                                                            \
    0x10 /* waiting, but the client went on as if it had been answered: silence proves nothing */
#define FLOW_SYN_DATA 0x20 /* the SYN carried data */
#define FLOW_COUNTED  0x40 /* in the sketch of its subscriber */
#define FLOW_UNREAD   0x80 /* only the answer to the SYN is wanted */

/* One cache line. */
struct flow {
    _Alignas(64) uint8_t client[16]; /* as in struct enf_addr */
    uint8_t server[16];
    uint64_t time_ms; /* when it came into its list, or its last packet */
    union {
        struct {
            uint32_t isn; /* of the client */
            uint32_t ifindex;
        };
        struct reading *reading; /* in FLOW_HALF and FLOW_READ */
    };
    uint32_t prev, next; /* in its list; next also in the list of free ones */
    uint32_t hash;
    uint16_t client_port;
    uint8_t prefix_len; /* of the subscriber */
    uint8_t flags;
};
_Static_assert(sizeof(struct flow) == 64, "a flow is one cache line");

/* Observations told of a session. */
#define TOLD_ANSWERED    0x0001
#define TOLD_EARLY_TALK  0x0002
#define TOLD_ACCEPTED    0x0004
#define TOLD_REFUSED     0x0008
#define TOLD_DEFERRED    0x0010
#define TOLD_BLOCKLISTED 0x0020
#define TOLD_RECIPIENTS  0x0040
#define TOLD_NOT_SMTP    0x0080
#define TOLD_END         0x0100
#define TOLD_FAILED      0x0200

struct reading {
    struct enf_session session;
    uint64_t helo_hash; /* told last */
    uint32_t ifindex;
    uint32_t fin_ack; /* of the client's FIN: what it had received then */
    uint16_t told;
    bool helo_told;
    bool fin_known;
};
_Static_assert(sizeof(struct reading) <= ENF_FLOWS_READING_MAX, "a reading grew");

struct flow_slot {
    uint32_t hash;
    uint32_t id; /* + 1; 0: free */
};

struct flow_ends {
    uint32_t first, last;
    size_t len;
};

#define SKETCH_BITS 15

struct enf_flows {
    struct enf_flows_params params;
    struct flow *flows;
    struct flow_slot *slots;
    uint32_t slots_mask;
    uint32_t used; /* of flows: beyond it none was ever taken */
    uint32_t free; /* list */
    size_t len;
    struct flow_ends lists[FLOW_LIST_COUNT];
    uint32_t sketch[2][1U << SKETCH_BITS];
    struct enf_stream_memory waiting; /* bytes that wait */
    size_t readings_bytes;
    uint64_t newest_ms;
    struct enf_flows_stats stats; /* the counters of it */
};

struct flow_key {
    struct enf_addr client;
    struct enf_addr server;
    uint16_t client_port;
};

/* A call of the user, and what it was told with. */
struct telling {
    enf_flows_fn fn;
    void *ctx;
    uint64_t time_ms;
};

static inline enum flow_list flow_list_of(const struct flow *flow)
{
    return (enum flow_list)(flow->flags & FLOW_LIST_MASK);
}

/* --- flow_table.c --- */
uint32_t enf_flow_hash(const struct enf_flows *flows, const struct flow_key *key);
/* FLOW_NONE where there is none. */
uint32_t enf_flow_find(const struct enf_flows *flows, const struct flow_key *key, uint32_t hash);
/* In a list, not counted, isn and ifindex zero. Makes room at the bound; NULL where nobody may go. */
struct flow *enf_flow_add(struct enf_flows *flows, const struct flow_key *key, uint32_t hash,
                          enum flow_list list, uint64_t now_ms, uint8_t prefix_len);
/* Frees its reader as it is. */
void enf_flow_remove(struct enf_flows *flows, struct flow *flow);
/* To the end of that list, with that time. The sketch counts flows that are not FLOW_TOLD. */
void enf_flow_move(struct enf_flows *flows, struct flow *flow, enum flow_list list, uint64_t now_ms);
/* False where the subscriber has as many as it may. */
bool enf_flow_subscriber_has_room(const struct enf_flows *flows, const struct enf_prefix *subscriber);
/* Fetches what tells that. */
void enf_flow_prefetch_count(const struct enf_flows *flows, const struct enf_prefix *subscriber);
struct enf_addr enf_flow_client(const struct flow *flow);
struct enf_prefix enf_flow_subscriber(const struct flow *flow);
/* A reader for a flow of FLOW_WAITING, whose isn it takes; the flow is then in `list`. False where there is
 * no room. */
bool enf_flow_read(struct enf_flows *flows, struct flow *flow, enum flow_list list, uint64_t now_ms);
/* Gives the reader back, without reading; the flow goes to FLOW_TOLD. */
void enf_flow_unread(struct enf_flows *flows, struct flow *flow, uint64_t now_ms);

/* Forgets all, and tells nothing. */
void enf_flow_empty(struct enf_flows *flows);

/* --- flow_reading.c --- */
/* An observation of this flow with what all of them have. */
void enf_flow_tell(const struct flow *flow, enum enf_observation_kind kind, uint64_t value,
                   const struct telling *telling);
/* Feeds a packet to the reader. Answers as enf_session_feed. */
unsigned enf_flow_reading_feed(struct flow *flow, const struct enf_packet *packet,
                               enum enf_direction direction, const struct telling *telling);
/* Reads what waited, and tells it. */
void enf_flow_reading_end(struct flow *flow, const struct telling *telling);
