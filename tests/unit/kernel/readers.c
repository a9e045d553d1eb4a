/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets through the rules in a real kernel, to the readers of NFLOG and NFQUEUE and out on the other side.
 */
#include "kernel_bed.h"
#include "wire.h"

#include "enforcer/kernel/telemetry.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define QUEUE     7
#define SEEN_MAX  512
#define REMOTE    "203.0.113.9" /* somewhere in the Internet */
#define BLOCKED   "100.64.0.7"  /* of group residential */
#define INSPECTED "100.64.9.7"  /* of group business */
#define OBSERVED  "10.1.2.3"    /* of group lab */

struct router {
    struct kernel_bed kernel; /* first: what the functions of kernel_bed.h see */
    bool ready;
    struct wire subscriber, upstream;
};

/* --- what a reader was given
 * ----------------------------------------------------------------------------------- */

struct seen {
    size_t len;
    enum enf_log_reason reasons[SEEN_MAX];
    uint16_t source_ports[SEEN_MAX];
    size_t lens[SEEN_MAX];
    uint32_t ifindexes[SEEN_MAX];
    bool pass; /* the verdict of a queue's callback */
};

static void note(struct seen *seen, enum enf_log_reason reason, const struct enf_kernel_packet *packet)
{
    assert_true(seen->len < SEEN_MAX);
    assert_true(packet->len >= 40 && packet->data[0] == 0x45);
    seen->reasons[seen->len] = reason;
    seen->source_ports[seen->len] = (uint16_t)(packet->data[20] << 8 | packet->data[21]);
    seen->lens[seen->len] = packet->len;
    seen->ifindexes[seen->len] = packet->ifindex;
    seen->len++;
}

static void on_log(void *ctx, const struct enf_log_copy *copies, size_t len)
{
    assert_in_range(len, 1, ENF_LOG_BURST);
    for (size_t i = 0; i < len; i++)
        note(ctx, copies[i].reason, &copies[i].packet);
}

static void on_queue(void *ctx, const struct enf_kernel_packet *packets, size_t len, bool *pass)
{
    struct seen *seen = ctx;

    for (size_t i = 0; i < len; i++) {
        note(seen, ENF_LOG_UNKNOWN, &packets[i]);
        pass[i] = seen->pass;
    }
}

static bool readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, WIRE_WAIT) > 0;
}

/* --- the router
 * ------------------------------------------------------------------------------------------------ */

static void make_rules(struct bed *bed)
{
    bed_init(bed);
    bed->subscriber_if[0] = "sub0";
    bed->upstream_if[0] = "up0";
    bed->spec.subscriber_if_len = bed->spec.upstream_if_len = 1;
    bed_relay(bed, "192.0.2.10", "");
    bed_smarthost(bed, "198.51.100.25", false);
    bed_group(bed, "residential", ENF_POLICY_BLOCK, 64, "100.64.0.0/10");
    bed_group(bed, "business", ENF_POLICY_INSPECT, 64, "100.64.9.0/24");
    bed_group(bed, "lab", ENF_POLICY_OBSERVE, 64, "10.0.0.0/8");
    bed->bogons[bed->spec.bogons_len++] = bed_prefix("198.18.0.0/15");
    bed->spec.antispoof = ENF_RULESET_ANTISPOOF_GROUPS;
    bed->spec.queue = QUEUE;
    bed->groups[0].meter_per_minute = 6;
    bed->groups[0].meter_burst = 5;
    bed_finish(bed);
}

static void make_observing_rules(struct bed *bed)
{
    make_rules(bed);
    bed->spec.observe = true;
}

