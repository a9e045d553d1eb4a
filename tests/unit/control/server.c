/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real clients on a real socket, most of them badly behaved: the others must notice nothing. The server runs
 * in a thread of its own; the tests are plain blocking clients. */
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
    char error[256];
    /* of the thread */
    uint64_t sequence; /* of the last event made */
    int denied;
    uint64_t suppressed;
    char denied_method[64];
    struct enf_control_principal me;
    struct enf_control_access access;
};

static char event_texts[RING][EVENT_LEN];

static int do_echo(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
                   struct enf_control_error *error)
{
    (void)ctx;
    (void)error;
    *result = json_pack("{s:O, s:s, s:b}", "params", params, "actor", caller->actor, "admin", caller->admin);
    return 0;
}

static int do_long(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
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
static int do_emit(void *ctx, const struct enf_control_caller *caller, const json_t *params, json_t **result,
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

static const struct enf_control_method methods[] = {
    {"echo", false, do_echo},
    {"change", true, do_echo},
    {"long", false, do_long},
    {"emit", false, do_emit},
};

static void on_denied(void *ctx, const struct enf_control_caller *caller, const char *method,
                      uint64_t suppressed)
{
    struct bed *bed = ctx;

    (void)caller;
    bed->denied++;
    bed->suppressed += suppressed;
    snprintf(bed->denied_method, sizeof(bed->denied_method), "%s", method ? method : "(connect)");
}

static uint64_t events_since(void *ctx, uint64_t since_ms)
{
    const struct bed *bed = ctx;
    uint64_t first = bed->sequence > RING ? bed->sequence - RING + 1 : 1;

    return since_ms == UINT64_MAX ? bed->sequence + 1 : first;
}

static int events_next(void *ctx, uint64_t sequence, struct enf_control_event *out)
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

static void on_async(uv_async_t *async)
{
    struct bed *bed = async->data;

    bed->fn(bed);
    sem_post(&bed->done);
}

/* Runs fn in the server's thread and waits for it. */
static void in_thread(struct bed *bed, void (*fn)(struct bed *bed))
{
    bed->fn = fn;
    uv_async_send(&bed->async);
    while (sem_wait(&bed->done) != 0)
        ;
}

static void start(struct bed *bed)
{
    struct enf_control_params params = {
        .loop = &bed->loop,
        .path = bed->path,
        .methods = methods,
        .methods_len = ARRAY_LEN(methods),
        .hooks = {on_denied, events_since, events_next},
        .ctx = bed,
        .access = bed->access,
        .stall_ms = 1000,
        .linger_ms = 1000,
    };

    bed->started = enf_control_start(&params, &bed->control, bed->error, sizeof(bed->error));
}

static void stop(struct bed *bed)
{
    enf_control_stop(&bed->control);
}

static void end(struct bed *bed)
{
    stop(bed);
    uv_close((uv_handle_t *)&bed->async, NULL);
}

static void read_stats(struct bed *bed)
{
    enf_control_stats(bed->control, &bed->stats);
}

static void set_access(struct bed *bed)
{
    assert_int_equal(enf_control_set_access(bed->control, &bed->access), 0);
}

static void *run(void *arg)
{
    struct bed *bed = arg;

    uv_run(&bed->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void be_admin(struct bed *bed)
{
    bed->access = (struct enf_control_access){&bed->me, 1, NULL, 0};
}

static void be_viewer(struct bed *bed)
{
    bed->access = (struct enf_control_access){NULL, 0, &bed->me, 1};
}

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    static char id[16];

    snprintf(id, sizeof(id), "%u", (unsigned)geteuid());
    bed->me.name = id;
    be_admin(bed);
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

static int teardown(void **state)
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

static int connect_to(const struct bed *bed)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, bed->path, strlen(bed->path) + 1);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* False where the other side is gone. */
static bool send_all(int fd, const char *text, size_t len)
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

static void request(int fd, int id, const char *method, const char *params)
{
    char line[512];

    snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}\n", id,
             method, params);
    assert_true(send_all(fd, line, strlen(line)));
}

/* One line as JSON; NULL at the end of the stream. Byte by byte, so that nothing of the next line is taken.
 */
static json_t *read_line(int fd)
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

static long long number(const json_t *json, const char *a, const char *b)
{
    return (long long)json_integer_value(json_object_get(json_object_get(json, a), b));
}

/* Reads a line and expects this error code (0: a result) for this id (-1: null). */
static void expect(int fd, int id, int code)
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

static void expect_end(int fd)
{
    assert_null(read_line(fd));
    close(fd);
}

/* Somebody else asks, and gets an answer soon. */
static void others_are_served(const struct bed *bed)
{
    struct timespec before;
    struct timespec after;
    int fd = connect_to(bed);

    clock_gettime(CLOCK_MONOTONIC, &before);
    request(fd, 7, "echo", "{}");
    expect(fd, 7, 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 3);
    close(fd);
}

static struct enf_control_stats stats(struct bed *bed)
{
    in_thread(bed, read_stats);
    return bed->stats;
}

/* The server needs a moment to see who is gone. */
static void wait_for_clients(struct bed *bed, size_t n)
{
    for (int i = 0; i < 1000 && stats(bed).clients != n; i++)
        usleep(10000);
    assert_int_equal(bed->stats.clients, n);
}

/* --- tests --- */

static void test_answers_in_order(void **state)
{
    int fd = connect_to(*state);

    for (int i = 0; i < 1000; i++)
        request(fd, i, "echo", "{\"a\":1}");
    for (int i = 0; i < 1000; i++)
        expect(fd, i, 0);
    send_all(fd, "\n\nno json\n", 10);
    expect(fd, -1, ENF_CONTROL_PARSE);
    request(fd, 5, "echo", "{}"); /* the connection stays */
    expect(fd, 5, 0);
    close(fd);
}

static void test_half_closed_client_gets_its_answer(void **state)
{
    static const char line[] =
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"long\",\"params\":{\"len\":4000000}}";
    int fd = connect_to(*state);

    send_all(fd, line, sizeof(line) - 1); /* and no newline */
    shutdown(fd, SHUT_WR);
    expect(fd, 3, 0);
    expect_end(fd);
}

static void test_actor(void **state)
{
    int fd = connect_to(*state);
    json_t *json;

    request(fd, 1, "echo", "{}");
    json = read_line(fd);
    assert_int_equal(
        strncmp(json_string_value(json_object_get(json_object_get(json, "result"), "actor")), "user:", 5), 0);
    assert_true(json_is_true(json_object_get(json_object_get(json, "result"), "admin")));
    json_decref(json);
    close(fd);
}

static void test_200_clients(void **state)
{
    struct bed *bed = *state;
    int fds[200];

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = connect_to(bed);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        request(fds[i], (int)i, "echo", "{}");
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        expect(fds[i], (int)i, 0);
    assert_int_equal(stats(bed).clients, 200);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    others_are_served(bed);
}

static void test_cap_of_clients(void **state)
{
    struct bed *bed = *state;
    int fds[ENF_CONTROL_CLIENTS_MAX + 1];

    for (size_t i = 0; i <= ENF_CONTROL_CLIENTS_MAX; i++)
        fds[i] = connect_to(bed);
    expect(fds[ENF_CONTROL_CLIENTS_MAX], -1, ENF_CONTROL_LIMIT);
    expect_end(fds[ENF_CONTROL_CLIENTS_MAX]);
    request(fds[0], 1, "echo", "{}");
    expect(fds[0], 1, 0);
    assert_int_equal(stats(bed).refused_full, 1);
    for (size_t i = 0; i < ENF_CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
    others_are_served(bed);
}

static void test_cap_of_one_viewer(void **state)
{
    struct bed *bed = *state;
    int fds[ENF_CONTROL_UID_MAX + 1];

    be_viewer(bed);
    in_thread(bed, set_access);
    for (size_t i = 0; i <= ENF_CONTROL_UID_MAX; i++)
        fds[i] = connect_to(bed);
    expect(fds[ENF_CONTROL_UID_MAX], -1, ENF_CONTROL_LIMIT);
    expect_end(fds[ENF_CONTROL_UID_MAX]);
    request(fds[0], 1, "echo", "{}");
    expect(fds[0], 1, 0);
    for (size_t i = 0; i < ENF_CONTROL_UID_MAX; i++)
        close(fds[i]);
    others_are_served(bed);
}

/* This thread only: glibc's seteuid would change all. */
static void become(uid_t uid)
{
    assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
}

static void test_places_kept_for_admins(void **state)
{
    static const char *const names[] = {"61001", "61002", "61003", "61004"};
    enum { SHARED = ENF_CONTROL_CLIENTS_MAX - ENF_CONTROL_ADMIN_RESERVE };
    struct enf_control_principal viewers[ARRAY_LEN(names)];
    struct bed *bed = *state;
    int fds[SHARED + 1];

    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        viewers[i] = (struct enf_control_principal){names[i], false};
    bed->access = (struct enf_control_access){&bed->me, 1, viewers, ARRAY_LEN(viewers)};
    in_thread(bed, set_access);
    for (size_t i = 0; i <= SHARED; i++) {
        become((uid_t)(61001 + i % ARRAY_LEN(names)));
        fds[i] = connect_to(bed);
        become(0);
    }
    expect(fds[SHARED], -1, ENF_CONTROL_LIMIT);
    expect_end(fds[SHARED]);
    others_are_served(bed); /* root */
    for (size_t i = 0; i < SHARED; i++)
        close(fds[i]);
}

static void test_line_too_long(void **state)
{
    struct bed *bed = *state;
    char *line = malloc(2u << 20);
    int fd = connect_to(bed);

    memset(line, ' ', 2u << 20);
    line[ENF_CONTROL_LINE_MAX] = '\n';
    line[0] = '{';
    line[1] = '}';
    assert_true(send_all(fd, line, ENF_CONTROL_LINE_MAX + 1)); /* as long as allowed */
    expect(fd, -1, ENF_CONTROL_REQUEST);
    line[ENF_CONTROL_LINE_MAX] = ' ';
    line[(2u << 20) - 1] = '\n';
    assert_true(send_all(fd, line, 2u << 20));
    others_are_served(bed);
    expect(fd, -1, ENF_CONTROL_TOO_LARGE);
    expect_end(fd);
    assert_int_equal(stats(bed).closed_long, 1);
    free(line);
}

/* It sends for ever and is cut off; a sender that ignores being cut off is closed, not listened to. */
static void test_endless_line(void **state)
{
    struct bed *bed = *state;
    char chunk[1 << 16];
    size_t sent = 0;
    int fd = connect_to(bed);

    memset(chunk, 'x', sizeof(chunk));
    while (send_all(fd, chunk, sizeof(chunk)))
        sent += sizeof(chunk);
    assert_true(sent < (32u << 20));
    close(fd);
    others_are_served(bed);
}

static void test_client_that_never_reads(void **state)
{
    struct bed *bed = *state;
    static const char line[] =
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"long\",\"params\":{\"len\":200000}}\n";
    int fd = connect_to(bed);
    int fd2 = connect_to(bed);
    struct pollfd gone = {.fd = fd};

    for (int i = 0; i < 1000; i++)
        if (send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
    request(fd2, 1, "long", "{\"len\":7000000}"); /* one answer, never read */
    others_are_served(bed);
    assert_int_equal(poll(&gone, 1, 10000), 1); /* hung up */
    gone.fd = fd2;
    assert_int_equal(poll(&gone, 1, 10000), 1);
    assert_int_equal(stats(bed).closed_slow, 2);
    wait_for_clients(bed, 0);
    close(fd);
    close(fd2);
    others_are_served(bed);
}

static void test_client_that_goes_away(void **state)
{
    struct bed *bed = *state;

    for (int i = 0; i < 50; i++) {
        int fd = connect_to(bed);

        request(fd, 1, "long", "{\"len\":3000000}");
        if (i % 2) {
            char some[100];

            assert_true(recv(fd, some, sizeof(some), 0) > 0);
        }
        close(fd);
    }
    others_are_served(bed);
    wait_for_clients(bed, 0);
}

static void test_flood_leaves_turns_to_others(void **state)
{
    struct bed *bed = *state;
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n";
    const size_t lines = 20000;
    char *flood = malloc(lines * sizeof(line));
    int fd = connect_to(bed);

    for (size_t i = 0; i < lines; i++)
        memcpy(flood + i * (sizeof(line) - 1), line, sizeof(line) - 1);
    assert_true(send_all(fd, flood, lines * (sizeof(line) - 1)));
    others_are_served(bed);
    request(fd, 1, "echo", "{}");
    expect(fd, 1, 0);
    close(fd);
    free(flood);
}

static void test_viewer_may_look(void **state)
{
    struct bed *bed = *state;
    int fd = connect_to(bed);

    be_viewer(bed);
    in_thread(bed, set_access); /* holds for those who are connected */
    request(fd, 1, "echo", "{}");
    expect(fd, 1, 0);
    request(fd, 2, "change", "{}");
    expect(fd, 2, ENF_CONTROL_DENIED);
    assert_int_equal(stats(bed).denied, 1);
    assert_int_equal(bed->denied, 1);
    assert_string_equal(bed->denied_method, "change");
    for (int i = 0; i < 100; i++) {
        request(fd, i, "change", "{}");
        expect(fd, i, ENF_CONTROL_DENIED);
    }
    assert_int_equal(stats(bed).denied, 101);
    assert_in_range(bed->denied, 2, 20); /* reports are limited */
    close(fd);
}

static void test_stranger_is_sent_away(void **state)
{
    struct bed *bed = *state;
    int known = connect_to(bed);
    int fd;

    request(known, 1, "echo", "{}"); /* it is accepted, not only in the backlog */
    expect(known, 1, 0);
    bed->access = (struct enf_control_access){0};
    in_thread(bed, set_access);
    expect(known, -1, ENF_CONTROL_DENIED);
    expect_end(known);
    fd = connect_to(bed);
    expect(fd, -1, ENF_CONTROL_DENIED);
    expect_end(fd);
    assert_int_equal(stats(bed).denied, 2);
    assert_string_equal(bed->denied_method, "(connect)");
    for (int i = 0; i < 500; i++) /* in a loop, never reading */
        close(connect_to(bed));
    be_admin(bed);
    in_thread(bed, set_access);
    others_are_served(bed);
}

static void subscribe(int fd, const char *params, long long first, long long last)
{
    json_t *json;

    request(fd, 1, "events.subscribe", params);
    json = read_line(fd);
    assert_true(json_is_true(json_object_get(json_object_get(json, "result"), "subscribed")));
    assert_int_equal(number(json, "result", "first"), first);
    assert_int_equal(number(json, "result", "last"), last);
    json_decref(json);
}

static void expect_event(int fd, long long n)
{
    json_t *json = read_line(fd);

    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "method")), "event");
    assert_int_equal(number(json, "params", "n"), n);
    json_decref(json);
}

