/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection: reads requests, sends answers, and goes away without anybody else noticing. */
#include "enforcer/control/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A write under way. */
struct output {
    uv_write_t req; /* first: the request is the output */
    char *text;
};

size_t enf_client_unsent(const struct enf_control_client *client)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&client->pipe);
}

static void on_closed(uv_handle_t *handle)
{
    struct enf_control_client *client = (struct enf_control_client *)handle;
    struct enf_control *server = client->server;

    if (client->prev)
        client->prev->next = client->next;
    else
        server->clients = client->next;
    if (client->next)
        client->next->prev = client->prev;
    if (server->cursor == client)
        server->cursor = client->next;
    enf_framer_clear(&client->framer);
    enf_identity_clear(&client->identity);
    free(client->held.text);
    free(client);
    enf_server_release(server);
}

/* Gives up its place, so that another one can come while this one still reads. */
static void uncount(struct enf_control_client *client)
{
    if (client->counted)
        client->server->stats.clients--;
    client->counted = false;
    if (client->subscription.active)
        client->server->stats.subscribers--;
    client->subscription.active = false;
    enf_slow_leave(client);
}

void enf_client_close(struct enf_control_client *client)
{
    if (client->state == ENF_CLIENT_CLOSED)
        return;
    if (client->state == ENF_CLIENT_LEAVING)
        client->server->lingering--;
    client->state = ENF_CLIENT_CLOSED;
    uncount(client);
    uv_close((uv_handle_t *)&client->pipe, on_closed);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct enf_control_client *client = (struct enf_control_client *)req->handle;

    if (status != 0 || client->ended)
        enf_client_close(client);
}

/* All is sent to a client that leaves: tell it so. It closes its side when it has read that, or is closed. */
static void finish(struct enf_control_client *client)
{
    if (client->state != ENF_CLIENT_LEAVING || client->shut || enf_client_unsent(client) > 0)
        return;
    client->shut = true;
    if (client->ended || uv_shutdown(&client->shutdown, (uv_stream_t *)&client->pipe, on_shutdown) != 0)
        enf_client_close(client);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct enf_control *server = ((struct enf_control_client *)handle)->server;

    (void)suggested;
    *buf = uv_buf_init(server->chunk, sizeof(server->chunk));
}

/* Its requests are done at the next turn. */
static void get_ready(struct enf_control_client *client)
{
    if (client->state != ENF_CLIENT_OPEN || client->waiting)
        return;
    client->ready = true;
    enf_server_schedule(client->server);
}

/* The peer sends nothing more; it may still read. */
static void on_end(struct enf_control_client *client)
{
    client->ended = true;
    client->reading = false;
    uv_read_stop((uv_stream_t *)&client->pipe);
    if (client->shut)
        enf_client_close(client);
    else if (client->framer.start == client->framer.end)
        enf_client_run(client); /* nothing is left to do: its place is free at once */
    else
        get_ready(client);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct enf_control_client *client = (struct enf_control_client *)stream;

    if (n == UV_EOF) {
        on_end(client);
    } else if (n < 0) {
        enf_client_close(client);
    } else if (client->state == ENF_CLIENT_LEAVING) {
        client->drained += (uint64_t)n;
        if (client->drained > ENF_DRAIN_MAX)
            enf_client_close(client);
    } else if (n > 0) {
        if (enf_framer_feed(&client->framer, buf->base, (size_t)n) != 0)
            enf_client_close(client);
        else
            get_ready(client);
    }
}

/* Reads where there is room for what comes: a client that is behind with its own business is not listened to.
 */
static void listen_or_not(struct enf_control_client *client)
{
    bool want =
        client->state != ENF_CLIENT_CLOSED && !client->ended &&
        (client->state == ENF_CLIENT_LEAVING || (!client->ready && !client->blocked && !client->waiting));

    if (want == client->reading || client->state == ENF_CLIENT_CLOSED)
        return;
    client->reading = want;
    if (!want)
        uv_read_stop((uv_stream_t *)&client->pipe);
    else if (uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read) != 0)
        enf_client_close(client);
}

