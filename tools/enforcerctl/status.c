/* SPDX-License-Identifier: GPL-2.0-or-later */
/* status: the whole daemon on one screen, what is wrong in colour. */
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdarg.h>
#include <string.h>

/* One line of the form "name   text". */
static void line(const struct ctl *ctl, enum print_color color, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void line(const struct ctl *ctl, enum print_color color, const char *name, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("%-14s%s", name, print_begin(ctl, color));
    print_clean(stdout, text);
    printf("%s\n", print_end(ctl, color));
}

/* The texts of a list with commas between them. */
static const char *join(const json_t *list, char *buf, size_t buf_len)
{
    size_t len = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < json_array_size(list) && len < buf_len; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        len += (size_t)snprintf(buf + len, buf_len - len, "%s%s", i ? ", " : "", text ? text : "?");
    }
    return buf;
}

static void print_head(const struct ctl *ctl, const json_t *status)
{
    bool by_hand = strcmp(text_at(status, "mode_origin"), "hand") == 0;
    bool observes = strcmp(text_at(status, "mode"), "observe") == 0;
    char buf[PRINT_TIME_LEN];

    line(ctl, observes ? PRINT_YELLOW : PRINT_GREEN, "mode", "%s%s%s", text_at(status, "mode"),
         by_hand ? " (by hand; the file may say otherwise)" : "", observes ? ": nothing is dropped" : "");
    line(ctl, PRINT_PLAIN, "daemon", "version %s, process %lld, up %s, run %s", text_at(status, "version"),
         number_at(status, "pid"), span_text((uint64_t)number_at(status, "uptime_s") * 1000, buf),
         text_at(status, "run"));
    line(ctl, PRINT_PLAIN, "configuration", "%s", text_at(status, "config"));
    if (true_at(status, "confirm.pending"))
        line(ctl, PRINT_YELLOW, "on trial", "it goes back at %s unless it is confirmed (by %s)",
             time_near_at(ctl, status, "confirm.until", buf), text_at(status, "confirm.actor"));
    if (true_at(status, "confirm.unconfirmed"))
        line(ctl, PRINT_YELLOW, "not in force", "what the file holds: nobody confirmed it (reload takes it)");
    for (size_t i = 0; i < json_array_size(json_at(status, "warnings")); i++)
        line(ctl, PRINT_YELLOW, "warning", "%s",
             json_string_value(json_array_get(json_at(status, "warnings"), i)));
}

static void print_coverage(const struct ctl *ctl, const json_t *status)
{
    long long desired = number_at(status, "coverage.desired");
    long long enforced = number_at(status, "coverage.enforced");
    const char *table = text_at(status, "kernel.table");
    bool ok = strcmp(table, "ok") == 0;

    line(ctl, enforced < desired ? PRINT_RED : PRINT_GREEN, "coverage",
         "the kernel has %lld of %lld quarantines (%.1f %%)", enforced, desired,
         desired > 0 ? 100.0 * (double)enforced / (double)desired : 100.0);
    line(ctl, ok ? PRINT_GREEN : PRINT_RED, "kernel table", "%s; queue: %s", table,
         text_at(status, "queue_kind"));
}

static void print_governor(const struct ctl *ctl, const json_t *status)
{
    char buf[512];

    if (true_at(status, "governor.tripped"))
        line(ctl, PRINT_RED, "governor",
             "TRIPPED on %s: automatic quarantine has stopped there (governor reset)",
             join(json_at(status, "governor.interfaces"), buf, sizeof(buf)));
    else
        line(ctl, PRINT_PLAIN, "governor", "not tripped");
}

static void print_losses(const struct ctl *ctl, const json_t *status)
{
    long long log_lost = number_at(status, "telemetry.log_lost");
    long long dropped = number_at(status, "telemetry.queue_dropped");
    long long unread = number_at(status, "telemetry.queue_unread");
    long long events_lost = number_at(status, "events.lost");
    long long waiting = number_at(status, "events.waiting");

    line(ctl, log_lost ? PRINT_YELLOW : PRINT_PLAIN, "telemetry", "%lld messages, %lld lost",
         number_at(status, "telemetry.log_messages"), log_lost);
    line(ctl, dropped || unread ? PRINT_YELLOW : PRINT_PLAIN, "queue",
         "%lld packets, %lld dropped (queue full), %lld not read (daemon too slow)",
         number_at(status, "telemetry.queue_packets"), dropped, unread);
    line(ctl, events_lost || waiting ? PRINT_YELLOW : PRINT_PLAIN, "events",
         "%lld written, %lld lost, %lld to be written, the last is number %lld",
         number_at(status, "events.written"), events_lost, waiting, number_at(status, "events.sequence"));
}

