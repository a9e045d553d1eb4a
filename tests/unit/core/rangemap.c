/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flattened maps against models that look at every address of a small universe: 256 addresses in the middle
 * and at both ends of each family's space. */
#include "enforcer/core/rangemap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIVERSE 256
#define ROUNDS   400
#define NOTHING  UINT32_MAX

/* The universes: base address plus 0 to 255. */
static const char *const bases[] = {
    "192.0.2.0", "0.0.0.0", "255.255.255.0", "2001:db8::", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00",
};
#define BASES (sizeof bases / sizeof *bases)

static struct enf_prefix prefix(const char *text)
{
    struct enf_prefix out;

    if (enf_prefix_parse(text, &out) < 0)
        fail_msg("%s is no prefix", text);
    return out;
}

static struct enf_addr address(size_t base, unsigned offset)
{
    struct enf_addr addr = prefix(bases[base]).addr;

    addr.bytes[enf_addr_len(&addr) - 1] = (uint8_t)offset;
    return addr;
}

/* A generator of our own: the same rows everywhere. */
static uint64_t random_state;

static unsigned below(unsigned bound)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(random_state >> 33) % bound;
}

/* Mostly inside of the universe, sometimes around all of it. */
static struct enf_prefix random_prefix(size_t base)
{
    struct enf_addr addr = address(base, below(UNIVERSE));
    unsigned bits = enf_addr_bits(&addr);

    return enf_prefix_make(&addr, (uint8_t)(below(12) == 0 ? below(bits + 1) : bits - below(9)));
}

/* Sorted, disjoint, of one family each, and neighbours of one value fused. */
static void check_shape(const struct enf_rangemap *map)
{
    for (size_t i = 0; i < map->len; i++) {
        const struct enf_rangemap_entry *e = &map->entries[i];
        assert_int_equal(e->range.first.family, e->range.last.family);
        assert_true(enf_addr_cmp(&e->range.first, &e->range.last) <= 0);
        if (i == 0)
            continue;
        assert_true(enf_addr_cmp(&e[-1].range.last, &e->range.first) < 0);
        struct enf_addr next = e[-1].range.last;
        if (e[-1].value == e->value && enf_addr_increment(&next))
            assert_false(enf_addr_equal(&next, &e->range.first));
    }
}

static uint32_t found(const struct enf_rangemap *map, const struct enf_addr *addr)
{
    const struct enf_rangemap_entry *e = enf_rangemap_find(map, addr);

    return e ? e->value : NOTHING;
}

/* By looking at all: the longest wins, of equal ones the last. */
static uint32_t longest(const struct enf_rangemap_input *input, size_t len, const struct enf_addr *addr)
{
    const struct enf_rangemap_input *best = NULL;

    for (size_t i = 0; i < len; i++) {
        if (enf_prefix_contains(&input[i].prefix, addr) && (!best || input[i].prefix.len >= best->prefix.len))
            best = &input[i];
    }
    return best ? best->value : NOTHING;
}

static void test_build_random(void **state)
{
    (void)state;
    random_state = 1;
    for (int round = 0; round < ROUNDS; round++) {
        struct enf_rangemap_input input[40] = {0}, copy[40];
        struct enf_rangemap map = {0};
        size_t len = below(round < 40 ? 4 : 40);
        /* Two universes at once: families must not mix. */
        size_t a = below(BASES), b = below(BASES);
        for (size_t i = 0; i < len; i++)
            input[i] = (struct enf_rangemap_input){random_prefix(below(2) ? a : b), below(4)};
        memcpy(copy, input, sizeof copy);
        assert_int_equal(enf_rangemap_build(input, len, &map), 0);
        check_shape(&map);
        assert_true(map.len <= 2 * len + 1);
        for (size_t base = 0; base < BASES; base++) {
            for (unsigned x = 0; x < UNIVERSE; x++) {
                struct enf_addr addr = address(base, x);
                if (found(&map, &addr) != longest(copy, len, &addr))
                    fail_msg("round %d, base %s, offset %u", round, bases[base], x);
            }
        }
        enf_rangemap_clear(&map);
        assert_null(map.entries);
    }
}

