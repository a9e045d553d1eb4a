/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration on trial: the timer, the text that is kept, and the way back. */
#include "enforcer/daemon/confirm.h"

#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/methods.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define SETTING  "unconfirmed"
#define RETRY_MS 5000 /* where the way back fails */

static uint64_t hash_of(const struct enf_running *running)
{
    return XXH3_64bits(running->text, running->text_len);
}

/* --- the text on disk --- */

static void path_of(const struct enf_daemon *d, const char *suffix, char *out, size_t len)
{
    snprintf(out, len, "%s/" ENF_CONFIRMED_FILE "%s", d->running->config->state, suffix);
}

static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, text, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        text += put;
        len -= (size_t)put;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The old one or the new one is there, whenever the machine stops. */
static int keep_text(const struct enf_daemon *d, const struct enf_running *running)
{
    char path[ENF_PATH_LEN + 32], new_path[ENF_PATH_LEN + 32];

    path_of(d, "", path, sizeof path);
    path_of(d, ".new", new_path, sizeof new_path);
    int fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int err = write_all(fd, running->text, running->text_len);
    if (close(fd) < 0 && err == 0)
        err = -errno;
    if (err == 0 && rename(new_path, path) < 0)
        err = -errno;
    int folder = open(running->config->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        if (fsync(folder) < 0 && err == 0)
            err = -errno;
        close(folder);
    }
    return err;
}

static char *kept_text(const struct enf_daemon *d, size_t *out_len)
{
    char path[ENF_PATH_LEN + 32];
    struct stat st;

    path_of(d, "", path, sizeof path);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size <= ENF_CONFIG_TEXT_MAX)
        return enf_running_read(fd, (size_t)st.st_size, out_len);
    close(fd);
    return NULL;
}

static int remember(struct enf_daemon *d, uint64_t hash)
{
    char value[32];

    snprintf(value, sizeof value, "%016" PRIx64, hash);
    return enf_store_setting_set(d->store, SETTING, value);
}

/* The setting first: without it the text means nothing. */
static int forget(struct enf_daemon *d)
{
    char path[ENF_PATH_LEN + 32];
    int err = enf_store_setting_delete(d->store, SETTING);

    if (err < 0)
        return err;
    path_of(d, "", path, sizeof path);
    unlink(path);
    return 0;
}

/* --- on trial --- */

static void on_time(uv_timer_t *timer)
{
    struct enf_daemon *d = timer->data;
    struct enf_confirm *c = &d->confirm;
    struct enf_running *tried = d->running;
    struct enf_config_errors errors = {0};

    if (!c->pending)
        return;
    int err = enf_apply(d, c->kept, "config", &errors, NULL);
    enf_config_errors_clear(&errors);
    if (err < 0) {
        enf_log_line("config", "the way back failed, and is tried again");
        uv_timer_start(&c->timer, on_time, RETRY_MS, 0);
        return;
    }
    c->kept = NULL;
    if (err == 0)
        enf_running_free(&tried);
    c->pending = false;
    c->unconfirmed = true;
    enf_tell_text(d, ENF_EVENT_CONFIG_REVERTED, ENF_OUTCOME_SUCCESS, c->actor,
                  "nobody confirmed the change in time: the configuration before is in force again; %s still "
                  "holds the change",
                  d->running->path);
    enf_log_line("config", "not confirmed in time: the configuration before is in force again");
}

/* Disk first: whatever happens from here on, a start takes the confirmed one. */
static int prepare(struct enf_daemon *d, const char *actor, const struct enf_running *running,
                   struct enf_config_errors *errors)
{
    char why[ENF_STORE_MESSAGE_LEN + 64];

    if (strcmp(running->config->state, d->running->config->state) != 0)
        return enf_reject(d, actor, errors,
                          "state: another folder cannot be tried, only taken at the next start");
    int err = d->confirm.pending ? 0 : keep_text(d, d->running);
    if (err < 0) {
        snprintf(why, sizeof why, "the configuration in force could not be kept: %s", strerror(-err));
        return enf_reject(d, actor, errors, why);
    }
    if (remember(d, hash_of(running)) < 0) {
        snprintf(why, sizeof why, "the state could not be written: %s", enf_store_message(d->store));
        return enf_reject(d, actor, errors, why);
    }
    return 0;
}

/* What the setting said before. */
static void take_back(struct enf_daemon *d)
{
    const struct enf_confirm *c = &d->confirm;
    int err = c->pending || c->unconfirmed ? remember(d, c->hash) : forget(d);

    if (err < 0)
        enf_log_line("state", "a trial that failed stays written: %s", enf_store_message(d->store));
}

int enf_confirm_reload(struct enf_daemon *d, const char *actor, uint64_t wait_ms,
                       struct enf_config_errors *errors, json_t *changes)
{
    struct enf_confirm *c = &d->confirm;
    struct enf_running *running = NULL, *old = d->running;
    char until[ENF_TIME_STR_LEN];
    int err = enf_running_load(old->path, &running, errors);

    if (err < 0)
        return enf_reject(d, actor, errors, "out of memory");
    err = prepare(d, actor, running, errors);
    if (err == 0) {
        err = enf_apply(d, running, actor, errors, changes);
        if (err < 0)
            take_back(d);
    }
    if (err < 0) {
        enf_running_free(&running);
        return err;
    }
    if (!c->pending)
        c->kept = old;
    else if (err == 0)
        enf_running_free(&old);
    c->pending = true;
    c->unconfirmed = false;
    c->hash = hash_of(d->running);
    c->until_ms = enf_clock_wall_ms() + wait_ms;
    enf_text_copy(c->actor, sizeof c->actor, actor);
    uv_timer_start(&c->timer, on_time, wait_ms, 0);
    enf_tell_text(d, ENF_EVENT_CONFIG_RELOADED, ENF_OUTCOME_SUCCESS, actor,
                  "%s; it goes back at %s unless it is confirmed", d->running->path,
                  enf_time_str(c->until_ms, until, sizeof until));
    return 0;
}

