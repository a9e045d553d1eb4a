/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From observations to a ban: feeds the worker's detector, and puts who is convicted into the kernel's set.
 * All functions are called with the worker's lock held. */
#pragma once

#include "enforcer/daemon/worker.h"
#include "enforcer/inspect/observation.h"

#include <stdbool.h>

/* For enf_flows_feed and enf_flows_tick; ctx is the worker. */
void enf_convict_observe(void *ctx, const struct enf_observation *obs);
/* The same; returns whether the subscriber is banned now. group: of the subscriber, may be NULL. */
bool enf_convict_account(struct enf_worker *worker, const struct enf_observation *obs,
                         const struct enf_group *group);
/* A SYN of a relay: what would convict a mail server under policy inspect, or reach a trap, is reported. */
void enf_convict_relay(struct enf_worker *worker, const struct enf_observation *obs);
/* The kernel's meter has put a subscriber into quarantine. */
void enf_convict_metered(struct enf_worker *worker, const struct enf_observation *obs,
                         const struct enf_group *group);
/* Hands an event to the control thread. */
void enf_convict_post(struct enf_worker *worker, const struct enf_event *event);
