/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rendered table: whole texts against tests/golden/rulesets (UPDATE_GOLDEN=1 writes them anew, and the
 * diff is the review), what holds for every text whatever the configuration, and whether nft takes it. */
#include "specs.h"

#include <nftables/libnftables.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/rulesets/"

static char *render(const struct bed *bed)
{
    char *text = NULL;

    assert_int_equal(enf_ruleset_render(&bed->spec, &text), 0);
    assert_non_null(text);
    return text;
}

/* --- golden
 * ------------------------------------------------------------------------------------------------- */

static void make_enforce(struct bed *bed)
{
    bed_full(bed);
}

static void make_observe(struct bed *bed)
{
    bed_full(bed);
    bed->spec.observe = true;
}

static void make_asymmetric(struct bed *bed)
{
    bed_init(bed);
    bed_relays(bed);
    bed_groups(bed);
    bed->spec.stateless = true;
    bed->spec.fail_open = true;
    bed->spec.queue = 7;
    bed->spec.automatic = false;
    bed_finish(bed);
}

static void make_garden(struct bed *bed)
{
    bed_full(bed);
    bed_garden(bed, ENF_RULESET_REDIRECT_DNAT);
}

static void make_tproxy(struct bed *bed)
{
    bed_init(bed);
    bed_groups(bed);
    bed_garden(bed, ENF_RULESET_REDIRECT_TPROXY);
    bed->spec.meter_throttles = true;
    bed_finish(bed);
}

static void make_empty(struct bed *bed)
{
    bed_init(bed);
    bed_finish(bed);
}

/* Shares of groups: two with the same, one with another, one that is observed anyway. */
static void shares(struct bed *bed)
{
    bed->groups[0].observed_percent = 90;
    bed->groups[1].observed_percent = 50;
    bed->groups[2].observed_percent = 50;
    bed_group(bed, "second", ENF_POLICY_BLOCK, 56, "198.18.0.0/16 2001:db8:3000::/36");
    bed->groups[3].observed_percent = 90;
}

static void make_canary(struct bed *bed)
{
    bed_init(bed);
    bed_interfaces(bed, true, true);
    bed_relays(bed);
    bed_groups(bed);
    shares(bed);
    bed->spec.workers = 2;
    bed_finish(bed);
}

static void make_canary_asymmetric(struct bed *bed)
{
    bed_init(bed);
    bed_groups(bed);
    shares(bed);
    bed->spec.stateless = true;
    bed_finish(bed);
}

static const struct {
    const char *name;
    void (*make)(struct bed *bed);
} goldens[] = {
    {"enforce", make_enforce},       /* all that can be configured */
    {"observe", make_observe},       /* the same under mode: observe */
    {"asymmetric", make_asymmetric}, /* stateless, no interfaces, fail: open, no meter */
    {"garden", make_garden},         /* somebody is at level full, web traffic goes to the portal */
    {"tproxy", make_tproxy},         /* the same to this machine; the meter throttles */
    {"empty", make_empty},           /* no groups, no relays, nothing */
    {"canary", make_canary},         /* shares of groups, two workers */
    {"canary-asymmetric", make_canary_asymmetric},
};

static char *read_file(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = NULL;
    size_t len = 0;

    if (!in)
        return NULL;
    if (getdelim(&text, &len, '\0', in) < 0) {
        free(text);
        text = NULL;
    }
    fclose(in);
    return text;
}

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    if (!out)
        fail_msg("%s cannot be written", path);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static unsigned first_difference(const char *a, const char *b)
{
    unsigned line = 1;

    for (; *a && *a == *b; a++, b++)
        line += *a == '\n';
    return line;
}

static void test_golden(void **state)
{
    const char *update = getenv("UPDATE_GOLDEN");

    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        struct bed bed;
        char path[128];
        goldens[i].make(&bed);
        char *text = render(&bed);
        snprintf(path, sizeof path, GOLDEN "%s.nft", goldens[i].name);
        if (update && *update)
            write_file(path, text);
        char *expected = read_file(path);
        if (!expected)
            fail_msg("%s is missing: UPDATE_GOLDEN=1 writes it", path);
        if (strcmp(text, expected) != 0)
            fail_msg(
                "%s differs from line %u on: UPDATE_GOLDEN=1 writes it anew, git diff shows what changed",
                path, first_difference(text, expected));
        free(expected);
        free(text);
        bed_clear(&bed);
    }
}

