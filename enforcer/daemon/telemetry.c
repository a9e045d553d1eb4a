/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts what nobody read. The kernel does not count what a full queue lets pass, nor what meets no listener:
 * a rule counts what is on its way to the queue, and the difference to what came is what was not read. Read
 * in the order rule, queue, worker, a packet that is on its way is never taken for one that was missed. */
#include "enforcer/daemon/telemetry.h"

#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TELL_EVERY_MS 10000
#define SAVE_EVERY_MS 60000
#define PROC_ROOM     16384
#define SETTING       "queue_offered"
#define UNTOLD        "losses_untold" /* "DROPPED UNREAD LOST" */

/* --- the kernel's side --- */

static void note_offered(void *ctx, const char *name, uint64_t packets, uint64_t bytes)
{
    uint64_t *offered = ctx;
    char *end;

    (void)bytes;
    if (strncmp(name, "queue", 5) != 0 || name[5] < '0' || name[5] > '9')
        return;
    unsigned long index = strtoul(name + 5, &end, 10);
    if (!*end && index < ENF_RULESET_WORKERS_MAX)
        offered[index] = packets;
}

static uint64_t sum(const uint64_t *values)
{
    uint64_t total = 0;

    for (size_t i = 0; i < ENF_RULESET_WORKERS_MAX; i++)
        total += values[i];
    return total;
}

void enf_telemetry_open(struct enf_daemon *d)
{
    d->telemetry.proc_fd = open("/proc/net/netfilter/nfnetlink_queue", O_RDONLY | O_CLOEXEC);
    d->telemetry.proc_open = d->telemetry.proc_fd >= 0;
    if (!d->telemetry.proc_open)
        enf_log_line("start",
                     "what a full queue drops cannot be counted: /proc/net/netfilter/nfnetlink_queue: %s",
                     strerror(errno));
}

void enf_telemetry_close(struct enf_daemon *d)
{
    if (d->telemetry.proc_open)
        close(d->telemetry.proc_fd);
    d->telemetry.proc_open = false;
}

/* Anew from its beginning; of the network namespace in which it was opened. */
static void read_proc(const struct enf_daemon *d, char *text, size_t size)
{
    size_t len = 0;

    for (ssize_t got = 1; d->telemetry.proc_open && got > 0 && len < size - 1;) {
        got = pread(d->telemetry.proc_fd, text + len, size - 1 - len, (off_t)len);
        if (got > 0)
            len += (size_t)got;
    }
    text[len] = '\0';
}

/* --- a look --- */

static void look_at(struct enf_daemon *d, unsigned i, uint64_t offered, const char *proc, bool rebase)
{
    struct enf_telemetry_base *base = &d->telemetry.bases[i];
    struct enf_worker_report *r = &d->telemetry.workers[i];
    const struct enf_worker_stats *stats = &d->crew.workers[i].stats;
    struct enf_queue_usage usage = {0};

    r->queue = (uint16_t)(d->running->config->queue.first + i);
    r->log_group = (uint16_t)(ENF_LOG_GROUP + i);
    enf_queue_parse_proc(proc, r->queue, &usage);
    r->queue_packets = atomic_load(&stats->queue_packets);
    r->queue_refused = atomic_load(&stats->queue_refused);
    r->queue_waiting = usage.waiting;
    uint64_t dropped = usage.queue_dropped + usage.user_dropped;
    /* The kernel counts from 0 where the queue was bound anew. */
    r->queue_dropped += dropped >= base->dropped_last ? dropped - base->dropped_last : dropped;
    base->dropped_last = dropped;
    r->log_messages = atomic_load(&stats->log_messages);
    r->log_lost = atomic_load(&stats->log_lost);
    uint64_t beat_ms = atomic_load(&stats->beat_ms), now_ms = enf_clock_steady_ms();
    r->silent_ms = beat_ms > 0 && now_ms > beat_ms ? now_ms - beat_ms : 0;
    r->stuck = r->silent_ms > ENF_STUCK_MS;
    uint64_t failed = atomic_load(&stats->queue_failed);
    /* A smaller count than before: the table was deleted. */
    if (rebase || !base->known || offered < base->offered_last) {
        base->known = true;
        base->offered = offered;
        base->received = r->queue_packets;
        base->dropped = r->queue_dropped;
        base->unread = 0;
        base->failed = failed;
    }
    base->offered_last = offered;
    uint64_t on_its_way = offered - base->offered;
    uint64_t seen = r->queue_packets - base->received + (r->queue_dropped - base->dropped) + usage.waiting;
    uint64_t missed = on_its_way > seen ? on_its_way - seen : 0;
    /* What was confirmed stays in the report, whatever the bases are. */
    r->queue_unread += missed > base->unread ? missed - base->unread : 0;
    base->unread = missed > base->unread ? missed : base->unread;
    r->queue_unread += failed > base->failed ? failed - base->failed : 0;
    base->failed = failed;
}

