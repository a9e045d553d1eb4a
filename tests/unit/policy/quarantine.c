/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The quarantine table by example: additions, the cap, flattened nets, many entries. Its algebra is tested
 * against a model in quarantine_model.c. */
#include "tests/unit/policy/quarantine_bed.h"

/* --- additions ---------------------------------------------------------------------------------------------
 */

struct meet_row {
    const char *name;
    enum enf_level first_level;
    unsigned first_hours;
    enum enf_quarantine_how how;
    enum enf_level level;
    unsigned hours;
    const char *told;
    const char *elements;
    size_t count;
};

static const struct meet_row MEETS[] = {
    {"shorter, automatic", ENF_LEVEL_SMTP, 6, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 5,
     "unchanged 192.0.2.1 6;", "", 1},
    {"same, automatic", ENF_LEVEL_SMTP, 6, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 6, "unchanged 192.0.2.1 6;",
     "", 1},
    {"longer, automatic", ENF_LEVEL_SMTP, 6, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 7,
     "extended 192.0.2.1 7;", "smtp 192.0.2.1 7;", 1},
    {"forever, automatic", ENF_LEVEL_SMTP, 6, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 0,
     "extended 192.0.2.1 forever;", "smtp 192.0.2.1 forever;", 1},
    {"after forever, automatic", ENF_LEVEL_SMTP, 0, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 7,
     "unchanged 192.0.2.1 forever;", "", 1},
    {"weaker and longer keeps both", ENF_LEVEL_FULL, 1, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 7,
     "extended 192.0.2.1 7;", "smtp 192.0.2.1 7;", 2},
    {"weaker and shorter", ENF_LEVEL_FULL, 6, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 1,
     "unchanged 192.0.2.1 6;", "", 1},
    {"stronger and shorter keeps both", ENF_LEVEL_THROTTLE, 6, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 1,
     "extended 192.0.2.1 1;", "smtp 192.0.2.1 1;", 2},
    {"stronger and longer", ENF_LEVEL_THROTTLE, 6, ENF_QUARANTINE_EXTEND, ENF_LEVEL_SMTP, 7,
     "extended 192.0.2.1 7;", "throttle 192.0.2.1 0;smtp 192.0.2.1 7;", 1},
    {"shorter, by hand", ENF_LEVEL_SMTP, 6, ENF_QUARANTINE_SET, ENF_LEVEL_SMTP, 5, "shortened 192.0.2.1 5;",
     "smtp 192.0.2.1 5;", 1},
    {"same, by hand", ENF_LEVEL_SMTP, 6, ENF_QUARANTINE_SET, ENF_LEVEL_SMTP, 6, "unchanged 192.0.2.1 6;", "",
     1},
    {"longer, by hand", ENF_LEVEL_SMTP, 6, ENF_QUARANTINE_SET, ENF_LEVEL_SMTP, 7, "extended 192.0.2.1 7;",
     "smtp 192.0.2.1 7;", 1},
    {"weaker, by hand", ENF_LEVEL_FULL, 6, ENF_QUARANTINE_SET, ENF_LEVEL_SMTP, 6, "changed 192.0.2.1 6;",
     "smtp 192.0.2.1 6;full 192.0.2.1 0;", 1},
};

static void test_meet(void **state)
{
    struct bed *bed = *state;
    struct enf_prefix host = prefix("192.0.2.1");
    size_t released;

    for (size_t i = 0; i < sizeof(MEETS) / sizeof(MEETS[0]); i++) {
        const struct meet_row *row = &MEETS[i];

        assert_int_equal(add(bed, entry("192.0.2.1", row->first_level, row->first_hours), row->how), 0);
        forget(bed);
        assert_int_equal(add(bed, entry("192.0.2.1", row->level, row->hours), row->how), 0);
        if (strcmp(bed->heard.told, row->told) != 0 || strcmp(bed->heard.elements, row->elements) != 0 ||
            enf_quarantine_count(bed->table) != row->count)
            fail_msg("%s: told \"%s\", elements \"%s\", %zu entries", row->name, bed->heard.told,
                     bed->heard.elements, enf_quarantine_count(bed->table));
        assert_false(bed->sink.nets4_changed);
        assert_int_equal(enf_quarantine_release(bed->table, &host, NULL, &released), 0);
        assert_int_equal(released, row->count);
    }
}