static void router_enter(struct router *router)
{
    void *state = &router->kernel;

    bed_enter(&state);
    if (router->kernel.namespace_err < 0)
        return;
    wire_write("/proc/sys/net/ipv4/ip_forward", "1");
    wire_write("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
    wire_write("/proc/sys/net/ipv4/conf/default/rp_filter", "0");
    router->ready = wire_open(&router->subscriber, "sub0", "100.64.0.1", "255.192.0.0") &&
                    wire_open(&router->upstream, "up0", "203.0.113.1", "255.255.255.0");
    if (router->ready)
        wire_default_route("up0");
}

static struct router *router_of(void **state)
{
    struct router *router = *state;

    bed_of(state);
    if (!router->ready) {
        print_message("skipped: no tun devices here\n");
        skip();
    }
    return router;
}

static int router_open(void **state)
{
    struct router *router = *state;

    if (!router->ready)
        return 0;
    router->kernel.text = bed_text(make_rules);
    bed_load_text(router->kernel.text);
    assert_int_equal(enf_kernel_open(&router->kernel.kernel), 0);
    wire_drain(&router->subscriber);
    wire_drain(&router->upstream);
    return 0;
}

static int router_close(void **state)
{
    struct router *router = *state;

    return router->ready ? bed_close(state) : 0;
}

static enum enf_kernel_queue install_queue(struct router *router, bool bypass)
{
    enum enf_kernel_queue kind = ENF_KERNEL_QUEUE_NATIVE;
    int err = enf_kernel_queue_install(router->kernel.kernel, QUEUE, 1, bypass, &kind);

    if (err == -EOPNOTSUPP) {
        print_message("skipped: this kernel has neither `queue` nor NFQUEUE\n");
        skip();
    }
    assert_int_equal(err, 0);
    return kind;
}

/* --- reasons
 * --------------------------------------------------------------------------------------------------- */

#define NO_LOG (-1)

static const struct {
    const char *name;
    bool from_upstream;
    struct wire_packet packet;
    int reason; /* NO_LOG: not a word */
    bool passes;
    bool passes_observing; /* under mode: observe */
    int reason_observing;
} rows[] = {
    {"blocked SYN", false, {BLOCKED, 1001, REMOTE, 25, "S", 0}, ENF_LOG_BLOCK, false, true, ENF_LOG_OBSERVE},
    {"blocked data", false, {BLOCKED, 1002, REMOTE, 25, "A", 10}, NO_LOG, false, true, NO_LOG},
    {"submission", false, {BLOCKED, 1003, REMOTE, 587, "S", 0}, NO_LOG, true, true, NO_LOG},
    {"smtps", false, {BLOCKED, 1004, REMOTE, 465, "S", 0}, NO_LOG, true, true, NO_LOG},
    {"web", false, {BLOCKED, 1005, REMOTE, 80, "S", 0}, NO_LOG, true, true, NO_LOG},
    {"next door to 25", false, {BLOCKED, 1006, REMOTE, 26, "S", 0}, NO_LOG, true, true, NO_LOG},
    {"smarthost", false, {BLOCKED, 1007, "198.51.100.25", 25, "S", 0}, NO_LOG, true, true, NO_LOG},
    {"observed SYN", false, {OBSERVED, 1008, REMOTE, 25, "S", 0}, ENF_LOG_COPY, true, true, ENF_LOG_COPY},
    {"to a bogon",
     false,
     {BLOCKED, 1009, "198.18.0.1", 25, "S", 0},
     ENF_LOG_BOGON,
     false,
     true,
     ENF_LOG_BOGON},
    {"from no group",
     false,
     {"172.16.0.1", 1010, REMOTE, 25, "S", 0},
     ENF_LOG_SPOOFED,
     false,
     true,
     ENF_LOG_SPOOFED},
    {"from no group, web", false, {"172.16.0.1", 1011, REMOTE, 80, "S", 0}, NO_LOG, true, true, NO_LOG},
    {"from port 25, unasked",
     true,
     {REMOTE, 25, BLOCKED, 1012, "SA", 0},
     ENF_LOG_INBOUND,
     false,
     true,
     ENF_LOG_INBOUND},
    {"mail to a subscriber", true, {REMOTE, 1013, BLOCKED, 25, "S", 0}, NO_LOG, true, true, NO_LOG},
    {"a subscriber's source from upstream",
     true,
     {BLOCKED, 1014, REMOTE, 25, "S", 0},
     ENF_LOG_SPOOFED,
     false,
     true,
     ENF_LOG_SPOOFED},
};

static void check_row(struct router *router, size_t i, bool observing)
{
    const struct wire *in = rows[i].from_upstream ? &router->upstream : &router->subscriber;
    const struct wire *out = rows[i].from_upstream ? &router->subscriber : &router->upstream;
    bool passes = observing ? rows[i].passes_observing : rows[i].passes;
    int reason = observing ? rows[i].reason_observing : rows[i].reason;
    struct seen seen = {.len = 0};
    struct enf_log *log = NULL;

    /* What goes back where it came from, because of a forged source. */
    if (strcmp(rows[i].packet.destination, REMOTE) == 0)
        out = &router->upstream;
    assert_int_equal(enf_log_open(ENF_LOG_GROUP, &log), 0);
    wire_send(in, &rows[i].packet);
    if (wire_receives(out, rows[i].packet.source_port, passes ? 5000 : WIRE_WAIT) != passes)
        fail_msg("%s%s: %s", rows[i].name, observing ? ", observing" : "", passes ? "dropped" : "passed");
    if (reason != NO_LOG && !readable(enf_log_fd(log)))
        fail_msg("%s%s: nothing is logged", rows[i].name, observing ? ", observing" : "");
    int got = enf_log_read(log, on_log, &seen);
    if (got != (reason != NO_LOG) || (size_t)got != seen.len)
        fail_msg("%s%s: %d messages", rows[i].name, observing ? ", observing" : "", got);
    if (got == 1 && (int)seen.reasons[0] != reason)
        fail_msg("%s%s: %s", rows[i].name, observing ? ", observing" : "",
                 enf_log_reason_name(seen.reasons[0]));
    if (got == 1) {
        assert_int_equal(seen.source_ports[0], rows[i].packet.source_port);
        assert_int_equal(seen.ifindexes[0], in->ifindex);
    }
    struct enf_log_stats stats = enf_log_stats(log);
    assert_int_equal(stats.messages, got);
    assert_int_equal(stats.lost + stats.overruns + stats.malformed, 0);
    enf_log_close(&log);
}

static void test_reasons(void **state)
{
    struct router *router = router_of(state);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(router, i, false);
    char *observe = bed_text(make_observing_rules);
    bed_load_text(observe);
    free(observe);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(router, i, true);
}

static void test_quarantined(void **state)
{
    struct router *router = router_of(state);
    struct enf_kernel_single single = {.subscriber = bed_prefix(OBSERVED), .timeout_ms = HOUR};
    struct enf_kernel_single inspected = {.subscriber = bed_prefix(INSPECTED), .timeout_ms = HOUR};
    struct seen seen = {.len = 0};
    struct enf_log *log = NULL;

    assert_int_equal(enf_kernel_singles(router->kernel.kernel, &single, 1), 0);
    assert_int_equal(enf_kernel_singles(router->kernel.kernel, &inspected, 1), 0);
    assert_int_equal(enf_log_open(ENF_LOG_GROUP, &log), 0);
    /* An observed one is never touched, whatever stands in the set. */
    wire_send(&router->subscriber, &(struct wire_packet){OBSERVED, 2001, REMOTE, 25, "S", 0});
    assert_true(wire_receives(&router->upstream, 2001, 5000));
    wire_send(&router->subscriber, &(struct wire_packet){INSPECTED, 2002, REMOTE, 25, "S", 0});
    wire_send(&router->subscriber, &(struct wire_packet){INSPECTED, 2003, REMOTE, 25, "A", 100});
    wire_send(&router->subscriber, &(struct wire_packet){INSPECTED, 2004, "198.51.100.25", 25, "S", 0});
    wire_send(&router->subscriber, &(struct wire_packet){INSPECTED, 2005, REMOTE, 587, "S", 0});
    assert_true(wire_receives(&router->upstream, 2005, 5000)); /* the first to come out */
    assert_true(readable(enf_log_fd(log)));
    while (readable(enf_log_fd(log)) && seen.len < 3)
        assert_true(enf_log_read(log, on_log, &seen) >= 0);
    assert_int_equal(seen.len, 3);
    assert_int_equal(seen.reasons[0], ENF_LOG_COPY);
    assert_int_equal(seen.reasons[1], ENF_LOG_QUARANTINED);
    assert_int_equal(seen.source_ports[1], 2002);
    assert_int_equal(seen.source_ports[2], 2004);
    enf_log_close(&log);
}

/* A source far over its rate goes into quarantine by the kernel alone, and for what has passed of its time.
 */
static void test_meter(void **state)
{
    struct router *router = router_of(state);
    struct enf_prefix subscriber = bed_prefix(BLOCKED);
    struct seen seen = {.len = 0};
    struct enf_log *log = NULL;
    uint64_t left = 0;
    unsigned counts[ENF_LOG_REASON_COUNT] = {0};

    assert_int_equal(enf_log_open(ENF_LOG_GROUP, &log), 0);
    for (uint16_t i = 0; i < 5; i++)
        wire_send(&router->subscriber,
                  &(struct wire_packet){BLOCKED, (uint16_t)(3000 + i), REMOTE, 25, "S", 0});
    assert_int_equal(
        enf_kernel_singles_left(router->kernel.kernel, ENF_KERNEL_TIER_SMTP, &subscriber, 1, &left), 0);
    assert_int_equal(left, 0); /* at the limit */
    for (uint16_t i = 5; i < 10; i++)
        wire_send(&router->subscriber,
                  &(struct wire_packet){BLOCKED, (uint16_t)(3000 + i), REMOTE, 25, "S", 0});
    assert_int_equal(
        enf_kernel_singles_left(router->kernel.kernel, ENF_KERNEL_TIER_SMTP, &subscriber, 1, &left), 0);
    assert_true(left > HOUR - 60000 && left <= HOUR);
    while (readable(enf_log_fd(log)))
        assert_true(enf_log_read(log, on_log, &seen) >= 0);
    for (size_t i = 0; i < seen.len; i++)
        counts[seen.reasons[i]]++;
    assert_int_equal(counts[ENF_LOG_BLOCK], 5);
    assert_int_equal(counts[ENF_LOG_METER], 1);
    assert_int_equal(counts[ENF_LOG_QUARANTINED], 4);
    /* Released, and the bucket anew: it begins from the start. */
    struct enf_kernel_single gone = {.subscriber = subscriber, .remove = true};
    assert_int_equal(enf_kernel_singles(router->kernel.kernel, &gone, 1), 0);
    assert_int_equal(enf_kernel_meters_reset(router->kernel.kernel, &subscriber, 1), 0);
    for (uint16_t i = 0; i < 5; i++)
        wire_send(&router->subscriber,
                  &(struct wire_packet){BLOCKED, (uint16_t)(3100 + i), REMOTE, 25, "S", 0});
    assert_int_equal(
        enf_kernel_singles_left(router->kernel.kernel, ENF_KERNEL_TIER_SMTP, &subscriber, 1, &left), 0);
    assert_int_equal(left, 0);
    enf_log_close(&log);
}

/* --- the log's reader
 * -------------------------------------------------------------------------------------------- */

static void test_log_open_and_close(void **state)
{
    struct enf_log *log = NULL, *second = NULL, *other = NULL;

    bed_of(state);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enf_log_open(ENF_LOG_GROUP, &log), 0);
        assert_true(enf_log_fd(log) >= 0);
        assert_int_equal(enf_log_open(ENF_LOG_GROUP, &second), -EBUSY);
        assert_null(second);
        assert_int_equal(enf_log_open(ENF_LOG_GROUP + 1, &other), 0);
        assert_int_equal(enf_log_read(log, on_log, NULL), 0); /* nothing there: does not wait */
        enf_log_close(&other);
        enf_log_close(&log);
        assert_null(log);
    }
    enf_log_close(&log);
}

