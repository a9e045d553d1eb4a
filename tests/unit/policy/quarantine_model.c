/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Property test of the quarantine table: random sequences of additions, releases and expiries over 256
 * addresses of each family, against a model that knows each asked-for quarantine as 256 yes and no. What the
 * sink heard is mirrored (kernel elements, rows) and compared as well. ENFORCER_SEQUENCES=100000 runs more of
 * them. */
#include "enforcer/core/text.h"
#include "enforcer/policy/quarantine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIVERSE  256u
#define ASKS_MAX  64
#define ROWS_MAX  4096
#define STEPS     15
#define SEQUENCES 3000

/* One quarantine that was asked for, by address. Pieces of a split single are nets, hence two maps. */
struct ask {
    unsigned first;
    unsigned len;         /* bits of 8 */
    bool in[2][UNIVERSE]; /* by net */
    enum enf_level level;
    bool forced;
    uint64_t until_ms;
    bool net;
};

struct row {
    struct enf_prefix prefix;
    bool net;
    bool forced;
    enum enf_level level;
    uint64_t until_ms;
};

struct world {
    uint64_t random;
    enum enf_family family;
    uint64_t now_ms;
    struct ask asks[ASKS_MAX];
    size_t asks_len;
    struct row rows[ROWS_MAX]; /* mirror of the store */
    size_t rows_len;
    struct row elements[ROWS_MAX]; /* mirror of the kernel's hash sets */
    size_t elements_len;
    bool told[UNIVERSE]; /* released by the last call */
    size_t told_len;
    struct enf_quarantine_table *table;
    struct enf_quarantine_sink sink;
};

static uint32_t pick(struct world *w, uint32_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)((w->random >> 32) % below);
}

static struct enf_prefix prefix_of(const struct world *w, unsigned first, unsigned len)
{
    static const uint8_t v4[4] = {198, 51, 100};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 7};
    struct enf_addr addr = enf_addr_from_bytes(w->family, w->family == ENF_FAMILY_V4 ? v4 : v6);

    addr.bytes[enf_addr_len(&addr) - 1] = (uint8_t)first;
    return enf_prefix_make(&addr, (uint8_t)(enf_addr_bits(&addr) - 8 + len));
}

static unsigned last_byte(const struct enf_addr *addr)
{
    return addr->bytes[enf_addr_len(addr) - 1];
}

static unsigned size_of(unsigned len)
{
    return UNIVERSE >> len;
}

/* --- the model ---------------------------------------------------------------------------------------------
 */

static bool has_all(const bool *in, unsigned first, unsigned len)
{
    for (unsigned i = 0; i < size_of(len); i++)
        if (!in[first + i])
            return false;
    return true;
}

/* Whether an entry with just this prefix stands for a part of the ask: the whole of it, or a largest aligned
 * block of what splits have left. */
static bool is_block(const struct ask *ask, bool net, unsigned first, unsigned len)
{
    if (len < ask->len || (first & ~(size_of(ask->len) - 1)) != ask->first ||
        !has_all(ask->in[net], first, len))
        return false;
    if (len == ask->len)
        return true;
    return !has_all(ask->in[net], first & ~(size_of(len - 1) - 1), len - 1);
}

static void model_add(struct world *w, const struct ask *ask, enum enf_quarantine_how how)
{
    for (size_t i = 0; how == ENF_QUARANTINE_SET && i < w->asks_len; i++)
        if (is_block(&w->asks[i], ask->net, ask->first, ask->len))
            memset(&w->asks[i].in[ask->net][ask->first], 0, size_of(ask->len));
    w->asks[w->asks_len++] = *ask;
}

static void model_release(struct world *w, unsigned first, unsigned len)
{
    for (size_t i = 0; i < w->asks_len; i++) {
        struct ask *ask = &w->asks[i];

        /* a single that is larger than the part becomes nets */
        if (!ask->net && ask->len < len && has_all(ask->in[0], ask->first, ask->len) &&
            (first & ~(size_of(ask->len) - 1)) == ask->first) {
            memcpy(ask->in[1], ask->in[0], sizeof(ask->in[1]));
            memset(ask->in[0], 0, sizeof(ask->in[0]));
        }
        memset(&ask->in[0][first], 0, size_of(len));
        memset(&ask->in[1][first], 0, size_of(len));
    }
}

