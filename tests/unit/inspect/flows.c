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
        talk_free(&talk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