static void add_text(char *text, size_t room, const struct enf_rangemap *map)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < map->len; i++) {
        char first[ENF_PREFIX_STR_LEN], last[ENF_PREFIX_STR_LEN];
        used += (size_t)snprintf(text + used, room - used, "%s%s-%s=%u", i ? " " : "",
                                 enf_addr_str(&map->entries[i].range.first, first, sizeof first),
                                 enf_addr_str(&map->entries[i].range.last, last, sizeof last),
                                 map->entries[i].value);
    }
}

static const struct {
    const char *name;
    const char *prefixes[6]; /* the value is the index */
    const char *expected;
} maps[] = {
    {"nothing", {NULL}, ""},
    {"one host", {"192.0.2.1"}, "192.0.2.1-192.0.2.1=0"},
    {"everything",
     {"0.0.0.0/0", "::/0"},
     "0.0.0.0-255.255.255.255=0 ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff=1"},
    {"first address inside everything",
     {"0.0.0.0/0", "0.0.0.0"},
     "0.0.0.0-0.0.0.0=1 0.0.0.1-255.255.255.255=0"},
    {"last address inside everything",
     {"0.0.0.0/0", "255.255.255.255"},
     "0.0.0.0-255.255.255.254=0 255.255.255.255-255.255.255.255=1"},
    {"the last of one family and the first of the next",
     {"255.255.255.255", "::"},
     "255.255.255.255-255.255.255.255=0 ::-::=1"},
    {"nested to the end",
     {"0.0.0.0/0", "128.0.0.0/1", "192.0.0.0/2", "255.255.255.254/31"},
     "0.0.0.0-127.255.255.255=0 128.0.0.0-191.255.255.255=1 192.0.0.0-255.255.255.253=2 "
     "255.255.255.254-255.255.255.255=3"},
    {"a hole in the middle",
     {"10.0.0.0/8", "10.1.0.0/16"},
     "10.0.0.0-10.0.255.255=0 10.1.0.0-10.1.255.255=1 10.2.0.0-10.255.255.255=0"},
    {"of equal ones the last",
     {"10.0.0.0/8", "11.0.0.0/8", "10.0.0.0/8"},
     "10.0.0.0-10.255.255.255=2 11.0.0.0-11.255.255.255=1"},
    {"children fill the parent",
     {"10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9"},
     "10.0.0.0-10.127.255.255=1 10.128.0.0-10.255.255.255=2"},
    {"IPv6 to the very end",
     {"::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
     "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe=0 "
     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff=1"},
};

static void test_build_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        struct enf_rangemap_input input[6];
        struct enf_rangemap map = {0};
        char text[1024];
        size_t len = 0;
        for (; len < 6 && maps[i].prefixes[len]; len++)
            input[len] = (struct enf_rangemap_input){prefix(maps[i].prefixes[len]), (uint32_t)len};
        assert_int_equal(enf_rangemap_build(input, len, &map), 0);
        add_text(text, sizeof text, &map);
        if (strcmp(text, maps[i].expected) != 0)
            fail_msg("%s: %s", maps[i].name, text);
        enf_rangemap_clear(&map);
    }
}

