/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A large quarantine is walked through in pieces of a few ms: the kernel is asked for each entry (reading the
 * set as a whole takes it a time that grows with the square), and what is missing is put back. That is done
 * beside the control thread, which answers meanwhile: the kernel lets nobody else change a table while it
 * empties a large set for somebody, for seconds. Then the large static sets are read, seldom and in steps. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/tiers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE      1000 /* entries asked for at once: 5 ms, and 2 to 4 ms where all are put back */
#define PAUSE_MS  1
#define SCAN_US   3000
#define SCAN_REST 50 /* a scan is followed by a pause of so many times what it took */

#define ROWS (2 * PAGE + 64) /* an entry has two elements at most */

/* A piece of the table, and what became of it. While it is asked for it belongs to that thread. */
struct enf_page {
    struct page_row {
        enum enf_kernel_tier tier;
        struct enf_prefix subscriber;
        uint64_t until_ms;
    } rows[ROWS];
    size_t len;
    size_t quarantines; /* who is at level full counts once */
    struct enf_prefix last;
    bool more;
    bool refill;
    struct enf_kernel *kernel;
    struct enf_kernel_single put[ROWS];
    size_t put_len;
    size_t missing;
    int err;
};

/* Entries of one subscriber (of several levels) follow each other: the latest end counts. */
static int add_row(struct enf_page *page, const struct page_row *row)
{
    for (size_t i = page->len; i > 0; i--) {
        struct page_row *old = &page->rows[i - 1];
        if (!enf_addr_equal(&old->subscriber.addr, &row->subscriber.addr))
            break;
        if (old->tier != row->tier)
            continue;
        old->until_ms = row->until_ms > old->until_ms ? row->until_ms : old->until_ms;
        return 0;
    }
    if (page->len == ROWS)
        return -ENOSPC;
    page->rows[page->len++] = *row;
    page->quarantines += row->tier != ENF_KERNEL_TIER_FULL;
    return 0;
}

static int on_entry(void *ctx, const struct enf_quarantine *entry)
{
    struct enf_page *page = ctx;
    int err = 0;

    page->last = entry->subscriber;
    for (unsigned tier = 0; err == 0 && !entry->net && tier < ENF_KERNEL_TIER_COUNT; tier++) {
        struct page_row row = {tier, entry->subscriber, entry->until_ms};
        if (enf_tier_holds(tier, entry->level))
            err = add_row(page, &row);
    }
    return err;
}

/* What the kernel has left of the rows; tier by tier, as they follow each other. */
static int ask_kernel(const struct enf_page *page, uint64_t *left_ms)
{
    struct enf_prefix subscribers[ROWS];
    int err = 0;

    for (size_t i = 0; err == 0 && i < page->len;) {
        enum enf_kernel_tier tier = page->rows[i].tier;
        size_t from = i, n = 0;
        for (; i < page->len && page->rows[i].tier == tier; i++)
            subscribers[n++] = page->rows[i].subscriber;
        err = enf_kernel_singles_left(page->kernel, tier, subscribers, n, left_ms + from);
    }
    return err;
}

/* Which of the page are missing or have another end; those are put in. */
static int ask(struct enf_page *page)
{
    uint64_t left_ms[ROWS] = {0}, now_ms = enf_clock_wall_ms(); /* a refill: none is there */
    int err = page->refill ? 0 : ask_kernel(page, left_ms);

    for (size_t i = 0; err == 0 && i < page->len; i++) {
        const struct page_row row = page->rows[i];
        uint64_t wanted_ms = enf_left_ms(row.until_ms, now_ms);
        uint64_t has_ms = left_ms[i];
        if (enf_same_end(wanted_ms, has_ms)) /* also what ends now and is gone */
            continue;
        page->missing += has_ms == 0;
        page->rows[page->put_len] = row;
        page->put[page->put_len++] = (struct enf_kernel_single){
            .subscriber = row.subscriber, .tier = row.tier, .timeout_ms = wanted_ms};
    }
    return err == 0 ? enf_kernel_singles(page->kernel, page->put, page->put_len) : err;
}

static void on_work(uv_work_t *work)
{
    struct enf_daemon *d = work->data;

    d->truth.patrol.page->err = ask(d->truth.patrol.page);
}

static int open_kernel(struct enf_daemon *d)
{
    struct enf_patrol *p = &d->truth.patrol;

    if (p->kernel)
        return 0;
    int err = enf_kernel_open(&p->kernel);
    if (err == 0)
        err = enf_notify_own_port(d->truth.notify, enf_kernel_port(p->kernel));
    return err;
}

static void on_worked(uv_work_t *work, int status);

/* Takes a piece of the table and has it asked for. */
static int begin_page(struct enf_daemon *d)
{
    struct enf_patrol *p = &d->truth.patrol;
    struct enf_page *page = calloc(1, sizeof *page);
    int err = page ? open_kernel(d) : -ENOMEM;

    if (err == 0) {
        page->kernel = p->kernel;
        page->refill = p->refill;
        err = enf_quarantine_list(d->quarantine, p->begun ? &p->after : NULL, PAGE, on_entry, page,
                                  &page->more);
    }
    if (err == 0) {
        p->page = page;
        p->work.data = d;
        err = uv_queue_work(&d->loop, &p->work, on_work, on_worked) == 0 ? 0 : -ENOMEM;
    }
    if (err != 0) {
        p->page = NULL;
        free(page);
    }
    return err;
}

