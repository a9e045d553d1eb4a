/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report: one HTML file with its style and pictures in it, which loads nothing and runs no script. */
#pragma once

#include "options.h"
#include "replay.h"

#include <stdio.h>

/* Subscribers with a section of their own, and lines in the list of all; the rest is counted. */
#define REPORT_DETAILS_MAX  50
#define REPORT_LIST_MAX     500
#define REPORT_EVIDENCE_MAX 64

/* Opens the file for writing, or creates it. What is there and not empty must be an HTML document, so that a
 * mistaken command line overwrites no capture. NULL with a text in error. */
FILE *report_open(const char *path, char *error, size_t error_len);

/* The ledger is sorted and has kept traces. Closes the file; 0 or -EIO. */
int report_write(struct replay *replay, const struct options *options, FILE *file);