static void look(struct enf_daemon *d, bool rebase)
{
    uint64_t offered[ENF_RULESET_WORKERS_MAX] = {0};
    char proc[PROC_ROOM];

    /* Without the table nothing is offered; what could not be read is looked at the next time. */
    int err = enf_kernel_read_counters(d->kernel, note_offered, offered);
    if (err < 0 && err != -ENOENT)
        return;
    read_proc(d, proc, sizeof proc);
    d->telemetry.len = d->crew.len;
    for (unsigned i = 0; i < d->crew.len; i++)
        look_at(d, i, offered[i], proc, rebase);
}

void enf_telemetry_look(struct enf_daemon *d)
{
    look(d, false);
}

void enf_telemetry_rebase(struct enf_daemon *d)
{
    look(d, true);
}

/* --- telling --- */

static void tell_stuck(struct enf_daemon *d, unsigned i)
{
    struct enf_telemetry_base *base = &d->telemetry.bases[i];
    const struct enf_worker_report *r = &d->telemetry.workers[i];

    if (r->stuck == base->stuck_told)
        return;
    base->stuck_told = r->stuck;
    if (r->stuck) {
        base->stuck_since_ms = enf_clock_steady_ms() - r->silent_ms;
        enf_log_line("worker", "worker %u is stuck", i);
        enf_tell_text(d, ENF_EVENT_TELEMETRY_LOST, ENF_OUTCOME_FAILURE, NULL,
                      "worker %u (queue %u, log group %u) is stuck: it has not come round for %" PRIu64
                      " ms; what waits for it gets the verdict of queue.fail when the queue is full",
                      i, (unsigned)r->queue, (unsigned)r->log_group, r->silent_ms);
    } else {
        enf_log_line("worker", "worker %u goes on", i);
        enf_tell_text(d, ENF_EVENT_TELEMETRY_RESTORED, ENF_OUTCOME_SUCCESS, NULL,
                      "worker %u goes on after %" PRIu64 " ms", i,
                      enf_clock_steady_ms() - base->stuck_since_ms);
    }
}

static uint64_t losses_sum(const struct enf_losses *losses)
{
    return losses->dropped + losses->unread + losses->lost;
}

static struct enf_losses losses_untold(const struct enf_telemetry *t)
{
    struct enf_losses untold = {0};

    for (unsigned i = 0; i < t->len; i++) {
        untold.dropped += t->workers[i].queue_dropped;
        untold.unread += t->workers[i].queue_unread;
        untold.lost += t->workers[i].log_lost;
    }
    untold.dropped -= t->told.dropped;
    untold.unread -= t->told.unread;
    untold.lost -= t->told.lost;
    return untold;
}

static void tell(struct enf_daemon *d, const struct enf_losses *losses, const char *when)
{
    struct enf_event event = {
        .action = ENF_EVENT_TELEMETRY_LOST, .outcome = ENF_OUTCOME_FAILURE, .count = losses_sum(losses)};

    snprintf(event.reason, sizeof event.reason,
             "%squeue: %" PRIu64 " packets dropped unread by the kernel (full), %" PRIu64
             " got the verdict of queue.fail (%s) unread; log: %" PRIu64 " messages lost",
             when, losses->dropped, losses->unread,
             d->running->config->queue.fail == ENF_FAIL_OPEN ? "open" : "closed", losses->lost);
    enf_tell(d, &event);
}

