/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who answers for a relay, why it is there, and until when. */
#include "enforcer/config/relay.h"

#include "enforcer/config/value.h"
#include "enforcer/core/text.h"

#include <string.h>

void enf_read_words(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row, void *base)
{
    const char *text = enf_value_text(node);
    size_t len = text ? strlen(text) : 0;
    bool good = len > 0 && len < row->size;

    for (size_t i = 0; good && i < len; i++)
        good = (unsigned char)text[i] >= ' ' && text[i] != 0x7f;
    if (good)
        memcpy(ENF_ROW_AT(row, base), text, len + 1);
    else
        enf_reader_expected(reader, node, "1 to %zu bytes of text", row->size - 1);
}

void enf_read_expiry(struct enf_reader *reader, const yaml_node_t *node, const struct enf_row *row,
                     void *base)
{
    const char *text = enf_value_text(node);
    uint64_t time_ms = 0;

    if (text && enf_expiry_parse(text, &time_ms) == 0 && time_ms > 0)
        enf_reader_store(ENF_ROW_AT(row, base), row->size, time_ms);
    else
        enf_reader_expected(reader, node, "a date like 2027-01-31, or a time like 2027-01-31T12:00:00Z");
}
