/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relay.*, mode.set, config.reload, governor.reset. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/methods.h"
#include "enforcer/policy/decide.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct enf_relay *file_relay(const struct enf_config *config, const struct enf_prefix *prefix)
{
    for (size_t i = 0; i < config->relays_len; i++) {
        for (size_t j = 0; j < config->relays[i].addresses_len; j++) {
            if (enf_prefix_covers(&config->relays[i].addresses[j], prefix))
                return &config->relays[i];
        }
    }
    return NULL;
}

static size_t hand_relay(const struct enf_daemon *d, const struct enf_prefix *prefix)
{
    size_t i = 0;

    while (i < d->hand_relays_len && !enf_prefix_equal(&d->hand_relays[i].prefix, prefix))
        i++;
    return i;
}

static json_t *words_json(const char *text)
{
    return *text ? json_string(text) : json_null();
}

/* What people said of a relay of the file, and what became of it. */
static void put_life(json_t *list, const struct enf_relay *relay, const struct enf_relay_life *life)
{
    json_t *last = json_array_get(list, json_array_size(list) - 1);

    json_object_set_new(last, "owner", words_json(relay->owner));
    json_object_set_new(last, "reason", words_json(relay->reason));
    json_object_set_new(last, "expires", enf_time_json(relay->expires_ms));
    json_object_set_new(last, "last_used", enf_time_json(life ? life->used_ms : 0));
    json_object_set_new(last, "lapsed", json_boolean(life && life->lapsed));
}

static void add_relay(json_t *list, const struct enf_prefix *prefix, const char *name, const char *interface,
                      const char *origin)
{
    char text[ENF_PREFIX_STR_LEN];

    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:o, s:s}", "address",
                                    enf_prefix_str(prefix, text, sizeof text), "name", name, "interface",
                                    *interface ? json_string(interface) : json_null(), "origin", origin));
}

static json_t *relays_json(struct enf_daemon *d)
{
    const struct enf_relay_life *lives = enf_relays_look(d);
    const struct enf_config *config = d->running->config;
    json_t *list = json_array();

    for (size_t i = 0; list && i < config->relays_len; i++) {
        for (size_t j = 0; j < config->relays[i].addresses_len; j++) {
            add_relay(list, &config->relays[i].addresses[j], config->relays[i].name,
                      config->relays[i].interface, "file");
            put_life(list, &config->relays[i], lives ? &lives[i] : NULL);
        }
    }
    for (size_t i = 0; list && i < d->hand_relays_len; i++)
        add_relay(list, &d->hand_relays[i].prefix, d->hand_relays[i].name, "", "hand");
    return list ? json_pack("{s:o}", "relays", list) : NULL;
}

METHOD(enf_method_relay_list)
{
    static const char *const known[] = {NULL};

    (void)caller;
    if (enf_params_known(params, known, error) < 0)
        return -EINVAL;
    return enf_done(relays_json(ctx), result, error);
}

static void tell_relay(struct enf_daemon *d, enum enf_event_action action, const struct enf_prefix *prefix,
                       const char *name, const char *actor)
{
    struct enf_event event = {.action = action, .outcome = ENF_OUTCOME_SUCCESS, .source = prefix->addr};
    char text[ENF_PREFIX_STR_LEN];

    snprintf(event.reason, sizeof event.reason, "relay %s%s%s", enf_prefix_str(prefix, text, sizeof text),
             *name ? " " : "", name);
    enf_text_copy(event.actor, sizeof event.actor, actor);
    enf_tell(d, &event);
}

/* Where somebody has taken the table away: once more, after it was put back. */
static int put_relays(struct enf_daemon *d)
{
    int err = enf_install_relays(d);

    return err < 0 && enf_truth_mend(d, err) ? enf_install_relays(d) : err;
}

