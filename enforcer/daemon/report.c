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

void enf_mailbox_init(struct enf_mailbox *box, void (*wake)(void *ctx), void *ctx)
{
    *box = (struct enf_mailbox){.wake = wake, .wake_ctx = ctx};
    box->last = &box->first;
    pthread_mutex_init(&box->lock, NULL);
}

void enf_mailbox_clear(struct enf_mailbox *box)
{
    for (struct enf_report *report = enf_mailbox_take(box), *next; report; report = next) {
        next = report->next;
        enf_report_free(report);
    }
    pthread_mutex_destroy(&box->lock);
}

bool enf_mailbox_put(struct enf_mailbox *box, struct enf_report *report)
{
    pthread_mutex_lock(&box->lock);
    bool fits = box->len < ENF_REPORTS_MAX, was_empty = box->len == 0;
    if (fits) {
        report->next = NULL;
        *box->last = report;
        box->last = &report->next;
        box->len++;
    } else {
        box->lost++;
    }
    pthread_mutex_unlock(&box->lock);
    if (!fits)
        enf_report_free(report);
    else if (was_empty)
        box->wake(box->wake_ctx);
    return fits;
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
