/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the quarantine table share: a small table, short ways to write entries, and a sink that
 * writes down what it hears. */
#pragma once

#include "enforcer/core/text.h"
#include "enforcer/policy/quarantine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR 3600000ULL
#define NOW  1700000000000ULL

/* Writes what the sink hears, one word group each: "created 192.0.2.1;". */
struct heard {
    char told[4096];
    char elements[4096];
    size_t rows_put;
    size_t rows_deleted;
};

static const char *const CHANGES[ENF_QUARANTINE_CHANGE_COUNT] = {
    "created", "extended", "shortened", "changed", "unchanged", "released", "expired",
};

static inline void note(char *buf, size_t size, const char *word, const struct enf_prefix *prefix,
                        uint64_t until_ms)
{
    char text[ENF_PREFIX_STR_LEN];
    size_t at = strlen(buf);

    if (until_ms == ENF_FOREVER)
        snprintf(buf + at, size - at, "%s %s forever;", word, enf_prefix_str(prefix, text, sizeof(text)));
    else
        snprintf(buf + at, size - at, "%s %s %llu;", word, enf_prefix_str(prefix, text, sizeof(text)),
                 (unsigned long long)(until_ms ? (until_ms - NOW) / HOUR : 0));
}

static inline void on_element(void *ctx, const struct enf_quarantine_element *element)
{
    struct heard *heard = ctx;

    note(heard->elements, sizeof(heard->elements), enf_level_name(element->level), &element->subscriber,
         element->until_ms);
}

static inline void on_row(void *ctx, bool present, const struct enf_quarantine *entry)
{
    struct heard *heard = ctx;

    (void)entry;
    *(present ? &heard->rows_put : &heard->rows_deleted) += 1;
}

static inline void on_told(void *ctx, enum enf_quarantine_change change, const struct enf_quarantine *entry,
                           const struct enf_quarantine *previous)
{
    struct heard *heard = ctx;

    assert_int_equal(previous == NULL, change == ENF_QUARANTINE_CREATED || change == ENF_QUARANTINE_EXPIRED);
    note(heard->told, sizeof(heard->told), CHANGES[change], &entry->subscriber, entry->until_ms);
}

struct bed {
    struct enf_quarantine_table *table;
    struct heard heard;
    struct enf_quarantine_sink sink;
};

static inline int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->sink = (struct enf_quarantine_sink){
        .ctx = &bed->heard, .element = on_element, .row = on_row, .told = on_told};
    assert_int_equal(enf_quarantine_new(16, 42, &bed->table), 0);
    *state = bed;
    return 0;
}

static inline int teardown(void **state)
{
    struct bed *bed = *state;

    enf_quarantine_free(&bed->table);
    assert_null(bed->table);
    enf_quarantine_free(&bed->table);
    free(bed);
    return 0;
}

static inline struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out;

    assert_int_equal(enf_prefix_parse(text, &out), 0);
    return out;
}

/* hours 0: without end. A text with a slash for IPv4 is a net. */
static inline struct enf_quarantine entry(const char *text, enum enf_level level, unsigned hours)
{
    struct enf_quarantine q = {
        .subscriber = prefix(text),
        .level = level,
        .since_ms = NOW,
        .until_ms = hours ? NOW + hours * HOUR : ENF_FOREVER,
        .reason = "because",
        .actor = "detector",
        .group = "residential",
    };

    q.net = q.subscriber.addr.family == ENF_FAMILY_V4 && strchr(text, '/');
    return q;
}

static inline int add(struct bed *bed, struct enf_quarantine q, enum enf_quarantine_how how)
{
    return enf_quarantine_add(bed->table, &q, 1, how, &bed->sink);
}

static inline void forget(struct bed *bed)
{
    memset(&bed->heard, 0, sizeof(bed->heard));
    bed->sink.nets4_changed = false;
    bed->sink.nets6_changed = false;
}

static inline int note_left(void *ctx, const struct enf_quarantine *q)
{
    char *buf = ctx;
    char text[ENF_PREFIX_STR_LEN];
    size_t at = strlen(buf);

    snprintf(buf + at, 4096 - at, "%s %llu;", enf_prefix_str(&q->subscriber, text, sizeof(text)),
             (unsigned long long)((q->until_ms - NOW) / HOUR));
    return 0;
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