static void test_extension_keeps_what_people_wrote(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine first = entry("192.0.2.1", ENF_LEVEL_SMTP, 1);
    struct enf_quarantine second = entry("192.0.2.1", ENF_LEVEL_SMTP, 6);
    struct enf_quarantine found;

    snprintf(first.ticket, sizeof(first.ticket), "T-17");
    snprintf(second.reason, sizeof(second.reason), "again");
    second.since_ms = NOW + 60000;
    second.convictions = 2;
    assert_int_equal(add(bed, first, ENF_QUARANTINE_SET), 0);
    assert_int_equal(add(bed, second, ENF_QUARANTINE_EXTEND), 0);
    assert_true(enf_quarantine_find(bed->table, &first.subscriber, &found));
    assert_string_equal(found.ticket, "T-17");
    assert_string_equal(found.reason, "again");
    assert_int_equal(found.since_ms, NOW);
    assert_int_equal(found.convictions, 2);
    assert_string_equal(found.group, "residential");
}

static void test_refused(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine q = entry("192.0.2.1", ENF_LEVEL_SMTP, 1);
    struct enf_quarantine bad[10];

    for (size_t i = 0; i < 10; i++)
        bad[i] = q;
    bad[0].subscriber.addr.family = ENF_FAMILY_NONE;
    bad[1].subscriber.len = 33;
    bad[2].subscriber.len = 24; /* bits beyond the length */
    bad[3].subscriber.addr.bytes[7] = 1;
    bad[4].level = ENF_LEVEL_NONE;
    bad[5].level = (enum enf_level)ENF_LEVEL_COUNT;
    bad[6].until_ms = bad[6].since_ms;
    memset(bad[7].reason, 'x', sizeof(bad[7].reason));
    memset(bad[8].group, 'x', sizeof(bad[8].group));
    bad[9].until_ms = (1ULL << 48) - 1; /* beyond the latest end, but not for ever */
    for (size_t i = 0; i < 10; i++) {
        struct enf_quarantine both[2] = {q, bad[i]};

        assert_int_equal(enf_quarantine_add(bed->table, both, 2, ENF_QUARANTINE_SET, &bed->sink), -EINVAL);
    }
    assert_int_equal(enf_quarantine_count(bed->table), 0);
    assert_string_equal(bed->heard.told, "");
    assert_int_equal(enf_quarantine_new(0, 1, &bed->table), -EINVAL);
    assert_int_equal(enf_quarantine_new(ENF_QUARANTINE_ENTRIES_LIMIT + 1, 1, &bed->table), -EINVAL);
    assert_int_equal(enf_quarantine_set_max(bed->table, 0), -EINVAL);
}

/* Ends are kept in 48 bits: each comes back as it was given. */
static void test_ends_come_back(void **state)
{
    static const uint64_t ends[] = {NOW + 1, NOW + 0xffff, (1ULL << 32) - 1 + NOW, (1ULL << 48) - 2,
                                    ENF_FOREVER};
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct enf_quarantine q = entry("192.0.2.1", ENF_LEVEL_SMTP, 1), found;
        q.since_ms = i;
        q.until_ms = ends[i];
        enf_quarantine_release(bed->table, &q.subscriber, NULL, &(size_t){0});
        assert_int_equal(enf_quarantine_add(bed->table, &q, 1, ENF_QUARANTINE_SET, NULL), 0);
        assert_true(enf_quarantine_find(bed->table, &q.subscriber, &found));
        assert_int_equal(found.since_ms, i);
        assert_int_equal(found.until_ms, ends[i]);
        assert_int_equal(enf_quarantine_next_expiry(bed->table), ends[i]);
    }
}

