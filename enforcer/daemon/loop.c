/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control thread's loop: timers, signals, the worker's mail, and the way down. */
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/supervisor.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void on_mail(uv_async_t *handle)
{
    enf_reports_handle(handle->data);
}

void enf_loop_wake(void *ctx)
{
    struct enf_daemon *d = ctx;

    uv_async_send(&d->mail);
}

#define PRUNE_EVERY_MS (600 * 1000)
#define PRUNE_LINES    5000                    /* at once: the loop has other work */
#define AUDIT_MS       (400ull * 86400 * 1000) /* a year and a month */

/* History older than the memory serves nobody. */
static void prune(struct enf_daemon *d)
{
    uint64_t steady_ms = enf_clock_steady_ms(), wall_ms = enf_clock_wall_ms();
    uint64_t memory_ms = d->running->config->quarantine.memory_ms;

    if (steady_ms < d->pruned_ms + PRUNE_EVERY_MS || wall_ms < memory_ms)
        return;
    d->pruned_ms = steady_ms;
    enf_history_prune(d->history, wall_ms, memory_ms);
    if (enf_store_history_prune(d->store, wall_ms - memory_ms, PRUNE_LINES, NULL) < 0)
        enf_log_line("state", "old history could not be removed: %s", enf_store_message(d->store));
    if (wall_ms > AUDIT_MS && enf_store_audit_prune(d->store, wall_ms - AUDIT_MS) < 0)
        enf_log_line("state", "old audit lines could not be removed: %s", enf_store_message(d->store));
}

#define TRIM_EVERY_MS   (60 * 1000)
#define LARGE_BYTES     (128 * 1024)
#define KEPT_FREE_BYTES (1024 * 1024)

/* To load rules takes megabytes for a moment. What is allocated meanwhile and stays, like events, lies behind
 * them, and the heap grows for hours. So large blocks are the kernel's at once when they are freed (by itself
 * glibc learns to keep them), and once a minute what is free goes back, wherever it lies. */
static void memory_begin(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
#endif
}

static void memory_tick(struct enf_daemon *d)
{
    uint64_t now_ms = enf_clock_steady_ms();

    if (now_ms < d->trimmed_ms + TRIM_EVERY_MS)
        return;
    d->trimmed_ms = now_ms;
#ifdef __GLIBC__
    malloc_trim(KEPT_FREE_BYTES);
#endif
}

static void on_second(uv_timer_t *timer)
{
    struct enf_daemon *d = timer->data;
    uint64_t lost = enf_mailbox_lost(&d->mailbox);

    enf_hub_tick(d->hub, enf_clock_steady_ms());
    enf_sinks_kick(d);
    enf_hooks_tick(d);
    enf_quarantine_expire(d->would, enf_clock_wall_ms(), 0, NULL);
    if (lost > d->reports_lost_told) {
        enf_tell_text(d, ENF_EVENT_TELEMETRY_LOST, ENF_OUTCOME_FAILURE, NULL,
                      "%llu reports of the worker did not fit into the mailbox",
                      (unsigned long long)(lost - d->reports_lost_told));
        d->reports_lost_told = lost;
    }
    enf_telemetry_tick(d);
    prune(d);
    enf_state_retry(d);
    enf_relays_tick(d);
    enf_truth_tick(d);
    enf_garden_tick(d);
    memory_tick(d);
}

static void on_close(uv_handle_t *handle)
{
    (void)handle;
}

static void close_walk(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle) && handle->type != UV_NAMED_PIPE)
        uv_close(handle, on_close);
}

static void stop(struct enf_daemon *d)
{
    d->stopping = true;
    enf_supervisor_tell(d, "STOPPING=1");
    enf_telemetry_end(d);
    enf_tell_text(d, ENF_EVENT_STOPPED, ENF_OUTCOME_SUCCESS, NULL, "the kernel rules stay in place");
    enf_control_stop(&d->control);
    enf_truth_close(d);
    enf_cut_close(d);
    enf_sinks_close(d);
    enf_metrics_end(d);
    enf_hooks_close(d);
    enf_confirm_close(d);
    uv_timer_stop(&d->second);
    uv_timer_stop(&d->expiry);
    uv_close((uv_handle_t *)&d->mail, on_close);
    uv_close((uv_handle_t *)&d->second, on_close);
    uv_close((uv_handle_t *)&d->expiry, on_close);
    for (size_t i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&d->signals[i], on_close);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct enf_daemon *d = handle->data;
    struct enf_config_errors errors = {0};
    char text[512];

    if (number != SIGHUP) {
        stop(d);
        return;
    }
    if (enf_hub_reopen(d->hub, text, sizeof text) < 0)
        enf_log_line("events", "%s", text);
    enf_confirm_signal(d, &errors);
    for (size_t i = 0; i < errors.len; i++)
        enf_log_line("config", "%s", errors.lines[i]);
    enf_config_errors_clear(&errors);
}

int enf_loop_open(struct enf_daemon *d)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

    /* A ring would carry system calls past the filter (libuv 1.45 and later take one where they can). */
    setenv("UV_USE_IO_URING", "0", 1);
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    memory_begin();
    if (uv_loop_init(&d->loop) != 0)
        return -ENOMEM;
    d->loop_ready = true;
    uv_async_init(&d->loop, &d->mail, on_mail);
    uv_timer_init(&d->loop, &d->second);
    uv_timer_init(&d->loop, &d->expiry);
    enf_cut_open(d);
    enf_sinks_open(d);
    enf_confirm_open(d);
    d->mail.data = d->second.data = d->expiry.data = d;
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(&d->loop, &d->signals[i]);
        d->signals[i].data = d;
        uv_signal_start(&d->signals[i], on_signal, numbers[i]);
    }
    return 0;
}

void enf_loop_close(struct enf_daemon *d)
{
    if (!d->loop_ready)
        return;
    enf_control_stop(&d->control);
    enf_truth_close(d);
    enf_cut_close(d);
    enf_sinks_close(d);
    enf_metrics_end(d);
    enf_hooks_close(d);
    enf_confirm_close(d);
    uv_run(&d->loop, UV_RUN_NOWAIT);
    uv_walk(&d->loop, close_walk, NULL);
    while (uv_run(&d->loop, UV_RUN_ONCE) != 0)
        ;
    uv_loop_close(&d->loop);
}

void enf_loop_run(struct enf_daemon *d)
{
    uv_timer_start(&d->second, on_second, 1000, 1000);
    uv_run(&d->loop, UV_RUN_DEFAULT);
}
