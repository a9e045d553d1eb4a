/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Order out of segments: one buffer with the bytes ahead of the next one, and a sorted list of the pieces of
 * it that are filled. */
#include "enforcer/inspect/stream.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 512U /* the first buffer; it doubles up to the window */

/* offset counts from the stream's next byte. Sorted, disjoint. */
struct piece {
    uint32_t offset;
    uint32_t len;
    uint32_t ack;
    bool has_ack;
};

struct enf_stream_pending {
    uint32_t room; /* of bytes */
    uint32_t pieces_len;
    struct piece pieces[ENF_STREAM_PIECES];
    uint8_t bytes[];
};

static void count(uint16_t *counter)
{
    if (*counter < UINT16_MAX)
        (*counter)++;
}

static size_t pending_size(uint32_t room)
{
    return sizeof(struct enf_stream_pending) + room;
}

static void free_pending(struct enf_stream *stream)
{
    struct enf_stream_pending *pending = stream->pending;
    if (!pending)
        return;
    size_t size = pending_size(pending->room);
    explicit_bzero(pending, size);
    free(pending);
    stream->memory->used -= size;
    stream->pending = NULL;
}

/* Makes room for len bytes ahead; what waits already stays. */
static bool reserve(struct enf_stream *stream, uint32_t len)
{
    struct enf_stream_pending *old = stream->pending;
    if (old && old->room >= len)
        return true;
    uint32_t room = old ? old->room : ROOM_MIN;
    while (room < len)
        room *= 2;
    size_t before = old ? pending_size(old->room) : 0;
    struct enf_stream_memory *memory = stream->memory;
    if (memory->used - before + pending_size(room) > memory->max)
        return false;
    struct enf_stream_pending *new = malloc(pending_size(room));
    if (!new)
        return false;
    new->room = room;
    new->pieces_len = 0;
    if (old) {
        new->pieces_len = old->pieces_len;
        memcpy(new->pieces, old->pieces, sizeof(new->pieces));
        memcpy(new->bytes, old->bytes, old->room);
    }
    free_pending(stream);
    memory->used += pending_size(room);
    stream->pending = new;
    return true;
}

void enf_stream_init(struct enf_stream *stream, struct enf_stream_memory *memory, uint32_t budget)
{
    *stream = (struct enf_stream){.memory = memory, .budget = budget};
}

void enf_stream_clear(struct enf_stream *stream)
{
    free_pending(stream);
    stream->direct = (struct enf_stream_segment){0};
}

void enf_stream_start(struct enf_stream *stream, uint32_t sequence, bool synchronised)
{
    if (stream->started)
        return;
    stream->started = true;
    stream->synchronised = synchronised;
    stream->next = sequence;
}

void enf_stream_stop(struct enf_stream *stream, enum enf_stream_end why)
{
    enf_stream_clear(stream);
    if (stream->end == ENF_STREAM_OPEN)
        stream->end = (uint8_t)why;
}

bool enf_stream_plausible(const struct enf_stream *stream, uint32_t sequence)
{
    return stream->started && sequence - stream->next < ENF_STREAM_FAR;
}

size_t enf_stream_waiting(const struct enf_stream *stream)
{
    size_t sum = 0;
    for (uint32_t i = 0; stream->pending && i < stream->pending->pieces_len; i++)
        sum += stream->pending->pieces[i].len;
    return sum;
}

size_t enf_stream_held(const struct enf_stream *stream)
{
    return stream->pending ? pending_size(stream->pending->room) : 0;
}

static void note_fin(struct enf_stream *stream, uint32_t sequence)
{
    if (stream->fin_seen || (!enf_stream_plausible(stream, sequence) && sequence != stream->next))
        return;
    stream->fin_seen = true;
    stream->fin = sequence;
}

static void check_fin(struct enf_stream *stream)
{
    if (stream->end == ENF_STREAM_OPEN && stream->fin_seen && stream->next == stream->fin)
        enf_stream_stop(stream, ENF_STREAM_FIN);
}

/* Drops of the segment at hand what will never be read: behind a FIN, and over the budget. */
static void clip(struct enf_stream *stream)
{
    struct enf_stream_segment *direct = &stream->direct;
    uint32_t offset = direct->sequence - stream->next;
    uint32_t limit = stream->budget;
    if (stream->fin_seen && stream->fin - stream->next < limit)
        limit = stream->fin - stream->next;
    uint32_t room = offset < limit ? limit - offset : 0;
    if (direct->len > room)
        direct->len = room;
    if (direct->captured_len > direct->len)
        direct->captured_len = direct->len;
}

