/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conversations for tests: packets of one connection in memory, to be fed as they are, cut, out of order,
 * twice. */
#pragma once

#include "enforcer/inspect/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TALK_SEED       0x5eed
#define TALK_CLIENT_ISN 0xfffffff0u /* wraps within the first words */
#define TALK_SERVER_ISN 0x7ffffff0u

struct talk_packet {
    struct enf_packet packet; /* payload: into the talk's bytes */
    enum enf_direction direction;
};

struct talk {
    struct talk_packet *packets;
    size_t len, room;
    uint8_t *bytes; /* all payloads; pointers are set by talk_packet_at, because it moves */
    size_t bytes_len, bytes_room;
    uint32_t client_next, server_next;
};

static inline void talk_free(struct talk *t)
{
    free(t->packets);
    free(t->bytes);
    *t = (struct talk){0};
}

/* Adds a packet with a copy of its payload; the payload's place is kept in `payload` as an offset. */
static inline void talk_add(struct talk *t, const struct enf_packet *packet, enum enf_direction direction)
{
    if (t->len == t->room) {
        t->room = t->room ? t->room * 2 : 64;
        t->packets = realloc(t->packets, t->room * sizeof(*t->packets));
        assert(t->packets);
    }
    while (t->bytes_len + packet->payload_captured_len > t->bytes_room) {
        t->bytes_room = t->bytes_room ? t->bytes_room * 2 : 4096;
        t->bytes = realloc(t->bytes, t->bytes_room);
        assert(t->bytes);
    }
    struct talk_packet *added = &t->packets[t->len++];
    *added = (struct talk_packet){.packet = *packet, .direction = direction};
    added->packet.payload = (const uint8_t *)t->bytes_len;
    if (packet->payload_captured_len)
        memcpy(t->bytes + t->bytes_len, packet->payload, packet->payload_captured_len);
    t->bytes_len += packet->payload_captured_len;
}

static inline struct talk_packet talk_packet_at(const struct talk *t, size_t i)
{
    struct talk_packet p = t->packets[i];
    p.packet.payload = p.packet.payload_captured_len ? t->bytes + (size_t)p.packet.payload : NULL;
    return p;
}

static inline void talk_segment(struct talk *t, enum enf_direction direction, uint32_t sequence, uint32_t ack,
                                uint8_t flags, const void *bytes, size_t len)
{
    struct enf_packet packet = {
        .has_ports = true,
        .has_flags = true,
        .tcp_flags = flags,
        .source_port = direction == ENF_DIRECTION_CLIENT ? 40000 : 25,
        .destination_port = direction == ENF_DIRECTION_CLIENT ? 25 : 40000,
        .sequence = sequence,
        .acknowledgment = ack,
        .payload = bytes,
        .payload_len = (uint32_t)len,
        .payload_captured_len = (uint32_t)len,
    };
    talk_add(t, &packet, direction);
}

/* The handshake. */
static inline void talk_open(struct talk *t)
{
    t->client_next = TALK_CLIENT_ISN + 1;
    t->server_next = TALK_SERVER_ISN + 1;
    talk_segment(t, ENF_DIRECTION_CLIENT, TALK_CLIENT_ISN, 0, ENF_TCP_SYN, NULL, 0);
    talk_segment(t, ENF_DIRECTION_SERVER, TALK_SERVER_ISN, t->client_next, ENF_TCP_SYN | ENF_TCP_ACK, NULL,
                 0);
    talk_segment(t, ENF_DIRECTION_CLIENT, t->client_next, t->server_next, ENF_TCP_ACK, NULL, 0);
}

static inline void talk_client_bytes(struct talk *t, const void *bytes, size_t len)
{
    talk_segment(t, ENF_DIRECTION_CLIENT, t->client_next, t->server_next, ENF_TCP_ACK | ENF_TCP_PSH, bytes,
                 len);
    t->client_next += (uint32_t)len;
}

static inline void talk_server_bytes(struct talk *t, const void *bytes, size_t len)
{
    talk_segment(t, ENF_DIRECTION_SERVER, t->server_next, t->client_next, ENF_TCP_ACK | ENF_TCP_PSH, bytes,
                 len);
    t->server_next += (uint32_t)len;
}

static inline void talk_fin(struct talk *t, enum enf_direction direction)
{
    bool client = direction == ENF_DIRECTION_CLIENT;
    talk_segment(t, direction, client ? t->client_next : t->server_next,
                 client ? t->server_next : t->client_next, ENF_TCP_ACK | ENF_TCP_FIN, NULL, 0);
}

