/* SPDX-License-Identifier: GPL-2.0-or-later */
/* OpenMetrics 1.0.0 (openmetrics.io) and the text format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats). */
#include "enforcer/metrics/page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct enf_page {
    FILE *file;
    char *text;
    size_t len;
    bool openmetrics;
    const char *name;
    enum enf_page_type type;
};

struct enf_page *enf_page_new(bool openmetrics)
{
    struct enf_page *page = calloc(1, sizeof *page);

    if (!page)
        return NULL;
    page->openmetrics = openmetrics;
    page->file = open_memstream(&page->text, &page->len);
    if (!page->file) {
        free(page);
        return NULL;
    }
    return page;
}

/* The older format calls a counter by the name of its sample. */
static const char *suffix(const struct enf_page *page, bool of_family)
{
    return page->type == ENF_PAGE_COUNTER && !(of_family && page->openmetrics) ? "_total" : "";
}

void enf_page_family(struct enf_page *page, enum enf_page_type type, const char *name, const char *unit,
                     const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    page->name = name;
    page->type = type;
    fprintf(page->file, "# HELP %s%s %s\n", name, suffix(page, true), help);
    fprintf(page->file, "# TYPE %s%s %s\n", name, suffix(page, true), types[type]);
    if (unit && page->openmetrics)
        fprintf(page->file, "# UNIT %s %s\n", name, unit);
}

static void escaped(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", file);
        else if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else
            putc(*text, file);
    }
}

static void begin_sample(struct enf_page *page, const char *const *labels)
{
    fprintf(page->file, "%s%s", page->name, suffix(page, false));
    if (!labels || !labels[0])
        return;
    for (size_t i = 0; labels[i]; i += 2) {
        fprintf(page->file, "%c%s=\"", i == 0 ? '{' : ',', labels[i]);
        escaped(page->file, labels[i + 1]);
        putc('"', page->file);
    }
    putc('}', page->file);
}

void enf_page_count(struct enf_page *page, const char *const *labels, uint64_t value)
{
    begin_sample(page, labels);
    fprintf(page->file, " %" PRIu64 "\n", value);
}

void enf_page_gauge(struct enf_page *page, const char *const *labels, double value)
{
    begin_sample(page, labels);
    fprintf(page->file, " %.15g\n", value);
}

void enf_page_histogram(struct enf_page *page, const double *bounds, const uint64_t *counts, size_t len,
                        double sum)
{
    uint64_t total = 0;

    for (size_t i = 0; i < len; i++) {
        char bound[32];
        total += counts[i];
        snprintf(bound, sizeof bound, "%g", bounds[i]);
        fprintf(page->file, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", page->name, bound, total);
    }
    total += counts[len];
    fprintf(page->file, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", page->name, total);
    fprintf(page->file, "%s_count %" PRIu64 "\n%s_sum %.15g\n", page->name, total, page->name, sum);
}

int enf_page_finish(struct enf_page **page, char **out, size_t *out_len)
{
    struct enf_page *p = *page;

    *page = NULL;
    if (p->openmetrics)
        fputs("# EOF\n", p->file);
    bool bad = ferror(p->file) != 0;
    bad |= fclose(p->file) != 0;
    if (bad)
        free(p->text);
    else {
        *out = p->text;
        *out_len = p->len;
    }
    free(p);
    return bad ? -ENOMEM : 0;
}
