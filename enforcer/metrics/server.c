/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libmicrohttpd, run by a thread of ours: so the thread can give up its rights first, and ends connections
 * that live too long. */
#include "enforcer/metrics/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TURN_MS      250
#define MEMORY_BYTES 16384 /* of a connection: a longer request is refused */
#define IDLE_S       5

enum format { OPENMETRICS, PLAIN };

struct slot {
    int fd;
    uint64_t since_ms; /* 0: free */
};

struct enf_metrics {
    struct enf_metrics_params params;
    struct MHD_Daemon *http;
    pthread_t thread;
    atomic_bool stop;
    struct slot slots[ENF_METRICS_CONNECTIONS + 1];
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t changed;
    bool begun;
    int sealed;
    char *text[2];
    size_t len[2];
    uint64_t made_ms; /* 0: there is no page */
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the page --- */

/* With the lock held. False: there is none, or it is old. */
static bool fresh_page(struct enf_metrics *server)
{
    uint64_t asked_ms = now_ms();
    struct timespec end;

    if (server->made_ms > 0 && asked_ms < server->made_ms + ENF_METRICS_FRESH_MS)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ENF_METRICS_PATIENCE_MS / 1000;
    server->params.wanted(server->params.ctx);
    while (server->made_ms < asked_ms && !atomic_load(&server->stop))
        if (pthread_cond_timedwait(&server->changed, &server->lock, &end) != 0)
            break;
    return server->made_ms >= asked_ms;
}

void enf_metrics_publish(struct enf_metrics *server, char *openmetrics, size_t openmetrics_len, char *plain,
                         size_t plain_len)
{
    pthread_mutex_lock(&server->lock);
    free(server->text[OPENMETRICS]);
    free(server->text[PLAIN]);
    server->text[OPENMETRICS] = openmetrics;
    server->len[OPENMETRICS] = openmetrics_len;
    server->text[PLAIN] = plain;
    server->len[PLAIN] = plain_len;
    server->made_ms = now_ms();
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* --- answers --- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned code, const char *type,
                              const char *text, size_t len)
{
    char *copy = malloc(len + 1);

    if (!copy)
        return MHD_NO;
    memcpy(copy, text, len);
    struct MHD_Response *response = MHD_create_response_from_buffer(len, copy, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(copy);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Connection", "close");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned code, const char *text)
{
    return answer(connection, code, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result give_page(struct enf_metrics *server, struct MHD_Connection *connection)
{
    static const char *const types[] = {"application/openmetrics-text; version=1.0.0; charset=utf-8",
                                        "text/plain; version=0.0.4; charset=utf-8"};
    const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    enum format format = accept && strstr(accept, "application/openmetrics-text") ? OPENMETRICS : PLAIN;
    enum MHD_Result result;

    pthread_mutex_lock(&server->lock);
    if (fresh_page(server))
        result = answer(connection, MHD_HTTP_OK, types[format], server->text[format], server->len[format]);
    else
        result = say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the daemon is busy: try again\n");
    pthread_mutex_unlock(&server->lock);
    return result;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **request)
{
    static char known;

    (void)version;
    (void)upload;
    if (!*request) { /* the head is there; what follows it is not wanted */
        *request = &known;
        if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
            return MHD_YES;
        return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    if (*upload_len > 0)
        return MHD_NO;
    if (strcmp(url, "/metrics") != 0)
        return say(connection, MHD_HTTP_NOT_FOUND, "only /metrics\n");
    return give_page(ctx, connection);
}

/* --- connections --- */

static void on_connection(void *ctx, struct MHD_Connection *connection, void **slot_of,
                          enum MHD_ConnectionNotificationCode code)
{
    struct enf_metrics *server = ctx;
    struct slot *slot = *slot_of;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (slot)
            slot->since_ms = 0;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    for (size_t i = 0; info && i < sizeof server->slots / sizeof *server->slots; i++) {
        if (server->slots[i].since_ms > 0)
            continue;
        server->slots[i] = (struct slot){info->connect_fd, now_ms()};
        *slot_of = &server->slots[i];
        return;
    }
}

/* One that sends or reads a byte now and then would keep its place for ever. */
static void end_old(struct enf_metrics *server)
{
    uint64_t now = now_ms();

    for (size_t i = 0; i < sizeof server->slots / sizeof *server->slots; i++) {
        const struct slot *slot = &server->slots[i];
        if (slot->since_ms > 0 && now >= slot->since_ms + ENF_METRICS_LIFE_MS)
            shutdown(slot->fd, SHUT_RDWR);
    }
}

static void *run(void *arg)
{
    struct enf_metrics *server = arg;

    pthread_setname_np(pthread_self(), "metrics");
    int sealed = server->params.seal ? server->params.seal(server->params.ctx) : 0;
    pthread_mutex_lock(&server->lock);
    server->begun = true;
    server->sealed = sealed;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    while (sealed == 0 && !atomic_load(&server->stop)) {
        MHD_run_wait(server->http, TURN_MS);
        end_old(server);
    }
    return NULL;
}

/* --- life --- */

int enf_metrics_listen(const struct enf_addr *address, uint16_t port, int *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v4 = address->family == ENF_FAMILY_V4;
    const int on = 1;

    memcpy(&v4.sin_addr, address->bytes, sizeof v4.sin_addr);
    memcpy(&v6.sin6_addr, address->bytes, sizeof v6.sin6_addr);
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!is_v4)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6,
             is_v4 ? sizeof v4 : sizeof v6) < 0 ||
        listen(fd, ENF_METRICS_CONNECTIONS) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    *out = fd;
    return 0;
}

static int begin(struct enf_metrics *server)
{
    server->http = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->params.fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)ENF_METRICS_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
    if (!server->http)
        return -EIO;
    int err = -pthread_create(&server->thread, NULL, run, server);
    if (err < 0)
        return err;
    pthread_mutex_lock(&server->lock);
    while (!server->begun)
        pthread_cond_wait(&server->changed, &server->lock);
    err = server->sealed;
    pthread_mutex_unlock(&server->lock);
    if (err < 0)
        pthread_join(server->thread, NULL);
    return err;
}

static void free_server(struct enf_metrics *server)
{
    if (server->http)
        MHD_stop_daemon(server->http); /* closes the listening socket */
    else
        close(server->params.fd);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server->text[OPENMETRICS]);
    free(server->text[PLAIN]);
    free(server);
}

int enf_metrics_start(const struct enf_metrics_params *params, struct enf_metrics **out)
{
    struct enf_metrics *server = calloc(1, sizeof *server);
    pthread_condattr_t steady;

    if (!server) {
        close(params->fd);
        return -ENOMEM;
    }
    server->params = *params;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &steady);
    pthread_condattr_destroy(&steady);
    int err = begin(server);
    if (err < 0)
        free_server(server);
    else
        *out = server;
    return err;
}

void enf_metrics_stop(struct enf_metrics **server)
{
    struct enf_metrics *s = *server;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    free_server(s);
    *server = NULL;
}
