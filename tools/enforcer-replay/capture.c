/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Captures: one thread reads and takes apart, the other one judges. */
#include "batches.h"
#include "capture_reader.h"
#include "enforcer/inspect/packet.h"
#include "replay.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define FETCH 32 /* packets that memory is fetched for at once */

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

/* The memory of the next packets is on its way while the first is judged: the other thread has just written
 * them, flows and subscribers lie anywhere. */
static void fetch(struct replay *replay, const struct batch *batch, size_t from)
{
    const struct enf_packet *packets[FETCH];
    struct enf_flow_context syns[FETCH];
    const struct enf_prefix *subscribers[FETCH];
    size_t n = batch->len - from < FETCH ? batch->len - from : FETCH;
    size_t subscribers_len = 0;
    for (size_t k = from + n; k < batch->len && k < from + n + FETCH; k++)
        __builtin_prefetch(&batch->packets[k].packet);
    for (size_t k = 0; k < n; k++) {
        packets[k] = &batch->packets[from + k].packet;
        __builtin_prefetch(packets[k]->payload);
        if (enf_packet_is_connection(packets[k]) && claim(replay, packets[k], true, &syns[subscribers_len])) {
            subscribers[subscribers_len] = &syns[subscribers_len].subscriber;
            ledger_prefetch(&replay->ledger, subscribers[subscribers_len]);
            subscribers_len++;
        }
    }
    enf_flows_prefetch(replay->flows, packets, NULL, n);
    enf_detector_prefetch(replay->detector, subscribers, subscribers_len);
}

static void judge(struct replay *replay, const struct batch *batch)
{
    for (size_t i = 0; i < batch->len && replay->error == 0; i++) {
        if (i % FETCH == 0)
            fetch(replay, batch, i);
        const struct batch_packet *p = &batch->packets[i];
        observe(replay, p->result, &p->packet, p->time_ms);
    }
}

/* 0, or a negative errno where not all was judged. */
static int read_and_judge(struct replay *replay, struct capture_reader *reader)
{
    pthread_t thread;
    const struct batch *batch;
    reader->batches = batches_new();
    int rc = reader->batches ? -pthread_create(&thread, NULL, capture_reader_run, reader) : -ENOMEM;
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
    struct capture_reader reader;
    if (!capture_reader_open(&reader, stream, error, error_len))
        return false;
    bool supported = reader.link != ENF_LINK_UNSUPPORTED;
    int rc = read_and_judge(replay, &reader);
    if (rc != 0)
        (void)snprintf(error, error_len, "%s", strerror(-rc));
    else if (supported)
        (void)snprintf(error, error_len, "%s", reader.error);
    bool whole = rc == 0 && supported && !reader.damaged;
    capture_reader_close(&reader); /* and the stream */
    return whole;
}
