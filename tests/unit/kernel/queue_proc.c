/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's own losses, of the text of /proc/net/netfilter/nfnetlink_queue. */
#include "enforcer/kernel/telemetry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ONE "    0  12345     0 2  2048     7     9       10  1\n"
#define TWO "    1  12345    17 2  2048   300  4000   123456  1\n"

static const struct {
    const char *name;
    const char *text;
    uint16_t queue;
    int err;
    uint64_t full, user;
} rows[] = {
    {"no queue at all", "", 0, -ENOENT, 0, 0},
    {"one", ONE, 0, 0, 7, 9},
    {"the other is asked for", ONE, 1, -ENOENT, 0, 0},
    {"the second line", ONE TWO, 1, 0, 300, 4000},
    {"the first of two", ONE TWO, 0, 0, 7, 9},
    {"without the last newline", "65535 1 0 2 2048 1 2 3 1", 65535, 0, 1, 2},
    {"a number beyond 16 bits is another queue", "65536 1 0 2 2048 1 2 3 1\n", 0, -ENOENT, 0, 0},
    {"large numbers", "0 1 0 2 2048 4294967295 18446744073709551615 3 1\n", 0, 0, 4294967295, UINT64_MAX},
    {"a short line does not borrow from the next", "0 1 0 2 2048 7\n9 1 1 1 1 1 1\n", 0, -ENOENT, 0, 0},
    {"exactly the numbers needed", "0 1 0 2 2048 7 9", 0, 0, 7, 9},
    {"a word among them", "0 1 0 copy 2048 7 9 10 1\n", 0, -ENOENT, 0, 0},
    {"a sign", "-0 1 0 2 2048 7 9 10 1\n", 0, -ENOENT, 0, 0},
    {"a number with a tail", "0 1 0 2 2048 7 9x 10 1\n", 0, -ENOENT, 0, 0},
    {"empty lines", "\n\n" ONE, 0, 0, 7, 9},
    {"blanks only", "        \n   ", 0, -ENOENT, 0, 0},
    {"tabs", "0\t1\t0\t2\t2048\t7\t9\t10\t1\n", 0, 0, 7, 9},
    {"a bad line before the good one", "0 nonsense\n" ONE, 0, 0, 7, 9},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct enf_queue_usage usage = {4710, 4711, 4712};
        int err = enf_queue_parse_proc(rows[i].text, rows[i].queue, &usage);
        uint64_t full = usage.queue_dropped, user = usage.user_dropped;
        if (err != rows[i].err || full != (err ? 4711 : rows[i].full) || user != (err ? 4712 : rows[i].user))
            fail_msg("%s: %d, %llu, %llu", rows[i].name, err, (unsigned long long)full,
                     (unsigned long long)user);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
