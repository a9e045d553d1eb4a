/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server in a thread of its own, and a plain blocking client: what the tests of control/ share. */
#pragma once

#include "enforcer/control/server.h"

#include "enforcer/control/params.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BED          static __attribute__((unused)) /* not every test needs all of it */
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define RING         1000
#define EVENT_LEN    2048

struct bed {
    char dir[64];
    char path[112];
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t async;
    sem_t done;
    void (*fn)(struct bed *bed); /* to be run by the thread */
    struct enf_control *control;
    struct enf_control_stats stats;
    int started;
    uint64_t stall_ms; /* 0: 1000 */
    char error[256];
    /* of the thread */
    uint64_t sequence; /* of the last event made */
    int slow;          /* requests of that method done */
    int denied;
    uint64_t suppressed;
    char denied_method[64];
    int notes[256]; /* what do_note did and what lasts, in its order */
    size_t notes_len;
    size_t lasting; /* of them, before the batch that is open */
    int batches;    /* begun */
    bool in_batch;
    bool never_begin; /* batch_begin says no */
    int refuse;       /* so many ends say no */
    int fds[100];     /* of clients, for a fn */
    size_t fds_len;
    struct enf_control_principal me;
    struct enf_control_access access;
};

static char event_texts[RING][EVENT_LEN];

BED int do_echo(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                struct enf_control_error *error)
{
    (void)ctx;
    (void)error;
    *result = json_pack("{s:O, s:s, s:b}", "params", params, "actor", caller->actor, "admin", caller->admin);
    return 0;
}

BED int do_long(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                struct enf_control_error *error)
{
    int64_t len = 0;
    char *text;

    (void)ctx;
    (void)caller;
    if (enf_params_integer(params, "len", ENF_PARAM_REQUIRED, 0, ENF_CONTROL_RESULT_MAX, &len, error) < 0)
        return -EINVAL;
    text = malloc((size_t)len + 1);
    memset(text, 'x', (size_t)len);
    text[len] = '\0';
    *result = json_pack("{s:s}", "text", text);
    free(text);
    return 0;
}

/* Makes n events; the even ones are `started`, the odd ones `stopped`. */
BED int do_emit(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                struct enf_control_error *error)
{
    struct bed *bed = ctx;
    int64_t n = 0;

    (void)caller;
    if (enf_params_integer(params, "n", ENF_PARAM_REQUIRED, 0, 1000000, &n, error) < 0)
        return -EINVAL;
    for (; n > 0; n--) {
        bed->sequence++;
        snprintf(event_texts[bed->sequence % RING], EVENT_LEN, "{\"n\":%llu,\"pad\":\"%01000d\"}\n",
                 (unsigned long long)bed->sequence, 0);
        enf_control_wake(bed->control);
    }
    *result = json_pack("{s:I}", "sequence", (json_int_t)bed->sequence);
    return 0;
}

/* Takes 100 ms of the thread. */
BED int do_slow(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                struct enf_control_error *error)
{
    struct bed *bed = ctx;

    (void)caller;
    (void)params;
    (void)error;
    usleep(100000);
    *result = json_pack("{s:i}", "slow", ++bed->slow);
    return 0;
}

/* A change that others can take back: the answer says whether it was done in a batch, and how many were
 * before. */
BED int do_note(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                struct enf_control_error *error)
{
    struct bed *bed = ctx;
    int64_t n = 0;

    (void)caller;
    if (enf_params_integer(params, "n", ENF_PARAM_REQUIRED, 0, 1000, &n, error) < 0)
        return -EINVAL;
    if (n == 999)
        return enf_control_fail(error, ENF_CONTROL_NOT_FOUND, "no such note");
    bed->notes[bed->notes_len++ % ARRAY_LEN(bed->notes)] = (int)n;
    *result = json_pack("{s:b, s:i}", "batched", (int)bed->in_batch, "at", (int)bed->notes_len);
    return 0;
}

BED bool is_batched(void *ctx, const json_t *params)
{
    (void)ctx;
    return !json_object_get(params, "alone");
}

