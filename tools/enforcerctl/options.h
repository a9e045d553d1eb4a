/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the command line by the tables of commands and options. */
#pragma once

#include "tools/enforcerctl/command.h"

extern const struct ctl_command ctl_commands[]; /* ended by a row without a name */

const struct ctl_command *ctl_command_find(const char *name);

/* Reads argv. args must hold argc pointers; it backs ctl->args. Returns CTL_DONE, or CTL_USAGE after saying
 * why. Where no command was given, ctl->command is NULL. */
int ctl_options_read(int argc, char **argv, const char **args, struct ctl *ctl);

void ctl_help(const struct ctl_command *command_or_null);
/* "--for". */
const char *ctl_option_name(enum ctl_option option);
