/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Default detector settings of each policy. */
#include "enforcer/detect/settings.h"

#define SECOND_MS 1000ULL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)

/* A line with no reason to speak to port 25 at all: a misconfigured mail program that tries again and again
 * stays below 20 a minute, a bot that only looks for an open way out does not. */
static const struct enf_detector_settings residential = {
    .connection_rate = {{20, MINUTE_MS}, {200, HOUR_MS}},
    .connection_rate_len = 2,
    .distinct_destinations = {.count = 15, .per_ms = 10 * MINUTE_MS},
    .unrequested_replies = {.count = 3, .per_ms = 10 * MINUTE_MS},
    .sequential = {.enabled = true, .model = ENF_SEQUENTIAL_LINE, .false_conviction = 1e-6, .missed = 0.01},
};

/* A line that may run a mail server. A mailing list to a few thousand members opens a few hundred connections
 * at once, retries of greylisted mail follow in bursts, and a shared host of a company reaches well below
 * 2000 mail exchangers an hour; in a simulation of 10,000 lists two large ones came to a 2001st, so it is
 * twice that. Ten a second for a minute, or almost three a second for an hour, is no such server: who really
 * sends that much is a provider and has an entry under `relays`. Everything slower is left to tests that
 * weigh what a host does, because a rate alone cannot tell a busy server from a careful bot. */
static const struct enf_detector_settings mail_server = {
    .connection_rate = {{600, MINUTE_MS}, {10000, HOUR_MS}},
    .connection_rate_len = 2,
    .distinct_destinations = {.count = 4000, .per_ms = HOUR_MS},
    .unrequested_replies = {.count = 3, .per_ms = 10 * MINUTE_MS},
    .sequential = {.enabled = true, .model = ENF_SEQUENTIAL_SERVER, .false_conviction = 1e-6, .missed = 0.01},
};

struct enf_detector_settings enf_detector_defaults(enum enf_policy policy)
{
    switch (policy) {
    case ENF_POLICY_INSPECT:
        return mail_server;
    case ENF_POLICY_NONE:
    case ENF_POLICY_BLOCK:
    case ENF_POLICY_OBSERVE:
        break;
    }
    return residential;
}