/* --- what holds for every text
 * --------------------------------------------------------------------------------- */

#define NAMES_MAX 512
#define NAME_LEN  80

/* A chain, set or counter: where it is declared, and how it is referred to. */
struct name {
    char kind; /* c chain, s set or map, n counter */
    char text[NAME_LEN];
    int declared;
    bool jumped, gone_to; /* chains */
    bool ends;            /* chains: the last rule is a verdict without a condition */
    bool base;
    bool used;
};

struct look {
    const char *what; /* which spec, for messages */
    struct name names[NAMES_MAX];
    size_t len;
    struct name *chain; /* the one being read */
    bool observe;
};

static struct name *named(struct look *look, char kind, const char *text, size_t len)
{
    assert_true(len > 0 && len < NAME_LEN);
    for (size_t i = 0; i < look->len; i++) {
        if (look->names[i].kind == kind && strlen(look->names[i].text) == len &&
            memcmp(look->names[i].text, text, len) == 0)
            return &look->names[i];
    }
    assert_true(look->len < NAMES_MAX);
    struct name *name = &look->names[look->len++];
    *name = (struct name){.kind = kind};
    memcpy(name->text, text, len);
    return name;
}

static size_t word_len(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void note_uses(struct look *look, const char *line)
{
    static const char *const verdicts[] = {"goto ", "jump "};

    for (size_t i = 0; i < 2; i++) {
        for (const char *at = line; (at = strstr(at, verdicts[i])); at += 5) {
            struct name *name = named(look, 'c', at + 5, word_len(at + 5));
            name->used = true;
            *(i ? &name->jumped : &name->gone_to) = true;
        }
    }
    /* "@th,0,32" is a part of the packet. */
    for (const char *at = line; (at = strchr(at, '@')); at++)
        if (at[1 + word_len(at + 1)] != ',')
            named(look, 's', at + 1, word_len(at + 1))->used = true;
    for (const char *at = line; (at = strstr(at, "counter name ")); at += 13)
        named(look, 'n', at + 13, word_len(at + 13))->used = true;
}

/* The whole rule is a verdict: nothing can make the packet pass it by. */
static bool is_final(const char *rule)
{
    if (starts(rule, "counter name ")) {
        rule += 13;
        rule += word_len(rule);
        rule += *rule == ' ';
    }
    if (starts(rule, "goto "))
        return rule[5 + word_len(rule + 5)] == '\0';
    return strcmp(rule, "accept") == 0 || strcmp(rule, "drop") == 0 || strcmp(rule, "return") == 0;
}

/* Words that would switch on connection tracking or defragmentation, change packets, or use what is the
 * operator's. */
static void check_words(const struct look *look, const char *line)
{
    static const char *const forbidden[] = {"ct ",         "dnat",    "snat",     "redirect", "masquerade",
                                            "tproxy",      "notrack", "synproxy", "mark",     "queue num",
                                            "queue flags", "socket",  "flow add", "dup to",   "nftrace"};

    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        const char *at = strstr(line, forbidden[i]);
        /* "ct " is also the end of a word. */
        if (at && !(at > line && word_len(at - 1) > 0))
            fail_msg("%s: \"%s\" in \"%s\"", look->what, forbidden[i], line);
    }
    if (look->observe && (strstr(line, "drop") || strstr(line, "reject") || strstr(line, "@quarantine4 {") ||
                          strstr(line, "@quarantine6 {")))
        fail_msg("%s: observe mode does more than look: \"%s\"", look->what, line);
}

