/* SPDX-License-Identifier: GPL-2.0-or-later */
/* History: order, what belongs to a prefix, bounds on lines and evidence, pruning. */
#include "tests/unit/store/store_bed.h"

/* Adds a line; the reason is its own number. */
static void add(struct bed *bed, const char *text, uint64_t time_ms, const char *action, const char *reason)
{
    struct enf_store_history line = {
        .subscriber = prefix(text),
        .time_ms = time_ms,
        .level = ENF_LEVEL_SMTP,
        .until_ms = time_ms + HOUR,
        .reason = reason,
        .actor = "detector",
    };

    assert_int_equal(enf_store_history_add(bed->store, action, &line), 0);
}

struct heard {
    char text[8192];
    size_t lines;
    size_t evidence_len;
};

static int note(void *ctx, const struct enf_store_history *line)
{
    struct heard *heard = ctx;
    size_t at = strlen(heard->text);

    heard->lines++;
    heard->evidence_len += strlen(line->evidence);
    snprintf(heard->text + at, sizeof(heard->text) - at, "%s ", line->reason);
    assert_string_equal(line->ticket, "");
    return 0;
}

static void expect(struct bed *bed, const char *text, size_t limit, const char *reasons)
{
    struct heard heard = {.lines = 0};
    struct enf_prefix p = prefix(text);

    assert_int_equal(enf_store_history_read(bed->store, &p, limit, note, &heard), 0);
    if (strcmp(heard.text, reasons) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", text, heard.text, reasons);
}

static void test_newest_first(void **state)
{
    struct bed *bed = *state;

    add(bed, "10.0.0.1", NOW + 2, "convicted", "b");
    add(bed, "10.0.0.1", NOW + 1, "quarantined", "a"); /* an older time, added later */
    add(bed, "10.0.0.1", NOW + 2, "released", "c");    /* the same time: added last is newest */
    add(bed, "10.0.0.2", NOW + 9, "convicted", "x");
    add(bed, "10.0.0.0/24", NOW + 3, "quarantined", "n");
    add(bed, "10.0.0.0/31", NOW + 4, "quarantined", "m");
    add(bed, "2001:db8::/64", NOW, "convicted", "v6");
    bed_reopen(bed);
    expect(bed, "10.0.0.1", 100, "m n c b a "); /* with what the prefixes around it went through */
    expect(bed, "10.0.0.1", 3, "m n c ");
    expect(bed, "10.0.0.1", 0, "");
    expect(bed, "10.0.0.2", 100, "x n ");
    expect(bed, "10.0.0.0/24", 100, "x m n c b a ");
    expect(bed, "10.0.0.0/24", 2, "x m ");
    expect(bed, "10.0.1.0/24", 100, "");
    expect(bed, "0.0.0.0/0", 100, "x m n c b a ");
    expect(bed, "2001:db8::/56", 100, "v6 ");
    expect(bed, "2001:db8::1", 100, "v6 ");
    expect(bed, "::/0", 100, "v6 ");
}

static void test_since(void **state)
{
    struct bed *bed = *state;
    static const struct {
        const char *action;
        uint64_t since_ms;
        const char *reasons;
    } rows[] = {
        {"convicted", NOW, "a c "}, {"convicted", NOW + 1, "a c "}, {"convicted", NOW + 2, "c "},
        {"convicted", NOW + 4, ""}, {"released", 0, "b "},          {NULL, 0, "a b c "},
        {"expired", 0, ""},         {NULL, UINT64_MAX, ""},
    };

    add(bed, "10.0.0.9", NOW + 3, "convicted", "c");
    add(bed, "10.0.0.1", NOW + 2, "released", "b");
    add(bed, "10.0.0.1", NOW + 1, "convicted", "a");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct heard heard = {.lines = 0};

        assert_int_equal(enf_store_history_since(bed->store, rows[i].action, rows[i].since_ms, note, &heard),
                         0);
        assert_string_equal(heard.text, rows[i].reasons);
    }
}

static int note_actor(void *ctx, const struct enf_store_history *line)
{
    char *text = ctx;
    size_t at = strlen(text);

    snprintf(text + at, 200 - at, "%s:%s:%s ", line->reason, line->action, line->actor);
    return 0;
}

/* What people did is in the audit log; convictions stand as the quarantines that they led to. */
static void test_automatic(void **state)
{
    struct bed *bed = *state;
    static const struct {
        const char *action, *actor, *reason;
    } rows[] = {
        {"convicted", "detector", "a"}, {"quarantined", "detector", "b"}, {"quarantined", "user:x", "c"},
        {"expired", "user:x", "d"},     {"released", "user:x", "e"},      {"quarantined", "meter", "f"},
        {"quarantined", "user", "g"},   {"quarantined", "", "h"},
    };
    char text[200] = "";

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct enf_store_history line = {
            .time_ms = NOW + i, .reason = rows[i].reason, .actor = rows[i].actor, .evidence = "[]"};

        assert_int_equal(enf_prefix_parse("10.0.0.1", &line.subscriber), 0);
        assert_int_equal(enf_store_history_add(bed->store, rows[i].action, &line), 0);
    }
    assert_int_equal(enf_store_history_automatic(bed->store, 0, 100, note_actor, text), 0);
    assert_string_equal(text, "h:quarantined: g:quarantined:user f:quarantined:meter d:expired:user:x "
                              "b:quarantined:detector ");
    text[0] = '\0';
    assert_int_equal(enf_store_history_automatic(bed->store, NOW + 2, 3, note_actor, text), 0);
    assert_string_equal(text, "h:quarantined: g:quarantined:user f:quarantined:meter ");
}

