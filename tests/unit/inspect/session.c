/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections: how they begin and end, ports used again, packets that mean to mislead, and the caps. */
#include "tests/unit/inspect/session_bed.h"

static void test_answers(void **state)
{
    (void)state;
    struct bed bed;
    set_up(&bed);
    shake_hands(&bed);
    assert_int_equal(server(&bed, "220 mx\r\n"), ENF_SESSION_CHANGED);
    assert_int_equal(client(&bed, "EHLO host.exam"), 0);
    assert_int_equal(client(&bed, "ple\r\n"), ENF_SESSION_CHANGED);
    assert_int_equal(server(&bed, "250 mx\r\n"), ENF_SESSION_CHANGED);
    assert_int_equal(packet(&bed, CLIENT, bed.client, bed.server, ACK, ""), 0);
    assert_int_equal(client(&bed, "QUIT\r\n"), ENF_SESSION_CHANGED);
    assert_int_equal(server(&bed, "221 bye\r\n"), ENF_SESSION_CHANGED | ENF_SESSION_FINISHED);
    assert_int_equal(packet(&bed, CLIENT, bed.client, bed.server, ACK, "MAIL FROM:<a@b.example>\r\n"),
                     ENF_SESSION_FINISHED);
    assert_int_equal(facts(&bed)->mail, 0);
    assert_int_equal(bed.reader.session.first_ms, 1000);
    assert_false(enf_session_end(&bed.reader.session));
    assert_int_equal(server(&bed, "421 x\r\n"), ENF_SESSION_FINISHED);
    tear_down(&bed);
}

static void test_finished(void **state)
{
    (void)state;
    struct bed bed;
    set_up(&bed);
    shake_hands(&bed);
    server(&bed, "220 mx\r\n");
    client(&bed, "EHLO x\r\n");
    server(&bed, "250 STARTTLS\r\n");
    assert_int_equal(client(&bed, "STARTTLS\r\n"), ENF_SESSION_CHANGED);
    assert_true(server(&bed, "220 go\r\n") & ENF_SESSION_FINISHED);
    tear_down(&bed);

    set_up(&bed);
    shake_hands(&bed);
    assert_false(client(&bed, "\x16\x03\x01") & ENF_SESSION_FINISHED);
    assert_true(server(&bed, "\x16\x03\x03") & ENF_SESSION_FINISHED);
    tear_down(&bed);

    set_up(&bed);
    shake_hands(&bed);
    server(&bed, "220 mx\r\n");
    assert_true(client(&bed, "GET / HTTP/1.0\r\n") & ENF_SESSION_FINISHED);
    tear_down(&bed);

    set_up(&bed);
    shake_hands(&bed);
    assert_false(packet(&bed, CLIENT, bed.client, bed.server, ACK | ENF_TCP_FIN, "") & ENF_SESSION_FINISHED);
    assert_true(packet(&bed, SERVER, bed.server, bed.client + 1, ACK | ENF_TCP_FIN, "") &
                ENF_SESSION_FINISHED);
    assert_true(facts(&bed)->fin_client && facts(&bed)->fin_server);
    tear_down(&bed);
}

static void test_resets(void **state)
{
    (void)state;
    struct bed bed;
    set_up(&bed);
    shake_hands(&bed);
    /* Not of this connection: old, or far. */
    assert_int_equal(packet(&bed, CLIENT, bed.client - 1, 0, ENF_TCP_RST, ""), 0);
    assert_int_equal(packet(&bed, CLIENT, bed.client + ENF_STREAM_FAR, 0, ENF_TCP_RST, ""), 0);
    assert_int_equal(packet(&bed, SERVER, bed.server - 1, 0, ENF_TCP_RST, ""), 0);
    assert_false(facts(&bed)->reset_client || facts(&bed)->reset_server);
    assert_int_equal(packet(&bed, CLIENT, bed.client, 0, ENF_TCP_RST, ""),
                     ENF_SESSION_CHANGED | ENF_SESSION_FINISHED);
    assert_true(facts(&bed)->reset_client);
    /* It ends nothing by itself: what comes later, for whatever reason, is read. */
    server(&bed, "220 mx\r\n");
    assert_int_equal(facts(&bed)->greeting_code, 220);
    tear_down(&bed);

    set_up(&bed);
    packet(&bed, CLIENT, TALK_CLIENT_ISN, 0, ENF_TCP_SYN, "");
    assert_int_equal(packet(&bed, SERVER, 0, TALK_CLIENT_ISN, ENF_TCP_RST | ACK, ""), 0);
    assert_true(packet(&bed, SERVER, 0, TALK_CLIENT_ISN + 1, ENF_TCP_RST | ACK, "") & ENF_SESSION_FINISHED);
    assert_true(facts(&bed)->reset_server);
    tear_down(&bed);
}

