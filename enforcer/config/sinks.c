/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `events` list: files, Unix sockets and syslog, each with a format and a filter. */
#include "enforcer/config/sinks.h"

#include "enforcer/config/value.h"
#include "enforcer/core/text.h"

#include <stdio.h>
#include <string.h>

#define SYSLOG_PORT     514
#define SYSLOG_SOCKET   "/dev/log"
#define FACILITY_DAEMON 3

#define SINK(member) ENF_ROW_FIELD(struct enf_event_sink, member)

_Static_assert(ENF_EVENT_ACTION_COUNT <= 64, "a filter has a bit an action");

static const struct enf_choice types[] = {
    {"file", ENF_SINK_FILE, false},
    {"syslog", ENF_SINK_SYSLOG, false},
    {"unix", ENF_SINK_UNIX, false},
    {NULL},
};
static const struct enf_choice transports[] = {
    {"local", ENF_TRANSPORT_LOCAL, false},
    {"udp", ENF_TRANSPORT_UDP, false},
    {"tcp", ENF_TRANSPORT_TCP, false},
    {NULL},
};
static const struct enf_choice formats[] = {
    {"ecs", ENF_FORMAT_ECS, false},
    {"cef", ENF_FORMAT_CEF, false},
    {NULL},
};
/* Numbers of RFC 5424, 6.2.1. */
static const struct enf_choice facilities[] = {
    {"daemon", FACILITY_DAEMON, false},
    {"auth", 4, false},
    {"authpriv", 10, false},
    {"local0", 16, false},
    {"local1", 17, false},
    {"local2", 18, false},
    {"local3", 19, false},
    {"local4", 20, false},
    {"local5", 21, false},
    {"local6", 22, false},
    {"local7", 23, false},
    {NULL},
};
const struct enf_choice enf_severities[] = {
    {"info", 10, false}, {"low", 21, false},      {"medium", 47, false},
    {"high", 73, false}, {"critical", 99, false}, {NULL},
};

void enf_read_actions(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base)
{
    uint64_t bits = 0;

    if (node->type != YAML_SEQUENCE_NODE ||
        node->data.sequence.items.top == node->data.sequence.items.start) {
        enf_reader_expected(reader, node, "a list of names of events");
        return;
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        const yaml_node_t *value = yaml_document_get_node(reader->document, *item);
        const char *text = enf_value_text(value);
        size_t mark = enf_reader_enter(reader, "[%zu]", (size_t)(item - node->data.sequence.items.start));
        enum enf_event_action action;

        if (text == NULL || enf_event_action_from_name(text, &action) < 0)
            enf_reader_expected(reader, value, "the name of an event, like quarantined");
        else
            bits |= UINT64_C(1) << action;
        enf_reader_leave(reader, mark);
    }
    enf_reader_store(ENF_ROW_AT(row, base), row->size, bits);
}

static const struct enf_row sink_rows[] = {
    {.key = "type",
     .read = enf_read_choice,
     SINK(type),
     .required = "file, syslog or unix",
     .arg.choices = types},
    {.key = "path", .read = enf_read_path, SINK(path)},
    {.key = "transport", .read = enf_read_choice, SINK(transport), .arg.choices = transports},
    {.key = "address", .read = enf_read_address, SINK(address)},
    {.key = "port", .read = enf_read_number, SINK(port), .arg.range = {.min = 1, .max = UINT16_MAX}},
    {.key = "facility", .read = enf_read_choice, SINK(facility), .arg.choices = facilities},
    {.key = "format", .read = enf_read_choice, SINK(format), .arg.choices = formats},
    {.key = "actions", .read = enf_read_actions, SINK(actions)},
    {.key = "severity", .read = enf_read_choice, SINK(severity), .arg.choices = enf_severities},
};
static const struct enf_table sink_table = ENF_TABLE(sink_rows);

/* The key's value; complains where it is there although it means nothing, or is missing although it must be.
 */