/* A script: lines "C: text" and "S: text", each a packet with CRLF added, which everybody waits for. "C+
 * text" is sent by the client with the packet before, without having heard what came between. "C. n" is n
 * bytes of a chunk. */
static inline void talk_script(struct talk *t, const char *const *lines)
{
    char buf[2048];
    uint32_t knows = t->server_next;
    for (; *lines; lines++) {
        const char *line = *lines;
        int len = snprintf(buf, sizeof(buf), "%s\r\n", line + 3);
        assert(len > 0 && (size_t)len < sizeof(buf) && line[0] && line[1] && line[2] == ' ');
        if (line[0] == 'S') {
            talk_server_bytes(t, buf, (size_t)len);
            continue;
        }
        if (line[1] == '.') {
            len = atoi(line + 3);
            memset(buf, 'x', (size_t)len);
        }
        if (line[1] != '+')
            knows = t->server_next;
        talk_segment(t, ENF_DIRECTION_CLIENT, t->client_next, knows, ENF_TCP_ACK, buf, (size_t)len);
        t->client_next += (uint32_t)len;
    }
}

/* A reader for a whole conversation; counts the connections that one set of ports was used for. */
struct talk_reader {
    struct enf_stream_memory memory;
    struct enf_session_params params;
    struct enf_session session;
    void (*done)(void *ctx, const struct enf_smtp_facts *facts); /* for each connection, at its end */
    void *ctx;
    bool finished;
};

static inline void talk_reader_init(struct talk_reader *r)
{
    *r = (struct talk_reader){.memory = {.max = 1 << 20}};
    r->params = (struct enf_session_params){TALK_SEED, UINT32_MAX, UINT32_MAX, &r->memory};
    enf_session_init(&r->session, &r->params);
}

static inline void talk_reader_end(struct talk_reader *r)
{
    enf_session_end(&r->session);
    if (r->done)
        r->done(r->ctx, &r->session.smtp.facts);
}

static inline void talk_reader_feed(struct talk_reader *r, const struct enf_packet *packet,
                                    enum enf_direction direction)
{
    unsigned answer = enf_session_feed(&r->session, packet, direction, 0);
    if (answer & ENF_SESSION_OTHER) {
        talk_reader_end(r);
        enf_session_init(&r->session, &r->params);
        answer = enf_session_feed(&r->session, packet, direction, 0);
        assert(!(answer & ENF_SESSION_OTHER));
    }
    r->finished = answer & ENF_SESSION_FINISHED;
}

/* Feeds from a copy on the heap of exactly that length, so that a byte read beyond shows in a sanitizer. */
static inline void talk_reader_feed_copy(struct talk_reader *r, const struct talk_packet *p)
{
    struct enf_packet packet = p->packet;
    uint8_t *copy = NULL;
    if (packet.payload_captured_len) {
        copy = malloc(packet.payload_captured_len);
        assert(copy);
        memcpy(copy, packet.payload, packet.payload_captured_len);
    }
    packet.payload = copy;
    talk_reader_feed(r, &packet, p->direction);
    free(copy);
}

static inline void talk_read(struct talk_reader *r, const struct talk *t)
{
    for (size_t i = 0; i < t->len; i++) {
        struct talk_packet p = talk_packet_at(t, i);
        talk_reader_feed_copy(r, &p);
    }
    talk_reader_end(r);
}

/* --- the same conversation in another shape --- */

static inline uint32_t talk_random(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return below ? (uint32_t)(*state >> 33) % below : 0;
}

/* Cuts data into pieces of at most piece bytes (0: random, up to 9). Flags that end something stay with the
 * last. */
static inline void talk_cut(const struct talk *from, struct talk *to, size_t piece, uint64_t *random)
{
    for (size_t i = 0; i < from->len; i++) {
        struct talk_packet p = talk_packet_at(from, i);
        struct enf_packet whole = p.packet;
        uint32_t at = 0;
        while (at < whole.payload_captured_len) {
            uint32_t left = whole.payload_captured_len - at;
            uint32_t len = piece >= left ? left : piece ? (uint32_t)piece : 1 + talk_random(random, 9);
            if (len > left)
                len = left;
            bool last = at + len == whole.payload_captured_len;
            p.packet = whole;
            p.packet.tcp_flags = last ? whole.tcp_flags : (uint8_t)(whole.tcp_flags & ~ENF_TCP_FIN);
            p.packet.sequence = whole.sequence + at + (at && (whole.tcp_flags & ENF_TCP_SYN) ? 1 : 0);
            if (at)
                p.packet.tcp_flags &= (uint8_t)~ENF_TCP_SYN;
            p.packet.payload = whole.payload + at;
            p.packet.payload_captured_len = len;
            p.packet.payload_len = last ? whole.payload_len - at : len;
            talk_add(to, &p.packet, p.direction);
            at += len;
        }
        if (whole.payload_captured_len == 0)
            talk_add(to, &whole, p.direction);
    }
}

