/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store as it should be: what is put is there after a restart, transactions, bounds, rows that make no
 * sense. */
#include "tests/unit/store/store_bed.h"

#include <time.h>

static void test_quarantine_comes_back(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine all[4] = {entry("10.0.0.1", 1), entry("2001:db8:0:100::/56", 0),
                                    entry("10.0.0.0/24", 2), entry("10.0.0.1", 9)};
    struct rows rows;

    all[2].net = true;
    all[2].forced = true;
    all[3].level = ENF_LEVEL_FULL;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(enf_store_quarantine_put(bed->store, &all[i]), 0);
    bed_reopen(bed);
    rows = rows_of(bed);
    assert_int_equal(rows.len, 4);
    same_entry(&rows.items[0], &all[2]); /* in order, whole */
    same_entry(&rows.items[1], &all[0]);
    same_entry(&rows.items[2], &all[3]);
    same_entry(&rows.items[3], &all[1]);
    assert_true(rows.items[3].until_ms == ENF_FOREVER);

    all[0].until_ms = NOW + 5 * HOUR; /* replaced, by its key */
    assert_int_equal(enf_store_quarantine_put(bed->store, &all[0]), 0);
    assert_int_equal(enf_store_quarantine_delete(bed->store, &all[3]), 0);
    assert_int_equal(enf_store_quarantine_delete(bed->store, &all[3]), 0);
    rows = rows_of(bed);
    assert_int_equal(rows.len, 3);
    assert_true(rows.items[1].until_ms == NOW + 5 * HOUR);
    assert_int_equal(enf_store_quarantine_clear(bed->store), 0);
    assert_int_equal(rows_of(bed).len, 0);
}

static void test_quarantine_refused(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine bad[7];

    for (size_t i = 0; i < 7; i++)
        bad[i] = entry("10.0.0.1", 1);
    bad[0].subscriber.len = 40;
    bad[1].subscriber.len = 8;
    bad[2].level = ENF_LEVEL_NONE;
    bad[3].until_ms = NOW;
    bad[4].until_ms = ENF_FOREVER - 1; /* no such time */
    memset(bad[5].reason, 'x', sizeof(bad[5].reason));
    bad[6].subscriber.addr.family = ENF_FAMILY_NONE;
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(enf_store_quarantine_put(bed->store, &bad[i]), -EINVAL);
    assert_non_null(strstr(enf_store_message(bed->store), "no quarantine"));
    assert_int_equal(rows_of(bed).len, 0);
}

static int stop(void *ctx, const struct enf_quarantine *q)
{
    (void)ctx;
    (void)q;
    return 77;
}

static void test_walk_stops(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine q = entry("10.0.0.1", 1);

    assert_int_equal(enf_store_quarantine_put(bed->store, &q), 0);
    assert_int_equal(enf_store_quarantine_each(bed->store, stop, NULL, NULL), 77);
    assert_int_equal(enf_store_quarantine_clear(bed->store), 0); /* the walk left nothing open */
}

static void test_transactions(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine a = entry("10.0.0.1", 1);
    struct enf_quarantine bad = entry("10.0.0.1", 1);
    struct enf_store_history line = {.subscriber = a.subscriber, .time_ms = NOW};

    assert_int_equal(enf_store_commit(bed->store), -EINVAL);
    enf_store_rollback(bed->store);
    assert_int_equal(enf_store_begin(bed->store), 0);
    assert_int_equal(enf_store_begin(bed->store), -EALREADY);
    assert_int_equal(enf_store_quarantine_put(bed->store, &a), 0);
    assert_int_equal(enf_store_history_add(bed->store, "quarantined", &line), 0);
    enf_store_rollback(bed->store);
    assert_int_equal(rows_of(bed).len, 0);

    bad.level = ENF_LEVEL_NONE; /* one failure and the whole is nothing */
    assert_int_equal(enf_store_begin(bed->store), 0);
    assert_int_equal(enf_store_quarantine_put(bed->store, &a), 0);
    assert_int_equal(enf_store_quarantine_put(bed->store, &bad), -EINVAL);
    assert_int_equal(enf_store_commit(bed->store), -EINVAL);
    assert_int_equal(rows_of(bed).len, 0);

    assert_int_equal(enf_store_begin(bed->store), 0);
    assert_int_equal(enf_store_quarantine_put(bed->store, &a), 0);
    assert_int_equal(enf_store_commit(bed->store), 0);
    assert_int_equal(enf_store_begin(bed->store), 0);
    assert_int_equal(enf_store_quarantine_clear(bed->store), 0);
    bed_reopen(bed); /* closed in the middle */
    assert_int_equal(rows_of(bed).len, 1);
}

