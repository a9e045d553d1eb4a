/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs nft commands in this process, by libnftables. Private to kernel/. */
#pragma once

#include <stdbool.h>

/* The commands as one transaction; dry: only whether nft takes them. *output: what they print, *error: nft's
 * message where it refuses; both may be NULL, the caller frees. 0, -EINVAL, -ENOMEM. Must not run in two
 * threads at once. */
int enf_nft_run(const char *commands, bool dry, char **output, char **error);
