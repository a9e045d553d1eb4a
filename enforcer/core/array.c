/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays that grow as something is put behind them. */
#include "enforcer/core/array.h"

#include <stdint.h>
#include <stdlib.h>

#define FIRST 8

void *enf_array_grow(void *items, size_t len, size_t *size, size_t item_len)
{
    size_t more = *size ? *size * 2 : FIRST;

    if (len < *size)
        return items;
    if (more < *size || more > PTRDIFF_MAX / item_len)
        return NULL;
    void *grown = realloc(items, more * item_len);
    if (grown)
        *size = more;
    return grown;
}