void enf_stream_offer(struct enf_stream *stream, const struct enf_stream_segment *segment, bool fin)
{
    stream->direct = (struct enf_stream_segment){0};
    uint32_t distance = segment->sequence - stream->next;
    uint32_t end = segment->sequence + segment->len;
    bool old = distance > INT32_MAX; /* starts before next */
    if (!old && distance >= ENF_STREAM_FAR) {
        count(&stream->ahead);
        return;
    }
    if (fin)
        note_fin(stream, end);
    bool nothing_new = old && end - stream->next - 1 >= INT32_MAX;
    if (stream->end != ENF_STREAM_OPEN) {
        if (!nothing_new && segment->len)
            stream->next = end;
        return;
    }
    if (segment->len == 0 || nothing_new) {
        if (segment->len)
            count(&stream->retransmitted);
        check_fin(stream);
        return;
    }
    stream->direct = *segment;
    if (old) {
        uint32_t known = stream->next - segment->sequence;
        count(&stream->overlapping);
        stream->direct.sequence = stream->next;
        stream->direct.len -= known;
        stream->direct.captured_len = segment->captured_len > known ? segment->captured_len - known : 0;
        stream->direct.bytes = stream->direct.captured_len ? segment->bytes + known : NULL;
    } else if (distance > 0) {
        count(&stream->ahead);
    }
    clip(stream);
}

/* The bytes of the segment at hand that can be read without a copy: it is the next, and up to where something
 * waits already, because that came first. */
static uint32_t direct_readable(const struct enf_stream *stream)
{
    if (stream->direct.sequence != stream->next)
        return 0;
    uint32_t len = stream->direct.captured_len;
    if (stream->pending && stream->pending->pieces[0].offset < len)
        len = stream->pending->pieces[0].offset;
    return len;
}

size_t enf_stream_peek(const struct enf_stream *stream, struct enf_stream_segment *out)
{
    if (stream->end != ENF_STREAM_OPEN)
        return 0;
    struct enf_stream_segment found = stream->direct;
    const struct enf_stream_pending *pending = stream->pending;
    if (pending && pending->pieces[0].offset == 0) {
        const struct piece *first = &pending->pieces[0];
        found.sequence = stream->next;
        found.bytes = pending->bytes;
        found.len = first->len;
        found.ack = first->ack;
        found.has_ack = first->has_ack;
    } else {
        found.len = direct_readable(stream);
    }
    if (found.len > stream->budget)
        found.len = stream->budget;
    if (stream->fin_seen && found.len > stream->fin - stream->next)
        found.len = stream->fin - stream->next;
    found.captured_len = found.len;
    if (found.len)
        *out = found;
    return found.len;
}

/* What waits is len bytes nearer; bytes of its first piece may be among them, none of a later one. */
static void shift_pending(struct enf_stream *stream, uint32_t len)
{
    struct enf_stream_pending *pending = stream->pending;
    struct piece *first = &pending->pieces[0];
    if (first->offset == 0) {
        first->offset = len;
        first->len -= len;
    }
    if (first->len == 0) {
        pending->pieces_len--;
        memmove(first, first + 1, pending->pieces_len * sizeof(*first));
    }
    if (pending->pieces_len == 0) {
        free_pending(stream);
        return;
    }
    for (uint32_t i = 0; i < pending->pieces_len; i++)
        pending->pieces[i].offset -= len;
    const struct piece *last = &pending->pieces[pending->pieces_len - 1];
    memmove(pending->bytes, pending->bytes + len, last->offset + last->len);
}

/* Drops of the segment at hand what lies before next now. */
static void trim_direct(struct enf_stream *stream)
{
    struct enf_stream_segment *direct = &stream->direct;
    uint32_t passed = stream->next - direct->sequence;
    if (direct->len == 0 || passed > INT32_MAX)
        return;
    if (passed >= direct->len) {
        *direct = (struct enf_stream_segment){0};
        return;
    }
    uint32_t captured = passed < direct->captured_len ? passed : direct->captured_len;
    direct->bytes = captured ? direct->bytes + captured : direct->bytes;
    direct->captured_len -= captured;
    direct->len -= passed;
    direct->sequence = stream->next;
}

