/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text for a reader, without packets. */
#pragma once

#include "enforcer/inspect/smtp.h"

#include <string.h>

static inline void feed_text(struct enf_smtp *smtp, const char *text, uint32_t *sequence)
{
    *sequence += (uint32_t)enf_smtp_server(smtp, (const uint8_t *)text, strlen(text), *sequence);
}

static inline size_t say(struct enf_smtp *smtp, const char *text, uint32_t ack)
{
    return enf_smtp_client(smtp, (const uint8_t *)text, strlen(text), ack, true);
}
