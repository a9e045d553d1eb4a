/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses and prefixes: text both ways, masks at every length, order, the ends of the address space. */
#include "enforcer/core/addr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct enf_addr address(const char *text)
{
    struct enf_addr addr;

    if (enf_addr_parse(text, &addr) < 0)
        fail_msg("%s is no address", text);
    return addr;
}

static struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out;

    if (enf_prefix_parse(text, &out) < 0)
        fail_msg("%s is no prefix", text);
    return out;
}

/* printed NULL: refused. */
static const struct {
    const char *text;
    const char *printed;
} addresses[] = {
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"192.0.2.1", "192.0.2.1"},
    {"::", "::"},
    {"::1", "::1"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"2001:DB8::A", "2001:db8::a"},
    {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},    /* of equal runs the first is shortened */
    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"}, /* a single zero is not */
    {"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
    {"::ffff:192.0.2.1", "192.0.2.1"},
    {"::ffff:c000:201", "192.0.2.1"},
    {"::FFFF:0.0.0.0", "0.0.0.0"},
    {"::fffe:192.0.2.1", "::fffe:c000:201"}, /* one bit off: not the mapped ones */
    {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
    {"", NULL},
    {" ", NULL},
    {" 192.0.2.1", NULL},
    {"192.0.2.1 ", NULL},
    {"192.0.2.1\n", NULL},
    {"192.0.2", NULL},
    {"192.0.2.", NULL},
    {"192.0.2.1.", NULL},
    {"192.0.2.1.1", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2.-1", NULL},
    {"192.0.2.01", NULL}, /* octal to some readers */
    {"0xc0000201", NULL},
    {"3221225985", NULL},
    {"192.0.2.1:25", NULL},
    {"[::1]", NULL},
    {"fe80::1%eth0", NULL},
    {":::", NULL},
    {"1::2::3", NULL},
    {"1:2:3:4:5:6:7", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL},
    {"12345::", NULL},
    {"::g", NULL},
    {"::192.0.2.1.1", NULL},
    {"localhost", NULL},
    {"192.0.2.1/32", NULL},
};

static void test_address_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        struct enf_addr addr, untouched;
        char text[ENF_PREFIX_STR_LEN];
        memset(&addr, 0x5a, sizeof addr);
        untouched = addr;
        int err = enf_addr_parse(addresses[i].text, &addr);
        if (!addresses[i].printed) {
            if (err != -EINVAL || memcmp(&addr, &untouched, sizeof addr) != 0)
                fail_msg("\"%s\" was read: %d", addresses[i].text, err);
            continue;
        }
        if (err != 0 || strcmp(enf_addr_str(&addr, text, sizeof text), addresses[i].printed) != 0)
            fail_msg("\"%s\": %d, \"%s\"", addresses[i].text, err, err ? "" : text);
        /* Equal exactly when the memory is: what is printed reads as the same bytes. */
        struct enf_addr again = address(text);
        if (!enf_addr_equal(&addr, &again))
            fail_msg("\"%s\" does not read back", text);
    }
}

