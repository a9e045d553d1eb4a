/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relay.list, relay.add, relay.remove. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/methods.h"

#include <errno.h>
#include <stdio.h>
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

    while (i < d->hand_relays_len && !enf_prefix_equal(&d->hand_relays[i].row.prefix, prefix))
        i++;
    return i;
}

static json_t *words_json(const char *text)
{
    return *text ? json_string(text) : json_null();
}

/* What people said of it, and what became of it. A new reference, or NULL without memory. */
static json_t *relay_json(const struct enf_prefix *prefix, const char *name, const char *interface,
                          const struct enf_store_relay *words, const struct enf_relay_life *life)
{
    char text[ENF_PREFIX_STR_LEN];

    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "address",
                     enf_prefix_str(prefix, text, sizeof text), "name", name, "interface",
                     words_json(interface), "owner", words_json(words->owner), "reason",
                     words_json(words->reason), "expires", enf_time_json(words->expires_ms), "last_used",
                     enf_time_json(life ? life->used_ms : 0), "lapsed", (int)(life && life->lapsed));
}

static void list_file(json_t *list, const struct enf_relay *relay, const struct enf_relay_life *life)
{
    struct enf_store_relay words = {.expires_ms = relay->expires_ms};

    enf_text_copy(words.owner, sizeof words.owner, relay->owner);
    enf_text_copy(words.reason, sizeof words.reason, relay->reason);
    for (size_t i = 0; i < relay->addresses_len; i++) {
        json_t *entry = relay_json(&relay->addresses[i], relay->name, relay->interface, &words, life);
        json_object_set_new(entry, "origin", json_string("file"));
        json_array_append_new(list, entry);
    }
}

static void list_hand(json_t *list, const struct enf_hand_relay *hand)
{
    json_t *entry = relay_json(&hand->row.prefix, hand->row.name, "", &hand->row, &hand->life);

    json_object_set_new(entry, "origin", json_string("hand"));
    json_object_set_new(entry, "added", enf_time_json(hand->row.added_ms));
    json_object_set_new(entry, "actor", json_string(hand->row.actor));
    json_array_append_new(list, entry);
}

