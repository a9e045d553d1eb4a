/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `hooks` list: programs that are run for events; and the `report` section: who signs a report. */
#include "enforcer/config/sinks.h"
#include "enforcer/config/value.h"

#include <stdio.h>
#include <string.h>

#define SECOND_MS   1000ULL
#define TIMEOUT_MS  (10 * SECOND_MS)
#define TIMEOUT_MAX (300 * SECOND_MS)

#define HOOK(member)   ENF_ROW_FIELD(struct enf_hook_config, member)
#define REPORT(member) ENF_ROW_FIELD(struct enf_draft, config.report.member)

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

/* char[]: a text of one line. */
static void read_text(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base)
{
    const char *text = enf_value_text(node);

    if (text == NULL || strlen(text) >= row->size || !is_printable(text) ||
        (text[0] == '\0' && !row->arg.text.special))
        enf_reader_expected(reader, node, "%s of at most %zu bytes", row->arg.text.expected, row->size - 1);
    else
        memcpy(ENF_ROW_AT(row, base), text, strlen(text) + 1);
}

static const struct enf_list word_list = {
    .item = {.read = read_text,
             .size = sizeof(struct enf_hook_word),
             .arg.text = {.expected = "a word", .special = true}},
    .expected = "a program and its arguments, as a list",
    .item_size = sizeof(struct enf_hook_word),
    .len_offset = offsetof(struct enf_hook_config, run_len),
    .min = 1,
    .max = ENF_HOOK_WORDS_MAX,
};

static const struct enf_row hook_rows[] = {
    {.key = "name", .read = enf_read_name, HOOK(name), .required = "a name"},
    {.key = "actions", .read = enf_read_actions, HOOK(actions)},
    {.key = "severity", .read = enf_read_choice, HOOK(severity), .arg.choices = enf_severities},
    {.key = "run",
     .read = enf_read_list,
     ENF_ROW_ARRAY(struct enf_hook_config, run),
     .required = "a program and its arguments, as a list",
     .arg.list = &word_list},
    {.key = "timeout",
     .read = enf_read_duration,
     HOOK(timeout_ms),
     .arg.range = {.min = SECOND_MS, .max = TIMEOUT_MAX}},
};
static const struct enf_table hook_table = ENF_TABLE(hook_rows);

static void read_hook(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base)
{
    const uint64_t own = UINT64_C(1) << ENF_EVENT_HOOK_FAILED | UINT64_C(1) << ENF_EVENT_HOOK_DROPPED;
    struct enf_hook_config *hook = base;
    size_t mark;

    (void)row;
    hook->timeout_ms = TIMEOUT_MS;
    enf_reader_mapping(reader, node, &hook_table, base);
    if (node->type != YAML_MAPPING_NODE)
        return;
    const yaml_node_t *actions = enf_document_get(reader->document, node, "actions");
    if (actions == NULL && enf_document_get(reader->document, node, "severity") == NULL)
        enf_reader_error(reader, node, "expected actions or severity, found neither");
    if (hook->actions & own) {
        mark = enf_reader_enter(reader, "actions");
        enf_reader_error(reader, actions,
                         "expected events that hooks do not cause themselves, found hook-failed or "
                         "hook-dropped");
        enf_reader_leave(reader, mark);
    }
    if (hook->run_len > 0 && hook->run[0].text[0] != '/') {
        mark = enf_reader_enter(reader, "run[0]");
        enf_reader_error(reader, enf_document_get(reader->document, node, "run"),
                         "expected the absolute path of a program");
        enf_reader_leave(reader, mark);
    }
}

static const struct enf_list hook_list = {
    .item = {.read = read_hook},
    .expected = "a list of hooks",
    .item_size = sizeof(struct enf_hook_config),
    .len_offset = offsetof(struct enf_draft, config.hooks_len),
    .max = ENF_HOOKS_MAX,
};
static const struct enf_row hooks_row = {ENF_ROW_ARRAY(struct enf_draft, config.hooks),
                                         .arg.list = &hook_list};

void enf_read_hooks(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base)
{
    (void)row;
    enf_read_list(reader, node, &hooks_row, base);
}

void enf_hooks_check(struct enf_reader *reader, const struct enf_config *config)
{
    for (size_t i = 1; i < config->hooks_len; i++) {
        char path[64];
        size_t j = 0;

        while (j < i && strcmp(config->hooks[j].name, config->hooks[i].name) != 0)
            j++;
        if (j == i || config->hooks[i].name[0] == '\0')
            continue;
        snprintf(path, sizeof(path), "hooks[%zu].name", i);
        enf_reader_error_at(reader, path,
                            "expected a name of its own, found %s, which is also hooks[%zu].name",
                            config->hooks[i].name, j);
    }
}

/* --- report --- */

#define HOST_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."

static bool is_domain(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && text[strspn(text, HOST_BYTES)] == '\0' && text[0] != '.' && text[0] != '-' &&
           text[len - 1] != '.' && strstr(text, "..") == NULL;
}

static void read_domain(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                        void *base)
{
    const char *text = enf_value_text(node);

    if (text == NULL || strlen(text) >= row->size || !is_domain(text))
        enf_reader_expected(reader, node, "a domain name, like example.net");
    else
        memcpy(ENF_ROW_AT(row, base), text, strlen(text) + 1);
}

/* What goes into a header as it is: no quoting, no comments. */
static void read_contact(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                         void *base)
{
    const char *text = enf_value_text(node);
    const char *at = text != NULL ? strchr(text, '@') : NULL;

    if (at == NULL || at == text || strlen(text) >= row->size ||
        strspn(text, HOST_BYTES "!#$%&'*+/=?^_`{|}~") != (size_t)(at - text) || !is_domain(at + 1))
        enf_reader_expected(reader, node, "a mail address, like abuse@example.net");
    else
        memcpy(ENF_ROW_AT(row, base), text, strlen(text) + 1);
}

static const struct enf_row report_rows[] = {
    {.key = "organisation",
     .read = read_text,
     REPORT(organisation),
     .required = "the name of an organisation",
     .arg.text.expected = "the name of an organisation"},
    {.key = "contact", .read = read_contact, REPORT(contact), .required = "a mail address"},
    {.key = "domain", .read = read_domain, REPORT(domain), .required = "a domain name"},
};
static const struct enf_table report_table = ENF_TABLE(report_rows);

void enf_read_report(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base)
{
    (void)row;
    enf_reader_mapping(reader, node, &report_table, base);
}
