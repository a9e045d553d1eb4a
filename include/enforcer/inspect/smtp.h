/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads an SMTP dialogue (RFC 5321 and extensions) from the bytes of both directions and says plain facts
 * about it. No I/O, no clock, no allocation. A reader belongs to one thread. docs/inspection.md explains each
 * fact.
 *
 * The order in which the two directions are brought does not change the facts: a direction that needs to know
 * something of the other first takes no more bytes until it does. Who spoke without having heard what is
 * judged by the acknowledgments that the bytes were sent with, never by which packet came first. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest line that is understood, without its end. The rest of a longer one is skipped: its command is still
 * known, nothing else of it. RFC 5321, 4.5.3.1.4 demands 512 with the end. */
#define ENF_SMTP_LINE_MAX    512
#define ENF_SMTP_DOMAINS_MAX 8 /* different domains of MAIL FROM that are kept */
#define ENF_SMTP_QUEUE_MAX                                                                                   \
    32 /* runs of like commands whose replies are awaited; beyond it the client waits */
#define ENF_SMTP_FACTS_TEXT 1536 /* enough for enf_smtp_facts_text */

enum enf_smtp_protocol { /* what the client speaks */
                         ENF_SMTP_PROTOCOL_UNKNOWN,
                         ENF_SMTP_PROTOCOL_SMTP, /* a command of SMTP was seen */
                         ENF_SMTP_PROTOCOL_TLS,  /* a ClientHello from the first byte (RFC 8314 calls it
                                                    implicit TLS) */
                         ENF_SMTP_PROTOCOL_HTTP,
                         ENF_SMTP_PROTOCOL_OTHER, /* no words at all */
};
#define ENF_SMTP_PROTOCOL_COUNT 5

/* Why nothing more of a direction is read. */
enum enf_smtp_end {
    ENF_SMTP_END_NONE,
    ENF_SMTP_END_FIN,
    ENF_SMTP_END_QUIT,
    ENF_SMTP_END_STARTTLS, /* encrypted from here on */
    ENF_SMTP_END_NOT_SMTP, /* see protocol; of the server: its first line was no reply */
    ENF_SMTP_END_LOST,     /* a BDAT whose size cannot be read: nobody knows where the next command starts */
    ENF_SMTP_END_MISSING,  /* the direction was never seen, or not from its start while the other one was */
    ENF_SMTP_END_BUDGET,   /* the others: see enum enf_stream_end */
    ENF_SMTP_END_GAP,
    ENF_SMTP_END_FULL,
    ENF_SMTP_END_CUT,
    ENF_SMTP_END_MEMORY,
};
#define ENF_SMTP_END_COUNT 12

enum enf_helo_form {
    ENF_HELO_NONE,         /* no EHLO, HELO or LHLO */
    ENF_HELO_FQDN,         /* host.example.net */
    ENF_HELO_LITERAL,      /* [192.0.2.1], [IPv6:2001:db8::1] */
    ENF_HELO_BARE_ADDRESS, /* 192.0.2.1, which RFC 5321 does not allow */
    ENF_HELO_BARE_NAME,    /* localhost */
    ENF_HELO_EMPTY,
    ENF_HELO_GARBAGE, /* anything else, also more than one word */
};
#define ENF_HELO_FORM_COUNT 7

/* What a reply was for. */
enum enf_smtp_stage {
    ENF_SMTP_STAGE_GREETING,
    ENF_SMTP_STAGE_EHLO, /* HELO and LHLO as well */
    ENF_SMTP_STAGE_MAIL,
    ENF_SMTP_STAGE_RCPT,
    ENF_SMTP_STAGE_DATA,        /* the reply to the command: 354 counts as 3yz */
    ENF_SMTP_STAGE_END_OF_DATA, /* to the dot, and to each BDAT */
    ENF_SMTP_STAGE_OTHER,
};
#define ENF_SMTP_STAGE_COUNT 7

/* replies[stage][class]: 2yz, 3yz, 4yz, 5yz */
enum enf_smtp_class {
    ENF_SMTP_CLASS_2,
    ENF_SMTP_CLASS_3,
    ENF_SMTP_CLASS_4,
    ENF_SMTP_CLASS_5,
};
#define ENF_SMTP_CLASS_COUNT 4

