/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What packets of a flow are told as: tables of dialogues, of answers to a SYN, of packets from nowhere. */
#include "tests/unit/inspect/flows_bed.h"

#define SYN ENF_TCP_SYN
#define ACK ENF_TCP_ACK
#define RST ENF_TCP_RST
#define FIN ENF_TCP_FIN
#define C   ENF_DIRECTION_CLIENT
#define S   ENF_DIRECTION_SERVER

static const struct ends ends4 = {.client = 7, .client_port = 40000, .server = 25};

/* --- dialogues --- */

enum ending {
    NOBODY,       /* the capture ends */
    CLIENT_FIRST, /* FIN of the client, then of the server */
    SERVER_FIRST,
    CLIENT_RESET,
    SERVER_RESET,
};

#define RCPT "RCPT TO:<a@example.net>\r\n"
#define TEN  RCPT RCPT RCPT RCPT RCPT RCPT RCPT RCPT RCPT RCPT

static const struct {
    const char *name;
    const char *lines[24];
    enum ending ending;
    const char *told;
} dialogues[] = {
    {"a message",
     {"S: 220 mx.example.net", "C: EHLO host.example.org", "S: 250 mx", "C: MAIL FROM:<a@example.org>",
      "S: 250 ok", "C: RCPT TO:<b@example.net>", "S: 250 ok", "C: DATA", "S: 354 go", "C: Subject: x", "C: .",
      "S: 250 taken", "C: QUIT", "S: 221 bye"},
     CLIENT_FIRST,
     "answered helo=fqdn accepted end=1"},
    {"no QUIT",
     {"S: 220 mx", "C: HELO localhost", "S: 250 mx"},
     CLIENT_FIRST,
     "answered helo=bare-name end=0"},
    {"no QUIT, reset",
     {"S: 220 mx", "C: HELO localhost", "S: 250 mx"},
     CLIENT_RESET,
     "answered helo=bare-name end=0"},
    {"the server left first",
     {"S: 220 mx", "C: HELO localhost", "S: 250 mx"},
     SERVER_FIRST,
     "answered helo=bare-name"},
    {"the server reset",
     {"S: 220 mx", "C: HELO localhost", "S: 250 mx"},
     SERVER_RESET,
     "answered helo=bare-name"},
    {"nobody left", {"S: 220 mx", "C: HELO localhost", "S: 250 mx"}, NOBODY, "answered helo=bare-name"},
    {"said nothing", {"S: 220 mx"}, CLIENT_FIRST, "answered"},
    {"left while the server was to answer",
     {"S: 220 mx", "C: EHLO a.example.org", "S: 250 mx", "C: DATA"},
     CLIENT_FIRST,
     "answered helo=fqdn end=0"},
    {"refused for good and for now, each once",
     {"S: 220 mx", "C: EHLO a.example.org", "S: 250 mx", "C: MAIL FROM:<a@example.org>", "S: 250 ok",
      "C: RCPT TO:<1@example.net>", "S: 550 no", "C: RCPT TO:<2@example.net>", "S: 550 no",
      "C: RCPT TO:<3@example.net>", "S: 450 later", "C: RCPT TO:<4@example.net>", "S: 451 later",
      "C: RCPT TO:<5@example.net>", "S: 250 ok", "C: RCPT TO:<6@example.net>", "S: 250 ok", "C: QUIT"},
     CLIENT_FIRST,
     "answered helo=fqdn refused deferred accepted end=1"},
    {"a blocklist",
     {"S: 554 5.7.1 your address is listed by a DNSBL", "C: QUIT"},
     CLIENT_FIRST,
     "answered blocklisted end=1"},
    {"names that change",
     {"S: 220 mx", "C: HELO a.example.org", "S: 250 mx", "C: HELO a.example.org", "S: 250 mx",
      "C: HELO [192.0.2.1]", "S: 250 mx", "C: HELO 192.0.2.1", "S: 250 mx"},
     CLIENT_FIRST,
     "answered helo=fqdn helo=literal helo=bare-address end=0"},
    {"STARTTLS: nothing from there on",
     {"S: 220 mx", "C: EHLO a.example.org", "S: 250 STARTTLS", "C: STARTTLS", "S: 220 go", "C: QUIT"},
     CLIENT_FIRST,
     "answered helo=fqdn"},
    {"STARTTLS refused",
     {"S: 220 mx", "C: EHLO a.example.org", "S: 250 STARTTLS", "C: STARTTLS", "S: 454 no", "C: QUIT"},
     CLIENT_FIRST,
     "answered helo=fqdn end=1"},
    {"HTTP", {"C+ GET / HTTP/1.1", "S: 220 mx"}, CLIENT_FIRST, "answered not-smtp=3 early-talk"},
    {"names and recipients in one packet, between messages",
     {"S: 220 mx", "C: HELO a.example.org\r\nHELO b.example.org\r\nHELO c.example.org",
      "S: 250 mx\r\n250 mx\r\n250 mx", "C: MAIL FROM:<>\r\nRCPT TO:<a@example.net>\r\nDATA",
      "S: 250 ok\r\n250 ok\r\n354 go", "C: x\r\n.\r\nMAIL FROM:<>\r\n" TEN TEN TEN "HELO d.example.org"},
     NOBODY,
     "answered helo=fqdn helo=fqdn helo=fqdn accepted recipients=20 helo=fqdn"},
    {"spoke first",
     {"C+ HELO a.example.org", "S: 220 mx", "S: 250 mx", "C: QUIT"},
     CLIENT_FIRST,
     "answered helo=fqdn early-talk end=1"},
};

