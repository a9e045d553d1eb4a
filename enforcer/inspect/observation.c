/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the observations, for evidence and tests. */
#include "enforcer/inspect/observation.h"

#include <stddef.h>

static const char *const names[] = {
    [ENF_OBSERVATION_SYN] = "syn",
    [ENF_OBSERVATION_ANSWERED] = "answered",
    [ENF_OBSERVATION_FAILED] = "failed",
    [ENF_OBSERVATION_EARLY_TALK] = "early-talk",
    [ENF_OBSERVATION_HELO] = "helo",
    [ENF_OBSERVATION_ACCEPTED] = "accepted",
    [ENF_OBSERVATION_REFUSED] = "refused",
    [ENF_OBSERVATION_DEFERRED] = "deferred",
    [ENF_OBSERVATION_BLOCKLISTED] = "blocklisted",
    [ENF_OBSERVATION_RECIPIENTS] = "recipients",
    [ENF_OBSERVATION_NOT_SMTP] = "not-smtp",
    [ENF_OBSERVATION_END] = "end",
    [ENF_OBSERVATION_REPLY] = "reply",
};
_Static_assert(sizeof names / sizeof *names == ENF_OBSERVATION_KIND_COUNT, "a name is missing");

const char *enf_observation_name(enum enf_observation_kind kind)
{
    return (size_t)kind < ENF_OBSERVATION_KIND_COUNT ? names[kind] : NULL;
}
