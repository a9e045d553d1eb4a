/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sinks that are sockets, with real receivers: what is told to a receiver that dies, comes back, reads slowly
 * or never; filters and formats; what a datagram can hold. */
#include "enforcer/sinks/hub.h"
#include "enforcer/sinks/render.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 4096

struct bed {
    char dir[64];
    char path[96];
    char spool[96];
    struct enf_hub *hub;
    bool got[MANY]; /* by sequence */
    size_t lines;
    char last[ENF_EVIDENCE_MAX * 512];
    char stream[1 << 20];
    size_t stream_len;
};

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    snprintf(bed->dir, sizeof(bed->dir), "/tmp/enf-channels-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->path, sizeof(bed->path), "%s/socket", bed->dir);
    snprintf(bed->spool, sizeof(bed->spool), "%s/spool", bed->dir);
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;
    char command[96];

    enf_hub_free(&bed->hub);
    snprintf(command, sizeof(command), "rm -rf %s", bed->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own folder */
    free(bed);
    return 0;
}

static void make_hub(struct bed *bed, const struct enf_hub_sink *sink)
{
    struct enf_hub_params params = {.run = "r", .hostname = "gw 1", .version = "0.1", .spool = bed->spool};
    char error[256] = "";

    assert_int_equal(enf_hub_new(&params, &bed->hub), 0);
    assert_int_equal(enf_hub_set_sinks(bed->hub, sink, 1, false, error, sizeof(error)), 0);
}

static void emit_one(struct bed *bed, uint64_t now_ms, enum enf_event_action action)
{
    struct enf_event event = {.action = action, .time_ms = 1772366407250, .reason = "why = \"so|]\\\n"};

    assert_int_equal(enf_hub_emit(bed->hub, now_ms, &event), 0);
}

static void emit(struct bed *bed, uint64_t now_ms, size_t n)
{
    for (size_t i = 0; i < n; i++)
        emit_one(bed, now_ms, ENF_EVENT_STARTED);
}

/* The event's JSON is what follows the last "] ", or all of it. */
static void take(struct bed *bed, const char *message, size_t len)
{
    const char *json_text = memmem(message, len, "] {", 3);
    json_t *json;

    assert_in_range(len, 1, sizeof(bed->last) - 1);
    memcpy(bed->last, message, len);
    bed->last[len] = '\0';
    bed->lines++;
    json_text = json_text ? json_text + 2 : message;
    json = json_loadb(json_text, len - (size_t)(json_text - message), 0, NULL);
    if (!json)
        return;
    json_int_t sequence = json_integer_value(json_object_get(json_object_get(json, "event"), "sequence"));
    assert_in_range(sequence, 1, MANY - 1);
    bed->got[sequence] = true;
    json_decref(json);
}

static void expect_all(const struct bed *bed, size_t to)
{
    for (size_t i = 1; i <= to; i++)
        if (!bed->got[i])
            fail_msg("number %zu of %zu is missing", i, to);
}

static struct enf_hub_stats stats(const struct bed *bed)
{
    struct enf_hub_stats out;

    enf_hub_stats(bed->hub, &out);
    return out;
}

/* --- a Unix socket -----------------------------------------------------------------------------------------
 */

static int listen_unix(const struct bed *bed)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    unlink(bed->path);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", bed->path);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&un, sizeof(un)), 0);
    return fd;
}

static void read_datagrams(struct bed *bed, int fd, size_t at_most)
{
    static char message[1 << 17];
    ssize_t n;

    for (size_t i = 0; i < at_most && (n = recv(fd, message, sizeof(message), 0)) > 0; i++)
        take(bed, message, (size_t)n);
}

static void test_unix_receiver_dies(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_sink sink = {.path = bed->path, .type = ENF_HUB_UNIX};
    uint64_t now = 1000;
    int fd = listen_unix(bed);

    make_hub(bed, &sink);
    emit(bed, now, 5);
    read_datagrams(bed, fd, 5);
    assert_int_equal(bed->lines, 5);
    emit(bed, now, 200); /* more than its queue holds: the rest goes to the spool */
    assert_true(stats(bed).waiting > 0);
    assert_int_equal(stats(bed).waiting, stats(bed).spooled);
    read_datagrams(bed, fd, 3);
    close(fd); /* with lines in its queue that nobody has read */
    for (int i = 0; i < 3; i++)
        enf_hub_tick(bed->hub, now += 1000);
    emit(bed, now, 5);
    fd = listen_unix(bed);
    for (int i = 0; i < 90; i++) {
        enf_hub_tick(bed->hub, now += 1000);
        read_datagrams(bed, fd, SIZE_MAX);
    }
    expect_all(bed, 210);
    assert_int_equal(stats(bed).lost, 0);
    assert_int_equal(stats(bed).waiting, 0);
    /* Nothing is sent again to one that lives. */
    size_t lines = bed->lines;
    emit(bed, now, 1);
    for (int i = 0; i < 20; i++)
        enf_hub_tick(bed->hub, now += 1000);
    read_datagrams(bed, fd, SIZE_MAX);
    assert_int_equal(bed->lines, lines + 1);
    close(fd);
}

