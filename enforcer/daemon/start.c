/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From nothing to a daemon in force, in an order that leaves no gap: who we are, what we remember, the sets,
 * then the rules; and the way back down. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WOULD_MAX   65536
#define HISTORY_MAX 1000000

/* --- what we remember
 * ------------------------------------------------------------------------------------------ */

struct loading {
    struct enf_quarantine_table *table;
    int err;
};

static int load_entry(void *ctx, const struct enf_quarantine *entry)
{
    struct loading *l = ctx;
    struct enf_quarantine copy = *entry;

    /* One that ended while nobody was there is loaded too: the first look at the clock reports it as expired.
     */
    l->err = enf_quarantine_add(l->table, &copy, 1, ENF_QUARANTINE_EXTEND, NULL);
    if (l->err == -EINVAL) {
        char text[ENF_PREFIX_STR_LEN];
        enf_log_line("state", "entry for %s makes no sense and is left out",
                     enf_prefix_str(&entry->subscriber, text, sizeof text));
        l->err = 0;
    }
    return l->err;
}

int enf_load_quarantine(struct enf_daemon *d)
{
    struct loading l = {0};
    size_t skipped = 0;
    int err = enf_quarantine_new(d->running->config->quarantine.max_entries, d->seed, &l.table);

    if (err < 0)
        return err;
    err = enf_store_quarantine_each(d->store, load_entry, &l, &skipped);
    if (skipped > 0)
        enf_log_line("state", "%zu rows of the quarantine make no sense and are left out", skipped);
    if (err != 0) {
        enf_log_line("state", "the quarantine could not be read: %s", enf_store_message(d->store));
        enf_quarantine_free(&l.table);
        return err < 0 ? -EIO : err;
    }
    enf_quarantine_free(&d->quarantine);
    d->quarantine = l.table;
    return 0;
}

static uint64_t keep_ms(const struct enf_daemon *d, const struct enf_prefix *subscriber)
{
    const struct enf_group *group = enf_group_find(&d->running->groups, &subscriber->addr);

    return group && group->addresses == ENF_ADDRESSES_DYNAMIC ? group->lease_ms : ENF_FOREVER;
}

static int load_conviction(void *ctx, const struct enf_store_history *line)
{
    struct enf_daemon *d = ctx;

    return enf_history_add(d->history, &line->subscriber, line->time_ms, keep_ms(d, &line->subscriber)) ==
                   -ENOMEM
               ? -ENOMEM
               : 0;
}

/* A reassigned address starts with a clean sheet: lines come oldest first, so what was before is forgotten.
 */
static int load_reassigned(void *ctx, const struct enf_store_history *line)
{
    struct enf_daemon *d = ctx;

    enf_history_forget(d->history, &line->subscriber);
    return 0;
}

static int load_relay(void *ctx, const struct enf_store_relay *relay)
{
    struct enf_daemon *d = ctx;

    if (d->hand_relays_len == ENF_HAND_RELAYS_MAX)
        return 0;
    struct enf_hand_relay *hand = &d->hand_relays[d->hand_relays_len++];
    hand->prefix = relay->prefix;
    enf_text_copy(hand->name, sizeof hand->name, relay->name);
    return 0;
}

static int remember(struct enf_daemon *d)
{
    const struct enf_config *config = d->running->config;
    char text[512], mode[32];
    uint64_t memory_ms = config->quarantine.memory_ms, now_ms = enf_clock_wall_ms();

    /* One level is made; a missing parent is more likely a typing error than a wish. */
    if (mkdir(config->state, 0700) < 0 && errno != EEXIST) {
        enf_log_line("state", "%s: cannot be made: %s", config->state, strerror(errno));
        return -errno;
    }
    if (enf_store_open(config->state, &d->store, text, sizeof text) < 0) {
        enf_log_line("state", "%s", text);
        return -EIO;
    }
    d->hand_relays = calloc(ENF_HAND_RELAYS_MAX, sizeof *d->hand_relays);
    if (!d->hand_relays)
        return -ENOMEM;
    int err = enf_load_quarantine(d);
    if (err == 0)
        err = enf_quarantine_new(WOULD_MAX, d->seed, &d->would);
    if (err == 0)
        err = enf_history_new(HISTORY_MAX, d->seed, &d->history);
    uint64_t since_ms = now_ms > memory_ms ? now_ms - memory_ms : 0;
    if (err == 0)
        err = enf_store_history_since(d->store, "convicted", since_ms, load_conviction, d);
    if (err == 0)
        err = enf_store_history_since(d->store, "reassigned", since_ms, load_reassigned, d);
    if (err == 0)
        err = enf_store_relay_each(d->store, load_relay, d);
    d->mode = config->mode;
    if (err == 0 && enf_store_setting_get(d->store, "mode", mode, sizeof mode) == 1) {
        d->mode_by_hand = true;
        d->mode = strcmp(mode, "observe") == 0 ? ENF_MODE_OBSERVE : ENF_MODE_ENFORCE;
    }
    return err;
}

