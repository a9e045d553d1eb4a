/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The canonical form: what counts of a message and what does not. Messages by hand. */
#include "enforcer/kernel/canon.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A message that is being written. */
struct writer {
    uint8_t bytes[1024];
    size_t len;
};

static void begin(struct writer *w, unsigned family)
{
    struct nfgenmsg head = {.nfgen_family = (uint8_t)family};

    *w = (struct writer){0};
    memcpy(w->bytes, &head, sizeof head);
    w->len = sizeof head;
}

static size_t open_attr(struct writer *w, uint16_t type)
{
    struct nlattr head = {.nla_type = type};

    memcpy(w->bytes + w->len, &head, sizeof head);
    w->len += sizeof head;
    return w->len - sizeof head;
}

static void close_attr(struct writer *w, size_t at)
{
    uint16_t len = (uint16_t)(w->len - at);

    memcpy(w->bytes + at, &len, sizeof len);
    w->len = (w->len + 3) & ~(size_t)3;
}

static void put(struct writer *w, uint16_t type, const void *data, size_t len)
{
    size_t at = open_attr(w, type);

    memcpy(w->bytes + w->len, data, len);
    w->len += len;
    close_attr(w, at);
}

static void put_text(struct writer *w, uint16_t type, const char *text)
{
    put(w, type, text, strlen(text) + 1);
}

static void put_number(struct writer *w, uint16_t type, uint32_t number)
{
    number = htonl(number);
    put(w, type, &number, sizeof number);
}

static struct enf_message message_of(const struct writer *w, unsigned kind)
{
    return (struct enf_message){
        .type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | kind), .body = w->bytes, .body_len = w->len};
}

/* A set's name as a reload leaves it. */
static void plain(void *ctx, const char *name, struct enf_canon *canon)
{
    (void)ctx;
    enf_canon_put(canon, name, enf_canon_plain_len(name));
}

static bool print_of(enum enf_canon_kind kind, const struct enf_message *message, struct enf_print *out)
{
    struct enf_canon canon = {0};
    char name[ENF_CANON_NAME_LEN] = "";
    bool ours = enf_canon_object(kind, message, plain, NULL, &canon, name, NULL);

    *out = enf_canon_print(&canon);
    enf_canon_clear(&canon);
    return ours;
}

/* A rule: a lookup in a set, then a counter. What may change is an argument. */
struct rule {
    const char *table, *chain, *set;
    uint32_t handle, packets, sreg;
};

static void write_rule(struct writer *w, const struct rule *rule)
{
    begin(w, NFPROTO_INET);
    put_text(w, NFTA_RULE_TABLE, rule->table);
    put_text(w, NFTA_RULE_CHAIN, rule->chain);
    put_number(w, NFTA_RULE_HANDLE, rule->handle);
    size_t list = open_attr(w, NFTA_RULE_EXPRESSIONS);
    size_t elem = open_attr(w, NFTA_LIST_ELEM);
    put_text(w, NFTA_EXPR_NAME, "lookup");
    size_t data = open_attr(w, NFTA_EXPR_DATA);
    put_text(w, NFTA_LOOKUP_SET, rule->set);
    put_number(w, NFTA_LOOKUP_SREG, rule->sreg);
    close_attr(w, data);
    close_attr(w, elem);
    elem = open_attr(w, NFTA_LIST_ELEM);
    put_text(w, NFTA_EXPR_NAME, "counter");
    data = open_attr(w, NFTA_EXPR_DATA);
    put_number(w, NFTA_COUNTER_PACKETS, rule->packets);
    close_attr(w, data);
    close_attr(w, elem);
    close_attr(w, list);
}

