/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks the YAML tree under tables with a row an option, and keeps the path of keys that errors name. */
#pragma once

#include "enforcer/config/document.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_KEY_PATH_LEN 320
#define ENF_ROWS_MAX     24 /* options of one section */

struct enf_block; /* one allocation of an arena */

struct enf_reader {
    yaml_document_t *document;
    struct enf_error_list *errors;
    struct enf_block *keep; /* what the finished configuration owns */
    struct enf_block *temp; /* what ends with the run */
    char path[ENF_KEY_PATH_LEN];
    size_t path_len;
};

struct enf_row;

/* Reads node into the row's member of the struct at base and reports what is wrong with it; what is wrong
 * leaves the member as it was. A run with errors never gives its configuration away, so nobody sees that. */
typedef void (*enf_read_fn)(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                            void *base);

/* A word of the file and the number that it stands for. */
struct enf_choice {
    const char *name; /* NULL ends the list */
    int value;
    bool later; /* known, not yet supported */
};

struct enf_table {
    const struct enf_row *rows;
    size_t len;
};

/* One option: where its value goes, who reads it, within what bounds. */
struct enf_row {
    const char *key;
    enf_read_fn read;
    size_t offset;
    size_t size;
    const char *required; /* what is expected where the key is missing; NULL: it may be */
    union {
        struct {
            uint64_t min;
            uint64_t max;
            uint64_t only; /* the one value supported so far; 0: all */
        } range;
        struct {
            double min;
            double max;
            const char *expected;
        } fraction;
        const struct enf_choice *choices;
        const struct enf_table *table;
        const struct enf_list *list;
        struct {
            const char *expected;
            size_t max;   /* bytes; 0: as many as the member holds */
            bool special; /* the reader's own: see value.h */
        } text;
    } arg;
};

/* A list of what `item` reads (at offset item.offset of each item). The row's member is a pointer to an array
 * of the arena, or, with `in_place`, the array itself; its length is the size_t at len_offset of the same
 * struct. */
struct enf_list {
    struct enf_row item;
    const char *expected; /* "a list of …" */
    size_t item_size;
    size_t len_offset;
    size_t min;
    size_t max;
    bool in_place;
    bool null_is_empty;
    bool temp;
};

#define ENF_ROW_FIELD(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
/* Of a member that a list's array is hung on: its size does not matter. */
#define ENF_ROW_ARRAY(type, member) .offset = offsetof(type, member)
#define ENF_TABLE(array)                                                                                     \
    {                                                                                                        \
        (array), sizeof(array) / sizeof((array)[0])                                                          \
    }
#define ENF_ROW_AT(row, base) ((void *)((char *)(base) + (row)->offset))

/* Zeroed memory for count items, or NULL: then the run is marked as out of memory, or count is 0. */
void *enf_reader_alloc(struct enf_reader *reader, struct enf_block **arena, size_t count, size_t size);
void enf_arena_free(struct enf_block **arena);

/* Reports an error at the current path, or at another one whose line is looked up. */
void enf_reader_error(struct enf_reader *reader, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void enf_reader_error_at(struct enf_reader *reader, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "expected EXPECTED, found …" with what node is. */
void enf_reader_expected(struct enf_reader *reader, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds to the path: "key" (a dot is put before it), "[index]" or "[key]". What enter returns is for leave. */
size_t enf_reader_enter(struct enf_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void enf_reader_leave(struct enf_reader *reader, size_t mark);

/* Stores an unsigned number into a member of 1, 2, 4 or 8 bytes. */
void enf_reader_store(void *member, size_t size, uint64_t value);

/* Reads a mapping by its table: unknown, double and missing keys are errors. */
void enf_reader_mapping(struct enf_reader *reader, const yaml_node_t *node, const struct enf_table *table,
                        void *base);

/* Row readers: a mapping by arg.table, a list by arg.list. */
void enf_read_section(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base);
void enf_read_list(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base);