static void look_at_line(struct look *look, const char *line)
{
    static const struct {
        const char *word;
        char kind;
    } words[] = {{"  chain ", 'c'}, {"  set ", 's'}, {"  map ", 's'}, {"  counter ", 'n'}};

    for (size_t i = 0; i < 4; i++) {
        if (!starts(line, words[i].word))
            continue;
        const char *name = line + strlen(words[i].word);
        struct name *found = named(look, words[i].kind, name, word_len(name));
        found->declared++;
        if (words[i].kind == 'c')
            look->chain = found;
    }
    if (strcmp(line, "  }") == 0)
        look->chain = NULL;
    /* Counters of drops are named so; the words are about rules. */
    if (look->chain && starts(line, "    ")) {
        const char *rule = line + 4;
        if (starts(rule, "type filter hook forward "))
            look->chain->base = look->chain->ends = true;
        else
            look->chain->ends = look->chain->base || is_final(rule);
        check_words(look, rule);
    }
    note_uses(look, line);
}

static void check_names(const struct look *look)
{
    for (size_t i = 0; i < look->len; i++) {
        const struct name *name = &look->names[i];
        if (name->declared != 1)
            fail_msg("%s: %c %s is declared %d times", look->what, name->kind, name->text, name->declared);
        if (name->kind == 'c' && !name->ends && name->gone_to)
            fail_msg("%s: chain %s is gone to and has no end of its own", look->what, name->text);
    }
}

static void look_at(const char *what, const char *text, bool observe)
{
    static struct look look;
    char line[4096];

    look = (struct look){.what = what, .observe = observe};
    while (*text) {
        size_t len = strcspn(text, "\n"), kept = len;
        assert_true(len < sizeof line);
        memcpy(line, text, len);
        line[len] = '\0';
        /* A comment is text for people. */
        char *comment = strchr(line, '#');
        if (comment) {
            kept = (size_t)(comment - line);
            while (kept > 0 && line[kept - 1] == ' ')
                kept--;
            line[kept] = '\0';
        }
        if (kept > 0)
            look_at_line(&look, line);
        text += len + (text[len] == '\n');
    }
    check_names(&look);
}

struct choice {
    bool observe, stateless, drop_25, automatic, fail_open, subscriber, upstream, bogons, relays;
    enum enf_ruleset_antispoof antispoof;
    unsigned groups; /* bits: block, inspect, observe */
    uint16_t workers;
};

static void bed_choice(struct bed *bed, const struct choice *c)
{
    bed_init(bed);
    bed_interfaces(bed, c->subscriber, c->upstream);
    if (c->relays)
        bed_relays(bed);
    if (c->bogons)
        bed_bogons(bed);
    if (c->groups & 1)
        bed_group(bed, "residential", ENF_POLICY_BLOCK, 56, "100.64.0.0/10 2001:db8:1000::/36");
    if (c->groups & 2)
        bed_group(bed, "business", ENF_POLICY_INSPECT, 64, "100.64.9.0/24 2001:db8:1200::/40");
    if (c->groups & 4)
        bed_group(bed, "lab", ENF_POLICY_OBSERVE, 128, "2001:db8:1234::/48");
    bed->spec.observe = c->observe;
    bed->spec.stateless = c->stateless;
    bed->spec.drop_source_port_25 = c->drop_25;
    bed->spec.automatic = c->automatic;
    bed->spec.fail_open = c->fail_open;
    bed->spec.workers = c->workers;
    bed->spec.antispoof = c->antispoof;
    bed_finish(bed);
}

/* Every combination of settings has a number. */
#define CHOICES (512u * 3 * 8 * 2)

static struct choice choice_at(unsigned i)
{
    return (struct choice){
        .observe = i & 1,
        .stateless = i & 2,
        .drop_25 = i & 4,
        .automatic = i & 8,
        .fail_open = i & 16,
        .subscriber = i & 32,
        .upstream = i & 64,
        .bogons = i & 128,
        .relays = i & 256,
        .antispoof = (enum enf_ruleset_antispoof)(i / 512 % 3),
        .groups = i / 512 / 3 % 8,
        .workers = i / 512 / 3 / 8 ? 3 : 1,
    };
}

static void describe(char *buf, size_t len, const struct choice *c)
{
    snprintf(buf, len, "%s%s%s%s%s%s%s%s%santispoof %d, groups %u, workers %u", c->observe ? "observe, " : "",
             c->stateless ? "stateless, " : "", c->drop_25 ? "" : "port 25 free, ",
             c->automatic ? "automatic, " : "", c->fail_open ? "open, " : "",
             c->subscriber ? "subscriber_if, " : "", c->upstream ? "upstream_if, " : "",
             c->bogons ? "bogons, " : "", c->relays ? "relays, " : "", c->antispoof, c->groups, c->workers);
}

