/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One message of nf_tables about a change, taken apart. Pure: no length in the message is trusted. Private to
 * kernel/. */
#pragma once

#include "enforcer/kernel/messages.h"
#include "enforcer/kernel/notify.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum enf_notice_kind {
    ENF_NOTICE_OTHER,      /* of nf_tables, but not about our table */
    ENF_NOTICE_TABLE,      /* our table itself */
    ENF_NOTICE_RULES,      /* chains, rules, declarations of sets, counters, flowtables in it */
    ENF_NOTICE_ELEMENTS,   /* elements of a set in it */
    ENF_NOTICE_GENERATION, /* the end of a transaction, whatever it touched */
};

struct enf_notice {
    enum enf_notice_kind kind;
    bool deleted;
    /* ENF_NOTICE_ELEMENTS */
    char set[64];
    const uint8_t *elements; /* a list of attributes, for enf_notice_key */
    size_t elements_len;
    /* ENF_NOTICE_GENERATION */
    uint32_t pid; /* of the thread that asked for it, as the first pid namespace counts */
    char name[ENF_NOTIFY_NAME_LEN];
};

/* False where message is none of nf_tables. */
bool enf_notice_read(const struct enf_message *message, struct enf_notice *out);

/* The next element's key. False at the end. An element without a key that can be read has len 0. */
struct enf_notice_key {
    const uint8_t *data;
    size_t len;
    bool end; /* marks the end of an interval */
};
bool enf_notice_next_key(struct enf_notice *notice, struct enf_notice_key *out);
