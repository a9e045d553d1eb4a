/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods that take long: one at a time, in the order they were asked for, only for clients that have read
 * what they got, and never for more than half of the thread's time. */
#include "enforcer/control/private.h"

#include <sys/ioctl.h>

#include <linux/sockios.h>

#define LOOK_AGAIN_MS 100 /* for clients that wait and have not read */
#define NS_PER_MS     1000000u

size_t enf_client_unread(const struct enf_control_client *client)
{
    uv_os_fd_t fd;
    int bytes = 0;

    if (uv_fileno((const uv_handle_t *)&client->pipe, &fd) != 0 || ioctl(fd, SIOCOUTQ, &bytes) != 0)
        bytes = 0;
    return enf_client_unsent(client) + (size_t)bytes;
}

bool enf_slow_begin(struct enf_control_client *client)
{
    struct enf_slow *slow = &client->server->slow;

    if (!client->turn &&
        (slow->waiting > 0 || uv_is_active((uv_handle_t *)&slow->timer) || enf_client_unread(client) > 0)) {
        client->waiting = true;
        client->ticket = ++slow->tickets;
        slow->waiting++;
        if (!uv_is_active((uv_handle_t *)&slow->timer))
            uv_timer_start(&slow->timer, enf_slow_next, LOOK_AGAIN_MS, 0);
        return false;
    }
    client->turn = false;
    slow->since_ns = uv_hrtime();
    return true;
}

void enf_slow_end(struct enf_control *server)
{
    uint64_t took_ns = uv_hrtime() - server->slow.since_ns;

    uv_update_time(server->loop);
    uv_timer_start(&server->slow.timer, enf_slow_next, took_ns / NS_PER_MS + 1, 0);
}

void enf_slow_leave(struct enf_control_client *client)
{
    if (client->waiting)
        client->server->slow.waiting--;
    client->waiting = false;
    client->turn = false;
}

/* The one that waits longest and has read all. */
static struct enf_control_client *choose(const struct enf_control *server)
{
    struct enf_control_client *first = NULL;

    for (struct enf_control_client *client = server->clients; client; client = client->next)
        if (client->waiting && enf_client_unread(client) == 0 && (!first || client->ticket < first->ticket))
            first = client;
    return first;
}

void enf_slow_next(uv_timer_t *timer)
{
    struct enf_control *server = timer->data;
    struct enf_control_client *client;

    /* One whose line is not a slow one after all (it is read anew) makes room for the next at once. */
    while (!uv_is_active((uv_handle_t *)timer) && (client = choose(server))) {
        enf_slow_leave(client);
        client->turn = true;
        enf_client_run(client);
        client->turn = false;
    }
    if (server->slow.waiting > 0 && !uv_is_active((uv_handle_t *)timer))
        uv_timer_start(timer, enf_slow_next, LOOK_AGAIN_MS, 0);
}