static void close_talk(struct talk *t, enum ending ending)
{
    switch (ending) {
    case NOBODY:
        return;
    case CLIENT_FIRST:
        talk_fin(t, C);
        t->client_next++;
        talk_fin(t, S);
        return;
    case SERVER_FIRST:
        talk_fin(t, S);
        t->server_next++;
        talk_fin(t, C);
        return;
    case CLIENT_RESET:
        talk_segment(t, C, t->client_next, t->server_next, RST | ACK, NULL, 0);
        return;
    case SERVER_RESET:
        talk_segment(t, S, t->server_next, t->client_next, RST | ACK, NULL, 0);
        return;
    }
}

static void test_dialogues(void **state)
{
    (void)state;
    static struct flows_bed bed;
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
        struct ends ends = ends4;
        struct talk talk = {0};
        ends.v6 = i & 1;
        talk_open(&talk);
        talk_script(&talk, dialogues[i].lines);
        close_talk(&talk, dialogues[i].ending);
        flows_bed_open(&bed, NULL);
        flows_bed_talk(&bed, &ends, &talk);
        flows_bed_close(&bed);
        flows_bed_expect(&bed, dialogues[i].name, dialogues[i].told);
        assert_int_equal(bed.syns, 1);
        for (size_t s = 0; s < bed.seen_len; s++) {
            assert_int_equal(bed.seen[s].sequence, TALK_CLIENT_ISN);
            assert_int_equal(bed.seen[s].ifindex, 3);
            assert_int_equal(bed.seen[s].source_port, ends.client_port);
            assert_int_equal(bed.seen[s].subscriber.len, ends.v6 ? 64 : 32);
            assert_true(enf_prefix_contains(&bed.seen[s].subscriber, &bed.seen[s].source));
        }
        for (unsigned seed = 0; seed < 20; seed++)
            flows_bed_check_shapes(dialogues[i].name, &talk, true, 1, seed);
        talk_free(&talk);
    }
}

/* --- answers to a SYN --- */

#define ISN  5000u
#define SISN 90000u

static struct flows_bed bed;

static void client(uint32_t sequence, uint32_t ack, uint8_t flags, const char *text)
{
    flows_bed_packet(&bed, &ends4, C, sequence, ack, flags, text);
}

static void server(uint32_t sequence, uint32_t ack, uint8_t flags, const char *text)
{
    flows_bed_packet(&bed, &ends4, S, sequence, ack, flags, text);
}

static void refuse(void)
{
    server(0, ISN + 1, RST | ACK, "");
}

static void refuse_another(void)
{
    server(0, ISN + 2, RST | ACK, "");
    server(0, ISN + 1, RST, "");
}

static void agree(void)
{
    server(SISN, ISN + 1, SYN | ACK, "");
}

static void agree_twice(void)
{
    agree();
    agree();
    refuse();
}

static void agree_with_another(void)
{
    server(SISN, ISN + 2, SYN | ACK, "");
}

static void answer_without_syn(void)
{
    server(SISN + 1, ISN + 1, ACK, "220 mx\r\n");
}

static void nothing(void)
{
}

static void client_acks(void)
{
    client(ISN + 1, SISN + 1, ACK, "");
}

static void client_acks_elsewhere(void)
{
    client(ISN + 1000000, SISN + 1, ACK, "x");
}

static void client_speaks(void)
{
    client(ISN + 1, SISN + 1, ACK, "EHLO a.example.org\r\n");
}

static void client_speaks_then_refused(void)
{
    client_speaks();
    refuse();
}

static void client_resets(void)
{
    client(ISN + 1, 0, RST, "");
}

