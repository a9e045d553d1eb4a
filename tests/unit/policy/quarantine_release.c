/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The quarantine table by example: release and what it splits, expiry, pages. */
#include "tests/unit/policy/quarantine_bed.h"

/* --- release -----------------------------------------------------------------------------------------------
 */

struct release_row {
    const char *name;
    const char *entries[4]; /* each for 1, 2, 3 … hours */
    const char *release;
    const char *told;
    const char *left; /* covering or by page */
};

static const struct release_row RELEASES[] = {
    {"a single", {"192.0.2.1"}, "192.0.2.1", "released 192.0.2.1 1;", ""},
    {"nobody", {"192.0.2.1"}, "192.0.2.2", "", "192.0.2.1 1;"},
    {"all by a covering prefix",
     {"192.0.2.1", "192.0.2.0/25", "198.51.100.0/24"},
     "192.0.2.0/24",
     "released 192.0.2.1 1;released 192.0.2.0/25 2;",
     "198.51.100.0/24 3;"},
    {"a host out of a net",
     {"192.0.2.0/30"},
     "192.0.2.1",
     "released 192.0.2.1 1;",
     "192.0.2.0 1;192.0.2.2/31 1;"},
    {"a half out of a net", {"192.0.2.0/30"}, "192.0.2.2/31", "released 192.0.2.2/31 1;", "192.0.2.0/31 1;"},
    {"nested nets keep their ends",
     {"192.0.2.0/29", "192.0.2.0/30"},
     "192.0.2.0/31",
     "released 192.0.2.0/31 1;released 192.0.2.0/31 2;",
     "192.0.2.2/31 2;192.0.2.4/30 1;"},
    {"single and net",
     {"192.0.2.1", "192.0.2.0/31"},
     "192.0.2.1",
     "released 192.0.2.1 2;released 192.0.2.1 1;",
     "192.0.2.0 2;"},
    {"everything",
     {"192.0.2.1", "0.0.0.0/0", "2001:db8::/64"},
     "0.0.0.0/0",
     "released 192.0.2.1 1;released 0.0.0.0/0 2;",
     "2001:db8::/64 3;"},
    {"the other family", {"0.0.0.0/0"}, "::/0", "", "0.0.0.0/0 1;"},
    {"a part of a subscriber",
     {"2001:db8:0:4::/62"},
     "2001:db8:0:5::/64",
     "released 2001:db8:0:5::/64 1;",
     "2001:db8:0:4::/64 1;2001:db8:0:6::/63 1;"},
};

static void test_release(void **state)
{
    struct bed *bed = *state;
    struct enf_prefix all4 = prefix("0.0.0.0/0");
    struct enf_prefix all6 = prefix("::/0");

    for (size_t i = 0; i < sizeof(RELEASES) / sizeof(RELEASES[0]); i++) {
        const struct release_row *row = &RELEASES[i];
        struct enf_prefix part = prefix(row->release);
        char left[4096] = "";
        size_t released = 99;
        bool more = true;

        for (unsigned e = 0; e < 4 && row->entries[e]; e++)
            assert_int_equal(add(bed, entry(row->entries[e], ENF_LEVEL_SMTP, e + 1), ENF_QUARANTINE_SET), 0);
        forget(bed);
        assert_int_equal(enf_quarantine_release(bed->table, &part, &bed->sink, &released), 0);
        assert_int_equal(enf_quarantine_list(bed->table, NULL, 100, note_left, left, &more), 0);
        assert_false(more);
        if (strcmp(bed->heard.told, row->told) != 0 || strcmp(left, row->left) != 0)
            fail_msg("%s: told \"%s\", left \"%s\"", row->name, bed->heard.told, left);
        assert_int_equal(released == 0, row->told[0] == '\0');
        enf_quarantine_release(bed->table, &all4, NULL, &released);
        enf_quarantine_release(bed->table, &all6, NULL, &released);
    }
    all4.len = 40;
    assert_int_equal(enf_quarantine_release(bed->table, &all4, NULL, &(size_t){0}), -EINVAL);
}

