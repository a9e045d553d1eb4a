/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file that is appended to line by line, and survives a full disk, rotation and its removal. Private to
 * sinks/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define ENF_FILE_LINES_MAX 64 /* written at once */

struct enf_file {
    char *path;     /* owned */
    int fd;         /* -1: not open */
    bool torn;      /* the file ends in the middle of a line that will not be finished */
    size_t partial; /* bytes of the current line that are written already */
    uint64_t failures;
    int error; /* errno of the last attempt */
};

/* Sets *file up for path without opening it. 0 or -ENOMEM. */
int enf_file_init(const char *path, struct enf_file *file);
/* Closes and frees; *file is zero afterwards but for fd -1. */
void enf_file_clear(struct enf_file *file);

/* Opens or opens anew. On failure (-errno) what was open stays so. */
int enf_file_open(struct enf_file *file);
/* True where the path no longer names the open file. */
bool enf_file_moved(const struct enf_file *file);
/* True where the open file has no name any more: what is written is gone when it is closed. */
bool enf_file_removed(const struct enf_file *file);

/* Writes the lines (len of them, at most ENF_FILE_LINES_MAX, each with its newline), or what is missing of
 * the first one and the others. *done: how many are in the file whole. 0 where all are; -errno, then those
 * behind *done have to be given again, the same one first. A file that is of no use any more is closed. */
int enf_file_write(struct enf_file *file, const struct iovec *lines, size_t len, size_t *done);