/* --- events and the socket
 * -------------------------------------------------------------------------------------- */

static int open_hub(struct enf_daemon *d)
{
    const struct enf_config *config = d->running->config;
    char hostname[256] = "", text[512] = "";
    struct enf_hub_params params = {.run = d->run, .hostname = hostname, .version = ENF_VERSION};
    struct enf_hub_sink sinks[ENF_EVENT_SINKS_MAX];
    size_t len = 0;

    gethostname(hostname, sizeof hostname - 1);
    int err = enf_hub_new(&params, &d->hub);
    if (err < 0)
        return err;
    for (; len < config->events_len && len < ENF_EVENT_SINKS_MAX; len++)
        sinks[len] = (struct enf_hub_sink){.path = config->events[len].path};
    err = enf_hub_set_sinks(d->hub, sinks, len, text, sizeof text);
    if (err < 0)
        enf_log_line("events", "%s", text);
    return err;
}

static void on_denied(void *ctx, const struct enf_control_caller *caller, const char *method,
                      uint64_t suppressed)
{
    struct enf_daemon *d = ctx;

    enf_tell_text(d, ENF_EVENT_ACCESS_DENIED, ENF_OUTCOME_FAILURE, caller->actor, "%s (uid %u, pid %d)%s",
                  method ? method : "connection to the control socket", (unsigned)caller->uid,
                  (int)caller->pid, suppressed ? ", and others of this user" : "");
}

static uint64_t on_since(void *ctx, uint64_t since_ms)
{
    struct enf_daemon *d = ctx;
    struct enf_hub_stats stats;

    if (since_ms == UINT64_MAX) {
        enf_hub_stats(d->hub, &stats);
        return stats.sequence + 1;
    }
    return enf_hub_since(d->hub, since_ms);
}

static int on_next(void *ctx, uint64_t sequence, struct enf_control_event *out)
{
    struct enf_daemon *d = ctx;
    struct enf_hub_line line;

    if (enf_hub_next(d->hub, sequence, &line) != 1)
        return 0;
    *out = (struct enf_control_event){line.sequence, line.action, line.text, line.len};
    return 1;
}

static int open_control(struct enf_daemon *d)
{
    const struct enf_config *config = d->running->config;
    char text[512] = "";
    struct enf_control_params params = {
        .loop = &d->loop,
        .path = config->control.socket,
        .methods = enf_methods,
        .methods_len = enf_methods_len,
        .hooks = {.denied = on_denied, .events_since = on_since, .events_next = on_next},
        .ctx = d,
    };
    int err = enf_principals_make(config, &params.access);

    if (err < 0)
        return err;
    err = enf_control_start(&params, &d->control, text, sizeof text);
    enf_principals_clear(&params.access);
    if (err < 0)
        enf_log_line("control", "%s", text);
    return err;
}

/* --- the loop
 * ---------------------------------------------------------------------------------------------------- */

static void on_mail(uv_async_t *handle)
{
    enf_reports_handle(handle->data);
}

static void wake_loop(void *ctx)
{
    struct enf_daemon *d = ctx;

    uv_async_send(&d->mail);
}

/* Often while it costs little, seldom where the sets are large: never more than some percent of the time. */
static void maybe_compare(struct enf_daemon *d)
{
    uint64_t now_ms = enf_clock_steady_ms();
    uint64_t wait_ms = 5000 + enf_quarantine_count(d->quarantine) / 10;

    if (now_ms < d->coverage.checked_steady_ms + wait_ms)
        return;
    d->coverage.checked_steady_ms = now_ms;
    int err = enf_enforce_compare(d, true);
    if (err < 0)
        enf_log_line("coverage", "could not be checked: %s", strerror(-err));
}

#define PRUNE_EVERY_MS (600 * 1000)
#define PRUNE_LINES    5000 /* at once: the loop has other work */

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
}

