/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heap memory with a count of what is in use. The caller says sizes again when it frees: nothing is stored
 * for it. */
#pragma once

#include <stddef.h>
#include <stdlib.h>

#define BUDGET_OVERHEAD 16 /* what the allocator adds to a piece, roughly */

struct budget {
    size_t used;
};

/* Zeroed memory or NULL; nothing for a size of zero. */
static inline void *budget_alloc(struct budget *budget, size_t size)
{
    void *memory = size > 0 ? calloc(1, size) : NULL;
    if (memory)
        budget->used += size + BUDGET_OVERHEAD;
    return memory;
}

/* Accepts NULL. */
static inline void budget_free(struct budget *budget, void *memory, size_t size)
{
    if (!memory)
        return;
    budget->used -= size + BUDGET_OVERHEAD;
    free(memory);
}
