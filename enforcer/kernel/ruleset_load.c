/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rendered text into the kernel: one transaction that keeps what dynamic sets hold.
 *
 * The order matters (tried on kernels 6.1 to 6.18): chains that a map names must exist before it, `flush
 * table` takes the rules and leaves sets and their elements, static sets are flushed before the block that
 * fills them, and what is not needed any more goes last, when no rule names it. Element lists stand inside
 * the block: nft 1.0.6 would read all elements of the table for a single `add element`. */
#include "enforcer/kernel/ruleset.h"

#include "enforcer/kernel/names.h"

#include <ctype.h>
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A declaration in the text: "  set NAME { …", "  map NAME", "  chain NAME", "  counter NAME". */
struct declaration {
    enum enf_kind kind;
    const char *word; /* "set", "map", "chain", "counter" */
    const char *name;
    size_t name_len;
    const char *line;
    size_t line_len;
};

/* Reads one declaration from a line at the table's own indentation. */
static bool parse_declaration(const char *line, size_t len, struct declaration *out)
{
    static const struct {
        const char *word;
        enum enf_kind kind;
    } words[] = {{"set", ENF_KIND_SET},
                 {"map", ENF_KIND_SET},
                 {"chain", ENF_KIND_CHAIN},
                 {"counter", ENF_KIND_COUNTER}};

    if (len < 4 || line[0] != ' ' || line[1] != ' ' || line[2] == ' ')
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t word_len = strlen(words[i].word);
        if (len < word_len + 4 || memcmp(line + 2, words[i].word, word_len) != 0 || line[2 + word_len] != ' ')
            continue;
        const char *name = line + 3 + word_len;
        size_t name_len = 0;
        while (name + name_len < line + len &&
               (isalnum((unsigned char)name[name_len]) || name[name_len] == '_'))
            name_len++;
        *out = (struct declaration){words[i].kind, words[i].word, name, name_len, line, len};
        return true;
    }
    return false;
}

static bool next_declaration(const char **text, struct declaration *out)
{
    while (**text) {
        const char *line = *text;
        size_t len = strcspn(line, "\n");
        *text += len + (line[len] == '\n');
        if (parse_declaration(line, len, out))
            return true;
    }
    return false;
}

/* How much of the line says what the set is. Behind it come names of interfaces, and these may be any word.
 */
static size_t spec_len(const struct declaration *d)
{
    const char *elements = memmem(d->line, d->line_len, "elements = {", strlen("elements = {"));

    return elements ? (size_t)(elements - d->line) : d->line_len;
}

static bool has_word(const struct declaration *d, const char *word)
{
    return memmem(d->line, spec_len(d), word, strlen(word)) != NULL;
}

/* Sets that only the text fills. The others hold what the daemon and the packets put there. */
static bool is_static(const struct declaration *d)
{
    if (d->kind != ENF_KIND_SET || has_word(d, "dynamic") || has_word(d, "timeout"))
        return false;
    return !(d->name_len == 7 && memcmp(d->name, "relays", 6) == 0) &&
           !(d->name_len == 11 && memcmp(d->name, "governed_if", 11) == 0);
}

/* The set's declaration without its elements. */
static void put_bare_set(FILE *out, const struct declaration *d)
{
    size_t len = spec_len(d);

    fprintf(out, "add %s inet " ENF_TABLE " %.*s%s\n", d->word, (int)(d->line + len - d->name), d->name,
            len < d->line_len ? "}" : "");
}

static void put_preamble(FILE *out, const char *text, bool sets_only)
{
    struct declaration d;
    const char *at = text;

    fputs("add table inet " ENF_TABLE "\n", out);
    while (!sets_only && next_declaration(&at, &d)) {
        if (d.kind == ENF_KIND_CHAIN && !(d.name_len == 7 && memcmp(d.name, "forward", 7) == 0))
            fprintf(out, "add chain inet " ENF_TABLE " %.*s\n", (int)d.name_len, d.name);
    }
    for (at = text; next_declaration(&at, &d);) {
        if (d.kind == ENF_KIND_SET && (!sets_only || strcmp(d.word, "set") == 0))
            put_bare_set(out, &d);
    }
    if (sets_only)
        return;
    fputs("flush table inet " ENF_TABLE "\n", out);
    for (at = text; next_declaration(&at, &d);) {
        if (is_static(&d))
            fprintf(out, "flush %s inet " ENF_TABLE " %.*s\n", d.word, (int)d.name_len, d.name);
    }
}

