/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of the file's top level, as one table. Groups, detector settings and quarantine have files of
 * their own. */
#include "enforcer/config/options.h"

#include "enforcer/config/relay.h"

#include "enforcer/config/quarantine.h"
#include "enforcer/config/sinks.h"
#include "enforcer/config/value.h"
#include "enforcer/core/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_MS 1000ULL
#define DAY_MS    (86400 * SECOND_MS)

#define CONFIG(member)       ENF_ROW_FIELD(struct enf_draft, config.member)
#define CONFIG_ARRAY(member) ENF_ROW_ARRAY(struct enf_draft, config.member)

static const struct enf_choice modes[] = {
    {"enforce", ENF_MODE_ENFORCE, false},
    {"observe", ENF_MODE_OBSERVE, false},
    {NULL},
};
static const struct enf_choice antispoofs[] = {
    {"strict", ENF_ANTISPOOF_STRICT, false},
    {"groups", ENF_ANTISPOOF_GROUPS, false},
    {"off", ENF_ANTISPOOF_OFF, false},
    {NULL},
};
static const struct enf_choice fails[] = {
    {"closed", ENF_FAIL_CLOSED, false},
    {"open", ENF_FAIL_OPEN, false},
    {NULL},
};
static const struct enf_list subscriber_list = {
    .item = {.read = enf_read_interface, .arg.text.special = true},
    .expected = "a list of interface names",
    .item_size = sizeof(struct enf_interface),
    .len_offset = offsetof(struct enf_draft, config.interfaces.subscriber_len),
    .max = ENF_INTERFACES_MAX,
};
static const struct enf_list upstream_list = {
    .item = {.read = enf_read_interface, .arg.text.special = true},
    .expected = "a list of interface names",
    .item_size = sizeof(struct enf_interface),
    .len_offset = offsetof(struct enf_draft, config.interfaces.upstream_len),
    .max = ENF_INTERFACES_MAX,
};
static const struct enf_row interface_rows[] = {
    {.key = "subscriber",
     .read = enf_read_list,
     CONFIG_ARRAY(interfaces.subscriber),
     .arg.list = &subscriber_list},
    {.key = "upstream", .read = enf_read_list, CONFIG_ARRAY(interfaces.upstream), .arg.list = &upstream_list},
};
static const struct enf_table interface_table = ENF_TABLE(interface_rows);

static const struct enf_list relay_addresses = {
    .item = {.read = enf_read_prefix},
    .expected = "a list of addresses and prefixes",
    .item_size = sizeof(struct enf_prefix),
    .len_offset = offsetof(struct enf_relay, addresses_len),
    .min = 1,
    .max = ENF_ADDRESSES_MAX,
};
static const struct enf_row relay_rows[] = {
    {.key = "name", .read = enf_read_name, ENF_ROW_FIELD(struct enf_relay, name)},
    {.key = "addresses",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_relay, addresses),
     .required = "a list of addresses and prefixes",
     .arg.list = &relay_addresses},
    {.key = "interface", .read = enf_read_interface, ENF_ROW_FIELD(struct enf_relay, interface)},
    {.key = "owner", .read = enf_read_words, ENF_ROW_FIELD(struct enf_relay, owner)},
    {.key = "reason", .read = enf_read_words, ENF_ROW_FIELD(struct enf_relay, reason)},
    {.key = "expires", .read = enf_read_expiry, ENF_ROW_FIELD(struct enf_relay, expires_ms)},
};
static const struct enf_table relay_table = ENF_TABLE(relay_rows);
static const struct enf_list relay_list = {
    .item = {.read = enf_read_section, .arg.table = &relay_table},
    .expected = "a list of relays",
    .item_size = sizeof(struct enf_relay),
    .len_offset = offsetof(struct enf_draft, config.relays_len),
    .max = ENF_RELAYS_MAX,
};

static const struct enf_row relay_policy_rows[] = {
    {.key = "unused", .read = enf_read_duration, CONFIG(relay_policy.unused_ms)},
    {.key = "lapse", .read = enf_read_bool, CONFIG(relay_policy.lapse)},
};
static const struct enf_table relay_policy_table = ENF_TABLE(relay_policy_rows);

