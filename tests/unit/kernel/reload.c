/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table into a real kernel, again and again: what stays, what goes, and that a refused text changes
 * nothing. */
#include "kernel_bed.h"

#include "enforcer/kernel/names.h"

#include <ctype.h>
#include <unistd.h>

static struct enf_names names_of(enum enf_kind kind)
{
    struct enf_netlink nl;
    struct enf_names names = {0};

    assert_int_equal(enf_netlink_open(&nl), 0);
    assert_int_equal(enf_names_read(&nl, kind, &names), 0);
    enf_netlink_close(&nl);
    return names;
}

/* Takes the _gN of a load's own generation from behind a name, in place. */
static void without_generation(char *text)
{
    for (char *at = text; (at = strstr(at, "_g")); at++) {
        size_t digits = strspn(at + 2, "0123456789");
        char behind = at[2 + digits];
        if (digits > 0 && behind != '_' && !isalnum((unsigned char)behind))
            memmove(at, at + 2 + digits, strlen(at + 2 + digits) + 1);
    }
}

static bool has(enum enf_kind kind, const char *name)
{
    struct enf_names names = names_of(kind);
    for (size_t i = 0; i < names.len; i++)
        without_generation(names.items[i]);
    bool found = enf_names_have(&names, name, strlen(name));

    enf_names_clear(&names);
    return found;
}

static size_t count(enum enf_kind kind)
{
    struct enf_names names = names_of(kind);
    size_t len = names.len;

    enf_names_clear(&names);
    return len;
}

static size_t rules(struct kernel_bed *k)
{
    size_t len = 0;

    assert_int_equal(enf_kernel_rule_count(k->kernel, &len), 0);
    return len;
}

/* The caller frees *out. */
static void list(char **out)
{
    char *error = NULL;

    if (enf_ruleset_list(out, &error) != 0)
        fail_msg("the table cannot be listed: %s", error);
}

/* Some of each kind that must outlive a reload. */
static void put_some(struct kernel_bed *k)
{
    struct enf_kernel_single single = {.subscriber = bed_prefix("100.64.0.7"), .timeout_ms = HOUR};
    struct enf_prefix prefix = bed_prefix("203.0.113.0/24");
    struct enf_kernel_net net = {.range = enf_prefix_range(&prefix), .timeout_ms = HOUR};
    static const char *const governed[] = {"eth1"};

    assert_int_equal(enf_kernel_singles(k->kernel, &single, 1), 0);
    assert_int_equal(bed_smtp_nets(k->kernel, ENF_FAMILY_V4, &net, 1), 0);
    assert_int_equal(enf_kernel_relays_replace(k->kernel, ENF_FAMILY_V4, &net, 1), 0);
    assert_int_equal(enf_kernel_governed_replace(k->kernel, governed, 1), 0);
    assert_int_equal(
        bed_nft("add element inet enforcer flows4 { 100.64.0.7 . 40000 . 203.0.113.9 . 25 timeout 1h }\n"
                "add element inet enforcer seen4 { 100.64.0.7 . 40000 . 203.0.113.9 . 25 limit "
                "rate 1/day burst 20 packets timeout 1h }\n"
                "add element inet enforcer meter4 { 100.64.0.7 limit rate over 240/minute }\n"),
        0);
}

static void check_some(struct kernel_bed *k)
{
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 1);
    assert_true(bed_left(k, ENF_KERNEL_QUARANTINE4, "100.64.0.7") > HOUR - 60000);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE_NETS4), 1);
    assert_int_equal(bed_count(k, ENF_KERNEL_RELAYS4), 1);
    assert_int_equal(bed_nft("get element inet enforcer governed_if { \"eth1\" }\n"
                             "get element inet enforcer flows4 { 100.64.0.7 . 40000 . 203.0.113.9 . 25 }\n"
                             "get element inet enforcer seen4 { 100.64.0.7 . 40000 . 203.0.113.9 . 25 }\n"
                             "get element inet enforcer meter4 { 100.64.0.7 }\n"),
                     0);
}

