/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way to the daemon: one connection, requests and lines. Errors are told on stderr here. */
#pragma once

#include "tools/enforcerctl/command.h"

#include <jansson.h>

struct ctl_rpc; /* private to rpc.c */

/* Connects. CTL_DONE with *out set, or CTL_UNREACHABLE. */
int ctl_rpc_open(const struct ctl *ctl, struct ctl_rpc **out);
void ctl_rpc_close(struct ctl_rpc **rpc);

/* Takes the reference to params (NULL: none). CTL_DONE with *result, a new reference to an object;
 * CTL_REFUSED; CTL_UNREACHABLE. */
int ctl_rpc_call(struct ctl_rpc *rpc, const char *method, json_t *params, json_t **result);

/* Waits for the next notification, as long as it takes. CTL_DONE with *out, or CTL_UNREACHABLE at the end. */
int ctl_rpc_next(struct ctl_rpc *rpc, json_t **out);

/* All of it in one: connects, calls, closes. With --json the result is printed and *result is NULL. */
int ctl_call(const struct ctl *ctl, const char *method, json_t *params, json_t **result);
