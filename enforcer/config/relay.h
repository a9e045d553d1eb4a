/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Row readers for what people say about a relay. Private to config/. */
#pragma once

#include "enforcer/config/reader.h"

/* Words for people, into a char array: 1 to as many bytes as it holds, no control characters. */
void enf_read_words(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                    void *base);
/* A date (the end of that day, UTC) or a time of RFC 3339 in UTC, into milliseconds of the wall clock. */
void enf_read_expiry(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base);
