/* SPDX-License-Identifier: GPL-2.0-or-later */
/* YAML text into libyaml's tree of nodes, with everything refused that a configuration has no use for. */
#include "enforcer/config/document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the first pass over the events has seen. */
struct scan {
    struct enf_error_list *errors;
    size_t depth;
    size_t nodes;
    size_t documents;
    bool refused;
};

static void parser_open(yaml_parser_t *parser, const char *text, size_t len)
{
    yaml_parser_set_input_string(parser, (const unsigned char *)(text != NULL ? text : ""), len);
    /* Not left to a guess: UTF-16 would give the same text a second spelling. */
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
}

static size_t line_of_offset(const char *text, size_t len, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < len && i < offset; i++)
        line += text[i] == '\n' ? 1 : 0;
    return line;
}

/* Reports why libyaml stopped. */
static int parser_fault(struct enf_error_list *errors, const yaml_parser_t *parser, const char *text,
                        size_t len)
{
    const char *problem = parser->problem != NULL ? parser->problem : "unknown";
    size_t line = parser->problem_mark.line + 1;

    if (parser->error == YAML_MEMORY_ERROR ||
        parser->error == YAML_NO_ERROR) /* libyaml says not always why */
        return -ENOMEM;
    if (parser->error == YAML_READER_ERROR)
        line = line_of_offset(text, len, parser->problem_offset);
    if (parser->context != NULL)
        enf_error_list_add(errors, line, ENF_DOCUMENT_KEY,
                           "expected valid YAML, found a fault: %s (%s that begins on line %zu)", problem,
                           parser->context, parser->context_mark.line + 1);
    else
        enf_error_list_add(errors, line, ENF_DOCUMENT_KEY, "expected valid YAML, found a fault: %s", problem);
    return -EINVAL;
}

static void scan_refuse(struct scan *scan, const yaml_event_t *event, const char *expected, const char *found,
                        const yaml_char_t *name)
{
    char buf[ENF_QUOTE_LEN];
    const char *text = name != NULL ? (const char *)name : "";

    scan->refused = true;
    enf_error_list_add(scan->errors, event->start_mark.line + 1, ENF_DOCUMENT_KEY, "expected %s, found %s%s",
                       expected, found, enf_error_quote(buf, sizeof(buf), text, strlen(text)));
}

static void scan_node(struct scan *scan, const yaml_event_t *event, const yaml_char_t *anchor,
                      const yaml_char_t *tag)
{
    if (anchor != NULL)
        scan_refuse(scan, event, "no anchors", "&", anchor);
    /* A lone "!" says only that the scalar is text. */
    if (tag != NULL && strcmp((const char *)tag, "!") != 0)
        scan_refuse(scan, event, "no tags", "", tag);
    if (++scan->nodes == ENF_DOCUMENT_NODES_MAX + 1)
        enf_error_list_add(scan->errors, event->start_mark.line + 1, ENF_DOCUMENT_KEY,
                           "expected at most %d keys and values, found more", ENF_DOCUMENT_NODES_MAX);
}

static void scan_open(struct scan *scan, const yaml_event_t *event)
{
    if (++scan->depth == ENF_DOCUMENT_DEPTH_MAX + 1)
        enf_error_list_add(scan->errors, event->start_mark.line + 1, ENF_DOCUMENT_KEY,
                           "expected at most %d levels of nesting, found more", ENF_DOCUMENT_DEPTH_MAX);
}

