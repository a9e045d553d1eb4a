/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Evidence as JSON, for the store and for answers. */
#pragma once

#include "enforcer/core/event.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* A list of objects time, kind, destination, port, blocked, forgeable, step, score, threshold, setting. A new
 * reference, or NULL without memory. */
json_t *enf_evidence_json(const struct enf_evidence *evidence, size_t len);
/* {"evidence": […], "evidence_total": n} as text; the caller frees. NULL without memory. */
char *enf_evidence_text(const struct enf_evidence *evidence, size_t len, uint64_t total);
