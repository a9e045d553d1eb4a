/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections of which only a part is seen, and the caps. */
#include "tests/unit/inspect/session_bed.h"

static void test_from_the_middle(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *before; /* of the client; the server then says "250 old" and the client goes on */
        const char *then;
        unsigned mail, ehlo, accepted;
    } cases[] = {
        {"the end of a line", "XXMAIL FROM:<a@b.example>\r\n", "MAIL FROM:<a@b.example>\r\n", 1, 0, 1},
        {"what looks like a command is the end of a line", "EHLO x\r\n", "NOOP\r\n", 0, 0, 0},
        {"the end of a body", "text\r\nDATA\r\nQUIT\r\n.\r\n", "EHLO host.example\r\n", 0, 1, 0},
        {"nothing that begins", "text\r\ntext\r\n", "RCPT TO:<a@b.example>\r\n", 0, 0, 0},
        {"MAIL without FROM", "text\r\n", "mail was lost\r\n", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bed bed;
        set_up(&bed);
        client(&bed, cases[i].before);
        server(&bed, "50 old\r\n250 old\r\n");
        client(&bed, cases[i].then);
        server(&bed, "250 new\r\n");
        if (!facts(&bed)->unsynchronised || facts(&bed)->mail != cases[i].mail ||
            facts(&bed)->ehlo != cases[i].ehlo ||
            facts(&bed)->replies[ENF_SMTP_STAGE_MAIL][0] != cases[i].accepted || facts(&bed)->unknown ||
            facts(&bed)->data || facts(&bed)->quit || facts(&bed)->malformed_replies)
            fail_msg("%s: mail %u, ehlo %u", cases[i].name, facts(&bed)->mail, facts(&bed)->ehlo);
        tear_down(&bed);
    }
}

/* The client's first whole command comes before a reply that it had received already. */
static void test_from_the_middle_late(void **state)
{
    (void)state;
    struct bed bed;
    set_up(&bed);
    client(&bed, "text\r\n");
    server(&bed, "250 x\r\n");
    uint32_t at = bed.server;
    bed.server += 9;
    client(&bed, "MAIL FROM:<a@b.example>\r\n");
    packet(&bed, SERVER, at, bed.client, ACK, "550 old\r\n");
    server(&bed, "250 new\r\n");
    assert_int_equal(facts(&bed)->replies[ENF_SMTP_STAGE_MAIL][ENF_SMTP_CLASS_2], 1);
    assert_int_equal(facts(&bed)->replies[ENF_SMTP_STAGE_MAIL][ENF_SMTP_CLASS_5], 0);
    tear_down(&bed);
}

/* A FIN is read where it stands: behind the answer that the client waits for. */
static void test_fin_while_waiting(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct bed bed;
        set_up(&bed);
        shake_hands(&bed);
        server(&bed, "220 mx\r\n");
        client(&bed, "STARTTLS\r\n");
        if (!late)
            packet(&bed, CLIENT, bed.client, bed.server, ACK | ENF_TCP_FIN, "");
        server(&bed, "220 go\r\n");
        if (late)
            packet(&bed, CLIENT, bed.client, bed.server, ACK | ENF_TCP_FIN, "");
        assert_int_equal(facts(&bed)->client_end, ENF_SMTP_END_STARTTLS);
        assert_true(facts(&bed)->fin_client);
        tear_down(&bed);
    }
    struct bed bed;
    set_up(&bed);
    shake_hands(&bed);
    server(&bed, "220 mx\r\n");
    client(&bed, "DATA\r\n");
    packet(&bed, CLIENT, bed.client, bed.server, ACK | ENF_TCP_FIN, "");
    enf_session_end(&bed.reader.session);
    assert_int_equal(facts(&bed)->client_end, ENF_SMTP_END_FIN);
    tear_down(&bed);
}

/* The last thing seen is the answer to a body that ended in a way RFC 5321 does not know. */
static void test_loose_end(void **state)
{
    (void)state;
    for (int fin = 0; fin < 2; fin++) {
        struct bed bed;
        set_up(&bed);
        shake_hands(&bed);
        server(&bed, "220 mx\r\n");
        client(&bed, "DATA\r\n");
        server(&bed, "354 go\r\n");
        client(&bed, "x\n.\n");
        server(&bed, "250 taken\r\n");
        if (fin)
            packet(&bed, CLIENT, bed.client, bed.server, ACK | ENF_TCP_FIN, "");
        enf_session_end(&bed.reader.session);
        assert_int_equal(facts(&bed)->messages, 1);
        assert_int_equal(facts(&bed)->unsolicited, 0);
        tear_down(&bed);
    }
}