static void model_expire(struct world *w)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->asks_len; i++)
        if (w->asks[i].until_ms > w->now_ms)
            w->asks[kept++] = w->asks[i];
    w->asks_len = kept;
}

/* What the model says of one address: the latest end by least level, nets only or not, forced only or not. */
struct ends {
    uint64_t until_ms[ENF_LEVEL_COUNT][2][2];
};

static struct ends model_ends(const struct world *w, unsigned at)
{
    struct ends ends = {{{{0}}}};

    for (size_t i = 0; i < w->asks_len; i++) {
        const struct ask *ask = &w->asks[i];

        for (unsigned which = 0; which < 4; which++) {
            unsigned nets = which & 1;
            unsigned forced = which >> 1;

            if (!ask->in[1][at] && (nets || !ask->in[0][at]))
                continue;
            for (unsigned level = 0; level <= ask->level && (ask->forced || !forced); level++)
                if (ask->until_ms > ends.until_ms[level][nets][forced])
                    ends.until_ms[level][nets][forced] = ask->until_ms;
        }
    }
    return ends;
}

/* --- the mirrors -------------------------------------------------------------------------------------------
 */

static void mirror(struct row *rows, size_t *rows_len, bool present, const struct row *row)
{
    size_t at = 0;

    while (at < *rows_len && !(enf_prefix_equal(&rows[at].prefix, &row->prefix) && rows[at].net == row->net &&
                               rows[at].forced == row->forced && rows[at].level == row->level))
        at++;
    if (present) {
        assert_true(at < ROWS_MAX);
        rows[at] = *row;
        *rows_len += at == *rows_len;
    } else {
        assert_true(at < *rows_len); /* only what is there may be deleted */
        rows[at] = rows[--*rows_len];
    }
}

static void on_row(void *ctx, bool present, const struct enf_quarantine *entry)
{
    struct world *w = ctx;
    struct row row = {entry->subscriber, entry->net, entry->forced, entry->level, entry->until_ms};

    mirror(w->rows, &w->rows_len, present, &row);
}

static void on_element(void *ctx, const struct enf_quarantine_element *element)
{
    struct world *w = ctx;
    struct row row = {.prefix = element->subscriber, .level = element->level, .until_ms = element->until_ms};

    mirror(w->elements, &w->elements_len, element->until_ms != 0, &row);
}

static void on_told(void *ctx, enum enf_quarantine_change change, const struct enf_quarantine *entry,
                    const struct enf_quarantine *previous)
{
    struct world *w = ctx;
    struct enf_range range = enf_prefix_range(&entry->subscriber);

    w->told_len++;
    if (change != ENF_QUARANTINE_RELEASED)
        return;
    assert_true(enf_prefix_covers(&previous->subscriber, &entry->subscriber));
    for (unsigned i = last_byte(&range.first); i <= last_byte(&range.last); i++)
        w->told[i] = true;
}

/* --- comparison --------------------------------------------------------------------------------------------
 */

struct seen {
    uint64_t until_ms[2][ENF_LEVEL_COUNT][2]; /* by net, level, forced */
    struct world *world;
    size_t count;
};

static int see(void *ctx, const struct enf_quarantine *entry)
{
    struct seen *seen = ctx;
    uint64_t *until_ms = &seen->until_ms[entry->net][entry->level][entry->forced];

    if (entry->until_ms > *until_ms)
        *until_ms = entry->until_ms;
    assert_string_equal(entry->reason, "said so");
    return 0;
}

static uint64_t seen_until(const struct seen *seen, unsigned level, bool nets, bool forced)
{
    uint64_t until_ms = 0;

    for (unsigned net = nets; net < 2; net++)
        for (unsigned l = level; l < ENF_LEVEL_COUNT; l++)
            for (unsigned f = forced; f < 2; f++)
                if (seen->until_ms[net][l][f] > until_ms)
                    until_ms = seen->until_ms[net][l][f];
    return until_ms;
}

