/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring of batches under a lock that is taken once a batch. */
#include "batches.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RING 4

struct batches {
    struct batch ring[RING];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t written; /* whole batches, ever; the writer fills number `written` */
    uint64_t read;    /* given back */
    bool held;        /* the reader has number `read` */
    bool closed;
    bool stopped;
};

struct batches *batches_new(void)
{
    struct batches *batches = calloc(1, sizeof(*batches));
    if (!batches)
        return NULL;
    (void)pthread_mutex_init(&batches->lock, NULL);
    (void)pthread_cond_init(&batches->changed, NULL);
    return batches;
}

void batches_free(struct batches **batches)
{
    if (!*batches)
        return;
    (void)pthread_cond_destroy(&(*batches)->changed);
    (void)pthread_mutex_destroy(&(*batches)->lock);
    free(*batches);
    *batches = NULL;
}

struct batch *batches_first(struct batches *batches)
{
    return &batches->ring[0];
}

struct batch *batches_turn(struct batches *batches)
{
    (void)pthread_mutex_lock(&batches->lock);
    batches->written++;
    (void)pthread_cond_signal(&batches->changed);
    while (batches->written - batches->read == RING && !batches->stopped)
        (void)pthread_cond_wait(&batches->changed, &batches->lock);
    bool wanted = !batches->stopped;
    (void)pthread_mutex_unlock(&batches->lock);
    struct batch *batch = &batches->ring[batches->written % RING];
    if (!wanted)
        return NULL;
    batch->len = batch->bytes_len = 0;
    return batch;
}

bool batches_put(struct batches *batches, enum enf_packet_result result, const struct enf_packet *packet,
                 uint64_t time_ms)
{
    struct batch *batch = &batches->ring[batches->written % RING];
    size_t len = packet->payload_captured_len;
    if (len > BATCH_BYTES)
        len = BATCH_BYTES;
    if (batch->len == BATCH_PACKETS || batch->bytes_len + len > BATCH_BYTES) {
        batch = batches_turn(batches);
        if (!batch)
            return false;
    }
    struct batch_packet *put = &batch->packets[batch->len++];
    *put = (struct batch_packet){*packet, result, time_ms};
    if (len) {
        put->packet.payload = memcpy(batch->bytes + batch->bytes_len, packet->payload, len);
        put->packet.payload_captured_len = (uint32_t)len;
        batch->bytes_len += len;
    }
    return true;
}

void batches_close(struct batches *batches)
{
    (void)pthread_mutex_lock(&batches->lock);
    batches->written++;
    batches->closed = true;
    (void)pthread_cond_signal(&batches->changed);
    (void)pthread_mutex_unlock(&batches->lock);
}

const struct batch *batches_next(struct batches *batches)
{
    (void)pthread_mutex_lock(&batches->lock);
    if (batches->held) {
        batches->read++;
        batches->held = false;
        (void)pthread_cond_signal(&batches->changed);
    }
    while (batches->read == batches->written && !batches->closed)
        (void)pthread_cond_wait(&batches->changed, &batches->lock);
    batches->held = batches->read < batches->written;
    (void)pthread_mutex_unlock(&batches->lock);
    return batches->held ? &batches->ring[batches->read % RING] : NULL;
}

void batches_stop(struct batches *batches)
{
    (void)pthread_mutex_lock(&batches->lock);
    batches->stopped = true;
    (void)pthread_cond_signal(&batches->changed);
    (void)pthread_mutex_unlock(&batches->lock);
}