static void test_one_side(void **state)
{
    (void)state;
    static const char body[] = "Subject: x\r\n\r\nMAIL FROM:<x>\r\n.\r\n";
    struct bed bed;
    set_up(&bed);
    packet(&bed, CLIENT, TALK_CLIENT_ISN, 0, ENF_TCP_SYN, "");
    client(&bed, "EHLO x\r\n");
    client(&bed, "AUTH LOGIN\r\n");
    client(&bed, "dXNlcg==\r\n");
    client(&bed, "cGFzcw==\r\n");
    client(&bed, "MAIL FROM:<a@b.example>\r\nDATA\r\n");
    client(&bed, body);
    client(&bed, "MAIL FROM:<a@c.example>\r\nDATA\r\n");
    client(&bed, "RSET\r\nQUIT\r\n"); /* it was refused, it seems */
    assert_int_equal(facts(&bed)->mail, 0);
    assert_true(enf_session_end(&bed.reader.session));
    assert_int_equal(facts(&bed)->server_end, ENF_SMTP_END_MISSING);
    assert_int_equal(facts(&bed)->mail, 2);
    assert_int_equal(facts(&bed)->data, 2);
    assert_int_equal(facts(&bed)->body_bytes, strlen(body) - 2);
    assert_int_equal(facts(&bed)->rset, 1);
    assert_true(facts(&bed)->quit);
    assert_int_equal(facts(&bed)->unknown, 0);
    assert_false(facts(&bed)->early_talk);
    assert_int_equal(facts(&bed)->pipelined, 0);
    tear_down(&bed);

    set_up(&bed);
    packet(&bed, SERVER, TALK_SERVER_ISN, TALK_CLIENT_ISN + 1, ENF_TCP_SYN | ACK, "");
    server(&bed, "220 mx\r\n");
    server(&bed, "250 mx\r\n250 ok\r\n554 blocked\r\n");
    enf_session_end(&bed.reader.session);
    assert_int_equal(facts(&bed)->greeting_code, 220);
    assert_int_equal(facts(&bed)->unsolicited, 3);
    assert_int_equal(facts(&bed)->refused_listed, 1);
    tear_down(&bed);
}

/* One direction never comes and the other is long: at the cap it is read alone. */
static void test_one_side_long(void **state)
{
    (void)state;
    struct bed bed;
    char line[1001];
    set_up(&bed);
    packet(&bed, CLIENT, TALK_CLIENT_ISN, 0, ENF_TCP_SYN, "");
    client(&bed, "DATA\r\n");
    memset(line, 'x', 1000);
    memcpy(line + 998, "\r\n", 3);
    for (unsigned i = 0; i < 2 * ENF_STREAM_WINDOW / 1000; i++)
        client(&bed, line);
    client(&bed, ".\r\nQUIT\r\n");
    assert_true(facts(&bed)->quit);
    assert_int_equal(facts(&bed)->server_end, ENF_SMTP_END_MISSING);
    assert_int_equal(facts(&bed)->client_end, ENF_SMTP_END_QUIT);
    tear_down(&bed);
}

/* The server is there, but says nothing: what the client sends on is kept up to the cap. */
static void test_full(void **state)
{
    (void)state;
    struct bed bed;
    char line[1001];
    set_up(&bed);
    shake_hands(&bed);
    server(&bed, "220 mx\r\n");
    client(&bed, "DATA\r\n");
    memset(line, 'x', 1000);
    line[1000] = '\0';
    for (unsigned i = 0; i < ENF_STREAM_WINDOW / 1000; i++)
        client(&bed, line);
    assert_int_equal(facts(&bed)->client_end, ENF_SMTP_END_NONE);
    client(&bed, line);
    assert_int_equal(facts(&bed)->client_end, ENF_SMTP_END_FULL);
    assert_int_equal(bed.reader.memory.used, 0);
    server(&bed, "354 go\r\n");
    assert_int_equal(facts(&bed)->replies[ENF_SMTP_STAGE_DATA][ENF_SMTP_CLASS_3], 1);
    tear_down(&bed);
}

