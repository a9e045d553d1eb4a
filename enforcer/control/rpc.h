/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line in, one answer out: JSON-RPC 2.0 without sockets, so that it can be tested and fuzzed. Private to
 * control/. */
#pragma once

#include "enforcer/control/server.h"

struct enf_rpc {
    const struct enf_control_method *methods;
    size_t methods_len;
    void *ctx; /* for the handlers and for denied */
    /* May be NULL. */
    void (*denied)(void *ctx, const struct enf_control_caller *caller, const char *method);
    /* A method is about to be called by one who may. May be NULL. */
    void (*enter)(const struct enf_control_caller *caller, const struct enf_control_method *method,
                  const json_t *params);
    /* In front of and behind methods that change. May be NULL. */
    void (*begin)(const struct enf_control_caller *caller, const char *method, const json_t *params);
    void (*done)(const struct enf_control_caller *caller, const char *method, const json_t *params,
                 const struct enf_control_error *error);
    /* Around methods that are slow; both or none. begin says whether it may be done now. */
    bool (*slow_begin)(const struct enf_control_caller *caller);
    void (*slow_end)(const struct enf_control_caller *caller);
};

/* Does the request in line (len bytes, no newline). 1 with *out, malloced text of *out_len bytes that ends
 * with a newline; 0: there is nothing to answer (a notification, a blank line); -ENOMEM;
 * -EAGAIN: nothing was done, because slow_begin said no. */
int enf_rpc_handle(const struct enf_rpc *rpc, const struct enf_control_caller *caller, const char *line,
                   size_t len, char **out, size_t *out_len);

/* The answer that says error, to the request with id (NULL: unknown). As above; 1 or -ENOMEM. */
int enf_rpc_error(const json_t *id, const struct enf_control_error *error, char **out, size_t *out_len);
