/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shape of the table in a real kernel: what is no change, and what is one, in words. */
#include "kernel_bed.h"

#include "enforcer/kernel/shape.h"

static struct enf_shape *shape_of(struct kernel_bed *k)
{
    struct enf_shape *shape = NULL;

    assert_int_equal(enf_shape_read(k->kernel, &shape), 0);
    return shape;
}

/* The words for what is other now. */
static size_t changed(struct kernel_bed *k, const struct enf_shape *wanted, char *text, size_t len)
{
    struct enf_shape *now = shape_of(k);
    size_t differences = enf_shape_diff(wanted, now, text, len);

    enf_shape_free(&now);
    assert_null(now);
    return differences;
}

static void test_same_after_reload(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char text[512];
    struct enf_shape *wanted = shape_of(k);

    assert_true(enf_shape_rules(wanted) > 50);
    for (int i = 0; i < 3; i++) {
        bed_load_text(k->text);
        assert_int_equal(changed(k, wanted, text, sizeof text), 0);
        assert_string_equal(text, "");
    }
    assert_int_equal(enf_ruleset_remove(NULL), 0);
    assert_int_equal(enf_ruleset_load_sets(k->text, NULL), 0);
    bed_load_text(k->text);
    assert_int_equal(changed(k, wanted, text, sizeof text), 0);
    enf_shape_free(&wanted);
}

/* What the daemon, packets and time change. */
static void test_no_change(void **state)
{
    static const char *const commands[] = {
        "add element inet enforcer quarantine4 { 100.64.0.9 timeout 1h }",
        "add element inet enforcer quarantine_nets4 { 100.64.7.0/24 timeout 1h }",
        "add element inet enforcer flows4 { 100.64.0.9 . 4711 . 203.0.113.9 . 25 timeout 1m }",
        "add element inet enforcer relays4 { 192.0.2.77 }",
        "reset counters table inet enforcer",
    };
    struct kernel_bed *k = bed_of(state);
    char text[512];
    struct enf_shape *wanted = shape_of(k);

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_int_equal(bed_nft(commands[i]), 0);
        if (changed(k, wanted, text, sizeof text) != 0)
            fail_msg("%s: %s", commands[i], text);
    }
    enf_shape_free(&wanted);
}

struct row {
    const char *commands;
    const char *words;
};

static const struct row rows[] = {
    {"flush chain inet enforcer forward", "chain forward: 3 of 3 rules missing"},
    {"add rule inet enforcer forward accept", "chain forward: 1 rules that are not ours"},
    {"insert rule inet enforcer forward tcp dport 2525 accept", "chain forward: 1 rules that are not ours"},
    /* The same number of rules; the second differs in an anonymous set only. */
    {"flush chain inet enforcer headers6; add rule inet enforcer headers6 accept; "
     "add rule inet enforcer headers6 accept; add rule inet enforcer headers6 accept; "
     "add rule inet enforcer headers6 accept; add rule inet enforcer headers6 accept",
     "chain headers6: 5 of 5 rules missing, 5 not ours"},
    {"add chain inet enforcer forward { policy drop; }", "chain forward: hook, priority or policy changed"},
    {"add chain inet enforcer another", "chain another is not ours"},
    {"add set inet enforcer mine { type ipv4_addr; }", "set mine is not ours"},
    {"add counter inet enforcer mine", "counter mine is not ours"},
    {"add table inet enforcer { flags dormant; }", "the table's flags were changed"},
};

static void test_changes(void **state)
{
    struct kernel_bed *k = bed_of(state);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        struct enf_shape *wanted = shape_of(k);
        assert_int_equal(bed_nft(rows[i].commands), 0);
        assert_int_equal(changed(k, wanted, text, sizeof text), 1);
        assert_string_equal(text, rows[i].words);
        /* Loading the text puts it right, but for the table's flags: these stay as they are. */
        assert_int_equal(enf_ruleset_remove(NULL), 0);
        assert_int_equal(enf_ruleset_load_sets(k->text, NULL), 0);
        bed_load_text(k->text);
        assert_int_equal(changed(k, wanted, text, sizeof text), 0);
        enf_shape_free(&wanted);
    }
}

/* Name of the set in the kernel, which has a generation. */
static void kernel_name(struct kernel_bed *k, const char *plain, char *out, size_t len)
{
    for (int i = 1; i < 10; i++) {
        char commands[128];
        snprintf(commands, sizeof commands, "list set inet enforcer %s_g%d", plain, i);
        snprintf(out, len, "%s_g%d", plain, i);
        struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
        nft_ctx_buffer_error(nft);
        nft_ctx_buffer_output(nft);
        int err = nft_run_cmd_from_buffer(nft, commands);
        nft_ctx_free(nft);
        if (err == 0)
            return;
    }
    (void)k;
    fail_msg("no set %s", plain);
}

