/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments into order: rows of what comes and what is read, then the caps. */
#include "enforcer/inspect/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bed {
    struct enf_stream_memory memory;
    struct enf_stream stream;
    char read[1 << 17];
    size_t read_len;
};

static void set_up(struct bed *bed, uint32_t first, uint32_t budget)
{
    *bed = (struct bed){.memory = {.max = 1 << 20}};
    enf_stream_init(&bed->stream, &bed->memory, budget);
    enf_stream_start(&bed->stream, first, true);
}

static void tear_down(struct bed *bed)
{
    enf_stream_clear(&bed->stream);
    assert_int_equal(bed->memory.used, 0);
}

/* Reads at most len bytes. */
static void drain(struct bed *bed, size_t len)
{
    struct enf_stream_segment segment;
    size_t have;
    while (len && (have = enf_stream_peek(&bed->stream, &segment)) > 0) {
        size_t n = have < len ? have : len;
        assert_int_equal(segment.sequence, bed->stream.next);
        assert_true(bed->read_len + n <= sizeof(bed->read));
        memcpy(bed->read + bed->read_len, segment.bytes, n);
        bed->read_len += n;
        len -= n;
        enf_stream_take(&bed->stream, n);
    }
}

/* Offers bytes that live on the heap only as long as the call; reads `reads` of what is there. */
static bool bring(struct bed *bed, uint32_t sequence, const char *text, size_t captured, size_t len, bool fin,
                  size_t reads)
{
    uint8_t *copy = malloc(captured ? captured : 1);
    assert_non_null(copy);
    if (captured)
        memcpy(copy, text, captured);
    struct enf_stream_segment segment = {.sequence = sequence,
                                         .has_ack = true,
                                         .ack = 7,
                                         .bytes = copy,
                                         .captured_len = (uint32_t)captured,
                                         .len = (uint32_t)len};
    enf_stream_offer(&bed->stream, &segment, fin);
    drain(bed, reads);
    bool settled = enf_stream_settle(&bed->stream);
    if (!settled)
        enf_stream_stop(&bed->stream, enf_stream_why(&bed->stream));
    free(copy);
    return settled;
}

struct come {
    int at; /* offset of the first byte; behind which is a text of letters for these offsets */
    const char *text;
    bool fin;
};

struct row {
    const char *name;
    struct come comes[8];
    const char *read;
    enum enf_stream_end end;
};

static const struct row rows[] = {
    {"in order", {{0, "abc", 0}, {3, "def", 0}}, "abcdef", ENF_STREAM_OPEN},
    {"swapped", {{3, "def", 0}, {0, "abc", 0}}, "abcdef", ENF_STREAM_OPEN},
    {"one missing", {{0, "ab", 0}, {3, "def", 0}}, "ab", ENF_STREAM_OPEN},
    {"hole filled exactly", {{0, "ab", 0}, {3, "def", 0}, {2, "c", 0}}, "abcdef", ENF_STREAM_OPEN},
    {"hole filled with more", {{0, "ab", 0}, {3, "def", 0}, {1, "XcXXXg", 0}}, "abcdefg", ENF_STREAM_OPEN},
    {"twice", {{0, "abc", 0}, {0, "XXX", 0}, {3, "d", 0}}, "abcd", ENF_STREAM_OPEN},
    {"twice while it waits", {{1, "bc", 0}, {1, "XX", 0}, {0, "a", 0}}, "abc", ENF_STREAM_OPEN},
    {"old and new bytes", {{0, "abc", 0}, {1, "XXde", 0}}, "abcde", ENF_STREAM_OPEN},
    {"around what waits", {{2, "cd", 0}, {0, "abXXef", 0}}, "abcdef", ENF_STREAM_OPEN},
    {"over two that wait", {{1, "b", 0}, {3, "d", 0}, {0, "aXcXe", 0}}, "abcde", ENF_STREAM_OPEN},
    {"three holes", {{6, "g", 0}, {4, "e", 0}, {2, "c", 0}, {0, "abXdXfX", 0}}, "abcdefg", ENF_STREAM_OPEN},
    {"ends where the next begins", {{2, "cd", 0}, {0, "ab", 0}, {4, "e", 0}}, "abcde", ENF_STREAM_OPEN},
    {"empty", {{0, "", 0}, {0, "a", 0}}, "a", ENF_STREAM_OPEN},
    {"FIN", {{0, "ab", 1}}, "ab", ENF_STREAM_FIN},
    {"FIN alone", {{0, "ab", 0}, {2, "", 1}}, "ab", ENF_STREAM_FIN},
    {"FIN at once", {{0, "", 1}}, "", ENF_STREAM_FIN},
    {"FIN too early", {{2, "", 1}, {0, "ab", 0}}, "ab", ENF_STREAM_FIN},
    {"bytes behind FIN", {{2, "", 1}, {0, "abXX", 0}}, "ab", ENF_STREAM_FIN},
    {"bytes behind FIN that waited", {{1, "bX", 0}, {2, "", 1}, {0, "a", 0}}, "ab", ENF_STREAM_FIN},
    {"bytes far behind FIN", {{2, "", 1}, {9, "X", 0}, {0, "a", 0}, {1, "b", 0}}, "ab", ENF_STREAM_FIN},
    {"FIN repeated", {{0, "a", 1}, {0, "a", 1}}, "a", ENF_STREAM_FIN},
};

