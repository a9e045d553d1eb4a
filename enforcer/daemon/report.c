/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports from workers to the control thread. */
#include "enforcer/daemon/report.h"

#include <stdlib.h>

void enf_report_free(struct enf_report *report)
{
    if (!report)
        return;
    free(report->evidence);
    free(report);
}

void enf_reports_add(struct enf_reports *reports, struct enf_report *report)
{
    report->next = NULL;
    if (reports->last)
        reports->last->next = report;
    else
        reports->first = report;
    reports->last = report;
    reports->len++;
}

void enf_mailbox_init(struct enf_mailbox *box, void (*wake)(void *ctx), void *ctx)
{
    *box = (struct enf_mailbox){.wake = wake, .wake_ctx = ctx};
    box->last = &box->first;
    pthread_mutex_init(&box->lock, NULL);
}

static void free_all(struct enf_report *first)
{
    for (struct enf_report *report = first, *next; report; report = next) {
        next = report->next;
        enf_report_free(report);
    }
}

void enf_mailbox_clear(struct enf_mailbox *box)
{
    free_all(enf_mailbox_take(box));
    pthread_mutex_destroy(&box->lock);
}

/* The first `len` of them stay; the others are returned. */
static struct enf_report *cut(struct enf_reports *reports, size_t len)
{
    struct enf_report **end = &reports->first, *rest;

    if (reports->len <= len)
        return NULL;
    reports->len = len;
    reports->last = NULL;
    for (; len > 0; len--) {
        reports->last = *end;
        end = &(*end)->next;
    }
    rest = *end;
    *end = NULL;
    return rest;
}

void enf_mailbox_put(struct enf_mailbox *box, struct enf_reports *reports)
{
    if (!reports->first)
        return;
    pthread_mutex_lock(&box->lock);
    size_t all = reports->len, before = box->len;
    struct enf_report *rest = cut(reports, ENF_REPORTS_MAX - box->len);
    if (reports->first) {
        *box->last = reports->first;
        box->last = &reports->last->next;
    }
    box->len += reports->len;
    box->lost += all - reports->len;
    pthread_mutex_unlock(&box->lock);
    *reports = (struct enf_reports){0};
    free_all(rest);
    if (before == 0)
        box->wake(box->wake_ctx);
}

struct enf_report *enf_mailbox_take(struct enf_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    struct enf_report *first = box->first;
    box->first = NULL;
    box->last = &box->first;
    box->len = 0;
    pthread_mutex_unlock(&box->lock);
    return first;
}

uint64_t enf_mailbox_lost(struct enf_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    uint64_t lost = box->lost;
    pthread_mutex_unlock(&box->lock);
    return lost;
}