static int compare_line(void *ctx, const struct enf_store_history *line)
{
    (void)ctx;
    assert_string_equal(line->action, "convicted");
    assert_string_equal(line->reason, "why");
    assert_string_equal(line->actor, "user:a");
    assert_string_equal(line->ticket, "T-9");
    assert_string_equal(line->evidence, "[{\"kind\":\"connection\"}]");
    assert_int_equal(line->level, ENF_LEVEL_FULL);
    assert_true(line->until_ms == ENF_FOREVER);
    assert_true(line->time_ms == NOW);
    return 5;
}

static void test_whole_line(void **state)
{
    struct bed *bed = *state;
    struct enf_store_history line = {
        .subscriber = prefix("2001:db8::/56"),
        .time_ms = NOW,
        .level = ENF_LEVEL_FULL,
        .until_ms = ENF_FOREVER,
        .reason = "why",
        .actor = "user:a",
        .ticket = "T-9",
        .evidence = "[{\"kind\":\"connection\"}]",
    };
    struct enf_store_history bad;

    assert_int_equal(enf_store_history_add(bed->store, "convicted", &line), 0);
    assert_int_equal(enf_store_history_read(bed->store, &line.subscriber, 10, compare_line, NULL), 5);
    assert_int_equal(enf_store_history_add(bed->store, "", &line), -EINVAL);
    assert_int_equal(enf_store_history_add(bed->store, "No Word", &line), -EINVAL);
    assert_int_equal(enf_store_history_add(bed->store, "abcdefghijabcdefghijabcdefghijabc", &line), -EINVAL);
    bad = line;
    bad.subscriber.len = 3;
    assert_int_equal(enf_store_history_add(bed->store, "convicted", &bad), -EINVAL);
    bad = line;
    bad.level = (enum enf_level)ENF_LEVEL_COUNT;
    assert_int_equal(enf_store_history_add(bed->store, "convicted", &bad), -EINVAL);
    bad = line;
    bad.time_ms = 1ULL << 63;
    assert_int_equal(enf_store_history_add(bed->store, "convicted", &bad), -EINVAL);
}

static void test_bound_of_a_subscriber(void **state)
{
    struct bed *bed = *state;
    struct enf_store_limits limits = {.history_per_subscriber = 3};
    static const char *const reasons[] = {"1", "2", "3", "4", "5"};

    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    add(bed, "10.0.0.2", NOW, "convicted", "other");
    for (unsigned i = 0; i < 3; i++)
        add(bed, "10.0.0.1", NOW + i, "convicted", reasons[i]);
    expect(bed, "10.0.0.1", 10, "3 2 1 "); /* at the bound */
    for (unsigned i = 3; i < 5; i++)
        add(bed, "10.0.0.1", NOW + i, "convicted", reasons[i]);
    expect(bed, "10.0.0.1", 10, "5 4 3 ");
    add(bed, "10.0.0.1", NOW - 1, "convicted", "0"); /* older than all that are kept */
    expect(bed, "10.0.0.1", 10, "5 4 3 ");
    expect(bed, "10.0.0.2", 10, "other ");
}

static void test_bound_of_all(void **state)
{
    struct bed *bed = *state;
    struct enf_store_limits limits = {.history_rows = 4};

    for (unsigned i = 0; i < 6; i++) { /* more than the bound that comes later */
        char text[32];

        snprintf(text, sizeof(text), "10.0.0.%u", i);
        add(bed, text, NOW + i, "convicted", text + 7);
    }
    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    add(bed, "10.0.0.9", NOW + 9, "convicted", "9");
    expect(bed, "0.0.0.0/0", 100, "9 5 4 3 ");
    bed_reopen(bed);
    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    assert_int_equal(enf_store_begin(bed->store), 0);
    add(bed, "10.0.0.9", NOW + 10, "convicted", "10");
    enf_store_rollback(bed->store); /* counts follow */
    expect(bed, "0.0.0.0/0", 100, "9 5 4 3 ");
    add(bed, "10.0.0.9", NOW + 11, "convicted", "11");
    expect(bed, "0.0.0.0/0", 100, "11 9 5 4 ");
}

