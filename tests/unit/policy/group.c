/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Group, subscriber and settings of an address: the longest prefix wins, and overrides stay inside their
 * group. */
#include "enforcer/policy/group.h"

#include "enforcer/core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PREFIXES_MAX 4

struct spec {
    const char *name;
    const char *prefixes[PREFIXES_MAX];
    uint8_t v6_len;
    const char *overrides[PREFIXES_MAX]; /* each gets its number from 1 as the limit of its first window */
};

static const struct spec specs[] = {
    {"residential",
     {"100.64.0.0/10", "2001:db8:1000::/36", "100.64.9.0/28"},
     56,
     {"100.64.8.0/24", "100.64.8.7", "100.64.9.0/27"}},
    {"business", {"100.64.9.0/24", "2001:db8:1200::/40"}, 48, {"100.64.9.0/25", "100.64.9.9"}},
    {"lab", {"2001:db8:1234::/48"}, 64, {NULL}},
};
#define SPECS (sizeof(specs) / sizeof(specs[0]))

struct fixture {
    struct enf_group groups[SPECS];
    struct enf_prefix prefixes[SPECS][PREFIXES_MAX];
    struct enf_override overrides[SPECS][PREFIXES_MAX];
    struct enf_group_index index;
};

static struct enf_addr address(const char *text)
{
    struct enf_addr addr;
    assert_int_equal(enf_addr_parse(text, &addr), 0);
    return addr;
}

static int setup(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof(fixture));
    for (size_t i = 0; i < SPECS; i++) {
        struct enf_group *group = &fixture.groups[i];
        enf_text_copy(group->name, sizeof(group->name), specs[i].name);
        group->subscriber_prefix_v6 = specs[i].v6_len;
        group->prefixes = fixture.prefixes[i];
        group->overrides = fixture.overrides[i];
        for (size_t k = 0; k < PREFIXES_MAX && specs[i].prefixes[k]; k++)
            assert_int_equal(enf_prefix_parse(specs[i].prefixes[k], &group->prefixes[group->prefixes_len++]),
                             0);
        for (size_t k = 0; k < PREFIXES_MAX && specs[i].overrides[k]; k++) {
            struct enf_override *override = &group->overrides[group->overrides_len++];
            assert_int_equal(enf_prefix_parse(specs[i].overrides[k], &override->prefix), 0);
            override->detector.connection_rate[0].connections = (uint32_t)k + 1;
        }
    }
    assert_int_equal(enf_group_index_build(fixture.groups, SPECS, &fixture.index), 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    enf_group_index_clear(&fixture->index);
    return 0;
}

static void test_lookup(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *address;
        const char *group;      /* NULL: none */
        const char *subscriber; /* as text */
        uint32_t override;      /* 0: the group's own settings */
    } rows[] = {
        {"100.63.255.255", NULL, "100.63.255.255", 0},
        {"100.64.0.0", "residential", "100.64.0.0", 0},
        {"100.127.255.255", "residential", "100.127.255.255", 0},
        {"100.128.0.0", NULL, "100.128.0.0", 0},
        {"100.64.7.255", "residential", "100.64.7.255", 0},
        {"100.64.8.0", "residential", "100.64.8.0", 1},
        {"100.64.8.7", "residential", "100.64.8.7", 2},
        {"100.64.8.255", "residential", "100.64.8.255", 1},
        {"100.64.9.255", "business", "100.64.9.255", 0},
        {"100.64.9.127", "business", "100.64.9.127", 1},
        /* residential again, inside business: its own override, not the longer one of business */
        {"100.64.9.9", "residential", "100.64.9.9", 3},
        {"100.64.9.15", "residential", "100.64.9.15", 3},
        /* business again, below an override of residential that is longer than its own */
        {"100.64.9.16", "business", "100.64.9.16", 1},
        {"100.64.10.0", "residential", "100.64.10.0", 0},
        {"2001:db8:1000::1", "residential", "2001:db8:1000::/56", 0},
        {"2001:db8:1200:ff::1", "business", "2001:db8:1200::/48", 0},
        {"2001:db8:1234:5:6::1", "lab", "2001:db8:1234:5::/64", 0},
        {"2001:db8:2000::1", NULL, "2001:db8:2000::/64", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_addr addr = address(rows[i].address);
        const struct enf_group *group = enf_group_find(&fixture->index, &addr);
        if (!group != !rows[i].group || (group && strcmp(group->name, rows[i].group) != 0))
            fail_msg("%s: group %s", rows[i].address, group ? group->name : "none");
        char text[ENF_PREFIX_STR_LEN];
        struct enf_prefix subscriber = enf_group_subscriber(group, &addr);
        assert_string_equal(enf_prefix_str(&subscriber, text, sizeof(text)), rows[i].subscriber);
        if (!group)
            continue;
        const struct enf_detector_settings *settings = enf_group_detector(&fixture->index, group, &addr);
        if (settings->connection_rate[0].connections != rows[i].override)
            fail_msg("%s: override %u", rows[i].address, settings->connection_rate[0].connections);
        assert_true((settings == &group->detector) == (rows[i].override == 0));
    }
}

static void test_empty(void **state)
{
    (void)state;
    struct enf_group_index index;
    struct enf_addr addr = address("100.64.0.1");
    assert_int_equal(enf_group_index_build(NULL, 0, &index), 0);
    assert_null(enf_group_find(&index, &addr));
    enf_group_index_clear(&index);
    enf_group_index_clear(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lookup, setup, teardown),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
