/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another configuration: what is put in force at once, what waits for a start, and the way back. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/sinks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(json_t *changes, const char *text)
{
    if (changes)
        json_array_append_new(changes, json_string(text));
}

/* What only a start can change. */
static void note_restart(const struct enf_config *old, const struct enf_config *new, json_t *changes)
{
    if (strcmp(old->state, new->state) != 0)
        note(changes, "state: takes effect at the next start");
    if (strcmp(old->control.socket, new->control.socket) != 0)
        note(changes, "control.socket: takes effect at the next start");
    if (!enf_addr_equal(&old->metrics.address, &new->metrics.address) ||
        old->metrics.port != new->metrics.port)
        note(changes, "metrics.listen: takes effect at the next start");
    if (old->max_subscribers != new->max_subscribers)
        note(changes, "detector.max_subscribers: takes effect at the next start");
}

/* The programs are another process's, which reads the file itself (hooks.h). */
static void new_hooks(struct enf_daemon *d, const struct enf_config *config, json_t *changes)
{
    char why[ENF_HOOK_TEXT_LEN] = "", text[ENF_HOOK_TEXT_LEN + 64];

    bool same = d->hooks.rows_len == config->hooks_len && d->hooks.digest == enf_hooks_digest(config);
    if (enf_hooks_use(d, config, why, sizeof why)) {
        if (!same && d->hooks.made)
            note(changes, "hooks: those of the file are in force");
        return;
    }
    snprintf(text, sizeof text, "hooks: takes effect at the next start: %s", why);
    note(changes, text);
    enf_log_line("hooks", "%s", text);
}

/* Counters of the worker that have settings of their own. Without memory the old limits of the governor hold.
 */
static void new_counters(struct enf_daemon *d, const struct enf_config *old, const struct enf_config *new,
                         json_t *changes)
{
    uint32_t convictions = new->quarantine.governor.convictions;
    uint64_t per_ms = new->quarantine.governor.per_ms;
    int err = 0;

    if (old->aggregate_ms != new->aggregate_ms)
        enf_crew_set_aggregate(&d->crew, new->aggregate_ms);
    if (old->quarantine.governor.convictions != convictions || old->quarantine.governor.per_ms != per_ms)
        err = enf_crew_governor_configure(&d->crew, convictions, per_ms);
    if (err < 0) {
        note(changes, "quarantine.governor: no memory, takes effect at the next start");
        enf_log_line("config", "the governor's limits stay as they were: %s", strerror(-err));
    }
}

static void note_changes(const char *before, const char *after, const struct enf_config *old,
                         const struct enf_config *new, json_t *changes)
{
    if (before && strcmp(before, after) != 0)
        note(changes, "rules: a changed ruleset is in force");
    if (old->mode != new->mode)
        note(changes,
             new->mode == ENF_MODE_OBSERVE ? "mode: the file says observe" : "mode: the file says enforce");
    if (old->queue.first != new->queue.first || old->queue.fail != new->queue.fail)
        note(changes, "queue: number or fail mode changed");
    if (old->groups_len != new->groups_len)
        note(changes, "groups: another number of groups");
    if (old->relays_len != new->relays_len)
        note(changes, "relays: another number of relays");
    if (json_array_size(changes) == 0)
        note(changes,
             "no rule changed; settings of detector, quarantine, control and events are those of the file");
}

static int new_sinks(struct enf_daemon *d, const struct enf_config *config, char *error, size_t error_len)
{
    struct enf_hub_sink sinks[ENF_EVENT_SINKS_MAX];
    size_t len = enf_sinks_make(config, sinks);
    int err = enf_hub_set_sinks(d->hub, sinks, len, false, error, error_len);

    if (err == -ENOSYS && enf_sinks_need_network(config))
        snprintf(error, error_len,
                 "events: this process was started without sockets for UDP and TCP: the first such sink "
                 "takes a restart");
    return err;
}

static void new_access(struct enf_daemon *d, const struct enf_config *config)
{
    struct enf_control_access access;

    if (enf_principals_make(config, &access) == 0) {
        enf_control_set_access(d->control, &access);
        enf_principals_clear(&access);
    }
}

int enf_apply(struct enf_daemon *d, struct enf_running *running, const char *actor,
              struct enf_config_errors *errors, json_t *changes)
{
    struct enf_running *old = d->running;
    char text[512] = "", *error = NULL;

    if (running->config->queue.count != d->crew.len) {
        note(changes, "queue.count: takes effect at the next start");
        running->config->queue.count = (uint16_t)d->crew.len;
    }
    if (enf_garden_probe(running, &error) < 0) {
        snprintf(text, sizeof text, "quarantine.redirect: the kernel cannot do that: %s", error ? error : "");
        free(error);
        return enf_reject(d, actor, errors, text);
    }
    if (new_sinks(d, running->config, text, sizeof text) < 0)
        return enf_reject(d, actor, errors, text);
    enum enf_mode mode = d->mode_by_hand ? d->mode : running->config->mode;
    char *before = d->ruleset ? strdup(d->ruleset) : NULL;
    if (enf_install(d, running, mode, &error) < 0) {
        /* Kernel and sinks back to what they were; what was loaded in part is not left there. */
        new_sinks(d, old->config, text, sizeof text);
        free(before);
        enf_install(d, old, d->mode, NULL);
        enf_reject(d, actor, errors, error ? error : "the kernel refused the ruleset");
        free(error);
        return -EIO;
    }
    free(error);
    note_restart(old->config, running->config, changes);
    note_changes(before, d->ruleset, old->config, running->config, changes);
    free(before);
    d->running = running;
    enf_relays_free(d); /* theirs are judged anew */
    d->mode = mode;
    enf_quarantine_set_max(d->quarantine, running->config->quarantine.max_entries);
    new_hooks(d, running->config, changes);
    new_counters(d, old->config, running->config, changes);
    int err = enf_install_relays(d); /* the view as well: nothing points to the old configuration any more */
    if (err < 0)
        enf_log_line("kernel", "relays could not be written: %s", strerror(-err));
    enf_kernel_meters_flush(d->kernel);
    new_access(d, running->config);
    return err < 0 ? 1 : 0;
}

void enf_adopt(struct enf_daemon *d, struct enf_running *running)
{
    const struct enf_config *old = d->running->config;
    char text[512] = "";

    if (d->crew.len > 0)
        running->config->queue.count = (uint16_t)d->crew.len;
    if (d->hub && new_sinks(d, running->config, text, sizeof text) < 0)
        enf_log_line("events", "%s", text);
    d->running = running;
    enf_relays_free(d); /* theirs are judged anew */
    if (!d->mode_by_hand)
        d->mode = running->config->mode;
    enf_quarantine_set_max(d->quarantine, running->config->quarantine.max_entries);
    if (d->crew.len > 0)
        new_counters(d, old, running->config, NULL);
    new_hooks(d, running->config, NULL);
}

int enf_reload(struct enf_daemon *d, const char *actor, struct enf_config_errors *errors, json_t *changes)
{
    struct enf_running *running = NULL, *old = d->running;
    int err = enf_running_load(old->path, &running, errors);

    if (err < 0)
        return enf_reject(d, actor, errors, "out of memory");
    err = enf_apply(d, running, actor, errors, changes);
    if (err < 0) {
        enf_running_free(&running);
        return err;
    }
    enf_confirm_taken(d);
    if (err == 0)
        enf_confirm_release(d, old);
    enf_tell_text(d, ENF_EVENT_CONFIG_RELOADED, ENF_OUTCOME_SUCCESS, actor, "%s", running->path);
    return 0;
}
