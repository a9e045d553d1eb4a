/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel to test against: a network namespace of our own for the whole program, and in it a table anew for
 * each test. Without the right to make one every test says so and is skipped. */
#pragma once

#include "specs.h"

#include "enforcer/core/text.h"
#include "enforcer/kernel/kernel.h"

#include <nftables/libnftables.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct kernel_bed {
    int namespace_err;
    bool own_user; /* limits of an ordinary user hold, for instance on socket buffers */
    struct enf_kernel *kernel;
    char *text; /* the ruleset that is loaded */
};

/* Group setup: state is the struct kernel_bed that main() owns. */
static inline int bed_enter(void **state)
{
    struct kernel_bed *k = *state;

    k->namespace_err = enter_namespace(&k->own_user);
    return 0;
}

static inline struct kernel_bed *bed_of(void **state)
{
    struct kernel_bed *k = *state;

    if (k->namespace_err < 0) {
        print_message("skipped: no right to make a network namespace\n");
        skip();
    }
    return k;
}

/* Replaces the prefixes of one tier, and empties the others. */
static inline int bed_nets(struct enf_kernel *kernel, enum enf_kernel_tier tier, enum enf_family family,
                           const struct enf_kernel_net *nets, size_t len)
{
    struct enf_kernel_nets all[ENF_KERNEL_TIER_COUNT] = {{0}};

    all[tier] = (struct enf_kernel_nets){nets, len};
    return enf_kernel_nets_replace(kernel, family, all);
}

static inline int bed_smtp_nets(struct enf_kernel *kernel, enum enf_family family,
                                const struct enf_kernel_net *nets, size_t len)
{
    return bed_nets(kernel, ENF_KERNEL_TIER_SMTP, family, nets, len);
}

static inline char *bed_text(void (*make)(struct bed *bed))
{
    struct bed bed;
    char *text = NULL;

    make(&bed);
    int err = enf_ruleset_render(&bed.spec, &text);
    bed_clear(&bed);
    assert_int_equal(err, 0);
    return text;
}

static inline void bed_load_text(const char *text)
{
    char *error = NULL;

    if (enf_ruleset_load(text, NULL, &error) != 0)
        fail_msg("refused: %s", error);
}

/* Test setup: the full table, loaded as the daemon does it: sets first. */
static inline int bed_open(void **state)
{
    struct kernel_bed *k = *state;
    char *error = NULL;

    if (k->namespace_err < 0)
        return 0;
    k->text = bed_text(bed_full);
    if (enf_ruleset_load_sets(k->text, &error) != 0)
        fail_msg("refused: %s", error);
    bed_load_text(k->text);
    assert_int_equal(enf_kernel_open(&k->kernel), 0);
    return 0;
}

static inline int bed_close(void **state)
{
    struct kernel_bed *k = *state;

    if (k->namespace_err < 0)
        return 0;
    enf_kernel_close(&k->kernel);
    assert_null(k->kernel);
    assert_int_equal(enf_ruleset_remove(NULL), 0);
    free(k->text);
    k->text = NULL;
    return 0;
}

/* Commands of nft, for what somebody else does to the table. 0, or -1 with the message printed. */
static inline int bed_nft(const char *commands)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);

    assert_non_null(nft);
    nft_ctx_buffer_error(nft);
    nft_ctx_buffer_output(nft);
    int err = nft_run_cmd_from_buffer(nft, commands);
    if (err != 0)
        print_message("%s", nft_ctx_get_error_buffer(nft));
    nft_ctx_free(nft);
    return err;
}

/* --- what a set holds --------------------------------------------------------------------------------------
 */

struct bed_element {
    struct enf_range range;
    uint64_t expires_ms;
};

/* Ascending, as they are read. Free items. */
struct bed_elements {
    struct bed_element *items;
    size_t len;
    size_t size;
};

static inline int bed_on_element(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct bed_elements *all = ctx;

    if (all->len == all->size) {
        all->size = all->size ? all->size * 2 : 64;
        all->items = realloc(all->items, all->size * sizeof *all->items);
        assert_non_null(all->items);
    }
    all->items[all->len++] = (struct bed_element){*range, expires_ms};
    return 0;
}

static inline struct bed_elements bed_read(struct kernel_bed *k, enum enf_kernel_set set)
{
    struct bed_elements all = {0};
    int err = enf_kernel_read_set(k->kernel, set, bed_on_element, &all);

    if (err < 0)
        fail_msg("%s cannot be read: %d", enf_kernel_set_name(set), err);
    return all;
}

static inline size_t bed_count(struct kernel_bed *k, enum enf_kernel_set set)
{
    struct bed_elements all = bed_read(k, set);

    free(all.items);
    return all.len;
}

/* What is left of one address: 0: it is not there. */
static inline uint64_t bed_left(struct kernel_bed *k, enum enf_kernel_set set, const char *address)
{
    struct bed_elements all = bed_read(k, set);
    struct enf_addr addr = bed_prefix(address).addr;
    uint64_t left = 0;

    for (size_t i = 0; i < all.len; i++) {
        if (enf_addr_cmp(&all.items[i].range.first, &addr) <= 0 &&
            enf_addr_cmp(&addr, &all.items[i].range.last) <= 0)
            left = all.items[i].expires_ms;
    }
    free(all.items);
    return left;
}

/* --- times and ranges
 * ---------------------------------------------------------------------------------------
 */

#define MINUTE 60000ULL
#define HOUR   (60 * MINUTE)

/* Times run on while a test runs, and tests run on slow machines; the kernel counts in ticks of some
 * milliseconds. */
static inline void about(uint64_t left_ms, uint64_t expected_ms)
{
    uint64_t slack_ms = expected_ms / 2 < 5 * MINUTE ? expected_ms / 2 : 5 * MINUTE;
    bool right = expected_ms == ENF_FOREVER
                     ? left_ms == ENF_FOREVER
                     : left_ms <= expected_ms + 1000 && left_ms >= expected_ms - slack_ms;

    if (!right)
        fail_msg("%llu ms are left, not %llu", (unsigned long long)left_ms, (unsigned long long)expected_ms);
}

/* "FIRST-LAST" or one address. */
static inline struct enf_range range_of(const char *text)
{
    char first[ENF_PREFIX_STR_LEN] = "";
    size_t len = strcspn(text, "-");

    memcpy(first, text, len);
    return (struct enf_range){bed_prefix(first).addr, bed_prefix(text[len] ? text + len + 1 : text).addr};
}
