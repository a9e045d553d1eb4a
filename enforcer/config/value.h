/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Row readers for single values. Each says what it expects of row->arg and writes the row's member. */
#pragma once

#include "enforcer/config/reader.h"

/* arg.choices; an enum. */
void enf_read_choice(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base);
/* A bool: true or false. */
void enf_read_bool(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base);
/* arg.range; an unsigned number of any size. */
void enf_read_number(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base);
/* arg.fraction; a double. */
void enf_read_fraction(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                       void *base);
/* arg.range in ms (max 0: ENF_DURATION_MAX); a uint64_t of ms. */
void enf_read_duration(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                       void *base);
/* char[ENF_NAME_LEN]: a name for people; special: for nft too, so only a-z, 0-9, _ and -. */
void enf_read_name(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base);
/* char[]: an absolute path; special: may be relative or "". */
void enf_read_path(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base);
/* char[ENF_IFNAME_LEN + 1]; special: may end in `*`. */
void enf_read_interface(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                        void *base);
/* struct enf_principal. */
void enf_read_principal(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                        void *base);
/* struct enf_prefix. */
void enf_read_prefix(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base);
/* struct enf_addr. */
void enf_read_address(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                      void *base);
/* No member: `null` is accepted (special: `[]` too), all else is what a later version does; arg.text.expected
 * says what to write today. */
void enf_read_later(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                    void *base);

/* The scalar's text where it is one without zero bytes, else NULL. */
const char *enf_value_text(const yaml_node_t *node);
/* Reads a prefix and reports what is wrong with it: 0 or -EINVAL with *out untouched. */
int enf_value_prefix(struct enf_reader *reader, const yaml_node_t *node, struct enf_prefix *out);