static void test_reload_keeps(void **state)
{
    struct kernel_bed *k = bed_of(state);
    size_t chains = count(ENF_KIND_CHAIN), sets = count(ENF_KIND_SET), counters = count(ENF_KIND_COUNTER);
    size_t before = rules(k);

    put_some(k);
    for (int i = 0; i < 3; i++) {
        bed_load_text(k->text);
        check_some(k);
        assert_int_equal(rules(k), before);
        assert_int_equal(count(ENF_KIND_CHAIN), chains);
        assert_int_equal(count(ENF_KIND_SET), sets);
        assert_int_equal(count(ENF_KIND_COUNTER), counters);
    }
    /* Sets alone, over a table that is there: nothing moves. */
    assert_int_equal(enf_ruleset_load_sets(k->text, NULL), 0);
    check_some(k);
    assert_int_equal(rules(k), before);
}

/* From each ruleset to each other: the result is what a first load of that text gives, and the elements are
 * there. */
static void make_observe(struct bed *bed)
{
    bed_full(bed);
    bed->spec.observe = true;
}

static void make_small(struct bed *bed)
{
    bed_init(bed);
    bed_group(bed, "business", ENF_POLICY_INSPECT, 64, "100.64.0.0/10");
    bed->spec.stateless = true;
    bed->spec.automatic = false;
    bed_finish(bed);
}

static void make_nothing(struct bed *bed)
{
    bed_init(bed);
    bed_finish(bed);
}

static void make_other_interfaces(struct bed *bed)
{
    bed_full(bed);
    bed->subscriber_if[0] = "timeout0"; /* names that are words of nft */
    bed->subscriber_if[1] = "dynamic*";
    bed->upstream_if[0] = "elements";
    bed->spec.upstream_if_len = 1;
}

static void make_other_groups(struct bed *bed)
{
    bed_init(bed);
    bed_interfaces(bed, true, false);
    /* The same names with other policies, prefixes and lengths, and one more. */
    bed_group(bed, "residential", ENF_POLICY_INSPECT, 64, "100.80.0.0/12 2001:db8:1000::/37");
    bed_group(bed, "business", ENF_POLICY_OBSERVE, 60, "100.64.9.0/24 2001:db8:1200::/40");
    bed_group(bed, "more", ENF_POLICY_BLOCK, 56, "198.18.0.0/15 2001:db8:2000::/36");
    bed->spec.antispoof = ENF_RULESET_ANTISPOOF_GROUPS;
    bed_finish(bed);
}

static void (*const makes[])(struct bed *) = {bed_full,     make_observe,          make_small,
                                              make_nothing, make_other_interfaces, make_other_groups};
#define MAKES (sizeof makes / sizeof *makes)

/* Under valgrind, which is thirty times slower, three of them have to do. */
static size_t makes_len(void)
{
    return getenv("ENFORCER_SEQUENCES") ? 3 : MAKES;
}

static void test_from_each_to_each(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char *texts[MAKES];
    size_t len = makes_len();

    for (size_t i = 0; i < len; i++)
        texts[i] = bed_text(makes[i]);
    for (size_t i = 0; i < len; i++) {
        for (size_t j = 0; j < len; j++) {
            char *error = NULL;
            assert_int_equal(enf_ruleset_remove(NULL), 0);
            bed_load_text(texts[i]);
            if (enf_ruleset_load(texts[j], NULL, &error) != 0)
                fail_msg("from %zu to %zu: %s", i, j, error);
            size_t chains = count(ENF_KIND_CHAIN), sets = count(ENF_KIND_SET), before = rules(k);
            put_some(k);
            bed_load_text(texts[i]); /* back, */
            bed_load_text(texts[j]); /* and again with elements there */
            check_some(k);
            assert_int_equal(count(ENF_KIND_CHAIN), chains);
            assert_int_equal(count(ENF_KIND_SET), sets);
            assert_int_equal(rules(k), before);
        }
    }
    for (size_t i = 0; i < len; i++)
        free(texts[i]);
}