BED bool batch_begin(void *ctx)
{
    struct bed *bed = ctx;

    if (bed->never_begin || bed->in_batch)
        return false;
    bed->in_batch = true;
    bed->lasting = bed->notes_len;
    bed->batches++;
    return true;
}

BED int batch_end(void *ctx)
{
    struct bed *bed = ctx;

    bed->in_batch = false;
    if (bed->refuse == 0)
        return 0;
    bed->refuse--;
    bed->notes_len = bed->lasting;
    return -EIO;
}

static const struct enf_control_method methods[] = {
    {"echo", false, do_echo}, {"change", true, do_echo},      {"long", false, do_long},
    {"emit", false, do_emit}, {"slow", false, do_slow, true}, {"note", true, do_note, .batched = is_batched},
};

BED void on_denied(void *ctx, const struct enf_control_caller *caller, const char *method,
                   uint64_t suppressed)
{
    struct bed *bed = ctx;

    (void)caller;
    bed->denied++;
    bed->suppressed += suppressed;
    snprintf(bed->denied_method, sizeof(bed->denied_method), "%s", method ? method : "(connect)");
}

BED uint64_t events_since(void *ctx, uint64_t since_ms)
{
    const struct bed *bed = ctx;
    uint64_t first = bed->sequence > RING ? bed->sequence - RING + 1 : 1;

    return since_ms == UINT64_MAX ? bed->sequence + 1 : first;
}

BED int events_next(void *ctx, uint64_t sequence, struct enf_control_event *out)
{
    const struct bed *bed = ctx;
    uint64_t first = events_since(ctx, 0);

    if (sequence > bed->sequence)
        return 0;
    if (sequence < first)
        sequence = first;
    out->sequence = sequence;
    out->action = sequence % 2 ? ENF_EVENT_STOPPED : ENF_EVENT_STARTED;
    out->text = event_texts[sequence % RING];
    out->len = strlen(out->text);
    return 1;
}

BED void on_async(uv_async_t *async)
{
    struct bed *bed = async->data;

    bed->fn(bed);
    sem_post(&bed->done);
}

/* Runs fn in the server's thread and waits for it. */
BED void in_thread(struct bed *bed, void (*fn)(struct bed *bed))
{
    bed->fn = fn;
    uv_async_send(&bed->async);
    while (sem_wait(&bed->done) != 0)
        ;
}

BED void start(struct bed *bed)
{
    struct enf_control_params params = {
        .loop = &bed->loop,
        .path = bed->path,
        .methods = methods,
        .methods_len = ARRAY_LEN(methods),
        .hooks = {.denied = on_denied,
                  .batch_begin = batch_begin,
                  .batch_end = batch_end,
                  .events_since = events_since,
                  .events_next = events_next},
        .ctx = bed,
        .access = bed->access,
        .stall_ms = bed->stall_ms ? bed->stall_ms : 1000,
        .linger_ms = 1000,
    };

    bed->started = enf_control_start(&params, &bed->control, bed->error, sizeof(bed->error));
}

BED void stop(struct bed *bed)
{
    enf_control_stop(&bed->control);
}

BED void end(struct bed *bed)
{
    stop(bed);
    uv_close((uv_handle_t *)&bed->async, NULL);
}

BED void read_stats(struct bed *bed)
{
    enf_control_stats(bed->control, &bed->stats);
}

BED void set_access(struct bed *bed)
{
    assert_int_equal(enf_control_set_access(bed->control, &bed->access), 0);
}

BED void *run(void *arg)
{
    struct bed *bed = arg;

    uv_run(&bed->loop, UV_RUN_DEFAULT);
    return NULL;
}

BED void be_admin(struct bed *bed)
{
    bed->access = (struct enf_control_access){&bed->me, 1, NULL, 0};
}

BED void be_viewer(struct bed *bed)
{
    bed->access = (struct enf_control_access){NULL, 0, &bed->me, 1};
}

