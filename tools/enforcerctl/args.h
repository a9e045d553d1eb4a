/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turns arguments and options into parameters, refusing what the daemon would not understand. */
#pragma once

#include "tools/enforcerctl/command.h"

#include <jansson.h>

/* The arguments as the list `addresses` of a new object. CTL_DONE or CTL_USAGE. */
int args_addresses(const struct ctl *ctl, json_t **params);
/* True for an address, or with prefixes set also for a prefix; else it is said what is wrong. */
bool args_is_address(const struct ctl *ctl, const char *text, bool prefixes);
/* True for a duration, or with forever set also for that word; else it is said what is wrong. */
bool args_is_duration(const struct ctl *ctl, enum ctl_option option, bool forever);
/* Adds an option to params under key where it was given. CTL_DONE or CTL_USAGE. */
int args_add(const struct ctl *ctl, enum ctl_option option, const char *key, json_t *params);
/* Adds --limit. CTL_DONE or CTL_USAGE. */
int args_limit(const struct ctl *ctl, json_t *params);
