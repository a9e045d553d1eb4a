/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What server.c, client.c and subscriber.c share: the server and its clients. Private to control/. */
#pragma once

#include "enforcer/control/access.h"
#include "enforcer/control/denials.h"
#include "enforcer/control/framer.h"
#include "enforcer/control/listen.h"
#include "enforcer/control/rpc.h"
#include "enforcer/control/server.h"

#define ENF_TURN_NS       10000000u /* a turn of the loop ends after so long; the next goes on from there */
#define ENF_OUTPUT_HIGH   (256u << 10) /* unsent bytes of a client that let its requests wait */
#define ENF_STREAM_HIGH   (256u << 10) /* unsent bytes of a subscriber that let events wait in their ring */
#define ENF_STREAM_CHUNK  (64u << 10)
#define ENF_STREAM_SCAN   1024       /* events looked at for one subscriber in one turn */
#define ENF_DRAIN_MAX     (8u << 20) /* bytes thrown away for one that is sent away */
#define ENF_LINGERING_MAX 64         /* that are sent away and may still read why */

struct enf_subscription {
    bool active;
    bool ready;       /* may have something to send */
    uint64_t next;    /* sequence */
    uint64_t actions; /* bit set */
};

enum enf_client_state {
    ENF_CLIENT_OPEN,
    ENF_CLIENT_LEAVING, /* what is queued is sent, what comes in is thrown away */
    ENF_CLIENT_CLOSED,  /* waits for the loop to let go of it */
};

struct enf_control_client {
    uv_pipe_t pipe; /* first: the handle is the client */
    struct enf_control *server;
    struct enf_control_client *prev;
    struct enf_control_client *next;
    enum enf_client_state state;
    bool counted; /* takes one of the places */
    bool reading;
    bool ended;      /* sends nothing more */
    bool ready;      /* has requests that wait for their turn */
    bool blocked;    /* has requests that wait until its answers are read */
    bool waiting;    /* has a slow request that waits for its turn … */
    bool turn;       /* … and may do it now */
    uint64_t ticket; /* the lower, the longer it waits */
    bool shut;       /* our side is shut down */
    struct {
        bool is;          /* a request was done whose answer waits for the end of the batch */
        const char *line; /* of the framer */
        size_t line_len;
        char *text; /* the answer; NULL: none */
        size_t text_len;
    } held;
    struct enf_framer framer;
    struct enf_identity identity;
    struct enf_control_caller caller;
    struct enf_subscription subscription;
    uint64_t queued;      /* bytes ever given to it */
    uint64_t sent;        /* of them, at the last look */
    uint64_t progress_ms; /* when sent last grew, or it began to leave */
    uint64_t drained;
    uv_shutdown_t shutdown;
};

/* Requests of several clients that become lasting together. */
struct enf_hold {
    bool on;     /* between the hooks */
    bool joined; /* the request that is being done is one of them */
    bool never;  /* none is begun */
    size_t len;  /* answers that wait */
};

/* The gate in front of methods that take long. */
struct enf_slow {
    uv_timer_t timer;  /* runs while the next has to wait */
    uint64_t since_ns; /* of the one that is being done */
    uint64_t tickets;
    size_t waiting; /* clients */
};

struct enf_control {
    uv_loop_t *loop;
    uv_pipe_t listener;
    uv_idle_t work;   /* runs while clients have something to do */
    uv_timer_t sweep; /* looks for those that do not read */
    struct enf_slow slow;
    struct enf_hold hold;
    bool scheduled;                    /* since the turn began: another one has to follow */
    struct enf_control_client *cursor; /* where the next turn goes on; NULL: with the first client */
    int handles;                       /* that the loop has; the last one to close frees all */
    bool stopping;
    bool accept_again;      /* a connection waits that there was no memory for … */
    uint64_t accept_end_ns; /* no connection is taken after that in this turn of the loop; 0: none was yet */
    bool accept_later;      /* … or that has to wait for the next turn */
    char *path;
    struct enf_socket_file file;
    struct enf_control_method *methods; /* the daemon's, and events.subscribe */
    struct enf_rpc rpc;
    struct enf_control_hooks hooks;
    void *ctx;
    struct enf_access access;
    struct enf_denials denials;
    struct enf_control_client *clients;
    size_t lingering;
    uint64_t stall_ms;
    uint64_t linger_ms;
    struct enf_control_stats stats;
    char chunk[64u << 10]; /* what libuv reads into: one for all, it is copied at once */
};

/* --- server.c --- */
/* A handle of the server is gone. */
void enf_server_release(struct enf_control *server);
/* Lets enf_client_run and enf_subscriber_run be called at the next turn. */
void enf_server_schedule(struct enf_control *server);

/* --- hold.c --- */
/* At the begin of a turn: one client that is ready alone has nobody to share with. */
void enf_hold_turn(struct enf_control *server);
/* A method is about to be called: it joins the batch, begins one, or ends it. */
void enf_hold_enter(struct enf_control *server, const struct enf_control_method *method,
                    const json_t *params);
/* The request was done. True where its answer (may be NULL) is taken and waits. line stays where it is until
 * the batch ends. */
bool enf_hold_answer(struct enf_control_client *client, const char *line, size_t line_len, char *text,
                     size_t text_len);
/* Ends it: the answers go out, or the requests are done again. */
void enf_hold_settle(struct enf_control *server);

/* --- client.c --- */
/* Does the request in line. False where it has to wait for its turn, and the line with it. */
bool enf_client_handle(struct enf_control_client *client, const char *line, size_t len);
/* Takes the next connection; cleans up after itself. */
void enf_client_accept(struct enf_control *server);
/* Looks up again what the client may do; one that may nothing any more is sent away. */
void enf_client_update_role(struct enf_control_client *client);
/* Does the next request, if one is there, its answers are taken, and it is no slow one that has to wait. */
void enf_client_run(struct enf_control_client *client);
/* Takes the text. A client that cannot be written to is closed. */
void enf_client_send(struct enf_control_client *client, char *text, size_t len);
/* Bytes given to the client and not yet taken by the kernel. */
size_t enf_client_unsent(const struct enf_control_client *client);
/* Sends an error that answers nothing in particular, and then the client away. */
void enf_client_dismiss(struct enf_control_client *client, enum enf_control_code code, const char *message);
/* What is queued may be sent, then it is closed. */
void enf_client_leave(struct enf_control_client *client);
void enf_client_close(struct enf_control_client *client);
/* Closes it if it does not read. */
void enf_client_sweep(struct enf_control_client *client, uint64_t now_ms);

/* --- slow.c --- */
/* Bytes that the peer has not read, those in the kernel included (by the kernel's count, with overhead). */
size_t enf_client_unread(const struct enf_control_client *client);
/* A slow request of the client is there: true where it may be done now (enf_slow_end follows), false where
 * the client waits for its turn. */
bool enf_slow_begin(struct enf_control_client *client);
void enf_slow_end(struct enf_control *server);
/* It waits no longer. */
void enf_slow_leave(struct enf_control_client *client);
/* Gives the turn to the next that waits; the timer's callback. */
void enf_slow_next(uv_timer_t *timer);

/* --- subscriber.c --- */
/* The method events.subscribe. */
int enf_subscriber_start(void *ctx, const struct enf_control_caller *caller, const json_t *params,
                         json_t **result, struct enf_control_error *error);
/* Sends what events there are, as far as the client takes them. */
void enf_subscriber_run(struct enf_control_client *client);
