/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The listening socket, the turns of the clients, and the end. */
#include "enforcer/control/json.h"
#include "enforcer/control/private.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SWEEP_MS 1000

static void on_denied(void *ctx, const struct enf_control_caller *caller, const char *method)
{
    struct enf_control *server = caller->client->server;
    uint64_t suppressed = 0;

    (void)ctx;
    enf_hold_settle(server); /* what the hook writes is no part of it */
    server->stats.denied++;
    if (!enf_denials_report(&server->denials, caller->uid, uv_now(server->loop), &suppressed))
        return;
    if (server->hooks.denied)
        server->hooks.denied(server->ctx, caller, method, suppressed);
}

static void on_enter(const struct enf_control_caller *caller, const struct enf_control_method *method,
                     const json_t *params)
{
    enf_hold_enter(caller->client->server, method, params);
}

static void on_begin(const struct enf_control_caller *caller, const char *method, const json_t *params)
{
    struct enf_control *server = caller->client->server;

    if (server->hooks.begin)
        server->hooks.begin(server->ctx, caller, method, params);
}

static void on_done(const struct enf_control_caller *caller, const char *method, const json_t *params,
                    const struct enf_control_error *error)
{
    struct enf_control *server = caller->client->server;

    if (server->hooks.done)
        server->hooks.done(server->ctx, caller, method, params, error);
}

static bool on_slow_begin(const struct enf_control_caller *caller)
{
    return enf_slow_begin(caller->client);
}

static void on_slow_end(const struct enf_control_caller *caller)
{
    enf_slow_end(caller->client->server);
}

static void free_server(struct enf_control *server)
{
    enf_access_clear(&server->access);
    free(server->methods);
    free(server->path);
    free(server);
}

void enf_server_release(struct enf_control *server)
{
    if (--server->handles == 0)
        free_server(server);
}

static void on_closed(uv_handle_t *handle)
{
    enf_server_release(handle->data);
}

/* True where there is more to do. */
static bool serve(struct enf_control_client *client)
{
    if (client->ready && client->state == ENF_CLIENT_OPEN)
        enf_client_run(client);
    if (client->subscription.active && client->subscription.ready)
        enf_subscriber_run(client);
    return client->ready || (client->subscription.active && client->subscription.ready);
}

/* libuv takes connections for as long as there are any: clients that come faster than they are served would
 * keep everything else from its turn. One that is not taken stops it until the next turn. */
static void take(struct enf_control *server)
{
    uint64_t now_ns = uv_hrtime();

    if (server->accept_end_ns == 0)
        server->accept_end_ns = now_ns + ENF_TURN_NS;
    server->accept_later = now_ns >= server->accept_end_ns;
    if (!server->accept_later)
        enf_client_accept(server);
    enf_server_schedule(server);
}

/* One turn: each client that has something to do gets its share, one request. A turn that takes long is
 * broken off, so that the rest of the daemon gets its share as well, and goes on where it was. */
static void on_work(uv_idle_t *work)
{
    struct enf_control *server = work->data;
    uint64_t end_ns = uv_hrtime() + ENF_TURN_NS;

    server->accept_end_ns = 0;
    if (server->accept_later)
        take(server);
    enf_hold_turn(server);
    struct enf_control_client *client = server->cursor ? server->cursor : server->clients;
    /* Where it went on in the middle, those before have not been looked at. */
    server->scheduled = client != server->clients;
    for (; client && uv_hrtime() < end_ns; client = client->next)
        if (serve(client))
            server->scheduled = true;
    enf_hold_settle(server);
    server->cursor = client;
    if (!client && !server->scheduled)
        uv_idle_stop(work);
}

void enf_server_schedule(struct enf_control *server)
{
    server->scheduled = true;
    if (!server->stopping)
        uv_idle_start(&server->work, on_work);
}

static void on_sweep(uv_timer_t *timer)
{
    struct enf_control *server = timer->data;

    if (server->accept_again)
        enf_client_accept(server);
    for (struct enf_control_client *client = server->clients; client; client = client->next)
        enf_client_sweep(client, uv_now(server->loop));
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0)
        take(listener->data);
}

