/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds packets for tests, byte by byte. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct frame {
    uint8_t bytes[70000];
    size_t len;
};

static inline void put(struct frame *f, const void *bytes, size_t len)
{
    assert(len <= sizeof(f->bytes) - f->len);
    memcpy(f->bytes + f->len, bytes, len);
    f->len += len;
}

static inline void put8(struct frame *f, unsigned value)
{
    uint8_t b = (uint8_t)value;
    put(f, &b, 1);
}

static inline void put16(struct frame *f, unsigned value)
{
    put8(f, value >> 8);
    put8(f, value & 0xff);
}

static inline void put32(struct frame *f, uint32_t value)
{
    put16(f, value >> 16);
    put16(f, value & 0xffff);
}

static inline void put_zeros(struct frame *f, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put8(f, 0);
}

static inline void set16(struct frame *f, size_t at, unsigned value)
{
    f->bytes[at] = (uint8_t)(value >> 8);
    f->bytes[at + 1] = (uint8_t)value;
}

/* An IPv4 header of 20 bytes and options; the length is set by ipv4_end. Returns where it starts. */
static inline size_t put_ipv4(struct frame *f, uint32_t source, uint32_t destination, unsigned protocol,
                              unsigned fragment, size_t options_len)
{
    size_t start = f->len;
    put8(f, 0x40 | (5 + options_len / 4));
    put8(f, 0);
    put16(f, 0);
    put16(f, 0x1234);
    put16(f, fragment);
    put8(f, 64);
    put8(f, protocol);
    put16(f, 0);
    put32(f, source);
    put32(f, destination);
    for (size_t i = 0; i < options_len; i++)
        put8(f, 1);
    return start;
}

static inline void end_ipv4(struct frame *f, size_t start)
{
    set16(f, start + 2, (unsigned)(f->len - start));
}

/* 2001:db8::source to 2001:db8::destination. */
static inline size_t put_ipv6(struct frame *f, uint32_t source, uint32_t destination, unsigned next)
{
    size_t start = f->len;
    put32(f, 0x60000000);
    put16(f, 0);
    put8(f, next);
    put8(f, 64);
    for (int i = 0; i < 2; i++) {
        put32(f, 0x20010db8);
        put32(f, 0);
        put32(f, 0);
        put32(f, i == 0 ? source : destination);
    }
    return start;
}

static inline void end_ipv6(struct frame *f, size_t start)
{
    set16(f, start + 4, (unsigned)(f->len - start - 40));
}

/* Hop-by-hop, destination options, routing: units of eight bytes beyond the first, filled with PadN. */
static inline void put_extension(struct frame *f, unsigned next, unsigned more)
{
    put8(f, next);
    put8(f, more);
    put8(f, 1);
    put8(f, 4);
    put32(f, 0);
    for (unsigned i = 0; i < more; i++) {
        put8(f, 1);
        put8(f, 6);
        put_zeros(f, 6);
    }
}

static inline void put_fragment(struct frame *f, unsigned next, unsigned offset, unsigned more)
{
    put8(f, next);
    put8(f, 0);
    put16(f, offset * 8 | more);
    put32(f, 0xfeed);
}

static inline void put_tcp(struct frame *f, unsigned source_port, unsigned destination_port,
                           uint32_t sequence, unsigned flags, size_t options_len)
{
    put16(f, source_port);
    put16(f, destination_port);
    put32(f, sequence);
    put32(f, 0x01020304);
    put8(f, (unsigned)((5 + options_len / 4) << 4));
    put8(f, flags);
    put16(f, 0xffff);
    put32(f, 0);
    for (size_t i = 0; i < options_len; i++)
        put8(f, 1);
}
