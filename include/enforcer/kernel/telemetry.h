/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets from the kernel: copies by NFLOG, and inspected ones by NFQUEUE, that wait for a verdict. A reader
 * belongs to one thread. Nothing here blocks; poll the descriptor. All that is handed out is hostile and
 * lives only while the callback runs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why the kernel logged a packet: the prefix of the rule (see nft-templates/). */
enum enf_log_reason {
    ENF_LOG_UNKNOWN,
    ENF_LOG_BLOCK,       /* SYN of a blocked subscriber; refused */
    ENF_LOG_OBSERVE,     /* SYN of an observed one; passed */
    ENF_LOG_COPY,        /* packet that would be inspected, under `mode: observe` */
    ENF_LOG_QUARANTINED, /* SYN of a subscriber in quarantine; a sample */
    ENF_LOG_METER,       /* the kernel's token bucket put a subscriber into quarantine */
    ENF_LOG_SPOOFED,     /* source forged */
    ENF_LOG_INBOUND,     /* from port 25, unasked */
    ENF_LOG_BOGON,
    ENF_LOG_HEADERS, /* first fragment without its header chain */
    ENF_LOG_FULL,    /* a set of flows is full */
    ENF_LOG_RELAY,   /* SYN of a relay; passed, a sample */
};
#define ENF_LOG_REASON_COUNT 12
/* Name for messages and tests ("block", "meter" …); NULL out of range. */
const char *enf_log_reason_name(enum enf_log_reason reason);

struct enf_kernel_packet {
    const uint8_t *data; /* from the IP header on */
    size_t len;          /* bytes there */
    uint32_t ifindex;    /* where it came in; 0: unknown */
    uint64_t time_us;    /* when the kernel received it, microseconds since 1970 by the wall clock; 0: it does
                            not    say, as nobody on this machine asks for such times */
};

struct enf_log_stats {
    uint64_t messages;
    uint64_t lost;     /* gaps in the kernel's own numbering, and what came before the reader was set up */
    uint64_t overruns; /* times the socket's buffer was full (ENOBUFS) */
    uint64_t malformed;
};

struct enf_log;
/* Binds NFLOG group; what the kernel collects is delivered at its next clock tick (4 ms at 250 Hz). 0 or
 * -errno (-EBUSY: somebody else has the group, -EPERM: no CAP_NET_ADMIN). */
int enf_log_open(uint16_t group, struct enf_log **out);
void enf_log_close(struct enf_log **log); /* accepts NULL content, clears */
int enf_log_fd(const struct enf_log *log);
struct enf_log_copy {
    enum enf_log_reason reason;
    struct enf_kernel_packet packet;
};
/* Copies in the order they came, 1 to ENF_LOG_BURST. */
#define ENF_LOG_BURST 32
typedef void (*enf_log_fn)(void *ctx, const struct enf_log_copy *copies, size_t len);
/* Reads what is there, at most some thousand messages a call. Number of messages, or -errno. */
int enf_log_read(struct enf_log *log, enf_log_fn fn, void *ctx);
struct enf_log_stats enf_log_stats(const struct enf_log *log);

struct enf_queue_stats {
    uint64_t packets;
    uint64_t accepted;
    uint64_t dropped;  /* by our verdict */
    uint64_t overruns; /* ENOBUFS */
    uint64_t lost; /* queued by the kernel and never received: the socket was full. The fail mode's verdict */
    uint64_t malformed;
    uint64_t failed; /* verdicts that the kernel did not take */
};

struct enf_queue;
/* Binds NFQUEUE number `queue`. fail_open: a full queue lets packets pass instead of dropping them. 0 or
 * -errno (-EBUSY: somebody else has the queue, -EPERM: no CAP_NET_ADMIN). */
int enf_queue_open(uint16_t queue, bool fail_open, struct enf_queue **out);
/* Changes what a full queue does, while packets wait in it: a number can be bound once only, so a second open
 * of the same queue is no way. By the thread that reads it. 0 or -errno, then it is as it was. */
int enf_queue_set_fail_open(struct enf_queue *queue, bool fail_open);
void enf_queue_close(struct enf_queue **queue);
int enf_queue_fd(const struct enf_queue *queue);
/* The verdicts on the packets of a burst, in the order they came: pass[i] lets packets[i] pass; fn writes
 * all. One that cannot be read has len 0. */
#define ENF_QUEUE_BURST 32
typedef void (*enf_queue_fn)(void *ctx, const struct enf_kernel_packet *packets, size_t len, bool *pass);
/* Reads a burst, asks fn, sends all verdicts at once. Number of packets, 0 where there was none, or -errno.
 */
int enf_queue_read(struct enf_queue *queue, enf_queue_fn fn, void *ctx);
struct enf_queue_stats enf_queue_stats(const struct enf_queue *queue);

struct enf_queue_usage {
    uint64_t waiting;       /* packets without a verdict */
    uint64_t queue_dropped; /* the queue was full */
    uint64_t user_dropped;  /* the socket was full */
};
/* What the kernel itself counts of a queue, of /proc/net/netfilter/nfnetlink_queue text. Pure. 0, or -ENOENT
 * where the queue is not listed. */
int enf_queue_parse_proc(const char *text, uint16_t queue, struct enf_queue_usage *out);