static void emit(int fd, int n)
{
    char params[32];

    snprintf(params, sizeof(params), "{\"n\":%d}", n);
    request(fd, 9, "emit", params);
    expect(fd, 9, 0);
}

static void test_subscribe(void **state)
{
    struct bed *bed = *state;
    int source = connect_to(bed);
    int live = connect_to(bed);
    int replay = connect_to(bed);
    int some = connect_to(bed);

    emit(source, 10);
    subscribe(live, "{}", 11, 10);
    subscribe(replay, "{\"since\":\"1h\"}", 1, 10);
    subscribe(some, "{\"since\":\"2026-03-01T12:00:00Z\",\"actions\":[\"started\"]}", 1, 10);
    emit(source, 500);
    for (int n = 1; n <= 510; n++) {
        if (n > 10)
            expect_event(live, n);
        expect_event(replay, n);
        if (n % 2 == 0)
            expect_event(some, n);
    }
    assert_int_equal(stats(bed).subscribers, 3);
    request(live, 2, "echo", "{}"); /* it may ask in between */
    expect(live, 2, 0);
    request(live, 2, "events.subscribe", "{}");
    expect(live, 2, ENF_CONTROL_REFUSED);
    close(live);
    close(replay);
    close(some);
    emit(source, 1);
    close(source);
    wait_for_clients(bed, 0);
    assert_int_equal(stats(bed).subscribers, 0);
}