/* It read everything, and was killed before it could have written it down. */
static void test_unix_receiver_forgets(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_sink sink = {.path = bed->path, .type = ENF_HUB_UNIX};
    int fd = listen_unix(bed);

    make_hub(bed, &sink);
    emit(bed, 1000, 3);
    enf_hub_tick(bed->hub, 2000);
    enf_hub_tick(bed->hub, 3000); /* not yet settled */
    read_datagrams(bed, fd, SIZE_MAX);
    close(fd);
    memset(bed->got, 0, sizeof(bed->got));
    fd = listen_unix(bed);
    for (uint64_t now = 4000; now < 10000; now += 1000)
        enf_hub_tick(bed->hub, now);
    read_datagrams(bed, fd, SIZE_MAX);
    expect_all(bed, 3);
    /* Settled: they do not come a third time. */
    for (uint64_t now = 10000; now < 30000; now += 1000)
        enf_hub_tick(bed->hub, now);
    size_t lines = bed->lines;
    close(fd);
    fd = listen_unix(bed);
    for (uint64_t now = 30000; now < 60000; now += 1000)
        enf_hub_tick(bed->hub, now);
    read_datagrams(bed, fd, SIZE_MAX);
    assert_int_equal(bed->lines, lines);
    close(fd);
}

/* What an earlier process could not bring comes from its spool. */
static void test_unix_restart(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_sink sink = {.path = bed->path, .type = ENF_HUB_UNIX};

    make_hub(bed, &sink); /* nobody listens: no reason to refuse */
    emit(bed, 1000, 50);
    assert_int_equal(stats(bed).spooled, 50);
    enf_hub_free(&bed->hub);
    int fd = listen_unix(bed);
    make_hub(bed, &sink);
    for (uint64_t now = 1000; now < 20000; now += 1000) {
        enf_hub_tick(bed->hub, now);
        read_datagrams(bed, fd, SIZE_MAX);
    }
    expect_all(bed, 50);
    assert_int_equal(bed->lines, 50);
    close(fd);
}

/* --- TCP ---------------------------------------------------------------------------------------------------
 */

static int listen_tcp(uint16_t *port)
{
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = *port};
    socklen_t len = sizeof(to);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&to, sizeof(to)), 0);
    assert_int_equal(listen(fd, 4), 0);
    getsockname(fd, (struct sockaddr *)(void *)&to, &len);
    *port = to.sin6_port;
    return fd;
}

/* Reads frames: a length, a blank, the message. */
static void read_frames(struct bed *bed, int fd)
{
    ssize_t n;

    while (fd >= 0 &&
           (n = recv(fd, bed->stream + bed->stream_len, sizeof(bed->stream) - bed->stream_len, 0)) > 0) {
        char *at = bed->stream;
        bed->stream_len += (size_t)n;
        for (;;) {
            char *end = at;
            size_t have = bed->stream_len - (size_t)(at - bed->stream);
            size_t len = have ? strtoul(at, &end, 10) : 0;
            size_t head = (size_t)(end - at) + 1;
            if (len == 0 || head + len > have)
                break;
            assert_int_equal(*end, ' ');
            take(bed, end + 1, len);
            at = end + 1 + len;
        }
        bed->stream_len -= (size_t)(at - bed->stream);
        memmove(bed->stream, at, bed->stream_len);
        memset(bed->stream + bed->stream_len, 0, 32);
    }
}

static struct enf_hub_sink tcp_sink(uint16_t port)
{
    struct enf_hub_sink sink = {.type = ENF_HUB_SYSLOG_TCP, .port = ntohs(port), .facility = 3};

    assert_int_equal(enf_addr_parse("::1", &sink.address), 0);
    return sink;
}

