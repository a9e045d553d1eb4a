/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NFLOG and NFQUEUE messages taken apart. The macros of libmnl round a message's end up to four bytes, beyond
 * what was received where a payload comes last; hence a walk of our own. */
#include "enforcer/kernel/messages.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <string.h>

/* The smaller of a length rounded up to four bytes and what is left. */
static size_t step(size_t len, size_t left)
{
    size_t aligned = (len + 3) & ~(size_t)3;

    return aligned < left ? aligned : left;
}

bool enf_message_next(const uint8_t **at, const uint8_t *end, struct enf_message *out)
{
    size_t left = (size_t)(end - *at);
    struct nlmsghdr head;

    if (left < sizeof head)
        return false;
    memcpy(&head, *at, sizeof head);
    if (head.nlmsg_len < sizeof head)
        return false;
    size_t len = head.nlmsg_len < left ? head.nlmsg_len : left;
    *out = (struct enf_message){
        .type = head.nlmsg_type,
        .flags = head.nlmsg_flags,
        .seq = head.nlmsg_seq,
        .port = head.nlmsg_pid,
        .body = *at + sizeof head,
        .body_len = len - sizeof head,
        .cut = head.nlmsg_len > left,
    };
    *at += step(len, left);
    return true;
}

bool enf_message_answer(const struct enf_message *message, int *error)
{
    int code;

    if (message->type != NLMSG_ERROR || message->body_len < sizeof code)
        return false;
    memcpy(&code, message->body, sizeof code);
    *error = code < 0 ? code : 0;
    return true;
}

bool enf_attribute_next(const uint8_t **at, const uint8_t *end, struct enf_attribute *out)
{
    size_t left = (size_t)(end - *at);
    struct nlattr head;

    if (left < sizeof head)
        return false;
    memcpy(&head, *at, sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > left)
        return false;
    *out = (struct enf_attribute){
        .type = head.nla_type & NLA_TYPE_MASK,
        .data = *at + sizeof head,
        .len = head.nla_len - sizeof head,
    };
    *at += step(head.nla_len, left);
    return true;
}

bool enf_attribute_u32(const struct enf_attribute *attr, uint32_t *out)
{
    uint32_t value;

    if (attr->len != sizeof value)
        return false;
    memcpy(&value, attr->data, sizeof value);
    *out = ntohl(value);
    return true;
}

/* Seconds and microseconds of the wall clock, 64 bits each: the same for log and queue. 0 where it is nothing
 * that a clock says. */
static uint64_t attribute_time_us(const struct enf_attribute *attr)
{
    uint64_t parts[2];

    if (attr->len < sizeof parts)
        return 0;
    memcpy(parts, attr->data, sizeof parts);
    uint64_t seconds = be64toh(parts[0]), micros = be64toh(parts[1]);
    return seconds < UINT32_MAX && micros < 1000000 ? seconds * 1000000 + micros : 0;
}

/* Where the attributes begin, behind the header of nfnetlink; NULL where message is another kind. */
static const uint8_t *attributes(const struct enf_message *message, unsigned subsystem, unsigned kind)
{
    if (message->type != (subsystem << 8 | kind) || message->body_len < sizeof(struct nfgenmsg))
        return NULL;
    return message->body + sizeof(struct nfgenmsg);
}

/* The rule's prefix, "enf:REASON" with its zero. */
static enum enf_log_reason reason_of(const struct enf_attribute *prefix)
{
    static const char start[] = "enf:";
    const size_t start_len = sizeof start - 1;

    if (prefix->len <= start_len || memcmp(prefix->data, start, start_len) != 0)
        return ENF_LOG_UNKNOWN;
    for (unsigned i = ENF_LOG_UNKNOWN + 1; i < ENF_LOG_REASON_COUNT; i++) {
        const char *name = enf_log_reason_name((enum enf_log_reason)i);
        if (prefix->len - start_len == strlen(name) + 1 &&
            memcmp(prefix->data + start_len, name, strlen(name) + 1) == 0)
            return (enum enf_log_reason)i;
    }
    return ENF_LOG_UNKNOWN;
}

bool enf_log_message_read(const struct enf_message *message, struct enf_log_message *out)
{
    const uint8_t *at = attributes(message, NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET);
    const uint8_t *end = message->body + message->body_len;
    struct enf_attribute attr;

    if (!at)
        return false;
    *out = (struct enf_log_message){.reason = ENF_LOG_UNKNOWN};
    while (enf_attribute_next(&at, end, &attr)) {
        switch (attr.type) {
        case NFULA_PREFIX:
            out->reason = reason_of(&attr);
            break;
        case NFULA_PAYLOAD:
            out->packet.data = attr.data;
            out->packet.len = attr.len;
            break;
        case NFULA_IFINDEX_INDEV:
            enf_attribute_u32(&attr, &out->packet.ifindex);
            break;
        case NFULA_TIMESTAMP:
            out->packet.time_us = attribute_time_us(&attr);
            break;
        case NFULA_SEQ:
            out->have_seq = enf_attribute_u32(&attr, &out->seq);
            break;
        default:
            break;
        }
    }
    return true;
}

bool enf_queue_message_read(const struct enf_message *message, struct enf_queue_message *out)
{
    const uint8_t *at = attributes(message, NFNL_SUBSYS_QUEUE, NFQNL_MSG_PACKET);
    const uint8_t *end = message->body + message->body_len;
    struct nfqnl_msg_packet_hdr head;
    struct enf_attribute attr;

    if (!at)
        return false;
    *out = (struct enf_queue_message){.have_id = false};
    while (enf_attribute_next(&at, end, &attr)) {
        switch (attr.type) {
        case NFQA_PACKET_HDR:
            if (attr.len < sizeof head)
                break;
            memcpy(&head, attr.data, sizeof head);
            out->id = ntohl(head.packet_id);
            out->have_id = true;
            break;
        case NFQA_PAYLOAD:
            out->packet.data = attr.data;
            out->packet.len = attr.len;
            break;
        case NFQA_TIMESTAMP:
            out->packet.time_us = attribute_time_us(&attr);
            break;
        case NFQA_IFINDEX_INDEV:
            enf_attribute_u32(&attr, &out->packet.ifindex);
            break;
        default:
            break;
        }
    }
    return true;
}