static const struct enf_list smarthost_addresses = {
    .item = {.read = enf_read_prefix},
    .expected = "a list of addresses and prefixes",
    .item_size = sizeof(struct enf_prefix),
    .len_offset = offsetof(struct enf_smarthost, addresses_len),
    .min = 1,
    .max = ENF_ADDRESSES_MAX,
};
static const struct enf_row smarthost_rows[] = {
    {.key = "name", .read = enf_read_name, ENF_ROW_FIELD(struct enf_smarthost, name)},
    {.key = "addresses",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_smarthost, addresses),
     .required = "a list of addresses and prefixes",
     .arg.list = &smarthost_addresses},
    {.key = "quarantined_may_use",
     .read = enf_read_bool,
     ENF_ROW_FIELD(struct enf_smarthost, quarantined_may_use)},
};
static const struct enf_table smarthost_table = ENF_TABLE(smarthost_rows);
static const struct enf_list smarthost_list = {
    .item = {.read = enf_read_section, .arg.table = &smarthost_table},
    .expected = "a list of smarthosts",
    .item_size = sizeof(struct enf_smarthost),
    .len_offset = offsetof(struct enf_draft, config.smarthosts_len),
    .max = ENF_SMARTHOSTS_MAX,
};

static const struct enf_row inbound_rows[] = {
    {.key = "drop_source_port_25", .read = enf_read_bool, CONFIG(inbound.drop_source_port_25)},
    {.key = "stateless", .read = enf_read_bool, CONFIG(inbound.stateless)},
    {.key = "bogons", .read = enf_read_path, CONFIG(inbound.bogons), .arg.text.special = true},
};
static const struct enf_table inbound_table = ENF_TABLE(inbound_rows);

static const struct enf_row queue_rows[] = {
    {.key = "first",
     .read = enf_read_number,
     CONFIG(queue.first),
     .arg.range = {.min = 0, .max = UINT16_MAX}},
    {.key = "count",
     .read = enf_read_number,
     CONFIG(queue.count),
     .arg.range = {.min = 1, .max = ENF_WORKERS_MAX}},
    {.key = "fail", .read = enf_read_choice, CONFIG(queue.fail), .arg.choices = fails},
};
static const struct enf_table queue_table = ENF_TABLE(queue_rows);

static const struct enf_list admin_list = {
    .item = {.read = enf_read_principal},
    .expected = "a list of users and @groups",
    .item_size = sizeof(struct enf_principal),
    .len_offset = offsetof(struct enf_draft, config.control.admins_len),
    .max = ENF_PRINCIPALS_MAX,
};
static const struct enf_list viewer_list = {
    .item = {.read = enf_read_principal},
    .expected = "a list of users and @groups",
    .item_size = sizeof(struct enf_principal),
    .len_offset = offsetof(struct enf_draft, config.control.viewers_len),
    .max = ENF_PRINCIPALS_MAX,
};
static const struct enf_list portal_list = {
    .item = {.read = enf_read_principal},
    .expected = "a list of users and @groups",
    .item_size = sizeof(struct enf_principal),
    .len_offset = offsetof(struct enf_draft, config.control.portal_len),
    .max = ENF_PRINCIPALS_MAX,
};
static const struct enf_row control_rows[] = {
    {.key = "socket", .read = enf_read_path, CONFIG(control.socket), .arg.text.max = ENF_SOCKET_PATH_MAX},
    {.key = "admins", .read = enf_read_list, CONFIG_ARRAY(control.admins), .arg.list = &admin_list},
    {.key = "viewers", .read = enf_read_list, CONFIG_ARRAY(control.viewers), .arg.list = &viewer_list},
    {.key = "portal", .read = enf_read_list, CONFIG_ARRAY(control.portal), .arg.list = &portal_list},
};
static const struct enf_table control_table = ENF_TABLE(control_rows);

/* "127.0.0.1:9825" or "[::1]:9825"; null: nowhere. */
static void read_listen(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                        void *base)
{
    struct enf_draft *draft = base;
    const char *text = enf_value_text(node), *colon = text ? strrchr(text, ':') : NULL;
    char host[64] = "", *end = NULL;
    struct enf_addr address;

    (void)row;
    if (enf_document_is_null(node))
        return;
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (len > 0 && len < sizeof(host))
        snprintf(host, sizeof(host), "%.*s", (int)(brackets ? len - 2 : len), text + (brackets ? 1 : 0));
    unsigned long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 0;
    if (enf_addr_parse(host, &address) < 0 || brackets != (address.family == ENF_FAMILY_V6) || !end || *end ||
        port < 1 || port > UINT16_MAX) {
        enf_reader_expected(reader, node, "an address and a port, as 127.0.0.1:9825 or \"[::1]:9825\"");
        return;
    }
    draft->config.metrics.address = address;
    draft->config.metrics.port = (uint16_t)port;
}
static const struct enf_row metrics_rows[] = {{.key = "listen", .read = read_listen}};
static const struct enf_table metrics_table = ENF_TABLE(metrics_rows);

