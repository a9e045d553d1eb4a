/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A burst is reported, a flood is counted, and no uid spends another's share. */
#include "enforcer/control/denials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_burst_then_one_a_second(void **state)
{
    struct enf_denials denials = {0};
    uint64_t suppressed = 99;

    (void)state;
    for (int i = 0; i < ENF_DENIALS_BURST; i++) {
        assert_true(enf_denials_report(&denials, 1000, 5000, &suppressed));
        assert_int_equal(suppressed, 0);
    }
    for (int i = 0; i < 7; i++)
        assert_false(enf_denials_report(&denials, 1000, 5000, &suppressed));
    assert_false(enf_denials_report(&denials, 1000, 5000 + ENF_DENIALS_MS - 1, &suppressed));
    assert_true(enf_denials_report(&denials, 1000, 5000 + ENF_DENIALS_MS, &suppressed));
    assert_int_equal(suppressed, 8);
    assert_false(enf_denials_report(&denials, 1000, 5000 + ENF_DENIALS_MS, &suppressed));
    /* a long rest fills the bucket, not more */
    for (int i = 0; i < ENF_DENIALS_BURST; i++)
        assert_true(enf_denials_report(&denials, 1000, 99999999, &suppressed));
    assert_false(enf_denials_report(&denials, 1000, 99999999, &suppressed));
}

static void test_uids_are_apart_and_bounded(void **state)
{
    struct enf_denials denials = {0};
    uint64_t suppressed;

    (void)state;
    for (int i = 0; i <= ENF_DENIALS_BURST; i++)
        enf_denials_report(&denials, 1, 0, &suppressed);
    assert_false(enf_denials_report(&denials, 1, 1, &suppressed));
    for (uid_t uid = 2; uid <= ENF_DENIALS_UIDS; uid++)
        assert_true(enf_denials_report(&denials, uid, 2, &suppressed));
    assert_false(enf_denials_report(&denials, 1, 3, &suppressed)); /* the table is full, all are remembered */
    assert_true(enf_denials_report(&denials, 5000, 4, &suppressed)); /* the quietest, uid 2, gave way */
    assert_false(enf_denials_report(&denials, 1, 5, &suppressed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_one_a_second),
        cmocka_unit_test(test_uids_are_apart_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