BED int setup_with(void **state, uint64_t stall_ms)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    static char id[16];

    snprintf(id, sizeof(id), "%u", (unsigned)geteuid());
    bed->me.name = id;
    be_admin(bed);
    bed->stall_ms = stall_ms;
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/enf-control-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    assert_int_equal(chmod(bed->dir, 0755), 0);
    snprintf(bed->path, sizeof(bed->path), "%s/run/control.sock", bed->dir);
    uv_loop_init(&bed->loop);
    uv_async_init(&bed->loop, &bed->async, on_async);
    bed->async.data = bed;
    sem_init(&bed->done, 0, 0);
    assert_int_equal(pthread_create(&bed->thread, NULL, run, bed), 0);
    in_thread(bed, start);
    assert_int_equal(bed->started, 0);
    *state = bed;
    return 0;
}

BED int setup(void **state)
{
    return setup_with(state, 0);
}

BED int teardown(void **state)
{
    struct bed *bed = *state;
    struct stat st;
    char folder[96];

    in_thread(bed, end);
    pthread_join(bed->thread, NULL);
    assert_int_equal(uv_loop_close(&bed->loop), 0);
    assert_int_equal(stat(bed->path, &st), -1); /* it removes what it made */
    unlink(bed->path);
    snprintf(folder, sizeof(folder), "%s/run", bed->dir);
    rmdir(folder);
    rmdir(bed->dir);
    sem_destroy(&bed->done);
    free(bed);
    return 0;
}

/* --- a client --- */

BED int connect_to(const struct bed *bed)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 60};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, bed->path, strlen(bed->path) + 1);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* False where the other side is gone. */
BED bool send_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

BED void request(int fd, int id, const char *method, const char *params)
{
    char line[512];

    snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}\n", id,
             method, params);
    assert_true(send_all(fd, line, strlen(line)));
}

/* One line as JSON; NULL at the end of the stream. Byte by byte, so that nothing of the next line is taken.
 */
BED json_t *read_line(int fd)
{
    size_t len = 0;
    size_t cap = 1 << 16;
    char *line = malloc(cap);
    json_t *json;

    for (;;) {
        ssize_t n = recv(fd, line + len, cap - len, MSG_PEEK);
        char *newline;

        if (n <= 0) {
            free(line);
            return NULL;
        }
        newline = memchr(line + len, '\n', (size_t)n);
        if (newline)
            n = newline + 1 - (line + len);
        assert_int_equal(recv(fd, line + len, (size_t)n, 0), n);
        len += (size_t)n;
        if (newline)
            break;
        if (len == cap) {
            char *longer = realloc(line, cap *= 2);

            assert_non_null(longer);
            line = longer;
        }
    }
    json = json_loadb(line, len, 0, NULL);
    assert_non_null(json);
    free(line);
    return json;
}

BED long long number(const json_t *json, const char *a, const char *b)
{
    return (long long)json_integer_value(json_object_get(json_object_get(json, a), b));
}

/* Reads a line and expects this error code (0: a result) for this id (-1: null). */
BED void expect(int fd, int id, int code)
{
    json_t *json = read_line(fd);
    const json_t *got;

    assert_non_null(json);
    got = json_object_get(json, "id");
    if (id < 0)
        assert_true(json_is_null(got));
    else
        assert_int_equal(json_integer_value(got), id);
    assert_int_equal(number(json, "error", "code"), code);
    json_decref(json);
}

BED void expect_end(int fd)
{
    assert_null(read_line(fd));
    close(fd);
}

/* Somebody else asks, and gets an answer: within the patience of connect_to, which no machine is too slow
 * for. */
BED void others_are_served(const struct bed *bed)
{
    int fd = connect_to(bed);

    request(fd, 7, "echo", "{}");
    expect(fd, 7, 0);
    close(fd);
}

BED struct enf_control_stats stats(struct bed *bed)
{
    in_thread(bed, read_stats);
    return bed->stats;
}

/* The server needs a moment to see who is gone. */
BED void wait_for_clients(struct bed *bed, size_t n)
{
    for (int i = 0; i < 1000 && stats(bed).clients != n; i++)
        usleep(10000);
    assert_int_equal(bed->stats.clients, n);
}
