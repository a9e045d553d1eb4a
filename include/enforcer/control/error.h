/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a request was not done: a code for programs, a text for people. docs/control-protocol.md lists the
 * codes. */
#pragma once

#include <jansson.h>

/* Those of JSON-RPC 2.0, then ours. Values are a contract with users. */
enum enf_control_code {
    ENF_CONTROL_PARSE = -32700,       /* the line is no JSON */
    ENF_CONTROL_REQUEST = -32600,     /* JSON, but no request */
    ENF_CONTROL_METHOD = -32601,      /* no such method */
    ENF_CONTROL_PARAMS = -32602,      /* a parameter is missing, unknown or wrong */
    ENF_CONTROL_INTERNAL = -32603,    /* our fault */
    ENF_CONTROL_REFUSED = -32000,     /* not in this state */
    ENF_CONTROL_DENIED = -32001,      /* the caller may not */
    ENF_CONTROL_KERNEL = -32002,      /* the kernel did not take it */
    ENF_CONTROL_NOT_FOUND = -32003,   /* no such subscriber, entry, relay */
    ENF_CONTROL_NEEDS_FORCE = -32004, /* dangerous: ask again with force */
    ENF_CONTROL_LIMIT = -32005,       /* a cap is reached: clients, entries */
    ENF_CONTROL_TOO_LARGE = -32006,   /* the request or its answer */
    ENF_CONTROL_UNSUPPORTED = -32007, /* known, but not yet supported */
    ENF_CONTROL_STATE = -32008,       /* the state could not be written to disk */
};

#define ENF_CONTROL_MESSAGE_LEN 512

/* code 0: no error. data is NULL or a reference that the holder of the struct owns. */
struct enf_control_error {
    int code; /* enum enf_control_code */
    char message[ENF_CONTROL_MESSAGE_LEN];
    json_t *data;
};

/* Fills *error, replacing what was there (its data is released). Returns -EINVAL, so that a handler can end
 * with `return enf_control_fail(…)`. */
int enf_control_fail(struct enf_control_error *error, enum enf_control_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts a member into error->data, for programs. Takes the reference to value; out of memory drops it. */
void enf_control_error_put(struct enf_control_error *error, const char *key, json_t *value);
void enf_control_error_clear(struct enf_control_error *error);

/* A JSON string of text, even where it is no UTF-8 (odd bytes become '?'). A new reference, or NULL: no
 * memory. */
json_t *enf_control_text(const char *text);
