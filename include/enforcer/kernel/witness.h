/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sees which packets to TCP port 25 leave this machine while the rules are not what they should be: where the
 * table is gone, so are its counters. A packet socket that watches nothing, and costs nothing, until it is
 * told to. One thread; nothing blocks.
 *
 * Opening takes CAP_NET_RAW, watching takes no privilege. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct enf_witness;
/* 0 with *out the caller's, or -errno (-EPERM: no CAP_NET_RAW). */
int enf_witness_open(struct enf_witness **out);
void enf_witness_close(struct enf_witness **witness); /* accepts NULL content, clears */
/* Begins or ends watching. Ending keeps what was seen for enf_witness_read. 0 or -errno. */
int enf_witness_watch(struct enf_witness *witness, bool on);
/* Hands out what was seen, from the IP header on and cut to 128 bytes, and forgets it. All of it is hostile.
 * Where a packet leaves by an interface on top of another, it comes once for each. *unseen grows by what did
 * not fit into the buffer (16 MiB). Number of packets, or -errno. */
typedef void (*enf_witness_fn)(void *ctx, const uint8_t *ip, size_t len);
int enf_witness_read(struct enf_witness *witness, enf_witness_fn fn, void *ctx, uint64_t *unseen);
