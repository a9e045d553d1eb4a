/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces that the methods share. Private to daemon/. */
#pragma once

#include "enforcer/control/params.h"
#include "enforcer/daemon/daemon.h"

#define METHOD(name)                                                                                         \
    int name(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,      \
             struct enf_control_error *error)

/* methods_quarantine.c */
METHOD(enf_method_quarantine_add);
METHOD(enf_method_quarantine_release);
METHOD(enf_method_quarantine_list);
METHOD(enf_method_reassigned);
/* methods_show.c */
METHOD(enf_method_status);
METHOD(enf_method_show);
METHOD(enf_method_top);
METHOD(enf_method_ruleset);
/* methods_portal.c */
METHOD(enf_method_portal_show);
METHOD(enf_method_portal_release);
/* methods_relay.c */
METHOD(enf_method_relay_list);
METHOD(enf_method_relay_add);
METHOD(enf_method_relay_remove);
/* methods_change.c */
METHOD(enf_method_mode_set);
METHOD(enf_method_reload);
METHOD(enf_method_confirm);
METHOD(enf_method_governor_reset);

/* methods_rollout.c */
METHOD(enf_method_rollout);
/* methods_abuse.c */
METHOD(enf_method_report_abuse);

/* audit.c */
METHOD(enf_method_audit_list);

/* One entry as clients see it. A new reference, or NULL without memory. */
json_t *enf_entry_json(struct enf_daemon *d, const struct enf_quarantine *entry);
/* Addresses become subscribers: an IPv6 host address means its subscriber. */
struct enf_prefix enf_as_subscriber(const struct enf_daemon *d, const struct enf_prefix *given);
/* True where the prefix is counted as one subscriber of its place: a single, not a net. */
bool enf_is_single(const struct enf_daemon *d, const struct enf_prefix *prefix);
/* Whether the request names few and single addresses: its change may wait for the disk with others'. */
bool enf_is_small_change(void *ctx, const json_t *params);
/* Gives *object away as the result; a NULL object is an error. */
int enf_done(json_t *object, json_t **result, struct enf_control_error *error);
/* The text of a time, or JSON null for ENF_FOREVER and 0. */
json_t *enf_time_json(uint64_t wall_ms);
/* Translates what enf_enforce_* answered. */
int enf_enforce_failed(struct enf_daemon *d, int err, struct enf_control_error *error);