static void on_written(uv_write_t *req, int status)
{
    struct output *output = (struct output *)req;
    struct enf_control_client *client = (struct enf_control_client *)req->handle;

    free(output->text);
    free(output);
    if (client->state == ENF_CLIENT_CLOSED)
        return;
    if (status != 0) {
        enf_client_close(client);
        return;
    }
    if (client->blocked && enf_client_unsent(client) <= ENF_OUTPUT_HIGH / 2) {
        client->blocked = false;
        get_ready(client);
    }
    if (client->subscription.active && enf_client_unsent(client) <= ENF_STREAM_HIGH / 2) {
        client->subscription.ready = true;
        enf_server_schedule(client->server);
    }
    finish(client);
}

void enf_client_send(struct enf_control_client *client, char *text, size_t len)
{
    struct output *output = client->state == ENF_CLIENT_CLOSED ? NULL : malloc(sizeof(*output));
    uv_buf_t buf = uv_buf_init(text, (unsigned)len);

    if (!output) {
        free(text);
        enf_client_close(client);
        return;
    }
    output->text = text;
    if (enf_client_unsent(client) == 0)
        client->progress_ms = uv_now(client->server->loop);
    if (uv_write(&output->req, (uv_stream_t *)&client->pipe, &buf, 1, on_written) != 0) {
        free(text);
        free(output);
        enf_client_close(client);
        return;
    }
    client->queued += len;
}

void enf_client_leave(struct enf_control_client *client)
{
    if (client->state != ENF_CLIENT_OPEN)
        return;
    client->state = ENF_CLIENT_LEAVING;
    client->server->lingering++;
    client->progress_ms = uv_now(client->server->loop);
    client->ready = false;
    client->blocked = false;
    uncount(client);
    enf_framer_clear(&client->framer);
    listen_or_not(client);
    finish(client);
}

void enf_client_dismiss(struct enf_control_client *client, enum enf_control_code code, const char *message)
{
    struct enf_control_error error = {0};
    char *text = NULL;
    size_t len = 0;

    enf_control_fail(&error, code, "%s", message);
    if (enf_rpc_error(NULL, &error, &text, &len) == 1)
        enf_client_send(client, text, len);
    enf_control_error_clear(&error);
    if (client->server->lingering >= ENF_LINGERING_MAX)
        enf_client_close(client);
    else
        enf_client_leave(client);
}

bool enf_client_handle(struct enf_control_client *client, const char *line, size_t len)
{
    char *text = NULL;
    size_t text_len = 0;
    int rc = enf_rpc_handle(&client->server->rpc, &client->caller, line, len, &text, &text_len);

    if (rc == -EAGAIN) {
        enf_framer_undo(&client->framer, line);
        return false;
    }
    if (rc >= 0 && enf_hold_answer(client, line, len, text, text_len))
        return true;
    client->server->stats.requests++;
    if (rc < 0)
        enf_client_close(client);
    else if (rc == 1)
        enf_client_send(client, text, text_len);
    return true;
}

/* The next request of what is buffered: true where there was one. */
static bool take_line(struct enf_control_client *client)
{
    const char *line = NULL;
    size_t len = 0;
    int rc = enf_framer_next(&client->framer, ENF_CONTROL_LINE_MAX, &line, &len);

    if (rc == -EMSGSIZE) {
        client->server->stats.closed_long++;
        enf_client_dismiss(client, ENF_CONTROL_TOO_LARGE, "a request longer than 1 MiB");
        return false;
    }
    if (rc == 0 && client->ended)
        rc = enf_framer_rest(&client->framer, &line, &len);
    return rc == 1 && enf_client_handle(client, line, len);
}

void enf_client_run(struct enf_control_client *client)
{
    bool more;

    client->ready = false;
    client->blocked = enf_client_unsent(client) > ENF_OUTPUT_HIGH;
    if (!client->blocked) {
        more = take_line(client);
        if (client->state == ENF_CLIENT_OPEN && more)
            get_ready(client);
        else if (client->ended && !client->waiting) /* a subscriber, too: nobody knows whether it listens */
            enf_client_leave(client);
    }
    listen_or_not(client);
}

