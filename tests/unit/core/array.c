/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays that grow as something is put behind them. */
#include "enforcer/core/array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_grows(void **state)
{
    uint32_t *items = NULL;
    size_t size = 0, moves = 0;

    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        size_t before = size;
        uint32_t *grown = enf_array_grow(items, i, &size, sizeof *grown);
        assert_non_null(grown);
        assert_true(size > i);
        moves += size != before;
        items = grown;
        items[i] = i;
    }
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(items[i], i);
    assert_in_range(moves, 10, 20); /* copied a few times, not at each one */
    free(items);
}

/* What cannot be had changes nothing. */
static void test_no_memory(void **state)
{
    size_t size = 0;
    char *items = enf_array_grow(NULL, 0, &size, 1);

    (void)state;
    assert_non_null(items);
    size_t before = size;
    assert_null(enf_array_grow(items, size, &size, SIZE_MAX / 4));
    assert_int_equal(size, before);
    items[0] = 'x';
    free(items);
    size = SIZE_MAX / 2 + 1; /* twice of that is none */
    assert_null(enf_array_grow(NULL, size, &size, 1));
    assert_int_equal(size, SIZE_MAX / 2 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grows), cmocka_unit_test(test_no_memory)};

    return cmocka_run_group_tests_name("core/array", tests, NULL, NULL);
}