/* Far more than one delivery holds, in order, none lost. */
static void test_log_burst(void **state)
{
    struct router *router = router_of(state);
    struct enf_log *log = NULL;
    static struct seen seen;

    seen.len = 0;
    assert_int_equal(enf_log_open(ENF_LOG_GROUP, &log), 0);
    for (uint16_t i = 0; i < 500; i++)
        wire_send(&router->subscriber,
                  &(struct wire_packet){OBSERVED, (uint16_t)(4000 + i), REMOTE, 25, "S", 0});
    while (seen.len < 500 && readable(enf_log_fd(log)))
        assert_true(enf_log_read(log, on_log, &seen) > 0);
    assert_int_equal(seen.len, 500);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(seen.source_ports[i], 4000 + i);
    struct enf_log_stats stats = enf_log_stats(log);
    assert_int_equal(stats.messages, 500);
    assert_int_equal(stats.lost + stats.overruns + stats.malformed, 0);
    enf_log_close(&log);
}

/* The rules of others in our group: as much as fits, never a cut message. */
static void test_log_of_others(void **state)
{
    struct router *router = router_of(state);
    struct seen seen = {.len = 0};
    struct enf_log *log = NULL;

    assert_int_equal(bed_nft("add table ip other\n"
                             "add chain ip other c { type filter hook prerouting priority 0; }\n"
                             "add rule ip other c tcp dport 80 log prefix \"enf:blockade\" group 2525\n"
                             "add rule ip other c tcp dport 81 log group 2525\n"),
                     0);
    assert_int_equal(enf_log_open(ENF_LOG_GROUP, &log), 0);
    wire_send(&router->subscriber, &(struct wire_packet){BLOCKED, 4900, REMOTE, 80, "A", 3900});
    wire_send(&router->subscriber, &(struct wire_packet){BLOCKED, 4901, REMOTE, 81, "A", 100});
    while (seen.len < 2 && readable(enf_log_fd(log)))
        assert_true(enf_log_read(log, on_log, &seen) > 0);
    assert_int_equal(seen.len, 2);
    assert_int_equal(seen.reasons[0], ENF_LOG_UNKNOWN);
    assert_int_equal(seen.reasons[1], ENF_LOG_UNKNOWN);
    assert_int_equal(seen.lens[0], 2048);
    assert_int_equal(seen.lens[1], 140);
    assert_int_equal(enf_log_stats(log).malformed, 0);
    enf_log_close(&log);
    assert_int_equal(bed_nft("delete table ip other"), 0);
}