static void agree_late(void)
{
    flows_bed_tick(&bed, ENF_FLOWS_ANSWER_MS);
    agree();
}

static void refuse_late(void)
{
    flows_bed_tick(&bed, ENF_FLOWS_ANSWER_MS);
    refuse();
}

static void try_again(void)
{
    for (int wait = 1000; wait <= 64000; wait *= 2) {
        flows_bed_tick(&bed, (uint64_t)wait);
        client(ISN, 0, SYN, "");
    }
}

static void same_ports(void)
{
    client(ISN + 77777, 0, SYN, "");
    server(SISN, ISN + 77777 + 1, SYN | ACK, "");
}

static void one_ms_early(void)
{
    agree();
    flows_bed_tick(&bed, ENF_FLOWS_ANSWER_MS - 1);
}

static const struct {
    const char *name;
    void (*then)(void);
    const char *told;
} answers[] = {
    {"silence", nothing, "failed=0"},
    {"reset", refuse, "failed=1"},
    {"a reset that answers something else", refuse_another, "failed=0"},
    {"a SYN-ACK", agree, "answered"},
    {"a SYN-ACK twice, then a reset", agree_twice, "answered"},
    {"a SYN-ACK of another connection", agree_with_another, "failed=0"},
    {"the SYN-ACK was not captured", answer_without_syn, "answered"},
    {"the client was answered elsewhere", client_acks, ""},
    {"a client's packet that is none of this connection", client_acks_elsewhere, "failed=0"},
    {"one direction only", client_speaks, "helo=fqdn"},
    {"a client that spoke to nobody", client_speaks_then_refused, "helo=fqdn failed=1"},
    {"a client that gave up", client_resets, ""},
    {"an answer that comes too late", agree_late, "failed=0"},
    {"a reset that comes too late", refuse_late, "failed=0"},
    {"retransmissions", try_again, "failed=0"},
    {"the same ports again", same_ports, "failed=0 answered"},
    {"just in time", one_ms_early, "answered"},
};

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        flows_bed_open(&bed, NULL);
        client(ISN, 0, SYN, "");
        answers[i].then();
        flows_bed_tick(&bed, 3600000);
        flows_bed_close(&bed);
        flows_bed_expect(&bed, answers[i].name, answers[i].told);
    }
}

/* Of silence: when it was due, whoever noticed it. */
static void test_silence_is_told_when_due(void **state)
{
    (void)state;
    for (int by_tick = 0; by_tick < 2; by_tick++) {
        struct ends other = {.client = 8, .client_port = 1, .server = 1};
        flows_bed_open(&bed, NULL);
        client(ISN, 0, SYN, "");
        uint64_t due = bed.now_ms + ENF_FLOWS_ANSWER_MS;
        bed.now_ms = due - 1;
        assert_int_equal(enf_flows_tick(bed.flows, bed.now_ms, 100, see, &bed), 0);
        assert_int_equal(bed.seen_len, 0);
        bed.now_ms = due + 5000;
        if (by_tick)
            assert_int_equal(enf_flows_tick(bed.flows, bed.now_ms, 100, see, &bed), 1);
        else
            flows_bed_packet(&bed, &other, C, 1, 0, SYN, "");
        assert_int_equal(bed.seen_len, 1);
        assert_int_equal(bed.seen[0].time_ms, due);
        flows_bed_close(&bed);
    }
}

/* What nobody can say is not said: at the end of the input the time of a SYN was not over. */
static void test_finish_concludes_nothing(void **state)
{
    (void)state;
    flows_bed_open(&bed, NULL);
    client(ISN, 0, SYN, "");
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "finish", "");
}

static void test_blocked(void **state)
{
    (void)state;
    flows_bed_open(&bed, NULL);
    bed.blocked = true;
    client(ISN, 0, SYN, "");
    assert_int_equal(bed.syns, 1);
    assert_int_equal(bed.answer, ENF_FLOWS_ENOUGH);
    assert_int_equal(flows_bed_stats(&bed).flows, 0);
    flows_bed_tick(&bed, 3600000);
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "blocked", "");
}

/* Nobody wants the dialogue: there is no reader, and the answer to the SYN is told all the same. */
static void test_unread(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        flows_bed_open(&bed, NULL);
        bed.unread = true;
        client(ISN, 0, SYN, "");
        answers[i].then();
        server(SISN + 1, ISN + 1, ACK, "220 mx\r\n");
        client(ISN + 1, SISN + 9, ACK, "QUIT\r\n");
        assert_int_equal(flows_bed_stats(&bed).read, 0);
        assert_int_equal(flows_bed_stats(&bed).sessions, 0);
        flows_bed_tick(&bed, 3600000);
        flows_bed_close(&bed);
        for (size_t k = 0; k < bed.seen_len; k++)
            assert_true(bed.seen[k].kind == ENF_OBSERVATION_ANSWERED ||
                        bed.seen[k].kind == ENF_OBSERVATION_FAILED);
    }
}

