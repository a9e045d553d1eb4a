/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of nft text for ruleset.c: element lists and subscriber keys. Private to kernel/. */
#pragma once

#include "enforcer/core/rangemap.h"
#include "enforcer/kernel/ruleset.h"

#include <stdbool.h>
#include <stdio.h>

/* A group's name as a part of nft's names: these have no '-'. Two names that differ in more than - and _ stay
 * two, and no chain of one group ("g_NAME_syn4") is a chain of another ("g_" "NAME_syn" "4"). */
void enf_text_id(FILE *out, const char *name);

/* "ip saddr" or "ip6 saddr & ffff:…::", as a subscriber of that many bits is matched; dir is "saddr" or
 * "daddr". */
void enf_text_subscriber(FILE *out, enum enf_family family, const char *dir, uint8_t bits);

/* "elements = { … };" of the prefixes of one family that want() picks, fused into disjoint ranges; nothing
 * where there are none, because nft refuses an empty list. 0 or -ENOMEM. */
typedef bool (*enf_text_want_fn)(const void *ctx, size_t index);
int enf_text_elements(FILE *out, const struct enf_prefix *prefixes, size_t stride, size_t len,
                      enum enf_family family, enf_text_want_fn want, const void *ctx);

/* The same of a finished map: the ranges whose value want() picks. verdict, where given, writes ": verdict".
 */
typedef void (*enf_text_verdict_fn)(FILE *out, const void *ctx, uint32_t value);
void enf_text_map_elements(FILE *out, const struct enf_rangemap *map, enum enf_family family,
                           enf_text_want_fn want, enf_text_verdict_fn verdict, const void *ctx);