static void test_tcp_receiver_dies(void **state)
{
    struct bed *bed = *state;
    uint16_t port = 0;
    int listener = listen_tcp(&port), fd = -1;
    struct enf_hub_sink sink = tcp_sink(port);
    uint64_t now = 1000;
    size_t told = 0;

    make_hub(bed, &sink);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 50; i++) {
            emit(bed, now += 20, 4);
            told += 4;
            if (fd < 0)
                fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (i < 30) /* then it reads no more, and is killed with what it has */
                read_frames(bed, fd);
        }
        if (round % 2) {
            for (int i = 0; i < 10; i++) /* all of it acknowledged long ago, and unread */
                enf_hub_tick(bed->hub, now += 1000);
        }
        close(fd);
        close(listener);
        fd = -1;
        bed->stream_len = 0;
        memset(bed->stream, 0, 64);
        enf_hub_tick(bed->hub, now += 1000);
        emit(bed, now, 10); /* nobody listens */
        told += 10;
        listener = listen_tcp(&port);
        for (int i = 0; i < 70; i++) {
            enf_hub_tick(bed->hub, now += 1000);
            if (fd < 0)
                fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            read_frames(bed, fd);
        }
    }
    expect_all(bed, told);
    assert_int_equal(stats(bed).lost, 0);
    assert_int_equal(stats(bed).waiting, 0);
    close(fd);
    close(listener);
}

/* One that never reads: it never holds the caller up, and what it does not take waits on disk. */
static void test_tcp_slow_reader(void **state)
{
    struct bed *bed = *state;
    uint16_t port = 0;
    int listener = listen_tcp(&port), fd, small = 4096;
    struct enf_hub_sink sink = tcp_sink(port);
    struct enf_event event = {.action = ENF_EVENT_ZOMBIE_DETECTED};
    static struct enf_evidence evidence[ENF_EVIDENCE_MAX];
    uint64_t now = 1000;

    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    make_hub(bed, &sink);
    event.evidence = evidence;
    event.evidence_len = ENF_EVIDENCE_MAX;
    for (int i = 0; i < 150; i++)
        assert_int_equal(enf_hub_emit(bed->hub, now += 10, &event), 0);
    assert_true(stats(bed).spooled > 10);
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    for (int i = 0; i < 5000 && bed->lines < 150; i++) {
        read_frames(bed, fd);
        enf_hub_tick(bed->hub, now += 100);
    }
    expect_all(bed, 150);
    assert_int_equal(stats(bed).waiting, 0);
    assert_int_equal(bed->lines, 150); /* whole, in spite of sends in part, and none twice */
    close(fd);
    close(listener);
}

static void test_backoff(void **state)
{
    struct bed *bed = *state;
    uint16_t port = 0;
    int listener = listen_tcp(&port);
    struct enf_hub_sink sink = tcp_sink(port);
    struct enf_hub_sink_stats seen;

    close(listener); /* refused from now on */
    make_hub(bed, &sink);
    emit(bed, 1000, 1);
    for (uint64_t now = 1000; now < 301000; now += 100)
        enf_hub_tick(bed->hub, now);
    assert_int_equal(enf_hub_sink_stats(bed->hub, 0, &seen), 0);
    assert_int_equal(seen.error, ECONNREFUSED);
    assert_in_range(seen.failures, 10, 16); /* 1, 2, 4, 8, 16, 30, 30 … seconds */
    assert_int_equal(seen.waiting, 1);
    assert_memory_equal(seen.path, "tcp:[::1]:", 10);
}

/* --- what is said, and to whom -----------------------------------------------------------------------------
 */

static void test_filters_and_formats(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_sink sink = {.path = bed->path,
                                .type = ENF_HUB_SYSLOG_LOCAL,
                                .facility = 16,
                                .actions = 1ull << ENF_EVENT_QUARANTINED | 1ull << ENF_EVENT_RELEASED};
    int fd = listen_unix(bed);

    make_hub(bed, &sink);
    emit_one(bed, 1000, ENF_EVENT_STARTED);
    emit_one(bed, 1000, ENF_EVENT_QUARANTINED);
    read_datagrams(bed, fd, SIZE_MAX);
    assert_int_equal(bed->lines, 1);
    assert_int_equal(strncmp(bed->last, "<131>1 2026-03-01T12:00:07.250Z gw_1 enforcerd ", 47), 0);
    assert_non_null(strstr(bed->last,
                           " quarantined [origin software=\"enforcer\" swVersion=\"0.1\"][enforcer@32473 "
                           "action=\"quarantined\" run=\"r\" sequence=\"2\" kind=\"event\" severity=\"73\" "
                           "outcome=\"success\"] {\"@timestamp\""));
    assert_null(strchr(bed->last, '\n'));
    /* The same sink with another filter and format: its place is kept. */
    sink.actions = 0;
    sink.severity_min = 21;
    sink.format = ENF_HUB_CEF;
    assert_int_equal(enf_hub_set_sinks(bed->hub, &sink, 1, false, NULL, 0), 0);
    emit_one(bed, 1000, ENF_EVENT_STARTED);
    emit_one(bed, 1000, ENF_EVENT_EGRESS_BLOCKED);
    read_datagrams(bed, fd, SIZE_MAX);
    assert_int_equal(bed->lines, 2);
    assert_non_null(strstr(
        bed->last,
        "] CEF:0|enforcer|enforcer|0.1|egress-blocked|Egress blocked|3|rt=1772366407250 externalId=r-4 "
        "cat=event act=egress-blocked outcome=success dvchost=gw 1 proto=TCP deviceDirection=1 "
        "msg=why \\= \"so|]\\\\  cn1=4 cn1Label=sequence"));
    assert_int_equal(stats(bed).waiting, 0);
    close(fd);
}