static const yaml_node_t *look(struct enf_reader *reader, const yaml_node_t *node, const char *key, bool may,
                               const char *must, const char *where)
{
    const yaml_node_t *value = enf_document_get(reader->document, node, key);
    size_t mark = enf_reader_enter(reader, "%s", key);

    if (value != NULL && !may)
        enf_reader_error(reader, value, "expected only with %s, found it without", where);
    else if (value == NULL && must != NULL)
        enf_reader_error(reader, node, "expected %s, found no such key", must);
    enf_reader_leave(reader, mark);
    return value;
}

static void read_sink(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base)
{
    struct enf_event_sink *sink = base;

    (void)row;
    sink->facility = FACILITY_DAEMON;
    enf_reader_mapping(reader, node, &sink_table, base);
    if (node->type != YAML_MAPPING_NODE || enf_document_get(reader->document, node, "type") == NULL)
        return;
    bool syslog = sink->type == ENF_SINK_SYSLOG;
    bool net = syslog && sink->transport != ENF_TRANSPORT_LOCAL;

    look(reader, node, "path", !net, syslog ? NULL : "an absolute path", "transport local");
    look(reader, node, "transport", syslog, NULL, "type syslog");
    look(reader, node, "facility", syslog, NULL, "type syslog");
    look(reader, node, "address", net, net ? "the receiver's address" : NULL, "transport udp or tcp");
    look(reader, node, "port", net, NULL, "transport udp or tcp");
    if (net && sink->port == 0)
        sink->port = SYSLOG_PORT;
    if (syslog && !net && sink->path[0] == '\0')
        enf_text_copy(sink->path, sizeof(sink->path), SYSLOG_SOCKET);
    if (sink->type != ENF_SINK_FILE && strlen(sink->path) > ENF_SOCKET_PATH_MAX) {
        size_t mark = enf_reader_enter(reader, "path");
        enf_reader_error(reader, enf_document_get(reader->document, node, "path"),
                         "expected the path of a socket, of at most %d bytes, found %zu bytes",
                         ENF_SOCKET_PATH_MAX, strlen(sink->path));
        enf_reader_leave(reader, mark);
    }
}

static const struct enf_list sink_list = {
    .item = {.read = read_sink},
    .expected = "a list of event sinks",
    .item_size = sizeof(struct enf_event_sink),
    .len_offset = offsetof(struct enf_draft, config.events_len),
    .max = ENF_EVENT_SINKS_MAX,
};
static const struct enf_row sinks_row = {ENF_ROW_ARRAY(struct enf_draft, config.events),
                                         .arg.list = &sink_list};

void enf_read_sinks(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base)
{
    (void)row;
    enf_read_list(reader, node, &sinks_row, base);
}

static bool same_target(const struct enf_event_sink *a, const struct enf_event_sink *b)
{
    if (a->type != b->type || a->transport != b->transport)
        return false;
    if (a->type == ENF_SINK_SYSLOG && a->transport != ENF_TRANSPORT_LOCAL)
        return a->port == b->port && enf_addr_equal(&a->address, &b->address);
    return strcmp(a->path, b->path) == 0;
}

static bool has_target(const struct enf_event_sink *sink)
{
    return sink->path[0] != '\0' || sink->address.family != ENF_FAMILY_NONE;
}

void enf_sinks_check(struct enf_reader *reader, const struct enf_config *config)
{
    for (size_t i = 1; i < config->events_len; i++) {
        const struct enf_event_sink *sink = &config->events[i];
        bool file = sink->type == ENF_SINK_FILE;
        char path[64];
        size_t j = 0;

        while (j < i && !same_target(&config->events[j], sink))
            j++;
        if (j == i || !has_target(sink))
            continue;
        snprintf(path, sizeof(path), "events[%zu]%s", i, sink->path[0] ? ".path" : ".address");
        enf_reader_error_at(reader, path, "expected a %s of its own, found that of events[%zu]",
                            file ? "file" : "receiver", j);
    }
}
