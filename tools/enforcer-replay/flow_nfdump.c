/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nfdump -o csv: flows of one direction, their flags those of one side. */
#include "flow_columns.h"

#include "enforcer/inspect/packet.h"

static void read_flags(struct facts *facts)
{
    uint8_t flags;
    if (!text_flags(facts->fields[FLOW_FIELD_FLAGS], &flags) || flags == 0)
        return;
    facts->syn = (flags & ENF_TCP_SYN) ? SYN_SEEN : SYN_NOT_SEEN;
    /* A client acknowledges only what was answered. */
    if (flags & ENF_TCP_ACK)
        facts->outcome = FLOW_OUTCOME_ANSWERED;
    else if (flags == ENF_TCP_SYN)
        facts->outcome = FLOW_OUTCOME_UNANSWERED;
}

enum flow_result nfdump_parse(struct flow_parser *parser, const char *line, size_t len, struct flow *out)
{
    struct facts facts = {.syn = SYN_UNKNOWN};
    struct text row = {line, len};
    /* A table begins with a header, wherever it stands; a summary ends it. */
    if (text_starts(row, "ts,") || text_starts(row, "firstSeen,") || text_starts(row, "cnt,")) {
        parser->in_summary = false;
        columns_read(parser, row);
        return FLOW_NOT_A_RECORD;
    }
    if (text_starts(row, "Summary"))
        parser->in_summary = true;
    if (parser->in_summary || text_starts(row, "No matched flows") || text_starts(row, "No matching flows"))
        return FLOW_NOT_A_RECORD;
    if (!parser->usable)
        return FLOW_OTHER;
    if (!columns_split(parser, row, facts.fields))
        return FLOW_BAD;
    read_flags(&facts);
    return facts_judge(&facts, out);
}