/* The lines of a listing in the order of the alphabet: chains and sets are listed in the order of their
 * making. */
static int line_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static char *sorted(const char *text)
{
    char *copy = strdup(text), *out = NULL;
    const char *lines[4096] = {NULL};
    size_t len = 0, size = 0;
    FILE *stream = open_memstream(&out, &size);

    without_generation(copy);
    for (char *line = strtok(copy, "\n"); line && len < 4096; line = strtok(NULL, "\n"))
        lines[len++] = line;
    qsort(lines, len, sizeof *lines, line_order);
    for (size_t i = 0; i < len; i++)
        fprintf(stream, "%s\n", lines[i]);
    fclose(stream);
    free(copy);
    return out;
}

static void same_lines(size_t from, size_t to, const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    if (*a != *b)
        fail_msg("from %zu to %zu: \"%.60s\" is \"%.60s\"", from, to, a, b);
}

static void test_same_as_first_load(void **state)
{
    size_t len = makes_len();

    bed_of(state);
    for (size_t i = 0; i < len; i++) {
        for (size_t j = 0; j < len; j++) {
            char *from = bed_text(makes[i]), *to = bed_text(makes[j]);
            assert_int_equal(enf_ruleset_remove(NULL), 0);
            bed_load_text(to);
            char *first = NULL, *second = NULL;
            list(&first);
            char *first_sorted = sorted(first);
            assert_int_equal(enf_ruleset_remove(NULL), 0);
            bed_load_text(from);
            bed_load_text(to);
            list(&second);
            char *second_sorted = sorted(second);
            same_lines(i, j, first_sorted, second_sorted);
            free(first);
            free(second);
            free(first_sorted);
            free(second_sorted);
            free(from);
            free(to);
        }
    }
}

/* Names that are gone and names that are new, one by one. */
static void test_removed_and_back(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char *small = bed_text(make_small);

    for (int i = 0; i < 2; i++) {
        assert_true(has(ENF_KIND_CHAIN, "g_residential4") && has(ENF_KIND_CHAIN, "smarthost6_56"));
        assert_true(has(ENF_KIND_SET, "subscriber_if") && has(ENF_KIND_SET, "length6_56"));
        assert_true(has(ENF_KIND_SET, "bogons4") && has(ENF_KIND_SET, "pinned6"));
        assert_true(has(ENF_KIND_COUNTER, "g_residential_blocked"));
        bed_load_text(small);
        assert_false(has(ENF_KIND_CHAIN, "g_residential4") || has(ENF_KIND_CHAIN, "smarthost6_56"));
        assert_false(has(ENF_KIND_SET, "subscriber_if") || has(ENF_KIND_SET, "length6_56"));
        assert_false(has(ENF_KIND_SET, "bogons4") || has(ENF_KIND_SET, "pinned6"));
        assert_false(has(ENF_KIND_COUNTER, "g_residential_blocked"));
        assert_true(has(ENF_KIND_CHAIN, "g_business4") && has(ENF_KIND_COUNTER, "g_business_blocked"));
        assert_true(has(ENF_KIND_SET, "policy4") && has(ENF_KIND_SET, "quarantine4"));
        bed_load_text(k->text);
    }
    /* What somebody else put into our table goes too. */
    assert_int_equal(bed_nft("add chain inet enforcer theirs\nadd rule inet enforcer theirs accept\n"
                             "add set inet enforcer theirs { type ipv4_addr; }\n"
                             "add rule inet enforcer forward ip saddr @theirs jump theirs\n"
                             "add counter inet enforcer theirs\n"
                             "add chain inet enforcer base { type filter hook forward priority 5; }\n"),
                     0);
    bed_load_text(k->text);
    assert_false(has(ENF_KIND_CHAIN, "theirs") || has(ENF_KIND_CHAIN, "base"));
    assert_false(has(ENF_KIND_SET, "theirs") || has(ENF_KIND_COUNTER, "theirs"));
    free(small);
}

