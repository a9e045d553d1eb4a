/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of flows that writes down what it is told. */
#pragma once

#include "enforcer/inspect/flows.h"
#include "tests/unit/inspect/talk.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// clang-format off
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#define SEEN_MAX 4096

struct flows_bed {
    struct enf_flows *flows;
    struct enf_observation seen[SEEN_MAX];
    size_t seen_len;
    size_t syns; /* of any number: not in seen */
    uint64_t now_ms;
    uint64_t last_ms; /* of the last observation */
    bool unordered;
    bool blocked;
    bool unread;
    bool unrequested;
    unsigned answer;
};

static inline void see(void *ctx, const struct enf_observation *obs)
{
    struct flows_bed *bed = ctx;
    if (obs->time_ms < bed->last_ms)
        bed->unordered = true;
    bed->last_ms = obs->time_ms;
    if (obs->kind == ENF_OBSERVATION_SYN) {
        bed->syns++;
        return;
    }
    assert_true(bed->seen_len < SEEN_MAX);
    bed->seen[bed->seen_len++] = *obs;
}

static inline void flows_bed_open(struct flows_bed *bed, const struct enf_flows_params *params)
{
    struct enf_flows_params some = {.seed = TALK_SEED, .max_flows = 64};
    *bed = (struct flows_bed){.now_ms = 1000000};
    assert_int_equal(enf_flows_new(params ? params : &some, &bed->flows), 0);
}

static inline struct enf_flows_stats flows_bed_stats(const struct flows_bed *bed)
{
    struct enf_flows_stats stats;
    enf_flows_stats(bed->flows, &stats);
    return stats;
}

/* Everything is given back. */
static inline void flows_bed_close(struct flows_bed *bed)
{
    enf_flows_finish(bed->flows, see, bed);
    struct enf_flows_stats stats = flows_bed_stats(bed);
    assert_int_equal(stats.flows, 0);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(stats.waiting + stats.read, 0);
    assert_false(bed->unordered);
    enf_flows_free(&bed->flows);
    assert_null(bed->flows);
}

/* 100.64.x.y: subscriber; 203.0.113.z: server. */
struct ends {
    uint16_t client;
    uint16_t client_port;
    uint8_t server;
    bool v6;
};

static inline void set_ends(struct enf_packet *packet, const struct ends *ends, enum enf_direction direction)
{
    uint8_t c4[4] = {100, 64, (uint8_t)(ends->client >> 8), (uint8_t)ends->client};
    uint8_t s4[4] = {203, 0, 113, ends->server};
    uint8_t c6[16] = {0x20, 0x01, 0x0d, 0xb8, 1, 0, c4[2], c4[3], [15] = 7};
    uint8_t s6[16] = {0x20, 0x01, 0x0d, 0xb8, 2, 0, 0, 0, [15] = ends->server};
    struct enf_addr client =
        ends->v6 ? enf_addr_from_bytes(ENF_FAMILY_V6, c6) : enf_addr_from_bytes(ENF_FAMILY_V4, c4);
    struct enf_addr server =
        ends->v6 ? enf_addr_from_bytes(ENF_FAMILY_V6, s6) : enf_addr_from_bytes(ENF_FAMILY_V4, s4);
    bool from_client = direction == ENF_DIRECTION_CLIENT;
    packet->source = from_client ? client : server;
    packet->destination = from_client ? server : client;
    packet->source_port = from_client ? ends->client_port : ENF_SMTP_PORT;
    packet->destination_port = from_client ? ENF_SMTP_PORT : ends->client_port;
    packet->has_ports = packet->has_flags = true;
}

static inline struct enf_prefix subscriber_of(const struct enf_packet *packet, enum enf_direction direction)
{
    const struct enf_addr *addr = direction == ENF_DIRECTION_CLIENT ? &packet->source : &packet->destination;
    return enf_prefix_make(addr, addr->family == ENF_FAMILY_V6 ? 64 : 32);
}

static inline void flows_bed_feed(struct flows_bed *bed, const struct enf_packet *packet,
                                  enum enf_direction direction)
{
    struct enf_flow_context context = {
        .time_ms = bed->now_ms,
        .subscriber = subscriber_of(packet, direction),
        .ifindex = direction == ENF_DIRECTION_CLIENT ? 3 : 4,
        .blocked = bed->blocked,
        .unread = bed->unread,
        .unrequested = bed->unrequested,
    };
    bed->answer = enf_flows_feed(bed->flows, ENF_PACKET_OK, packet, direction, &context, see, bed);
}