static void print_tables_in_use(const struct ctl *ctl, const json_t *status)
{
    long long entries = number_at(status, "quarantine.entries");
    long long capacity = number_at(status, "quarantine.capacity");
    long long evicted = number_at(status, "detector.evicted");

    line(ctl, capacity > 0 && entries >= capacity ? PRINT_RED : PRINT_PLAIN, "quarantine",
         "%lld of at most %lld", entries, capacity);
    line(ctl, evicted ? PRINT_YELLOW : PRINT_PLAIN, "detector",
         "%lld subscribers of at most %lld, %lld evicted", number_at(status, "detector.subscribers"),
         number_at(status, "detector.capacity"), evicted);
    line(ctl, PRINT_PLAIN, "relays", "%lld", number_at(status, "relays"));
    line(ctl, PRINT_PLAIN, "clients", "%lld", number_at(status, "clients"));
}

static long long prefixes_of(const json_t *group)
{
    const json_t *prefixes = json_at(group, "prefixes");

    return json_is_array(prefixes) ? (long long)json_array_size(prefixes) : number_at(group, "prefixes");
}

/* A counter may be a number, or an object with packets in it. */
static long long packets_at(const json_t *json, const char *path)
{
    const json_t *counter = json_at(json, path);

    return json_is_object(counter) ? number_at(counter, "packets") : number_at(json, path);
}

/* "-" for what this daemon does not tell. */
static void number_cell(struct table *table, const json_t *json, const char *path)
{
    if (json_at(json, path))
        table_cell(table, PRINT_PLAIN, "%lld", packets_at(json, path));
    else
        table_cell(table, PRINT_PLAIN, "-");
}

static void print_groups(const struct ctl *ctl, const json_t *groups)
{
    static const char *const headers[] = {"GROUP",        "POLICY",       ">PREFIXES",
                                          ">SUBSCRIBERS", ">CONNECTIONS", ">BLOCKED"};
    struct table *table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));

    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *group = json_array_get(groups, i);

        table_cell(table, PRINT_PLAIN, "%s", text_at(group, "name"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(group, "policy"));
        table_cell(table, PRINT_PLAIN, "%lld", prefixes_of(group));
        number_cell(table, group, "subscribers_seen");
        number_cell(table, group, "counters.connections");
        number_cell(table, group, "counters.blocked");
    }
    if (json_array_size(groups) > 0)
        putchar('\n');
    table_print(table);
    table_free(&table);
}

static void print_counters(const struct ctl *ctl, const json_t *status)
{
    static const char *const headers[] = {"COUNTER", ">PACKETS", ">BYTES"};
    struct table *table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));
    json_t *counters = (json_t *)(uintptr_t)json_at(status, "counters");
    const char *name;
    const json_t *value;

    json_object_foreach(counters, name, value)
    {
        table_cell(table, PRINT_PLAIN, "%s", name);
        table_cell(table, PRINT_PLAIN, "%lld", number_at(value, "packets"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(value, "bytes"));
    }
    if (json_object_size(counters) > 0)
        putchar('\n');
    table_print(table);
    table_free(&table);
}

static void print_elements(const struct ctl *ctl, const json_t *status)
{
    static const char *const headers[] = {"KERNEL SET", ">ELEMENTS"};
    struct table *table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));
    json_t *elements = (json_t *)(uintptr_t)json_at(status, "kernel.elements");
    const char *name;
    const json_t *value;

    json_object_foreach(elements, name, value)
    {
        table_cell(table, PRINT_PLAIN, "%s", name);
        table_cell(table, PRINT_PLAIN, "%lld", (long long)json_integer_value(value));
    }
    if (json_object_size(elements) > 0)
        putchar('\n');
    table_print(table);
    table_free(&table);
}

int ctl_status(const struct ctl *ctl)
{
    json_t *status = NULL;
    int rc = ctl_call(ctl, "status", NULL, &status);

    if (!status)
        return rc;
    print_head(ctl, status);
    print_coverage(ctl, status);
    print_governor(ctl, status);
    print_losses(ctl, status);
    print_tables_in_use(ctl, status);
    print_groups(ctl, json_at(status, "groups"));
    print_counters(ctl, status);
    print_elements(ctl, status);
    json_decref(status);
    return CTL_DONE;
}