static void find_counter(void *ctx, const char *name, uint64_t packets, uint64_t bytes)
{
    uint64_t *out = ctx;

    if (strcmp(name, "relayed") == 0) {
        out[0] = packets;
        out[1] = bytes;
    }
}

/* Values of counters survive a reload and a change of mode. */
static void test_counters_survive(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char *observe = bed_text(make_observe);
    uint64_t value[2] = {0};

    assert_int_equal(enf_ruleset_remove(NULL), 0);
    assert_int_equal(bed_nft("add table inet enforcer\n"
                             "add counter inet enforcer relayed { packets 7 bytes 420 }\n"),
                     0);
    bed_load_text(k->text);
    bed_load_text(observe);
    bed_load_text(k->text);
    assert_int_equal(enf_kernel_read_counters(k->kernel, find_counter, value), 0);
    assert_int_equal(value[0], 7);
    assert_int_equal(value[1], 420);
    free(observe);
}

/* Other tables are never touched, also not one of that name of another family. */
static void test_other_tables(void **state)
{
    struct kernel_bed *k = bed_of(state);
    static const char theirs[] =
        "table ip enforcer {\n  counter relayed { packets 7 bytes 420 }\n  set quarantine4 { type ipv4_addr; "
        "elements = { 192.0.2.1 } }\n  chain forward { type filter hook forward priority 0; tcp dport 25 "
        "accept; }\n}\n"
        "table inet fw4 {\n  set relays4 { type ipv4_addr; elements = { 192.0.2.2 } }\n  chain egress4 { tcp "
        "dport 25 drop; }\n}\n";

    assert_int_equal(bed_nft(theirs), 0);
    bed_load_text(k->text);
    put_some(k);
    assert_int_equal(bed_count(k, ENF_KERNEL_QUARANTINE4), 1);
    assert_int_equal(enf_ruleset_remove(NULL), 0);
    /* One by one: nft looks into one table a command. */
    assert_int_equal(bed_nft("get element ip enforcer quarantine4 { 192.0.2.1 }"), 0);
    assert_int_equal(bed_nft("get element inet fw4 relays4 { 192.0.2.2 }"), 0);
    assert_int_equal(bed_nft("list chain ip enforcer forward"), 0);
    assert_int_equal(bed_nft("list chain inet fw4 egress4"), 0);
    assert_int_equal(bed_nft("delete table ip enforcer; delete table inet fw4"), 0);
}

static const struct {
    const char *name;
    const char *text;
} bad_texts[] = {
    {"not nft", "nonsense\n"},
    {"a brace is missing", "table inet enforcer {\n  chain forward {\n"},
    {"a chain that does not exist", "table inet enforcer {\n  chain a {\n    goto nowhere\n  }\n}\n"},
    {"a set that does not exist", "table inet enforcer {\n  chain a {\n    ip saddr @nobody drop\n  }\n}\n"},
    {"overlapping ranges", "table inet enforcer {\n  set a { type ipv4_addr; flags interval; elements = { "
                           "10.0.0.0/8, 10.1.0.0/16 } }\n}\n"},
    {"a loop",
     "table inet enforcer {\n  chain forward {\n    type filter hook forward priority filter - 10; policy "
     "accept;\n    jump a\n  }\n  chain a {\n    jump b\n  }\n  chain b {\n    jump a\n  }\n}\n"},
    {"a set of another type",
     "table inet enforcer {\n  set quarantine4 { type ipv6_addr; flags dynamic,timeout; }\n}\n"},
};

