/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session and both ends of its connection, for tests that say packet by packet what comes. */
#pragma once

#include "tests/unit/inspect/talk.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CLIENT ENF_DIRECTION_CLIENT
#define SERVER ENF_DIRECTION_SERVER
#define ACK    ENF_TCP_ACK

struct bed {
    struct talk_reader reader;
    uint32_t client, server; /* next sequence of each */
};

static inline void set_up(struct bed *bed)
{
    talk_reader_init(&bed->reader);
    bed->client = TALK_CLIENT_ISN + 1;
    bed->server = TALK_SERVER_ISN + 1;
}

static inline void tear_down(struct bed *bed)
{
    enf_session_end(&bed->reader.session);
    enf_session_clear(&bed->reader.session);
    assert_int_equal(bed->reader.memory.used, 0);
}

static inline unsigned packet(struct bed *bed, enum enf_direction direction, uint32_t sequence, uint32_t ack,
                              unsigned flags, const char *text)
{
    struct enf_packet p = {.has_ports = true,
                           .has_flags = true,
                           .tcp_flags = (uint8_t)flags,
                           .sequence = sequence,
                           .acknowledgment = ack,
                           .payload = (const uint8_t *)text,
                           .payload_len = (uint32_t)strlen(text),
                           .payload_captured_len = (uint32_t)strlen(text)};
    return enf_session_feed(&bed->reader.session, &p, direction, 1000);
}

static inline unsigned client(struct bed *bed, const char *text)
{
    uint32_t at = bed->client;
    bed->client += (uint32_t)strlen(text);
    return packet(bed, CLIENT, at, bed->server, ACK, text);
}

static inline unsigned server(struct bed *bed, const char *text)
{
    uint32_t at = bed->server;
    bed->server += (uint32_t)strlen(text);
    return packet(bed, SERVER, at, bed->client, ACK, text);
}

static inline void shake_hands(struct bed *bed)
{
    packet(bed, CLIENT, TALK_CLIENT_ISN, 0, ENF_TCP_SYN, "");
    packet(bed, SERVER, TALK_SERVER_ISN, TALK_CLIENT_ISN + 1, ENF_TCP_SYN | ACK, "");
    packet(bed, CLIENT, bed->client, bed->server, ACK, "");
}

static inline const struct enf_smtp_facts *facts(const struct bed *bed)
{
    return &bed->reader.session.smtp.facts;
}