/* --- the queue
 * --------------------------------------------------------------------------------------------------- */

static void test_queue_open_and_close(void **state)
{
    struct enf_queue *queue = NULL, *second = NULL;

    bed_of(state);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enf_queue_open(QUEUE, i % 2, &queue), 0);
        assert_int_equal(enf_queue_open(QUEUE, false, &second), -EBUSY);
        assert_null(second);
        assert_int_equal(enf_queue_open(QUEUE + 1, false, &second), 0);
        assert_int_equal(enf_queue_set_fail_open(queue, !(i % 2)), 0);
        assert_int_equal(enf_queue_read(queue, on_queue, NULL), 0);
        enf_queue_close(&second);
        enf_queue_close(&queue);
        assert_null(queue);
    }
    enf_queue_close(&queue);
}

/* Until somebody listens, and when nobody does any more: closed is closed, open is open. */
static void test_nobody_listens(void **state)
{
    struct router *router = router_of(state);
    struct wire_packet syn = {INSPECTED, 5000, REMOTE, 25, "S", 0};

    wire_send(&router->subscriber, &syn);
    assert_false(wire_receives(&router->upstream, 5000, WIRE_WAIT)); /* no statement yet */
    install_queue(router, false);
    syn.source_port++;
    wire_send(&router->subscriber, &syn);
    assert_false(wire_receives(&router->upstream, 5001, WIRE_WAIT));
    bed_load_text(router->kernel.text);
    install_queue(router, true);
    syn.source_port++;
    wire_send(&router->subscriber, &syn);
    assert_true(wire_receives(&router->upstream, 5002, 5000));
}

