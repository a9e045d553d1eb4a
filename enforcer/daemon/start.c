/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From nothing to a daemon in force, in an order that leaves no gap: who we are, what we remember, the sets,
 * then the rules; and the way back down. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/privileges.h"
#include "enforcer/daemon/sinks.h"
#include "enforcer/daemon/supervisor.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_lost(void *ctx, const char *sink, uint64_t first, uint64_t last, uint64_t count, bool over)
{
    struct enf_daemon *d = ctx;
    struct enf_event event = {
        .action = ENF_EVENT_TELEMETRY_LOST, .outcome = ENF_OUTCOME_FAILURE, .count = count};

    snprintf(event.reason, sizeof event.reason,
             "%s: %s %" PRIu64 " events will never be there (numbers %" PRIu64 " to %" PRIu64
             "): it could not be written to, and what may wait for it is full",
             sink, over ? "it takes events again;" : "so far", count, first, last);
    enf_log_line("events", "%s", event.reason);
    enf_tell(d, &event);
}

static int open_hub(struct enf_daemon *d)
{
    const struct enf_config *config = d->running->config;
    char hostname[256] = "", text[512] = "";
    char spool[ENF_PATH_LEN + 8];
    struct enf_hub_params params = {.run = d->run,
                                    .hostname = hostname,
                                    .version = ENF_VERSION,
                                    .spool = spool,
                                    .lost = on_lost,
                                    .lost_ctx = d,
                                    .listener = enf_hooks_take,
                                    .listener_ctx = d};
    struct enf_hub_sink sinks[ENF_EVENT_SINKS_MAX];

    snprintf(spool, sizeof spool, "%s/spool", config->state);
    gethostname(hostname, sizeof hostname - 1);
    int err = enf_hub_new(&params, &d->hub);
    if (err < 0)
        return err;
    /* One that cannot be written to is no reason not to enforce: events wait in its spool. */
    err = enf_hub_set_sinks(d->hub, sinks, enf_sinks_make(config, sinks), true, text, sizeof text);
    if (err < 0)
        enf_log_line("events", "%s", text);
    return 0;
}

static bool on_batch_begin(void *ctx)
{
    return enf_enforce_batch_begin(ctx);
}

static int on_batch_end(void *ctx)
{
    return enf_enforce_batch_end(ctx);
}

static void on_denied(void *ctx, const struct enf_control_caller *caller, const char *method,
                      uint64_t suppressed)
{
    struct enf_daemon *d = ctx;

    enf_tell_text(d, ENF_EVENT_ACCESS_DENIED, ENF_OUTCOME_FAILURE, caller->actor, "%s (uid %u, pid %d)%s",
                  method ? method : "connection to the control socket", (unsigned)caller->uid,
                  (int)caller->pid, suppressed ? ", and others of this user" : "");
    enf_audit(d, caller->actor, method ? method : "connect", "denied", "uid=%u pid=%d unreported=%llu",
              (unsigned)caller->uid, (int)caller->pid, (unsigned long long)suppressed);
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
        .hooks = {.denied = on_denied,
                  .begin = enf_audit_begin,
                  .done = enf_audit_request,
                  .batch_begin = on_batch_begin,
                  .batch_end = on_batch_end,
                  .events_since = on_since,
                  .events_next = on_next},
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
    int err = enf_garden_probe(d->running, error);

    if (err < 0) {
        enf_log_line("start", "quarantine.redirect: the kernel cannot do that");
        return err;
    }
    err = enf_running_ruleset(d->running, d->mode, enf_garden_wanted(d), &text);
    if (err == 0 && !d->restored)
        err = enf_ruleset_load_sets(text, error);
    if (err == 0)
        err = enf_enforce_all(d);
    if (err == 0)
        err = enf_install_relays(d);
    if (err == 0 && listening)
        err = enf_install(d, d->running, d->mode, error);
    else if (err == 0)
        err = enf_ruleset_load(text, NULL, error);
    free(text);
    return err;
}

