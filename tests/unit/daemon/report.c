/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The box between workers and the control thread: order, one wake for what comes together, the cap. */
#include "enforcer/daemon/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void count_wake(void *ctx)
{
    ++*(int *)ctx;
}

static void gather(struct enf_reports *reports, uint64_t first, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct enf_report *report = calloc(1, sizeof *report);

        assert_non_null(report);
        report->evidence_total = first + i;
        enf_reports_add(reports, report);
    }
}

/* How many there are: numbered from first. */
static size_t empty(struct enf_mailbox *box, uint64_t first)
{
    size_t len = 0;

    for (struct enf_report *report = enf_mailbox_take(box), *next; report; report = next) {
        next = report->next;
        assert_int_equal(report->evidence_total, first + len++);
        enf_report_free(report);
    }
    return len;
}

static void test_wakes_once(void **state)
{
    struct enf_reports reports = {0};
    struct enf_mailbox box;
    int wakes = 0;

    (void)state;
    enf_mailbox_init(&box, count_wake, &wakes);
    enf_mailbox_put(&box, &reports);
    assert_int_equal(wakes, 0);
    gather(&reports, 0, 3);
    enf_mailbox_put(&box, &reports);
    assert_null(reports.first);
    gather(&reports, 3, 2);
    enf_mailbox_put(&box, &reports);
    assert_int_equal(wakes, 1);
    assert_int_equal(empty(&box, 0), 5);
    gather(&reports, 0, 1);
    enf_mailbox_put(&box, &reports);
    assert_int_equal(wakes, 2);
    enf_mailbox_clear(&box); /* with one in it */
}

static void test_full(void **state)
{
    struct enf_reports reports = {0};
    struct enf_mailbox box;
    int wakes = 0;

    (void)state;
    enf_mailbox_init(&box, count_wake, &wakes);
    gather(&reports, 0, ENF_REPORTS_MAX - 1);
    enf_mailbox_put(&box, &reports);
    gather(&reports, ENF_REPORTS_MAX - 1, 4); /* one fits */
    enf_mailbox_put(&box, &reports);
    assert_int_equal(enf_mailbox_lost(&box), 3);
    gather(&reports, 0, 2);
    enf_mailbox_put(&box, &reports);
    assert_int_equal(enf_mailbox_lost(&box), 5);
    assert_null(reports.first);
    assert_int_equal(empty(&box, 0), ENF_REPORTS_MAX);
    gather(&reports, 0, 2);
    enf_mailbox_put(&box, &reports);
    assert_int_equal(empty(&box, 0), 2);
    assert_int_equal(enf_mailbox_lost(&box), 5);
    assert_int_equal(wakes, 2);
    enf_mailbox_clear(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wakes_once),
        cmocka_unit_test(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
