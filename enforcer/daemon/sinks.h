/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sinks of a configuration as the hub wants them. */
#pragma once

#include "enforcer/config/config.h"
#include "enforcer/sinks/hub.h"

/* Fills at most ENF_EVENT_SINKS_MAX sinks that point into config; how many. */
size_t enf_sinks_make(const struct enf_config *config, struct enf_hub_sink out[ENF_EVENT_SINKS_MAX]);
/* Whether any of them is on another machine: that takes sockets which the process else does without. */
bool enf_sinks_need_network(const struct enf_config *config);
