/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NFLOG and NFQUEUE messages: what is read of good ones, and of every way to lie about a length. */
#include "enforcer/kernel/messages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOG   (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET)
#define QUEUE (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)

static const uint8_t packet[41] = {0x45, 0, 0, 41, 1, 2, 3};

/* A message being written. */
struct bytes {
    uint8_t data[512];
    size_t len;
};

static void put(struct bytes *b, const void *data, size_t len)
{
    assert_true(b->len + len <= sizeof b->data);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void attribute(struct bytes *b, uint16_t type, const void *data, size_t len)
{
    struct nlattr head = {.nla_len = (uint16_t)(sizeof head + len), .nla_type = type};
    static const uint8_t zeros[4];

    put(b, &head, sizeof head);
    put(b, data, len);
    put(b, zeros, -len & 3);
}

static void attribute_u32(struct bytes *b, uint16_t type, uint32_t value)
{
    value = htonl(value);
    attribute(b, type, &value, sizeof value);
}

static void begin(struct bytes *b, uint16_t type)
{
    struct nlmsghdr head = {.nlmsg_type = type};
    struct nfgenmsg nf = {.nfgen_family = 2};

    b->len = 0;
    put(b, &head, sizeof head);
    put(b, &nf, sizeof nf);
}

static void end(struct bytes *b)
{
    uint32_t len = (uint32_t)b->len;

    memcpy(b->data, &len, sizeof len);
}

static void build_log(struct bytes *b, const char *prefix)
{
    begin(b, LOG);
    attribute(b, NFULA_PREFIX, prefix, strlen(prefix) + 1);
    attribute_u32(b, NFULA_IFINDEX_INDEV, 3);
    attribute_u32(b, NFULA_SEQ, 7);
    attribute(b, NFULA_PAYLOAD, packet, sizeof packet);
    end(b);
}

static void build_queue(struct bytes *b)
{
    struct nfqnl_msg_packet_hdr head = {.packet_id = htonl(5), .hook = 2};

    begin(b, QUEUE);
    attribute(b, NFQA_PACKET_HDR, &head, sizeof head);
    attribute_u32(b, NFQA_IFINDEX_INDEV, 3);
    attribute(b, NFQA_PAYLOAD, packet, sizeof packet);
    /* As the kernel does: no padding behind the last one. */
    b->len -= -sizeof packet & 3;
    end(b);
}

static struct enf_message first(const struct bytes *b)
{
    const uint8_t *at = b->data;
    struct enf_message message;

    assert_true(enf_message_next(&at, b->data + b->len, &message));
    return message;
}

static void test_log(void **state)
{
    struct enf_log_message out;
    struct enf_queue_message none;
    struct bytes b;

    (void)state;
    build_log(&b, "enf:block");
    struct enf_message message = first(&b);
    assert_false(message.cut);
    assert_true(enf_log_message_read(&message, &out));
    assert_int_equal(out.reason, ENF_LOG_BLOCK);
    assert_int_equal(out.packet.ifindex, 3);
    assert_true(out.have_seq);
    assert_int_equal(out.seq, 7);
    assert_int_equal(out.packet.len, sizeof packet);
    assert_memory_equal(out.packet.data, packet, sizeof packet);
    assert_false(enf_queue_message_read(&message, &none));
}

static void test_queue(void **state)
{
    struct enf_queue_message out;
    struct enf_log_message none;
    struct bytes b;

    (void)state;
    build_queue(&b);
    struct enf_message message = first(&b);
    assert_true(enf_queue_message_read(&message, &out));
    assert_true(out.have_id);
    assert_int_equal(out.id, 5);
    assert_int_equal(out.packet.ifindex, 3);
    assert_int_equal(out.packet.len, sizeof packet);
    assert_memory_equal(out.packet.data, packet, sizeof packet);
    assert_false(enf_log_message_read(&message, &none));
}

static void test_reasons(void **state)
{
    static const struct {
        const char *prefix;
        enum enf_log_reason reason;
    } rows[] = {
        {"enf:block", ENF_LOG_BLOCK},
        {"enf:observe", ENF_LOG_OBSERVE},
        {"enf:copy", ENF_LOG_COPY},
        {"enf:quarantined", ENF_LOG_QUARANTINED},
        {"enf:meter", ENF_LOG_METER},
        {"enf:spoofed", ENF_LOG_SPOOFED},
        {"enf:inbound", ENF_LOG_INBOUND},
        {"enf:bogon", ENF_LOG_BOGON},
        {"enf:headers", ENF_LOG_HEADERS},
        {"enf:full", ENF_LOG_FULL},
        {"enf:relay", ENF_LOG_RELAY},
        {"enf:unknown", ENF_LOG_UNKNOWN},
        {"", ENF_LOG_UNKNOWN},
        {"enf:", ENF_LOG_UNKNOWN},
        {"enf", ENF_LOG_UNKNOWN},
        {"enf:bloc", ENF_LOG_UNKNOWN},
        {"enf:blocks", ENF_LOG_UNKNOWN},
        {"ENF:block", ENF_LOG_UNKNOWN},
        {"block", ENF_LOG_UNKNOWN},
        {" enf:block", ENF_LOG_UNKNOWN},
    };
    struct enf_log_message out;
    struct bytes b;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        build_log(&b, rows[i].prefix);
        struct enf_message message = first(&b);
        assert_true(enf_log_message_read(&message, &out));
        if (out.reason != rows[i].reason)
            fail_msg("\"%s\" is %s", rows[i].prefix, enf_log_reason_name(out.reason));
    }
    /* Without the zero at its end, and with a second one. */
    begin(&b, LOG);
    attribute(&b, NFULA_PREFIX, "enf:block", 9);
    end(&b);
    struct enf_message message = first(&b);
    assert_true(enf_log_message_read(&message, &out));
    assert_int_equal(out.reason, ENF_LOG_UNKNOWN);
    begin(&b, LOG);
    attribute(&b, NFULA_PREFIX, "enf:block\0", 11);
    end(&b);
    message = first(&b);
    assert_true(enf_log_message_read(&message, &out));
    assert_int_equal(out.reason, ENF_LOG_UNKNOWN);
}