int enf_confirm(struct enf_daemon *d, const char *actor)
{
    struct enf_confirm *c = &d->confirm;
    int err = forget(d);

    if (err < 0)
        return err;
    uv_timer_stop(&c->timer);
    c->pending = false;
    enf_running_free(&c->kept);
    enf_tell_text(d, ENF_EVENT_CONFIG_CONFIRMED, ENF_OUTCOME_SUCCESS, actor, "%s", d->running->path);
    return 0;
}

void enf_confirm_signal(struct enf_daemon *d, struct enf_config_errors *errors)
{
    const struct enf_confirm *c = &d->confirm;
    struct enf_running *file = NULL;

    if (c->unconfirmed && enf_running_load(d->running->path, &file, errors) == 0) {
        bool same = hash_of(file) == c->hash;
        enf_running_free(&file);
        if (same) {
            enf_log_line("config", "%s still holds what nobody confirmed: enforcerctl reload takes it",
                         d->running->path);
            return;
        }
    }
    enf_config_errors_clear(errors);
    enf_reload(d, "signal:HUP", errors, NULL);
}

void enf_confirm_taken(struct enf_daemon *d)
{
    struct enf_confirm *c = &d->confirm;
    int err = 0;

    if (c->pending) { /* by a signal: on trial all the same */
        c->hash = hash_of(d->running);
        err = remember(d, c->hash);
    } else if (c->unconfirmed) {
        c->unconfirmed = false;
        err = forget(d);
    }
    if (err < 0)
        enf_log_line("state", "%s", enf_store_message(d->store));
}

void enf_confirm_release(struct enf_daemon *d, struct enf_running *old)
{
    if (old != d->confirm.kept)
        enf_running_free(&old);
}

/* --- a start --- */

static struct enf_running *confirmed(struct enf_daemon *d)
{
    struct enf_running *running = NULL;
    struct enf_config_errors errors = {0};
    size_t len = 0;
    char *text = kept_text(d, &len);
    int err = text ? enf_running_load_text(d->running->path, text, len, &running, &errors) : -ENOENT;

    if (err < 0)
        enf_running_complain(ENF_CONFIRMED_FILE, &errors, err);
    enf_config_errors_clear(&errors);
    free(text);
    return running;
}

void enf_confirm_recall(struct enf_daemon *d)
{
    struct enf_confirm *c = &d->confirm;
    char value[32];
    char *end;

    if (enf_store_setting_get(d->store, SETTING, value, sizeof value) != 1)
        return;
    c->hash = strtoull(value, &end, 16);
    if (*end || c->hash != hash_of(d->running)) {
        enf_log_line("config", "%s has changed since a change was not confirmed: it is taken as it is",
                     d->running->path);
        forget(d);
        return;
    }
    struct enf_running *running = confirmed(d);
    if (!running) {
        enf_log_line("config",
                     "nobody confirmed what %s holds, but the confirmed text cannot be read: the file counts",
                     d->running->path);
        c->lost = true;
        return;
    }
    c->kept = d->running;
    enf_adopt(d, running);
    c->unconfirmed = c->recalled = true;
    enf_log_line("config", "nobody confirmed what %s holds: the configuration before is in force",
                 running->path);
}

void enf_confirm_tell(struct enf_daemon *d)
{
    struct enf_confirm *c = &d->confirm;

    if (c->recalled)
        enf_tell_text(
            d, ENF_EVENT_CONFIG_REVERTED, ENF_OUTCOME_SUCCESS, NULL,
            "nobody had confirmed the change that %s holds before the daemon ended: the configuration "
            "before is in force",
            d->running->path);
    if (c->lost)
        enf_tell_text(
            d, ENF_EVENT_CONFIG_REVERTED, ENF_OUTCOME_FAILURE, NULL,
            "nobody had confirmed the change that %s holds, but the configuration before cannot be read: "
            "the change is in force",
            d->running->path);
    if (c->recalled)
        enf_running_free(&c->kept);
    c->recalled = c->lost = false;
}

/* --- life --- */

void enf_confirm_open(struct enf_daemon *d)
{
    uv_timer_init(&d->loop, &d->confirm.timer);
    d->confirm.timer.data = d;
    d->confirm.ready = true;
}

static void on_close(uv_handle_t *handle)
{
    (void)handle;
}

void enf_confirm_close(struct enf_daemon *d)
{
    if (!d->confirm.ready)
        return;
    d->confirm.ready = false;
    uv_timer_stop(&d->confirm.timer);
    uv_close((uv_handle_t *)&d->confirm.timer, on_close);
}

void enf_confirm_free(struct enf_daemon *d)
{
    enf_running_free(&d->confirm.kept);
}

json_t *enf_confirm_json(const struct enf_daemon *d)
{
    const struct enf_confirm *c = &d->confirm;

    return json_pack("{s:b, s:o, s:o, s:b}", "pending", (int)c->pending, "until",
                     c->pending ? enf_time_json(c->until_ms) : json_null(), "actor",
                     c->pending ? json_string(c->actor) : json_null(), "unconfirmed", (int)c->unconfirmed);
}