static size_t read_queue(struct enf_queue *queue, struct seen *seen, size_t expected)
{
    while (seen->len < expected && readable(enf_queue_fd(queue)))
        assert_true(enf_queue_read(queue, on_queue, seen) >= 0);
    return seen->len;
}

static void test_verdicts(void **state)
{
    struct router *router = router_of(state);
    struct seen seen = {.pass = true};
    struct enf_queue *queue = NULL;

    assert_int_equal(enf_queue_open(QUEUE, false, &queue), 0);
    enum enf_kernel_queue kind = install_queue(router, false), found;
    print_message("queue: %s\n", enf_kernel_queue_name(kind));
    /* Whoever comes later finds it; and where the guess is wrong, the other kind is taken. */
    assert_int_equal(enf_kernel_queue_kind(router->kernel.kernel, &found), 0);
    assert_int_equal(found, kind);
    bed_load_text(router->kernel.text);
    assert_int_equal(enf_kernel_queue_kind(router->kernel.kernel, &found), -ENOENT);
    assert_int_equal(install_queue(router, false), kind);
    wire_send(&router->subscriber, &(struct wire_packet){INSPECTED, 5100, REMOTE, 25, "S", 0});
    assert_int_equal(read_queue(queue, &seen, 1), 1);
    assert_int_equal(seen.source_ports[0], 5100);
    assert_int_equal(seen.ifindexes[0], router->subscriber.ifindex);
    assert_true(wire_receives(&router->upstream, 5100, 5000));
    /* The answer is read too, and goes to the subscriber. */
    wire_send(&router->upstream, &(struct wire_packet){REMOTE, 25, INSPECTED, 5100, "SA", 0});
    assert_int_equal(read_queue(queue, &seen, 2), 2);
    assert_true(wire_receives(&router->subscriber, 25, 5000));
    seen.pass = false;
    wire_send(&router->subscriber, &(struct wire_packet){INSPECTED, 5101, REMOTE, 25, "S", 0});
    assert_int_equal(read_queue(queue, &seen, 3), 3);
    assert_false(wire_receives(&router->upstream, 5101, WIRE_WAIT));
    struct enf_queue_stats stats = enf_queue_stats(queue);
    assert_int_equal(stats.packets, 3);
    assert_int_equal(stats.accepted, 2);
    assert_int_equal(stats.dropped, 1);
    assert_int_equal(stats.overruns + stats.malformed + stats.failed, 0);
    enf_queue_close(&queue);
}