static void test_reason_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ENF_LOG_REASON_COUNT; i++) {
        const char *name = enf_log_reason_name((enum enf_log_reason)i);
        assert_true(name && *name);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(name, enf_log_reason_name((enum enf_log_reason)j));
    }
    assert_null(enf_log_reason_name((enum enf_log_reason)ENF_LOG_REASON_COUNT));
    assert_null(enf_log_reason_name((enum enf_log_reason) - 1));
}

/* Cut off after every byte, in memory of exactly that length: what was whole before the cut is read, no more.
 */
static void test_cut_anywhere(void **state)
{
    struct bytes whole;

    (void)state;
    build_queue(&whole);
    for (size_t len = 0; len <= whole.len; len++) {
        uint8_t *data = malloc(len ? len : 1);
        const uint8_t *at = data;
        struct enf_message message;
        struct enf_queue_message out;
        assert_non_null(data);
        memcpy(data, whole.data, len);
        bool there = enf_message_next(&at, data + len, &message);
        assert_int_equal(there, len >= sizeof(struct nlmsghdr));
        if (there) {
            assert_int_equal(message.cut, len < whole.len);
            assert_ptr_equal(at, data + len);
        } else {
            assert_ptr_equal(at, data);
        }
        if (there && enf_queue_message_read(&message, &out)) {
            /* The id comes first, so that a packet too long for the buffer still gets its verdict. */
            assert_int_equal(out.have_id, len >= sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg) +
                                                     sizeof(struct nlattr) +
                                                     sizeof(struct nfqnl_msg_packet_hdr));
            assert_int_equal(out.packet.len, len == whole.len ? sizeof packet : 0);
            assert_int_equal(out.packet.data != NULL, len == whole.len);
        }
        free(data);
    }
}