static const struct {
    const char *text;
    int err;
    const char *printed;
} prefixes[] = {
    {"192.0.2.1", 0, "192.0.2.1"},
    {"192.0.2.1/32", 0, "192.0.2.1"},
    {"192.0.2.0/31", 0, "192.0.2.0/31"},
    {"192.0.2.1/31", -EDOM, NULL},
    {"192.0.2.1/33", -EINVAL, NULL},
    {"0.0.0.0/0", 0, "0.0.0.0/0"},
    {"0.0.0.0", 0, "0.0.0.0"},
    {"128.0.0.0/1", 0, "128.0.0.0/1"},
    {"128.0.0.0/0", -EDOM, NULL},
    {"255.255.255.255/32", 0, "255.255.255.255"},
    {"100.64.0.0/10", 0, "100.64.0.0/10"},
    {"100.96.0.0/10", -EDOM, NULL},
    {"::/0", 0, "::/0"},
    {"8000::/1", 0, "8000::/1"},
    {"::1/127", -EDOM, NULL},
    {"::1/128", 0, "::1"},
    {"::1/129", -EINVAL, NULL},
    {"2001:db8:7::/64", 0, "2001:db8:7::/64"},
    {"2001:db8:7:0:8000::/64", -EDOM, NULL},
    {"2001:db8:7:0:8000::/65", 0, "2001:db8:7:0:8000::/65"},
    {"::ffff:192.0.2.0/120", 0, "192.0.2.0/24"},
    {"::ffff:192.0.2.1/128", 0, "192.0.2.1"},
    {"::ffff:192.0.2.1/127", -EDOM, NULL},
    {"::ffff:0:0/97", 0, "0.0.0.0/1"},
    {"::ffff:0:0/96", -EINVAL, NULL}, /* the notation itself, not the whole Internet */
    {"::ffff:0:0/95", -EINVAL, NULL},
    {"::ffff:0:0/0", -EINVAL, NULL},
    {"::ffff:192.0.2.1/24", -EINVAL, NULL},
    {"::/95", 0, "::/95"},
    {"192.0.2.0/", -EINVAL, NULL},
    {"192.0.2.0/ 24", -EINVAL, NULL},
    {"192.0.2.0/24 ", -EINVAL, NULL},
    {"192.0.2.0/+24", -EINVAL, NULL},
    {"192.0.2.0/-1", -EINVAL, NULL},
    {"192.0.2.0/2a", -EINVAL, NULL},
    {"192.0.2.0/024", -EINVAL, NULL},
    {"0.0.0.0/00", -EINVAL, NULL},
    {"::/00", -EINVAL, NULL},
    {"::/000000000000", -EINVAL, NULL},
    {"192.0.2.0/24/24", -EINVAL, NULL},
    {"192.0.2.0/4294967320", -EINVAL, NULL},
    {"192.0.2.0/255.255.255.0", -EINVAL, NULL},
    {"/24", -EINVAL, NULL},
    {"/", -EINVAL, NULL},
    {"", -EINVAL, NULL},
    {"0000000000000000000000000000000000000000000000000000000000000000000000000000000000/8", -EINVAL, NULL},
};

static void test_prefix_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        struct enf_prefix out, untouched;
        char text[ENF_PREFIX_STR_LEN] = "";
        memset(&out, 0x5a, sizeof out);
        untouched = out;
        int err = enf_prefix_parse(prefixes[i].text, &out);
        if (err != prefixes[i].err || (err < 0 && memcmp(&out, &untouched, sizeof out) != 0))
            fail_msg("\"%s\": %d", prefixes[i].text, err);
        if (err == 0 && strcmp(enf_prefix_str(&out, text, sizeof text), prefixes[i].printed) != 0)
            fail_msg("\"%s\" is printed \"%s\"", prefixes[i].text, text);
    }
}

