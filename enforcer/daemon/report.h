/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker hands to the control thread, and the bounded box it goes through. */
#pragma once

#include "enforcer/core/event.h"
#include "enforcer/detect/detector.h"
#include "enforcer/kernel/kernel.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_REPORTS_MAX 65536 /* waiting at once; beyond that they are counted as lost */

/* Why the worker did not quarantine, or that it did. The reasons of policy/decide.h that need no history. */
enum enf_report_kind {
    ENF_REPORT_EVENT,      /* pass it on */
    ENF_REPORT_CONVICTION, /* the detector's */
    ENF_REPORT_SUSPECT,    /* the detector's: not enough for a conviction */
    ENF_REPORT_RELAY,      /* an authorised relay, by what would convict a subscriber */
    ENF_REPORT_METER,      /* the kernel's meter put a subscriber into quarantine */
};

/* Owned by whoever holds the pointer; freed by enf_report_free. */
struct enf_report {
    struct enf_report *next;
    enum enf_report_kind kind;
    struct enf_event
        event; /* ENF_REPORT_EVENT; for the others subscriber, interface, group, policy and time */
    enum enf_cause cause;
    bool forgeable;
    bool banned;               /* the worker has put it into the kernel's set already … */
    enum enf_kernel_tier tier; /* … of this tier */
    bool governor_holds;       /* the governor had stopped automatic quarantine there */
    bool governor_tripped;     /* … by this very conviction */
    char setting[ENF_SETTING_LEN];
    struct enf_evidence *evidence; /* owned */
    size_t evidence_len;
    uint64_t evidence_total;
};
void enf_report_free(struct enf_report *report);

/* Reports that one thread has gathered, oldest first. The zero value is none. */
struct enf_reports {
    struct enf_report *first;
    struct enf_report *last;
    size_t len;
};
/* Takes the report. */
void enf_reports_add(struct enf_reports *reports, struct enf_report *report);

struct enf_mailbox {
    pthread_mutex_t lock;
    struct enf_report *first;
    struct enf_report **last;
    size_t len;
    uint64_t lost;
    void (*wake)(void *ctx); /* called after something went into an empty box; from any thread */
    void *wake_ctx;
};

void enf_mailbox_init(struct enf_mailbox *box, void (*wake)(void *ctx), void *ctx);
void enf_mailbox_clear(struct enf_mailbox *box);
/* Takes all of them, and wakes once: a switch of threads costs more than an event. Those for which the box
 * has no room are freed and counted. */
void enf_mailbox_put(struct enf_mailbox *box, struct enf_reports *reports);
/* All that wait, oldest first, linked by next; the caller owns them. */
struct enf_report *enf_mailbox_take(struct enf_mailbox *box);
uint64_t enf_mailbox_lost(struct enf_mailbox *box);
