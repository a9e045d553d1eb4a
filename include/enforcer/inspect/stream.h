/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts the bytes of one direction of a TCP connection into order, in bounded memory. No I/O, no clock. A
 * stream belongs to one thread. Numbers are in host order, sequence numbers wrap.
 *
 * Where two segments give different bytes for the same place, the first copy that came stands. Bytes wait in
 * memory only while one before them is missing or the reader does not take them; a segment that comes in
 * order and is taken at once is not copied. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What waits reaches at most this far ahead of the next byte to be read, and never over the budget … */
#define ENF_STREAM_WINDOW 65536
/* … in at most this many pieces. Neighbours sent with the same acknowledgment are one piece. */
#define ENF_STREAM_PIECES 48
/* A segment that starts this far ahead fits into no window a receiver offers here: it is ignored, so that
 * nobody ends the reading with a packet that its receiver throws away. */
#define ENF_STREAM_FAR (1U << 20)

/* What the streams of one worker may hold together: shared by them, owned by the caller. */
struct enf_stream_memory {
    size_t used; /* bytes; zero before the first stream */
    size_t max;
};

enum enf_stream_end {
    ENF_STREAM_OPEN,
    ENF_STREAM_FIN,    /* all was read up to the sender's FIN */
    ENF_STREAM_BUDGET, /* as many bytes were read as were allowed */
    ENF_STREAM_GAP,    /* a byte is missing, and more came behind it than is kept */
    ENF_STREAM_FULL,   /* nothing is missing, but the reader waits, and more came than is kept */
    ENF_STREAM_CUT,    /* the packet was captured without its end */
    ENF_STREAM_MEMORY, /* enf_stream_memory is used up, or the system's */
};
#define ENF_STREAM_END_COUNT 7

struct enf_stream_pending; /* private to stream.c: allocated when something must wait, freed when nothing does
                            */

/* A segment. The bytes are the caller's and must live until enf_stream_settle. */
struct enf_stream_segment {
    uint32_t sequence; /* of bytes[0] */
    uint32_t ack;      /* the acknowledgment it was sent with */
    bool has_ack;      /* false: none (data in a SYN) */
    const uint8_t *bytes;
    uint32_t captured_len; /* how many are there */
    uint32_t len;          /* how many were sent */
};

/* All fields are private to stream.c but those it says may be read. */
struct enf_stream {
    struct enf_stream_pending *pending;
    struct enf_stream_memory *memory;
    struct enf_stream_segment direct; /* in order, not copied yet; gone after enf_stream_settle */
    uint32_t next;                    /* may be read: sequence of the next byte to hand out */
    uint32_t fin;                     /* sequence behind the last byte, where fin_seen */
    uint32_t budget;                  /* may be read: bytes that may still be handed out */
    uint16_t retransmitted;           /* may be read: segments with nothing new; these three stop at 65535 */
    uint16_t overlapping;             /* may be read: segments with old and new bytes */
    uint16_t ahead;    /* may be read: segments that came before an earlier one, or were ignored as far */
    bool started;      /* may be read */
    bool synchronised; /* may be read: started at a SYN, so the first byte is the first of a line */
    bool fin_seen;
    uint8_t end; /* may be read: enum enf_stream_end */
};

/* budget: how many bytes may be handed out in all. memory must outlive the stream. */
void enf_stream_init(struct enf_stream *stream, struct enf_stream_memory *memory, uint32_t budget);
/* Frees what waits (wiped first) and leaves the stream ended as it was. Accepts an initialised stream in any
 * state. */
void enf_stream_clear(struct enf_stream *stream);

/* The first byte to expect. Later calls are ignored. */
void enf_stream_start(struct enf_stream *stream, uint32_t sequence, bool synchronised);

/* Brings a segment (data only; fin: it carries a FIN as well). The stream must be started. Then the caller
 * reads with enf_stream_peek and enf_stream_take as much as it wants, and calls enf_stream_settle. */
void enf_stream_offer(struct enf_stream *stream, const struct enf_stream_segment *segment, bool fin);
/* The bytes in order that can be read now, all sent with the same acknowledgment: their number, 0 for none;
 * out says where they are, with their sequence and acknowledgment. Valid until the next call for this stream.
 */
size_t enf_stream_peek(const struct enf_stream *stream, struct enf_stream_segment *out);
/* They are read. len: at most what enf_stream_peek said. */
void enf_stream_take(struct enf_stream *stream, size_t len);
/* Keeps what was offered and not taken. False where it does not fit: enf_stream_peek works still, and the
 * caller takes some more and tries again, or calls enf_stream_stop with what enf_stream_why says. */
bool enf_stream_settle(struct enf_stream *stream);
/* Why the last enf_stream_settle was false: ENF_STREAM_GAP, _FULL or _MEMORY. */
enum enf_stream_end enf_stream_why(const struct enf_stream *stream);
/* Ends the reading, unless it has ended before, and frees what waits. Segments that come later only move
 * next. */
void enf_stream_stop(struct enf_stream *stream, enum enf_stream_end why);

/* True where a packet with this sequence could belong to the stream: from next on, and not far. For RST. */
bool enf_stream_plausible(const struct enf_stream *stream, uint32_t sequence);
/* Bytes that wait, and what they cost of enf_stream_memory. */
size_t enf_stream_waiting(const struct enf_stream *stream);
size_t enf_stream_held(const struct enf_stream *stream);