/* Whatever the room: terminated, and nothing written behind it. */
static void test_small_buffers(void **state)
{
    const struct enf_prefix cases[] = {prefix("255.255.255.255"), prefix("100.64.0.0/10"),
                                       prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124"),
                                       (struct enf_prefix){.len = 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t len = 0; len <= ENF_PREFIX_STR_LEN; len++) {
            char buf[ENF_PREFIX_STR_LEN + 1];
            memset(buf, 'x', sizeof buf);
            assert_ptr_equal(enf_prefix_str(&cases[i], buf, len), buf);
            if (len > 0)
                assert_non_null(memchr(buf, '\0', len));
            assert_int_equal(buf[len], 'x');
        }
    }
    char text[ENF_PREFIX_STR_LEN];
    assert_string_equal(enf_prefix_str(&cases[2], text, sizeof text),
                        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124");
    assert_string_equal(enf_prefix_str(&cases[3], text, sizeof text), "-");
    assert_string_equal(enf_addr_str(&cases[3].addr, text, sizeof text), "-");
}

static bool bit(const struct enf_addr *addr, unsigned i)
{
    return addr->bytes[i / 8] >> (7 - i % 8) & 1;
}

/* Every length of both families, bit by bit. */
static void test_masks(void **state)
{
    static const char *const texts[] = {"255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                        "165.165.90.90", "a5a5:5a5a:a5a5:5a5a:a5a5:5a5a:a5a5:5a5a"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct enf_addr addr = address(texts[i]);
        unsigned bits = enf_addr_bits(&addr);
        for (unsigned len = 0; len <= bits + 2; len++) {
            struct enf_prefix p = enf_prefix_make(&addr, (uint8_t)len);
            struct enf_range range = enf_prefix_range(&p);
            unsigned kept = len < bits ? len : bits;
            assert_int_equal(p.len, kept);
            assert_int_equal(enf_prefix_is_host(&p), kept == bits);
            for (unsigned b = 0; b < bits; b++) {
                assert_int_equal(bit(&range.first, b), b < kept && bit(&addr, b));
                assert_int_equal(bit(&range.last, b), b < kept ? bit(&addr, b) : 1);
            }
            assert_true(enf_prefix_contains(&p, &addr));
            assert_true(enf_prefix_contains(&p, &range.first) && enf_prefix_contains(&p, &range.last));
            struct enf_addr before = range.first, behind = range.last;
            assert_true(!enf_addr_decrement(&before) || !enf_prefix_contains(&p, &before));
            assert_true(!enf_addr_increment(&behind) || !enf_prefix_contains(&p, &behind));
        }
    }
}

static void test_families_apart(void **state)
{
    struct enf_addr none = {0}, v4 = address("0.0.0.0"), v6 = address("::");
    struct enf_prefix all4 = prefix("0.0.0.0/0"), all6 = prefix("::/0"), nothing = {0};

    (void)state;
    assert_int_equal(enf_addr_bits(&none), 0);
    assert_int_equal(enf_addr_bits(&v4), 32);
    assert_int_equal(enf_addr_bits(&v6), 128);
    assert_int_equal(enf_addr_len(&v6), 16);
    assert_false(enf_prefix_contains(&all4, &v6) || enf_prefix_contains(&all6, &v4));
    assert_false(enf_prefix_contains(&all4, &none) || enf_prefix_contains(&nothing, &none));
    assert_false(enf_prefix_contains(&nothing, &v4) || enf_prefix_is_host(&nothing));
    assert_false(enf_prefix_overlaps(&all4, &all6));
    assert_false(enf_addr_equal(&v4, &v6));
    assert_true(enf_addr_cmp(&none, &v4) < 0 && enf_addr_cmp(&v4, &v6) < 0 && enf_addr_cmp(&v6, &none) > 0);
    assert_false(enf_addr_increment(&none) || enf_addr_decrement(&none));
}

static const struct {
    const char *a, *b;
    bool covers, overlaps;
    int order;
} pairs[] = {
    {"10.0.0.0/8", "10.0.0.0/8", true, true, 0},
    {"10.0.0.0/8", "10.0.0.0/9", true, true, -1},
    {"10.0.0.0/9", "10.0.0.0/8", false, true, 1},
    {"10.0.0.0/9", "10.128.0.0/9", false, false, -1},
    {"10.0.0.0/8", "11.0.0.0/8", false, false, -1},
    {"10.0.0.0/8", "10.255.255.255", true, true, -1},
    {"10.0.0.0/8", "9.255.255.255", false, false, 1},
    {"0.0.0.0/0", "255.255.255.255", true, true, -1},
    {"::/0", "ffff::/16", true, true, -1},
    {"2001:db8::/33", "2001:db8:8000::/33", false, false, -1},
    {"2001:db8::/32", "2001:db8:8000::/33", true, true, -1},
    {"127.255.255.255", "128.0.0.0", false, false, -1}, /* unsigned bytes */
    {"255.0.0.0/8", "::/0", false, false, -1},
};

static void test_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct enf_prefix a = prefix(pairs[i].a), b = prefix(pairs[i].b);
        int order = enf_prefix_cmp(&a, &b), back = enf_prefix_cmp(&b, &a);
        if (enf_prefix_covers(&a, &b) != pairs[i].covers ||
            enf_prefix_overlaps(&a, &b) != pairs[i].overlaps ||
            enf_prefix_overlaps(&b, &a) != pairs[i].overlaps || (order > 0) - (order < 0) != pairs[i].order ||
            (back > 0) - (back < 0) != -pairs[i].order || enf_prefix_equal(&a, &b) != (pairs[i].order == 0))
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    }
}