/* --- packets from nowhere --- */

static void test_replies(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint16_t code;
    } rows[] = {
        {"220 mx", 220}, {"220-mx", 220},     {"250\r\n", 250},   {"354 go\r\n", 354},
        {"250", 0},      {"2500", 0},         {"221 bye", 0},     {"550 no", 0},
        {"", 0},         {"HTTP/1.1 200", 0}, {" 220 mx\r\n", 0}, {"220\n", 220},
        {"220\t", 0},    {"\x16\x03\x01", 0}, {"354-x", 354},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        flows_bed_open(&bed, NULL);
        server(SISN, ISN, ACK, rows[i].text); /* somebody asked */
        assert_int_equal(bed.seen_len, 0);
        bed.unrequested = true;
        server(SISN, ISN, ACK, rows[i].text);
        server(SISN, ISN, ACK, rows[i].text); /* told once */
        if (bed.seen_len != (rows[i].code ? 1 : 0))
            fail_msg("\"%s\": told %zu times", rows[i].text, bed.seen_len);
        if (rows[i].code) {
            assert_int_equal(bed.seen[0].kind, ENF_OBSERVATION_REPLY);
            assert_int_equal(bed.seen[0].value, rows[i].code);
            assert_int_equal(bed.seen[0].source_port, ENF_SMTP_PORT);
            assert_int_equal(bed.seen[0].destination.bytes[0], 100);
            assert_int_equal(bed.seen[0].subscriber.addr.bytes[0], 100);
        }
        flows_bed_close(&bed);
    }
}

/* The other direction goes another way here, and was seen: nobody's replies are unrequested. */
static void test_no_reply_where_the_client_was_seen(void **state)
{
    (void)state;
    flows_bed_open(&bed, NULL);
    bed.unrequested = true;
    client(ISN, SISN, ACK, "RCPT TO:<a@example.net>\r\n");
    assert_int_equal(bed.answer, ENF_FLOWS_ENOUGH);
    server(SISN, ISN, ACK, "250 ok\r\n");
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "middle", "");
}

static void test_backscatter(void **state)
{
    (void)state;
    flows_bed_open(&bed, NULL);
    bed.unrequested = true;
    agree();
    refuse();
    assert_int_equal(flows_bed_stats(&bed).flows, 0);
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "backscatter", "");
}

/* --- more of the life of a flow --- */

static void test_enough(void **state)
{
    (void)state;
    flows_bed_open(&bed, NULL);
    client(ISN, 0, SYN, "");
    assert_int_equal(bed.answer, 0);
    agree();
    assert_int_equal(bed.answer, 0);
    server(SISN + 1, ISN + 1, ACK, "220 mx\r\n");
    assert_int_equal(bed.answer, 0);
    client(ISN + 1, SISN + 9, ACK, "STARTTLS\r\n");
    assert_int_equal(bed.answer, 0);
    server(SISN + 9, ISN + 11, ACK, "220 go\r\n");
    assert_int_equal(bed.answer, ENF_FLOWS_ENOUGH);
    assert_int_equal(flows_bed_stats(&bed).read, 0);
    client(ISN + 11, SISN + 17, ACK, "QUIT\r\n");
    assert_int_equal(bed.answer, ENF_FLOWS_ENOUGH);
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "enough", "answered");
}

/* A table of its own, and a session in it that said HELO; the client is at ISN + 21, the server at SISN + 9.
 */
static void greeted(void)
{
    flows_bed_open(&bed, NULL);
    client(ISN, 0, SYN, "");
    agree();
    server(SISN + 1, ISN + 1, ACK, "220 mx\r\n");
    client(ISN + 1, SISN + 9, ACK, "HELO a.example.org\r\n");
}

/* The kernel brings the first packets of a direction only: what is missing then proves nothing. */
static void test_cut_by_the_kernel(void **state)
{
    (void)state;
    greeted();
    client(ISN + 21, SISN + 900, FIN | ACK, ""); /* had heard what did not come here */
    flows_bed_tick(&bed, ENF_FLOWS_IDLE_MS);
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "server cut", "answered helo=fqdn");

    greeted();
    client(ISN + 700, SISN + 9, FIN | ACK, ""); /* said what did not come here */
    server(SISN + 9, ISN + 701, FIN | ACK, "");
    flows_bed_tick(&bed, ENF_FLOWS_IDLE_MS);
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "client cut", "answered helo=fqdn");
}