/* Bits of `offered`: what EHLO replies named. */
#define ENF_SMTP_PIPELINING 0x0001 /* RFC 2920 */
#define ENF_SMTP_CHUNKING   0x0002 /* RFC 3030 */
#define ENF_SMTP_SIZE       0x0004 /* RFC 1870 */
#define ENF_SMTP_SMTPUTF8   0x0008 /* RFC 6531 */
#define ENF_SMTP_STARTTLS   0x0010 /* RFC 3207 */
#define ENF_SMTP_AUTH       0x0020 /* RFC 4954 */
#define ENF_SMTP_8BITMIME   0x0040 /* RFC 6152 */

/* No text, only numbers. Counters stop at their largest value. */
struct enf_smtp_facts {
    uint64_t helo_hash; /* of the latest name, letters folded, seeded (XXH3); 0: none */
    uint64_t mail_domains[ENF_SMTP_DOMAINS_MAX]; /* hashes of different domains of MAIL FROM, as they came */
    uint64_t size_declared_max;                  /* RFC 1870, of all MAIL */
    uint64_t body_bytes;                         /* skipped after DATA and BDAT, as far as they were read */
    uint32_t rcpt;                               /* RCPT commands */
    uint16_t rcpt_max;                           /* most of one message */
    uint16_t replies[ENF_SMTP_STAGE_COUNT][ENF_SMTP_CLASS_COUNT];
    uint16_t refused_listed;    /* 5yz that read like a blocklist, see blocklist.c */
    uint16_t unsolicited;       /* replies to nothing, as 421 after a timeout */
    uint16_t malformed_replies; /* lines of the server that are no reply */
    uint16_t greeting_code;     /* 220, 554 …; 0: none read */
    uint16_t ehlo;              /* commands, from here on */
    uint16_t helo;
    uint16_t lhlo;
    uint16_t helo_changes; /* times that the name was another one than before */
    uint16_t mail;
    uint16_t mail_null;    /* MAIL FROM:<> */
    uint16_t mail_invalid; /* no path, or one that cannot be read */
    uint16_t data;
    uint16_t bdat;
    uint16_t bdat_last;
    uint16_t messages; /* that the server took: 2yz to the dot or to BDAT LAST */
    uint16_t size_declared;
    uint16_t size_unoffered; /* this and the like: though the EHLO reply in force did not name it */
    uint16_t smtputf8;
    uint16_t smtputf8_unoffered;
    uint16_t bdat_unoffered;
    uint16_t starttls;
    uint16_t auth;
    uint16_t auth_accepted;
    uint16_t auth_refused;
    uint16_t rset;
    uint16_t other;               /* NOOP, VRFY, EXPN, HELP and the like */
    uint16_t unknown;             /* lines that are no command */
    uint16_t pipelined;           /* commands sent before the reply to the one before was received */
    uint16_t pipelined_unoffered; /* of these: without an offer of PIPELINING in force */
    uint16_t early_data;          /* bodies begun before 354 was received */
    uint16_t long_lines;          /* of the client, over ENF_SMTP_LINE_MAX */
    uint16_t long_replies;        /* of the server */
    uint16_t bare_lf;             /* command lines that end in LF alone */
    uint16_t loose_dots;          /* lines with a lone dot in a body that do not end it by RFC 5321 */
    uint16_t offered;             /* ENF_SMTP_PIPELINING …, of all EHLO replies together */
    uint8_t mail_domains_len;     /* kept in mail_domains */
    bool mail_domains_more;       /* there were others */
    bool early_talk;              /* the client spoke before it had received the whole greeting */
    bool tls_accepted;            /* 220 to STARTTLS */
    bool quit;
    bool unsynchronised; /* reading began in the middle */
    uint8_t helo_form;   /* enum enf_helo_form, of the latest */
    uint8_t protocol;    /* enum enf_smtp_protocol */
    uint8_t client_end;  /* enum enf_smtp_end */
    uint8_t server_end;  /* enum enf_smtp_end */
    bool fin_client;     /* set by the session, as those below */
    bool fin_server;
    bool reset_client;
    bool reset_server;
};

/* Commands whose reply is awaited; private. */
struct enf_smtp_awaited {
    uint8_t verb;
    uint8_t flags;
    uint16_t count; /* like commands sent with the same acknowledgment */
    uint32_t ack;
};