static const struct {
    const char *from;
    const char *next; /* NULL: there is none */
} steps[] = {
    {"0.0.0.0", "0.0.0.1"},
    {"192.0.2.255", "192.0.3.0"},
    {"9.255.255.255", "10.0.0.0"},
    {"255.255.255.254", "255.255.255.255"},
    {"255.255.255.255", NULL},
    {"::", "::1"},
    {"::ffff:ffff", "::1:0:0"},
    {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
};

static void test_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct enf_addr addr = address(steps[i].from), from = addr;
        if (enf_addr_increment(&addr) != (steps[i].next != NULL))
            fail_msg("after %s", steps[i].from);
        struct enf_addr expected = steps[i].next ? address(steps[i].next) : from;
        if (!enf_addr_equal(&addr, &expected))
            fail_msg("after %s", steps[i].from);
        if (steps[i].next && (!enf_addr_decrement(&addr) || !enf_addr_equal(&addr, &from)))
            fail_msg("before %s", steps[i].next);
    }
    static const char *const firsts[] = {"0.0.0.0", "::"};
    for (size_t i = 0; i < 2; i++) {
        struct enf_addr addr = address(firsts[i]), from = addr;
        assert_false(enf_addr_decrement(&addr));
        assert_true(enf_addr_equal(&addr, &from));
    }
}

static void test_hash(void **state)
{
    struct enf_prefix a = prefix("100.64.0.0/10"), b = prefix("100.64.0.0/11"), c = prefix("100.64.0.0/10");

    (void)state;
    assert_true(enf_prefix_hash(&a, 7) == enf_prefix_hash(&c, 7));
    assert_true(enf_prefix_hash(&a, 7) != enf_prefix_hash(&b, 7));
    assert_true(enf_prefix_hash(&a, 7) != enf_prefix_hash(&a, 8));
    assert_true(enf_addr_hash(&a.addr, 7) == enf_addr_hash(&b.addr, 7));
    assert_true(enf_addr_hash(&a.addr, 7) != enf_addr_hash(&a.addr, 8));
    struct enf_addr v4 = address("0.0.0.0"), v6 = address("::");
    assert_true(enf_addr_hash(&v4, 7) != enf_addr_hash(&v6, 7));
}

/* What a file or the kernel calls a prefix. */
static void test_validity(void **state)
{
    struct enf_prefix whole = prefix("192.0.2.1"), net = prefix("2001:db8::/32"), bad;

    (void)state;
    assert_true(enf_prefix_is_valid(&whole) && enf_prefix_is_valid(&net));
    bad = whole;
    bad.len = 33;
    assert_false(enf_prefix_is_valid(&bad));
    bad.len = 31; /* the last bit is set */
    assert_false(enf_prefix_is_valid(&bad));
    bad = whole;
    bad.addr.bytes[15] = 1; /* behind the four bytes of an address */
    assert_false(enf_prefix_is_valid(&bad));
    bad = net;
    bad.addr.family = ENF_FAMILY_NONE;
    assert_false(enf_prefix_is_valid(&bad));
    bad.addr.family = 7;
    assert_false(enf_prefix_is_valid(&bad));
    bad = net;
    bad.len = 129;
    assert_false(enf_prefix_is_valid(&bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_text),   cmocka_unit_test(test_prefix_text),
        cmocka_unit_test(test_small_buffers),  cmocka_unit_test(test_masks),
        cmocka_unit_test(test_families_apart), cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_steps),          cmocka_unit_test(test_hash),
        cmocka_unit_test(test_validity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
