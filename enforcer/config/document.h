/* SPDX-License-Identifier: GPL-2.0-or-later */
/* YAML text into libyaml's tree of nodes, with everything refused that a configuration has no use for. */
#pragma once

#include "enforcer/config/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#define ENF_DOCUMENT_DEPTH_MAX 16         /* nested lists and mappings */
#define ENF_DOCUMENT_NODES_MAX 1000000    /* values, keys, lists and mappings: bounds the memory */
#define ENF_DOCUMENT_KEY       "document" /* the key named where an error is about the whole text */

/* Loads the one document of the text. Refused, as errors of the list: faults of syntax (one, with its line),
 * aliases and anchors, tags, more than one document, the caps above. 0 with *out set, for the caller to end
 * with yaml_document_delete; -EINVAL; -ENOMEM. */
int enf_document_load(struct enf_error_list *errors, const char *text, size_t len, yaml_document_t *out);

/* First line is 1. */
size_t enf_document_line(const yaml_node_t *node);
/* Text of a scalar (terminated, *len bytes, which may hold zeros), or NULL for another node. */
const char *enf_document_text(const yaml_node_t *node, size_t *len);
/* True for `null`, `~` and nothing at all, unquoted. */
bool enf_document_is_null(const yaml_node_t *node);
/* The value of key in a mapping, or NULL: also where node is NULL or no mapping. */
const yaml_node_t *enf_document_get(yaml_document_t *document, const yaml_node_t *node, const char *key);
/* The node that a path like "groups[1].prefixes[0]" leads to, or the last one on the way that exists. */
const yaml_node_t *enf_document_find(yaml_document_t *document, const char *path);
/* What node is, for "found …": the scalar as it is written, "a list", "null" …; returns buf. */
const char *enf_document_describe(const yaml_node_t *node, char *buf, size_t buf_len);
#define ENF_DESCRIBE_LEN (ENF_QUOTE_LEN + 4)
