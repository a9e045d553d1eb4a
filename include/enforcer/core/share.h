/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which share of the subscribers one belongs to: the number that the rules compute of its packets, here
 * computed from its address. Pure, safe from any thread. */
#pragma once

#include "enforcer/core/addr.h"

#include <stddef.h>
#include <stdint.h>

/* Fixed for good: another one would give other subscribers the first turn. */
#define ENF_SHARE_SEED 0x0e6f2cd1u

/* The kernel's jhash (include/linux/jhash.h; Bob Jenkins' lookup3) of len bytes, 1 or more, as the nft
 * expression `jhash … seed` computes it of a register's bytes. */
uint32_t enf_jhash(const void *data, size_t len, uint32_t seed);

/* A number from 0 to 99, the same for ever: `jhash ADDRESS mod 100 seed ENF_SHARE_SEED`, ADDRESS being the
 * IPv4 address, or the masked IPv6 address, of the subscriber. A share of P percent holds those whose number
 * is below P, so all who are in it at 10 are in it at 20. The subscriber's bits beyond its length must be
 * clear. */
unsigned enf_share(const struct enf_prefix *subscriber);