static void test_cap_is_all_or_nothing(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine several[3] = {
        entry("192.0.2.1", ENF_LEVEL_SMTP, 2),
        entry("198.51.100.1", ENF_LEVEL_SMTP, 1),
        entry("198.51.100.2", ENF_LEVEL_SMTP, 1),
    };

    assert_int_equal(enf_quarantine_set_max(bed->table, 2), 0);
    assert_int_equal(add(bed, entry("192.0.2.1", ENF_LEVEL_SMTP, 1), ENF_QUARANTINE_SET), 0);
    forget(bed);
    assert_int_equal(enf_quarantine_add(bed->table, several, 3, ENF_QUARANTINE_SET, &bed->sink), -ENOSPC);
    assert_string_equal(bed->heard.told, "");
    assert_int_equal(enf_quarantine_count(bed->table), 1);
    assert_int_equal(enf_quarantine_add(bed->table, several, 2, ENF_QUARANTINE_SET, &bed->sink), 0);
    assert_string_equal(bed->heard.told, "extended 192.0.2.1 2;created 198.51.100.1 1;");
    /* full: what is there may still be changed, by hand or not */
    assert_int_equal(add(bed, entry("192.0.2.1", ENF_LEVEL_FULL, 1), ENF_QUARANTINE_SET), 0);
    assert_int_equal(add(bed, entry("198.51.100.1", ENF_LEVEL_SMTP, 9), ENF_QUARANTINE_EXTEND), 0);
    assert_int_equal(add(bed, entry("192.0.2.2", ENF_LEVEL_SMTP, 9), ENF_QUARANTINE_EXTEND), -ENOSPC);
}

/* What the garden asks: how many are at a level, whatever becomes of them. */
static void test_count_of_levels(void **state)
{
    struct bed *bed = *state;
    struct enf_prefix one = entry("192.0.2.1", ENF_LEVEL_FULL, 1).subscriber;
    size_t released;

    assert_int_equal(enf_quarantine_count_level(bed->table, ENF_LEVEL_FULL), 0);
    assert_int_equal(add(bed, entry("192.0.2.1", ENF_LEVEL_FULL, 1), ENF_QUARANTINE_SET), 0);
    assert_int_equal(add(bed, entry("192.0.2.1", ENF_LEVEL_THROTTLE, 9), ENF_QUARANTINE_EXTEND), 0);
    assert_int_equal(add(bed, entry("198.51.100.1", ENF_LEVEL_FULL, 9), ENF_QUARANTINE_EXTEND), 0);
    assert_int_equal(enf_quarantine_count_level(bed->table, ENF_LEVEL_FULL), 2);
    assert_int_equal(enf_quarantine_count_level(bed->table, ENF_LEVEL_THROTTLE), 1);
    struct enf_quarantine_ends ends = enf_quarantine_ends(bed->table, &one);
    assert_true(ends.until_ms[ENF_LEVEL_FULL] == NOW + HOUR &&
                ends.until_ms[ENF_LEVEL_THROTTLE] > NOW + HOUR);
    enf_quarantine_expire(bed->table, NOW + 2 * HOUR, 0, NULL);
    assert_int_equal(enf_quarantine_count_level(bed->table, ENF_LEVEL_FULL), 1);
    assert_int_equal(enf_quarantine_release(bed->table, &one, NULL, &released), 0);
    assert_int_equal(enf_quarantine_count_level(bed->table, ENF_LEVEL_THROTTLE), 0);
    assert_int_equal(add(bed, entry("198.51.100.1", ENF_LEVEL_SMTP, 9), ENF_QUARANTINE_SET), 0);
    assert_int_equal(enf_quarantine_count_level(bed->table, ENF_LEVEL_FULL), 0);
    assert_int_equal(enf_quarantine_count_level(bed->table, ENF_LEVEL_COUNT), 0);
    assert_int_equal(enf_quarantine_count_level_nets(bed->table, ENF_LEVEL_SMTP), 0);
    struct enf_quarantine net = entry("203.0.113.0/24", ENF_LEVEL_SMTP, 9);
    net.net = true;
    assert_int_equal(add(bed, net, ENF_QUARANTINE_SET), 0);
    assert_int_equal(enf_quarantine_count_level_nets(bed->table, ENF_LEVEL_SMTP), 1);
    assert_int_equal(enf_quarantine_count_level(bed->table, ENF_LEVEL_SMTP), 2);
}

