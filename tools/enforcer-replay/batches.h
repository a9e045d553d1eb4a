/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets of port 25 on their way from the thread that reads a capture to the one that judges them. Two
 * threads: one writes, one reads. */
#pragma once

#include "enforcer/inspect/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BATCH_PACKETS 4096
#define BATCH_BYTES   (640u << 10) /* that packets point into */

struct batch_packet {
    struct enf_packet packet; /* its payload is in the batch */
    enum enf_packet_result result;
    uint64_t time_ms;
};

struct batch {
    struct batch_packet packets[BATCH_PACKETS];
    size_t len;
    size_t bytes_len;
    uint8_t bytes[BATCH_BYTES];
};

struct batches; /* private to batches.c */

/* NULL where there is no memory. */
struct batches *batches_new(void);
void batches_free(struct batches **batches);

/* The writer: the batch that it fills, empty at first; then hands it over and gets the next, NULL where the
 * reader wants no more. */
struct batch *batches_first(struct batches *batches);
struct batch *batches_turn(struct batches *batches);
/* Instead: a copy of one packet (its payload cut to BATCH_BYTES). False where the reader wants no more. */
bool batches_put(struct batches *batches, enum enf_packet_result result, const struct enf_packet *packet,
                 uint64_t time_ms);
/* The writer has no more. */
void batches_close(struct batches *batches);

/* The reader: the next batch, its until the next call; NULL at the end. */
const struct batch *batches_next(struct batches *batches);
/* The reader wants no more. batches_next must not be called again. */
void batches_stop(struct batches *batches);
