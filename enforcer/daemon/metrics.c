/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's state as a page of metrics. A name here is a contract with dashboards:
 * docs/monitoring/README.md lists them. */
#include "enforcer/daemon/metrics.h"

#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/histogram.h"
#include "enforcer/daemon/seccomp.h"
#include "enforcer/metrics/page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const uint64_t enf_histogram_bounds_ns[ENF_HISTOGRAM_BUCKETS] = {
    10000,   25000,    50000,    100000,    250000,    500000,     1000000,
    2500000, 10000000, 25000000, 100000000, 250000000, 1000000000, 2500000000};

#define COUNTERS_MAX 1024
#define LABELS(...)                                                                                          \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

/* What is gathered once for both formats. */
struct gathered {
    struct counter {
        char name[ENF_NAME_LEN + 32];
        uint64_t packets;
    } counters[COUNTERS_MAX];
    size_t counters_len;
    struct enf_hub_stats events;
    struct enf_detector_stats detector;
    struct enf_flows_stats flows;
    struct enf_control_stats control;
    struct enf_store_counts state;
    size_t tripped;
    const size_t (*tally)[ENF_LEVEL_COUNT]; /* by group */
};

static void add_counter(void *ctx, const char *name, uint64_t packets, uint64_t bytes)
{
    struct gathered *g = ctx;

    (void)bytes;
    if (g->counters_len == COUNTERS_MAX)
        return;
    struct counter *counter = &g->counters[g->counters_len++];
    snprintf(counter->name, sizeof counter->name, "%s", name);
    counter->packets = packets;
}

static int count_tripped(void *ctx, const struct enf_governor_trip *trip)
{
    (void)trip;
    ++*(size_t *)ctx;
    return 0;
}

static void gather(struct enf_daemon *d, struct gathered *g)
{
    enf_kernel_read_counters(d->kernel, add_counter, g);
    enf_telemetry_look(d);
    enf_hub_stats(d->hub, &g->events);
    enf_crew_detector_stats(&d->crew, &g->detector);
    enf_crew_flow_stats(&d->crew, &g->flows);
    enf_crew_governor_each(&d->crew, count_tripped, &g->tripped);
    g->tally = enf_tally_look(d);
    if (d->control)
        enf_control_stats(d->control, &g->control);
    enf_store_count(d->store, &g->state);
}

/* --- parts of the page --- */

static void counter(struct enf_page *page, const char *name, const char *help, uint64_t value)
{
    enf_page_family(page, ENF_PAGE_COUNTER, name, NULL, help);
    enf_page_count(page, NULL, value);
}

static void gauge(struct enf_page *page, const char *name, const char *unit, const char *help, double value)
{
    enf_page_family(page, ENF_PAGE_GAUGE, name, unit, help);
    enf_page_gauge(page, NULL, value);
}

static void put_daemon(const struct enf_daemon *d, const struct gathered *g, struct enf_page *page)
{
    enf_page_family(page, ENF_PAGE_GAUGE, "enforcer_build_info", NULL, "The version that runs, as a label.");
    enf_page_gauge(page, LABELS("version", ENF_VERSION), 1);
    gauge(page, "enforcer_start_time_seconds", "seconds", "When the daemon started, since 1970.",
          (double)d->started_ms / 1000);
    gauge(page, "enforcer_enforcing", NULL, "1: mode enforce; 0: mode observe, nothing is dropped.",
          d->mode == ENF_MODE_ENFORCE);
    gauge(page, "enforcer_relays", NULL, "Relays of the file and by hand.",
          (double)(d->hand_relays_len + d->running->config->relays_len));
    gauge(page, "enforcer_control_clients", NULL, "Clients of the control socket.",
          (double)g->control.clients);
}

static void put_packets(const struct enf_daemon *d, const struct gathered *g, struct enf_page *page)
{
    static const char *const kinds[] = {"blocked", "connections"};
    const struct enf_config *config = d->running->config;

    enf_page_family(page, ENF_PAGE_COUNTER, "enforcer_packets", NULL,
                    "Packets by counter of the kernel's table; begins anew with the table.");
    for (size_t i = 0; i < g->counters_len; i++) {
        const char *name = g->counters[i].name;
        bool own_family =
            strncmp(name, "g_", 2) == 0 || (strncmp(name, "queue", 5) == 0 && strchr("0123456789", name[5]));
        if (!own_family)
            enf_page_count(page, LABELS("reason", name), g->counters[i].packets);
    }
    enf_page_family(
        page, ENF_PAGE_COUNTER, "enforcer_group_packets", NULL,
        "First packets of connections to port 25 by group: refused ones and those of inspected or "
        "observed subscribers.");
    for (size_t i = 0; i < config->groups_len; i++) {
        for (size_t k = 0; k < 2; k++) {
            char name[ENF_NAME_LEN + 32];
            snprintf(name, sizeof name, "g_%s_%s", config->groups[i].name, kinds[k]);
            for (char *c = name; *c; c++)
                *c = *c == '-' ? '_' : *c;
            for (size_t n = 0; n < g->counters_len; n++)
                if (strcmp(g->counters[n].name, name) == 0)
                    enf_page_count(page, LABELS("group", config->groups[i].name, "kind", kinds[k]),
                                   g->counters[n].packets);
        }
    }
}

