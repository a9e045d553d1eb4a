/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Captures, by libpcap: one thread reads and takes apart, the other one judges. */
#include "batches.h"
#include "enforcer/inspect/link.h"
#include "enforcer/inspect/packet.h"
#include "replay.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <string.h>

#define FETCH 16 /* packets that memory is fetched for at once */

/* Times are what the file says, and files say anything. */
static uint64_t time_of(const struct timeval *ts)
{
    uint64_t seconds = ts->tv_sec > 0 ? (uint64_t)ts->tv_sec : 0;
    uint64_t micros = ts->tv_usec >= 0 && ts->tv_usec < 1000000 ? (uint64_t)ts->tv_usec : 0;
    return seconds * 1000 + micros / 1000;
}

static void take(void *ctx, const struct enf_observation *seen)
{
    struct replay *replay = ctx;
    struct enf_observation obs = *seen;
    int rc = replay_observe(replay, &obs, FLOW_OUTCOME_UNKNOWN);
    if (rc < 0)
        replay->error = rc;
    if (obs.kind == ENF_OBSERVATION_ANSWERED)
        ledger_outcome(&replay->ledger, &obs.subscriber, FLOW_OUTCOME_ANSWERED);
    else if (obs.kind == ENF_OBSERVATION_FAILED)
        ledger_outcome(&replay->ledger, &obs.subscriber,
                       obs.value ? FLOW_OUTCOME_REFUSED : FLOW_OUTCOME_UNANSWERED);
}

int capture_finish(struct replay *replay)
{
    enf_flows_finish(replay->flows, take, replay);
    return replay->error;
}

/* Whose packet it is. False where it is nobody's egress, or nothing that it says depends on it. */
static bool claim(const struct replay *replay, const struct enf_packet *packet, bool syn,
                  struct enf_flow_context *context)
{
    struct enf_observation obs = {
        .kind = syn ? ENF_OBSERVATION_SYN : ENF_OBSERVATION_REPLY,
        .source = packet->source,
        .destination = packet->destination,
    };
    struct claim claimed;
    if (!scope_claim(replay->scope, &obs, &claimed))
        return false;
    /* What a line without a mail server says in its sessions decides nothing. */
    const struct enf_sequential_settings *sequential = &claimed.settings->sequential;
    context->unread = obs.blocked || !sequential->enabled || sequential->model == ENF_SEQUENTIAL_LINE;
    context->subscriber = obs.subscriber;
    context->forgeable = obs.forgeable;
    return true;
}

static void observe(struct replay *replay, enum enf_packet_result result, const struct enf_packet *packet,
                    uint64_t time_ms)
{
    struct enf_flow_context context = {.time_ms = time_ms};
    enum enf_direction direction = enf_flows_direction(replay->flows, packet);
    bool syn = enf_packet_is_connection(packet);
    if (context.time_ms != replay->last_packet_ms) {
        (void)enf_flows_tick(replay->flows, context.time_ms, SIZE_MAX, take, replay);
        replay->last_packet_ms = context.time_ms;
    }
    if (syn && !claim(replay, packet, true, &context))
        return;
    if (direction == ENF_DIRECTION_SERVER && enf_flows_reply_code(packet))
        context.unrequested = claim(replay, packet, false, &context);
    (void)enf_flows_feed(replay->flows, result, packet, direction, &context, take, replay);
}

/* What the reading thread has of its own, until it is joined. */
struct reader {
    pcap_t *pcap;
    enum enf_link link;
    struct batches *batches;
    uint64_t packets;
    uint64_t undecodable;
    uint64_t port25_packets;
    uint64_t port25_syns;
    int end; /* of pcap_next_ex */
};

/* Cut short or malformed, a packet still counts for what of it is readable: so do filters and firewalls.
 * False where no more is wanted. */