static void run_row(const struct row *row, uint32_t first)
{
    static struct bed bed;
    set_up(&bed, first, UINT32_MAX);
    for (size_t i = 0; i < 8 && row->comes[i].text; i++) {
        const struct come *c = &row->comes[i];
        bring(&bed, first + (uint32_t)c->at, c->text, strlen(c->text), strlen(c->text), c->fin, SIZE_MAX);
    }
    bed.read[bed.read_len] = '\0';
    if (strcmp(bed.read, row->read) != 0 || bed.stream.end != row->end)
        fail_msg("%s, from %u: read \"%s\", end %d", row->name, first, bed.read, bed.stream.end);
    tear_down(&bed);
}

static void test_rows(void **state)
{
    (void)state;
    static const uint32_t firsts[] = {0,         1000,           UINT32_MAX, UINT32_MAX - 1, UINT32_MAX - 3,
                                      INT32_MAX, 0x80000000u - 2};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t f = 0; f < sizeof(firsts) / sizeof(firsts[0]); f++)
            run_row(&rows[i], firsts[f]);
}

static void test_budget(void **state)
{
    (void)state;
    static struct bed bed;
    static const struct {
        const char *name;
        uint32_t budget;
        const char *read;
        enum enf_stream_end end;
    } cases[] = {
        {"a byte less", 5, "abcde", ENF_STREAM_BUDGET},
        {"just as many", 6, "abcdef", ENF_STREAM_BUDGET},
        {"a byte more", 7, "abcdef", ENF_STREAM_OPEN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int order = 0; order < 2; order++) {
            set_up(&bed, 100, cases[i].budget);
            bring(&bed, order ? 103 : 100, order ? "def" : "abc", 3, 3, false, SIZE_MAX);
            bring(&bed, order ? 100 : 103, order ? "abc" : "def", 3, 3, false, SIZE_MAX);
            bed.read[bed.read_len] = '\0';
            assert_string_equal(bed.read, cases[i].read);
            assert_int_equal(bed.stream.end, cases[i].end);
            tear_down(&bed);
        }
    }
}

static void test_window(void **state)
{
    (void)state;
    static struct bed bed;
    static char big[ENF_STREAM_WINDOW + 2];
    memset(big, 'x', sizeof(big));
    for (int over = 0; over < 2; over++) {
        set_up(&bed, 0, UINT32_MAX);
        size_t len = ENF_STREAM_WINDOW - 1U + (unsigned)over;
        assert_int_equal(bring(&bed, 1, big, len, len, false, SIZE_MAX), !over);
        assert_int_equal(bed.stream.end, over ? ENF_STREAM_GAP : ENF_STREAM_OPEN);
        bring(&bed, 0, "a", 1, 1, false, SIZE_MAX);
        assert_int_equal(bed.read_len, over ? 0 : ENF_STREAM_WINDOW);
        tear_down(&bed);

        /* The same with a reader that does not read. */
        set_up(&bed, 0, UINT32_MAX);
        len = ENF_STREAM_WINDOW + (unsigned)over;
        assert_int_equal(bring(&bed, 0, big, len, len, false, 0), !over);
        assert_int_equal(bed.stream.end, over ? ENF_STREAM_FULL : ENF_STREAM_OPEN);
        tear_down(&bed);

        /* What is over the budget needs no room. */
        set_up(&bed, 0, ENF_STREAM_WINDOW);
        assert_true(bring(&bed, 1, big, ENF_STREAM_WINDOW, ENF_STREAM_WINDOW, false, SIZE_MAX));
        tear_down(&bed);
    }
}

