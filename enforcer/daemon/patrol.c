/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A large quarantine is walked through in pieces of a few ms, so that whoever asks meanwhile is answered: the
 * kernel is asked for each entry (reading the set as a whole takes it a time that grows with the square), and
 * what is missing is put back. Then the large static sets are read, seldom and in steps. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE      400  /* entries asked for in one turn: 2 ms */
#define PAGE_FILL 1000 /* put in one turn: 2 to 4 ms */
#define PAUSE_MS  1
#define SCAN_US   3000
#define SCAN_REST 50 /* a scan is followed by a pause of so many times what it took */

struct page {
    struct enf_quarantine_row {
        struct enf_prefix subscriber;
        uint64_t until_ms;
    } rows[PAGE_FILL + 64];
    size_t len;
    struct enf_prefix last;
};

static int on_entry(void *ctx, const struct enf_quarantine *entry)
{
    struct page *page = ctx;

    page->last = entry->subscriber;
    if (entry->net)
        return 0;
    /* Entries of one subscriber (of several levels) follow each other: the latest end counts. */
    if (page->len > 0 &&
        enf_addr_equal(&page->rows[page->len - 1].subscriber.addr, &entry->subscriber.addr)) {
        if (entry->until_ms > page->rows[page->len - 1].until_ms)
            page->rows[page->len - 1].until_ms = entry->until_ms;
        return 0;
    }
    if (page->len == sizeof page->rows / sizeof *page->rows)
        return -ENOSPC;
    page->rows[page->len].subscriber = entry->subscriber;
    page->rows[page->len++].until_ms = entry->until_ms;
    return 0;
}

/* Which of the page are missing or have another end. */
static int ask(struct enf_daemon *d, const struct page *page, struct enf_kernel_single *put, size_t *put_len,
               size_t *missing)
{
    struct enf_prefix subscribers[PAGE_FILL + 64];
    uint64_t left_ms[PAGE_FILL + 64], now_ms = enf_clock_wall_ms();

    for (size_t i = 0; i < page->len; i++)
        subscribers[i] = page->rows[i].subscriber;
    int err =
        d->truth.patrol.refill ? 0 : enf_kernel_singles_left(d->kernel, subscribers, page->len, left_ms);
    for (size_t i = 0; err == 0 && i < page->len; i++) {
        uint64_t wanted_ms = enf_left_ms(page->rows[i].until_ms, now_ms);
        uint64_t has_ms = d->truth.patrol.refill ? 0 : left_ms[i];
        if (enf_same_end(wanted_ms, has_ms)) /* also what ends now and is gone */
            continue;
        *missing += has_ms == 0;
        put[(*put_len)++] = (struct enf_kernel_single){.subscriber = subscribers[i], .timeout_ms = wanted_ms};
    }
    return err;
}

static int walk_page(struct enf_daemon *d, bool *more)
{
    struct enf_patrol *p = &d->truth.patrol;
    struct page *page = calloc(1, sizeof *page);
    struct enf_kernel_single *put = calloc(PAGE_FILL + 64, sizeof *put);
    size_t put_len = 0;
    int err = page && put ? 0 : -ENOMEM;

    if (err == 0)
        err = enf_quarantine_list(d->quarantine, p->begun ? &p->after : NULL, p->refill ? PAGE_FILL : PAGE,
                                  on_entry, page, more);
    if (err == 0)
        err = ask(d, page, put, &put_len, &p->missing);
    if (err == 0)
        err = enf_kernel_singles(d->kernel, put, put_len);
    if (err == 0) {
        p->desired += page->len;
        p->after = page->last;
        p->begun = true;
    }
    free(page);
    free(put);
    return err;
}

/* --- large static sets --- */

static bool scan_due(const struct enf_daemon *d)
{
    const struct enf_truth *t = &d->truth;

    return t->wanted && enf_shape_large(t->wanted, 0) &&
           (t->patrol.scan || enf_clock_steady_ms() >= t->patrol.scan_next_ms);
}

/* True when all are read. A set that was replaced meanwhile is read the next time. */
static bool scan_some(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;
    struct enf_patrol *p = &t->patrol;
    const char *name = enf_shape_large(t->wanted, p->scan_at);
    char what[ENF_REASON_LEN];
    int done = 0;

    if (!name) {
        uint64_t now_ms = enf_clock_steady_ms();
        p->scan_next_ms = now_ms + (now_ms - p->scan_began_ms) * SCAN_REST;
        p->scan_at = 0;
        return true;
    }
    if (!p->scan) {
        if (p->scan_at == 0)
            p->scan_began_ms = enf_clock_steady_ms();
        done = enf_scan_begin(name, &p->scan);
    }
    if (done == 0)
        done = enf_scan_step(p->scan, SCAN_US);
    if (done == 0)
        return false;
    if (done == 1 && enf_shape_judge(t->wanted, p->scan, what, sizeof what) == 1)
        enf_repair(d, false, what);
    enf_scan_end(&p->scan);
    p->scan_at++;
    return false;
}

/* --- turns --- */

static void on_turn(uv_timer_t *timer);

static void next_turn(struct enf_daemon *d)
{
    if (d->truth.ready && !d->stopping)
        uv_timer_start(&d->truth.patrol.timer, on_turn, PAUSE_MS, 0);
}

static void end_walk(struct enf_daemon *d)
{
    struct enf_patrol *p = &d->truth.patrol;
    size_t nets = 0, wrong = 0, missing = p->missing, desired = p->desired;
    int err = enf_nets_check(d, ENF_FAMILY_V4, &nets, &wrong);

    if (err == 0)
        err = enf_nets_check(d, ENF_FAMILY_V6, &nets, &wrong);
    enf_coverage_set(d, desired + nets, missing + wrong);
    /* The kernel has answered for each that was put back. */
    if (err == 0 && missing + wrong > 0)
        enf_coverage_set(d, desired + nets, 0);
}

static void begin_walk(struct enf_patrol *p)
{
    p->again = p->begun = false;
    p->desired = p->missing = 0;
}

static void on_turn(uv_timer_t *timer)
{
    struct enf_daemon *d = timer->data;
    struct enf_patrol *p = &d->truth.patrol;
    size_t all = enf_quarantine_count(d->quarantine);
    bool more = false;

    if (p->scan) {
        if (!scan_some(d))
            next_turn(d);
        else
            p->running = false;
        return;
    }
    int err = walk_page(d, &more);
    if (err < 0) {
        /* The table is gone, or the like: the next look says so, and begins anew. */
        p->running = false;
        return;
    }
    if (p->missing > 0 && !d->coverage.lost)
        enf_coverage_set(d, all, p->refill ? all : p->missing);
    if (p->refill)
        d->coverage.enforced = p->desired;
    if (more) {
        next_turn(d);
        return;
    }
    end_walk(d);
    p->refill = false;
    if (p->again) {
        begin_walk(p);
        next_turn(d);
    } else if (scan_due(d) && !scan_some(d)) {
        next_turn(d);
    } else {
        p->running = false;
    }
}

void enf_patrol_start(struct enf_daemon *d, bool refill)
{
    struct enf_patrol *p = &d->truth.patrol;

    if (!d->truth.ready)
        return;
    p->refill |= refill;
    if (p->running && !refill) {
        p->again = true;
        return;
    }
    enf_scan_end(&p->scan);
    p->scan_at = 0;
    begin_walk(p);
    p->running = true;
    next_turn(d);
}

void enf_patrol_scan(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;

    if (t->news.elements || t->news.overrun)
        t->patrol.scan_next_ms = 0;
    if (!t->patrol.running && scan_due(d))
        enf_patrol_start(d, false);
}