static bool read_packet(struct reader *reader, const struct pcap_pkthdr *header, const uint8_t *bytes)
{
    struct enf_packet packet;
    size_t offset = 0;
    reader->packets++;
    switch (enf_link_find_ip(reader->link, bytes, header->caplen, &offset)) {
    case ENF_LINK_OK:
        break;
    case ENF_LINK_NOT_IP:
        reader->undecodable += reader->link == ENF_LINK_UNSUPPORTED;
        return true;
    case ENF_LINK_TRUNCATED:
    case ENF_LINK_MALFORMED:
        reader->undecodable++;
        return true;
    }
    enum enf_packet_result result = enf_packet_parse(bytes + offset, header->caplen - offset, &packet);
    if (result == ENF_PACKET_TRUNCATED || result == ENF_PACKET_MALFORMED)
        reader->undecodable++;
    if (!enf_packet_is_smtp(&packet))
        return true;
    reader->port25_packets++;
    if (enf_packet_is_connection(&packet))
        reader->port25_syns++;
    else if (result != ENF_PACKET_OK)
        return true;
    return batches_put(reader->batches, result, &packet, time_of(&header->ts));
}

static void *read_all(void *arg)
{
    struct reader *reader = arg;
    struct pcap_pkthdr *header;
    const u_char *bytes;
    while ((reader->end = pcap_next_ex(reader->pcap, &header, &bytes)) == 1)
        if (!read_packet(reader, header, bytes))
            break;
    batches_close(reader->batches);
    return NULL;
}

static void judge(struct replay *replay, const struct batch *batch)
{
    const struct enf_packet *packets[FETCH];
    for (size_t i = 0; i < batch->len && replay->error == 0; i++) {
        if (i % FETCH == 0) {
            size_t n = batch->len - i < FETCH ? batch->len - i : FETCH;
            for (size_t k = 0; k < n; k++)
                packets[k] = &batch->packets[i + k].packet;
            enf_flows_prefetch(replay->flows, packets, NULL, n);
        }
        const struct batch_packet *p = &batch->packets[i];
        observe(replay, p->result, &p->packet, p->time_ms);
    }
}

/* 0, or a negative errno where not all was judged. */
static int read_and_judge(struct replay *replay, struct reader *reader)
{
    pthread_t thread;
    const struct batch *batch;
    reader->batches = batches_new();
    int rc = reader->batches ? -pthread_create(&thread, NULL, read_all, reader) : -ENOMEM;
    if (rc == 0) {
        while (replay->error == 0 && (batch = batches_next(reader->batches)))
            judge(replay, batch);
        batches_stop(reader->batches);
        (void)pthread_join(thread, NULL);
        rc = replay->error;
    }
    batches_free(&reader->batches);
    replay->packets += reader->packets;
    replay->undecodable += reader->undecodable;
    replay->port25_packets += reader->port25_packets;
    replay->port25_syns += reader->port25_syns;
    return rc;
}

bool capture_read(struct replay *replay, FILE *stream, char *error, size_t error_len)
{
    char pcap_error[PCAP_ERRBUF_SIZE] = "";
    struct reader reader = {.pcap = pcap_fopen_offline(stream, pcap_error)};
    if (!reader.pcap) {
        (void)fclose(stream);
        (void)snprintf(error, error_len, "%s", pcap_error);
        return false;
    }
    bool whole = true;
    int dlt = pcap_datalink(reader.pcap);
    reader.link = enf_link_from_dlt(dlt);
    if (reader.link == ENF_LINK_UNSUPPORTED) {
        const char *name = pcap_datalink_val_to_name(dlt);
        whole = false;
        (void)snprintf(error, error_len, "link type %d (%s) is not read", dlt, name ? name : "unknown");
    }
    int rc = read_and_judge(replay, &reader);
    if (rc != 0) {
        whole = false;
        (void)snprintf(error, error_len, "%s", strerror(-rc));
    } else if (reader.end == PCAP_ERROR && whole) {
        whole = false;
        (void)snprintf(error, error_len, "%s", pcap_geterr(reader.pcap));
    }
    pcap_close(reader.pcap); /* and the stream */
    return whole;
}