static void test_lengths_that_lie(void **state)
{
    static const struct {
        const char *name;
        uint32_t message_len; /* 0: right */
        uint16_t attr_len;    /* of the first attribute; 0: right */
        bool message, id;
    } rows[] = {
        {"right", 0, 0, true, true},
        {"message: nothing", 1, 0, false, false},
        {"message: header less a byte", sizeof(struct nlmsghdr) - 1, 0, false, false},
        {"message: header", sizeof(struct nlmsghdr), 0, true, false},
        {"message: no room for nfgenmsg", sizeof(struct nlmsghdr) + 3, 0, true, false},
        {"message: no attribute", sizeof(struct nlmsghdr) + 4, 0, true, false},
        {"message: huge", UINT32_MAX, 0, true, true},
        {"message: negative as int", 0x80000000u, 0, true, true},
        {"attribute: three", 0, 3, true, false},
        {"attribute: empty", 0, 4, true, false},
        {"attribute: a byte short", 0, 4 + sizeof(struct nfqnl_msg_packet_hdr) - 1, true, false},
        {"attribute: huge", 0, UINT16_MAX, true, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bytes b;
        struct enf_message message;
        struct enf_queue_message out = {.have_id = false};
        build_queue(&b);
        if (rows[i].message_len)
            memcpy(b.data, &rows[i].message_len, sizeof rows[i].message_len);
        if (rows[i].attr_len)
            memcpy(b.data + sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg), &rows[i].attr_len,
                   sizeof rows[i].attr_len);
        const uint8_t *at = b.data;
        if (enf_message_next(&at, b.data + b.len, &message) != rows[i].message)
            fail_msg("%s: message", rows[i].name);
        if (rows[i].message && (enf_queue_message_read(&message, &out) && out.have_id) != rows[i].id)
            fail_msg("%s: id", rows[i].name);
    }
}

/* Several in one datagram, as NFLOG delivers them; the numbers of wrong width are ignored. */
static void test_many(void **state)
{
    struct bytes one, all = {.len = 0};
    struct enf_message message;
    struct enf_log_message out;
    const uint8_t *at = all.data;
    int count = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        build_log(&one, "enf:full");
        put(&all, one.data, one.len);
    }
    begin(&one, LOG);
    attribute(&one, NFULA_SEQ, packet, 2);
    attribute(&one, NFULA_IFINDEX_INDEV, packet, 8);
    end(&one);
    put(&all, one.data, one.len);
    while (enf_message_next(&at, all.data + all.len, &message)) {
        assert_true(enf_log_message_read(&message, &out));
        assert_int_equal(out.have_seq, count < 3);
        assert_int_equal(out.packet.ifindex, count < 3 ? 3 : 0);
        assert_int_equal(out.packet.data != NULL, count < 3);
        count++;
    }
    assert_int_equal(count, 4);
    assert_ptr_equal(at, all.data + all.len);
}

static void test_answers(void **state)
{
    static const struct {
        int code;
        int error;
    } rows[] = {{0, 0}, {-ENOENT, -ENOENT}, {-EPERM, -EPERM}, {5, 0}};
    struct bytes b;
    int error;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nlmsghdr head = {.nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 9};
        b.len = 0;
        put(&b, &head, sizeof head);
        put(&b, &rows[i].code, sizeof rows[i].code);
        end(&b);
        struct enf_message message = first(&b);
        assert_int_equal(message.seq, 9);
        assert_true(enf_message_answer(&message, &error));
        assert_int_equal(error, rows[i].error);
        message.body_len--;
        assert_false(enf_message_answer(&message, &error));
    }
    build_queue(&b);
    struct enf_message message = first(&b);
    assert_false(enf_message_answer(&message, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log),          cmocka_unit_test(test_queue),
        cmocka_unit_test(test_reasons),      cmocka_unit_test(test_reason_names),
        cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_lengths_that_lie),
        cmocka_unit_test(test_many),         cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
