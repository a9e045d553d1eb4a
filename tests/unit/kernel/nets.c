/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prefixes in quarantine in a real kernel: by tier, and what differs. */
#include "kernel_bed.h"

static void test_tiers_of_nets(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_net nets[] = {{range_of("192.0.2.0-192.0.2.255"), HOUR},
                                    {range_of("198.51.100.0-198.51.100.255"), 2 * HOUR}};
    struct enf_kernel_nets all[ENF_KERNEL_TIER_COUNT] = {{nets, 2}, {nets, 1}, {nets + 1, 1}};

    assert_int_equal(enf_kernel_nets_replace(k->kernel, ENF_FAMILY_V4, all), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE_NETS4), 2);
    about(bed_left(k, ENF_KERNEL_THROTTLE_NETS4, "192.0.2.7"), HOUR);
    about(bed_left(k, ENF_KERNEL_FULL_NETS4, "198.51.100.7"), 2 * HOUR);
    assert_int_equal(bed_nets(k->kernel, ENF_KERNEL_TIER_THROTTLE, ENF_FAMILY_V4, nets, 2), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE_NETS4), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_THROTTLE_NETS4), 2);
    assert_int_equal(bed_count(k, ENF_KERNEL_FULL_NETS4), 0);
}

/* What differs: ranges in the middle, at the ends of the family, with another end; and one that is not there.
 */
static void test_difference_of_nets(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_kernel_net old[] = {{range_of("0.0.0.0-0.0.0.255"), HOUR},
                                   {range_of("192.0.2.0-192.0.2.127"), HOUR},
                                   {range_of("192.0.2.128-192.0.2.255"), 2 * HOUR},
                                   {range_of("198.51.100.0-198.51.100.255"), HOUR},
                                   {range_of("255.255.255.0-255.255.255.255"), ENF_FOREVER}};
    struct enf_kernel_net new[] = {{range_of("192.0.2.0-192.0.2.63"), HOUR},
                                   {range_of("192.0.2.64-192.0.2.127"), 3 * HOUR},
                                   {range_of("198.51.100.0-198.51.100.255"), 4 * HOUR},
                                   {range_of("255.255.255.128-255.255.255.255"), HOUR}};
    struct enf_kernel_net gone[] = {old[0], old[1], old[3], old[4]};
    struct enf_kernel_nets removed[ENF_KERNEL_TIER_COUNT] = {{gone, 4}},
                           added[ENF_KERNEL_TIER_COUNT] = {{new, 4}};

    assert_int_equal(bed_nets(k->kernel, ENF_KERNEL_TIER_SMTP, ENF_FAMILY_V4, old, 5), 0);
    assert_int_equal(enf_kernel_nets_change(k->kernel, ENF_FAMILY_V4, removed, added), 0);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE_NETS4), 5);
    about(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "192.0.2.0"), HOUR);
    about(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "192.0.2.127"), 3 * HOUR);
    about(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "192.0.2.128"), 2 * HOUR);
    about(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "198.51.100.255"), 4 * HOUR);
    about(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "255.255.255.255"), HOUR);
    assert_int_equal(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "0.0.0.1"), 0);
    assert_int_equal(bed_left(k, ENF_KERNEL_QUARANTINE_NETS4, "255.255.255.127"), 0);
    assert_int_equal(enf_kernel_nets_change(k->kernel, ENF_FAMILY_V4, removed, added), -ENOENT);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE_NETS4), 5);
    assert_int_not_equal(bed_nft("get element inet enforcer quarantine_moving4 { 192.0.2.70 }"), 0);
}

#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, bed_open, bed_close, &kernel_bed)

int main(void)
{
    static struct kernel_bed kernel_bed;
    void *state = &kernel_bed;
    const struct CMUnitTest tests[] = {
        TEST(test_tiers_of_nets),
        TEST(test_difference_of_nets),
    };

    bed_enter(&state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