void enf_stream_take(struct enf_stream *stream, size_t taken)
{
    uint32_t len = (uint32_t)taken;
    if (len == 0)
        return;
    if (stream->pending)
        shift_pending(stream, len);
    stream->next += len;
    stream->budget -= len;
    trim_direct(stream);
    if (stream->budget == 0)
        enf_stream_stop(stream, ENF_STREAM_BUDGET);
    else
        check_fin(stream);
}

static bool same_ack(const struct piece *a, const struct piece *b)
{
    return a->has_ack == b->has_ack && a->ack == b->ack;
}

/* Puts a piece in at position at, joined with its neighbours where they were sent with the same
 * acknowledgment. False where the list is full. */
static bool insert(struct enf_stream_pending *pending, uint32_t at, struct piece piece)
{
    struct piece *p = pending->pieces;
    bool joins_left =
        at > 0 && p[at - 1].offset + p[at - 1].len == piece.offset && same_ack(&p[at - 1], &piece);
    bool joins_right =
        at < pending->pieces_len && piece.offset + piece.len == p[at].offset && same_ack(&p[at], &piece);
    if (joins_left && joins_right) {
        p[at - 1].len += piece.len + p[at].len;
        pending->pieces_len--;
        memmove(p + at, p + at + 1, (pending->pieces_len - at) * sizeof(*p));
    } else if (joins_left) {
        p[at - 1].len += piece.len;
    } else if (joins_right) {
        p[at].offset = piece.offset;
        p[at].len += piece.len;
    } else if (pending->pieces_len == ENF_STREAM_PIECES) {
        return false;
    } else {
        memmove(p + at + 1, p + at, (pending->pieces_len - at) * sizeof(*p));
        p[at] = piece;
        pending->pieces_len++;
    }
    return true;
}

/* Fills the holes that the segment covers, what is there stays. False where the list of pieces is full: then
 * a part may have been filled, which is as good as if the segment had come shorter. */
static bool fill(struct enf_stream *stream, const struct enf_stream_segment *segment)
{
    struct enf_stream_pending *pending = stream->pending;
    uint32_t from = segment->sequence - stream->next;
    uint32_t start = from;
    uint32_t end = from + segment->captured_len;
    uint32_t at = 0;
    while (from < end) {
        while (at < pending->pieces_len && pending->pieces[at].offset + pending->pieces[at].len <= from)
            at++;
        uint32_t hole_end = end;
        if (at < pending->pieces_len) {
            const struct piece *there = &pending->pieces[at];
            if (there->offset <= from) {
                from = there->offset + there->len;
                continue;
            }
            if (there->offset < end)
                hole_end = there->offset;
        }
        struct piece piece = {
            .offset = from, .len = hole_end - from, .ack = segment->ack, .has_ack = segment->has_ack};
        if (!insert(pending, at, piece))
            return false;
        memcpy(pending->bytes + from, segment->bytes + (from - start), hole_end - from);
        at = 0;
        from = hole_end;
    }
    return true;
}

/* How far ahead the captured bytes of the segment at hand reach. */
static uint32_t direct_reach(const struct enf_stream *stream)
{
    return stream->direct.sequence + stream->direct.captured_len - stream->next;
}

bool enf_stream_settle(struct enf_stream *stream)
{
    struct enf_stream_segment *direct = &stream->direct;
    if (direct->len == 0 || stream->end != ENF_STREAM_OPEN)
        return true;
    if (direct->captured_len == 0) {
        /* Bytes that the capture left out come from nowhere any more, unless something else waits. */
        bool next = direct->sequence == stream->next && !stream->pending;
        *direct = (struct enf_stream_segment){0};
        if (next)
            enf_stream_stop(stream, ENF_STREAM_CUT);
        return true;
    }
    if (direct_reach(stream) > ENF_STREAM_WINDOW || !reserve(stream, direct_reach(stream)))
        return false;
    if (!fill(stream, direct))
        return false;
    *direct = (struct enf_stream_segment){0};
    return true;
}

enum enf_stream_end enf_stream_why(const struct enf_stream *stream)
{
    struct enf_stream_segment segment;
    bool pieces_full = stream->pending && stream->pending->pieces_len == ENF_STREAM_PIECES;
    if (direct_reach(stream) <= ENF_STREAM_WINDOW && !pieces_full)
        return ENF_STREAM_MEMORY;
    return enf_stream_peek(stream, &segment) ? ENF_STREAM_FULL : ENF_STREAM_GAP;
}