/* A FIN that was read late: its end is told when the server's words before it have come. */
static void test_end_waits_for_what_was_heard(void **state)
{
    (void)state;
    greeted();
    client(ISN + 21, SISN + 17, FIN | ACK, "");
    flows_bed_expect(&bed, "before", "answered helo=fqdn");
    server(SISN + 9, ISN + 21, ACK, "250 ok\r\n");
    flows_bed_expect(&bed, "after", "answered helo=fqdn end=0");
    flows_bed_close(&bed);
}

static void test_ports_again(void **state)
{
    (void)state;
    flows_bed_open(&bed, NULL);
    for (uint32_t round = 0; round < 3; round++) {
        uint32_t isn = ISN + round * 100000;
        client(isn, 0, SYN, "");
        server(SISN, isn + 1, SYN | ACK, "");
        server(SISN + 1, isn + 1, ACK, "220 mx\r\n");
        client(isn + 1, SISN + 9, ACK, "HELO a.example.org\r\n");
        /* round 0 is left open: the next SYN stands beside it until it is answered */
        if (round == 1)
            client(isn + 21, SISN + 9, RST | ACK, "");
    }
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "ports", "answered helo=fqdn answered helo=fqdn end=0 answered helo=fqdn");
    assert_int_equal(bed.seen[2].sequence, ISN + 100000);
    assert_int_equal(bed.seen[5].sequence, ISN + 200000);
}

/* Port 25 on both sides. */
static void test_both_25(void **state)
{
    (void)state;
    const struct ends ends = {.client = 7, .client_port = 25, .server = 25};
    struct talk talk = {0};
    static const char *const lines[] = {
        "S: 220 mx", "C: EHLO a.example.org", "S: 250 mx", "C: QUIT", "S: 221", NULL};
    talk_open(&talk);
    talk_script(&talk, lines);
    flows_bed_open(&bed, NULL);
    for (size_t i = 0; i < talk.len; i++) {
        struct talk_packet p = talk_packet_at(&talk, i);
        set_ends(&p.packet, &ends, p.direction);
        assert_int_equal(enf_flows_direction(bed.flows, &p.packet), p.direction);
        flows_bed_feed(&bed, &p.packet, p.direction);
    }
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "25", "answered helo=fqdn end=1");
    talk_free(&talk);
}

static void test_data_in_syn(void **state)
{
    (void)state;
    flows_bed_open(&bed, NULL);
    client(ISN, 0, SYN, "EHLO a.example.org\r\n"); /* not taken: comes again */
    agree();
    client(ISN + 1, SISN + 1, ACK, "EHLO a.example.org\r\n");
    server(SISN + 1, ISN + 21, ACK, "220 mx\r\n");
    flows_bed_expect(&bed, "not taken", "answered helo=fqdn early-talk");
    flows_bed_close(&bed);

    flows_bed_open(&bed, NULL);
    client(ISN, 0, SYN, "EHLO a.example.org\r\n");
    server(SISN, ISN + 21, SYN | ACK, "");
    flows_bed_expect(&bed, "taken", "answered early-talk");
    flows_bed_close(&bed);
}

static void test_clock_step(void **state)
{
    (void)state;
    flows_bed_open(&bed, NULL);
    client(ISN, 0, SYN, "");
    bed.now_ms -= ENF_FLOWS_STEP_MS;
    client(ISN, 0, SYN, "");
    assert_int_equal(flows_bed_stats(&bed).clock_steps, 0);
    bed.now_ms -= 1;
    agree();
    assert_int_equal(flows_bed_stats(&bed).clock_steps, 1);
    assert_int_equal(flows_bed_stats(&bed).flows, 0);
    bed.unordered = false; /* it went back by itself */
    flows_bed_close(&bed);
    flows_bed_expect(&bed, "step", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_silence_is_told_when_due),
        cmocka_unit_test(test_finish_concludes_nothing),
        cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_unread),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_no_reply_where_the_client_was_seen),
        cmocka_unit_test(test_backscatter),
        cmocka_unit_test(test_enough),
        cmocka_unit_test(test_cut_by_the_kernel),
        cmocka_unit_test(test_end_waits_for_what_was_heard),
        cmocka_unit_test(test_ports_again),
        cmocka_unit_test(test_both_25),
        cmocka_unit_test(test_data_in_syn),
        cmocka_unit_test(test_clock_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
