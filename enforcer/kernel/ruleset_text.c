/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of nft text: element lists without overlaps, and subscriber keys. */
#include "enforcer/kernel/ruleset_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_dash(char c)
{
    return c == '_' || c == '-';
}

void enf_text_id(FILE *out, const char *name)
{
    size_t len = strlen(name), end = len;

    for (size_t i = 0; i < len; i++)
        fputc(is_dash(name[i]) ? '_' : name[i], out);
    /* "x_syn", "x_syn_", "x_syn__" … get one more each, so that none ends in what belongs to the templates.
     */
    while (end > 0 && is_dash(name[end - 1]))
        end--;
    if (end > 3 && is_dash(name[end - 4]) && memcmp(name + end - 3, "syn", 3) == 0)
        fputc('_', out);
}

void enf_text_subscriber(FILE *out, enum enf_family family, const char *dir, uint8_t bits)
{
    char text[ENF_PREFIX_STR_LEN];
    struct enf_addr ones = {.family = ENF_FAMILY_V6};

    if (family == ENF_FAMILY_V4) {
        fprintf(out, "ip %s", dir);
        return;
    }
    fprintf(out, "ip6 %s", dir);
    if (bits >= 128)
        return;
    for (size_t i = 0; i < sizeof ones.bytes; i++)
        ones.bytes[i] = 0xff;
    struct enf_prefix mask = enf_prefix_make(&ones, bits);
    fprintf(out, " & %s", enf_addr_str(&mask.addr, text, sizeof text));
}

static void put_range(FILE *out, const struct enf_range *range)
{
    char first[ENF_PREFIX_STR_LEN], last[ENF_PREFIX_STR_LEN];

    enf_addr_str(&range->first, first, sizeof first);
    if (enf_addr_equal(&range->first, &range->last)) {
        fputs(first, out);
        return;
    }
    fprintf(out, "%s-%s", first, enf_addr_str(&range->last, last, sizeof last));
}

void enf_text_map_elements(FILE *out, const struct enf_rangemap *map, enum enf_family family,
                           enf_text_want_fn want, enf_text_verdict_fn verdict, const void *ctx)
{
    size_t written = 0;

    for (size_t i = 0; i < map->len; i++) {
        const struct enf_rangemap_entry *entry = &map->entries[i];
        if (entry->range.first.family != family || (want && !want(ctx, entry->value)))
            continue;
        fputs(written++ ? ",\n      " : "elements = { ", out);
        put_range(out, &entry->range);
        if (verdict)
            verdict(out, ctx, entry->value);
    }
    if (written)
        fputs(" };", out);
}

int enf_text_elements(FILE *out, const struct enf_prefix *prefixes, size_t stride, size_t len,
                      enum enf_family family, enf_text_want_fn want, const void *ctx)
{
    struct enf_rangemap_input *input = calloc(len ? len : 1, sizeof *input);
    struct enf_rangemap map = {0};
    size_t used = 0;

    if (!input)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++) {
        const struct enf_prefix *prefix = (const void *)((const char *)prefixes + i * stride);
        if (prefix->addr.family == family && (!want || want(ctx, i)))
            input[used++].prefix = *prefix;
    }
    int err = enf_rangemap_build(input, used, &map);
    if (err == 0)
        enf_text_map_elements(out, &map, family, NULL, NULL, NULL);
    enf_rangemap_clear(&map);
    free(input);
    return err;
}
