/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wish for huge pages (madvise(2), MADV_HUGEPAGE). */
#include "enforcer/core/pages.h"

#include <stdint.h>
#include <sys/mman.h>

void enf_pages_wish_huge(void *memory, size_t size)
{
    size_t skip = -(uintptr_t)memory & (ENF_HUGE_PAGE - 1);

    if (memory && size >= skip + ENF_HUGE_PAGE)
        (void)madvise((char *)memory + skip, (size - skip) / ENF_HUGE_PAGE * ENF_HUGE_PAGE, MADV_HUGEPAGE);
}