static void test_ports_again(void **state)
{
    (void)state;
    struct bed bed;
    const uint32_t other = TALK_CLIENT_ISN + 100000;
    set_up(&bed);
    shake_hands(&bed);
    server(&bed, "220 mx\r\n");
    assert_int_equal(packet(&bed, CLIENT, TALK_CLIENT_ISN, 0, ENF_TCP_SYN, ""), 0); /* its own, late */
    /* A SYN proves nothing in the middle of a connection. */
    assert_int_equal(packet(&bed, CLIENT, other, 0, ENF_TCP_SYN, ""), 0);
    client(&bed, "HELO x\r\n");
    assert_int_equal(facts(&bed)->helo, 1);
    assert_int_equal(packet(&bed, SERVER, 5, other, ENF_TCP_SYN | ACK, ""), 0); /* not the answer to it */
    assert_int_equal(packet(&bed, SERVER, 5, other + 1, ENF_TCP_SYN | ACK, ""), ENF_SESSION_OTHER);
    assert_int_equal(facts(&bed)->helo, 1);
    tear_down(&bed);

    /* Behind both FIN it does; behind the client's RST it needs the answer. */
    set_up(&bed);
    shake_hands(&bed);
    packet(&bed, CLIENT, bed.client, bed.server, ACK | ENF_TCP_FIN, "");
    assert_int_equal(packet(&bed, CLIENT, other, 0, ENF_TCP_SYN, ""), 0);
    packet(&bed, SERVER, bed.server, bed.client + 1, ACK | ENF_TCP_FIN, "");
    assert_int_equal(packet(&bed, CLIENT, other, 0, ENF_TCP_SYN, ""), ENF_SESSION_OTHER);
    tear_down(&bed);

    set_up(&bed);
    shake_hands(&bed);
    packet(&bed, CLIENT, bed.client, 0, ENF_TCP_RST, "");
    assert_false(packet(&bed, CLIENT, other, 0, ENF_TCP_SYN, "") & ENF_SESSION_OTHER);
    assert_int_equal(packet(&bed, SERVER, 5, other + 1, ENF_TCP_SYN | ACK, ""), ENF_SESSION_OTHER);
    tear_down(&bed);

    /* Behind a SYN that nobody answered, and behind a refusal. */
    set_up(&bed);
    packet(&bed, CLIENT, TALK_CLIENT_ISN, 0, ENF_TCP_SYN, "");
    assert_int_equal(packet(&bed, CLIENT, other, 0, ENF_TCP_SYN, ""), ENF_SESSION_OTHER);
    packet(&bed, SERVER, 0, TALK_CLIENT_ISN + 1, ENF_TCP_RST | ACK, "");
    assert_int_equal(packet(&bed, CLIENT, other, 0, ENF_TCP_SYN, ""), ENF_SESSION_OTHER);
    tear_down(&bed);
}

struct list {
    unsigned len;
    uint16_t mail[4];
};

static void keep_mail(void *ctx, const struct enf_smtp_facts *found)
{
    struct list *list = ctx;
    assert_true(list->len < 4);
    list->mail[list->len++] = found->mail;
}

/* Two connections one behind the other with the same ports, each read from its start, also where only the
 * SYN-ACK of the second one tells. */
static void test_two_connections(void **state)
{
    (void)state;
    for (int fins = 0; fins < 2; fins++) {
        struct talk talk = {0};
        struct talk_reader reader;
        struct list list = {0};
        for (unsigned i = 0; i < 2; i++) {
            uint32_t isn = 1000 + i * 5000000;
            talk.client_next = isn + 1;
            talk.server_next = isn + 77;
            talk_segment(&talk, CLIENT, isn, 0, ENF_TCP_SYN, NULL, 0);
            talk_segment(&talk, SERVER, isn + 76, isn + 1, ENF_TCP_SYN | ACK, NULL, 0);
            static const char *const lines[] = {"S: 220 mx", "C: MAIL FROM:<a@b.example>", "S: 250 ok", NULL};
            talk_script(&talk, lines);
            if (fins) {
                talk_fin(&talk, CLIENT);
                talk_fin(&talk, SERVER);
            }
        }
        talk_reader_init(&reader);
        reader.done = keep_mail;
        reader.ctx = &list;
        talk_read(&reader, &talk);
        assert_int_equal(list.len, 2);
        assert_int_equal(list.mail[0], 1);
        assert_int_equal(list.mail[1], 1);
        talk_free(&talk);
    }
}

static void test_begin_with_syn_ack(void **state)
{
    (void)state;
    struct bed bed;
    set_up(&bed);
    packet(&bed, SERVER, TALK_SERVER_ISN, TALK_CLIENT_ISN + 1, ENF_TCP_SYN | ACK, "");
    server(&bed, "220 mx\r\n");
    client(&bed, "HELO x\r\n");
    assert_false(facts(&bed)->unsynchronised);
    assert_int_equal(facts(&bed)->helo, 1);
    tear_down(&bed);
}

static void test_data_in_syn(void **state)
{
    (void)state;
    struct bed bed;
    set_up(&bed);
    packet(&bed, CLIENT, TALK_CLIENT_ISN, 0, ENF_TCP_SYN | ENF_TCP_FIN, "HELO x\r\n"); /* no FIN in a SYN */
    bed.client += 8;
    packet(&bed, SERVER, TALK_SERVER_ISN, bed.client, ENF_TCP_SYN | ACK, "");
    server(&bed, "220 mx\r\n");
    assert_int_equal(facts(&bed)->helo, 1);
    assert_true(facts(&bed)->early_talk);
    assert_false(facts(&bed)->fin_client);
    tear_down(&bed);
}

/* What no receiver takes must not be read. */
static void test_without_ack(void **state)
{
    (void)state;
    struct bed bed;
    set_up(&bed);
    shake_hands(&bed);
    assert_int_equal(packet(&bed, CLIENT, bed.client, 0, ENF_TCP_PSH, "QUIT\r\n"), 0);
    assert_int_equal(packet(&bed, CLIENT, bed.client, 0, ENF_TCP_FIN, ""), 0);
    client(&bed, "HELO x\r\n");
    assert_int_equal(facts(&bed)->helo, 1);
    assert_false(facts(&bed)->quit || facts(&bed)->fin_client);
    tear_down(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),         cmocka_unit_test(test_finished),
        cmocka_unit_test(test_resets),          cmocka_unit_test(test_ports_again),
        cmocka_unit_test(test_two_connections), cmocka_unit_test(test_begin_with_syn_ack),
        cmocka_unit_test(test_data_in_syn),     cmocka_unit_test(test_without_ack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