static void put_group_quarantine(const struct enf_daemon *d, const struct gathered *g, struct enf_page *page)
{
    const struct enf_config *config = d->running->config;

    enf_page_family(page, ENF_PAGE_GAUGE, "enforcer_group_quarantined", NULL,
                    "Quarantines by group and level.");
    for (size_t i = 0; g->tally && i <= config->groups_len; i++) {
        for (int level = ENF_LEVEL_NONE + 1; level < ENF_LEVEL_COUNT; level++)
            enf_page_gauge(page,
                           LABELS("group", i < config->groups_len ? config->groups[i].name : "(none)",
                                  "level", enf_level_name((enum enf_level)level)),
                           (double)g->tally[i][level]);
    }
}

static void put_quarantine(const struct enf_daemon *d, const struct gathered *g, struct enf_page *page)
{
    put_group_quarantine(d, g, page);
    enf_page_family(page, ENF_PAGE_GAUGE, "enforcer_quarantined", NULL, "Quarantines by level.");
    for (int level = ENF_LEVEL_NONE + 1; level < ENF_LEVEL_COUNT; level++)
        enf_page_gauge(page, LABELS("level", enf_level_name((enum enf_level)level)),
                       (double)enf_quarantine_count_level(d->quarantine, (enum enf_level)level));
    gauge(page, "enforcer_quarantine_capacity", NULL, "quarantine.max_entries.",
          (double)d->running->config->quarantine.max_entries);
    gauge(page, "enforcer_coverage_desired", NULL, "Quarantines that there should be in the kernel.",
          (double)d->coverage.desired);
    gauge(page, "enforcer_coverage_enforced", NULL,
          "Of these, those that the kernel has, as of the last look.",
          d->truth.table == ENF_TABLE_MISSING ? 0 : (double)d->coverage.enforced);
    enf_page_family(page, ENF_PAGE_COUNTER, "enforcer_convictions", NULL, "Convictions by signal.");
    for (int cause = ENF_CAUSE_NONE + 1; cause < ENF_CAUSE_COUNT; cause++)
        enf_page_count(page, LABELS("signal", enf_cause_name((enum enf_cause)cause)),
                       d->metrics.convictions[cause]);
    enf_page_count(page, LABELS("signal", "meter"), d->metrics.metered);
    counter(page, "enforcer_suspects", "Subscribers told as suspect: not enough for a conviction.",
            d->metrics.suspects);
    gauge(page, "enforcer_governor_tripped", NULL, "Interfaces where automatic quarantine has stopped.",
          (double)g->tripped);
}

static void put_ruleset(const struct enf_daemon *d, struct enf_page *page)
{
    gauge(page, "enforcer_ruleset_ok", NULL, "1: the kernel's table is as it should be.",
          d->truth.table == ENF_TABLE_OK);
    counter(page, "enforcer_ruleset_changes", "Transactions of others that touched the table.",
            d->truth.changes);
    counter(page, "enforcer_ruleset_repairs", "How often something was put right.", d->truth.repairs);
    counter(page, "enforcer_leaked_packets",
            "Packets to port 25 that passed while others had changed the table.", d->truth.leaked);
}

typedef uint64_t (*of_worker_fn)(const struct enf_worker_report *worker);
static uint64_t packets_of(const struct enf_worker_report *w)
{
    return w->queue_packets;
}
static uint64_t refused_of(const struct enf_worker_report *w)
{
    return w->queue_refused;
}
static uint64_t dropped_of(const struct enf_worker_report *w)
{
    return w->queue_dropped;
}
static uint64_t unread_of(const struct enf_worker_report *w)
{
    return w->queue_unread;
}
static uint64_t waiting_of(const struct enf_worker_report *w)
{
    return w->queue_waiting;
}
static uint64_t messages_of(const struct enf_worker_report *w)
{
    return w->log_messages;
}
static uint64_t lost_of(const struct enf_worker_report *w)
{
    return w->log_lost;
}
static uint64_t stuck_of(const struct enf_worker_report *w)
{
    return w->stuck;
}

