/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash that says which share of the subscribers one belongs to. */
#include "enforcer/core/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Two results that Bob Jenkins prints beside his lookup3 (hashlittle, the same on little-endian machines). */
static void test_known(void **state)
{
    const char *text = "Four score and seven years ago";
    const uint16_t one = 1;

    (void)state;
    if (*(const unsigned char *)&one != 1)
        skip();
    assert_int_equal(enf_jhash(text, 30, 0), 0x17770551);
    assert_int_equal(enf_jhash(text, 30, 1), 0xcd628161);
}

static struct enf_prefix subscriber(enum enf_family family, uint32_t number)
{
    uint8_t bytes[16] = {100, 64 + (number >> 16 & 63), number >> 8 & 255, number & 255};
    uint8_t bytes6[16] = {0x20, 0x01, 0x0d, 0xb8, number >> 24, number >> 16 & 255, number >> 8 & 255};

    bytes6[7] = number & 255;
    struct enf_addr addr = enf_addr_from_bytes(family, family == ENF_FAMILY_V4 ? bytes : bytes6);
    return enf_prefix_make(&addr, family == ENF_FAMILY_V4 ? 32 : 64);
}

/* Of 100,000 addresses in a row, P of 100 are in a share of P, within half a point: chance alone scatters by
 * 0.16 points at 50 %. */
static void test_shares(void **state)
{
    static const enum enf_family families[] = {ENF_FAMILY_V4, ENF_FAMILY_V6};

    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        unsigned below[101] = {0};
        for (uint32_t i = 0; i < 100000; i++) {
            struct enf_prefix prefix = subscriber(families[f], i);
            unsigned share = enf_share(&prefix);
            assert_true(share < 100);
            for (unsigned p = share + 1; p <= 100; p++)
                below[p]++;
        }
        assert_int_equal(below[100], 100000);
        for (unsigned p = 1; p < 100; p++) {
            if (below[p] < p * 1000 - 500 || below[p] > p * 1000 + 500)
                fail_msg("family %u: %u of 100000 below %u", f, below[p], p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_shares)};

    return cmocka_run_group_tests_name("core/share", tests, NULL, NULL);
}
