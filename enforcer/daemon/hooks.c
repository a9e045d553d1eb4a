/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's side of hooks: makes the helper, hands events over, tells what failed. */
#include "enforcer/daemon/hooks.h"

#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/privileges.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TELL_EVERY_MS 10000
#define SOCKET_BUFFER (4 << 20)
#define ANSWER_MS     1000

/* The process between: the helper is nobody's child, so that nobody has to wait for its end. */
static void make_helper(int fd, const struct enf_running *running, const char *user)
{
    pid_t pid = fork();

    if (pid != 0)
        _exit(pid < 0 ? 1 : 0);
    setsid();
    /* What else the daemon has open is none of its business. */
    if ((fd > 3 && close_range(3, (unsigned)fd - 1, 0) < 0) || close_range((unsigned)fd + 1, ~0u, 0) < 0 ||
        enf_privileges_drop_all(user, ENF_HOOK_USER) < 0)
        _exit(1);
    enf_hook_helper(fd, running->path, running->config);
}

/* What the helper has. */
static void copy_rows(struct enf_hooks *hooks, const struct enf_config *config)
{
    hooks->digest = enf_hooks_digest(config);
    hooks->rows_len = 0;
    for (; hooks->rows_len < config->hooks_len && hooks->rows_len < ENF_HOOKS_MAX; hooks->rows_len++) {
        const struct enf_hook_config *hook = &config->hooks[hooks->rows_len];
        struct enf_hook_row *row = &hooks->rows[hooks->rows_len];

        enf_text_copy(row->name, sizeof row->name, hook->name);
        row->actions = hook->actions;
        row->severity = hook->severity;
    }
}

int enf_hooks_make(struct enf_daemon *d, const char *user)
{
    struct enf_hooks *hooks = &d->hooks;
    int fds[2], size = SOCKET_BUFFER, status = 0;

    hooks->fd = -1;
    if (d->running->config->hooks_len == 0)
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) /* as much of it as the machine allows */
        (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        make_helper(fds[1], d->running, user);
    }
    close(fds[1]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        close(fds[0]);
        return -EAGAIN;
    }
    hooks->fd = fds[0];
    hooks->made = true;
    copy_rows(hooks, d->running->config);
    return 0;
}

static void note(struct enf_daemon *d, uint32_t hook, enum enf_hook_result result, const char *text)
{
    struct enf_hooks *hooks = &d->hooks;

    hooks->counts[result]++;
    if (result == ENF_HOOK_DONE || hook >= ENF_HOOKS_MAX)
        return;
    hooks->pending[hook][result].count++;
    enf_text_copy(hooks->pending[hook][result].text, sizeof hooks->pending[hook][result].text, text);
}

static void gone(struct enf_daemon *d)
{
    enf_hooks_close(d);
    if (d->stopping)
        return;
    enf_tell_text(d, ENF_EVENT_HOOK_FAILED, ENF_OUTCOME_FAILURE, NULL,
                  "the process that runs hooks has ended: none is run until the daemon is started again");
    enf_log_line("hooks", "the process that runs hooks has ended");
}

/* Takes in what the helper has said, up to its answer to ENF_HOOK_USE: 1 with *out set. 0: nothing more for
 * now. -EPIPE: there is no helper any more. */