static void compare_address(struct world *w, unsigned at, const struct ends *ends)
{
    struct enf_prefix host = prefix_of(w, at, 8);
    struct seen seen = {.count = 0};
    struct enf_quarantine found;

    enf_quarantine_covering(w->table, &host, see, &seen);
    for (unsigned level = ENF_LEVEL_NONE; level < ENF_LEVEL_COUNT; level++)
        for (unsigned which = 0; which < 4; which++)
            if (seen_until(&seen, level, which & 1, which >> 1) !=
                ends->until_ms[level][which & 1][which >> 1])
                fail_msg("address %u, level %u, case %u", at, level, which);
    assert_int_equal(enf_quarantine_find(w->table, &host, &found), ends->until_ms[0][0][0] != 0);
    if (ends->until_ms[0][0][0]) {
        assert_int_equal(found.until_ms, ends->until_ms[found.level][0][0]);
        assert_true(found.level == ENF_LEVEL_FULL || !ends->until_ms[found.level + 1][0][0]);
    }
}

static void compare_flat(struct world *w, enum enf_level at_least, const struct ends ends[UNIVERSE])
{
    struct enf_quarantine_ranges ranges;
    size_t r = 0;

    assert_int_equal(enf_quarantine_nets_flatten(w->table, w->family, at_least, ENF_LEVEL_FULL, &ranges), 0);
    for (unsigned at = 0; at < UNIVERSE; at++) {
        const struct enf_quarantine_range *item;
        unsigned level = ENF_LEVEL_FULL;

        while (level > ENF_LEVEL_NONE && !ends[at].until_ms[level][1][0])
            level--;
        if (level < at_least)
            level = ENF_LEVEL_NONE;
        if (r < ranges.len && last_byte(&ranges.items[r].range.last) < at)
            r++;
        item = r < ranges.len && last_byte(&ranges.items[r].range.first) <= at ? &ranges.items[r] : NULL;
        assert_int_equal(item ? item->level : ENF_LEVEL_NONE, level);
        assert_int_equal(item ? item->until_ms : 0, ends[at].until_ms[at_least][1][0]);
    }
    assert_true(r + 1 >= ranges.len);
    for (size_t i = 1; i < ranges.len; i++) { /* ascending, disjoint, fused where they can be */
        unsigned before = last_byte(&ranges.items[i - 1].range.last);
        unsigned first = last_byte(&ranges.items[i].range.first);

        assert_true(before < first);
        assert_true(before + 1 < first || ranges.items[i].level != ranges.items[i - 1].level ||
                    ranges.items[i].until_ms != ranges.items[i - 1].until_ms);
    }
    enf_quarantine_ranges_clear(&ranges);
}

/* Looking up each address is slow: only where `all` asks for it. */
static void compare_addresses(struct world *w, bool all)
{
    struct ends ends[UNIVERSE];

    for (unsigned at = 0; at < UNIVERSE; at++) {
        ends[at] = model_ends(w, at);
        if (all)
            compare_address(w, at, &ends[at]);
    }
    for (unsigned level = ENF_LEVEL_NONE; level < ENF_LEVEL_COUNT; level++)
        compare_flat(w, (enum enf_level)level, ends);
}

/* The store's mirror holds each entry, and the kernel's mirror each single, and no other. */
static int compare_entry(void *ctx, const struct enf_quarantine *entry)
{
    struct seen *seen = ctx;
    struct world *w = seen->world;
    bool in_rows = false;
    bool in_elements = entry->net;

    seen->count++;
    for (size_t i = 0; i < w->rows_len; i++)
        in_rows |= enf_prefix_equal(&w->rows[i].prefix, &entry->subscriber) && w->rows[i].net == entry->net &&
                   w->rows[i].level == entry->level && w->rows[i].forced == entry->forced &&
                   w->rows[i].until_ms == entry->until_ms;
    for (size_t i = 0; i < w->elements_len; i++)
        in_elements |= enf_prefix_equal(&w->elements[i].prefix, &entry->subscriber) &&
                       w->elements[i].level == entry->level && w->elements[i].until_ms >= entry->until_ms;
    assert_true(in_rows);
    assert_true(in_elements);
    return 0;
}