static void test_budget(void **state)
{
    (void)state;
    static const char helo[] = "HELO x\r\n";
    for (int over = 0; over < 2; over++) {
        struct bed bed;
        set_up(&bed);
        bed.reader.params.client_budget = (uint32_t)strlen(helo) - 1 + (unsigned)over;
        enf_session_init(&bed.reader.session, &bed.reader.params);
        shake_hands(&bed);
        server(&bed, "220 mx\r\n");
        client(&bed, helo);
        assert_int_equal(facts(&bed)->helo, over);
        assert_int_equal(facts(&bed)->client_end, ENF_SMTP_END_BUDGET);
        /* What was asked is answered, then all is known. */
        if (over)
            assert_true(server(&bed, "250 mx\r\n") & ENF_SESSION_FINISHED);
        assert_int_equal(facts(&bed)->replies[ENF_SMTP_STAGE_EHLO][ENF_SMTP_CLASS_2], over);
        tear_down(&bed);
    }
}

static void test_gap(void **state)
{
    (void)state;
    struct bed bed;
    char line[1001];
    set_up(&bed);
    shake_hands(&bed);
    server(&bed, "220 mx\r\n");
    bed.client++; /* a byte that never comes */
    memset(line, 'x', 1000);
    line[1000] = '\0';
    for (unsigned i = 0; i <= ENF_STREAM_WINDOW / 1000; i++)
        client(&bed, line);
    assert_int_equal(facts(&bed)->client_end, ENF_SMTP_END_GAP);
    assert_int_equal(facts(&bed)->unknown, 0);
    tear_down(&bed);
}

/* The worker's memory: who needs more than is left is read no more, the others are. */
static void test_memory(void **state)
{
    (void)state;
    struct bed a, b;
    set_up(&a);
    set_up(&b);
    a.reader.memory.max = 4000;
    b.reader.params.memory = &a.reader.memory;
    enf_session_init(&b.reader.session, &b.reader.params);
    shake_hands(&a);
    shake_hands(&b);
    packet(&a, CLIENT, a.client + 1, a.server, ACK, "LO x\r\n");
    size_t one = a.reader.memory.used;
    assert_true(one > 0);
    a.reader.memory.max = 2 * one - 1;
    packet(&b, CLIENT, b.client + 1, b.server, ACK, "ELO x\r\n");
    assert_int_equal(facts(&b)->client_end, ENF_SMTP_END_MEMORY);
    packet(&a, CLIENT, a.client, a.server, ACK, "HE");
    assert_int_equal(facts(&a)->client_end, ENF_SMTP_END_NONE);
    assert_int_equal(facts(&a)->helo, 0); /* "HEO x": the first copy of the second byte stands */
    assert_int_equal(facts(&a)->unknown, 1);
    assert_int_equal(a.reader.memory.used, 0);
    tear_down(&b);
    tear_down(&a);
}

/* With both directions at their worst a session holds no more than it says. */
static void test_held(void **state)
{
    (void)state;
    struct bed bed;
    char bytes[1001];
    set_up(&bed);
    bed.reader.params.client_budget = ENF_SESSION_CLIENT_BUDGET;
    bed.reader.params.server_budget = ENF_SESSION_SERVER_BUDGET;
    enf_session_init(&bed.reader.session, &bed.reader.params);
    shake_hands(&bed);
    memset(bytes, 'x', 1000);
    bytes[1000] = '\0';
    bed.client++;
    bed.server++;
    size_t most = 0;
    for (unsigned i = 0; i < 100; i++) {
        client(&bed, bytes);
        server(&bed, bytes);
        most = bed.reader.memory.used > most ? bed.reader.memory.used : most;
    }
    assert_true(most > ENF_SESSION_CLIENT_BUDGET);
    assert_true(most <= ENF_SESSION_HELD_MAX);
    tear_down(&bed);
}

static void test_cut_packet(void **state)
{
    (void)state;
    struct bed bed;
    set_up(&bed);
    shake_hands(&bed);
    struct enf_packet p = {.has_ports = true,
                           .has_flags = true,
                           .tcp_flags = ACK,
                           .sequence = bed.server,
                           .acknowledgment = bed.client,
                           .payload = (const uint8_t *)"220 mx\r\n",
                           .payload_len = 20,
                           .payload_captured_len = 8};
    enf_session_feed(&bed.reader.session, &p, SERVER, 0);
    assert_int_equal(facts(&bed)->greeting_code, 220);
    assert_int_equal(facts(&bed)->server_end, ENF_SMTP_END_CUT);
    client(&bed, "HELO x\r\n");
    assert_int_equal(facts(&bed)->helo, 1);
    tear_down(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_the_middle),
        cmocka_unit_test(test_from_the_middle_late),
        cmocka_unit_test(test_fin_while_waiting),
        cmocka_unit_test(test_loose_end),
        cmocka_unit_test(test_one_side),
        cmocka_unit_test(test_one_side_long),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_cut_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