void enf_client_sweep(struct enf_control_client *client, uint64_t now_ms)
{
    const struct enf_control *server = client->server;
    uint64_t sent = client->queued - enf_client_unsent(client);
    uint64_t limit = client->state == ENF_CLIENT_LEAVING ? server->linger_ms : server->stall_ms;
    bool idle = client->state == ENF_CLIENT_OPEN && sent == client->queued &&
                (!client->waiting || enf_client_unread(client) == 0);

    if (client->state == ENF_CLIENT_CLOSED)
        return;
    if (sent != client->sent || idle) {
        client->sent = sent;
        client->progress_ms = now_ms;
        return;
    }
    /* A subscriber may take its time: it costs a place in the ring, and is sent away when the ring has gone
     * on. */
    if (client->subscription.active && !client->blocked)
        return;
    if (now_ms - client->progress_ms < limit)
        return;
    if (client->state == ENF_CLIENT_OPEN)
        client->server->stats.closed_slow++;
    enf_client_close(client);
}

/* What it may do, by the lists as they are now. */
static void read_role(struct enf_control_client *client)
{
    enf_access_role(&client->server->access, &client->identity, &client->caller);
}

static bool is_stranger(const struct enf_control_caller *caller)
{
    return !caller->admin && !caller->viewer && !caller->portal;
}

static void deny(struct enf_control_client *client)
{
    struct enf_control *server = client->server;
    char message[ENF_ACTOR_LEN + 64];

    if (server->rpc.denied)
        server->rpc.denied(server, &client->caller, NULL);
    snprintf(message, sizeof(message), "%s is neither admin nor viewer", client->caller.actor);
    enf_client_dismiss(client, ENF_CONTROL_DENIED, message);
}

void enf_client_update_role(struct enf_control_client *client)
{
    if (client->state != ENF_CLIENT_OPEN)
        return;
    read_role(client);
    if (is_stranger(&client->caller))
        deny(client);
}

/* Viewers share what the admins leave, and one uid may not take it all. */
static bool has_place(const struct enf_control_client *newcomer)
{
    const struct enf_control *server = newcomer->server;
    size_t same_uid = 0;

    if (newcomer->caller.admin)
        return server->stats.clients < ENF_CONTROL_CLIENTS_MAX;
    for (const struct enf_control_client *client = server->clients; client; client = client->next)
        if (client->counted && client->caller.uid == newcomer->caller.uid)
            same_uid++;
    return server->stats.clients < ENF_CONTROL_CLIENTS_MAX - ENF_CONTROL_ADMIN_RESERVE &&
           same_uid < ENF_CONTROL_UID_MAX;
}

static int identify(struct enf_control_client *client)
{
    uv_os_fd_t fd;
    int err = uv_fileno((const uv_handle_t *)&client->pipe, &fd);

    if (!err)
        err = enf_identity_of_peer(fd, &client->identity);
    if (err)
        return err;
    client->caller.uid = client->identity.uid;
    client->caller.pid = client->identity.pid;
    client->caller.client = client;
    memcpy(client->caller.actor, client->identity.actor, sizeof(client->caller.actor));
    read_role(client);
    return 0;
}

void enf_client_accept(struct enf_control *server)
{
    struct enf_control_client *client = calloc(1, sizeof(*client));

    /* libuv listens no further until this connection is taken: the sweep tries again. */
    server->accept_again = !client;
    if (!client)
        return;
    client->server = server;
    uv_pipe_init(server->loop, &client->pipe, 0);
    server->handles++;
    client->next = server->clients;
    if (client->next)
        client->next->prev = client;
    server->clients = client;
    if (uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&client->pipe) != 0 ||
        identify(client) != 0) {
        enf_client_close(client);
    } else if (is_stranger(&client->caller)) {
        deny(client);
    } else if (!has_place(client)) {
        server->stats.refused_full++;
        enf_client_dismiss(client, ENF_CONTROL_LIMIT, "too many clients");
    } else {
        client->counted = true;
        server->stats.clients++;
        server->stats.accepted++;
        listen_or_not(client);
    }
}