static void scan_event(struct scan *scan, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++scan->documents == 2)
            scan_refuse(scan, event, "one document", "a second one", NULL);
        break;
    case YAML_ALIAS_EVENT:
        scan_refuse(scan, event, "no aliases", "*", event->data.alias.anchor);
        break;
    case YAML_SCALAR_EVENT:
        scan_node(scan, event, event->data.scalar.anchor, event->data.scalar.tag);
        break;
    case YAML_SEQUENCE_START_EVENT:
        scan_node(scan, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        scan_open(scan, event);
        break;
    case YAML_MAPPING_START_EVENT:
        scan_node(scan, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        scan_open(scan, event);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        scan->depth--;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

/* First pass: the tree does not tell an alias from a copy, and is only built once its size is known. */
static int document_scan(struct enf_error_list *errors, const char *text, size_t len)
{
    struct scan scan = {.errors = errors};
    yaml_parser_t parser;
    yaml_event_t event;
    bool more = true;
    int ret = 0;

    if (yaml_parser_initialize(&parser) == 0)
        return -ENOMEM;
    parser_open(&parser, text, len);
    while (more && ret == 0) {
        if (yaml_parser_parse(&parser, &event) == 0) {
            ret = parser_fault(errors, &parser, text, len);
            break;
        }
        scan_event(&scan, &event);
        more = event.type != YAML_STREAM_END_EVENT;
        if (scan.depth > ENF_DOCUMENT_DEPTH_MAX || scan.nodes > ENF_DOCUMENT_NODES_MAX)
            ret = -EINVAL;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return ret == 0 && scan.refused ? -EINVAL : ret;
}

int enf_document_load(struct enf_error_list *errors, const char *text, size_t len, yaml_document_t *out)
{
    yaml_parser_t parser;
    yaml_document_t document;
    int ret;

    if (len > ENF_CONFIG_TEXT_MAX) {
        enf_error_list_add(errors, 1, ENF_DOCUMENT_KEY, "expected at most %u bytes, found %zu",
                           ENF_CONFIG_TEXT_MAX, len);
        return -EINVAL;
    }
    /* A byte order mark, as some editors leave it. */
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    ret = document_scan(errors, text, len);
    if (ret < 0)
        return ret;
    if (yaml_parser_initialize(&parser) == 0)
        return -ENOMEM;
    parser_open(&parser, text, len);
    if (yaml_parser_load(&parser, &document) == 0)
        ret = parser_fault(errors, &parser, text, len);
    else
        *out = document;
    yaml_parser_delete(&parser);
    return ret;
}

size_t enf_document_line(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

const char *enf_document_text(const yaml_node_t *node, size_t *len)
{
    if (node->type != YAML_SCALAR_NODE)
        return NULL;
    *len = node->data.scalar.length;
    return (const char *)node->data.scalar.value;
}

bool enf_document_is_null(const yaml_node_t *node)
{
    static const char *const names[] = {"", "~", "null", "Null", "NULL"};
    size_t len = 0;
    const char *text = enf_document_text(node, &len);

    if (text == NULL || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (len == strlen(names[i]) && memcmp(text, names[i], len) == 0)
            return true;
    }
    return false;
}

static const yaml_node_t *mapping_get(yaml_document_t *document, const yaml_node_t *node, const char *key,
                                      size_t key_len)
{
    if (node == NULL || node->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *name = yaml_document_get_node(document, pair->key);
        size_t len = 0;
        const char *text = enf_document_text(name, &len);

        if (text != NULL && len == key_len && memcmp(text, key, len) == 0)
            return yaml_document_get_node(document, pair->value);
    }
    return NULL;
}

const yaml_node_t *enf_document_get(yaml_document_t *document, const yaml_node_t *node, const char *key)
{
    return mapping_get(document, node, key, strlen(key));
}

static const yaml_node_t *sequence_get(yaml_document_t *document, const yaml_node_t *node, size_t index)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return NULL;
    if (index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
        return NULL;
    return yaml_document_get_node(document, node->data.sequence.items.start[index]);
}

const yaml_node_t *enf_document_find(yaml_document_t *document, const char *path)
{
    const yaml_node_t *node = yaml_document_get_root_node(document);

    while (*path != '\0') {
        const yaml_node_t *next;

        if (*path == '[') {
            char *end;

            next = sequence_get(document, node, strtoul(path + 1, &end, 10));
            path = end + 1;
        } else {
            path += *path == '.' ? 1 : 0;
            size_t len = strcspn(path, ".[");

            next = mapping_get(document, node, path, len);
            path += len;
        }
        if (next == NULL)
            return node;
        node = next;
    }
    return node;
}

const char *enf_document_describe(const yaml_node_t *node, char *buf, size_t buf_len)
{
    char quoted[ENF_QUOTE_LEN];
    size_t len = 0;
    const char *text = enf_document_text(node, &len);

    if (text == NULL)
        snprintf(buf, buf_len, "%s", node->type == YAML_MAPPING_NODE ? "a mapping" : "a list");
    else if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        snprintf(buf, buf_len, "\"%s\"", enf_error_quote(quoted, sizeof(quoted), text, len));
    else if (len == 0)
        snprintf(buf, buf_len, "nothing");
    else
        snprintf(buf, buf_len, "%s", enf_error_quote(quoted, sizeof(quoted), text, len));
    return buf;
}
