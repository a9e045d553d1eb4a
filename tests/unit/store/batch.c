/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions that wait for the disk together: each can be taken back alone, all are there or none. */
#include "tests/unit/store/store_bed.h"

static uint64_t commits(struct bed *bed)
{
    struct enf_store_counts counts;

    enf_store_count(bed->store, &counts);
    return counts.commits;
}

static uint64_t changes(struct bed *bed)
{
    struct enf_store_counts counts;

    enf_store_count(bed->store, &counts);
    return counts.changes;
}

static int put(struct bed *bed, const char *address)
{
    struct enf_quarantine q = entry(address, 1);
    int err = enf_store_begin(bed->store);

    if (err == 0)
        enf_store_quarantine_put(bed->store, &q);
    return err ? err : enf_store_commit(bed->store);
}

/* A copy of the files as they are now: what a crash would leave. */
static size_t on_disk(struct bed *bed)
{
    struct bed copy = {.store = NULL};
    char command[256];

    snprintf(copy.dir, sizeof(copy.dir), "%s/copy", bed->dir);
    assert_int_equal(mkdir(copy.dir, 0700), 0);
    snprintf(command, sizeof(command), "cp %s/state.db* %s && rm -f %s/*-shm", bed->dir, copy.dir, copy.dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own folder */
    bed_open(&copy);
    size_t len = rows_of(&copy).len;
    enf_store_close(&copy.store);
    snprintf(command, sizeof(command), "rm -r %s", copy.dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
    return len;
}

static void test_one_wait(void **state)
{
    struct bed *bed = *state;
    uint64_t before = commits(bed);
    char address[32];

    for (int i = 0; i < 10; i++) {
        snprintf(address, sizeof(address), "10.0.0.%d", i);
        assert_int_equal(put(bed, address), 0);
    }
    assert_int_equal(commits(bed), before + 10);
    assert_int_equal(changes(bed), 10);
    assert_int_equal(enf_store_batch_begin(bed->store), 0);
    for (int i = 0; i < 10; i++) {
        snprintf(address, sizeof(address), "10.0.1.%d", i);
        assert_int_equal(put(bed, address), 0);
    }
    assert_int_equal(changes(bed), 10); /* not yet */
    assert_int_equal(on_disk(bed), 10);
    assert_int_equal(enf_store_batch_end(bed->store), 0);
    assert_int_equal(on_disk(bed), 20);
    assert_int_equal(commits(bed), before + 11);
    assert_int_equal(changes(bed), 20);
    assert_int_equal(enf_store_batch_begin(bed->store), 0);
    assert_int_equal(enf_store_batch_end(bed->store), 0);
    assert_int_equal(commits(bed), before + 11); /* nothing was written */
    assert_int_equal(put(bed, "10.0.2.1"), 0);
    assert_int_equal(commits(bed), before + 12);
}

static void test_order_of_calls(void **state)
{
    struct bed *bed = *state;

    assert_int_equal(enf_store_batch_end(bed->store), -EINVAL);
    assert_int_equal(enf_store_begin(bed->store), 0);
    assert_int_equal(enf_store_batch_begin(bed->store), -EALREADY);
    enf_store_rollback(bed->store);
    assert_int_equal(enf_store_batch_begin(bed->store), 0);
    assert_int_equal(enf_store_batch_begin(bed->store), -EALREADY);
    assert_int_equal(put(bed, "10.0.0.1"), 0);
    bed_reopen(bed); /* closed in the middle */
    assert_int_equal(rows_of(bed).len, 0);
}

/* One that fails, or is taken back, takes nothing else with it. */
static void test_one_is_taken_back(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine bad = entry("10.0.0.2", 1), back = entry("10.0.0.3", 1);
    struct enf_store_history line = {.subscriber = bad.subscriber, .time_ms = NOW};

    bad.level = ENF_LEVEL_NONE;
    assert_int_equal(enf_store_batch_begin(bed->store), 0);
    assert_int_equal(put(bed, "10.0.0.1"), 0);
    assert_int_equal(enf_store_begin(bed->store), 0);
    assert_int_equal(enf_store_quarantine_put(bed->store, &back), 0);
    assert_int_equal(enf_store_quarantine_put(bed->store, &bad), -EINVAL);
    assert_int_equal(enf_store_commit(bed->store), -EINVAL);
    assert_int_equal(enf_store_begin(bed->store), 0);
    assert_int_equal(enf_store_quarantine_put(bed->store, &back), 0);
    assert_int_equal(enf_store_history_add(bed->store, "quarantined", &line), 0);
    enf_store_rollback(bed->store);
    assert_int_equal(enf_store_history_add(bed->store, "convicted", &line), 0); /* on its own */
    assert_int_equal(put(bed, "10.0.0.4"), 0);
    assert_int_equal(rows_of(bed).len, 2); /* seen from within */
    assert_int_equal(enf_store_begin(bed->store), 0);
    assert_int_equal(enf_store_quarantine_put(bed->store, &back), 0); /* never committed */
    assert_int_equal(enf_store_batch_end(bed->store), 0);
    bed_reopen(bed);
    struct rows rows = rows_of(bed);
    assert_int_equal(rows.len, 2);
    assert_true(enf_prefix_is_host(&rows.items[0].subscriber));
    assert_int_equal(rows.items[1].subscriber.addr.bytes[3], 4);
}

/* The disk is full for the second of three: all are refused, and the store goes on when there is room. */
static void test_full(void **state)
{
    struct bed *bed = *state;
    struct enf_store_limits tight = {.file_bytes = 1}, none = {0};
    int err = 0, n = 0;

    assert_int_equal(put(bed, "10.0.0.1"), 0);
    assert_int_equal(enf_store_set_limits(bed->store, &tight), 0);
    assert_int_equal(enf_store_batch_begin(bed->store), 0);
    for (n = 0; err == 0 && n < 250; n++) {
        char address[32];
        snprintf(address, sizeof(address), "10.0.1.%d", n);
        err = put(bed, address);
    }
    assert_true(n > 1);
    assert_int_equal(err, -ENOSPC);
    int end = enf_store_batch_end(bed->store);
    size_t left = rows_of(bed).len;
    /* SQLite may have taken back all, or that one alone. */
    assert_true(end < 0 ? left == 1 : left == (size_t)n);
    assert_int_equal(enf_store_set_limits(bed->store, &none), 0);
    assert_int_equal(enf_store_batch_begin(bed->store), 0);
    assert_int_equal(put(bed, "10.0.2.1"), 0);
    assert_int_equal(enf_store_batch_end(bed->store), 0);
    assert_int_equal(rows_of(bed).len, left + 1);
    assert_int_equal(enf_store_verify(bed->store), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_one_wait),
        T(test_order_of_calls),
        T(test_one_is_taken_back),
        T(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