static bool declared(const char *text, enum enf_kind kind, const char *name)
{
    struct declaration d;

    while (next_declaration(&text, &d)) {
        if (d.kind == kind && strlen(name) == d.name_len && memcmp(name, d.name, d.name_len) == 0)
            return true;
    }
    return false;
}

/* What an older text left in the table, after the block, when nothing refers to it. */
static int put_deletions(FILE *out, const char *text, struct enf_netlink *nl)
{
    /* Maps before chains: their elements name them. */
    static const struct {
        enum enf_kind kind;
        const char *word;
    } order[] = {{ENF_KIND_SET, "set"}, {ENF_KIND_CHAIN, "chain"}, {ENF_KIND_COUNTER, "counter"}};

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        struct enf_names names = {0};
        int err = enf_names_read(nl, order[i].kind, &names);
        if (err < 0)
            return err;
        for (size_t j = 0; j < names.len; j++) {
            if (!declared(text, order[i].kind, names.items[j]))
                fprintf(out, "delete %s inet " ENF_TABLE " %s\n", order[i].word, names.items[j]);
        }
        enf_names_clear(&names);
    }
    return 0;
}

static int run(const char *commands, bool dry, char **output, char **error)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);

    if (!nft)
        return -ENOMEM;
    nft_ctx_buffer_output(nft);
    nft_ctx_buffer_error(nft);
    nft_ctx_set_dry_run(nft, dry);
    int failed = nft_run_cmd_from_buffer(nft, commands);
    if (failed && error)
        *error = strdup(nft_ctx_get_error_buffer(nft));
    if (!failed && output)
        *output = strdup(nft_ctx_get_output_buffer(nft));
    nft_ctx_free(nft);
    return failed ? -EINVAL : 0;
}

enum how {
    LOAD,
    LOAD_SETS,
    CHECK,
};

static int apply(const char *text, enum how how, char **error)
{
    struct enf_netlink nl = {0};
    char *commands = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&commands, &len);

    if (!out)
        return -ENOMEM;
    put_preamble(out, text, how == LOAD_SETS);
    int err = 0;
    if (how != LOAD_SETS) {
        fputs(text, out);
        err = enf_netlink_open(&nl);
        if (err == 0)
            err = put_deletions(out, text, &nl);
        enf_netlink_close(&nl);
    }
    if (fclose(out) != 0 && err == 0)
        err = -ENOMEM;
    if (err == 0)
        err = run(commands, how == CHECK, NULL, error);
    free(commands);
    return err;
}

int enf_ruleset_load(const char *text, char **error)
{
    return apply(text, LOAD, error);
}

int enf_ruleset_load_sets(const char *text, char **error)
{
    return apply(text, LOAD_SETS, error);
}

int enf_ruleset_check(const char *text, char **error)
{
    return apply(text, CHECK, error);
}

int enf_ruleset_remove(char **error)
{
    struct enf_netlink nl = {0};
    int err = enf_netlink_open(&nl);

    if (err == 0)
        err = enf_names_table_exists(&nl);
    enf_netlink_close(&nl);
    if (err <= 0)
        return err;
    return run("delete table inet " ENF_TABLE "\n", false, NULL, error);
}

int enf_ruleset_list(char **out, char **error)
{
    char *text = NULL;
    int err = run("list table inet " ENF_TABLE "\n", false, &text, error);

    if (err == 0 && !text)
        return -ENOMEM;
    if (err == 0)
        *out = text;
    return err;
}