/* The daemon's methods and our own in one table. */
static int fill(struct enf_control *server, const struct enf_control_params *params)
{
    server->loop = params->loop;
    server->hooks = params->hooks;
    server->ctx = params->ctx;
    server->stall_ms = params->stall_ms ? params->stall_ms : ENF_CONTROL_STALL_MS;
    server->linger_ms = params->linger_ms ? params->linger_ms : ENF_CONTROL_LINGER_MS;
    server->path = strdup(params->path);
    server->methods = calloc(params->methods_len + 1, sizeof(*server->methods));
    if (!server->path || !server->methods)
        return -ENOMEM;
    if (params->methods_len > 0)
        memcpy(server->methods, params->methods, params->methods_len * sizeof(*server->methods));
    server->methods[params->methods_len] =
        (struct enf_control_method){.name = "events.subscribe", .handler = enf_subscriber_start};
    server->rpc = (struct enf_rpc){
        .methods = server->methods,
        .methods_len = params->methods_len + 1,
        .ctx = params->ctx,
        .denied = on_denied,
        .enter = on_enter,
        .begin = on_begin,
        .done = on_done,
        .slow_begin = on_slow_begin,
        .slow_end = on_slow_end,
    };
    return enf_access_copy(&params->access, &server->access);
}

/* Handles are ours from here on: what goes wrong later ends with enf_control_stop. */
static int open_handles(struct enf_control *server, int fd)
{
    int err;

    uv_pipe_init(server->loop, &server->listener, 0);
    uv_idle_init(server->loop, &server->work);
    uv_timer_init(server->loop, &server->sweep);
    uv_timer_init(server->loop, &server->slow.timer);
    server->handles = 4;
    server->listener.data = server;
    server->work.data = server;
    server->sweep.data = server;
    server->slow.timer.data = server;
    err = uv_pipe_open(&server->listener, fd);
    if (err) {
        close(fd);
        return err;
    }
    err = uv_listen((uv_stream_t *)&server->listener, 1024, on_connection);
    return err ? err : uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

/* libuv writes without MSG_NOSIGNAL, and a client may go away at any time. */
static void block_sigpipe(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int enf_control_start(const struct enf_control_params *params, struct enf_control **out, char *error,
                      size_t error_len)
{
    struct enf_control *server = calloc(1, sizeof(*server));
    int fd;

    enf_json_watch_memory();
    int err = server ? fill(server, params) : -ENOMEM;

    if (err) {
        if (server)
            free_server(server);
        if (error_len > 0)
            snprintf(error, error_len, "%s: %s", params->path, strerror(-err));
        return err;
    }
    fd = enf_socket_listen(server->path, &server->file, error, error_len);
    if (fd < 0) {
        free_server(server);
        return fd;
    }
    block_sigpipe();
    err = open_handles(server, fd);
    if (err) {
        if (error_len > 0)
            snprintf(error, error_len, "%s: %s", params->path, uv_strerror(err));
        enf_control_stop(&server);
        return err;
    }
    *out = server;
    return 0;
}

void enf_control_stop(struct enf_control **control)
{
    struct enf_control *server = *control;

    if (!server)
        return;
    *control = NULL;
    enf_socket_remove(server->path, &server->file);
    server->stopping = true;
    for (struct enf_control_client *client = server->clients; client; client = client->next) {
        enf_subscriber_run(client);
        enf_client_close(client);
    }
    uv_close((uv_handle_t *)&server->listener, on_closed);
    uv_close((uv_handle_t *)&server->work, on_closed);
    uv_close((uv_handle_t *)&server->sweep, on_closed);
    uv_close((uv_handle_t *)&server->slow.timer, on_closed);
}

int enf_control_set_access(struct enf_control *control, const struct enf_control_access *access)
{
    struct enf_access fresh;
    int err = enf_access_copy(access, &fresh);

    if (err)
        return err;
    enf_access_clear(&control->access);
    control->access = fresh;
    for (struct enf_control_client *client = control->clients; client; client = client->next)
        enf_client_update_role(client);
    return 0;
}

void enf_control_wake(struct enf_control *control)
{
    if (control->stats.subscribers == 0)
        return;
    for (struct enf_control_client *client = control->clients; client; client = client->next)
        client->subscription.ready = client->subscription.active;
    enf_server_schedule(control);
}

void enf_control_stats(const struct enf_control *control, struct enf_control_stats *out)
{
    *out = control->stats;
}