METHOD(enf_method_relay_add)
{
    static const char *const known[] = {"address", "name", NULL};
    struct enf_daemon *d = ctx;
    struct enf_prefix prefix;
    const char *name = "";
    char text[ENF_PREFIX_STR_LEN];

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_prefix(params, "address", ENF_PARAM_REQUIRED, &prefix, error) < 0 ||
        enf_params_text(params, "name", ENF_PARAM_OPTIONAL, ENF_NAME_LEN - 1, &name, error) < 0)
        return -EINVAL;
    enf_prefix_str(&prefix, text, sizeof text);
    if (file_relay(d->running->config, &prefix) || hand_relay(d, &prefix) < d->hand_relays_len)
        return enf_control_fail(error, ENF_CONTROL_REFUSED, "%s is a relay already", text);
    if (prefix.len < (prefix.addr.family == ENF_FAMILY_V4 ? 16 : 32))
        return enf_control_fail(error, ENF_CONTROL_REFUSED, "%s is too wide for a relay", text);
    if (d->hand_relays_len == ENF_HAND_RELAYS_MAX)
        return enf_control_fail(error, ENF_CONTROL_LIMIT, "%d relays by hand is the limit",
                                ENF_HAND_RELAYS_MAX);
    struct enf_store_relay row = {.prefix = prefix, .added_ms = enf_clock_wall_ms()};
    enf_text_copy(row.name, sizeof row.name, name);
    enf_text_copy(row.actor, sizeof row.actor, caller->actor);
    if (enf_store_relay_put(d->store, &row) < 0)
        return enf_control_fail(error, ENF_CONTROL_STATE, "the state could not be written: %s",
                                enf_store_message(d->store));
    struct enf_hand_relay *hand = &d->hand_relays[d->hand_relays_len++];
    hand->prefix = prefix;
    enf_text_copy(hand->name, sizeof hand->name, name);
    int err = put_relays(d);
    if (err < 0) {
        d->hand_relays_len--;
        enf_store_relay_delete(d->store, &prefix);
        enf_install_relays(d); /* what got there in part goes; else the next look finds it */
        return enf_control_fail(error, ENF_CONTROL_KERNEL, "the kernel refused: %s", strerror(-err));
    }
    tell_relay(d, ENF_EVENT_RELAY_ADDED, &prefix, name, caller->actor);
    return enf_done(relays_json(d), result, error);
}

METHOD(enf_method_relay_remove)
{
    static const char *const known[] = {"address", NULL};
    struct enf_daemon *d = ctx;
    struct enf_prefix prefix;
    char text[ENF_PREFIX_STR_LEN];

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_prefix(params, "address", ENF_PARAM_REQUIRED, &prefix, error) < 0)
        return -EINVAL;
    size_t at = hand_relay(d, &prefix);
    enf_prefix_str(&prefix, text, sizeof text);
    if (at == d->hand_relays_len && file_relay(d->running->config, &prefix))
        return enf_control_fail(error, ENF_CONTROL_REFUSED,
                                "%s is a relay of the configuration: remove it in %s", text,
                                d->running->path);
    if (at == d->hand_relays_len)
        return enf_control_fail(error, ENF_CONTROL_NOT_FOUND, "%s is no relay", text);
    struct enf_hand_relay removed = d->hand_relays[at];
    if (enf_store_relay_delete(d->store, &prefix) < 0)
        return enf_control_fail(error, ENF_CONTROL_STATE, "the state could not be written: %s",
                                enf_store_message(d->store));
    d->hand_relays[at] = d->hand_relays[--d->hand_relays_len];
    int err = put_relays(d);
    if (err < 0) {
        d->hand_relays[d->hand_relays_len++] = removed;
        struct enf_store_relay row = {.prefix = prefix, .added_ms = enf_clock_wall_ms()};
        enf_text_copy(row.name, sizeof row.name, removed.name);
        enf_text_copy(row.actor, sizeof row.actor, caller->actor);
        enf_store_relay_put(d->store, &row);
        enf_install_relays(d);
        return enf_control_fail(error, ENF_CONTROL_KERNEL, "the kernel refused: %s", strerror(-err));
    }
    tell_relay(d, ENF_EVENT_RELAY_REMOVED, &prefix, removed.name, caller->actor);
    return enf_done(relays_json(d), result, error);
}

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