/* All prefixes of one address, in an order that is not theirs: as deep as nesting goes. */
static void test_deepest_nesting(void **state)
{
    struct enf_addr ends[2] = {prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").addr, prefix("::").addr};

    (void)state;
    for (int e = 0; e < 2; e++) {
        struct enf_rangemap_input input[129 + 33];
        struct enf_rangemap map = {0};
        size_t len = 0;
        for (unsigned i = 0; i <= 128; i++)
            input[len++] =
                (struct enf_rangemap_input){enf_prefix_make(&ends[e], (uint8_t)(i * 37 % 129)), i * 37 % 129};
        struct enf_addr v4 = prefix("255.255.255.255").addr;
        for (unsigned i = 0; i <= 32; i++)
            input[len++] = (struct enf_rangemap_input){enf_prefix_make(&v4, (uint8_t)i), 1000 + i};
        assert_int_equal(enf_rangemap_build(input, len, &map), 0);
        check_shape(&map);
        assert_int_equal(map.len, len);
        assert_int_equal(found(&map, &ends[e]), 128);
        assert_int_equal(found(&map, &v4), 1032);
        enf_rangemap_clear(&map);
    }
}

static void test_fused(void **state)
{
    struct enf_rangemap_input input[UNIVERSE];
    struct enf_rangemap map = {0};

    (void)state;
    /* 256 hosts of one value, in odd order, are one range; so is a host inside a wider one of the same value.
     */
    for (unsigned i = 0; i < UNIVERSE; i++) {
        struct enf_addr addr = address(0, i * 101 % UNIVERSE);
        input[i] = (struct enf_rangemap_input){enf_prefix_host(&addr), 7};
    }
    assert_int_equal(enf_rangemap_build(input, UNIVERSE, &map), 0);
    assert_int_equal(map.len, 1);
    enf_rangemap_clear(&map);
    input[0] = (struct enf_rangemap_input){prefix("10.0.0.0/8"), 7};
    input[1] = (struct enf_rangemap_input){prefix("10.1.0.0/16"), 7};
    input[2] = (struct enf_rangemap_input){prefix("11.0.0.0/8"), 7};
    assert_int_equal(enf_rangemap_build(input, 3, &map), 0);
    assert_int_equal(map.len, 1);
    enf_rangemap_clear(&map);
    enf_rangemap_clear(&map); /* an empty one too */
}

static void test_find_in_nothing(void **state)
{
    struct enf_rangemap map = {0};
    struct enf_addr addr = address(0, 0), none = {0};

    (void)state;
    assert_null(enf_rangemap_find(&map, &addr));
    struct enf_rangemap_input input[] = {{prefix("0.0.0.0/0"), 1}, {prefix("::/0"), 2}};
    assert_int_equal(enf_rangemap_build(input, 2, &map), 0);
    assert_null(enf_rangemap_find(&map, &none));
    enf_rangemap_clear(&map);
}

static void test_difference_random(void **state)
{
    (void)state;
    random_state = 2;
    for (int round = 0; round < ROUNDS; round++) {
        struct enf_prefix from[20], less[20];
        struct enf_rangemap left = {0};
        size_t from_len = below(20), less_len = below(20), a = below(BASES), b = below(BASES);
        for (size_t i = 0; i < from_len; i++)
            from[i] = random_prefix(below(2) ? a : b);
        for (size_t i = 0; i < less_len; i++)
            less[i] = random_prefix(below(2) ? a : b);
        assert_int_equal(enf_rangemap_difference(from, from_len, less, less_len, &left), 0);
        check_shape(&left);
        for (size_t base = 0; base < BASES; base++) {
            for (unsigned x = 0; x < UNIVERSE; x++) {
                struct enf_addr addr = address(base, x);
                bool expected = false;
                for (size_t i = 0; i < from_len; i++)
                    expected |= enf_prefix_contains(&from[i], &addr);
                for (size_t i = 0; i < less_len; i++)
                    expected &= !enf_prefix_contains(&less[i], &addr);
                if (found(&left, &addr) != (expected ? 0 : NOTHING))
                    fail_msg("round %d, base %s, offset %u", round, bases[base], x);
            }
        }
        enf_rangemap_clear(&left);
    }
}

static const struct {
    const char *name;
    const char *from[3], *less[3];
    const char *expected;
} differences[] = {
    {"nothing of nothing", {NULL}, {NULL}, ""},
    {"nothing of something", {NULL}, {"0.0.0.0/0"}, ""},
    {"all of it", {"10.0.0.0/8"}, {"10.0.0.0/8"}, ""},
    {"more than it", {"10.0.0.0/8"}, {"0.0.0.0/0"}, ""},
    {"the other family", {"10.0.0.0/8"}, {"::/0"}, "10.0.0.0-10.255.255.255=0"},
    {"the first address of all", {"0.0.0.0/0"}, {"0.0.0.0"}, "0.0.0.1-255.255.255.255=0"},
    {"the last address of all", {"0.0.0.0/0"}, {"255.255.255.255"}, "0.0.0.0-255.255.255.254=0"},
    {"both ends",
     {"::/0"},
     {"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
     "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe=0"},
    {"touching cuts", {"10.0.0.0/8"}, {"10.0.0.0/9", "10.128.0.0/9"}, ""},
    {"one cut over two ranges", {"10.0.0.0/24", "10.0.2.0/24"}, {"10.0.0.128/25", "10.0.0.0/22"}, ""},
    {"a list of bogons without what is ours",
     {"100.64.0.0/10", "192.0.2.0/24"},
     {"100.64.0.0/16", "192.0.2.10"},
     "100.65.0.0-100.127.255.255=0 192.0.2.0-192.0.2.9=0 192.0.2.11-192.0.2.255=0"},
};

static void test_difference_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        struct enf_prefix from[3], less[3];
        struct enf_rangemap left = {0};
        size_t from_len = 0, less_len = 0;
        char text[1024];
        for (; from_len < 3 && differences[i].from[from_len]; from_len++)
            from[from_len] = prefix(differences[i].from[from_len]);
        for (; less_len < 3 && differences[i].less[less_len]; less_len++)
            less[less_len] = prefix(differences[i].less[less_len]);
        assert_int_equal(enf_rangemap_difference(from, from_len, less, less_len, &left), 0);
        add_text(text, sizeof text, &left);
        if (strcmp(text, differences[i].expected) != 0)
            fail_msg("%s: %s", differences[i].name, text);
        enf_rangemap_clear(&left);
    }
}