static void read_metrics(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                         void *base)
{
    (void)row;
    if (!enf_document_is_null(node))
        enf_reader_mapping(reader, node, &metrics_table, base);
}

static const struct enf_row option_rows[] = {
    {.key = "mode", .read = enf_read_choice, CONFIG(mode), .arg.choices = modes},
    {.key = "interfaces", .read = enf_read_section, .arg.table = &interface_table},
    {.key = "relays", .read = enf_read_list, CONFIG_ARRAY(relays), .arg.list = &relay_list},
    {.key = "relay_policy", .read = enf_read_section, .arg.table = &relay_policy_table},
    {.key = "smarthosts", .read = enf_read_list, CONFIG_ARRAY(smarthosts), .arg.list = &smarthost_list},
    {.key = "groups", .read = enf_read_groups, ENF_ROW_ARRAY(struct enf_draft, groups)},
    {.key = "detector", .read = enf_read_detector_global, ENF_ROW_FIELD(struct enf_draft, detector)},
    {.key = "quarantine", .read = enf_read_quarantine},
    {.key = "inbound", .read = enf_read_section, .arg.table = &inbound_table},
    {.key = "antispoof", .read = enf_read_choice, CONFIG(antispoof), .arg.choices = antispoofs},
    {.key = "queue", .read = enf_read_section, .arg.table = &queue_table},
    {.key = "control", .read = enf_read_section, .arg.table = &control_table},
    {.key = "events", .read = enf_read_sinks},
    {.key = "hooks", .read = enf_read_hooks},
    {.key = "report", .read = enf_read_report},
    {.key = "aggregate", .read = enf_read_duration, CONFIG(aggregate_ms), .arg.range.max = DAY_MS},
    {.key = "state", .read = enf_read_path, CONFIG(state)},
    {.key = "metrics", .read = read_metrics},
};
static const struct enf_table option_table = ENF_TABLE(option_rows);

void enf_options_defaults(struct enf_reader *reader, struct enf_draft *draft)
{
    struct enf_config *config = &draft->config;

    config->mode = ENF_MODE_ENFORCE;
    config->relay_policy.unused_ms = 30 * DAY_MS;
    draft->detector.max_subscribers = 1000000;
    enf_quarantine_defaults(config);
    config->inbound.drop_source_port_25 = true;
    config->queue.count = 1;
    config->queue.fail = ENF_FAIL_CLOSED;
    enf_text_copy(config->control.socket, sizeof(config->control.socket), "/run/enforcer/control.sock");
    config->control.admins = enf_reader_alloc(reader, &reader->keep, 1, sizeof(*config->control.admins));
    if (config->control.admins != NULL) {
        enf_text_copy(config->control.admins[0].name, ENF_NAME_LEN, "root");
        config->control.admins_len = 1;
    }
    config->events = enf_reader_alloc(reader, &reader->keep, 1, sizeof(*config->events));
    if (config->events != NULL) {
        enf_text_copy(config->events[0].path, ENF_PATH_LEN, "/var/log/enforcer/events.json");
        config->events_len = 1;
    }
    config->aggregate_ms = 60 * SECOND_MS;
    enf_text_copy(config->state, sizeof(config->state), "/var/lib/enforcer");
}

void enf_options_read(struct enf_reader *reader, struct enf_draft *draft)
{
    const yaml_node_t *root = yaml_document_get_root_node(reader->document);
    struct enf_config *config = &draft->config;

    if (root == NULL) {
        enf_error_list_add(reader->errors, 1, ENF_DOCUMENT_KEY, "expected a mapping, found nothing");
        return;
    }
    enf_reader_mapping(reader, root, &option_table, draft);
    config->max_subscribers = draft->detector.max_subscribers;
    /* Strict needs to know which interfaces are the subscribers'. */
    if (enf_document_get(reader->document, root, "antispoof") == NULL)
        config->antispoof = config->interfaces.subscriber_len > 0 ? ENF_ANTISPOOF_STRICT : ENF_ANTISPOOF_OFF;
}