/* All but facts is private. No pointers: it may be copied. */
struct enf_smtp {
    struct enf_smtp_facts facts; /* may be read at any time */
    uint64_t seed;
    uint64_t chunk_left; /* bytes of a BDAT that follow */
    struct enf_smtp_awaited queue[ENF_SMTP_QUEUE_MAX];
    uint32_t line_ack;     /* the first byte of the client's line was sent with */
    uint32_t reply_end;    /* sequence behind the last reply; unsynchronised: lines up to it answer nothing */
    uint32_t body_ack;     /* a body's server said nothing more as long as its bytes acknowledge this */
    uint16_t message_rcpt; /* RCPT commands of this message */
    uint16_t lmtp_accepted; /* recipients of this message that have a 2yz */
    uint16_t offered;       /* by the EHLO reply in force */
    uint16_t offering;      /* by the EHLO reply that is being read */
    uint16_t reply_offered; /* what was in force when the last reply came */
    uint16_t client_len;    /* of client_line */
    uint16_t server_len;    /* of server_line */
    uint16_t reply_code;    /* of the reply that is being read; 0: none */
    uint8_t queue_first;
    uint8_t queue_len;
    uint8_t client_state;
    uint8_t body_state;
    uint8_t reply_verb; /* command of the last reply */
    bool line_has_ack;
    bool body_has_ack;
    uint8_t wait_verb; /* what the client waits for an answer to */
    bool body_first;   /* no byte of the body came yet */
    bool client_first; /* no line of the client was read yet */
    bool client_begun; /* a line of the client has begun */
    bool client_cr;    /* its last byte was a CR */
    bool client_long;
    bool server_long;
    bool client_partial; /* the first line is one from the middle */
    bool server_partial;
    bool client_done;     /* the reader needs nothing more of the client */
    bool client_fin;      /* comes behind the answer that the client waits for */
    bool server_gone;     /* replies will not come */
    bool reply_waits;     /* the next command is to be compared with reply_end */
    uint8_t reply_listed; /* ENF_BLOCKLIST_ bits of its lines */
    bool flushing;
    char client_line[ENF_SMTP_LINE_MAX + 1]; /* with the CR */
    char server_line[ENF_SMTP_LINE_MAX + 1];
};

/* seed: of the hashes, one for all readers whose hashes are compared. synchronised: false where the bytes do
 * not begin at the start of the connection; then each direction's first line is thrown away, and nothing is
 * read but from an EHLO, HELO, LHLO or MAIL on. */
void enf_smtp_init(struct enf_smtp *smtp, uint64_t seed, bool synchronised);

/* The next bytes of the client, all sent with the acknowledgment ack (sequence of the server's first byte
 * that the client had not received; has_ack: false, it knew nothing). Returns how many were taken: fewer than
 * len means that the server must be read first; the rest is to be brought again. */
size_t enf_smtp_client(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t ack, bool has_ack);
/* As enf_smtp_client, but takes no more than a line, or what there is of a message: the facts can be looked
 * at between. 0: the server must be read first. len: not 0. */
size_t enf_smtp_client_step(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t ack,
                            bool has_ack);
/* The next bytes of the server; sequence: of bytes[0]. Returns how many were taken, as above. */
size_t enf_smtp_server(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t sequence);

/* No more bytes will come from this direction. After enf_smtp_server_gone the client is read alone: a DATA is
 * taken to be accepted unless a command follows it, and replies are awaited no more. The first reason stands.
 */
void enf_smtp_client_gone(struct enf_smtp *smtp, enum enf_smtp_end why);
void enf_smtp_server_gone(struct enf_smtp *smtp, enum enf_smtp_end why);
/* All bytes of both directions were brought, the last ones may now be read: replies without a command count
 * as unsolicited. */
void enf_smtp_flush(struct enf_smtp *smtp);

/* Nothing that may come can change the facts. */
bool enf_smtp_finished(const struct enf_smtp *smtp);

bool enf_smtp_facts_equal(const struct enf_smtp_facts *a, const struct enf_smtp_facts *b);

/* The facts as "name=value" with blanks between, zeros left out, hashes as how many. Always terminated;
 * returns buf. */
const char *enf_smtp_facts_text(const struct enf_smtp_facts *facts, char *buf, size_t buf_len);

/* Form and hash (as helo_hash) of a name that others read; len: of any length, what does not fit into a line
 * is ENF_HELO_GARBAGE. */
enum enf_helo_form enf_smtp_helo(const char *name, size_t len, uint64_t seed, uint64_t *out_hash);

/* True where a refusal that others read, "554 5.7.1 ..." with its code in front, says that the sender is on a
 * blocklist: a code and a word that servers use for it. line: of any length; code: the number in it. */
bool enf_smtp_names_blocklist(uint16_t code, const char *line, size_t len);

/* NULL for a value out of range. */
const char *enf_smtp_protocol_name(enum enf_smtp_protocol protocol);
const char *enf_smtp_end_name(enum enf_smtp_end end);
const char *enf_helo_form_name(enum enf_helo_form form);
const char *enf_smtp_stage_name(enum enf_smtp_stage stage);
