/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Captures, by libpcap. */
#include "enforcer/inspect/link.h"
#include "enforcer/inspect/packet.h"
#include "replay.h"

#include <pcap/pcap.h>
#include <string.h>

/* Times are what the file says, and files say anything. */
static uint64_t time_ms(const struct timeval *ts)
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
    struct claim unused;
    if (!scope_claim(replay->scope, &obs, &unused))
        return false;
    context->subscriber = obs.subscriber;
    context->forgeable = obs.forgeable;
    return true;
}

static int observe(struct replay *replay, enum enf_packet_result result, const struct enf_packet *packet,
                   const struct timeval *ts)
{
    struct enf_flow_context context = {.time_ms = time_ms(ts)};
    enum enf_direction direction = enf_flows_direction(replay->flows, packet);
    bool syn = enf_packet_is_connection(packet);
    if (context.time_ms != replay->last_packet_ms) {
        (void)enf_flows_tick(replay->flows, context.time_ms, SIZE_MAX, take, replay);
        replay->last_packet_ms = context.time_ms;
    }
    if (syn && !claim(replay, packet, true, &context))
        return 0;
    if (direction == ENF_DIRECTION_SERVER && enf_flows_reply_code(packet))
        context.unrequested = claim(replay, packet, false, &context);
    (void)enf_flows_feed(replay->flows, result, packet, direction, &context, take, replay);
    return replay->error;
}

/* Cut short or malformed, a packet still counts for what of it is readable: so do filters and firewalls. */
static int read_packet(struct replay *replay, enum enf_link link, const struct pcap_pkthdr *header,
                       const uint8_t *bytes)
{
    struct enf_packet packet;
    size_t offset = 0;
    replay->packets++;
    switch (enf_link_find_ip(link, bytes, header->caplen, &offset)) {
    case ENF_LINK_OK:
        break;
    case ENF_LINK_NOT_IP:
        replay->undecodable += link == ENF_LINK_UNSUPPORTED;
        return 0;
    case ENF_LINK_TRUNCATED:
    case ENF_LINK_MALFORMED:
        replay->undecodable++;
        return 0;
    }
    enum enf_packet_result result = enf_packet_parse(bytes + offset, header->caplen - offset, &packet);
    if (result == ENF_PACKET_TRUNCATED || result == ENF_PACKET_MALFORMED)
        replay->undecodable++;
    if (!enf_packet_is_smtp(&packet))
        return 0;
    replay->port25_packets++;
    if (enf_packet_is_connection(&packet))
        replay->port25_syns++;
    else if (result != ENF_PACKET_OK)
        return 0;
    return observe(replay, result, &packet, &header->ts);
}

bool capture_read(struct replay *replay, FILE *stream, char *error, size_t error_len)
{
    char pcap_error[PCAP_ERRBUF_SIZE] = "";
    pcap_t *pcap = pcap_fopen_offline(stream, pcap_error);
    if (!pcap) {
        (void)fclose(stream);
        (void)snprintf(error, error_len, "%s", pcap_error);
        return false;
    }
    bool whole = true;
    enum enf_link link = enf_link_from_dlt(pcap_datalink(pcap));
    if (link == ENF_LINK_UNSUPPORTED) {
        const char *name = pcap_datalink_val_to_name(pcap_datalink(pcap));
        whole = false;
        (void)snprintf(error, error_len, "link type %d (%s) is not read", pcap_datalink(pcap),
                       name ? name : "unknown");
    }
    struct pcap_pkthdr *header;
    const u_char *bytes;
    int rc;
    while ((rc = pcap_next_ex(pcap, &header, &bytes)) == 1) {
        int observed = read_packet(replay, link, header, bytes);
        if (observed == 0)
            continue;
        whole = false;
        (void)snprintf(error, error_len, "%s", strerror(-observed));
        break;
    }
    if (rc == PCAP_ERROR && whole) {
        whole = false;
        (void)snprintf(error, error_len, "%s", pcap_geterr(pcap));
    }
    pcap_close(pcap); /* and the stream */
    return whole;
}
