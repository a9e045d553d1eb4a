/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks the YAML tree under tables with a row an option, and keeps the path of keys that errors name. */
#include "enforcer/config/reader.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct enf_block {
    struct enf_block *next;
    max_align_t data[];
};

void *enf_reader_alloc(struct enf_reader *reader, struct enf_block **arena, size_t count, size_t size)
{
    struct enf_block *block;

    if (count == 0)
        return NULL;
    if (count > (SIZE_MAX - sizeof(*block)) / size ||
        (block = calloc(1, sizeof(*block) + count * size)) == NULL) {
        reader->errors->oom = true;
        return NULL;
    }
    block->next = *arena;
    *arena = block;
    return block->data;
}

void enf_arena_free(struct enf_block **arena)
{
    while (*arena != NULL) {
        struct enf_block *block = *arena;

        *arena = block->next;
        free(block);
    }
}

static const char *path_or_document(const char *path)
{
    return path[0] != '\0' ? path : ENF_DOCUMENT_KEY;
}

void enf_reader_error(struct enf_reader *reader, const yaml_node_t *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    enf_error_list_vadd(reader->errors, enf_document_line(node), path_or_document(reader->path), format,
                        args);
    va_end(args);
}

void enf_reader_error_at(struct enf_reader *reader, const char *path, const char *format, ...)
{
    const yaml_node_t *node = enf_document_find(reader->document, path);
    va_list args;

    va_start(args, format);
    enf_error_list_vadd(reader->errors, enf_document_line(node), path_or_document(path), format, args);
    va_end(args);
}

void enf_reader_expected(struct enf_reader *reader, const yaml_node_t *node, const char *format, ...)
{
    char expected[512];
    char found[ENF_DESCRIBE_LEN];
    va_list args;

    va_start(args, format);
    vsnprintf(expected, sizeof(expected), format, args);
    va_end(args);
    enf_reader_error(reader, node, "expected %s, found %s", expected,
                     enf_document_describe(node, found, sizeof(found)));
}

size_t enf_reader_enter(struct enf_reader *reader, const char *format, ...)
{
    size_t mark = reader->path_len;
    size_t used = mark;
    va_list args;

    if (mark > 0 && format[0] != '[' && used + 1 < sizeof(reader->path))
        reader->path[used++] = '.';
    va_start(args, format);
    vsnprintf(reader->path + used, sizeof(reader->path) - used, format, args);
    va_end(args);
    reader->path_len = strlen(reader->path);
    return mark;
}

void enf_reader_leave(struct enf_reader *reader, size_t mark)
{
    reader->path_len = mark;
    reader->path[mark] = '\0';
}

void enf_reader_store(void *member, size_t size, uint64_t value)
{
    uint8_t u8 = (uint8_t)value;
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;

    switch (size) {
    case 1:
        memcpy(member, &u8, size);
        break;
    case 2:
        memcpy(member, &u16, size);
        break;
    case 4:
        memcpy(member, &u32, size);
        break;
    default:
        assert(size == 8);
        memcpy(member, &value, sizeof(value));
        break;
    }
}

static size_t table_find(const struct enf_table *table, const yaml_node_t *key)
{
    size_t len = 0;
    const char *text = enf_document_text(key, &len);
    size_t i = 0;

    while (i < table->len &&
           (text == NULL || len != strlen(table->rows[i].key) || memcmp(text, table->rows[i].key, len) != 0))
        i++;
    return i;
}

static void unknown_key(struct enf_reader *reader, const yaml_node_t *key, const struct enf_table *table)
{
    char known[512];
    size_t used = 0;

    for (size_t i = 0; i < table->len && used < sizeof(known); i++) {
        const char *before = i == 0 ? "" : i + 1 == table->len ? " or " : ", ";

        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", before, table->rows[i].key);
    }
    enf_reader_error(reader, key, "expected the key %s, found an unknown one", known);
}

static void missing_keys(struct enf_reader *reader, const yaml_node_t *node, const struct enf_table *table,
                         const size_t seen[])
{
    for (size_t i = 0; i < table->len; i++) {
        const struct enf_row *row = &table->rows[i];

        if (seen[i] != 0 || row->required == NULL)
            continue;
        size_t mark = enf_reader_enter(reader, "%s", row->key);
        enf_reader_error(reader, node, "expected %s, found no such key", row->required);
        enf_reader_leave(reader, mark);
    }
}

void enf_reader_mapping(struct enf_reader *reader, const yaml_node_t *node, const struct enf_table *table,
                        void *base)
{
    size_t seen[ENF_ROWS_MAX] = {0}; /* by row: the line of its key */

    assert(table->len <= ENF_ROWS_MAX);
    if (node->type != YAML_MAPPING_NODE) {
        enf_reader_expected(reader, node, "a mapping");
        return;
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(reader->document, pair->value);
        size_t i = table_find(table, key);
        char name[ENF_DESCRIBE_LEN];
        const char *shown =
            i < table->len ? table->rows[i].key : enf_document_describe(key, name, sizeof(name));
        size_t mark = enf_reader_enter(reader, "%s", shown);

        if (i == table->len) {
            unknown_key(reader, key, table);
        } else if (seen[i] != 0) {
            enf_reader_error(reader, key,
                             "expected each key once, found it a second time (first on line %zu)", seen[i]);
        } else {
            seen[i] = enf_document_line(key);
            table->rows[i].read(reader, value, &table->rows[i], base);
        }
        enf_reader_leave(reader, mark);
    }
    missing_keys(reader, node, table, seen);
}

void enf_read_section(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base)
{
    enf_reader_mapping(reader, node, row->arg.table, ENF_ROW_AT(row, base));
}

/* The array that the items go to, and its length written down; NULL where there is nothing to read. */
static char *list_open(struct enf_reader *reader, const struct enf_row *row, void *base, size_t len)
{
    const struct enf_list *list = row->arg.list;
    void *items;

    if (list->in_place) {
        items = ENF_ROW_AT(row, base);
        memset(items, 0, row->size);
    } else {
        items = enf_reader_alloc(reader, list->temp ? &reader->temp : &reader->keep, len, list->item_size);
        len = items != NULL ? len : 0;
        memcpy(ENF_ROW_AT(row, base), &items, sizeof(items)); /* no cast between pointer types */
    }
    memcpy((char *)base + list->len_offset, &len, sizeof(len));
    return len > 0 ? items : NULL;
}

void enf_read_list(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base)
{
    const struct enf_list *list = row->arg.list;
    bool empty = list->null_is_empty && enf_document_is_null(node);
    size_t len = 0;

    if (node->type == YAML_SEQUENCE_NODE)
        len = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    else if (!empty) {
        enf_reader_expected(reader, node, "%s", list->expected);
        return;
    }
    if (len > list->max) {
        enf_reader_error(reader, node, "expected at most %zu entries, found %zu", list->max, len);
        len = list->max;
    } else if (len < list->min) {
        enf_reader_error(reader, node, "expected %s, found none", list->expected);
    }

    char *items = list_open(reader, row, base, len);
    if (items == NULL)
        return;
    for (size_t i = 0; i < len; i++) {
        const yaml_node_t *item =
            yaml_document_get_node(reader->document, node->data.sequence.items.start[i]);
        size_t mark = enf_reader_enter(reader, "[%zu]", i);

        list->item.read(reader, item, &list->item, items + i * list->item_size);
        enf_reader_leave(reader, mark);
    }
}