static void test_rules(void **state)
{
    static const struct rule first = {"enforcer", "forward", "denied4_g1", 7, 100, 1};
    static const struct {
        const char *what;
        struct rule rule;
        bool same;
    } rows[] = {
        {"another handle", {"enforcer", "forward", "denied4_g1", 8, 100, 1}, true},
        {"counted on", {"enforcer", "forward", "denied4_g1", 7, 101, 1}, true},
        {"the next load", {"enforcer", "forward", "denied4_g22", 7, 100, 1}, true},
        {"another set", {"enforcer", "forward", "denied6_g1", 7, 100, 1}, false},
        {"no set of a load", {"enforcer", "forward", "denied4_gx", 7, 100, 1}, false},
        {"another register", {"enforcer", "forward", "denied4_g1", 7, 100, 2}, false},
    };
    struct enf_print wanted, print;
    struct writer w;

    (void)state;
    write_rule(&w, &first);
    struct enf_message message = message_of(&w, NFT_MSG_NEWRULE);
    assert_true(print_of(ENF_CANON_RULE, &message, &wanted));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_rule(&w, &rows[i].rule);
        message = message_of(&w, NFT_MSG_NEWRULE);
        assert_true(print_of(ENF_CANON_RULE, &message, &print));
        if (enf_print_equal(wanted, print) != rows[i].same)
            fail_msg("%s", rows[i].what);
    }
}

static void test_not_ours(void **state)
{
    struct rule other = {"enforcer2", "forward", "s", 1, 1, 1}, ours = {"enforcer", "forward", "s", 1, 1, 1};
    struct enf_print print;
    struct writer w;

    (void)state;
    write_rule(&w, &other);
    struct enf_message message = message_of(&w, NFT_MSG_NEWRULE);
    assert_false(print_of(ENF_CANON_RULE, &message, &print));
    write_rule(&w, &ours);
    message = message_of(&w, NFT_MSG_NEWRULE);
    assert_false(print_of(ENF_CANON_CHAIN, &message, &print));
    w.bytes[0] = NFPROTO_IPV4; /* a table of that name in another family */
    assert_false(print_of(ENF_CANON_RULE, &message, &print));
    message.body_len = 3;
    assert_false(print_of(ENF_CANON_RULE, &message, &print));
}

struct bag {
    struct enf_print print;
    size_t elements, ends;
};

static void on_element(void *ctx, struct enf_print print, bool end)
{
    struct bag *bag = ctx;

    enf_print_add(&bag->print, print);
    bag->elements += !end;
    bag->ends += end;
}

static struct bag bag_of(const uint32_t *keys, size_t len, uint64_t expires)
{
    struct writer w;
    struct bag bag = {0};

    begin(&w, NFPROTO_INET);
    put_text(&w, NFTA_SET_ELEM_LIST_TABLE, "enforcer");
    size_t list = open_attr(&w, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (size_t i = 0; i < len; i++) {
        size_t elem = open_attr(&w, NFTA_LIST_ELEM), key = open_attr(&w, NFTA_SET_ELEM_KEY);
        put_number(&w, NFTA_DATA_VALUE, keys[i]);
        close_attr(&w, key);
        put(&w, NFTA_SET_ELEM_EXPIRATION, &expires, sizeof expires);
        if (i & 1)
            put_number(&w, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        close_attr(&w, elem);
    }
    close_attr(&w, list);
    struct enf_message message = message_of(&w, NFT_MSG_NEWSETELEM);
    enf_canon_elements(&message, on_element, &bag);
    return bag;
}

/* In any order, whatever time is left; but each as often as it is there. */
static void test_elements(void **state)
{
    static const uint32_t first[] = {1, 10, 2, 20, 3}, turned[] = {3, 20, 1, 10, 2},
                          other[] = {1, 10, 2, 20, 4}, swapped[] = {10, 1, 2, 20, 3},
                          twice[] = {1, 10, 2, 20, 2};
    struct bag wanted = bag_of(first, 5, 1000);

    (void)state;
    assert_int_equal(wanted.elements, 3);
    assert_int_equal(wanted.ends, 2);
    assert_true(enf_print_equal(wanted.print, bag_of(turned, 5, 5).print));
    assert_false(enf_print_equal(wanted.print, bag_of(other, 5, 1000).print));
    assert_false(enf_print_equal(wanted.print, bag_of(swapped, 5, 1000).print));
    assert_false(enf_print_equal(wanted.print, bag_of(twice, 5, 1000).print));
    assert_false(enf_print_equal(wanted.print, bag_of(first, 4, 1000).print));
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        size_t len;
    } rows[] = {
        {"denied4_g1", 7}, {"denied4_g123", 7}, {"denied4", 7}, {"denied4_g", 9}, {"_g1", 3},
        {"", 0},           {"flows4", 6},       {"a_g1x", 5},   {"x_g7", 1},      {"12", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(enf_canon_plain_len(rows[i].name), rows[i].len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