static void on_second(uv_timer_t *timer)
{
    struct enf_daemon *d = timer->data;
    uint64_t lost = enf_mailbox_lost(&d->mailbox);

    enf_hub_tick(d->hub, enf_clock_steady_ms());
    enf_quarantine_expire(d->would, enf_clock_wall_ms(), 0, NULL);
    if (lost > d->reports_lost_told) {
        enf_tell_text(d, ENF_EVENT_TELEMETRY_LOST, ENF_OUTCOME_FAILURE, NULL,
                      "%llu reports of the worker did not fit into the mailbox",
                      (unsigned long long)(lost - d->reports_lost_told));
        d->reports_lost_told = lost;
    }
    prune(d);
    maybe_compare(d);
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
    enf_tell_text(d, ENF_EVENT_STOPPED, ENF_OUTCOME_SUCCESS, NULL, "the kernel rules stay in place");
    enf_control_stop(&d->control);
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
    enf_reload(d, "signal:HUP", &errors, NULL);
    for (size_t i = 0; i < errors.len; i++)
        enf_log_line("config", "%s", errors.lines[i]);
    enf_config_errors_clear(&errors);
}

static int open_loop(struct enf_daemon *d)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

    if (uv_loop_init(&d->loop) != 0)
        return -ENOMEM;
    d->loop_ready = true;
    uv_async_init(&d->loop, &d->mail, on_mail);
    uv_timer_init(&d->loop, &d->second);
    uv_timer_init(&d->loop, &d->expiry);
    d->mail.data = d->second.data = d->expiry.data = d;
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(&d->loop, &d->signals[i]);
        d->signals[i].data = d;
        uv_signal_start(&d->signals[i], on_signal, numbers[i]);
    }
    return 0;
}

static void close_loop(struct enf_daemon *d)
{
    if (!d->loop_ready)
        return;
    enf_control_stop(&d->control);
    uv_run(&d->loop, UV_RUN_NOWAIT);
    uv_walk(&d->loop, close_walk, NULL);
    while (uv_run(&d->loop, UV_RUN_ONCE) != 0)
        ;
    uv_loop_close(&d->loop);
}

/* --- start
 * ---------------------------------------------------------------------------------------------------------
 */

static int identify(struct enf_daemon *d)
{
    unsigned char random[16];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random ||
        getrandom(&d->seed, sizeof d->seed, 0) != (ssize_t)sizeof d->seed)
        return -errno;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(d->run + 2 * i, 3, "%02x", random[i]);
    d->started_ms = enf_clock_wall_ms();
    return 0;
}

/* Where the target is a module it does not load by itself in an inet table; failing is fine, the probe tells.
 */