static void test_subscribe_wrongly(void **state)
{
    static const char *const rows[] = {
        "{\"since\":\"soon\"}",
        "{\"actions\":[\"nothing\"]}",
        "{\"actions\":[]}",
        "{\"acts\":1}",
    };
    int fd = connect_to(*state);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        request(fd, (int)i, "events.subscribe", rows[i]);
        expect(fd, (int)i, ENF_CONTROL_PARAMS);
    }
    close(fd);
}

/* More than its socket and the ring hold: it gets what is left for it, then the loss, then the end. */
static void test_slow_subscriber(void **state)
{
    struct bed *bed = *state;
    int source = connect_to(bed);
    int slow = connect_to(bed);
    long long n = 0;
    json_t *json;

    subscribe(slow, "{}", 1, 0);
    for (int i = 0; i < 50; i++)
        emit(source, 100);
    while ((json = read_line(slow)) && json_object_get(json_object_get(json, "params"), "n")) {
        assert_int_equal(number(json, "params", "n"), ++n);
        json_decref(json);
    }
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "method")), "events.lost");
    assert_int_equal(number(json, "params", "next") - number(json, "params", "lost"), n + 1);
    json_decref(json);
    expect_end(slow);
    assert_int_equal(stats(bed).closed_slow, 1);
    assert_true(stats(bed).events_lost > 0);
    others_are_served(bed);
    close(source);
}