static void flat(struct bed *bed, enum enf_family family, enum enf_level at_least, char buf[4096])
{
    struct enf_quarantine_ranges ranges;

    buf[0] = '\0';
    assert_int_equal(enf_quarantine_nets_flatten(bed->table, family, at_least, ENF_LEVEL_FULL, &ranges), 0);
    for (size_t i = 0; i < ranges.len; i++) {
        char first[ENF_PREFIX_STR_LEN];
        char last[ENF_PREFIX_STR_LEN];
        size_t at = strlen(buf);

        snprintf(buf + at, 4096 - at, "%s-%s %s %llu;",
                 enf_addr_str(&ranges.items[i].range.first, first, sizeof(first)),
                 enf_addr_str(&ranges.items[i].range.last, last, sizeof(last)),
                 enf_level_name(ranges.items[i].level),
                 (unsigned long long)((ranges.items[i].until_ms - NOW) / HOUR));
    }
    enf_quarantine_ranges_clear(&ranges);
    assert_null(ranges.items);
}

static void test_flatten(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine all = entry("::/0", ENF_LEVEL_SMTP, 1);
    char buf[4096];

    flat(bed, ENF_FAMILY_V4, ENF_LEVEL_NONE, buf);
    assert_string_equal(buf, "");
    add(bed, entry("192.0.2.0/24", ENF_LEVEL_FULL, 1), ENF_QUARANTINE_SET);
    add(bed, entry("192.0.2.128/25", ENF_LEVEL_SMTP, 10), ENF_QUARANTINE_SET);
    add(bed, entry("192.0.3.0/24", ENF_LEVEL_FULL, 1), ENF_QUARANTINE_SET);
    add(bed, entry("255.255.255.255/32", ENF_LEVEL_SMTP, 1), ENF_QUARANTINE_SET);
    add(bed, entry("255.255.255.254/31", ENF_LEVEL_SMTP, 2), ENF_QUARANTINE_SET);
    add(bed, entry("192.0.2.7", ENF_LEVEL_SMTP, 99), ENF_QUARANTINE_SET); /* a single is none of it */
    all.net = true;
    add(bed, all, ENF_QUARANTINE_SET);
    flat(bed, ENF_FAMILY_V4, ENF_LEVEL_NONE, buf);
    assert_string_equal(buf, "192.0.2.0-192.0.2.127 full 1;192.0.2.128-192.0.2.255 full 10;"
                             "192.0.3.0-192.0.3.255 full 1;255.255.255.254-255.255.255.255 smtp 2;");
    flat(bed, ENF_FAMILY_V4, ENF_LEVEL_FULL, buf); /* level full for one hour only, as was asked */
    assert_string_equal(buf, "192.0.2.0-192.0.3.255 full 1;");
    flat(bed, ENF_FAMILY_V6, ENF_LEVEL_NONE, buf);
    assert_string_equal(buf, "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff smtp 1;");
}

/* Order of growth: a hundred thousand entries in and out in a moment, whatever their order. */
static void test_many(void **state)
{
    struct enf_quarantine_table *table;
    struct enf_quarantine q = entry("10.0.0.0", ENF_LEVEL_SMTP, 1);
    struct enf_prefix all = prefix("0.0.0.0/0");
    size_t released = 0;

    (void)state;
    assert_int_equal(enf_quarantine_new(100000, 7, &table), 0);
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t x = i * 2654435761u;

        q.subscriber.addr.bytes[0] = (uint8_t)(x >> 24);
        q.subscriber.addr.bytes[1] = (uint8_t)(x >> 16);
        q.subscriber.addr.bytes[2] = (uint8_t)(x >> 8);
        q.subscriber.addr.bytes[3] = (uint8_t)x;
        q.until_ms = NOW + 1 + i % 1000;
        assert_int_equal(enf_quarantine_add(table, &q, 1, ENF_QUARANTINE_EXTEND, NULL), 0);
    }
    q.subscriber = prefix("10.1.2.3");
    assert_int_equal(enf_quarantine_add(table, &q, 1, ENF_QUARANTINE_EXTEND, NULL), -ENOSPC);
    assert_int_equal(enf_quarantine_expire(table, NOW + 500, 0, NULL), 50000);
    assert_int_equal(enf_quarantine_release(table, &all, NULL, &released), 0);
    assert_int_equal(released, 50000);
    assert_int_equal(enf_quarantine_count(table), 0);
    enf_quarantine_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_meet),
        T(test_extension_keeps_what_people_wrote),
        T(test_refused),
        T(test_ends_come_back),
        T(test_cap_is_all_or_nothing),
        T(test_flatten),
        T(test_count_of_levels),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