/* In steps: what covers the prefix is split at once, what is inside goes by the limit. */
static void test_release_in_steps(void **state)
{
    static const char *const entries[] = {"192.0.2.0/23", "192.0.2.1", "192.0.2.2", "192.0.2.3",
                                          "192.0.2.64/26"};
    struct bed *bed = *state;
    struct enf_prefix part = prefix("192.0.2.0/24"), all = prefix("0.0.0.0/0");
    size_t released = 0;
    bool more = false;

    for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        assert_int_equal(add(bed, entry(entries[i], ENF_LEVEL_SMTP, 1), ENF_QUARANTINE_SET), 0);
    forget(bed);
    assert_int_equal(enf_quarantine_release_some(bed->table, &part, 2, &bed->sink, &released, &more), 0);
    assert_int_equal(released, 3);
    assert_true(more);
    assert_string_equal(bed->heard.told,
                        "released 192.0.2.0/24 1;released 192.0.2.1 1;released 192.0.2.2 1;");
    assert_int_equal(enf_quarantine_release_some(bed->table, &part, 2, &bed->sink, &released, &more), 0);
    assert_int_equal(released, 2);
    assert_false(more);
    assert_int_equal(enf_quarantine_release_some(bed->table, &part, 0, &bed->sink, &released, &more), 0);
    assert_int_equal(released, 0);
    assert_false(more);
    assert_int_equal(enf_quarantine_count(bed->table), 1); /* the other half of the /23 */
    assert_int_equal(enf_quarantine_release(bed->table, &all, NULL, &released), 0);
}

/* A full table must not keep anybody in quarantine; the reserve for the pieces has an end all the same. */
static void test_release_when_full(void **state)
{
    struct bed *bed = *state;
    struct enf_prefix host = prefix("2001:db8::1");
    struct enf_quarantine net = entry("::/0", ENF_LEVEL_SMTP, 1);
    size_t released = 0;
    int err = 0;

    net.net = true;
    assert_int_equal(enf_quarantine_set_max(bed->table, 1), 0);
    assert_int_equal(add(bed, net, ENF_QUARANTINE_SET), 0);
    assert_int_equal(enf_quarantine_release(bed->table, &host, NULL, &released), 0);
    assert_int_equal(enf_quarantine_count(bed->table), 128);
    assert_int_equal(add(bed, entry("192.0.2.1", ENF_LEVEL_SMTP, 1), ENF_QUARANTINE_SET), -ENOSPC);
    for (unsigned i = 0; i < 2000 && !err; i++) {
        size_t before = enf_quarantine_count(bed->table);

        host.addr.bytes[4] = (uint8_t)(i >> 8);
        host.addr.bytes[5] = (uint8_t)i;
        err = enf_quarantine_release(bed->table, &host, NULL, &released);
        if (err)
            assert_int_equal(enf_quarantine_count(bed->table), before);
    }
    assert_int_equal(err, -ENOSPC);
    assert_in_range(enf_quarantine_count(bed->table), ENF_QUARANTINE_SPLIT_RESERVE - 128,
                    ENF_QUARANTINE_SPLIT_RESERVE + 1);
    assert_true(enf_quarantine_find(bed->table, &host, NULL));
}

/* --- expiry, pages -----------------------------------------------------------------------------------------
 */

