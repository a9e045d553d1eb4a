/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets of several flows in any order, with any flags and numbers, and time that passes: each thing is told
 * once a connection, the bounds hold, everything is given back. A record of the input is a packet: four bytes
 * that choose its flow, direction, flags and place, then its length and text. */
#include "enforcer/inspect/flows.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLOWS     12 /* of three subscribers with four servers or ports each */
#define MAX_BYTES 60000
#define START_MS  1000000

struct side {
    uint32_t isn, next;
};

struct told {
    uint32_t sequence;
    unsigned kinds; /* bits, but of what may come again */
    bool any;
};

struct run {
    struct enf_flows *flows;
    struct enf_flows_params params;
    struct side sides[FLOWS][2];
    struct told told[FLOWS];
    bool reused[FLOWS]; /* a connection came back to an older number: its kinds may come again */
    uint64_t now_ms;
    uint64_t last_ms;
    bool stepped;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static unsigned flow_of(const struct enf_addr *client, uint16_t port)
{
    return (unsigned)client->bytes[3] * 4 + port % 4;
}

static void take(void *ctx, const struct enf_observation *obs)
{
    struct run *r = ctx;
    check((unsigned)obs->kind < ENF_OBSERVATION_KIND_COUNT && obs->source.family == ENF_FAMILY_V4);
    check(enf_observation_name(obs->kind) && obs->helo_form < ENF_HELO_FORM_COUNT);
    check((obs->kind == ENF_OBSERVATION_HELO) == (obs->helo_form != ENF_HELO_NONE));
    check(r->stepped || obs->time_ms >= r->last_ms);
    r->last_ms = obs->time_ms;
    if (obs->kind == ENF_OBSERVATION_REPLY) {
        check(obs->source_port == ENF_SMTP_PORT &&
              (obs->value == 220 || obs->value == 250 || obs->value == 354));
        return;
    }
    check(obs->destination_port == ENF_SMTP_PORT && enf_prefix_contains(&obs->subscriber, &obs->source));
    if (obs->kind == ENF_OBSERVATION_SYN || obs->kind == ENF_OBSERVATION_HELO)
        return;
    unsigned n = flow_of(&obs->source, obs->source_port);
    check(n < FLOWS);
    struct told *told = &r->told[n];
    if (!told->any || told->sequence != obs->sequence)
        *told = (struct told){.sequence = obs->sequence, .any = true};
    check(r->reused[n] || !(told->kinds & 1u << obs->kind));
    told->kinds |= 1u << obs->kind;
    bool both =
        (told->kinds & 1u << ENF_OBSERVATION_ANSWERED) && (told->kinds & 1u << ENF_OBSERVATION_FAILED);
    check(r->reused[n] || !both);
}

static void check_bounds(const struct run *r)
{
    struct enf_flows_stats stats;
    enf_flows_stats(r->flows, &stats);
    check(stats.flows <= r->params.max_flows && stats.bytes <= r->params.max_bytes);
    check(stats.read + stats.waiting <= stats.flows);
    check(stats.read * sizeof(struct enf_session) <= stats.bytes);
}

static void feed(struct run *r, unsigned n, enum enf_direction direction, const struct enf_packet *packet,
                 uint8_t options)
{
    struct enf_flow_context context = {
        .time_ms = r->now_ms,
        .subscriber =
            enf_prefix_host(direction == ENF_DIRECTION_CLIENT ? &packet->source : &packet->destination),
        .blocked = options & 0x20,
        .unrequested = options & 0x40,
    };
    bool syn = enf_packet_is_connection(packet) && direction == ENF_DIRECTION_CLIENT;
    /* The same initial number again, behind whatever was in between, is told like a new connection. */
    if (syn && packet->sequence != r->sides[n][0].isn)
        r->reused[n] = true;
    (void)enf_flows_feed(r->flows, options & 0x80 ? ENF_PACKET_TRUNCATED : ENF_PACKET_OK, packet, direction,
                         &context, take, r);
    check_bounds(r);
}

static void one_packet(struct run *r, const uint8_t record[4], const uint8_t *text, size_t len)
{
    unsigned n = record[0] % FLOWS;
    bool server = record[0] & 0x80;
    struct side *mine = &r->sides[n][server];
    const struct side *theirs = &r->sides[n][!server];
    uint8_t flags = record[1] & 0x3f;
    int displaced = (int8_t)record[2];
    if (record[1] & 0x40)
        displaced *= 997;
    bool syn = flags & ENF_TCP_SYN;
    uint8_t *copy = malloc(len ? len : 1);
    check(copy);
    if (len)
        memcpy(copy, text, len);
    uint8_t c[4] = {100, 64, 0, (uint8_t)(n / 4)};
    uint8_t s[4] = {203, 0, 113, 1};
    struct enf_addr client = enf_addr_from_bytes(ENF_FAMILY_V4, c);
    struct enf_addr mx = enf_addr_from_bytes(ENF_FAMILY_V4, s);
    uint16_t port = (uint16_t)(1000 + n % 4);
    struct enf_packet packet = {
        .source = server ? mx : client,
        .destination = server ? client : mx,
        .source_port = server ? ENF_SMTP_PORT : port,
        .destination_port = server ? port : ENF_SMTP_PORT,
        .has_ports = true,
        .has_flags = true,
        .tcp_flags = flags,
        .sequence = (syn ? mine->isn : mine->next) + (uint32_t)displaced,
        .acknowledgment = theirs->next + (record[3] & 0x1f ? (uint32_t)(int8_t)(record[3] << 3) : 0),
        .payload = len ? copy : NULL,
        .payload_len = (uint32_t)len + (record[1] & 0x80 ? 5 : 0),
        .payload_captured_len = (uint32_t)len,
    };
    check(enf_flows_direction(r->flows, &packet) == (server ? ENF_DIRECTION_SERVER : ENF_DIRECTION_CLIENT));
    feed(r, n, server ? ENF_DIRECTION_SERVER : ENF_DIRECTION_CLIENT, &packet, record[3]);
    if (displaced == 0)
        mine->next = packet.sequence + syn + (uint32_t)len + !!(flags & ENF_TCP_FIN);
    free(copy);
}

static void pass(struct run *r, uint8_t kind, uint8_t amount)
{
    if (kind & 1) {
        r->now_ms += (uint64_t)amount * 1000;
        /* Behind so long a silence the same number is another connection. */
        if (r->now_ms >= START_MS + ENF_FLOWS_TOLD_MS)
            memset(r->reused, 1, sizeof(r->reused));
    } else if (kind & 2) {
        struct enf_prefix prefix;
        check(enf_prefix_parse(amount & 1 ? "100.64.0.0/31" : "100.64.0.2", &prefix) == 0);
        (void)enf_flows_forget(r->flows, &prefix);
        /* Forgotten too is what was told. */
        memset(r->reused, 1, sizeof(r->reused));
    } else if (kind & 4) {
        uint64_t back = (uint64_t)amount * 1000;
        r->stepped = true;
        memset(r->reused, 1, sizeof(r->reused));
        r->now_ms -= back < r->now_ms ? back : r->now_ms;
    }
    (void)enf_flows_tick(r->flows, r->now_ms, amount, take, r);
    check_bounds(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r = {.now_ms = START_MS};
    if (size < 1)
        return 0;
    r.params = (struct enf_flows_params){.max_flows = 1 + (data[0] & 0x0f),
                                         .max_bytes = MAX_BYTES,
                                         .max_of_subscriber = data[0] & 0x10 ? 2 : 0,
                                         .seed = 1};
    bool evicts = r.params.max_flows < FLOWS;
    for (unsigned i = 0; i < FLOWS; i++) {
        r.sides[i][0] = (struct side){i * 1000 - 5, i * 1000 - 5};
        r.sides[i][1] = (struct side){i * 777 + 3, i * 777 + 3};
        r.reused[i] = evicts; /* who was pushed out may come again */
    }
    check(enf_flows_new(&r.params, &r.flows) == 0);
    data++;
    size--;
    while (size >= 6) {
        uint8_t len = data[4];
        if (data[0] == 0xff) {
            pass(&r, data[1], data[2]);
            data += 3;
            size -= 3;
            continue;
        }
        size_t fits = len < size - 5 ? len : size - 5;
        one_packet(&r, data, data + 5, fits);
        data += 5 + fits;
        size -= 5 + fits;
    }
    r.stepped = true; /* ends are told with the latest time of all */
    enf_flows_finish(r.flows, take, &r);
    struct enf_flows_stats stats;
    enf_flows_stats(r.flows, &stats);
    check(stats.flows == 0 && stats.bytes == 0 && stats.waiting == 0 && stats.read == 0);
    enf_flows_free(&r.flows);
    return 0;
}