static void test_pieces(void **state)
{
    (void)state;
    static struct bed bed;
    set_up(&bed, 0, UINT32_MAX);
    for (uint32_t i = 1; i <= ENF_STREAM_PIECES; i++)
        assert_true(bring(&bed, i * 2, "x", 1, 1, false, SIZE_MAX));
    assert_int_equal(enf_stream_waiting(&bed.stream), ENF_STREAM_PIECES);
    /* Joins two, so there is room for one more. */
    assert_true(bring(&bed, 3, "y", 1, 1, false, SIZE_MAX));
    assert_true(bring(&bed, 2 * ENF_STREAM_PIECES + 2, "x", 1, 1, false, SIZE_MAX));
    assert_false(bring(&bed, 2 * ENF_STREAM_PIECES + 4, "x", 1, 1, false, SIZE_MAX));
    assert_int_equal(bed.stream.end, ENF_STREAM_GAP);
    assert_int_equal(enf_stream_held(&bed.stream), 0);
    tear_down(&bed);
}

static void test_memory(void **state)
{
    (void)state;
    static struct bed bed;
    set_up(&bed, 0, UINT32_MAX);
    assert_true(bring(&bed, 1, "b", 1, 1, false, SIZE_MAX));
    size_t one = enf_stream_held(&bed.stream);
    assert_int_equal(bed.memory.used, one);
    enf_stream_clear(&bed.stream);
    for (int short_by = 0; short_by < 2; short_by++) {
        set_up(&bed, 0, UINT32_MAX);
        bed.memory.max = one - (unsigned)short_by;
        assert_int_equal(bring(&bed, 1, "b", 1, 1, false, SIZE_MAX), !short_by);
        assert_int_equal(bed.stream.end, short_by ? ENF_STREAM_MEMORY : ENF_STREAM_OPEN);
        tear_down(&bed);
    }
}

/* A packet that no receiver would take must not end the reading. */
static void test_far(void **state)
{
    (void)state;
    static struct bed bed;
    for (uint32_t first = 0; first < 3; first++) {
        set_up(&bed, first - 1, UINT32_MAX);
        assert_true(bring(&bed, first - 1 + ENF_STREAM_FAR, "x", 1, 1, true, SIZE_MAX));
        assert_true(bring(&bed, first - 1 + 0x80000000u, "x", 1, 1, true, SIZE_MAX));
        assert_true(bring(&bed, first - 3, "x", 1, 1, true, SIZE_MAX));
        assert_int_equal(bed.stream.end, ENF_STREAM_OPEN);
        assert_false(bed.stream.fin_seen);
        assert_true(bring(&bed, first - 1, "a", 1, 1, false, SIZE_MAX));
        assert_int_equal(bed.read_len, 1);
        assert_true(enf_stream_plausible(&bed.stream, first));
        assert_true(enf_stream_plausible(&bed.stream, first + ENF_STREAM_FAR - 1));
        assert_false(enf_stream_plausible(&bed.stream, first + ENF_STREAM_FAR));
        assert_false(enf_stream_plausible(&bed.stream, first - 1));
        tear_down(&bed);
    }
}

static void test_cut(void **state)
{
    (void)state;
    static struct bed bed;
    set_up(&bed, 0, UINT32_MAX);
    bring(&bed, 0, "abc", 3, 5, false, SIZE_MAX);
    assert_int_equal(bed.stream.end, ENF_STREAM_CUT);
    assert_int_equal(bed.read_len, 3);
    assert_memory_equal(bed.read, "abc", 3);
    tear_down(&bed);

    set_up(&bed, 0, UINT32_MAX);
    bring(&bed, 0, NULL, 0, 5, false, SIZE_MAX);
    assert_int_equal(bed.stream.end, ENF_STREAM_CUT);
    tear_down(&bed);
}

