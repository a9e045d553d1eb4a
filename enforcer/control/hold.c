/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of several clients share one wait for the disk: their answers wait until what they did is lasting.
 * Within one turn, so that nobody waits for others to come. */
#include "enforcer/control/private.h"

#include <stdlib.h>

void enf_hold_turn(struct enf_control *server)
{
    size_t ready = 0;

    for (const struct enf_control_client *client = server->clients; client && ready < 2;
         client = client->next)
        ready += client->ready && client->framer.end > client->framer.start;
    server->hold.never = ready < 2 || !server->hooks.batch_begin;
}

void enf_hold_enter(struct enf_control *server, const struct enf_control_method *method, const json_t *params)
{
    struct enf_hold *hold = &server->hold;
    bool may = !hold->never && method->batched && method->batched(server->ctx, params);

    if (!may || hold->len == ENF_CONTROL_BATCH_MAX)
        enf_hold_settle(server);
    if (may && !hold->on)
        hold->on = server->hooks.batch_begin(server->ctx);
    hold->joined = may && hold->on;
}

bool enf_hold_answer(struct enf_control_client *client, const char *line, size_t line_len, char *text,
                     size_t text_len)
{
    struct enf_hold *hold = &client->server->hold;

    if (!hold->joined)
        return false;
    hold->joined = false;
    hold->len++;
    client->held.is = true;
    client->held.line = line;
    client->held.line_len = line_len;
    client->held.text = text;
    client->held.text_len = text_len;
    return true;
}

/* It was done, and that holds. */
static void answer(struct enf_control_client *client)
{
    char *text = client->held.text;

    client->held.text = NULL;
    client->server->stats.requests++;
    if (text)
        enf_client_send(client, text, client->held.text_len);
}

/* It was not done. */
static void again(struct enf_control_client *client)
{
    free(client->held.text);
    client->held.text = NULL;
    if (client->state == ENF_CLIENT_OPEN)
        enf_client_handle(client, client->held.line, client->held.line_len);
}

void enf_hold_settle(struct enf_control *server)
{
    struct enf_hold *hold = &server->hold;
    bool never = hold->never;

    if (!hold->on)
        return;
    hold->on = hold->joined = false;
    hold->len = 0;
    bool lasting = server->hooks.batch_end(server->ctx) >= 0;
    hold->never = true;
    /* In the order in which they were done: a turn goes through the clients once. */
    for (struct enf_control_client *client = server->clients; client; client = client->next) {
        if (!client->held.is)
            continue;
        client->held.is = false;
        if (lasting)
            answer(client);
        else
            again(client);
    }
    hold->never = never;
}
