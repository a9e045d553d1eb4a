/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines that a sink could not take, in a file of bounded size: in at the end, out at the beginning. It
 * outlives the process. A crash may bring lines again that were taken already, never lose or reorder any.
 * Private to sinks/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_SPOOL_LINE_MAX (1u << 20) /* a longer line is damage */

struct enf_spool {
    char *path; /* owned; NULL: there is no spool, everything is refused */
    int fd;     /* -1: no file, nothing in it */
    uint64_t max;
    uint64_t head;      /* of the first line */
    uint64_t at;        /* of the first line that is still to be taken; lines before it are held */
    uint64_t mark;      /* up to here enf_spool_confirm lets go */
    uint64_t tail;      /* behind the last */
    uint64_t lines;     /* from head to tail */
    uint64_t held;      /* of these, taken */
    uint64_t mark_held; /* of these, before the mark */
    bool hold;          /* lines that are taken stay until they are confirmed */
    char *buf;          /* what was read from `at` on */
    size_t buf_len;
    size_t buf_at; /* of the line at `at` */
};

/* A spool in directory for the sink called name, of at most max bytes. Takes over what an earlier process
 * left there. The directory need not exist before something is put in. directory NULL: a spool that refuses
 * all. 0 or -ENOMEM; a file that is no spool is removed. */
int enf_spool_open(const char *directory, const char *name, uint64_t max, struct enf_spool *out);
/* Closes; what is in it stays on disk. */
void enf_spool_close(struct enf_spool *spool);
/* Throws away what is in it. */
void enf_spool_discard(struct enf_spool *spool);

/* Appends a line (with its newline). 0; -ENOSPC where the bound is reached, -errno of the file system: then
 * nothing was appended. */
int enf_spool_put(struct enf_spool *spool, const char *line, size_t len);
/* The line just put in was taken already; only where all before it are, and with `hold`. */
void enf_spool_put_taken(struct enf_spool *spool);
/* The first line to be taken: 1 with the outputs set, valid until the next call; 0: there is none; -ENOMEM:
 * not now. A file that cannot be read any more is thrown away. */
int enf_spool_first(struct enf_spool *spool, const char **line, size_t *len);
/* The first line was taken. With `hold` it stays on disk until it is confirmed. */
void enf_spool_drop(struct enf_spool *spool);
/* Remembers how far lines are taken; confirm lets go of those before the last mark; rewind: what is taken and
 * not confirmed is to be taken again. */
void enf_spool_mark(struct enf_spool *spool);
void enf_spool_confirm(struct enf_spool *spool);
void enf_spool_rewind(struct enf_spool *spool);
/* Writes down how far it was read: after a few drops, so that little comes again after a crash. */
void enf_spool_sync(struct enf_spool *spool);

/* Nothing is to be taken. */
static inline bool enf_spool_is_empty(const struct enf_spool *spool)
{
    return spool->at == spool->tail;
}