/* After the end segments are passed over, and next follows, so that a RST can be judged. */
static void test_after_end(void **state)
{
    (void)state;
    static struct bed bed;
    set_up(&bed, 0, 2);
    bring(&bed, 0, "abcd", 4, 4, false, SIZE_MAX);
    assert_int_equal(bed.stream.end, ENF_STREAM_BUDGET);
    bring(&bed, 4, "efgh", 4, 4, false, SIZE_MAX);
    assert_int_equal(bed.stream.next, 8);
    bring(&bed, 2, "c", 1, 1, false, SIZE_MAX);
    assert_int_equal(bed.stream.next, 8);
    assert_int_equal(bed.read_len, 2);
    bring(&bed, 8, "", 0, 0, true, SIZE_MAX);
    assert_true(bed.stream.fin_seen);
    tear_down(&bed);
}

/* Bytes keep the acknowledgment that they were sent with. */
static void test_acks(void **state)
{
    (void)state;
    static struct bed bed;
    set_up(&bed, 0, UINT32_MAX);
    static const uint8_t text[] = "abcd";
    for (uint32_t i = 0; i < 4; i++) {
        struct enf_stream_segment segment = {.sequence = 3 - i,
                                             .ack = i / 2,
                                             .has_ack = true,
                                             .bytes = text + 3 - i,
                                             .captured_len = 1,
                                             .len = 1};
        enf_stream_offer(&bed.stream, &segment, false);
        assert_true(enf_stream_settle(&bed.stream));
    }
    struct enf_stream_segment out;
    assert_int_equal(enf_stream_peek(&bed.stream, &out), 2);
    assert_int_equal(out.ack, 1);
    enf_stream_take(&bed.stream, 2);
    assert_int_equal(enf_stream_peek(&bed.stream, &out), 2);
    assert_int_equal(out.ack, 0);
    assert_memory_equal(out.bytes, "cd", 2);
    tear_down(&bed);
}

/* Random segments of a known text: whatever was read is its beginning. Later copies are garbage. */
static void test_random(void **state)
{
    (void)state;
    static struct bed bed;
    static char text[4096], garbage[64];
    static bool sent[sizeof(text)];
    memset(garbage, '#', sizeof(garbage));
    for (unsigned seed = 1; seed <= 300; seed++) {
        srandom(seed);
        uint32_t first = (uint32_t)random() * 2 + (seed & 1);
        if (seed % 3 == 0)
            first = UINT32_MAX - (uint32_t)random() % 4096;
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)('a' + random() % 26);
        memset(sent, 0, sizeof(sent));
        set_up(&bed, first, UINT32_MAX);
        while (bed.read_len < sizeof(text) && bed.stream.end == ENF_STREAM_OPEN) {
            size_t at = bed.read_len + (size_t)random() % 200;
            at -= at > 30 ? (size_t)random() % 30 : 0;
            size_t len = 1 + (size_t)random() % 60;
            if (at >= sizeof(text))
                continue;
            if (at + len > sizeof(text))
                len = sizeof(text) - at;
            /* New bytes are right, those that were sent before are not. */
            char segment[64];
            for (size_t i = 0; i < len; i++)
                segment[i] = sent[at + i] ? '#' : text[at + i];
            bring(&bed, first + (uint32_t)at, segment, len, len, false, (size_t)random() % 80);
            memset(sent + at, true, len);
        }
        drain(&bed, SIZE_MAX);
        if (memcmp(bed.read, text, bed.read_len) != 0)
            fail_msg("seed %u: other bytes within the first %zu", seed, bed.read_len);
        assert_int_equal(bed.read_len, sizeof(text));
        tear_down(&bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_budget),    cmocka_unit_test(test_window),
        cmocka_unit_test(test_pieces), cmocka_unit_test(test_memory),    cmocka_unit_test(test_far),
        cmocka_unit_test(test_cut),    cmocka_unit_test(test_after_end), cmocka_unit_test(test_acks),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