static int read_answers(struct enf_daemon *d, struct enf_hook_answer *out)
{
    ssize_t n;

    while ((n = recv(d->hooks.fd, out, sizeof *out, MSG_DONTWAIT)) == (ssize_t)sizeof *out) {
        out->text[sizeof out->text - 1] = '\0';
        if (out->result == ENF_HOOK_TAKEN || out->result == ENF_HOOK_KEPT)
            return 1;
        if (out->result < ENF_HOOK_RESULT_COUNT)
            note(d, out->hook, (enum enf_hook_result)out->result, out->text);
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

static void on_answer(uv_poll_t *handle, int status, int events)
{
    struct enf_daemon *d = handle->data;
    struct enf_hook_answer message;
    int more;

    (void)status;
    (void)events;
    while ((more = read_answers(d, &message)) > 0)
        ; /* one that came too late to be waited for */
    if (more < 0)
        gone(d);
}

void enf_hooks_open(struct enf_daemon *d)
{
    struct enf_hooks *hooks = &d->hooks;

    if (hooks->fd < 0 || uv_poll_init(&d->loop, &hooks->poll, hooks->fd) != 0)
        return;
    hooks->poll.data = d;
    hooks->polled = true;
    uv_poll_start(&hooks->poll, UV_READABLE, on_answer);
}

static void on_closed(uv_handle_t *handle)
{
    (void)handle;
}

void enf_hooks_close(struct enf_daemon *d)
{
    struct enf_hooks *hooks = &d->hooks;

    if (hooks->polled)
        uv_close((uv_handle_t *)&hooks->poll, on_closed);
    hooks->polled = false;
    if (hooks->made && hooks->fd >= 0)
        close(hooks->fd);
    hooks->fd = -1;
}

/* Events about hooks never cause a run: each failure would be the next one's reason. */
static uint32_t wanted_by(const struct enf_hooks *hooks, const struct enf_hub_line *line)
{
    uint32_t mask = 0;

    if (line->action == ENF_EVENT_HOOK_FAILED || line->action == ENF_EVENT_HOOK_DROPPED)
        return 0;
    for (size_t i = 0; i < hooks->rows_len; i++) {
        const struct enf_hook_row *hook = &hooks->rows[i];
        if (line->severity >= hook->severity && (hook->actions == 0 || (hook->actions >> line->action & 1)))
            mask |= 1u << i;
    }
    return mask;
}

static int give(struct enf_daemon *d, const struct enf_hook_order *order, const char *text, size_t len)
{
    struct enf_hook_order head = *order;
    union {
        const char *given;
        void *wanted;
    } body = {text}; /* sendmsg does not write to it */
    struct iovec parts[] = {{&head, sizeof head}, {body.wanted, len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = len > 0 ? 2 : 1};

    return sendmsg(d->hooks.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void enf_hooks_take(void *ctx, const struct enf_hub_line *line)
{
    struct enf_daemon *d = ctx;
    const struct enf_hooks *hooks = &d->hooks;
    struct enf_hook_order order = {.what = ENF_HOOK_RUN, .mask = hooks->fd >= 0 ? wanted_by(hooks, line) : 0};
    char text[ENF_HOOK_TEXT_LEN + ENF_HOOK_ABOUT_LEN];

    if (order.mask == 0)
        return;
    snprintf(order.about, sizeof order.about, "%s %s-%llu", enf_event_action_name(line->action), d->run,
             (unsigned long long)line->sequence);
    if (give(d, &order, line->text, line->len) == 0)
        return;
    for (uint32_t i = 0; i < hooks->rows_len; i++) {
        if (!(order.mask >> i & 1))
            continue;
        snprintf(text, sizeof text, "%s, for %s: not run, the process that runs hooks is behind",
                 hooks->rows[i].name, order.about);
        note(d, i, ENF_HOOK_DROPPED, text);
    }
}

void enf_hooks_tick(struct enf_daemon *d)
{
    static const enum enf_event_action actions[] = {
        [ENF_HOOK_FAILED] = ENF_EVENT_HOOK_FAILED,
        [ENF_HOOK_DROPPED] = ENF_EVENT_HOOK_DROPPED,
    };
    uint64_t now = enf_clock_steady_ms();

    for (size_t i = 0; i < ENF_HOOKS_MAX * (size_t)ENF_HOOK_RESULT_COUNT; i++) {
        enum enf_hook_result result = (enum enf_hook_result)(i % ENF_HOOK_RESULT_COUNT);
        uint64_t *told_ms = &d->hooks.pending[i / ENF_HOOK_RESULT_COUNT][result].told_ms;
        uint64_t *count = &d->hooks.pending[i / ENF_HOOK_RESULT_COUNT][result].count;
        struct enf_event event = {.outcome = ENF_OUTCOME_FAILURE, .count = *count};

        if (*count == 0 || (*told_ms != 0 && now < *told_ms + TELL_EVERY_MS))
            continue;
        event.action = actions[result];
        enf_text_copy(event.reason, sizeof event.reason,
                      d->hooks.pending[i / ENF_HOOK_RESULT_COUNT][result].text);
        *count = 0;
        *told_ms = now;
        enf_tell(d, &event);
    }
}

void enf_hooks_detach(struct enf_daemon *d)
{
    const struct enf_hook_order order = {.what = ENF_HOOK_TURN_AWAY};

    if (d->hooks.fd >= 0)
        (void)give(d, &order, NULL, 0);
}

/* 1 with its answer; 0 where there is none in time; -EPIPE. */
static int wait_answer(struct enf_daemon *d, struct enf_hook_answer *out)
{
    uint64_t end_ms = enf_clock_steady_ms() + ANSWER_MS;

    for (;;) {
        struct pollfd fds = {.fd = d->hooks.fd, .events = POLLIN};
        uint64_t now_ms = enf_clock_steady_ms();
        int got = read_answers(d, out);

        if (got != 0 || now_ms >= end_ms)
            return got;
        (void)poll(&fds, 1, (int)(end_ms - now_ms));
    }
}

bool enf_hooks_use(struct enf_daemon *d, const struct enf_config *config, char *why, size_t why_len)
{
    struct enf_hooks *hooks = &d->hooks;
    const struct enf_hook_order order = {.what = ENF_HOOK_USE, .digest = enf_hooks_digest(config)};
    struct enf_hook_answer answer;
    bool there = hooks->made && hooks->fd >= 0;
    int got;

    if (there ? order.digest == hooks->digest : config->hooks_len == 0)
        return true;
    if (!there) {
        enf_text_copy(why, why_len,
                      hooks->made ? "the process that runs them has ended"
                                  : "there is no process yet that runs them");
        return false;
    }
    if (give(d, &order, NULL, 0) < 0) {
        enf_text_copy(why, why_len, "the process that runs them is behind");
        return false;
    }
    got = wait_answer(d, &answer);
    if (got < 0)
        gone(d);
    if (got == 1 && answer.result == ENF_HOOK_TAKEN) {
        copy_rows(hooks, config);
        return true;
    }
    enf_text_copy(why, why_len, got == 1 ? answer.text : "the process that runs them does not answer");
    return false;
}