static inline bool talk_may_swap(const struct enf_packet *a, const struct enf_packet *b, bool same_direction)
{
    uint8_t fixed = ENF_TCP_SYN | ENF_TCP_RST;
    if ((a->tcp_flags | b->tcp_flags) & fixed)
        return false;
    if (!same_direction)
        return true;
    /* A copy that comes first is the one that counts: where there are two of a byte, the order stays. */
    uint32_t distance = b->sequence - a->sequence;
    return distance < 0x80000000u ? distance >= a->payload_len : 0u - distance >= b->payload_len;
}

/* Lets packets overtake each other, of both directions. */
static inline void talk_shuffle(struct talk *t, uint64_t *random)
{
    for (size_t n = t->len * 3; t->len > 1 && n > 0; n--) {
        size_t i = talk_random(random, (uint32_t)t->len - 1);
        struct talk_packet *a = &t->packets[i];
        struct talk_packet *b = &t->packets[i + 1];
        if (!talk_may_swap(&a->packet, &b->packet, a->direction == b->direction))
            continue;
        struct talk_packet swap = *a;
        *a = *b;
        *b = swap;
    }
}

#define TALK_GARBAGE 24

/* Sends some packets again a little later, some of them with other bytes, and lets some begin with bytes that
 * were sent before. The first copy counts, so the garbage must not show. */
static inline void talk_repeat(const struct talk *from, struct talk *to, uint64_t *random)
{
    uint32_t sent[2] = {0, 0};
    for (size_t i = 0; i < from->len; i++) {
        uint8_t buf[TALK_GARBAGE * 2];
        struct talk_packet p = talk_packet_at(from, i);
        uint32_t len = p.packet.payload_captured_len;
        uint32_t before = talk_random(random, TALK_GARBAGE);
        uint32_t *direction_sent = &sent[p.direction == ENF_DIRECTION_SERVER];
        bool plain =
            len && len == p.packet.payload_len && !(p.packet.tcp_flags & (ENF_TCP_SYN | ENF_TCP_RST));
        if (plain && before <= *direction_sent && len <= TALK_GARBAGE && talk_random(random, 3) == 0) {
            memset(buf, '\n', before);
            memcpy(buf + before, p.packet.payload, len);
            p.packet.payload = buf;
            p.packet.sequence -= before;
            p.packet.payload_len = p.packet.payload_captured_len = before + len;
        }
        talk_add(to, &p.packet, p.direction);
        *direction_sent += len;
        size_t back = talk_random(random, 12);
        if (back > i)
            continue;
        struct talk_packet old = talk_packet_at(from, i - back);
        if (old.packet.payload_captured_len == 0 || (old.packet.tcp_flags & (ENF_TCP_SYN | ENF_TCP_RST)))
            continue;
        memset(buf, '\n', sizeof(buf));
        if (talk_random(random, 2) && old.packet.payload_captured_len <= sizeof(buf))
            old.packet.payload = buf;
        talk_add(to, &old.packet, old.direction);
    }
}

#define TALK_SHAPES 6
static const char *const talk_shape_names[TALK_SHAPES] = {
    "as it is",
    "cut at every byte",
    "cut at every byte, pieces twice",
    "out of order",
    "cut at every byte, out of order",
    "cut at random, twice, overlapping, out of order",
};

static inline bool talk_shape_reorders(int shape)
{
    return shape >= 3;
}

/* piece: how many bytes "every byte" means. */
static inline void talk_reshape(const struct talk *from, struct talk *to, int shape, size_t piece,
                                uint64_t *random)
{
    struct talk cut = {0};
    talk_cut(from, &cut, shape == 0 ? SIZE_MAX : shape == 3 ? 1400 : shape == 5 ? 0 : piece, random);
    if (shape == 2 || shape == 5)
        talk_repeat(&cut, to, random);
    else
        talk_cut(&cut, to, SIZE_MAX, random);
    talk_free(&cut);
    if (talk_shape_reorders(shape))
        talk_shuffle(to, random);
}
