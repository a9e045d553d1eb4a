/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jansson where memory fails: it forgets some failures, so they are counted here, and reading stops at the
 * first. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Before the first use of Jansson that is to be watched: from here on its memory comes through us. Once for
 * the process; any thread, before the others begin. */
void enf_json_watch_memory(void);

/* How often this thread had no memory for Jansson. What was built meanwhile may lack something where it has
 * grown. */
uint64_t enf_json_no_memory(void);

/* As json_loadb: a new reference, or NULL with *where filled. NULL with errno ENOMEM: there was no memory;
 * else errno is 0. Never gives what lacks a part. */
json_t *enf_json_read(const char *text, size_t len, size_t flags, json_error_t *where);