/* LONG=1: all of them. A step that is prime to every factor meets all pairs and triples of settings soon. */
static void test_every_combination(void **state)
{
    const char *all = getenv("LONG");
    unsigned step = getenv("ENFORCER_SEQUENCES") ? 101 : all && *all ? 1 : 7;

    (void)state;
    for (unsigned i = 0; i < CHOICES; i += step) {
        struct choice c = choice_at(i);
        struct bed bed;
        char what[160];
        describe(what, sizeof what, &c);
        bed_choice(&bed, &c);
        char *text = render(&bed);
        look_at(what, text, c.observe);
        free(text);
        bed_clear(&bed);
    }
}

/* --- names, bounds, contradictions -------------------------------------------------------------------------
 */

/* Names that differ in more than - and _ are what the configuration lets through. */
static void test_group_names(void **state)
{
    static const char *const names[] = {"x",   "x-syn", "x_syn_", "x-syn-syn",
                                        "syn", "X",     "4",      "abcdefghijklmnopqrstuvwxyzabcde"};
    struct bed bed;

    (void)state;
    bed_init(&bed);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char prefixes[64];
        snprintf(prefixes, sizeof prefixes, "10.%zu.0.0/16 2001:db8:%zu::/48", i, i);
        bed_group(&bed, names[i], i % 2 ? ENF_POLICY_INSPECT : ENF_POLICY_BLOCK, (uint8_t)(64 - i), prefixes);
    }
    bed_finish(&bed);
    char *text = render(&bed);
    look_at("group names", text, false);
    /* The map leads where the group's own rules are. */
    assert_non_null(strstr(text, "10.0.0.0-10.0.255.255 : goto g_x4"));
    assert_non_null(strstr(text, "10.1.0.0-10.1.255.255 : goto g_x_syn_4"));
    assert_non_null(strstr(text, "  chain g_x_syn_4 {"));
    assert_non_null(strstr(text, "  chain g_x_syn4 {"));
    free(text);
    bed_clear(&bed);
}

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is missing", part);
}

