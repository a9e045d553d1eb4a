/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cuts a stream of bytes into lines of bounded length. Pure; private to control/. */
#pragma once

#include <stddef.h>

/* Zero value: empty. */
struct enf_framer {
    char *buf;
    size_t cap;
    size_t start;   /* first byte not handed out */
    size_t end;     /* behind the last byte */
    size_t scanned; /* bytes from start on known to hold no newline */
};

void enf_framer_clear(struct enf_framer *framer);

/* Appends bytes. Lines handed out before are no longer valid. 0 or -ENOMEM, then nothing was appended. */
int enf_framer_feed(struct enf_framer *framer, const char *data, size_t len);

/* The next line without its newline: 1 with the outputs set, valid until the next feed; 0: none is complete;
 * -EMSGSIZE: the line that comes next is longer than max (it stays where it is). */
int enf_framer_next(struct enf_framer *framer, size_t max, const char **line, size_t *len);

/* Takes the line back that was handed out last; it comes again. Not after a feed. */
void enf_framer_undo(struct enf_framer *framer, const char *line);

/* What is left behind the last newline, when no more bytes will come: 1, or 0 if nothing is. */
int enf_framer_rest(struct enf_framer *framer, const char **line, size_t *len);
