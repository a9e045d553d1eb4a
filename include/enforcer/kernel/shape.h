/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shape of our table: all that must stay as it was loaded. The table's flags, chains with hook, priority
 * and policy, rules with their expressions in order, declarations of sets, counters and flowtables, elements
 * of static sets. Elements of dynamic sets, counters' values and handles are no part of it. Two loads of the
 * same text have the same shape. */
#pragma once

#include "enforcer/kernel/kernel.h"

#include <stdbool.h>
#include <stddef.h>

struct enf_shape;

/* Sets with more elements than that are not read at once (the kernel's time for it grows with the square):
 * see enf_shape_large. */
#define ENF_SHAPE_ELEMENTS_MAX 10000

/* Reads it from the kernel. 0 with *out the caller's (enf_shape_free); -ENOENT where the table is missing;
 * -EINTR where others kept changing tables; -ENOMEM, -errno of netlink. Some ms for a thousand rules. */
int enf_shape_read(struct enf_kernel *kernel, struct enf_shape **out);
void enf_shape_free(struct enf_shape **shape); /* accepts NULL content, clears */

/* Writes in words into text (len bytes, zero-terminated) what now has other than wanted. Returns how many
 * things differ; 0: none. Sets that are too large, or not read yet, differ only where declared otherwise. */
size_t enf_shape_diff(const struct enf_shape *wanted, const struct enf_shape *now, char *text, size_t len);

size_t enf_shape_rules(const struct enf_shape *shape);

/* Takes over from `other` what is known of large sets that have the same declaration. */
void enf_shape_adopt(struct enf_shape *shape, const struct enf_shape *other);

/* The i-th set that was too large, by its name in the kernel; NULL behind the last. */
const char *enf_shape_large(const struct enf_shape *shape, size_t i);

/* The first of them whose content is not known yet: no scan of it was judged since it was loaded. Its name in
 * the kernel, the shape's; NULL: all are known. */
const char *enf_shape_unread(const struct enf_shape *shape);

/* Reads one large set in steps, on a socket of its own. */
struct enf_scan;
int enf_scan_begin(const char *set, struct enf_scan **out);
/* Works for about budget_us. 1 done, 0 more to do, -errno. */
int enf_scan_step(struct enf_scan *scan, uint64_t budget_us);
void enf_scan_end(struct enf_scan **scan); /* accepts NULL content, clears */
/* A scan that is done, against what is known of that set. learn: where nothing is known of it, it is from now
 * on. 0: the same, or nothing was known; 1 with text: other elements; -ENOENT where the shape has no such
 * set.
 */
int enf_shape_judge(struct enf_shape *shape, const struct enf_scan *scan, bool learn, char *text, size_t len);
