/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose connections count, as whose, and by which settings: a configuration or, without one, everybody's. */
#pragma once

#include "enforcer/config/config.h"
#include "enforcer/core/addr.h"
#include "enforcer/detect/settings.h"
#include "enforcer/inspect/observation.h"
#include "enforcer/policy/group.h"

#include <stdbool.h>
#include <stddef.h>

struct scope {
    struct enf_config *config; /* NULL: everybody counts */
    struct enf_group_index groups;
    struct enf_rangemap relays;
    struct enf_rangemap smarthosts;
    struct enf_detector_settings defaults;
    size_t max_subscribers;
};

/* path NULL: no configuration. False after the errors went to standard error. */
bool scope_load(const char *path, struct scope *out);
void scope_clear(struct scope *scope);

struct claim {
    const struct enf_group *group; /* NULL without a configuration */
    const struct enf_detector_settings *settings;
};

/* Fills in the subscriber of an observation, and what the configuration says of it (blocked, forgeable).
 * False where it is nobody's egress: a source in no group, a relay's mail, mail to a smarthost. Of
 * ENF_OBSERVATION_REPLY the subscriber is the destination. */
bool scope_claim(const struct scope *scope, struct enf_observation *obs, struct claim *out);