static void load_modules(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        char name[] = "modprobe", options[] = "-aq", compat[] = "nft_compat", target[] = "xt_NFQUEUE",
             queue[] = "nfnetlink_queue", log[] = "nfnetlink_log",
             path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        char *const argv[] = {name, options, compat, target, queue, log, NULL};
        char *const environment[] = {path, NULL};
        if (freopen("/dev/null", "w", stderr))
            execvpe("modprobe", argv, environment);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

/* Sets, quarantine and relays first: when the first rule is in force, it knows everybody. */
static int enforce(struct enf_daemon *d, bool listening, char **error)
{
    char *text = NULL;
    int err = enf_running_ruleset(d->running, d->mode, &text);

    if (err == 0)
        err = enf_ruleset_load_sets(text, error);
    if (err == 0)
        err = enf_enforce_all(d);
    if (err == 0)
        err = enf_install_relays(d);
    if (err == 0 && listening)
        err = enf_install(d, d->running, d->mode, error);
    else if (err == 0)
        err = enf_ruleset_load(text, error);
    free(text);
    return err;
}

static int load_running(struct enf_daemon *d, const char *path)
{
    struct enf_config_errors errors = {0};
    int err = enf_running_load(path, &d->running, &errors);

    for (size_t i = 0; i < errors.len; i++)
        fprintf(stderr, "%s\n", errors.lines[i]);
    enf_config_errors_clear(&errors);
    return err;
}

static int open_worker(struct enf_daemon *d)
{
    int err = enf_worker_open(&d->worker, d->running, &d->mailbox, d->seed);

    if (err == -EBUSY)
        enf_log_line("start", "another enforcerd runs in this network namespace (NFLOG group %d is taken)",
                     ENF_LOG_GROUP);
    else if (err == -EPERM)
        enf_log_line("start", "no right to read the kernel's log: it takes root or CAP_NET_ADMIN");
    else if (err < 0)
        enf_log_line("start", "the worker could not be set up: %s", strerror(-err));
    d->worker_open = err == 0;
    return err;
}

static int bring_up(struct enf_daemon *d, const struct enf_options *options)
{
    char *error = NULL;
    int err = load_running(d, options->config);

    if (err == 0)
        err = identify(d);
    if (err == 0)
        err = open_loop(d);
    if (err < 0)
        return err;
    load_modules();
    enf_mailbox_init(&d->mailbox, wake_loop, d);
    err = open_worker(d); /* the second daemon of a namespace ends here, before it touched anything */
    if (err == 0)
        err = open_hub(d);
    if (err == 0)
        err = enf_kernel_open(&d->kernel);
    if (err == 0)
        err = remember(d);
    if (err == 0) {
        err = enforce(d, true, &error);
        if (err < 0)
            enf_log_line("kernel", "%s", error ? error : strerror(-err));
        free(error);
    }
    if (err == 0)
        err = open_control(d);
    if (err == 0)
        err = enf_worker_start(&d->worker);
    return err;
}

static void tell_started(struct enf_daemon *d)
{
    enf_tell_text(d, ENF_EVENT_STARTED, ENF_OUTCOME_SUCCESS, NULL, "enforcer %s, mode %s, %zu in quarantine",
                  ENF_VERSION, d->mode == ENF_MODE_OBSERVE ? "observe" : "enforce",
                  enf_quarantine_count(d->quarantine));
    enf_tell_text(d, ENF_EVENT_RULESET_INSTALLED, ENF_OUTCOME_SUCCESS, NULL,
                  "table inet enforcer, %zu rules, queue %s", d->rules_expected,
                  d->mode == ENF_MODE_ENFORCE ? enf_kernel_queue_name(d->queue_kind) : "none");
    enf_log_line("start", "enforcer %s is in force (mode %s, pid %d)", ENF_VERSION,
                 d->mode == ENF_MODE_OBSERVE ? "observe" : "enforce", (int)getpid());
}

static void tear_down(struct enf_daemon *d)
{
    if (d->worker_open)
        enf_worker_stop(&d->worker);
    if (d->hub && d->running && d->quarantine && d->would && d->history)
        enf_reports_handle(d);
    close_loop(d);
    if (d->run[0])
        enf_mailbox_clear(&d->mailbox);
    enf_hub_free(&d->hub);
    enf_store_close(&d->store);
    enf_quarantine_free(&d->quarantine);
    enf_quarantine_free(&d->would);
    enf_history_free(&d->history);
    enf_kernel_close(&d->kernel);
    enf_rangemap_clear(&d->relays);
    if (d->worker_relays)
        enf_rangemap_clear(d->worker_relays);
    free(d->worker_relays);
    free(d->hand_relays);
    free(d->ruleset);
    enf_running_free(&d->running);
}

static void say_ready(int fd)
{
    if (fd < 0)
        return;
    if (write(fd, "", 1) < 0)
        enf_log_line("start", "nobody waits any more");
    close(fd);
}

int enf_daemon_run(const struct enf_options *options)
{
    struct enf_daemon *d = calloc(1, sizeof *d);

    if (!d)
        return 1;
    int err = bring_up(d, options);
    if (err == 0) {
        tell_started(d);
        say_ready(options->ready_fd);
        enf_enforce_compare(d, true);
        enf_enforce_expire(d);
        uv_timer_start(&d->second, on_second, 1000, 1000);
        uv_run(&d->loop, UV_RUN_DEFAULT);
    }
    tear_down(d);
    free(d);
    return err == 0 ? 0 : 1;
}

int enf_daemon_install(const char *config)
{
    struct enf_daemon *d = calloc(1, sizeof *d);
    char *error = NULL;

    if (!d)
        return 1;
    int err = load_running(d, config);
    if (err == 0)
        err = identify(d);
    if (err == 0)
        load_modules();
    if (err == 0)
        err = enf_kernel_open(&d->kernel);
    if (err == 0)
        err = remember(d);
    if (err == 0)
        err = enforce(d, false, &error);
    if (err < 0)
        enf_log_line("install", "%s", error ? error : strerror(-err));
    free(error);
    tear_down(d);
    free(d);
    return err == 0 ? 0 : 1;
}
