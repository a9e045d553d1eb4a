/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file or standard input, plain or gzip, as a stream whose format is known before anybody reads it. */
#pragma once

#include "progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum format {
    FORMAT_UNKNOWN,
    FORMAT_PCAP,
    FORMAT_PCAPNG,
    FORMAT_EVE,
    FORMAT_ZEEK, /* both tab separated and JSON */
    FORMAT_NFDUMP,
};

/* "pcap", "pcapng", "eve", "zeek", "zeek-json", "nfdump", "nfdump-csv"; FORMAT_UNKNOWN for another name. */
enum format format_parse(const char *name);

struct input; /* private to input.c */

/* path "-" is standard input; the progress is told while the stream is read. NULL on failure, with a text for
 * people in error. */
struct input *input_open(const char *path, struct progress *progress, char *error, size_t error_len);
/* As far as the first bytes tell. */
enum format input_format(const struct input *input);
/* The content, unpacked, from the first byte on. Belongs to whoever closes it, which must be before
 * input_close; the input stays. */
FILE *input_stream(struct input *input);
/* Closes and frees. False where the packed data were damaged or ended early, with a text in error. */
bool input_close(struct input **input, char *error, size_t error_len);