static void test_bad_text(void **state)
{
    struct kernel_bed *k = bed_of(state);

    put_some(k);
    size_t before_rules = rules(k);
    for (size_t i = 0; i < sizeof bad_texts / sizeof *bad_texts; i++) {
        char *error = NULL;
        if (enf_ruleset_check(bad_texts[i].text, NULL) != -EINVAL)
            fail_msg("%s: was taken", bad_texts[i].name);
        if (enf_ruleset_load(bad_texts[i].text, NULL, &error) != -EINVAL)
            fail_msg("%s: was loaded", bad_texts[i].name);
        if (!error || !strstr(error, "Error"))
            fail_msg("%s: nft says nothing", bad_texts[i].name);
        free(error);
        assert_int_equal(rules(k), before_rules);
        check_some(k);
    }
    bed_load_text(k->text);
}

static void test_check_changes_nothing(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char *small = bed_text(make_small), *error = NULL;
    size_t before = rules(k);

    if (enf_ruleset_check(small, &error) != 0)
        fail_msg("%s", error);
    assert_int_equal(rules(k), before);
    assert_true(has(ENF_KIND_CHAIN, "g_residential4"));
    assert_int_equal(enf_ruleset_remove(NULL), 0);
    assert_int_equal(enf_ruleset_check(small, NULL), 0);
    assert_int_equal(count(ENF_KIND_CHAIN), 0);
    size_t none = 0;
    assert_int_equal(enf_kernel_rule_count(k->kernel, &none), -ENOENT);
    free(small);
}

/* Sets first: they can be filled before any rule is there. */
static void test_sets_first(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char *text = NULL, *error = NULL;
    size_t none = 1;

    assert_int_equal(enf_ruleset_remove(&error), 0);
    assert_int_equal(enf_ruleset_remove(&error), 0); /* there is none */
    assert_null(error);
    assert_int_equal(enf_ruleset_list(&text, &error), -EINVAL);
    assert_null(text);
    assert_non_null(error);
    free(error);
    assert_int_equal(enf_ruleset_load_sets(k->text, NULL), 0);
    assert_int_equal(count(ENF_KIND_CHAIN), 0);
    assert_int_equal(enf_kernel_rule_count(k->kernel, &none), 0);
    assert_int_equal(none, 0);
    put_some(k);
    bed_load_text(k->text);
    check_some(k);
}

/* Changed default timeouts of a set: the kernel says yes and does nothing. What is loaded is what the text
 * says. */
static void make_long_window(struct bed *bed)
{
    bed_full(bed);
    bed->spec.meter_window_ms = 3600000;
}

static void test_changed_timeout(void **state)
{
    struct kernel_bed *k = bed_of(state);
    char *text = bed_text(make_long_window), *listed = NULL;

    put_some(k);
    bed_load_text(text);
    list(&listed);
    char *meter = strstr(listed, "set meter4 {");
    assert_non_null(meter);
    meter[strcspn(meter, "}")] = '\0';
    if (!strstr(meter, "timeout 1h1m"))
        fail_msg("%.150s", meter);
    check_some(k);
    free(listed);
    free(text);
}

static void test_no_conntrack(void **state)
{
    char line[32] = "";

    bed_of(state);
    FILE *in = fopen("/proc/sys/net/netfilter/nf_conntrack_count", "r");
    if (!in) {
        print_message("no connection tracking in this kernel: nothing can have switched it on\n");
        return;
    }
    assert_non_null(fgets(line, sizeof line, in));
    fclose(in);
    assert_int_equal(atoi(line), 0);
}

#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, bed_open, bed_close, &kernel_bed)

int main(void)
{
    static struct kernel_bed kernel_bed;
    void *state = &kernel_bed;
    const struct CMUnitTest tests[] = {
        TEST(test_reload_keeps),     TEST(test_from_each_to_each),     TEST(test_same_as_first_load),
        TEST(test_removed_and_back), TEST(test_counters_survive),      TEST(test_other_tables),
        TEST(test_bad_text),         TEST(test_check_changes_nothing), TEST(test_sets_first),
        TEST(test_changed_timeout),  TEST(test_no_conntrack),
    };

    bed_enter(&state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
