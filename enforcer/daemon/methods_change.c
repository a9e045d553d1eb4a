/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mode.set, config.reload, config.confirm, governor.reset. */
#include "enforcer/daemon/methods.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

METHOD(enf_method_mode_set)
{
    static const char *const known[] = {"mode", NULL};
    static const char *const modes[] = {"enforce", "observe", "file", NULL};
    struct enf_daemon *d = ctx;
    size_t choice = 0;
    char *text = NULL;

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_choice(params, "mode", ENF_PARAM_REQUIRED, modes, &choice, error) < 0)
        return -EINVAL;
    enum enf_mode mode = choice == 0   ? ENF_MODE_ENFORCE
                         : choice == 1 ? ENF_MODE_OBSERVE
                                       : d->running->config->mode;
    int err = enf_set_mode(d, mode, choice != 2, caller->actor, &text);
    if (err < 0) {
        enf_control_fail(error, err == -EIO ? ENF_CONTROL_STATE : ENF_CONTROL_KERNEL, "%s",
                         text ? text : strerror(-err));
        free(text);
        return -EINVAL;
    }
    return enf_done(json_pack("{s:s, s:s, s:b}", "mode", modes[d->mode == ENF_MODE_OBSERVE], "origin",
                              d->mode_by_hand ? "hand" : "file", "saved", (int)!d->mode_unsaved),
                    result, error);
}

METHOD(enf_method_reload)
{
    static const char *const known[] = {"confirm", NULL};
    struct enf_daemon *d = ctx;
    struct enf_config_errors errors = {0};
    uint64_t wait_ms = 0;

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_duration(params, "confirm", ENF_PARAM_OPTIONAL, &wait_ms, error) < 0)
        return -EINVAL;
    if (wait_ms > ENF_CONFIRM_MAX_MS)
        return enf_control_fail(error, ENF_CONTROL_PARAMS, "confirm: expected at most 1d");
    if (wait_ms == 0 && d->confirm.pending)
        return enf_control_fail(error, ENF_CONTROL_REFUSED,
                                "a change waits to be confirmed: confirm it, let it go back, or reload with "
                                "confirm again");
    if (wait_ms > 0 && d->forgetful)
        return enf_control_fail(error, ENF_CONTROL_STATE, "what is confirmed could not be kept: %s",
                                enf_store_message(d->store));
    json_t *changes = json_array();
    int err = wait_ms > 0 ? enf_confirm_reload(d, caller->actor, wait_ms, &errors, changes)
                          : enf_reload(d, caller->actor, &errors, changes);
    if (err < 0) {
        json_t *lines = json_array();
        for (size_t i = 0; lines && i < errors.len; i++)
            json_array_append_new(lines, enf_control_text(errors.lines[i]));
        enf_control_fail(error, ENF_CONTROL_REFUSED,
                         "the configuration was rejected, the old one stays in force: %s%s",
                         errors.len > 0 ? errors.lines[0] : "the kernel or a file refused it, see the log",
                         errors.len > 1 ? " (and more)" : "");
        enf_control_error_put(error, "errors", lines);
        enf_config_errors_clear(&errors);
        json_decref(changes);
        return -EINVAL;
    }
    enf_config_errors_clear(&errors);
    return enf_done(
        json_pack("{s:b, s:o, s:o}", "reloaded", 1, "changes", changes, "confirm", enf_confirm_json(d)),
        result, error);
}

METHOD(enf_method_confirm)
{
    static const char *const known[] = {NULL};
    struct enf_daemon *d = ctx;

    if (enf_params_known(params, known, error) < 0)
        return -EINVAL;
    if (!d->confirm.pending)
        return enf_control_fail(error, ENF_CONTROL_NOT_FOUND, "nothing waits to be confirmed");
    if (enf_confirm(d, caller->actor) < 0)
        return enf_control_fail(error, ENF_CONTROL_STATE,
                                "the state could not be written, it goes on waiting: %s",
                                enf_store_message(d->store));
    return enf_done(json_pack("{s:b}", "confirmed", 1), result, error);
}

static int add_interface(void *ctx, const struct enf_governor_trip *trip)
{
    json_array_append_new(ctx, enf_control_text(trip->shared ? "(shared)" : trip->interface));
    return 0;
}

METHOD(enf_method_governor_reset)
{
    static const char *const known[] = {NULL};
    struct enf_daemon *d = ctx;

    if (enf_params_known(params, known, error) < 0)
        return -EINVAL;
    json_t *list = json_array();
    if (!list)
        return enf_done(NULL, result, error);
    enf_crew_governor_each(&d->crew, add_interface, list);
    enf_crew_governor_reset(&d->crew);
    enf_remember_governor(d);
    int err = enf_governor_to_kernel(d);
    if (err < 0) {
        json_decref(list);
        return enf_control_fail(error, ENF_CONTROL_KERNEL, "the kernel refused: %s", strerror(-err));
    }
    enf_tell_text(d, ENF_EVENT_GOVERNOR_RESET, ENF_OUTCOME_SUCCESS, caller->actor,
                  "automatic quarantine goes on");
    return enf_done(json_pack("{s:o}", "reset", list), result, error);
}