static int load_running(struct enf_daemon *d, const char *path)
{
    struct enf_config_errors errors = {0};
    int err = enf_running_load(path, &d->running, &errors);

    enf_running_complain(path, &errors, err);
    enf_config_errors_clear(&errors);
    return err;
}

/* Without its state the daemon cannot go on; the policy itself can. A table that is there already knows more
 * than this one would, and stays. */
static void policy_without_state(struct enf_daemon *d)
{
    size_t rules = 0;
    char *text = NULL, *error = NULL;

    if (!d->kernel || (enf_kernel_rule_count(d->kernel, &rules) == 0 && rules > 0))
        return;
    int err = enf_running_ruleset(d->running, d->running->config->mode, ENF_GARDEN_CLOSED, &text);
    if (err == 0)
        err = enf_ruleset_load_sets(text, &error);
    if (err == 0)
        err = enf_install_relays(d);
    if (err == 0)
        err = enf_ruleset_load(text, NULL, &error);
    enf_log_line("start", "%s",
                 err == 0 ? "the rules are in force all the same, without the quarantine"
                 : error  ? error
                          : strerror(-err));
    free(text);
    free(error);
}

static int open_crew(struct enf_daemon *d)
{
    int err = enf_crew_open(&d->crew, d->running, &d->mailbox, d->seed);

    if (err == -EBUSY)
        enf_log_line(
            "start",
            "another enforcerd runs in this network namespace (NFLOG group %d or one behind it is taken)",
            ENF_LOG_GROUP);
    else if (err == -EPERM)
        enf_log_line("start", "no right to read the kernel's log: it takes root or CAP_NET_ADMIN");
    else if (err < 0)
        enf_log_line("start", "the workers could not be set up: %s", strerror(-err));
    return err;
}

static int bring_up(struct enf_daemon *d, const struct enf_options *options)
{
    char *error = NULL;
    int err = load_running(d, options->config);

    if (err == 0)
        err = identify(d);
    if (err == 0) { /* first: it inherits what is open */
        err = enf_hooks_make(d, options->user);
        if (err < 0)
            enf_log_line("hooks", "the process that runs them could not be made: %s", strerror(-err));
    }
    if (err == 0)
        err = enf_loop_open(d);
    if (err < 0)
        return err;
    enf_hooks_open(d);
    load_modules();
    enf_mailbox_init(&d->mailbox, enf_loop_wake, d);
    err = open_crew(d); /* the second daemon of a namespace ends here, before it touched anything */
    if (err == 0) {
        /* what takes more than CAP_NET_ADMIN */
        enf_gap_open(d);
        enf_telemetry_open(d);
        enf_supervisor_open(d);
        enf_metrics_open(d);
        const struct enf_privileges wanted = {.user = options->user};
        err = enf_privileges_drop(d->running, &wanted, &d->crew.shared.filter);
    }
    if (err == 0)
        err = open_hub(d);
    if (err == 0)
        err = enf_kernel_open(&d->kernel);
    if (err == 0) {
        err = enf_remember(d);
        if (err < 0)
            policy_without_state(d);
    }
    if (err == 0)
        enf_confirm_recall(d);
    if (err == 0) {
        err = enforce(d, true, &error);
        if (err < 0)
            enf_log_line("kernel", "%s", error ? error : strerror(-err));
        free(error);
    }
    if (err == 0)
        err = open_control(d);
    if (err == 0)
        err = enf_crew_start(&d->crew);
    if (err == 0)
        enf_metrics_begin(d);
    if (err < 0 && d->control)
        enf_log_line("start", "the workers could not be started: %s", strerror(-err));
    return err;
}

static void tell_started(struct enf_daemon *d)
{
    enf_tell_text(d, ENF_EVENT_STARTED, ENF_OUTCOME_SUCCESS, NULL, "enforcer %s, mode %s, %zu in quarantine",
                  ENF_VERSION, d->mode == ENF_MODE_OBSERVE ? "observe" : "enforce",
                  enf_quarantine_count(d->quarantine));
    enf_tell_text(d, ENF_EVENT_RULESET_INSTALLED, ENF_OUTCOME_SUCCESS, NULL,
                  "table inet enforcer, %zu rules, queue %s", d->rules_expected,
                  d->queued ? enf_kernel_queue_name(d->queue_kind) : "none");
    enf_log_line("start", "enforcer %s is in force (mode %s, pid %d)", ENF_VERSION,
                 d->mode == ENF_MODE_OBSERVE ? "observe" : "enforce", (int)getpid());
}

