/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parsers of flow records share: pieces of text into values, and a record's facts into a result. */
#pragma once

#include "flow.h"

struct text {
    const char *bytes; /* not terminated; may be NULL where len is 0 */
    size_t len;
};

struct text text_trim(struct text text);
bool text_is(struct text text, const char *word); /* whatever the case */
bool text_starts(struct text text, const char *word);
/* Decimal, nothing else. */
bool text_number(struct text text, uint64_t max, uint64_t *out);
bool text_addr(struct text text, struct enf_addr *out);
/* "2022-02-08T11:36:28.475501-0500" (T or a blank; fraction and offset may be missing: then it is UTC), or
 * seconds since 1970, or milliseconds where that number is too large for seconds. */
bool text_time(struct text text, uint64_t *out_ms);

enum syn {
    SYN_UNKNOWN,
    SYN_SEEN,
    SYN_NOT_SEEN, /* the record starts in the middle of a connection */
};

struct facts {
    struct text fields[FLOW_FIELD_COUNT];
    enum syn syn;
    enum flow_outcome outcome;
};

/* fields[] from FLOW_FIELD_TIME to FLOW_FIELD_PROTOCOL, syn and outcome are set. *out is written for
 * FLOW_CONNECTION; for FLOW_SMTP its session only. */
enum flow_result facts_judge(const struct facts *facts, struct flow *out);

enum session_body {
    SESSION_BODY_UNKNOWN,
    SESSION_BODY_NONE,
    SESSION_BODY_SENT,
};

/* One mail of a session, or a session without any. */
struct session_facts {
    struct text helo;
    struct text reply; /* the last one: code and text; may be empty */
    size_t recipients;
    bool first; /* of its session */
    bool mail;  /* a sender was named */
    enum session_body body;
};

/* facts as for facts_judge. FLOW_SESSION with *out, FLOW_OTHER or FLOW_BAD. */
enum flow_result session_judge(const struct facts *facts, const struct session_facts *session, uint64_t seed,
                               struct flow *out);

/* TCP flags as text (".AP.SF") or as a number (27, 0x1b). */
bool text_flags(struct text text, uint8_t *out);

/* The parsers of a line, by format. */
enum flow_result eve_parse(const struct flow_parser *parser, const char *line, size_t len, struct flow *out);
enum flow_result zeek_parse(struct flow_parser *parser, const char *line, size_t len, struct flow *out);
enum flow_result nfdump_parse(struct flow_parser *parser, const char *line, size_t len, struct flow *out);