/* Who was released, or got another end, while the page was on its way: the table has the last word. */
static int correct(struct enf_daemon *d, struct enf_page *page)
{
    uint64_t now_ms = enf_clock_wall_ms();
    size_t len = 0;

    for (size_t i = 0; i < page->put_len; i++) {
        const struct enf_prefix *subscriber = &page->rows[i].subscriber;
        enum enf_kernel_tier tier = page->rows[i].tier;
        struct enf_quarantine_ends ends = enf_quarantine_ends(d->quarantine, subscriber);
        uint64_t until_ms = enf_tier_end(tier, &ends);
        if (until_ms != page->rows[i].until_ms)
            page->put[len++] =
                (struct enf_kernel_single){.subscriber = *subscriber,
                                           .tier = tier,
                                           .remove = until_ms == 0,
                                           .timeout_ms = until_ms ? enf_left_ms(until_ms, now_ms) : 0};
    }
    return enf_kernel_singles(d->kernel, page->put, len);
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
    const char *name = t->wanted ? enf_shape_large(t->wanted, p->scan_at) : NULL;
    char what[ENF_REASON_LEN];
    int done = 0;

    if (!name) { /* all are read; or the table is not known now, and the next look says why */
        uint64_t now_ms = enf_clock_steady_ms();
        bool stale = p->scan_stale && t->wanted;
        p->scan_next_ms = stale ? 0 : now_ms + (now_ms - p->scan_began_ms) * SCAN_REST;
        p->scan_at = 0;
        p->scan_stale = false;
        return !stale;
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
    /* What somebody changed while it was read must not be learnt as what it should hold. */
    bool learn = !enf_truth_static_changed(d);
    bool wrong = done == 1 && enf_shape_judge(t->wanted, p->scan, learn, what, sizeof what) == 1;
    enf_scan_end(&p->scan);
    p->scan_at++;
    if (wrong)
        enf_truth_put_back(d, what); /* with new sets: from the first of them */
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
    /* The kernel has answered for each that was put back. Where it was changed meanwhile, another walk says.
     */
    if (err == 0 && missing + wrong > 0 && !p->again)
        enf_coverage_set(d, desired + nets, 0);
}

static void begin_walk(struct enf_patrol *p)
{
    p->again = p->begun = false;
    p->desired = p->missing = 0;
}

static void after_walk(struct enf_daemon *d)
{
    struct enf_patrol *p = &d->truth.patrol;

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

static void on_worked(uv_work_t *work, int status)
{
    struct enf_daemon *d = work->data;
    struct enf_patrol *p = &d->truth.patrol;
    struct enf_page *page = p->page;
    int err = status < 0 ? -ECANCELED : page->err;

    if (err == 0)
        err = correct(d, page);
    if (err == 0) {
        p->desired += page->quarantines;
        p->missing += page->missing;
        p->after = page->last;
        p->begun = true;
    }
    bool more = page->more;
    p->page = NULL;
    free(page);
    if (p->anew) {
        p->anew = false;
        begin_walk(p);
        next_turn(d);
    } else if (err < 0) {
        /* The table is gone, or the like: the next look says so, and begins anew. */
        p->running = false;
    } else {
        if (p->missing > 0 && !d->coverage.lost)
            enf_coverage_set(d, enf_quarantine_count(d->quarantine),
                             p->refill ? enf_quarantine_count(d->quarantine) : p->missing);
        if (p->refill)
            d->coverage.enforced = p->desired;
        if (more)
            next_turn(d);
        else
            after_walk(d);
    }
}

static void on_turn(uv_timer_t *timer)
{
    struct enf_daemon *d = timer->data;
    struct enf_patrol *p = &d->truth.patrol;

    if (p->page) /* it goes on when that is back */
        return;
    if (p->scan) {
        if (!scan_some(d))
            next_turn(d);
        else
            p->running = false;
        return;
    }
    if (begin_page(d) < 0)
        p->running = false;
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
    p->running = true;
    p->anew = p->page != NULL;
    if (!p->anew) {
        begin_walk(p);
        next_turn(d);
    }
}

void enf_patrol_scan(struct enf_daemon *d)
{
    struct enf_truth *t = &d->truth;

    if (t->news.static_elements || t->news.overrun) {
        t->patrol.scan_next_ms = 0;
        t->patrol.scan_stale = t->patrol.scan || t->patrol.scan_at > 0; /* it may be past what was changed */
    }
    if (!t->patrol.running && scan_due(d))
        enf_patrol_start(d, false);
}

void enf_patrol_new_sets(struct enf_daemon *d)
{
    struct enf_patrol *p = &d->truth.patrol;

    enf_scan_end(&p->scan);
    p->scan_at = 0;
    p->scan_stale = false;
    if (!d->truth.repairing) /* in a repair what they hold is known, and who fights must not make us read */
        p->scan_next_ms = 0;
}

void enf_patrol_free(struct enf_daemon *d)
{
    enf_scan_end(&d->truth.patrol.scan);
    enf_kernel_close(&d->truth.patrol.kernel);
}