static void test_static_elements(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char text[512], name[64], commands[160];
    struct enf_shape *wanted = shape_of(k);

    kernel_name(k, "smarthosts4", name, sizeof name);
    snprintf(commands, sizeof commands, "add element inet enforcer %s { 198.18.7.7 }", name);
    assert_int_equal(bed_nft(commands), 0);
    assert_int_equal(changed(k, wanted, text, sizeof text), 1);
    assert_non_null(strstr(text, "set smarthosts4: "));
    assert_non_null(strstr(text, " elements instead of "));
    snprintf(commands, sizeof commands, "delete element inet enforcer %s { 198.18.7.7 }", name);
    assert_int_equal(bed_nft(commands), 0);
    assert_int_equal(changed(k, wanted, text, sizeof text), 0);
    enf_shape_free(&wanted);
}

/* A rule replaced by one that differs in its anonymous set alone, and two rules that changed places. */
static void test_replaced_and_swapped(void **state)
{
    static const char flush[] = "flush chain inet enforcer both4";
    static const char first[] = "add rule inet enforcer both4 tcp dport { 26, 27 } accept";
    static const char second[] = "add rule inet enforcer both4 tcp dport { 26, 28 } accept";
    struct kernel_bed *k = bed_of(state);
    char text[512];

    assert_int_equal(bed_nft(flush), 0);
    assert_int_equal(bed_nft(first), 0);
    struct enf_shape *wanted = shape_of(k);
    assert_int_equal(bed_nft(flush), 0);
    assert_int_equal(bed_nft(second), 0);
    assert_int_equal(changed(k, wanted, text, sizeof text), 1);
    assert_string_equal(text, "chain both4: 1 of 1 rules missing, 1 not ours");
    enf_shape_free(&wanted);

    assert_int_equal(bed_nft(first), 0);
    wanted = shape_of(k);
    assert_int_equal(bed_nft(flush), 0);
    assert_int_equal(bed_nft(first), 0);
    assert_int_equal(bed_nft(second), 0);
    assert_int_equal(changed(k, wanted, text, sizeof text), 1);
    assert_string_equal(text, "chain both4: the rules stand in another order");
    enf_shape_free(&wanted);
}

static void test_no_table(void **state)
{
    struct kernel_bed *k = bed_of(state);
    struct enf_shape *shape = NULL;

    assert_int_equal(enf_ruleset_remove(NULL), 0);
    assert_int_equal(enf_shape_read(k->kernel, &shape), -ENOENT);
    assert_null(shape);
}

/* A static set beyond what is read at once: read in steps, then compared. */
static void test_large(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char text[512], name[64], *commands = NULL;
    size_t size = 0;
    struct enf_shape *wanted = NULL;
    struct enf_scan *scan = NULL;
    int done = 0;

    kernel_name(k, "smarthosts4", name, sizeof name);
    FILE *out = open_memstream(&commands, &size);
    for (int i = 0; i < ENF_SHAPE_ELEMENTS_MAX; i++)
        fprintf(out, "%s198.18.%d.%d", i ? ", " : "", i >> 7, (i & 127) * 2);
    fclose(out);
    char *whole = NULL;
    assert_true(asprintf(&whole, "add element inet enforcer %s { %s }", name, commands) > 0);
    free(commands);
    assert_int_equal(bed_nft(whole), 0);
    free(whole);
    wanted = shape_of(k);
    assert_string_equal(enf_shape_large(wanted, 0), name);
    assert_null(enf_shape_large(wanted, 1));
    assert_string_equal(enf_shape_unread(wanted), name);

    for (int round = 0; round < 2; round++) {
        assert_int_equal(enf_scan_begin(name, &scan), 0);
        for (done = 0; done == 0;)
            done = enf_scan_step(scan, 1000);
        assert_int_equal(done, 1);
        if (round == 0) { /* somebody may have changed it while it was read */
            assert_int_equal(enf_shape_judge(wanted, scan, false, text, sizeof text), 0);
            assert_string_equal(enf_shape_unread(wanted), name);
        }
        assert_int_equal(enf_shape_judge(wanted, scan, true, text, sizeof text), round);
        enf_scan_end(&scan);
        assert_null(scan);
        assert_null(enf_shape_unread(wanted));
        if (round == 0) {
            char one[160];
            snprintf(one, sizeof one, "delete element inet enforcer %s { 198.18.3.4 }", name);
            assert_int_equal(bed_nft(one), 0);
            assert_int_equal(changed(k, wanted, text, sizeof text), 0);
        }
    }
    assert_non_null(strstr(text, "set smarthosts4: "));
    enf_shape_free(&wanted);
}

#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, bed_open, bed_close, state)

int main(void)
{
    static struct kernel_bed kernel_bed;
    void *state = &kernel_bed;
    const struct CMUnitTest tests[] = {
        TEST(test_same_after_reload),    TEST(test_no_change), TEST(test_changes), TEST(test_static_elements),
        TEST(test_replaced_and_swapped), TEST(test_no_table),  TEST(test_large),
    };

    bed_enter(&state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