/* More than one burst; and a segment longer than what is copied. */
static void test_queue_burst(void **state)
{
    struct router *router = router_of(state);
    struct enf_queue *queue = NULL;
    static struct seen seen;

    seen = (struct seen){.pass = true};
    assert_int_equal(enf_queue_open(QUEUE, false, &queue), 0);
    install_queue(router, false);
    for (uint16_t i = 0; i < 200; i++)
        wire_send(&router->subscriber,
                  &(struct wire_packet){INSPECTED, (uint16_t)(6000 + i), REMOTE, 25, "S", 0});
    assert_int_equal(read_queue(queue, &seen, 200), 200);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(seen.source_ports[i], 6000 + i);
    for (uint16_t i = 0; i < 200; i++)
        assert_true(wire_receives(&router->upstream, (uint16_t)(6000 + i), 5000));
    wire_send(&router->subscriber, &(struct wire_packet){INSPECTED, 6000, REMOTE, 25, "A", 3900});
    assert_int_equal(read_queue(queue, &seen, 201), 201);
    assert_int_equal(seen.lens[200], 3940);
    assert_true(wire_receives(&router->upstream, 6000, 5000));
    struct enf_queue_stats stats = enf_queue_stats(queue);
    assert_int_equal(stats.accepted, 201);
    assert_int_equal(stats.dropped + stats.overruns + stats.malformed + stats.failed, 0);
    enf_queue_close(&queue);
}

static void unplug(void *ctx, const struct enf_kernel_packet *packets, size_t len, bool *pass)
{
    struct ifreq request = {.ifr_flags = 0};

    (void)ctx;
    (void)packets;
    for (size_t i = 0; i < len; i++)
        pass[i] = true;
    wire_ioctl("up0", SIOCSIFFLAGS, &request);
}

/* The interface goes while a packet waits: the verdict is refused, and counted as that. */
static void test_packet_gone(void **state)
{
    struct router *router = router_of(state);
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
    struct enf_queue *queue = NULL;
    struct seen seen = {.pass = true};

    assert_int_equal(enf_queue_open(QUEUE, false, &queue), 0);
    install_queue(router, false);
    wire_send(&router->subscriber, &(struct wire_packet){INSPECTED, 7000, REMOTE, 25, "S", 0});
    assert_true(readable(enf_queue_fd(queue)));
    assert_int_equal(enf_queue_read(queue, unplug, NULL), 1);
    assert_true(readable(enf_queue_fd(queue)));
    assert_int_equal(enf_queue_read(queue, on_queue, &seen), 0);
    struct enf_queue_stats stats = enf_queue_stats(queue);
    assert_int_equal(stats.failed, 1);
    assert_int_equal(stats.malformed, 0);
    wire_ioctl("up0", SIOCSIFFLAGS, &request);
    wire_default_route("up0");
    enf_queue_close(&queue);
}