static json_t *relays_json(struct enf_daemon *d)
{
    const struct enf_relay_life *lives = enf_relays_look(d);
    const struct enf_config *config = d->running->config;
    json_t *list = json_array();

    for (size_t i = 0; list && i < config->relays_len; i++)
        list_file(list, &config->relays[i], lives ? &lives[i] : NULL);
    for (size_t i = 0; list && i < d->hand_relays_len; i++)
        list_hand(list, &d->hand_relays[i]);
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

static void tell_relay(struct enf_daemon *d, enum enf_event_action action,
                       const struct enf_store_relay *relay, const char *what, const char *actor)
{
    struct enf_event event = {.action = action, .outcome = ENF_OUTCOME_SUCCESS, .source = relay->prefix.addr};
    char text[ENF_PREFIX_STR_LEN];

    snprintf(event.reason, sizeof event.reason, "relay %s%s%s%s%s%s%s%s",
             enf_prefix_str(&relay->prefix, text, sizeof text), *relay->name ? " " : "", relay->name, what,
             *relay->owner ? ", owner " : "", relay->owner, *relay->reason ? ": " : "", relay->reason);
    enf_text_copy(event.actor, sizeof event.actor, actor);
    enf_tell(d, &event);
}

/* Where somebody has taken the table away: once more, after it was put back. */
static int put_relays(struct enf_daemon *d)
{
    int err = enf_install_relays(d);

    return err < 0 && enf_truth_mend(d, err) ? enf_install_relays(d) : err;
}

/* What relay.add was given besides the address; NULL and 0: nothing. */
struct wish {
    const char *name;
    const char *owner;
    const char *reason;
    uint64_t expires_ms;
};

static int read_wish(const json_t *params, struct wish *wish, struct enf_control_error *error)
{
    if (enf_params_text(params, "name", ENF_PARAM_OPTIONAL, ENF_NAME_LEN - 1, &wish->name, error) < 0 ||
        enf_params_text(params, "owner", ENF_PARAM_OPTIONAL, ENF_OWNER_LEN - 1, &wish->owner, error) < 0 ||
        enf_params_text(params, "reason", ENF_PARAM_OPTIONAL, ENF_OWNER_LEN - 1, &wish->reason, error) < 0 ||
        enf_params_expiry(params, "expires", ENF_PARAM_OPTIONAL, enf_clock_wall_ms(), &wish->expires_ms,
                          error) < 0)
        return -EINVAL;
    return 0;
}

static void apply(struct enf_hand_relay *hand, const struct wish *wish, const char *actor)
{
    struct enf_store_relay *row = &hand->row;

    if (row->added_ms == 0 || hand->life.lapsed) { /* a new one, or one that begins anew */
        row->added_ms = enf_clock_wall_ms();
        enf_text_copy(row->actor, sizeof row->actor, actor);
    }
    if (wish->name)
        enf_text_copy(row->name, sizeof row->name, wish->name);
    if (wish->owner)
        enf_text_copy(row->owner, sizeof row->owner, wish->owner);
    if (wish->reason)
        enf_text_copy(row->reason, sizeof row->reason, wish->reason);
    if (wish->expires_ms > 0)
        row->expires_ms = wish->expires_ms == ENF_FOREVER ? 0 : wish->expires_ms;
    row->lapsed = false;
    hand->life.lapsed = hand->life.unused_told = hand->life.expired_told = false;
}

/* Whether it may be added, or changed where it is there. */
static int may_add(const struct enf_daemon *d, const struct enf_prefix *prefix,
                   const struct enf_hand_relay *there, const struct wish *wish,
                   struct enf_control_error *error)
{
    char text[ENF_PREFIX_STR_LEN];

    enf_prefix_str(prefix, text, sizeof text);
    if (file_relay(d->running->config, prefix))
        return enf_control_fail(error, ENF_CONTROL_REFUSED,
                                "%s is a relay already, of the configuration: change it in %s", text,
                                d->running->path);
    if (there && there->row.expires_ms > 0 && there->row.expires_ms <= enf_clock_wall_ms() &&
        wish->expires_ms == 0)
        return enf_control_fail(error, ENF_CONTROL_REFUSED, "%s has expired: say until when it is one now",
                                text);
    if (there && !there->life.lapsed && !wish->name && !wish->owner && !wish->reason && wish->expires_ms == 0)
        return enf_control_fail(error, ENF_CONTROL_REFUSED,
                                "%s is a relay already: name, owner, reason or end would change it", text);
    if (prefix->len < (prefix->addr.family == ENF_FAMILY_V4 ? 16 : 32))
        return enf_control_fail(error, ENF_CONTROL_REFUSED, "%s is too wide for a relay: /%d at most", text,
                                prefix->addr.family == ENF_FAMILY_V4 ? 16 : 32);
    if (!there && d->hand_relays_len == ENF_HAND_RELAYS_MAX)
        return enf_control_fail(error, ENF_CONTROL_LIMIT, "%d relays by hand is the limit",
                                ENF_HAND_RELAYS_MAX);
    return 0;
}

METHOD(enf_method_relay_add)
{
    static const char *const known[] = {"address", "name", "owner", "reason", "expires", NULL};
    struct enf_daemon *d = ctx;
    struct enf_prefix prefix;
    struct wish wish = {0};

    if (enf_params_known(params, known, error) < 0 ||
        enf_params_prefix(params, "address", ENF_PARAM_REQUIRED, &prefix, error) < 0 ||
        read_wish(params, &wish, error) < 0)
        return -EINVAL;
    size_t at = hand_relay(d, &prefix);
    bool there = at < d->hand_relays_len;
    struct enf_hand_relay before = {.row.prefix = prefix};
    if (there)
        before = d->hand_relays[at];
    if (may_add(d, &prefix, there ? &before : NULL, &wish, error) < 0)
        return -EINVAL;
    struct enf_hand_relay hand = before;
    apply(&hand, &wish, caller->actor);
    if (enf_store_relay_put(d->store, &hand.row) < 0)
        return enf_control_fail(error, ENF_CONTROL_STATE, "the state could not be written: %s",
                                enf_store_message(d->store));
    d->hand_relays[at] = hand;
    d->hand_relays_len += !there;
    int err = put_relays(d);
    if (err < 0) {
        d->hand_relays[at] = before;
        d->hand_relays_len -= !there;
        if (there)
            enf_store_relay_put(d->store, &before.row);
        else
            enf_store_relay_delete(d->store, &prefix);
        enf_install_relays(d); /* what got there in part goes; else the next look finds it */
        return enf_control_fail(error, ENF_CONTROL_KERNEL, "the kernel refused: %s", strerror(-err));
    }
    enf_relays_changed(d);
    tell_relay(d, ENF_EVENT_RELAY_ADDED, &hand.row,
               !there               ? ""
               : before.life.lapsed ? " is one again"
                                    : " is changed",
               caller->actor);
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
        enf_store_relay_put(d->store, &removed.row);
        enf_relays_changed(d); /* their order */
        enf_install_relays(d);
        return enf_control_fail(error, ENF_CONTROL_KERNEL, "the kernel refused: %s", strerror(-err));
    }
    enf_relays_changed(d);
    tell_relay(d, ENF_EVENT_RELAY_REMOVED, &removed.row, "", caller->actor);
    return enf_done(relays_json(d), result, error);
}
