/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON-RPC over the Unix socket, blocking. */
#include "tools/enforcerctl/rpc.h"

#include "tools/enforcerctl/print.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX       (64u << 20) /* bytes of a line: more is not from our daemon */
#define PATIENCE_S       120
#define CODE_NO_METHOD   (-32601)
#define CODE_NEEDS_FORCE (-32004)

struct ctl_rpc {
    int fd;
    const char *path;
    char *buf;
    size_t len;
    size_t cap;
    size_t start;
};

static int unreachable(const char *path, const char *why)
{
    fprintf(stderr, "enforcerctl: cannot reach the daemon at %s: %s\n", path, why);
    return CTL_UNREACHABLE;
}

int ctl_rpc_open(const struct ctl *ctl, struct ctl_rpc **out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    struct ctl_rpc *rpc;
    int fd;

    if (strlen(ctl->socket) >= sizeof(address.sun_path))
        return unreachable(ctl->socket, "the path is too long for a socket");
    memcpy(address.sun_path, ctl->socket, strlen(ctl->socket) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return unreachable(ctl->socket, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    rpc = calloc(1, sizeof(*rpc));
    if (!rpc || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        int err = rpc ? errno : ENOMEM;

        close(fd);
        free(rpc);
        return unreachable(
            ctl->socket,
            err == ENOENT || err == ECONNREFUSED
                ? "enforcerd is not running, or listens elsewhere (--socket). What the kernel has, rules "
                  "and quarantine, stays in force meanwhile"
                : strerror(err));
    }
    rpc->fd = fd;
    rpc->path = ctl->socket;
    *out = rpc;
    return CTL_DONE;
}

void ctl_rpc_close(struct ctl_rpc **rpc)
{
    if (!*rpc)
        return;
    close((*rpc)->fd);
    free((*rpc)->buf);
    free(*rpc);
    *rpc = NULL;
}

/* What is not sent is not reported: the daemon may have said why before it closed the connection. */
static void send_text(struct ctl_rpc *rpc, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(rpc->fd, text, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

/* Makes room and reads some. CTL_DONE, or CTL_UNREACHABLE with the reason told. */
static int read_some(struct ctl_rpc *rpc)
{
    ssize_t n;

    if (rpc->start > 0) {
        memmove(rpc->buf, rpc->buf + rpc->start, rpc->len - rpc->start);
        rpc->len -= rpc->start;
        rpc->start = 0;
    }
    if (rpc->len == rpc->cap) {
        size_t cap = rpc->cap ? rpc->cap * 2 : 65536;
        char *buf = cap > ANSWER_MAX ? NULL : realloc(rpc->buf, cap);

        if (!buf)
            return unreachable(rpc->path, "its answer is too long");
        rpc->buf = buf;
        rpc->cap = cap;
    }
    do
        n = recv(rpc->fd, rpc->buf + rpc->len, rpc->cap - rpc->len, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return unreachable(rpc->path, errno == EAGAIN ? "it does not answer" : strerror(errno));
    if (n == 0)
        return unreachable(rpc->path, "it closed the connection");
    rpc->len += (size_t)n;
    return CTL_DONE;
}

static int read_line(struct ctl_rpc *rpc, json_t **out)
{
    size_t scanned = 0;
    const char *newline;
    json_t *json;

    while (!rpc->buf ||
           !(newline = memchr(rpc->buf + rpc->start + scanned, '\n', rpc->len - rpc->start - scanned))) {
        int rc;

        scanned = rpc->len - rpc->start;
        rc = read_some(rpc);
        if (rc)
            return rc;
    }
    json = json_loadb(rpc->buf + rpc->start, (size_t)(newline - rpc->buf) - rpc->start, 0, NULL);
    rpc->start = (size_t)(newline - rpc->buf) + 1;
    if (!json_is_object(json)) {
        json_decref(json);
        return unreachable(rpc->path, "what it says is no answer");
    }
    *out = json;
    return CTL_DONE;
}

static int refused(const char *method, const json_t *error)
{
    json_int_t code = json_integer_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    const json_t *errors = json_at(error, "data.errors");

    if (code == CODE_NO_METHOD) {
        fprintf(stderr, "enforcerctl: refused: the daemon has no %s: is it of another version?\n", method);
        return CTL_REFUSED;
    }
    fputs("enforcerctl: refused: ", stderr);
    print_clean(stderr, message ? message : "without a reason");
    if (code == CODE_NEEDS_FORCE)
        fputs(" (--force does it all the same)", stderr);
    fputc('\n', stderr);
    /* of a configuration: all of them at once */
    for (size_t i = 0; json_array_size(errors) > 1 && i < json_array_size(errors); i++) {
        const char *text = json_string_value(json_array_get(errors, i));

        fputs("  ", stderr);
        print_clean(stderr, text ? text : "?");
        fputc('\n', stderr);
    }
    return CTL_REFUSED;
}

/* Sends the request; the answer is the first line that is no notification. */
int ctl_rpc_call(struct ctl_rpc *rpc, const char *method, json_t *params, json_t **result)
{
    json_t *request =
        json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", 1, "method", method, "params", params);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_t *answer = NULL;
    int rc;

    json_decref(request);
    if (!text)
        return unreachable(rpc->path, "out of memory, or an argument that is no UTF-8");
    send_text(rpc, text, strlen(text));
    send_text(rpc, "\n", 1);
    free(text);
    do {
        json_decref(answer);
        answer = NULL;
        rc = read_line(rpc, &answer);
    } while (rc == CTL_DONE && json_object_get(answer, "method"));
    if (rc)
        return rc;
    if (json_is_object(json_object_get(answer, "result")))
        *result = json_incref(json_object_get(answer, "result"));
    else
        rc = refused(method, json_object_get(answer, "error"));
    json_decref(answer);
    return rc;
}

int ctl_rpc_next(struct ctl_rpc *rpc, json_t **out)
{
    struct timeval forever = {0};

    setsockopt(rpc->fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
    return read_line(rpc, out);
}

int ctl_call(const struct ctl *ctl, const char *method, json_t *params, json_t **result)
{
    struct ctl_rpc *rpc = NULL;
    json_t *json = NULL;
    int rc = ctl_rpc_open(ctl, &rpc);

    if (rc) {
        json_decref(params);
        return rc;
    }
    rc = ctl_rpc_call(rpc, method, params, &json);
    ctl_rpc_close(&rpc);
    if (rc == CTL_DONE && ctl->json) {
        json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
        putchar('\n');
        json_decref(json);
        json = NULL;
    }
    *result = json;
    return rc;
}
