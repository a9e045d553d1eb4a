/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nf_tables objects in a form that two readings can be compared in: without handles, positions, counters and
 * remaining times, and with names that a reload changes put back to what they stand for. Pure; no length is
 * trusted. Private to kernel/. */
#pragma once

#include "enforcer/kernel/messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_CANON_NAME_LEN 256 /* NFT_NAME_MAXLEN */

/* A fingerprint. */
struct enf_print {
    uint64_t low, high;
};
bool enf_print_equal(struct enf_print a, struct enf_print b);

/* Bytes that are being collected; err is -ENOMEM when they did not fit. Free with enf_canon_clear. */
struct enf_canon {
    uint8_t *bytes;
    size_t len;
    size_t size;
    int err;
};
void enf_canon_clear(struct enf_canon *canon);
struct enf_print enf_canon_print(const struct enf_canon *canon);

/* What a set's name stands for: an anonymous set's content, a static one's name without its generation. Puts
 * it at the end of canon. NULL: names as they are. */
typedef void (*enf_canon_set_fn)(void *ctx, const char *name, struct enf_canon *canon);
void enf_canon_put(struct enf_canon *canon, const void *bytes, size_t len);

enum enf_canon_kind {
    ENF_CANON_TABLE,
    ENF_CANON_CHAIN,
    ENF_CANON_RULE,
    ENF_CANON_SET,
    ENF_CANON_OBJECT,
    ENF_CANON_FLOWTABLE,
};
#define ENF_CANON_KIND_COUNT 6

/* One object of a dump, appended to canon. name gets the object's name, for a rule that of its chain. flags:
 * of a set; may be NULL. False where message is no such object of our table. */
bool enf_canon_object(enum enf_canon_kind kind, const struct enf_message *message, enf_canon_set_fn set_fn,
                      void *ctx, struct enf_canon *canon, char name[ENF_CANON_NAME_LEN], uint32_t *flags);

/* The elements of a message of a set's dump: fn is called with the fingerprint of each; end: it
 * only marks where an interval ends. Elements are compared
 * as a bag: the kernel gives them in any order. */
typedef void (*enf_canon_element_fn)(void *ctx, struct enf_print print, bool end);
void enf_canon_elements(const struct enf_message *message, enf_canon_element_fn fn, void *ctx);
/* Into a bag, whatever the order. */
void enf_print_add(struct enf_print *bag, struct enf_print print);

/* "denied4_g12" is "denied4": the name's length without its generation. */
size_t enf_canon_plain_len(const char *name);
