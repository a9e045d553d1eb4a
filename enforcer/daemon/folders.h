/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives the daemon's own folders and files to the user that it is about to become. For root, before that. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* What one folder of the daemon's is called, and what it holds: names of files, each also with something
 * behind it ("events.json" stands for "events.json.1.gz"). */
struct enf_folder {
    const char *path;
    mode_t mode;           /* where it is made */
    const char *names[20]; /* ended by NULL */
};

/* Makes the folder where it is missing (its parent must be there). It, and the regular files in it with those
 * names, become the user's where the folder holds nothing else; one that is shared with others, or that
 * others may write to, stays whose it is, and only files with exactly those names change hands. Links are
 * never followed, and a file with two names never changes hands. A folder among the names is treated like
 * this one, whatever it holds. Groups of what was there stay. 0; 1: it is shared; -errno: it cannot be made
 * or read. */
int enf_folder_give(const struct enf_folder *folder, uid_t uid, gid_t gid);
