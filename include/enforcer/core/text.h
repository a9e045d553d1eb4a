/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durations and times as the interface writes them. No I/O, no locale, safe from any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ENF_FOREVER      UINT64_MAX               /* as a time in ms: never */
#define ENF_DURATION_MAX (3650ULL * 86400 * 1000) /* ten years, in ms: the longest one accepted */
#define ENF_TIME_STR_LEN 32

/* "30s", "10m", "1h", "7d" (a whole number and one unit) into milliseconds. 0; -EINVAL for another form;
 * -ERANGE for zero or more than ENF_DURATION_MAX. On failure *out_ms is untouched. */
int enf_duration_parse(const char *text, uint64_t *out_ms);

/* The shortest exact form ("90s", "1h", "7d"; below a second "250ms"; ENF_FOREVER: "forever"). Returns buf.
 */
const char *enf_duration_str(uint64_t ms, char *buf, size_t buf_len);

/* Milliseconds since 1970 as RFC 3339 in UTC, "2026-03-01T12:00:00.250Z". Returns buf (ENF_TIME_STR_LEN
 * suffices). */
const char *enf_time_str(uint64_t wall_ms, char *buf, size_t buf_len);
/* Reads what enf_time_str writes, the fraction being optional. 0 or -EINVAL. */
int enf_time_parse(const char *text, uint64_t *out_wall_ms);

/* The end of something: a time as above, or a date "2026-03-01", which is its last day, so that it ends with
 * the next one in UTC. 0 or -EINVAL. */
int enf_expiry_parse(const char *text, uint64_t *out_wall_ms);

/* Copies text into dst, cutting it to dst_len - 1 bytes at a UTF-8 boundary; always terminates. Returns dst.
 */
char *enf_text_copy(char *dst, size_t dst_len, const char *text);

/* A text that is written to a stream and grows. Unlike open_memstream it forgets no failure: where there was
 * no memory for a part of it, there is no text. enf_text_open: *text lives until enf_text_close; NULL without
 * memory. enf_text_close: 0, and *out the caller's to free; -ENOMEM with *out NULL, also for a stream that is
 * NULL. */
struct enf_text {
    char *data;
    size_t len; /* known after fflush */
    size_t size;
};
FILE *enf_text_open(struct enf_text *text);
int enf_text_close(FILE *stream, struct enf_text *text, char **out);
