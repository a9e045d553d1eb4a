/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flow records, line by line: what a line says of port 25. No I/O, no clock; any bytes are safe. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_LINE_MAX (1u << 20) /* bytes; longer lines are nobody's records */

enum flow_format {
    FLOW_FORMAT_NONE,
    FLOW_FORMAT_EVE,    /* Suricata, one JSON object a line */
    FLOW_FORMAT_ZEEK,   /* conn.log, smtp.log: tab separated with its header, or JSON: each line says which */
    FLOW_FORMAT_NFDUMP, /* comma separated, below a header of names */
};

/* How the connection went, as far as the record tells. */
enum flow_outcome {
    FLOW_OUTCOME_UNKNOWN,
    FLOW_OUTCOME_ANSWERED,   /* the server agreed */
    FLOW_OUTCOME_REFUSED,    /* reset at once */
    FLOW_OUTCOME_UNANSWERED, /* nothing came back */
};
#define FLOW_OUTCOME_COUNT 4

/* What a record says of a session, as bits: each becomes an observation (see observation.h). */
#define FLOW_SAYS_HELO        0x01
#define FLOW_SAYS_RECIPIENTS  0x02
#define FLOW_SAYS_BLOCKLISTED 0x04
#define FLOW_SAYS_ACCEPTED    0x08
#define FLOW_SAYS_REFUSED     0x10
#define FLOW_SAYS_DEFERRED    0x20
#define FLOW_SAYS_QUIT        0x40

struct flow {
    uint64_t start_ms;
    struct enf_addr source;
    struct enf_addr destination;
    uint16_t source_port;
    uint16_t destination_port;
    enum flow_outcome outcome;
    /* Stands for the initial sequence number that no record has. Different for two records that are two
     * connections; equal for a record that is there twice and, because probes split what goes unanswered, for
     * all attempts of one address and port pair that were not answered. */
    uint32_t sequence;
    uint64_t session; /* hash of the identifier that all records of the connection share; 0: none */
    /* Of FLOW_SESSION, else 0. */
    bool of_session;
    uint8_t says;        /* FLOW_SAYS_ bits */
    uint8_t helo_form;   /* enum enf_helo_form */
    uint16_t recipients; /* of this mail */
    uint64_t helo_hash;
};

enum flow_result {
    FLOW_NOT_A_RECORD, /* a header, a comment, a summary, an empty line */
    FLOW_OTHER,        /* a record that has nothing to do with port 25 */
    FLOW_SMTP,         /* of port 25, but no connection: an answer, or the rest of one that was split */
    FLOW_CONNECTION,
    FLOW_SESSION, /* what was said in a connection: one mail of it, or none */
    FLOW_BAD,     /* cannot be decoded */
};

enum flow_field {
    FLOW_FIELD_TIME,
    FLOW_FIELD_ID,
    FLOW_FIELD_SOURCE,
    FLOW_FIELD_SOURCE_PORT,
    FLOW_FIELD_DESTINATION,
    FLOW_FIELD_DESTINATION_PORT,
    FLOW_FIELD_PROTOCOL,
    FLOW_FIELD_STATE,
    FLOW_FIELD_HISTORY,
    FLOW_FIELD_FLAGS,
    FLOW_FIELD_DEPTH, /* from here on of sessions: which mail it is, from 1 on */
    FLOW_FIELD_HELO,
    FLOW_FIELD_MAIL,
    FLOW_FIELD_RECIPIENTS,
    FLOW_FIELD_REPLY, /* the last one */
    FLOW_FIELD_FILES, /* of the mail's body: empty where there was none */
};
#define FLOW_FIELD_COUNT 16

/* What the lines before said about those to come. Zero but for format, separator ('\t' or ',') is a start. */
struct flow_parser {
    enum flow_format format;
    char separator;
    uint64_t seed; /* of the hashes of names */
    char unset[16];
    char empty[16]; /* a set without members */
    char set_separator;
    bool usable;   /* a header named all fields that are needed */
    bool sessions; /* of records of sessions, not of connections */
    bool ever_usable;
    bool in_summary;                    /* behind the table, until the next header */
    uint16_t columns[FLOW_FIELD_COUNT]; /* counted from 1; 0: not there */
};

struct flow_parser flow_parser_make(enum flow_format format, uint64_t seed);

/* One line without its newline. *out is written for FLOW_CONNECTION and FLOW_SESSION, of FLOW_SMTP
 * its session. */
enum flow_result flow_parse(struct flow_parser *parser, const char *line, size_t len, struct flow *out);

/* By the first bytes of a file; FLOW_FORMAT_NONE where they are not enough or something else. */
enum flow_format flow_recognise(const char *head, size_t len);
