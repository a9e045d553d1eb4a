/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the SMTP reader share: smtp.c takes lines out of bytes, body.c skips messages, command.c
 * and reply.c understand lines, queue.c ties replies to commands, name.c reads names and paths, blocklist.c
 * refusals. */
#pragma once

#include "enforcer/inspect/smtp.h"

/* Rows of the table in command.c, and what is awaited besides. */
enum enf_smtp_verb {
    ENF_VERB_GREETING, /* awaited from the start on */
    ENF_VERB_EHLO,
    ENF_VERB_HELO,
    ENF_VERB_LHLO,
    ENF_VERB_MAIL,
    ENF_VERB_RCPT,
    ENF_VERB_DATA,
    ENF_VERB_END_OF_DATA, /* the dot */
    ENF_VERB_BDAT,
    ENF_VERB_BDAT_LAST,
    ENF_VERB_STARTTLS,
    ENF_VERB_AUTH,
    ENF_VERB_RSET,
    ENF_VERB_QUIT,
    ENF_VERB_OTHER,
    ENF_VERB_UNKNOWN,
};

/* Of an awaited command: what it used, and that it was no command but a line or a dot which answers a 3yz. */
#define ENF_AWAITED_SIZE     0x01
#define ENF_AWAITED_SMTPUTF8 0x02
#define ENF_AWAITED_BDAT     0x04
#define ENF_AWAITED_ANSWER   0x08
#define ENF_AWAITED_HAS_ACK  0x10

enum enf_client_state {
    ENF_CLIENT_SEEK, /* unsynchronised: lines are thrown away up to one that starts something */
    ENF_CLIENT_COMMAND,
    ENF_CLIENT_WAIT, /* DATA, STARTTLS and AUTH: what follows depends on the reply */
    ENF_CLIENT_BODY,
    ENF_CLIENT_CHUNK,
    ENF_CLIENT_CREDENTIAL, /* a line that answers 334: skipped, never kept */
    ENF_CLIENT_MAYBE_BODY, /* after DATA without a server: a body, unless a command follows */
    ENF_CLIENT_MAYBE_CREDENTIAL,
    ENF_CLIENT_STOPPED,
};

enum enf_body_state {
    ENF_BODY_AFTER_CRLF, /* at the start of a line: a dot and CRLF end the body */
    ENF_BODY_AFTER_LF,   /* the same behind a bare LF: they do not */
    ENF_BODY_DOT,        /* a line of a dot so far */
    ENF_BODY_DOT_CR,
    ENF_BODY_LOOSE_DOT, /* the same behind a bare LF */
    ENF_BODY_LOOSE_DOT_CR,
    ENF_BODY_TEXT,
    ENF_BODY_TEXT_CR,
    ENF_BODY_MAYBE_END, /* behind a loose dot and LF: the end, if the server answered */
    ENF_BODY_MAYBE_END_CRLF,
};

static inline void enf_count16(uint16_t *counter)
{
    if (*counter < UINT16_MAX)
        (*counter)++;
}

/* --- body.c: bytes of DATA and BDAT. Each returns how many bytes it took, and changes client_state at the
 * end. --- */
/* answered: by the last reply that was read; false: nobody knows. */
void enf_body_begin(struct enf_smtp *smtp, bool answered);
/* True behind a line that some servers take for the end. */
bool enf_body_maybe_ended(const struct enf_smtp *smtp);
size_t enf_body_skip(struct enf_smtp *smtp, const uint8_t *bytes, size_t len, uint32_t ack, bool has_ack);
size_t enf_body_skip_chunk(struct enf_smtp *smtp, size_t len);
/* The body's end was at the dot before. */
void enf_body_end(struct enf_smtp *smtp);

/* --- command.c: understands client_line, which is whole (or the start of a long line). --- */
void enf_command_line(struct enf_smtp *smtp);
/* A line after DATA or AUTH, with no server to say how they were answered. */
void enf_command_guess(struct enf_smtp *smtp);
/* A line where nothing is known yet. */
void enf_command_seek(struct enf_smtp *smtp);
/* True where the first bytes of the client say that it is no SMTP; the client is then stopped. */
bool enf_command_foreign(struct enf_smtp *smtp);
/* Nothing more of the client matters. */
void enf_command_stop(struct enf_smtp *smtp, enum enf_smtp_end why);

/* --- reply.c: understands server_line, which ends before sequence. --- */
void enf_reply_line(struct enf_smtp *smtp, uint32_t sequence);
/* How the client goes on where no reply will come. */
void enf_reply_assume(struct enf_smtp *smtp);

/* --- queue.c --- */
bool enf_queue_full(const struct enf_smtp *smtp);
/* The line that was just read is such a command. Must not be full. */
void enf_queue_push(struct enf_smtp *smtp, enum enf_smtp_verb verb, uint8_t flags);
/* The line that is being read is no command at all, but was said: before the greeting? */
void enf_queue_note(struct enf_smtp *smtp);
/* The first awaited one; only where queue_len is not 0. */
const struct enf_smtp_awaited *enf_queue_head(const struct enf_smtp *smtp);
/* Its reply ended before sequence. */
void enf_queue_pop(struct enf_smtp *smtp, uint32_t sequence);

/* --- name.c: text without a terminating zero --- */
enum enf_helo_form enf_name_helo_form(const char *name, size_t len);
/* Of the name with letters folded and a last dot dropped; never 0. len: at most ENF_SMTP_LINE_MAX. */
uint64_t enf_name_hash(const char *name, size_t len, uint64_t seed);

struct enf_path {
    bool valid;
    bool null; /* <> */
    const char *domain;
    size_t domain_len; /* 0: none, as in <postmaster> */
    size_t end;        /* where what follows the path begins */
};
/* Of what stands behind "MAIL FROM:" or "RCPT TO:". */
struct enf_path enf_name_path(const char *text, size_t len);

/* --- blocklist.c --- */
/* What a line of a refusal with this code has of one by a blocklist; a reply that has both in its lines is
 * one. */
#define ENF_BLOCKLIST_POLICY 0x01 /* a code that servers use for it */
#define ENF_BLOCKLIST_WORD   0x02
#define ENF_BLOCKLIST_BOTH   0x03
uint8_t enf_blocklist_look(uint16_t code, const char *line, size_t len);
