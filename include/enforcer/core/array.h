/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays that grow as something is put behind them. No state; any thread. */
#pragma once

#include <stddef.h>

/* Makes room for one more item behind len of them. items: NULL or from this function (the caller's, free());
 * *size: how many fit, 0 at first; item_len: bytes of one. Doubles what fits, from 8 on. Returns the items,
 * which may have moved, or NULL without memory (also where so many bytes cannot be counted): then items and
 * *size are as they were. */
void *enf_array_grow(void *items, size_t len, size_t *size, size_t item_len);
