/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares what is remembered of a subscriber with its settings. */
#pragma once

#include "enforcer/detect/conviction.h"
#include "enforcer/detect/table.h"
#include "enforcer/inspect/observation.h"

/* obs is the observation that was accounted last, at subscriber->last_ms. Writes cause, limit and per_ms of
 * head, whose cause is NONE: a trap first, then the windows in their order, then destinations. It stays NONE
 * where there is no conviction. */
void judge(const struct subscriber *subscriber, const struct enf_observation *obs,
           const struct enf_detector_settings *settings, struct conviction *head);

/* Fills total, connections and forgeable of a conviction that judge, weigh or conduct_account found. There is
 * room for ENF_EVIDENCE_MAX. */
void judge_gather(struct conviction *out, const struct subscriber *subscriber,
                  const struct connection *connection);