/* What waits to be told is on disk, so that a kill does not take it along. */
static void save_untold(struct enf_daemon *d, const struct enf_losses *untold)
{
    struct enf_telemetry *t = &d->telemetry;
    char text[ENF_STORE_VALUE_MAX + 1];

    if (!d->store || losses_sum(untold) == t->saved_untold)
        return;
    snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 " %" PRIu64, untold->dropped, untold->unread,
             untold->lost);
    int err = losses_sum(untold) > 0 ? enf_store_setting_set(d->store, UNTOLD, text)
                                     : enf_store_setting_delete(d->store, UNTOLD);
    if (err == 0)
        t->saved_untold = losses_sum(untold);
}

static void tell_losses(struct enf_daemon *d, bool now)
{
    struct enf_telemetry *t = &d->telemetry;
    struct enf_losses untold = losses_untold(t);
    uint64_t now_ms = enf_clock_steady_ms();

    if (losses_sum(&untold) > 0 && (now || t->told_ms == 0 || now_ms >= t->told_ms + TELL_EVERY_MS)) {
        tell(d, &untold, "");
        t->told_ms = now_ms;
        t->told.dropped += untold.dropped;
        t->told.unread += untold.unread;
        t->told.lost += untold.lost;
        untold = (struct enf_losses){0};
    }
    save_untold(d, &untold);
}

void enf_telemetry_tick(struct enf_daemon *d)
{
    look(d, false);
    for (unsigned i = 0; i < d->telemetry.len; i++)
        tell_stuck(d, i);
    tell_losses(d, false);
    if (enf_clock_steady_ms() >= d->telemetry.saved_ms + SAVE_EVERY_MS)
        enf_telemetry_save(d);
}

/* --- over a restart --- */

void enf_telemetry_save(struct enf_daemon *d)
{
    uint64_t offered[ENF_RULESET_WORKERS_MAX] = {0};
    char text[32];

    if (!d->store || enf_kernel_read_counters(d->kernel, note_offered, offered) < 0)
        return;
    d->telemetry.saved_ms = enf_clock_steady_ms();
    if (sum(offered) == d->telemetry.saved_offered)
        return;
    snprintf(text, sizeof text, "%" PRIu64, sum(offered));
    if (enf_store_setting_set(d->store, SETTING, text) == 0)
        d->telemetry.saved_offered = sum(offered);
}

void enf_telemetry_end(struct enf_daemon *d)
{
    look(d, false);
    tell_losses(d, true);
    enf_telemetry_save(d);
}

/* What the run before had counted and was killed before it could tell. */
static void tell_left(struct enf_daemon *d)
{
    struct enf_losses left = {0};
    char text[ENF_STORE_VALUE_MAX + 1];

    if (enf_store_setting_get(d->store, UNTOLD, text, sizeof text) != 1)
        return;
    if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &left.dropped, &left.unread, &left.lost) == 3)
        tell(d, &left, "before the last daemon was killed, not told by it: ");
    enf_store_setting_delete(d->store, UNTOLD);
}

void enf_telemetry_away(struct enf_daemon *d)
{
    uint64_t offered[ENF_RULESET_WORKERS_MAX] = {0};
    char text[ENF_STORE_VALUE_MAX + 1];

    tell_left(d);
    if (enf_kernel_read_counters(d->kernel, note_offered, offered) < 0)
        return;
    enf_telemetry_rebase(d);
    bool known = enf_store_setting_get(d->store, SETTING, text, sizeof text) == 1;
    uint64_t before = known ? strtoull(text, NULL, 10) : UINT64_MAX, now = sum(offered);
    d->telemetry.saved_offered = before;
    if (now <= before) { /* nothing came, or the table is a new one: the next start needs its number */
        enf_telemetry_save(d);
        return;
    }
    struct enf_event event = {.action = ENF_EVENT_TELEMETRY_LOST, .outcome = ENF_OUTCOME_FAILURE};
    event.count = now - before;
    snprintf(event.reason, sizeof event.reason,
             "while no daemon ran, or shortly before, up to %" PRIu64
             " packets of inspected flows got the verdict of queue.fail unread",
             now - before);
    enf_tell(d, &event);
    enf_telemetry_save(d);
}
