/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A conversation of any bytes, as records: whose segment it is, how it comes (late, twice, overlapping, with
 * which flags), and its text. In the orderly mode the same bytes are read a second time, cut at every byte,
 * with each packet of the other direction in its place: the facts must be the same. */
#include "enforcer/inspect/session.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 512
#define MEMORY_MAX  300000

/* Bits of a record's first byte. */
enum {
    R_SERVER = 0x01,
    R_LONG = 0x02,    /* the length has two bytes */
    R_UNHEARD = 0x04, /* sent without having received what the other one said last */
    R_FIN = 0x08,
    R_ODD = 0x10, /* with a displacement, and flags of its own */
};

struct record {
    bool server, odd;
    uint8_t flags;
    uint32_t sequence, ack;
    const uint8_t *bytes;
    uint32_t len;
};

struct reading {
    struct enf_stream_memory memory;
    struct enf_session_params params;
    struct enf_session session;
};

static struct record records[RECORDS_MAX];

static size_t take_records(const uint8_t *data, size_t size, bool orderly)
{
    uint32_t next[2] = {1001, 0xfffffff1u};
    uint32_t heard[2] = {next[1], next[0]};
    size_t len = 0;
    while (size >= 3 && len < RECORDS_MAX) {
        struct record *r = &records[len++];
        uint8_t kind = data[0];
        unsigned side = kind & R_SERVER ? 1 : 0;
        size_t bytes_len = data[1];
        data += 2;
        size -= 2;
        if (kind & R_LONG) {
            bytes_len = bytes_len << 8 | data[0];
            data++;
            size--;
        }
        int displaced = 0;
        uint8_t flags = ENF_TCP_ACK | (kind & R_FIN ? ENF_TCP_FIN : 0);
        if ((kind & R_ODD) && !orderly && size >= 2) {
            displaced = (int8_t)data[0];
            flags = data[1] & 0x3f;
            if (data[1] & 0x40)
                displaced *= 1021;
            data += 2;
            size -= 2;
        }
        if (bytes_len > size)
            bytes_len = size;
        if (!(kind & R_UNHEARD))
            heard[side] = next[1 - side];
        *r = (struct record){.server = side,
                             .odd = displaced != 0,
                             .flags = flags,
                             .sequence = next[side] + (uint32_t)displaced,
                             .ack = heard[side],
                             .bytes = data,
                             .len = (uint32_t)bytes_len};
        if (!displaced)
            next[side] += (uint32_t)bytes_len;
        data += bytes_len;
        size -= bytes_len;
    }
    return len;
}

static void feed(struct reading *r, bool server, uint8_t flags, uint32_t sequence, uint32_t ack,
                 const uint8_t *bytes, uint32_t len, uint32_t sent)
{
    struct enf_packet packet = {.has_ports = true,
                                .has_flags = true,
                                .tcp_flags = flags,
                                .sequence = sequence,
                                .acknowledgment = ack,
                                .payload = bytes,
                                .payload_len = sent,
                                .payload_captured_len = len};
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    if (len)
        memcpy(copy, bytes, len);
    packet.payload = copy;
    enum enf_direction direction = server ? ENF_DIRECTION_SERVER : ENF_DIRECTION_CLIENT;
    unsigned answer = enf_session_feed(&r->session, &packet, direction, 0);
    if (answer & ENF_SESSION_OTHER) {
        enf_session_end(&r->session);
        enf_session_init(&r->session, &r->params);
        if (enf_session_feed(&r->session, &packet, direction, 0) & ENF_SESSION_OTHER)
            abort();
    }
    free(copy);
    if (r->memory.used > r->memory.max)
        abort();
}

static void begin(struct reading *r, uint8_t options)
{
    *r = (struct reading){.memory = {.max = MEMORY_MAX}};
    r->params = (struct enf_session_params){1, UINT32_MAX, UINT32_MAX, &r->memory};
    if (options & 4)
        r->params.client_budget = r->params.server_budget = 300;
    enf_session_init(&r->session, &r->params);
    if (options & 2) /* from the middle */
        return;
    feed(r, false, ENF_TCP_SYN, 1000, 0, NULL, 0, 0);
    feed(r, true, ENF_TCP_SYN | ENF_TCP_ACK, 0xfffffff0u, 1001, NULL, 0, 0);
}

static void end(struct reading *r)
{
    char text[ENF_SMTP_FACTS_TEXT];
    enf_session_end(&r->session);
    if (r->memory.used != 0)
        abort();
    const struct enf_smtp_facts *facts = &r->session.smtp.facts;
    enf_smtp_facts_text(facts, text, sizeof(text));
    if (strlen(text) + 1 >= sizeof(text) || facts->rcpt < facts->rcpt_max ||
        facts->mail_domains_len > ENF_SMTP_DOMAINS_MAX || facts->pipelined < facts->pipelined_unoffered)
        abort();
}

static void read_cut(struct reading *r, size_t records_len)
{
    for (size_t i = 0; i < records_len; i++) {
        const struct record *c = &records[i];
        for (uint32_t at = 0; at < c->len; at++)
            feed(r, c->server, at + 1 < c->len ? ENF_TCP_ACK : c->flags, c->sequence + at, c->ack,
                 c->bytes + at, 1, 1);
        if (c->len == 0)
            feed(r, c->server, c->flags, c->sequence, c->ack, NULL, 0, 0);
    }
}

/* All of the server first, then all of the client: who came when does not matter. */
static void read_apart(struct reading *r, size_t records_len)
{
    for (int server = 1; server >= 0; server--)
        for (size_t i = 0; i < records_len; i++)
            if (records[i].server == (server == 1))
                feed(r, records[i].server, records[i].flags, records[i].sequence, records[i].ack,
                     records[i].bytes, records[i].len, records[i].len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reading whole, cut, apart;
    if (size < 2)
        return 0;
    uint8_t options = data[0];
    bool orderly = options & 1;
    size_t len = take_records(data + 1, size - 1, orderly);
    begin(&whole, options);
    for (size_t i = 0; i < len; i++) {
        const struct record *c = &records[i];
        uint32_t lost = c->odd && (options & 8) ? 5 : 0;
        feed(&whole, c->server, c->flags, c->sequence, c->ack, c->bytes, c->len, c->len + lost);
    }
    end(&whole);
    if (!orderly)
        return 0;
    begin(&cut, options);
    read_cut(&cut, len);
    end(&cut);
    if (!enf_smtp_facts_equal(&whole.session.smtp.facts, &cut.session.smtp.facts))
        abort();
    if (options & 6) /* from the middle, and over the budget, it is known to matter */
        return 0;
    begin(&apart, options);
    read_apart(&apart, len);
    end(&apart);
    /* Where more waits than is kept, it matters as well. */
    if (size > 16384 || enf_smtp_facts_equal(&whole.session.smtp.facts, &apart.session.smtp.facts))
        return 0;
    abort();
}