static void test_cef_fields(void **state)
{
    struct enf_event event = {.action = ENF_EVENT_QUARANTINED,
                              .time_ms = 1,
                              .sequence = 7,
                              .source_port = 1024,
                              .destination_port = 25,
                              .interface = "eth1",
                              .group = "res",
                              .policy = ENF_POLICY_BLOCK,
                              .level = ENF_LEVEL_SMTP,
                              .until_ms = 2,
                              .ticket = "T=1\xff\xc3\xa9",
                              .actor = "user:ann",
                              .count = 3,
                              .interval_ms = 60};
    struct enf_render_origin origin = {.run = "r", .version = "1|2"};
    char *text = NULL;
    size_t len = 0;

    (void)state;
    enf_addr_parse("2001:db8::1", &event.source);
    enf_addr_parse("192.0.2.1", &event.destination);
    enf_prefix_parse("2001:db8::/64", &event.subscriber);
    assert_int_equal(enf_event_render_cef(&event, &origin, &text, &len), 0);
    assert_string_equal(
        text,
        "CEF:0|enforcer|enforcer|1\\|2|quarantined|Quarantined|8|rt=1 externalId=r-7 cat=event "
        "act=quarantined "
        "outcome=success proto=TCP deviceDirection=1 c6a2=2001:db8::1 c6a2Label=Source IPv6 Address spt=1024 "
        "dst=192.0.2.1 dpt=25 deviceInboundInterface=eth1 cnt=3 cs1=2001:db8::/64 cs1Label=subscriber "
        "cs2=res "
        "cs2Label=group cs3=block cs3Label=policy cs4=smtp cs4Label=level cs5=user:ann cs5Label=actor "
        "cs6=T\\=1?\xc3\xa9 cs6Label=ticket cn1=7 cn1Label=sequence cn2=60 cn2Label=intervalMs "
        "deviceCustomDate1=2 deviceCustomDate1Label=until\n");
    assert_int_equal(len, strlen(text));
    free(text);
    event.action = ENF_EVENT_ACTION_COUNT;
    assert_int_equal(enf_event_render_cef(&event, &origin, &text, &len), -EINVAL);
    assert_int_equal(enf_event_render_syslog(&event, &origin, 1, &text), -EINVAL);
}

/* A datagram has a bound; the list of evidence is what does not fit. */
static void test_long_datagram(void **state)
{
    struct bed *bed = *state;
    struct enf_hub_sink sink = {.path = bed->path, .type = ENF_HUB_UNIX};
    static struct enf_evidence evidence[ENF_EVIDENCE_MAX];
    struct enf_event event = {.action = ENF_EVENT_ZOMBIE_DETECTED, .evidence = evidence};
    int fd = listen_unix(bed);

    for (size_t i = 0; i < ENF_EVIDENCE_MAX; i++) {
        enf_addr_parse("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", &evidence[i].destination);
        memset(evidence[i].setting, 's', ENF_SETTING_LEN - 1);
        evidence[i].score = 1.0 / 3;
        evidence[i].threshold = 2.0 / 3;
    }
    make_hub(bed, &sink);
    event.evidence_len = 10;
    assert_int_equal(enf_hub_emit(bed->hub, 1000, &event), 0);
    read_datagrams(bed, fd, SIZE_MAX);
    assert_non_null(strstr(bed->last, "\"evidence\":["));
    event.evidence_len = ENF_EVIDENCE_MAX;
    assert_int_equal(enf_hub_emit(bed->hub, 1000, &event), 0);
    read_datagrams(bed, fd, SIZE_MAX);
    expect_all(bed, 2);
    assert_non_null(strstr(bed->last, "\"evidence_left_out\":true"));
    assert_null(strstr(bed->last, "\"evidence\":["));
    assert_int_equal(stats(bed).lost, 0);
    close(fd);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_unix_receiver_dies),  T(test_unix_receiver_forgets),
        T(test_unix_restart),        T(test_tcp_receiver_dies),
        T(test_tcp_slow_reader),     T(test_backoff),
        T(test_filters_and_formats), T(test_cef_fields),
        T(test_long_datagram),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