/* The kernel shows its queues to root alone. */
static void need_proc(struct router *router)
{
    if (router->kernel.own_user) {
        print_message("skipped: the kernel's list of queues takes root\n");
        skip();
    }
}

static uint64_t waiting(void)
{
    char line[128] = "";
    unsigned number = 0, port = 0;
    unsigned long long total = 0;
    FILE *in = fopen("/proc/net/netfilter/nfnetlink_queue", "r");

    if (in && fgets(line, sizeof line, in) && sscanf(line, "%u %u %llu", &number, &port, &total) != 3)
        total = 4711;
    if (in)
        fclose(in);
    return total;
}

/* What the kernel says of its own losses is what is read. */
static void test_proc(void **state)
{
    struct router *router = router_of(state);
    struct enf_queue *queue = NULL;
    char text[512] = "";
    struct enf_queue_usage usage = {1, 1, 1};

    need_proc(router);
    assert_int_equal(enf_queue_open(QUEUE, false, &queue), 0);
    install_queue(router, false);
    FILE *in = fopen("/proc/net/netfilter/nfnetlink_queue", "r");
    assert_non_null(in);
    assert_true(fread(text, 1, sizeof text - 1, in) > 0);
    fclose(in);
    assert_int_equal(enf_queue_parse_proc(text, QUEUE, &usage), 0);
    assert_int_equal(usage.waiting + usage.queue_dropped + usage.user_dropped, 0);
    assert_int_equal(enf_queue_parse_proc(text, QUEUE + 1, &usage), -ENOENT);
    enf_queue_close(&queue);
}

/* Mail runs while the daemon takes its queue: a packet between the kernel's steps gets its verdict as well.
 */
static void test_open_under_load(void **state)
{
    struct router *router = router_of(state);
    struct wire_packet syn = {INSPECTED, 8000, REMOTE, 25, "A", 0};

    need_proc(router);
    install_queue(router, false);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        uint8_t data[64];
        size_t len = wire_build(&syn, data, sizeof data);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also where it is stopped */
        while (getppid() != 1 && write(router->subscriber.fd, data, len) > 0) {
            uint16_t port = htons(++syn.source_port);
            memcpy(data + 20, &port, sizeof port);
        }
        _exit(1);
    }
    for (int i = 0; i < 50; i++) {
        static struct seen seen;
        struct enf_queue *queue = NULL;
        seen = (struct seen){.pass = false};
        assert_int_equal(enf_queue_open(QUEUE, false, &queue), 0);
        kill(pid, SIGSTOP);
        assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid); /* stopped now, not soon */
        while (enf_queue_read(queue, on_queue, &seen) > 0)
            seen.len = 0;
        for (int tries = 0; waiting() > 0 && tries < 50; tries++) {
            if (readable(enf_queue_fd(queue)))
                assert_true(enf_queue_read(queue, on_queue, &seen) >= 0);
            seen.len = 0;
        }
        assert_int_equal(waiting(), 0);
        assert_int_equal(enf_queue_stats(queue).malformed, 0);
        kill(pid, SIGCONT);
        enf_queue_close(&queue);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Nothing here switched connection tracking on. */
static void test_no_conntrack(void **state)
{
    char line[32] = "0";

    router_of(state);
    FILE *in = fopen("/proc/sys/net/netfilter/nf_conntrack_count", "r");
    if (in) {
        assert_non_null(fgets(line, sizeof line, in));
        fclose(in);
    }
    assert_int_equal(strtol(line, NULL, 10), 0);
}

#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, router_open, router_close, &router)

int main(void)
{
    static struct router router;
    const struct CMUnitTest tests[] = {
        TEST(test_reasons),
        TEST(test_quarantined),
        TEST(test_meter),
        TEST(test_log_open_and_close),
        TEST(test_log_burst),
        TEST(test_log_of_others),
        TEST(test_queue_open_and_close),
        TEST(test_nobody_listens),
        TEST(test_verdicts),
        TEST(test_queue_burst),
        TEST(test_packet_gone),
        TEST(test_proc),
        TEST(test_open_under_load),
        TEST(test_no_conntrack),
    };

    router_enter(&router);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