static void test_subscriber_that_never_reads(void **state)
{
    struct bed *bed = *state;
    int source = connect_to(bed);
    int slow = connect_to(bed);
    struct pollfd gone = {.fd = slow};

    request(slow, 1, "events.subscribe", "{}");
    for (int i = 0; i < 50; i++)
        emit(source, 100);
    assert_int_equal(poll(&gone, 1, 10000), 1);
    others_are_served(bed);
    close(slow);
    close(source);
}

static void test_idle_clients_stay(void **state)
{
    struct bed *bed = *state;
    int fd = connect_to(bed);

    sleep(3); /* more than stall and linger */
    request(fd, 1, "echo", "{}");
    expect(fd, 1, 0);
    close(fd);
}

/* --- the socket file --- */

static void test_mode_of_the_socket(void **state)
{
    const struct bed *bed = *state;
    struct stat st;

    assert_int_equal(stat(bed->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0666);
}

static void start_second(struct bed *bed)
{
    struct enf_control *first = bed->control;

    bed->control = NULL;
    start(bed);
    bed->control = first;
}

static void test_live_socket_is_left_alone(void **state)
{
    struct bed *bed = *state;

    in_thread(bed, start_second);
    assert_int_equal(bed->started, -EADDRINUSE);
    assert_non_null(strstr(bed->error, "another daemon answers"));
    others_are_served(bed);
}

static void test_stale_socket_is_replaced(void **state)
{
    struct bed *bed = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in_thread(bed, stop);
    memcpy(address.sun_path, bed->path, strlen(bed->path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    in_thread(bed, start);
    assert_int_equal(bed->started, 0);
    others_are_served(bed);
}

static void test_file_in_the_way(void **state)
{
    struct bed *bed = *state;
    FILE *f;

    in_thread(bed, stop);
    f = fopen(bed->path, "we");
    assert_non_null(f);
    fclose(f);
    in_thread(bed, start);
    assert_int_equal(bed->started, -EEXIST);
    assert_int_equal(unlink(bed->path), 0);
}

static void test_path_too_long(void **state)
{
    struct bed *bed = *state;
    char path[sizeof(bed->path)];

    in_thread(bed, stop);
    memcpy(path, bed->path, sizeof(path));
    memset(bed->path, 'x', sizeof(bed->path) - 1); /* more than fits into a socket's address */
    in_thread(bed, start);
    assert_int_equal(bed->started, -ENAMETOOLONG);
    memcpy(bed->path, path, sizeof(path));
}

static void test_socket_of_another_is_not_removed(void **state)
{
    struct bed *bed = *state;
    struct stat st;
    FILE *f;

    assert_int_equal(unlink(bed->path), 0);
    f = fopen(bed->path, "we");
    assert_non_null(f);
    fclose(f);
    in_thread(bed, stop);
    assert_int_equal(stat(bed->path, &st), 0);
    assert_int_equal(unlink(bed->path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_closed_client_gets_its_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_actor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_200_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cap_of_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cap_of_one_viewer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places_kept_for_admins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endless_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_that_never_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_that_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood_leaves_turns_to_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_viewer_may_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stranger_is_sent_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscribe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscribe_wrongly, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_subscriber, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subscriber_that_never_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_clients_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mode_of_the_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_live_socket_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_socket_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_in_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_of_another_is_not_removed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