static void compare_mirrors(struct world *w)
{
    struct seen seen = {.world = w};

    enf_quarantine_each(w->table, compare_entry, &seen);
    assert_int_equal(seen.count, w->rows_len);
    assert_int_equal(seen.count, enf_quarantine_count(w->table));
    for (size_t i = 0; i < w->elements_len; i++) {
        uint64_t until_ms = 0;

        for (size_t j = 0; j < w->rows_len; j++)
            if (!w->rows[j].net && enf_prefix_equal(&w->rows[j].prefix, &w->elements[i].prefix) &&
                w->rows[j].level == w->elements[i].level && w->rows[j].until_ms > until_ms)
                until_ms = w->rows[j].until_ms;
        assert_int_equal(until_ms, w->elements[i].until_ms);
    }
}

/* --- sequences ---------------------------------------------------------------------------------------------
 */

static void step_add(struct world *w)
{
    enum enf_quarantine_how how = pick(w, 2) ? ENF_QUARANTINE_SET : ENF_QUARANTINE_EXTEND;
    struct enf_quarantine entry = {.reason = "said so", .actor = "user:test"};
    struct ask ask = {.net = pick(w, 3) != 0, .len = pick(w, 9), .forced = pick(w, 4) == 0};

    ask.first = pick(w, UNIVERSE) & ~(size_of(ask.len) - 1);
    ask.level = (enum enf_level)(ENF_LEVEL_THROTTLE + pick(w, 3));
    ask.until_ms = pick(w, 8) ? w->now_ms + 1 + pick(w, 40) : ENF_FOREVER;
    memset(&ask.in[ask.net][ask.first], 1, size_of(ask.len));

    entry.subscriber = prefix_of(w, ask.first, ask.len);
    entry.net = ask.net;
    entry.forced = ask.forced;
    entry.level = ask.level;
    entry.since_ms = w->now_ms;
    entry.until_ms = ask.until_ms;
    assert_int_equal(enf_quarantine_add(w->table, &entry, 1, how, &w->sink), 0);
    model_add(w, &ask, how);
}

static void step_release(struct world *w)
{
    unsigned len = pick(w, 9);
    unsigned first = pick(w, UNIVERSE) & ~(size_of(len) - 1);
    struct enf_prefix prefix = prefix_of(w, first, len);
    size_t released = 0;
    bool want[UNIVERSE] = {false};

    for (unsigned i = 0; i < size_of(len); i++)
        want[first + i] = model_ends(w, first + i).until_ms[0][0][0] != 0;
    memset(w->told, 0, sizeof(w->told));
    w->told_len = 0;
    assert_int_equal(enf_quarantine_release(w->table, &prefix, &w->sink, &released), 0);
    assert_int_equal(released, w->told_len);
    model_release(w, first, len);
    assert_memory_equal(want, w->told, sizeof(want));
}

static void step_expire(struct world *w)
{
    size_t expired;

    w->now_ms += pick(w, 15);
    w->told_len = 0;
    expired = enf_quarantine_expire(w->table, w->now_ms, 0, &w->sink);
    assert_int_equal(expired, w->told_len);
    assert_true(enf_quarantine_next_expiry(w->table) > w->now_ms);
    model_expire(w);
}

static void run_sequence(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->random = seed * 0x9e3779b97f4a7c15ULL + 1;
    w->family = seed % 2 ? ENF_FAMILY_V4 : ENF_FAMILY_V6;
    w->now_ms = 1000;
    w->sink = (struct enf_quarantine_sink){.ctx = w, .element = on_element, .row = on_row, .told = on_told};
    assert_int_equal(enf_quarantine_new(1000, seed, &w->table), 0);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned what = pick(w, 10);

        if (what < 6)
            step_add(w);
        else if (what < 9)
            step_release(w);
        else
            step_expire(w);
        compare_addresses(w, step % 5 == 4 || step + 1 == STEPS);
        compare_mirrors(w);
    }
    enf_quarantine_free(&w->table);
}

static void test_sequences(void **state)
{
    const char *env = getenv("ENFORCER_SEQUENCES");
    uint64_t count = env ? strtoull(env, NULL, 10) : SEQUENCES;
    struct world *w = malloc(sizeof(*w));

    (void)state;
    assert_non_null(w);
    for (uint64_t seed = 1; seed <= count; seed++) {
        if (env && seed % 10000 == 0)
            print_message("sequence %llu\n", (unsigned long long)seed);
        run_sequence(w, seed);
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
