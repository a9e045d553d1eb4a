/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole quarantine into the kernel's sets, before the first rule is in force: at a start, and where the
 * table was gone. What is to go in waits in a few chunks; where they do not suffice, a thread empties them,
 * so that reading a large state and filling the kernel's sets go on at the same time. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/tiers.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define CHUNKS 8
_Static_assert(CHUNKS *ENF_KERNEL_CHUNK > ENF_COMPARE_AT_ONCE, "a thread is for large quarantines only");

/* Chunks are numbered: number n lies at n % CHUNKS. From taken to given they are full, and the thread's; the
 * one behind is being filled by the control thread, which alone writes given. While the thread runs, the
 * kernel's socket is the thread's, too. */
struct enf_restore {
    struct enf_kernel *kernel;
    uint64_t began_ms; /* steady clock */
    size_t singles;    /* all so far */
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t moved;
    size_t given;
    size_t taken;
    bool over;
    int err;
    struct chunk {
        uint64_t now_ms; /* wall clock, from which the timeouts count */
        size_t len;
        struct enf_kernel_single singles[ENF_KERNEL_CHUNK];
    } chunks[CHUNKS];
};

static struct enf_restore *restore_new(struct enf_kernel *kernel)
{
    struct enf_restore *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->kernel = kernel;
    r->began_ms = enf_clock_steady_ms();
    r->chunks[0].now_ms = enf_clock_wall_ms();
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->moved, NULL);
    return r;
}

static void restore_free(struct enf_restore *r)
{
    pthread_cond_destroy(&r->moved);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* The chunk may have waited: for the rest of the state, or on a busy machine. */
static void catch_up(struct chunk *chunk)
{
    uint64_t now_ms = enf_clock_wall_ms(), late_ms = now_ms > chunk->now_ms ? now_ms - chunk->now_ms : 0;

    for (size_t i = 0; i < chunk->len; i++) {
        uint64_t *left_ms = &chunk->singles[i].timeout_ms;
        if (*left_ms != ENF_FOREVER)
            *left_ms = *left_ms > late_ms ? *left_ms - late_ms : 1;
    }
    chunk->now_ms = now_ms;
}

static int fill(struct enf_kernel *kernel, struct chunk *chunk)
{
    catch_up(chunk);
    return enf_kernel_singles_fill(kernel, chunk->singles, chunk->len);
}

static int set_exactly(struct enf_kernel *kernel, struct chunk *chunk)
{
    catch_up(chunk);
    return enf_kernel_singles(kernel, chunk->singles, chunk->len);
}

/* The kernel makes the set's hash larger as it fills, in a work that waits for this thread's processor; until
 * that is done each addition looks into two tables. */
static void give_way(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1}, NULL);
}

