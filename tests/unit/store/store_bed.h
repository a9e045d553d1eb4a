/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the store share: a directory of its own, and ways to look at and damage the file. */
#pragma once

#include "enforcer/core/text.h"
#include "enforcer/store/history.h"
#include "enforcer/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW  1772366400000ULL
#define HOUR 3600000ULL

struct bed {
    char dir[64];
    char file[96];
    struct enf_store *store;
};

static inline void bed_open(struct bed *bed)
{
    char message[ENF_STORE_MESSAGE_LEN] = "";

    if (enf_store_open(bed->dir, &bed->store, message, sizeof(message)) != 0)
        fail_msg("%s", message);
}

static inline void bed_reopen(struct bed *bed)
{
    enf_store_close(&bed->store);
    assert_null(bed->store);
    bed_open(bed);
}

/* Expects an opening to fail so, and its message to hold the words. */
static inline void bed_refused(struct bed *bed, int err, const char *words)
{
    struct enf_store *none = NULL;
    char message[ENF_STORE_MESSAGE_LEN] = "";
    int got = enf_store_open(bed->dir, &none, message, sizeof(message));

    if (got != err || !strstr(message, words) || !strstr(message, bed->file))
        fail_msg("%s (%d): %s", enf_store_fault_name(enf_store_fault(got)), got, message);
    assert_null(none);
}

static inline int bed_make(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/enf-store-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->file, sizeof(bed->file), "%s/" ENF_STORE_FILE, bed->dir);
    *state = bed;
    return 0;
}

static inline int bed_setup(void **state)
{
    bed_make(state);
    bed_open(*state);
    return 0;
}

static inline int bed_teardown(void **state)
{
    struct bed *bed = *state;
    char command[128];

    enf_store_close(&bed->store);
    snprintf(command, sizeof(command), "rm -rf '%s'", bed->dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): a path of our own making
    free(bed);
    return 0;
}

/* Changes the file behind the store's back. */
static inline void bed_sql(struct bed *bed, const char *sql)
{
    sqlite3 *db = NULL;
    char *words = NULL;

    assert_int_equal(sqlite3_open(bed->file, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK)
        fail_msg("%s: %s", sql, words);
    sqlite3_close(db);
}

static inline void bed_write(const char *path, const void *bytes, size_t len, off_t at)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

/* The whole file; the caller's to free. */
static inline char *bed_bytes(const struct bed *bed, size_t *out_len)
{
    struct stat st;
    int fd = open(bed->file, O_RDONLY | O_CLOEXEC);
    char *bytes;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    *out_len = (size_t)st.st_size;
    return bytes;
}

static inline struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out;

    if (enf_prefix_parse(text, &out) != 0)
        fail_msg("%s", text);
    return out;
}

static inline struct enf_quarantine entry(const char *text, uint64_t hours)
{
    struct enf_quarantine q = {
        .subscriber = prefix(text),
        .level = ENF_LEVEL_SMTP,
        .since_ms = NOW,
        .until_ms = hours ? NOW + hours * HOUR : ENF_FOREVER,
        .convictions = 3,
        .reason = "more than 20 connections in 60s",
        .actor = "detector",
        .ticket = "T-1",
        .group = "residential",
    };

    return q;
}

static inline void same_entry(const struct enf_quarantine *a, const struct enf_quarantine *b)
{
    assert_true(enf_prefix_equal(&a->subscriber, &b->subscriber));
    assert_int_equal(a->net, b->net);
    assert_int_equal(a->forced, b->forced);
    assert_int_equal(a->level, b->level);
    assert_true(a->since_ms == b->since_ms);
    assert_true(a->until_ms == b->until_ms);
    assert_int_equal(a->convictions, b->convictions);
    assert_string_equal(a->reason, b->reason);
    assert_string_equal(a->actor, b->actor);
    assert_string_equal(a->ticket, b->ticket);
    assert_string_equal(a->group, b->group);
}

/* What a walk over the quarantine gave. */
struct rows {
    struct enf_quarantine items[32];
    size_t len;
};

static inline int rows_note(void *ctx, const struct enf_quarantine *q)
{
    struct rows *rows = ctx;

    if (rows->len < 32)
        rows->items[rows->len] = *q;
    rows->len++;
    return 0;
}

static inline struct rows rows_of(struct bed *bed)
{
    struct rows rows = {.len = 0};

    assert_int_equal(enf_store_quarantine_each(bed->store, rows_note, &rows, NULL), 0);
    return rows;
}

#define T(fn)    cmocka_unit_test_setup_teardown(fn, bed_setup, bed_teardown)
#define BARE(fn) cmocka_unit_test_setup_teardown(fn, bed_make, bed_teardown)