static void put_workers(const struct enf_daemon *d, struct enf_page *page)
{
    static const struct {
        const char *name, *help;
        of_worker_fn of;
        enum enf_page_type type;
    } rows[] = {
        {"enforcer_queue_packets", "Inspected packets that the worker read.", packets_of, ENF_PAGE_COUNTER},
        {"enforcer_queue_refused", "Of these, those that were dropped by verdict.", refused_of,
         ENF_PAGE_COUNTER},
        {"enforcer_queue_dropped", "Inspected packets that the kernel dropped: the queue was full.",
         dropped_of, ENF_PAGE_COUNTER},
        {"enforcer_queue_unread", "Inspected packets that got the verdict of queue.fail unread.", unread_of,
         ENF_PAGE_COUNTER},
        {"enforcer_queue_waiting", "Inspected packets that wait for a verdict.", waiting_of, ENF_PAGE_GAUGE},
        {"enforcer_log_messages", "Copies of packets that the worker read.", messages_of, ENF_PAGE_COUNTER},
        {"enforcer_log_lost", "Copies that were lost, and overruns of the socket.", lost_of,
         ENF_PAGE_COUNTER},
        {"enforcer_worker_stuck", "1: the thread has not come round for 3 s.", stuck_of, ENF_PAGE_GAUGE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enf_page_family(page, rows[i].type, rows[i].name, NULL, rows[i].help);
        for (unsigned w = 0; w < d->telemetry.len; w++) {
            char worker[16];
            uint64_t value = rows[i].of(&d->telemetry.workers[w]);
            snprintf(worker, sizeof worker, "%u", w);
            if (rows[i].type == ENF_PAGE_COUNTER)
                enf_page_count(page, LABELS("worker", worker), value);
            else
                enf_page_gauge(page, LABELS("worker", worker), (double)value);
        }
    }
}

static void put_durations(struct enf_daemon *d, struct enf_page *page, const char *name, const char *help,
                          size_t offset)
{
    double bounds[ENF_HISTOGRAM_BUCKETS];
    uint64_t counts[ENF_HISTOGRAM_BUCKETS + 1] = {0}, sum_ns = 0;

    for (size_t i = 0; i < ENF_HISTOGRAM_BUCKETS; i++)
        bounds[i] = (double)enf_histogram_bounds_ns[i] / 1e9;
    for (unsigned w = 0; w < d->crew.len; w++) {
        struct enf_histogram *h = (struct enf_histogram *)((char *)&d->crew.workers[w].stats + offset);
        for (size_t i = 0; i <= ENF_HISTOGRAM_BUCKETS; i++)
            counts[i] += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        sum_ns += atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
    }
    enf_page_family(page, ENF_PAGE_HISTOGRAM, name, "seconds", help);
    enf_page_histogram(page, bounds, counts, ENF_HISTOGRAM_BUCKETS, (double)sum_ns / 1e9);
}

static void put_detector(const struct gathered *g, struct enf_page *page)
{
    gauge(page, "enforcer_detector_subscribers", NULL, "Subscribers that the detector knows.",
          (double)g->detector.subscribers);
    gauge(page, "enforcer_detector_capacity", NULL, "detector.max_subscribers.",
          (double)g->detector.max_subscribers);
    counter(page, "enforcer_detector_evicted", "Subscribers forgotten because the table was full.",
            g->detector.evicted);
    counter(page, "enforcer_detector_observations", "What the detector has weighed.",
            g->detector.observations);
    gauge(page, "enforcer_detector_bytes", "bytes", "Memory of the detector.", (double)g->detector.bytes);
    gauge(page, "enforcer_flows", NULL, "Inspected connections that are followed.", (double)g->flows.flows);
    counter(page, "enforcer_flows_evicted", "Connections forgotten because the table was full.",
            g->flows.evicted_waiting + g->flows.evicted_read);
    counter(page, "enforcer_flows_unread", "Connections that could not be read for want of room.",
            g->flows.unread + g->flows.over_subscriber);
    gauge(page, "enforcer_flows_bytes", "bytes", "Memory of connections that are read.",
          (double)g->flows.bytes);
}

static void put_events(struct enf_daemon *d, const struct gathered *g, struct enf_page *page)
{
    counter(page, "enforcer_events", "Events of this run.", g->events.sequence);
    counter(page, "enforcer_events_written", "Lines written, of all sinks together.", g->events.written);
    counter(page, "enforcer_events_lost", "Lines that a sink never got.", g->events.lost);
    gauge(page, "enforcer_events_waiting", NULL, "Lines that a failing sink has still to get.",
          (double)g->events.waiting);
    gauge(page, "enforcer_events_spooled", NULL, "Of these, those in spools on disk.",
          (double)g->events.spooled);
    counter(page, "enforcer_state_changes", "Changes of the quarantine that are in the state on disk.",
            g->state.changes);
    counter(page, "enforcer_state_commits", "Waits for the disk; changes that come together share one.",
            g->state.commits);
    counter(page, "enforcer_reports_lost", "Reports of workers that did not fit into the mailbox.",
            enf_mailbox_lost(&d->mailbox));
}

static int make_page(struct enf_daemon *d, const struct gathered *g, bool openmetrics, char **out,
                     size_t *len)
{
    struct enf_page *page = enf_page_new(openmetrics);

    if (!page)
        return -ENOMEM;
    put_daemon(d, g, page);
    put_packets(d, g, page);
    put_quarantine(d, g, page);
    put_ruleset(d, page);
    put_workers(d, page);
    put_durations(d, page, "enforcer_verdict_seconds",
                  "From reading a burst of the queue to the verdicts on it; one observation a burst.",
                  offsetof(struct enf_worker_stats, verdicts));
    put_durations(d, page, "enforcer_time_to_block_seconds",
                  "From the convicting packet to the element in the kernel; up to 1 ms too long.",
                  offsetof(struct enf_worker_stats, blocks));
    put_detector(g, page);
    put_events(d, g, page);
    return enf_page_finish(&page, out, len);
}

/* Where there is no memory, the one who asks is told to come again. */
static void on_wanted(uv_async_t *handle)
{
    struct enf_daemon *d = handle->data;
    struct gathered *g = calloc(1, sizeof *g);
    char *texts[2] = {NULL, NULL};
    size_t lens[2];

    if (!g || !d->metrics.server) {
        free(g);
        return;
    }
    gather(d, g);
    if (make_page(d, g, true, &texts[0], &lens[0]) == 0 && make_page(d, g, false, &texts[1], &lens[1]) == 0)
        enf_metrics_publish(d->metrics.server, texts[0], lens[0], texts[1], lens[1]);
    else
        free(texts[0]);
    free(g);
}

/* --- life --- */

static void wake(void *ctx)
{
    struct enf_daemon *d = ctx;

    uv_async_send(&d->metrics.wanted);
}

static int seal(void *ctx)
{
    const struct enf_daemon *d = ctx;

    return d->crew.shared.filter ? enf_seccomp_apply(ENF_SECCOMP_METRICS) : 0;
}

void enf_metrics_open(struct enf_daemon *d)
{
    const struct enf_config *config = d->running->config;
    char address[ENF_PREFIX_STR_LEN];

    if (config->metrics.address.family == ENF_FAMILY_NONE)
        return;
    int err = enf_metrics_listen(&config->metrics.address, config->metrics.port, &d->metrics.fd);
    if (err < 0)
        enf_log_line("metrics", "none: %s port %u cannot be listened on: %s",
                     enf_addr_str(&config->metrics.address, address, sizeof address),
                     (unsigned)config->metrics.port, strerror(-err));
    d->metrics.listening = err == 0;
}

void enf_metrics_begin(struct enf_daemon *d)
{
    struct enf_metrics_params params = {.fd = d->metrics.fd, .seal = seal, .wanted = wake, .ctx = d};

    if (!d->metrics.listening || uv_async_init(&d->loop, &d->metrics.wanted, on_wanted) != 0)
        return;
    d->metrics.woken = true;
    d->metrics.wanted.data = d;
    d->metrics.listening = false;
    int err = enf_metrics_start(&params, &d->metrics.server);
    if (err < 0)
        enf_log_line("metrics", "none: %s", strerror(-err));
}

static void on_closed(uv_handle_t *handle)
{
    (void)handle;
}

void enf_metrics_end(struct enf_daemon *d)
{
    enf_tally_free(&d->metrics.tally);
    enf_metrics_stop(&d->metrics.server);
    if (d->metrics.woken)
        uv_close((uv_handle_t *)&d->metrics.wanted, on_closed);
    d->metrics.woken = false;
    if (d->metrics.listening)
        close(d->metrics.fd);
    d->metrics.listening = false;
}
