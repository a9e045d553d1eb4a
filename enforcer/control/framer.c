/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A growing buffer that is scanned once. */
#include "enforcer/control/framer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void enf_framer_clear(struct enf_framer *framer)
{
    free(framer->buf);
    *framer = (struct enf_framer){0};
}

static int reserve(struct enf_framer *framer, size_t len)
{
    size_t used = framer->end - framer->start;
    size_t cap = framer->cap ? framer->cap : 1024;
    char *buf;

    if (framer->start > 0) {
        memmove(framer->buf, framer->buf + framer->start, used);
        framer->start = 0;
        framer->end = used;
    }
    while (cap - used < len)
        cap *= 2;
    if (cap == framer->cap)
        return 0;
    buf = realloc(framer->buf, cap);
    if (!buf)
        return -ENOMEM;
    framer->buf = buf;
    framer->cap = cap;
    return 0;
}

int enf_framer_feed(struct enf_framer *framer, const char *data, size_t len)
{
    int err;

    if (len == 0)
        return 0;
    err = reserve(framer, len);
    if (err)
        return err;
    memcpy(framer->buf + framer->end, data, len);
    framer->end += len;
    return 0;
}

int enf_framer_next(struct enf_framer *framer, size_t max, const char **line, size_t *len)
{
    const char *start = framer->buf ? framer->buf + framer->start : NULL;
    size_t used = framer->end - framer->start;
    const char *newline = NULL;

    if (start && used > framer->scanned)
        newline = memchr(start + framer->scanned, '\n', used - framer->scanned);
    if (newline ? (size_t)(newline - start) > max : used > max)
        return -EMSGSIZE;
    if (!newline) {
        framer->scanned = used;
        if (used == 0) /* an idle client costs no memory */
            enf_framer_clear(framer);
        return 0;
    }
    *line = start;
    *len = (size_t)(newline - start);
    framer->start += *len + 1;
    framer->scanned = 0;
    return 1;
}

int enf_framer_rest(struct enf_framer *framer, const char **line, size_t *len)
{
    if (framer->start == framer->end)
        return 0;
    *line = framer->buf + framer->start;
    *len = framer->end - framer->start;
    framer->start = framer->end;
    framer->scanned = 0;
    return 1;
}

void enf_framer_undo(struct enf_framer *framer, const char *line)
{
    framer->start = (size_t)(line - framer->buf);
    framer->scanned = 0;
}