/* A batch costs one wait for the disk, not a thousand. */
static void test_batch(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine q = entry("10.0.0.0", 1);
    struct timespec start;
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &start);
    assert_int_equal(enf_store_begin(bed->store), 0);
    for (unsigned i = 0; i < 1000; i++) {
        q.subscriber.addr.bytes[2] = (uint8_t)(i >> 8);
        q.subscriber.addr.bytes[3] = (uint8_t)i;
        assert_int_equal(enf_store_quarantine_put(bed->store, &q), 0);
    }
    assert_int_equal(enf_store_commit(bed->store), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_message("1000 puts in %ld ms\n",
                  (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000);
    assert_int_equal(rows_of(bed).len, 1000);
}

struct relays {
    struct enf_store_relay items[8];
    size_t len;
};

static int relay_note(void *ctx, const struct enf_store_relay *relay)
{
    struct relays *relays = ctx;

    relays->items[relays->len++] = *relay;
    return 0;
}

static void test_relays(void **state)
{
    struct bed *bed = *state;
    struct enf_store_limits limits = {.relays = 2};
    struct enf_store_relay relay = {.prefix = prefix("192.0.2.10"),
                                    .name = "mx",
                                    .added_ms = NOW,
                                    .actor = "user:root",
                                    .owner = "mail team",
                                    .reason = "the MX",
                                    .expires_ms = NOW + HOUR,
                                    .lapsed = true};
    struct relays relays = {.len = 0};

    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    assert_int_equal(enf_store_relay_put(bed->store, &relay), 0);
    relay.prefix = prefix("2001:db8::/64");
    assert_int_equal(enf_store_relay_put(bed->store, &relay), 0);
    assert_int_equal(enf_store_relay_put(bed->store, &relay), 0); /* again: the same row */
    relay.prefix = prefix("192.0.2.11");
    assert_int_equal(enf_store_relay_put(bed->store, &relay), -EDQUOT);
    assert_int_equal(enf_store_fault(-EDQUOT), ENF_STORE_LIMIT);
    relay.prefix.len = 8;
    assert_int_equal(enf_store_relay_put(bed->store, &relay), -EINVAL);
    bed_reopen(bed);
    assert_int_equal(enf_store_relay_each(bed->store, relay_note, &relays), 0);
    assert_int_equal(relays.len, 2);
    relay.prefix = prefix("192.0.2.10");
    assert_true(enf_prefix_equal(&relays.items[0].prefix, &relay.prefix));
    assert_string_equal(relays.items[0].name, "mx");
    assert_string_equal(relays.items[0].actor, "user:root");
    assert_true(relays.items[0].added_ms == NOW);
    assert_string_equal(relays.items[0].owner, "mail team");
    assert_string_equal(relays.items[0].reason, "the MX");
    assert_true(relays.items[0].expires_ms == NOW + HOUR && relays.items[0].lapsed);
    assert_int_equal(enf_store_relay_delete(bed->store, &relay.prefix), 1);
    assert_int_equal(enf_store_relay_delete(bed->store, &relay.prefix), 0);
}

/* A file of version 1, as released: relays had no owner, no reason and no end. */
static void make_version_1(struct bed *bed, const char *more)
{
    char sql[512];

    enf_store_close(&bed->store);
    snprintf(sql, sizeof(sql),
             "ALTER TABLE relay DROP COLUMN owner; ALTER TABLE relay DROP COLUMN reason;"
             "ALTER TABLE relay DROP COLUMN expires; ALTER TABLE relay DROP COLUMN lapsed;"
             "INSERT INTO relay VALUES(4, x'c000020a', 32, 'mx', 5, 'user:noc'); PRAGMA user_version=1; %s",
             more);
    bed_sql(bed, sql);
}

static void test_upgrade(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine q = entry("10.0.0.1", 1);
    struct relays relays = {.len = 0};

    assert_int_equal(enf_store_quarantine_put(bed->store, &q), 0);
    make_version_1(bed, "");
    for (int again = 0; again < 2; again++) { /* brought up to date once, opened as it is then */
        bed_open(bed);
        relays.len = 0;
        assert_int_equal(enf_store_relay_each(bed->store, relay_note, &relays), 0);
        assert_int_equal(relays.len, 1);
        assert_string_equal(relays.items[0].actor, "user:noc");
        assert_string_equal(relays.items[0].owner, "");
        assert_true(relays.items[0].expires_ms == 0 && !relays.items[0].lapsed);
        assert_int_equal(rows_of(bed).len, 1);
        enf_store_close(&bed->store);
    }
    bed_sql(bed, "CREATE TABLE x(y); DROP TABLE x; PRAGMA user_version=3"); /* newer: not touched */
    bed_refused(bed, -EPROTONOSUPPORT, "version 3, this program knows version 2");
}

/* What cannot be brought up to date stays as it was, byte by byte. */
static void test_upgrade_refused(void **state)
{
    struct bed *bed = *state;
    size_t len, after_len;
    char *bytes, *after;

    make_version_1(bed, "ALTER TABLE relay ADD COLUMN reason TEXT NOT NULL DEFAULT 'mine'");
    bytes = bed_bytes(bed, &len);
    bed_refused(bed, -EBADMSG, "duplicate column");
    after = bed_bytes(bed, &after_len);
    assert_int_equal(len, after_len);
    assert_memory_equal(bytes, after, len);
    free(bytes);
    free(after);
}

static void test_settings(void **state)
{
    struct bed *bed = *state;
    struct enf_store_limits limits = {.settings = 1};
    char value[32] = "before";
    char large[ENF_STORE_VALUE_MAX + 2];
    char tiny[4];

    assert_int_equal(enf_store_setting_get(bed->store, "mode", value, sizeof(value)), 0);
    assert_string_equal(value, "before");
    assert_int_equal(enf_store_setting_set(bed->store, "mode", "observe"), 0);
    bed_reopen(bed);
    assert_int_equal(enf_store_setting_get(bed->store, "mode", value, sizeof(value)), 1);
    assert_string_equal(value, "observe");
    assert_int_equal(enf_store_setting_get(bed->store, "mode", tiny, sizeof(tiny)), 1);
    assert_string_equal(tiny, "obs");
    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    assert_int_equal(enf_store_setting_set(bed->store, "mode", "enforce"), 0);
    assert_int_equal(enf_store_setting_set(bed->store, "other", "x"), -EDQUOT);
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_int_equal(enf_store_setting_set(bed->store, "mode", large), -EINVAL);
    assert_int_equal(enf_store_setting_set(bed->store, "mode", large + 1), 0);
    assert_int_equal(enf_store_setting_set(bed->store, "", "x"), -EINVAL);
    assert_int_equal(enf_store_setting_delete(bed->store, "mode"), 0);
    assert_int_equal(enf_store_setting_delete(bed->store, "mode"), 0);
    assert_int_equal(enf_store_setting_get(bed->store, "mode", value, sizeof(value)), 0);
}

static int audit_note(void *ctx, const struct enf_store_audit *line)
{
    char *buf = ctx;
    size_t at = strlen(buf);

    snprintf(buf + at, 256 - at, "%s %s %s %s;", line->actor, line->method, line->detail, line->outcome);
    return 0;
}

static void test_audit(void **state)
{
    struct bed *bed = *state;
    struct enf_store_limits limits = {.audit_rows = 3};
    struct enf_store_audit line = {
        .time_ms = NOW, .actor = "user:a", .method = "mode.set", .outcome = "done"};
    char text[256] = "";

    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    for (unsigned i = 0; i < 5; i++) {
        char detail[8];

        snprintf(detail, sizeof(detail), "%u", i);
        line.detail = detail;
        assert_int_equal(enf_store_audit_add(bed->store, &line), 0);
    }
    assert_int_equal(enf_store_audit_read(bed->store, 0, 2, audit_note, text), 0);
    assert_string_equal(text, "user:a mode.set 4 done;user:a mode.set 3 done;");
    text[0] = '\0';
    assert_int_equal(enf_store_audit_read(bed->store, 0, 100, audit_note, text), 0);
    assert_string_equal(text, "user:a mode.set 4 done;user:a mode.set 3 done;user:a mode.set 2 done;");
    line.time_ms = NOW + 1000;
    line.detail = "5";
    assert_int_equal(enf_store_audit_add(bed->store, &line), 0);
    text[0] = '\0';
    assert_int_equal(enf_store_audit_read(bed->store, NOW + 1, 100, audit_note, text), 0);
    assert_string_equal(text, "user:a mode.set 5 done;");
    assert_int_equal(enf_store_audit_prune(bed->store, NOW + 1000), 0);
    text[0] = '\0';
    assert_int_equal(enf_store_audit_read(bed->store, 0, 100, audit_note, text), 0);
    assert_string_equal(text, "user:a mode.set 5 done;");
}

/* Rows that somebody else wrote: skipped and counted where they make no sense, mended where only words are
 * bad. */
static void test_hostile_rows(void **state)
{
    struct bed *bed = *state;
    static const char *const rows[] = {
        "4, x'0a000001', 32, 0, 2, 0, 0, 9, 0, 'r', 'a', 't', 'g'",          /* the good one */
        "4, x'0a000002', 32, 0, 2, 0, 0, 9, 0, x'ff41c0af', x'e28', '', ''", /* text replaced below */
        "5, x'0a000001', 32, 0, 2, 0, 0, 9, 0, '', '', '', ''",
        "4, x'0a0000', 24, 0, 2, 0, 0, 9, 0, '', '', '', ''",
        "4, x'', 24, 0, 2, 0, 0, 9, 0, '', '', '', ''",
        "6, x'0a000001', 32, 0, 2, 0, 0, 9, 0, '', '', '', ''",
        "4, x'0a000001', 33, 0, 2, 0, 0, 9, 0, '', '', '', ''",
        "4, x'0a000001', -1, 0, 2, 0, 0, 9, 0, '', '', '', ''",
        "4, x'0a000001', 24, 0, 2, 0, 0, 9, 0, '', '', '', ''",
        "4, x'0a000003', 32, 2, 2, 0, 0, 9, 0, '', '', '', ''",
        "4, x'0a000003', 32, 0, 0, 0, 0, 9, 0, '', '', '', ''",
        "4, x'0a000003', 32, 0, 4, 0, 0, 9, 0, '', '', '', ''",
        "4, x'0a000003', 32, 0, 2, 7, 0, 9, 0, '', '', '', ''",
        "4, x'0a000003', 32, 0, 2, 0, -5, 9, 0, '', '', '', ''",
        "4, x'0a000004', 32, 0, 2, 0, 9, 9, 0, '', '', '', ''",
        "4, x'0a000003', 32, 0, 2, 1, 0, -2, 0, '', '', '', ''",
        "4, x'0a000003', 32, 0, 3, 0, 0, 9, 4294967296, '', '', '', ''",
    };
    struct rows got = {.len = 0};
    size_t skipped = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char sql[256];

        if (i == 1) /* bytes that are no UTF-8, and a text without end */
            snprintf(sql, sizeof(sql),
                     "INSERT INTO quarantine VALUES(4, x'0a000002', 32, 0, 2, 0, 0, 9, 0,"
                     " CAST(x'ff41c0afe282c3a9' AS TEXT), printf('%%.1000c', 'x'), '', '')");
        else
            snprintf(sql, sizeof(sql), "INSERT INTO quarantine VALUES(%s)", rows[i]);
        bed_sql(bed, sql);
    }
    assert_int_equal(enf_store_quarantine_each(bed->store, rows_note, &got, &skipped), 0);
    assert_int_equal(got.len, 2);
    assert_int_equal(skipped, sizeof(rows) / sizeof(rows[0]) - 2);
    assert_true(enf_store_bad_rows(bed->store) == skipped);
    assert_string_equal(got.items[0].group, "g");
    assert_string_equal(got.items[1].reason, "?A????\xc3\xa9");
    assert_int_equal(strlen(got.items[1].actor), ENF_ACTOR_LEN - 1);
}

static void test_faults_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ENF_STORE_FAULT_COUNT; i++)
        assert_non_null(enf_store_fault_name((enum enf_store_fault)i));
    assert_null(enf_store_fault_name((enum enf_store_fault)ENF_STORE_FAULT_COUNT));
    assert_int_equal(enf_store_fault(0), ENF_STORE_OK);
    assert_int_equal(enf_store_fault(-EROFS), ENF_STORE_READ_ONLY);
    assert_int_equal(enf_store_fault(-12345), ENF_STORE_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_quarantine_comes_back),
        T(test_quarantine_refused),
        T(test_walk_stops),
        T(test_transactions),
        T(test_batch),
        T(test_relays),
        T(test_upgrade),
        T(test_upgrade_refused),
        T(test_settings),
        T(test_audit),
        T(test_hostile_rows),
        cmocka_unit_test(test_faults_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