struct seen {
    struct enf_prefix items[300];
    size_t len;
    size_t stop_at;
};

static int collect(void *ctx, const struct enf_prefix *p)
{
    struct seen *seen = ctx;

    assert_true(seen->len < 300);
    seen->items[seen->len++] = *p;
    return seen->len == seen->stop_at ? 42 : 0;
}

/* Exactly the range, in order, without a gap; and no two neighbours that one prefix could have been, which is
 * what makes it the fewest. */
static void check_cut(const struct enf_range *range)
{
    struct seen seen = {.len = 0};
    struct enf_addr at = range->first;

    assert_int_equal(enf_range_to_prefixes(range, collect, &seen), 0);
    assert_true(seen.len > 0 && seen.len <= 2u * enf_addr_bits(&at));
    for (size_t i = 0; i < seen.len; i++) {
        struct enf_range part = enf_prefix_range(&seen.items[i]);
        assert_true(enf_addr_equal(&part.first, &at));
        at = part.last;
        if (i + 1 < seen.len)
            assert_true(enf_addr_increment(&at));
        if (i > 0 && seen.items[i].len == seen.items[i - 1].len && seen.items[i].len > 0) {
            struct enf_prefix parent =
                enf_prefix_make(&seen.items[i - 1].addr, (uint8_t)(seen.items[i].len - 1));
            assert_false(enf_addr_equal(&parent.addr, &seen.items[i - 1].addr) &&
                         enf_prefix_contains(&parent, &seen.items[i].addr));
        }
    }
    assert_true(enf_addr_equal(&at, &range->last));
}

static void test_cut_exhaustive(void **state)
{
    (void)state;
    for (size_t base = 0; base < BASES; base++) {
        for (unsigned first = 0; first < UNIVERSE; first += base < 3 ? 1 : 5) {
            for (unsigned last = first; last < UNIVERSE; last += base < 3 ? 3 : 7) {
                struct enf_range range = {address(base, first), address(base, last)};
                check_cut(&range);
            }
        }
    }
}

static void test_cut_worst(void **state)
{
    struct enf_range worst6 = {prefix("::1").addr, prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").addr};
    struct enf_range worst4 = {prefix("0.0.0.1").addr, prefix("255.255.255.254").addr};
    struct enf_range all = {prefix("::").addr, prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").addr};
    struct enf_range upside_down = {prefix("0.0.0.2").addr, prefix("0.0.0.1").addr};
    struct enf_prefix out[256];
    struct seen seen = {.stop_at = 3};

    (void)state;
    check_cut(&worst6);
    check_cut(&worst4);
    check_cut(&all);
    assert_int_equal(enf_range_prefixes(&worst6, out, 256), 254);
    assert_int_equal(enf_range_prefixes(&worst4, out, 256), 62);
    assert_int_equal(enf_range_prefixes(&all, out, 256), 1);
    assert_int_equal(out[0].len, 0);
    assert_int_equal(enf_range_prefixes(&worst4, out, 5), 5);
    assert_int_equal(enf_range_prefixes(&worst4, out, 0), 0);
    assert_int_equal(enf_range_prefixes(&upside_down, out, 256), 0);
    assert_int_equal(enf_range_to_prefixes(&worst4, collect, &seen), 42);
    assert_int_equal(seen.len, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_random),    cmocka_unit_test(test_build_rows),
        cmocka_unit_test(test_deepest_nesting), cmocka_unit_test(test_fused),
        cmocka_unit_test(test_find_in_nothing), cmocka_unit_test(test_difference_random),
        cmocka_unit_test(test_difference_rows), cmocka_unit_test(test_cut_exhaustive),
        cmocka_unit_test(test_cut_worst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
