/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NFLOG and NFQUEUE messages taken apart. Pure: a buffer in, plain values that point into it out; no length
 * in the buffer is trusted. Private to kernel/. */
#pragma once

#include "enforcer/kernel/telemetry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One netlink message of a buffer. */
struct enf_message {
    uint16_t type; /* NLMSG_ERROR, or subsystem and message of nfnetlink */
    uint16_t flags;
    uint32_t seq;        /* of the request that it answers */
    uint32_t port;       /* of the socket that made the request */
    const uint8_t *body; /* behind the netlink header */
    size_t body_len;
    bool cut; /* it says that it is longer than the buffer; body is what is there */
};

/* Takes the message at *at, which may have any alignment, and moves *at behind it. False, and *at untouched,
 * where there is none before end. */
bool enf_message_next(const uint8_t **at, const uint8_t *end, struct enf_message *out);

/* One attribute of a message. */
struct enf_attribute {
    unsigned type;
    const uint8_t *data;
    size_t len;
};
/* The same for attributes; false also at one whose length cannot be. */
bool enf_attribute_next(const uint8_t **at, const uint8_t *end, struct enf_attribute *out);
/* A number of four bytes in network order. False, and *out untouched, where it is none. */
bool enf_attribute_u32(const struct enf_attribute *attr, uint32_t *out);

/* Where message is the kernel's answer to a request: true with *error 0 or a negative errno. */
bool enf_message_answer(const struct enf_message *message, int *error);

struct enf_log_message {
    enum enf_log_reason reason;
    struct enf_kernel_packet packet; /* data NULL: without a payload that can be read */
    bool have_seq;
    uint32_t seq;
};

/* False where message is no logged packet. */
bool enf_log_message_read(const struct enf_message *message, struct enf_log_message *out);

struct enf_queue_message {
    struct enf_kernel_packet packet; /* as above */
    bool have_id;
    uint32_t id; /* names the packet in the verdict */
};

/* False where message is no queued packet. */
bool enf_queue_message_read(const struct enf_message *message, struct enf_queue_message *out);
