/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages of 2 MB for tables that are read at random places: with pages of 4 KB nearly each read misses the TLB
 * too, which costs more than the cache line itself, most of all in a virtual machine. Safe from any thread.
 */
#pragma once

#include <stddef.h>

#define ENF_HUGE_PAGE ((size_t)2 << 20)

/* Asks for huge pages for what lies whole inside of memory (size bytes; NULL is fine). A wish: nothing but
 * speed depends on it. What nobody has touched takes no memory; the first touch of 2 MB takes all of them. */
void enf_pages_wish_huge(void *memory, size_t size);