static void test_times(void **state)
{
    static const struct {
        uint64_t quarantine_ms, window_ms;
        const char *quarantine, *window;
    } rows[] = {
        {3600000, 60000, " timeout 3600s }", "; timeout 120s; }"},
        {1, 0, " timeout 1s }", "; timeout 60s; }"},
        {1000, 1, " timeout 1s }", "; timeout 61s; }"},
        {1001, 1000, " timeout 2s }", "; timeout 61s; }"},
        {0, 0, " timeout 1s }", "; timeout 60s; }"}, /* "0s" would be for ever */
        {UINT64_MAX, UINT64_MAX, " timeout 315360000s }", "; timeout 315360000s; }"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bed bed;
        bed_full(&bed);
        bed.spec.meter_quarantine_ms = rows[i].quarantine_ms;
        bed.spec.meter_window_ms = rows[i].window_ms;
        char *text = render(&bed);
        expect(text, rows[i].quarantine);
        expect(text, rows[i].window);
        free(text);
        bed_clear(&bed);
    }
}

static void test_group_without_meter(void **state)
{
    struct bed bed;

    (void)state;
    bed_full(&bed);
    bed.groups[0].meter_per_minute = 0;
    char *text = render(&bed);
    look_at("no meter", text, false);
    assert_null(strstr(text, "0/minute burst 0"));
    free(text);
    bed_clear(&bed);
}

/* A group whose prefixes are all given to others, or of one family only, has no chain where nothing leads. */
static void test_group_of_no_range(void **state)
{
    struct bed bed;

    (void)state;
    bed_init(&bed);
    bed_group(&bed, "gone", ENF_POLICY_BLOCK, 64, "10.0.0.0/24");
    bed_group(&bed, "over", ENF_POLICY_BLOCK, 64, "10.0.0.0/25 10.0.0.128/25");
    bed_group(&bed, "six", ENF_POLICY_INSPECT, 64, "2001:db8::/32");
    bed_group(&bed, "none", ENF_POLICY_INSPECT, 0, ""); /* the length is of no interest */
    bed_finish(&bed);
    char *text = render(&bed);
    look_at("no range", text, false);
    assert_null(strstr(text, "chain g_gone4"));
    assert_null(strstr(text, "chain g_six4"));
    assert_null(strstr(text, "chain g_none"));
    expect(text, "chain g_over4 {");
    expect(text, "chain g_six6 {");
    expect(text, "counter g_gone_blocked {"); /* counters stay whatever the prefixes */
    free(text);
    bed_clear(&bed);
}

static void test_bogons_without_ours(void **state)
{
    struct bed bed;

    (void)state;
    bed_full(&bed);
    char *text = render(&bed);
    expect(text, "set bogons4 { type ipv4_addr; flags interval; elements = { 0.0.0.0-0.255.255.255,\n"
                 "      192.0.2.0-192.0.2.9,\n      192.0.2.11-192.0.2.63,\n      192.0.2.80-192.0.2.255,\n"
                 "      240.0.0.0-255.255.255.255 }; }");
    free(text);
    bed_clear(&bed);
    /* Nothing left of the list: no set, and no rule that names it. */
    bed_full(&bed);
    bed.bogons[0] = bed_prefix("100.64.0.0/10");
    bed.spec.bogons_len = 1;
    text = render(&bed);
    assert_null(strstr(text, "@bogons4"));
    look_at("no bogons left", text, false);
    free(text);
    bed_clear(&bed);
}

static void test_contradictions(void **state)
{
    struct bed bed;
    char *text = (char *)0x1;

    (void)state;
    bed_full(&bed);
    bed.spec.groups_len = 2; /* the map names a third */
    assert_int_equal(enf_ruleset_render(&bed.spec, &text), -EINVAL);
    bed.spec.groups_len = 3;
    bed.groups[1].subscriber_v6 = 0;
    assert_int_equal(enf_ruleset_render(&bed.spec, &text), -EINVAL);
    bed.groups[1].subscriber_v6 = 129;
    assert_int_equal(enf_ruleset_render(&bed.spec, &text), -EINVAL);
    assert_ptr_equal(text, (char *)0x1);
    bed_clear(&bed);
}

/* Empty lists may be NULL. */
static void test_null_lists(void **state)
{
    struct enf_rangemap map = {0};
    struct enf_ruleset_spec spec = {.group_map = &map};
    char *text = NULL;

    (void)state;
    assert_int_equal(enf_ruleset_render(&spec, &text), 0);
    look_at("null lists", text, false);
    free(text);
}

/* --- nft ---------------------------------------------------------------------------------------------------
 */

static void nft_takes(const char *what, const char *text)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    char *error = NULL;

    assert_non_null(nft);
    nft_ctx_buffer_error(nft);
    nft_ctx_set_dry_run(nft, true);
    /* As an operator would: `enforcerd --print-ruleset | nft -c -f -`. */
    if (nft_run_cmd_from_buffer(nft, text) != 0)
        fail_msg("%s: nft says: %s", what, nft_ctx_get_error_buffer(nft));
    nft_ctx_free(nft);
    /* And as it is loaded. */
    if (enf_ruleset_check(text, &error) != 0)
        fail_msg("%s: refused: %s", what, error);
}

static void test_nft_takes_it(void **state)
{
    bool own_user;

    (void)state;
    if (enter_namespace(&own_user) < 0) {
        print_message("skipped: no right to make a network namespace\n");
        skip();
    }
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        struct bed bed;
        goldens[i].make(&bed);
        char *text = render(&bed);
        nft_takes(goldens[i].name, text);
        free(text);
        bed_clear(&bed);
    }
    for (unsigned i = 0; i < CHOICES; i += 401) {
        struct choice c = choice_at(i);
        struct bed bed;
        char what[160];
        describe(what, sizeof what, &c);
        bed_choice(&bed, &c);
        char *text = render(&bed);
        nft_takes(what, text);
        free(text);
        bed_clear(&bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_group_names),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_group_without_meter),
        cmocka_unit_test(test_group_of_no_range),
        cmocka_unit_test(test_bogons_without_ours),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_null_lists),
        cmocka_unit_test(test_nft_takes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
