/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event stream. A subscriber is a place in the ring of events: it gets them as fast as it reads, and when
 * the ring has gone on without it, it is told how many it lost and sent away. */
#include "enforcer/control/params.h"
#include "enforcer/control/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char head[] = "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":";
static const char tail[] = "}\n";

static uint64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int enf_subscriber_start(void *ctx, const struct enf_control_caller *caller, const json_t *params,
                         json_t **result, struct enf_control_error *error)
{
    static const char *const names[] = {"since", "actions", NULL};
    struct enf_subscription *subscription = &caller->client->subscription;
    const struct enf_control_hooks *hooks = &caller->client->server->hooks;
    uint64_t actions = UINT64_MAX;
    uint64_t since = UINT64_MAX;
    uint64_t first;
    uint64_t next;

    (void)ctx;
    if (!hooks->events_since || !hooks->events_next)
        return enf_control_fail(error, ENF_CONTROL_UNSUPPORTED, "there is no event stream");
    if (enf_params_known(params, names, error) < 0 ||
        enf_params_since(params, "since", ENF_PARAM_OPTIONAL, wall_ms(), &since, error) < 0 ||
        enf_params_actions(params, "actions", ENF_PARAM_OPTIONAL, &actions, error) < 0)
        return -EINVAL;
    if (subscription->active)
        return enf_control_fail(error, ENF_CONTROL_REFUSED, "this connection has subscribed already");
    next = hooks->events_since(caller->client->server->ctx, UINT64_MAX);
    first = since == UINT64_MAX ? next : hooks->events_since(caller->client->server->ctx, since);
    *result = json_pack("{s:b, s:I, s:I}", "subscribed", 1, "first", (json_int_t)first, "last",
                        (json_int_t)(next - 1));
    if (!*result)
        return -ENOMEM;
    *subscription =
        (struct enf_subscription){.active = true, .ready = true, .next = first, .actions = actions};
    caller->client->server->stats.subscribers++;
    enf_server_schedule(caller->client->server);
    return 0;
}

/* Tells the loss if there is memory for it, and ends it. */
static void fall_behind(struct enf_control_client *client, uint64_t available)
{
    uint64_t lost = available - client->subscription.next;
    char *text = NULL;
    int len;

    client->server->stats.events_lost += lost;
    client->server->stats.closed_slow++;
    len = asprintf(
        &text, "{\"jsonrpc\":\"2.0\",\"method\":\"events.lost\",\"params\":{\"lost\":%llu,\"next\":%llu}}\n",
        (unsigned long long)lost, (unsigned long long)available);
    if (len > 0)
        enf_client_send(client, text, (size_t)len);
    enf_client_leave(client);
}

/* Notifications that go out in one write. */
struct batch {
    char *text;
    size_t len;
    size_t cap;
};

static bool batch_add(struct batch *batch, const struct enf_control_event *event)
{
    size_t len = event->len;
    size_t need;

    while (len > 0 && event->text[len - 1] == '\n')
        len--;
    need = batch->len + sizeof(head) - 1 + len + sizeof(tail) - 1;
    if (!batch->text || need > batch->cap) {
        size_t cap = need < ENF_STREAM_CHUNK ? ENF_STREAM_CHUNK : need;
        char *text = realloc(batch->text, cap);

        if (!text)
            return false;
        batch->text = text;
        batch->cap = cap;
    }
    memcpy(batch->text + batch->len, head, sizeof(head) - 1);
    memcpy(batch->text + batch->len + sizeof(head) - 1, event->text, len);
    memcpy(batch->text + need - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
    batch->len = need;
    return true;
}

/* Gives the batch away. */
static void batch_send(struct batch *batch, struct enf_control_client *client)
{
    if (batch->len > 0)
        enf_client_send(client, batch->text, batch->len);
    else
        free(batch->text);
    *batch = (struct batch){0};
}

/* One event: true where the next may follow. */
static bool step(struct enf_control_client *client, struct batch *batch)
{
    struct enf_subscription *subscription = &client->subscription;
    struct enf_control_event event;

    if (client->server->hooks.events_next(client->server->ctx, subscription->next, &event) != 1) {
        subscription->ready = false; /* until there is one */
        return false;
    }
    if (event.sequence > subscription->next) {
        batch_send(batch, client);
        if (client->state == ENF_CLIENT_OPEN)
            fall_behind(client, event.sequence);
        return false;
    }
    if (enf_client_unsent(client) + batch->len > ENF_STREAM_HIGH) {
        subscription->ready = false; /* until it has read */
        return false;
    }
    if ((subscription->actions >> event.action & 1) && !batch_add(batch, &event)) {
        enf_client_close(client);
        return false;
    }
    subscription->next = event.sequence + 1;
    return true;
}

void enf_subscriber_run(struct enf_control_client *client)
{
    struct batch batch = {0};

    if (!client->subscription.active || client->state != ENF_CLIENT_OPEN)
        return;
    for (unsigned n = 0; n < ENF_STREAM_SCAN && client->state == ENF_CLIENT_OPEN && step(client, &batch); n++)
        if (batch.len >= ENF_STREAM_CHUNK)
            batch_send(&batch, client);
    batch_send(&batch, client);
}
