/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that runs hook programs: a queue with a bound, so many at once, a time limit for each. It has
 * no rights. The daemon says when to read the configuration again, never what to run. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/hooks.h"
#include "enforcer/daemon/running.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define MESSAGE_MAX (2u << 20)
#define KNOWN_MAX   8

/* One run of one hook, waiting or going on. */
struct job {
    uint32_t hook;
    const struct enf_config *config; /* in force when it was asked for */
    char *text;                      /* the event; given away when the program starts */
    size_t len;
    char about[ENF_HOOK_ABOUT_LEN];
    pid_t pid; /* 0: this slot is free */
    uint64_t deadline_ms;
    bool killed;
};

struct helper {
    int fd; /* -1: the daemon is gone */
    int signals;
    const char *path;
    const struct enf_config *config;     /* in force: one of known */
    struct enf_config *known[KNOWN_MAX]; /* also those of before: the way back (reload --confirm) */
    struct job running[ENF_HOOKS_PARALLEL];
    struct job waiting[ENF_HOOKS_WAITING]; /* a ring */
    size_t first;
    size_t len;
    char *buffer;
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void answer(struct helper *h, enum enf_hook_result result, const struct job *job, const char *what)
{
    struct enf_hook_answer message = {.result = result, .hook = job->hook};

    snprintf(message.text, sizeof message.text, "%s, for %s: %s", job->config->hooks[job->hook].name,
             job->about, what);
    if (h->fd >= 0) /* what the daemon does not read fast enough is not counted by it */
        (void)send(h->fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* --- in the child ------------------------------------------------------------------------------------------
 */

static void become_program(const struct enf_hook_config *hook, int event)
{
    char *argv[ENF_HOOK_WORDS_MAX + 1] = {NULL};
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
         language[] = "LANG=C.UTF-8";
    char *const environment[] = {path, language, NULL};
    sigset_t none;

    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(event, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || chdir("/") < 0)
        _exit(126);
    if (close_range(STDERR_FILENO + 1, ~0u, 0) < 0)
        _exit(126);
    for (size_t i = 0; i < hook->run_len; i++)
        argv[i] = hook->run[i].text;
    if (!argv[0])
        _exit(127);
    execve(argv[0], argv, environment);
    _exit(errno == ENOENT ? 127 : 126);
}

/* --- one run -----------------------------------------------------------------------------------------------
 */

/* A file in memory: the program can read it at its own pace, or not at all. */
static int event_file(const struct job *job)
{
    int fd = memfd_create("event", MFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (write(fd, job->text, job->len) != (ssize_t)job->len || lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static int start(struct job *job)
{
    const struct enf_hook_config *hook = &job->config->hooks[job->hook];
    int event = event_file(job);
    int err = 0;

    if (event < 0)
        return event;
    job->pid = fork();
    if (job->pid == 0)
        become_program(hook, event);
    if (job->pid < 0)
        err = -errno;
    else
        setpgid(job->pid, job->pid); /* whoever of the two comes first */
    close(event);
    job->deadline_ms = now_ms() + hook->timeout_ms;
    job->killed = false;
    return err;
}

static void fill_slots(struct helper *h)
{
    for (size_t i = 0; i < ENF_HOOKS_PARALLEL && h->len > 0; i++) {
        struct job *slot = &h->running[i];

        if (slot->pid != 0)
            continue;
        *slot = h->waiting[h->first];
        h->waiting[h->first] = (struct job){0};
        h->first = (h->first + 1) % ENF_HOOKS_WAITING;
        h->len--;
        int err = start(slot);
        free(slot->text);
        slot->text = NULL;
        if (err < 0) {
            slot->pid = 0;
            answer(h, ENF_HOOK_FAILED, slot, strerror(-err));
        }
    }
}

static void tell_end(struct helper *h, const struct job *job, int status)
{
    char what[ENF_HOOK_TEXT_LEN], limit[32];

    if (job->killed)
        snprintf(what, sizeof what, "killed, it ran for longer than %s",
                 enf_duration_str(job->config->hooks[job->hook].timeout_ms, limit, sizeof limit));
    else if (WIFSIGNALED(status))
        snprintf(what, sizeof what, "ended by signal %d", WTERMSIG(status));
    else
        snprintf(what, sizeof what, "exit code %d%s", WEXITSTATUS(status),
                 WEXITSTATUS(status) == 127   ? " (there is no such program?)"
                 : WEXITSTATUS(status) == 126 ? " (it may not be run?)"
                                              : "");
    answer(h, WIFEXITED(status) && WEXITSTATUS(status) == 0 && !job->killed ? ENF_HOOK_DONE : ENF_HOOK_FAILED,
           job, what);
}

/* What it left running ends with it: the group is killed while its leader's number is still taken. */
static void reap(struct helper *h)
{
    for (size_t i = 0; i < ENF_HOOKS_PARALLEL; i++) {
        struct job *job = &h->running[i];
        siginfo_t info = {0};
        int status = 0;

        if (job->pid == 0 || waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
            info.si_pid == 0)
            continue;
        kill(-job->pid, SIGKILL);
        if (waitpid(job->pid, &status, 0) != job->pid)
            continue;
        tell_end(h, job, status);
        *job = (struct job){0};
    }
}

/* Kills what is over its time. The ms until the next one is, or -1. */
static int check_deadlines(struct helper *h)
{
    uint64_t now = now_ms(), next = UINT64_MAX;

    for (size_t i = 0; i < ENF_HOOKS_PARALLEL; i++) {
        struct job *job = &h->running[i];

        if (job->pid == 0 || job->killed)
            continue;
        if (now >= job->deadline_ms) {
            job->killed = true;
            kill(-job->pid, SIGKILL);
        } else if (job->deadline_ms < next) {
            next = job->deadline_ms;
        }
    }
    return next == UINT64_MAX ? -1 : (int)(next - now) + 1;
}

/* --- what comes in -----------------------------------------------------------------------------------------
 */

static void put(struct helper *h, uint32_t hook, const struct enf_hook_order *order, size_t len)
{
    struct job job = {.hook = hook, .config = h->config, .len = len};

    memcpy(job.about, order->about, sizeof job.about);
    job.about[sizeof job.about - 1] = '\0';
    if (h->len < ENF_HOOKS_WAITING)
        job.text = malloc(len + 1);
    if (!job.text) {
        char what[ENF_HOOK_TEXT_LEN];
        snprintf(what, sizeof what, "not run, %zu wait already", h->len);
        answer(h, ENF_HOOK_DROPPED, &job, what);
        return;
    }
    memcpy(job.text, h->buffer + sizeof *order, len);
    h->waiting[(h->first + h->len++) % ENF_HOOKS_WAITING] = job;
}

static bool is_needed(const struct helper *h, const struct enf_config *config)
{
    bool needed = config == h->config;

    for (size_t i = 0; i < ENF_HOOKS_PARALLEL; i++)
        needed |= h->running[i].pid != 0 && h->running[i].config == config;
    for (size_t i = 0; i < h->len; i++)
        needed |= h->waiting[(h->first + i) % ENF_HOOKS_WAITING].config == config;
    return needed;
}

/* Where another one goes: an empty place, or that of the oldest that is not needed. NULL: all are. */
static struct enf_config **place(struct helper *h)
{
    for (size_t i = 0; i < KNOWN_MAX; i++) {
        if (!h->known[i])
            return &h->known[i];
    }
    for (size_t i = 0; i < KNOWN_MAX; i++) {
        if (is_needed(h, h->known[i]))
            continue;
        enf_config_free(&h->known[i]);
        memmove(&h->known[i], &h->known[i + 1], (KNOWN_MAX - 1 - i) * sizeof(struct enf_config *));
        h->known[KNOWN_MAX - 1] = NULL;
        return &h->known[KNOWN_MAX - 1];
    }
    return NULL;
}

/* The file, if it has the hooks that are wanted; NULL and why. */
static struct enf_config *read_config(const struct helper *h, uint64_t digest, char *why, size_t why_len)
{
    struct enf_config_errors errors = {0};
    struct enf_config *config = NULL;
    char *text = NULL;
    size_t len = 0;
    int err = enf_running_read_file(h->path, ENF_CONFIG_TEXT_MAX, &text, &len, &errors);

    if (err == 0)
        err = enf_config_parse(h->path, text, len, &config, &errors);
    free(text);
    if (err < 0)
        enf_text_copy(why, why_len, errors.len > 0 ? errors.lines[0] : strerror(-err));
    enf_config_errors_clear(&errors);
    if (err == 0 && enf_hooks_digest(config) != digest) {
        enf_text_copy(why, why_len, "the file has other hooks than those wanted");
        enf_config_free(&config);
    }
    return err < 0 ? NULL : config;
}

static void use(struct helper *h, uint64_t digest)
{
    struct enf_hook_answer message = {.result = ENF_HOOK_KEPT};
    struct enf_config *found = NULL, **at = NULL;

    for (size_t i = 0; i < KNOWN_MAX && h->known[i]; i++) {
        if (enf_hooks_digest(h->known[i]) == digest)
            found = h->known[i];
    }
    if (!found && !(at = place(h)))
        enf_text_copy(message.text, sizeof message.text, "too many changes while programs run");
    else if (!found)
        found = *at = read_config(h, digest, message.text, sizeof message.text);
    if (found) {
        h->config = found;
        message.result = ENF_HOOK_TAKEN;
    }
    (void)send(h->fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void turn_away(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int i = 0; null >= 0 && i <= 2; i++)
        dup2(null, i);
    if (null > 2)
        close(null);
}

static void receive(struct helper *h)
{
    struct enf_hook_order order;
    ssize_t n = recv(h->fd, h->buffer, MESSAGE_MAX, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* what waits is still done */
        close(h->fd);
        h->fd = -1;
        return;
    }
    if ((size_t)n < sizeof order)
        return;
    memcpy(&order, h->buffer, sizeof order);
    if (order.what == ENF_HOOK_TURN_AWAY)
        turn_away();
    if (order.what == ENF_HOOK_USE)
        use(h, order.digest);
    for (uint32_t i = 0; order.what == ENF_HOOK_RUN && i < h->config->hooks_len; i++) {
        if (order.mask >> i & 1)
            put(h, i, &order, (size_t)n - sizeof order);
    }
}

static bool is_busy(const struct helper *h)
{
    for (size_t i = 0; i < ENF_HOOKS_PARALLEL; i++) {
        if (h->running[i].pid != 0)
            return true;
    }
    return h->len > 0;
}

uint64_t enf_hooks_digest(const struct enf_config *config)
{
    uint64_t digest = config->hooks_len;

    for (size_t i = 0; i < config->hooks_len; i++) {
        const struct enf_hook_config *hook = &config->hooks[i];
        const uint64_t numbers[] = {hook->actions, hook->severity, hook->timeout_ms, hook->run_len};

        digest = XXH3_64bits_withSeed(numbers, sizeof numbers, digest);
        digest = XXH3_64bits_withSeed(hook->name, strlen(hook->name), digest);
        for (size_t j = 0; j < hook->run_len; j++)
            digest = XXH3_64bits_withSeed(hook->run[j].text, strlen(hook->run[j].text), digest);
    }
    return digest;
}

void enf_hook_helper(int fd, const char *path, struct enf_config *config)
{
    struct helper *h = calloc(1, sizeof *h);
    sigset_t child;

    prctl(PR_SET_NAME, "enforcer-hooks");
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (!h)
        _exit(1);
    h->fd = fd;
    h->path = path;
    h->config = h->known[0] = config;
    h->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    h->buffer = malloc(MESSAGE_MAX);
    if (h->signals < 0 || !h->buffer)
        _exit(1);
    while (h->fd >= 0 || is_busy(h)) {
        struct pollfd fds[] = {{.fd = h->signals, .events = POLLIN}, {.fd = h->fd, .events = POLLIN}};
        struct signalfd_siginfo info;

        if (poll(fds, 2, check_deadlines(h)) < 0 && errno != EINTR)
            _exit(1);
        while (read(h->signals, &info, sizeof info) == (ssize_t)sizeof info)
            ;
        if (fds[1].revents != 0)
            receive(h);
        reap(h);
        fill_slots(h);
    }
    _exit(0);
}
