/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sequential test on connections, where they are evidence. conduct.h has it on sessions. */
#pragma once

#include "enforcer/detect/activity.h"
#include "enforcer/detect/conviction.h"
#include "enforcer/detect/sequential.h"

/* The thresholds of the settings used last, of each model: making them anew for each observation would cost
 * more than all the rest of the test. Zero value: none. */
struct weigher {
    struct {
        struct enf_sequential_settings of;
        struct enf_sequential_rules rules;
    } models[2];
};

/* NULL where the settings have no such test, or one without meaning. */
const struct enf_sequential_rules *weigher_rules(struct weigher *weigher,
                                                 const struct enf_sequential_settings *settings);

/* Counts the connection that was accounted last, to destination. Where head has no cause yet and the
 * threshold is crossed it becomes SEQUENTIAL, with score and threshold. */
void weigh(struct subscriber *subscriber, const struct enf_sequential_rules *rules,
           const struct enf_sequential_settings *settings, const struct enf_addr *destination,
           struct conviction *head);

/* Something else convicted: the test starts anew. */
void weigh_restart(struct subscriber *subscriber);

/* Fills total, connections and forgeable of a conviction that weigh found. */
void weigh_gather(struct conviction *out, const struct subscriber *subscriber);

/* 0 without a test; rises by one with each factor of e^2 that a zombie is the likelier explanation. */
uint8_t weigh_level(const struct subscriber *subscriber);
