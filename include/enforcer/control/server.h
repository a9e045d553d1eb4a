/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: JSON-RPC 2.0 over a Unix stream socket, one message a line. The daemon gives a table of
 * methods; who may call them, framing, caps and the event stream are done here. One thread: that of the libuv
 * loop.
 *
 * The socket has mode 0666: whoever can reach its folder may connect, and the uid and groups of the peer
 * (SO_PEERCRED, SO_PEERGROUPS and the account database) decide at once what it may do. root is no exception:
 * it may what the lists say. A caller in none of them gets an error and is closed. */
#pragma once

#include "enforcer/control/error.h"
#include "enforcer/core/event.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#define ENF_CONTROL_LINE_MAX (1u << 20) /* bytes of a request without the newline: more closes the client */
#define ENF_CONTROL_RESULT_MAX                                                                               \
    (8u << 20)                          /* bytes of an answer: more is answered with ENF_CONTROL_TOO_LARGE */
#define ENF_CONTROL_CLIENTS_MAX   256   /* at once … */
#define ENF_CONTROL_ADMIN_RESERVE 16    /* … of which viewers never get these */
#define ENF_CONTROL_UID_MAX       64    /* of one uid at once; admins are exempt */
#define ENF_CONTROL_STALL_MS      30000 /* a client that takes nothing of its answer for so long is closed */
#define ENF_CONTROL_BATCH_MAX     64    /* requests that are lasting together */
#define ENF_CONTROL_LINGER_MS     5000  /* a client that is sent away has so long to read why */

struct enf_control;        /* private to control/ */
struct enf_control_client; /* private to control/ */

struct enf_control_caller {
    uid_t uid;
    pid_t pid;
    char actor[ENF_ACTOR_LEN];         /* "user:NAME", or "user:UID" for a uid without a name */
    bool admin;                        /* may call methods that change */
    bool viewer;                       /* may call the others; admins may as well */
    bool portal;                       /* may call those of the portal, and nothing else */
    struct enf_control_client *client; /* for control/ itself */
};

/* Does one request. params is an object, empty where the request had none. 0 with *result set to a new
 * reference to an object; negative with *error filled (enf_control_fail). A handler may not run the loop. */
typedef int (*enf_control_handler)(void *ctx, const struct enf_control_caller *caller, const json_t *params,
                                   json_t **result, struct enf_control_error *error);

struct enf_control_method {
    const char *name;
    bool changes; /* only for admins */
    enf_control_handler handler;
    bool slow;   /* takes long: one at a time of all clients, and for half of the thread's time at most */
    bool portal; /* also for the portal */
    /* Whether such a request may be done between the hooks batch_begin and batch_end. NULL: never. Not slow.
     */
    bool (*batched)(void *ctx, const json_t *params);
};

/* One event of the stream: text is its JSON object (a newline at the end is allowed), valid until the next
 * call. */
struct enf_control_event {
    uint64_t sequence;
    enum enf_event_action action;
    const char *text;
    size_t len;
};

/* What the server asks the daemon. ctx is that of the parameters. Any may be NULL. */
struct enf_control_hooks {
    /* A caller was refused: method is NULL for one that may not even connect. Rate limited for each uid;
     * suppressed tells how many refusals were not reported since the last report for that uid. */
    void (*denied)(void *ctx, const struct enf_control_caller *caller, const char *method,
                   uint64_t suppressed);
    /* A method that changes is about to be done by one who may; done follows. */
    void (*begin)(void *ctx, const struct enf_control_caller *caller, const char *method,
                  const json_t *params);
    /* A method that changes was called by one who may, and is done (code 0 in error) or not. */
    void (*done)(void *ctx, const struct enf_control_caller *caller, const char *method, const json_t *params,
                 const struct enf_control_error *error);
    /* Batched requests of several clients that are ready at once may become lasting together: one a client,
     * at most ENF_CONTROL_BATCH_MAX, all in one turn of the loop, and no other method in between. begin says
     * whether; false: each is on its own. Their answers wait for end. Where it is negative, nothing of what
     * was done since begin holds, the answers are thrown away, and the requests are done again, each on its
     * own. */
    bool (*batch_begin)(void *ctx);
    int (*batch_end)(void *ctx);
    /* The sequence of the first remembered event at or after since_ms (wall clock); UINT64_MAX asks for that
     * of the event to come next. */
    uint64_t (*events_since)(void *ctx, uint64_t since_ms);
    /* The oldest remembered event with at least that sequence: 1 with *out set, 0 if there is none yet. */
    int (*events_next)(void *ctx, uint64_t sequence, struct enf_control_event *out);
};

/* A user name, or with group set a group name; digits alone are an id where no such name exists. */
struct enf_control_principal {
    const char *name;
    bool group;
};

struct enf_control_access {
    const struct enf_control_principal *admins;
    size_t admins_len;
    const struct enf_control_principal *viewers;
    size_t viewers_len;
    const struct enf_control_principal *portal;
    size_t portal_len;
};

/* methods, hooks and ctx must outlive the server; the rest is copied. */
struct enf_control_params {
    uv_loop_t *loop;
    const char *path;
    const struct enf_control_method *methods;
    size_t methods_len;
    struct enf_control_hooks hooks;
    void *ctx;
    struct enf_control_access access;
    uint64_t stall_ms;  /* 0: ENF_CONTROL_STALL_MS */
    uint64_t linger_ms; /* 0: ENF_CONTROL_LINGER_MS */
};

struct enf_control_stats {
    size_t clients;
    size_t subscribers;
    uint64_t accepted;
    uint64_t requests;
    uint64_t denied;       /* strangers, and methods that a viewer may not call */
    uint64_t refused_full; /* connections over a cap */
    uint64_t closed_slow;  /* clients and subscribers that did not read */
    uint64_t closed_long;  /* clients that sent a line over the limit */
    uint64_t events_lost;  /* by subscribers that were too slow */
};

/* Binds the socket (making its folder, one level, if missing) and listens. A stale socket is replaced, one
 * that somebody answers on is not. SIGPIPE is blocked in the calling thread and stays so. 0 with *out set;
 * -EADDRINUSE where another daemon answers, -EEXIST where something else than a socket is in the way, other
 * -errno; error (if error_len > 0) says it in words. After a failure the loop may have handles to close: run
 * it once. */
int enf_control_start(const struct enf_control_params *params, struct enf_control **out, char *error,
                      size_t error_len);
/* Sends what events are left to the subscribers, closes all and removes the socket if it is still ours. The
 * memory is released by the loop, which has to run until then. Accepts NULL content; clears *control. */
void enf_control_stop(struct enf_control **control);

/* New lists, from a reload: they hold at once, also for clients that are connected. 0, or -ENOMEM: the old
 * hold. */
int enf_control_set_access(struct enf_control *control, const struct enf_control_access *access);

/* Says that there are new events: subscribers get them at the next turn of the loop. Cheap; may be called
 * from a handler. */
void enf_control_wake(struct enf_control *control);

void enf_control_stats(const struct enf_control *control, struct enf_control_stats *out);