static void *empty_chunks(void *arg)
{
    struct enf_restore *r = arg;

    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (r->taken == r->given && !r->over)
            pthread_cond_wait(&r->moved, &r->lock);
        if (r->taken == r->given)
            break;
        struct chunk *chunk = &r->chunks[r->taken % CHUNKS];
        int err = r->err;
        pthread_mutex_unlock(&r->lock);
        if (err == 0)
            err = fill(r->kernel, chunk);
        give_way();
        pthread_mutex_lock(&r->lock);
        r->err = err;
        r->taken++;
        pthread_cond_signal(&r->moved);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* Signals are for the control thread. */
static void start_thread(struct enf_restore *r)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r->threaded = pthread_create(&r->thread, NULL, empty_chunks, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The chunk is full: the next one, once it is free. Where no thread can be had, the work is done here. */
static void next_chunk(struct enf_restore *r)
{
    if (!r->threaded && r->given + 1 - r->taken == CHUNKS)
        start_thread(r);
    pthread_mutex_lock(&r->lock);
    r->given++;
    if (!r->threaded && r->given - r->taken == CHUNKS) {
        if (r->err == 0)
            r->err = fill(r->kernel, &r->chunks[r->taken % CHUNKS]);
        r->taken++;
    }
    pthread_cond_signal(&r->moved);
    while (r->given - r->taken == CHUNKS)
        pthread_cond_wait(&r->moved, &r->lock);
    pthread_mutex_unlock(&r->lock);
    r->chunks[r->given % CHUNKS].len = 0;
    r->chunks[r->given % CHUNKS].now_ms = enf_clock_wall_ms();
}

/* Entries of one subscriber (of several levels) follow each other: the latest end counts. */
static struct enf_kernel_single *same_element(struct chunk *chunk, const struct enf_kernel_single *single)
{
    for (size_t i = chunk->len; i > 0; i--) {
        struct enf_kernel_single *last = &chunk->singles[i - 1];
        if (!enf_addr_equal(&last->subscriber.addr, &single->subscriber.addr))
            break;
        if (last->tier == single->tier)
            return last;
    }
    return NULL;
}

static void take_single(struct enf_restore *r, const struct enf_kernel_single *single)
{
    struct chunk *chunk = &r->chunks[r->given % CHUNKS];
    struct enf_kernel_single *same = same_element(chunk, single);

    if (same && single->timeout_ms > same->timeout_ms)
        same->timeout_ms = single->timeout_ms;
    if (same)
        return;
    chunk->singles[chunk->len++] = *single;
    r->singles++;
}

void enf_restore_take(struct enf_restore *r, const struct enf_quarantine *entry)
{
    struct enf_kernel_single single = {.subscriber = entry->subscriber};

    if (entry->net)
        return;
    if (r->chunks[r->given % CHUNKS].len + ENF_KERNEL_TIER_COUNT > ENF_KERNEL_CHUNK)
        next_chunk(r);
    single.timeout_ms = enf_left_ms(entry->until_ms, r->chunks[r->given % CHUNKS].now_ms);
    for (unsigned tier = 0; tier < ENF_KERNEL_TIER_COUNT; tier++) {
        single.tier = tier;
        if (enf_tier_holds(tier, entry->level))
            take_single(r, &single);
    }
}

/* Few into sets that hold something: each end is set at once. Many are filled in: on kernels before 6.12 an
 * element that is there keeps its end, and the comparison after the start puts that right. */
static int push_rest(struct enf_restore *r)
{
    bool exact = false, empty = true;
    int err = r->err;

    if (err == 0 && r->singles > 0 && r->singles <= ENF_COMPARE_AT_ONCE) {
        err = enf_kernel_singles_empty(&empty);
        exact = !empty;
    }
    for (size_t n = r->taken; err == 0 && n <= r->given; n++) {
        struct chunk *chunk = &r->chunks[n % CHUNKS];
        err = exact ? set_exactly(r->kernel, chunk) : fill(r->kernel, chunk);
    }
    return err;
}

static int finish(struct enf_restore *r)
{
    if (r->threaded) {
        pthread_mutex_lock(&r->lock);
        r->over = true;
        pthread_cond_signal(&r->moved);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
    }
    int err = push_rest(r);
    if (err == 0 && r->singles > ENF_COMPARE_AT_ONCE)
        enf_log_line("start", "%zu elements are in the kernel's sets, after %" PRIu64 " ms", r->singles,
                     enf_clock_steady_ms() - r->began_ms);
    return err;
}

void enf_restore_begin(struct enf_daemon *d)
{
    char *text = NULL, *error = NULL;

    d->restored = false;
    if (enf_running_ruleset(d->running, d->mode, ENF_GARDEN_CLOSED, &text) == 0 &&
        enf_ruleset_load_sets(text, &error) == 0)
        d->restore = restore_new(d->kernel);
    free(text);
    free(error);
}

void enf_restore_end(struct enf_daemon *d)
{
    if (!d->restore)
        return;
    d->restored = finish(d->restore) == 0;
    restore_free(d->restore);
    d->restore = NULL;
}

static int take(void *ctx, const struct enf_quarantine *entry)
{
    struct enf_restore *r = ctx;

    enf_restore_take(r, entry);
    return r->threaded ? 0 : r->err;
}

static int all_singles(struct enf_daemon *d)
{
    struct enf_restore *r = restore_new(d->kernel);

    if (!r)
        return -ENOMEM;
    int err = enf_quarantine_each(d->quarantine, take, r), finished = finish(r);
    restore_free(r);
    return err < 0 ? err : finished;
}

/* Sets of prefixes are replaced only where they differ: kernels 6.1 and 6.12 miss elements meanwhile. */
int enf_enforce_all(struct enf_daemon *d)
{
    size_t nets = 0, wrong = 0;
    int err = d->restored ? 0 : all_singles(d);

    d->restored = false;
    if (err == 0)
        err = enf_nets_check(d, ENF_FAMILY_V4, &nets, &wrong);
    if (err == 0)
        err = enf_nets_check(d, ENF_FAMILY_V6, &nets, &wrong);
    return err;
}