static void test_expire(void **state)
{
    struct bed *bed = *state;

    assert_int_equal(enf_quarantine_next_expiry(bed->table), ENF_FOREVER);
    add(bed, entry("192.0.2.3", ENF_LEVEL_SMTP, 3), ENF_QUARANTINE_SET);
    add(bed, entry("192.0.2.1", ENF_LEVEL_SMTP, 1), ENF_QUARANTINE_SET);
    add(bed, entry("192.0.2.0/24", ENF_LEVEL_SMTP, 2), ENF_QUARANTINE_SET);
    add(bed, entry("192.0.2.9", ENF_LEVEL_SMTP, 0), ENF_QUARANTINE_SET);
    forget(bed);
    assert_int_equal(enf_quarantine_next_expiry(bed->table), NOW + HOUR);
    assert_int_equal(enf_quarantine_expire(bed->table, NOW + HOUR - 1, 0, &bed->sink), 0);
    assert_int_equal(enf_quarantine_expire(bed->table, NOW + HOUR, 0, &bed->sink), 1);
    assert_string_equal(bed->heard.told, "expired 192.0.2.1 1;");
    assert_string_equal(bed->heard.elements, "smtp 192.0.2.1 0;");
    assert_false(bed->sink.nets4_changed);
    assert_int_equal(enf_quarantine_expire(bed->table, NOW + 9 * HOUR, 1, &bed->sink), 1);
    assert_true(bed->sink.nets4_changed);
    assert_int_equal(enf_quarantine_expire(bed->table, UINT64_MAX - 1, 0, &bed->sink), 1);
    assert_int_equal(enf_quarantine_next_expiry(bed->table), ENF_FOREVER);
    assert_int_equal(enf_quarantine_count(bed->table), 1);
    assert_int_equal(bed->heard.rows_deleted, 3);
}

/* Two entries of one subscriber at different levels: the kernel's elements follow the latest end of each
 * level. */
static void test_elements_by_level(void **state)
{
    struct bed *bed = *state;
    struct enf_quarantine forced = entry("192.0.2.1", ENF_LEVEL_SMTP, 1);

    forced.forced = true;
    add(bed, forced, ENF_QUARANTINE_SET);
    forget(bed);
    add(bed, entry("192.0.2.1", ENF_LEVEL_SMTP, 5), ENF_QUARANTINE_EXTEND);
    assert_string_equal(bed->heard.elements, "smtp 192.0.2.1 5;");
    forget(bed);
    assert_int_equal(enf_quarantine_expire(bed->table, NOW + HOUR, 0, &bed->sink), 1);
    assert_string_equal(bed->heard.elements, ""); /* still five hours for the other one */
    assert_int_equal(bed->heard.rows_deleted, 1);
}

static void test_pages(void **state)
{
    struct bed *bed = *state;
    struct enf_prefix after;
    bool more = false;
    char page[4096] = "";

    add(bed, entry("192.0.2.2", ENF_LEVEL_SMTP, 1), ENF_QUARANTINE_SET);
    add(bed, entry("192.0.2.0/24", ENF_LEVEL_SMTP, 2), ENF_QUARANTINE_SET);
    add(bed, entry("192.0.2.2/32", ENF_LEVEL_SMTP, 3), ENF_QUARANTINE_SET);
    add(bed, entry("2001:db8::/56", ENF_LEVEL_SMTP, 4), ENF_QUARANTINE_SET);
    assert_int_equal(enf_quarantine_count_nets(bed->table), 2);
    enf_quarantine_list(bed->table, NULL, 1, note_left, page, &more);
    assert_string_equal(page, "192.0.2.0/24 2;");
    assert_true(more);
    after = prefix("192.0.2.0/24");
    page[0] = '\0';
    enf_quarantine_list(bed->table, &after, 1, note_left, page, &more);
    assert_string_equal(page, "192.0.2.2 1;192.0.2.2 3;"); /* one prefix stays together */
    assert_true(more);
    after = prefix("192.0.2.2");
    page[0] = '\0';
    enf_quarantine_list(bed->table, &after, 1, note_left, page, &more);
    assert_string_equal(page, "2001:db8::/56 4;");
    assert_false(more);
    after = prefix("192.0.2.100"); /* a cursor that was released meanwhile */
    page[0] = '\0';
    enf_quarantine_list(bed->table, &after, 5, note_left, page, &more);
    assert_string_equal(page, "2001:db8::/56 4;");
    after = prefix("192.0.2.0/24");
    page[0] = '\0';
    enf_quarantine_inside(bed->table, &after, note_left, page);
    assert_string_equal(page, "192.0.2.2 1;192.0.2.0/24 2;192.0.2.2 3;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_release), T(test_release_in_steps),  T(test_release_when_full),
        T(test_expire),  T(test_elements_by_level), T(test_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