static inline void flows_bed_packet(struct flows_bed *bed, const struct ends *ends,
                                    enum enf_direction direction, uint32_t sequence, uint32_t ack,
                                    uint8_t flags, const char *text)
{
    size_t len = strlen(text);
    uint8_t *copy = malloc(len ? len : 1); /* so that a byte read beyond shows */
    assert_non_null(copy);
    if (len)
        memcpy(copy, text, len);
    struct enf_packet packet = {.sequence = sequence,
                                .acknowledgment = ack,
                                .tcp_flags = flags,
                                .payload = len ? copy : NULL,
                                .payload_len = (uint32_t)len,
                                .payload_captured_len = (uint32_t)len};
    set_ends(&packet, ends, direction);
    flows_bed_feed(bed, &packet, direction);
    free(copy);
}

static inline void flows_bed_talk(struct flows_bed *bed, const struct ends *ends, const struct talk *talk)
{
    for (size_t i = 0; i < talk->len; i++) {
        struct talk_packet p = talk_packet_at(talk, i);
        set_ends(&p.packet, ends, p.direction);
        bed->now_ms++;
        flows_bed_feed(bed, &p.packet, p.direction);
    }
}

static inline void flows_bed_tick(struct flows_bed *bed, uint64_t later_ms)
{
    bed->now_ms += later_ms;
    while (enf_flows_tick(bed->flows, bed->now_ms, 7, see, bed) == 7)
        ;
}

/* "answered helo=fqdn accepted end=1", as it was told. */
static inline const char *flows_bed_text(const struct flows_bed *bed, char *buf, size_t buf_len)
{
    size_t at = 0;
    buf[0] = '\0';
    for (size_t i = 0; i < bed->seen_len && at < buf_len; i++) {
        const struct enf_observation *o = &bed->seen[i];
        int n;
        if (o->kind == ENF_OBSERVATION_HELO)
            n = snprintf(buf + at, buf_len - at, "%shelo=%s", at ? " " : "",
                         enf_helo_form_name((enum enf_helo_form)o->helo_form));
        else if (o->value || o->kind == ENF_OBSERVATION_END || o->kind == ENF_OBSERVATION_FAILED)
            n = snprintf(buf + at, buf_len - at, "%s%s=%u", at ? " " : "", enf_observation_name(o->kind),
                         (unsigned)o->value);
        else
            n = snprintf(buf + at, buf_len - at, "%s%s", at ? " " : "", enf_observation_name(o->kind));
        assert_true(n > 0);
        at += (size_t)n;
    }
    return buf;
}

static inline void flows_bed_expect(const struct flows_bed *bed, const char *name, const char *text)
{
    char buf[8192];
    if (strcmp(flows_bed_text(bed, buf, sizeof(buf)), text) != 0)
        fail_msg("%s:\n  expected \"%s\"\n  told     \"%s\"", name, text, buf);
}

/* --- the same observations in every shape --- */

static inline int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What was told, without times, in the order of the alphabet: directions may overtake each other. */
static inline void flows_bed_signature(const struct flows_bed *bed, char *out, size_t out_len)
{
    static char rows[SEEN_MAX][64];
    static char *sorted[SEEN_MAX];
    for (size_t i = 0; i < bed->seen_len; i++) {
        const struct enf_observation *o = &bed->seen[i];
        (void)snprintf(rows[i], sizeof(rows[i]), "%s/%u/%llx/%x", enf_observation_name(o->kind), o->helo_form,
                       (unsigned long long)o->value, o->sequence);
        sorted[i] = rows[i];
    }
    qsort(sorted, bed->seen_len, sizeof(*sorted), compare_words);
    size_t at = (size_t)snprintf(out, out_len, "syns %zu", bed->syns);
    for (size_t i = 0; i < bed->seen_len && at < out_len; i++)
        at += (size_t)snprintf(out + at, out_len - at, " %s", sorted[i]);
    assert_true(at < out_len);
}

static inline void flows_bed_read_talk(const struct talk *talk, char *out, size_t out_len)
{
    static struct flows_bed bed;
    const struct ends ends = {.client = 7, .client_port = 40000, .server = 25};
    flows_bed_open(&bed, NULL);
    flows_bed_talk(&bed, &ends, talk);
    flows_bed_close(&bed);
    flows_bed_signature(&bed, out, out_len);
}

/* piece: see talk_reshape. reorder: packets of both directions were seen from the start. */
static inline void flows_bed_check_shapes(const char *name, const struct talk *talk, bool reorder,
                                          size_t piece, uint64_t random)
{
    static char whole[65536], found[65536];
    flows_bed_read_talk(talk, whole, sizeof(whole));
    for (int shape = 0; shape < TALK_SHAPES; shape++) {
        struct talk changed = {0};
        if (talk_shape_reorders(shape) && !reorder)
            continue;
        talk_reshape(talk, &changed, shape, piece, &random);
        flows_bed_read_talk(&changed, found, sizeof(found));
        if (strcmp(whole, found) != 0)
            fail_msg("%s, %s:\n  whole %s\n  now   %s", name, talk_shape_names[shape], whole, found);
        talk_free(&changed);
    }
}