static void test_bound_of_evidence(void **state)
{
    struct bed *bed = *state;
    struct enf_store_limits limits = {.evidence_bytes = 250, .evidence_text_bytes = 100};
    struct enf_store_history line = {.time_ms = NOW};
    struct enf_prefix all = prefix("0.0.0.0/0");
    struct heard heard = {.lines = 0};
    char evidence[102];

    assert_int_equal(enf_store_set_limits(bed->store, &limits), 0);
    memset(evidence, 'e', sizeof(evidence));
    evidence[100] = '\0';
    line.evidence = evidence;
    for (unsigned i = 0; i < 5; i++) {
        line.subscriber = prefix("10.0.0.0");
        line.subscriber.addr.bytes[3] = (uint8_t)i;
        assert_int_equal(enf_store_history_add(bed->store, "convicted", &line), 0);
    }
    assert_int_equal(enf_store_history_read(bed->store, &all, 100, note, &heard), 0);
    assert_int_equal(heard.lines, 5); /* the lines stay */
    assert_int_equal(heard.evidence_len, 200);

    evidence[100] = 'e';
    evidence[101] = '\0';
    line.subscriber = prefix("10.9.9.9");
    assert_int_equal(enf_store_history_add(bed->store, "convicted", &line), 0);
    heard = (struct heard){.lines = 0};
    assert_int_equal(enf_store_history_read(bed->store, &line.subscriber, 100, note, &heard), 0);
    assert_int_equal(heard.lines, 1);
    assert_in_range(heard.evidence_len, 1, 60); /* the note in its place */
}

static void test_prune(void **state)
{
    struct bed *bed = *state;
    size_t deleted = 99;

    for (unsigned i = 0; i < 5; i++) {
        char text[4];

        snprintf(text, sizeof(text), "%u", i);
        add(bed, "10.0.0.1", NOW + i, "convicted", text);
    }
    assert_int_equal(enf_store_history_prune(bed->store, NOW, 0, &deleted), 0);
    assert_int_equal(deleted, 0);
    assert_int_equal(enf_store_history_prune(bed->store, NOW + 3, 2, &deleted), 0);
    assert_int_equal(deleted, 2);
    expect(bed, "10.0.0.1", 10, "4 3 2 ");
    assert_int_equal(enf_store_history_prune(bed->store, NOW + 3, 0, &deleted), 0);
    assert_int_equal(deleted, 1);
    assert_int_equal(enf_store_history_prune(bed->store, UINT64_MAX, 0, &deleted), 0);
    assert_int_equal(deleted, 2);
    expect(bed, "10.0.0.1", 10, "");
}

static void test_hostile_rows(void **state)
{
    struct bed *bed = *state;
    struct heard heard = {.lines = 0};
    struct enf_prefix all = prefix("0.0.0.0/0");

    add(bed, "10.0.0.1", NOW, "convicted", "good");
    bed_sql(bed, "INSERT INTO history VALUES(10, 4, x'0a0000', 24, 1, 'convicted', 2, 9, 'r', 'a', '');"
                 "INSERT INTO history VALUES(11, 4, x'0a000001', 32, -9, 'convicted', 2, 9, 'r', 'a', '');"
                 "INSERT INTO history VALUES(12, 4, x'0a000001', 32, 1, 'DROP IT', 2, 9, 'r', 'a', '');"
                 "INSERT INTO history VALUES(13, 4, x'0a000001', 32, 1, 'convicted', 9, 9, 'r', 'a', '');"
                 "INSERT INTO history VALUES(14, 4, x'0a000001', 32, 1, 'convicted', 2, -9, 'r', 'a', '');"
                 "INSERT INTO history VALUES(15, 4, x'0a000002', 32, 1, 'convicted', 2, 9, 'fine', 'a', '');"
                 "INSERT INTO evidence VALUES(15, -77, CAST(x'ff' AS TEXT));"
                 "INSERT INTO evidence VALUES(99, 9223372036854775807, 'x')");
    assert_int_equal(enf_store_history_since(bed->store, NULL, 0, note, &heard), 0);
    assert_string_equal(heard.text, "fine good ");
    heard = (struct heard){.lines = 0};
    assert_int_equal(enf_store_history_read(bed->store, &all, 100, note, &heard), 0);
    assert_string_equal(heard.text, "good fine ");
    assert_true(enf_store_bad_rows(bed->store) > 0);
    bed_reopen(bed);
    add(bed, "10.0.0.1", NOW + 1, "convicted", "on"); /* and adding goes on */
    bed_sql(bed, "DELETE FROM evidence; INSERT INTO evidence VALUES(1, 9223372036854775807, 'x'),"
                 "(2, 9223372036854775807, 'x')");
    bed_reopen(bed);
    add(bed, "10.0.0.3", NOW + 2, "convicted", "and on");
    expect(bed, "10.0.0.3", 1, "and on ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_newest_first),          T(test_since),        T(test_automatic),         T(test_whole_line),
        T(test_bound_of_a_subscriber), T(test_bound_of_all), T(test_bound_of_evidence), T(test_prune),
        T(test_hostile_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