static void tear_down(struct enf_daemon *d)
{
    enf_crew_close(&d->crew);
    if (d->hub && d->running && d->quarantine && d->would && d->history)
        enf_reports_handle(d);
    enf_loop_close(d);
    if (d->run[0])
        enf_mailbox_clear(&d->mailbox);
    enf_truth_free(d);
    enf_cut_free(d);
    enf_telemetry_close(d);
    enf_supervisor_close(d);
    enf_hub_free(&d->hub);
    enf_store_close(&d->store);
    enf_quarantine_free(&d->quarantine);
    enf_quarantine_free(&d->would);
    enf_quarantine_free(&d->unsaved);
    enf_history_free(&d->history);
    enf_kernel_close(&d->kernel);
    enf_rangemap_clear(&d->relays);
    if (d->worker_relays)
        enf_rangemap_clear(d->worker_relays);
    free(d->worker_relays);
    free(d->hand_relays);
    free(d->ruleset);
    enf_confirm_free(d);
    enf_relays_free(d);
    enf_running_free(&d->running);
}

static void say_ready(int fd)
{
    if (fd < 0)
        return;
    if (write(fd, "", 1) < 0)
        enf_log_line("start", "nobody waits any more");
    close(fd);
    /* In the background: whoever started us must not wait for our descriptors or folder. Events tell from
     * here on. */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i <= 2; i++)
        dup2(null, i);
    if (chdir("/") < 0)
        enf_log_line("start", "the root folder cannot be entered");
}

int enf_daemon_run(const struct enf_options *options)
{
    struct enf_daemon *d = calloc(1, sizeof *d);

    if (!d) {
        enf_log_line("start", "not started: %s", strerror(ENOMEM));
        return 1;
    }
    int err = bring_up(d, options);
    if (err == 0) {
        tell_started(d);
        enf_confirm_tell(d);
        enf_supervisor_tell(d, "READY=1");
        if (options->ready_fd >= 0)
            enf_hooks_detach(d);
        say_ready(options->ready_fd);
        enf_truth_check(d, ENF_ADOPT_ALL);
        enf_enforce_expire(d);
        enf_recall_governor(d);
        enf_telemetry_away(d);
        enf_cut_want_anew(d); /* what was put into a flowtable while no daemon ran */
        enf_loop_run(d);
    } else if (d->running) { /* else the configuration's errors are said */
        enf_log_line("start", "not started: %s", strerror(-err));
    }
    tear_down(d);
    free(d);
    return err == 0 ? 0 : 1;
}

int enf_daemon_install(const struct enf_options *options)
{
    struct enf_daemon *d = calloc(1, sizeof *d);
    char *error = NULL;

    if (!d) {
        enf_log_line("start", "not started: %s", strerror(ENOMEM));
        return 1;
    }
    int err = load_running(d, options->config);
    if (err == 0)
        err = identify(d);
    if (err == 0)
        load_modules();
    /* Short as its life is, root must not open files in folders of another user. */
    const struct enf_privileges wanted = {.user = options->user, .only_state = true};
    bool filtered = false;
    if (err == 0)
        err = enf_privileges_drop(d->running, &wanted, &filtered);
    if (err == 0)
        err = enf_kernel_open(&d->kernel);
    if (err == 0) {
        err = enf_remember(d);
        if (err < 0)
            policy_without_state(d);
    }
    if (err == 0)
        enf_confirm_recall(d);
    if (err == 0)
        err = enforce(d, false, &error);
    if (err < 0)
        enf_log_line("install", "%s", error ? error : strerror(-err));
    free(error);
    tear_down(d);
    free(d);
    return err == 0 ? 0 : 1;
}
