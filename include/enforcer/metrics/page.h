/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One page of metrics as text: OpenMetrics 1.0.0, or the older text format 0.0.4 of Prometheus. The two
 * differ in the names of counters, in units, and in the end. Pure. A page belongs to one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct enf_page; /* private to page.c */

enum enf_page_type {
    ENF_PAGE_COUNTER,
    ENF_PAGE_GAUGE,
    ENF_PAGE_HISTOGRAM,
};

/* NULL without memory. */
struct enf_page *enf_page_new(bool openmetrics);

/* Begins a family of metrics. All of its values follow before the next one begins. name: "enforcer_…", of a
 * counter without
 * "_total"; unit: "seconds", "bytes", "ratio" (then name ends in it) or NULL. The texts must live as long as
 * the page. */
void enf_page_family(struct enf_page *page, enum enf_page_type type, const char *name, const char *unit,
                     const char *help);

/* A value of the family. labels: pairs of name and value, the last one NULL; values may be any text. NULL:
 * none. */
void enf_page_count(struct enf_page *page, const char *const *labels, uint64_t value);
void enf_page_gauge(struct enf_page *page, const char *const *labels, double value);

/* counts[i]: observations of at most bounds[i] and more than bounds[i - 1]; counts[len]: beyond all bounds.
 */
void enf_page_histogram(struct enf_page *page, const double *bounds, const uint64_t *counts, size_t len,
                        double sum);

/* Ends the page and frees it. *out is the caller's to free. 0; -ENOMEM: the page lacks something, and *out is
 * untouched. */
int enf_page_finish(struct enf_page **page, char **out, size_t *out_len);
