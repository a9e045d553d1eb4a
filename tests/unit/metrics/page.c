/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages of metrics: both formats to the letter, labels of any text. */
#include "enforcer/metrics/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *make(bool openmetrics)
{
    static const double bounds[] = {0.001, 0.25};
    static const uint64_t counts[] = {3, 0, 2};
    const char *const labels[] = {"reason", "a\"b\\c\nd", "kind", "", NULL};
    struct enf_page *page = enf_page_new(openmetrics);
    char *text = NULL;
    size_t len = 0;

    assert_non_null(page);
    enf_page_family(page, ENF_PAGE_COUNTER, "enforcer_packets", NULL, "Packets.");
    enf_page_count(page, labels, UINT64_MAX);
    enf_page_family(page, ENF_PAGE_GAUGE, "enforcer_up_bytes", "bytes", "Bytes.");
    enf_page_gauge(page, NULL, 1763796000.123);
    enf_page_family(page, ENF_PAGE_HISTOGRAM, "enforcer_block_seconds", "seconds", "Time.");
    enf_page_histogram(page, bounds, counts, 2, 5.5);
    assert_int_equal(enf_page_finish(&page, &text, &len), 0);
    assert_null(page);
    assert_int_equal(strlen(text), len);
    return text;
}

static void test_openmetrics(void **state)
{
    char *text = make(true);

    (void)state;
    assert_string_equal(text,
                        "# HELP enforcer_packets Packets.\n"
                        "# TYPE enforcer_packets counter\n"
                        "enforcer_packets_total{reason=\"a\\\"b\\\\c\\nd\",kind=\"\"} 18446744073709551615\n"
                        "# HELP enforcer_up_bytes Bytes.\n"
                        "# TYPE enforcer_up_bytes gauge\n"
                        "# UNIT enforcer_up_bytes bytes\n"
                        "enforcer_up_bytes 1763796000.123\n"
                        "# HELP enforcer_block_seconds Time.\n"
                        "# TYPE enforcer_block_seconds histogram\n"
                        "# UNIT enforcer_block_seconds seconds\n"
                        "enforcer_block_seconds_bucket{le=\"0.001\"} 3\n"
                        "enforcer_block_seconds_bucket{le=\"0.25\"} 3\n"
                        "enforcer_block_seconds_bucket{le=\"+Inf\"} 5\n"
                        "enforcer_block_seconds_count 5\n"
                        "enforcer_block_seconds_sum 5.5\n"
                        "# EOF\n");
    free(text);
}

static void test_plain_names_counters_by_their_samples(void **state)
{
    char *text = make(false);

    (void)state;
    assert_non_null(strstr(text, "# TYPE enforcer_packets_total counter\nenforcer_packets_total{"));
    assert_null(strstr(text, "# UNIT"));
    assert_null(strstr(text, "# EOF"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openmetrics),
        cmocka_unit_test(test_plain_names_counters_by_their_samples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
