/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rendered text into the kernel, in three transactions of which the middle one changes what is in force:
 *
 * 1. the static sets and maps of the text are made and filled under new names (NAME_g1, NAME_g2 …);
 * 2. all rules are flushed and those of the text put in, which name the new sets;
 * 3. what nothing names any more is deleted.
 *
 * Flushing and refilling a set inside one transaction is shorter, and leaks: kernels 6.1 and 6.12 miss
 * elements of interval sets while such a transaction commits (measured, see docs/decisions/0014). Dynamic
 * sets keep their names and elements. Chains that a map names must exist before it. Element lists stand
 * inside the set's block: nft 1.0.6 would read all elements of the table for a single `add element`. */
#include "enforcer/kernel/ruleset.h"

#include "enforcer/core/text.h"
#include "enforcer/kernel/names.h"
#include "enforcer/kernel/nft.h"
#include "enforcer/kernel/notify.h"

#include <ctype.h>
#include <errno.h>
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

/* Length of the whole declaration: element lists go on over lines that end with a comma. */
static size_t block_len(const struct declaration *d)
{
    size_t len = d->line_len;

    while (len > 0 && d->line[len - 1] == ',' && d->line[len] == '\n') {
        len++;
        len += strcspn(d->line + len, "\n");
    }
    return len;
}

/* One with a hook: its type is its first line. */
static bool is_base_chain(const struct declaration *d)
{
    const char *first = d->line + d->line_len + (d->line[d->line_len] == '\n');

    return d->kind == ENF_KIND_CHAIN && strncmp(first, "    type ", strlen("    type ")) == 0;
}

/* Table and dynamic sets: what is there already stays as it is. */
static void put_dynamic(FILE *out, const char *text)
{
    struct declaration d;

    fputs("add table inet " ENF_TABLE "\n", out);
    while (next_declaration(&text, &d)) {
        if (d.kind == ENF_KIND_SET && !is_static(&d))
            put_bare_set(out, &d);
    }
}

/* The first transaction: chains, without rules, and the static sets with all their elements. */
static void put_static(FILE *out, const char *text)
{
    struct declaration d;

    for (const char *at = text; next_declaration(&at, &d);) {
        if (d.kind == ENF_KIND_CHAIN && !is_base_chain(&d))
            fprintf(out, "add chain inet " ENF_TABLE " %.*s\n", (int)d.name_len, d.name);
    }
    fputs("table inet " ENF_TABLE " {\n", out);
    for (const char *at = text; next_declaration(&at, &d);) {
        if (is_static(&d))
            fprintf(out, "%.*s\n", (int)block_len(&d), d.line);
    }
    fputs("}\n", out);
}

/* Length of a chain's declaration up to the line that closes it. */
static size_t chain_len(const struct declaration *d)
{
    const char *end = strstr(d->line, "\n  }\n");

    return end ? (size_t)(end - d->line) + strlen("\n  }") : strlen(d->line);
}

/* queue0, queue1 …: their queue statement is put in by netlink. */
static bool is_queue_chain(const char *name, size_t len)
{
    return len > 5 && memcmp(name, "queue", 5) == 0 && strspn(name + 5, "0123456789") == len - 5;
}

static bool keeps(const struct enf_names *kept, const struct declaration *d)
{
    return d->kind == ENF_KIND_CHAIN && kept && is_queue_chain(d->name, d->name_len) &&
           enf_names_have(kept, d->name, d->name_len);
}

/* kept: the chains of the table, whose queue chains stay as they are; NULL: all rules go. */
static void put_flush(FILE *out, const struct enf_names *kept)
{
    if (!kept)
        fputs("flush table inet " ENF_TABLE "\n", out);
    for (size_t i = 0; kept && i < kept->len; i++) {
        if (!is_queue_chain(kept->items[i], strlen(kept->items[i])))
            fprintf(out, "flush chain inet " ENF_TABLE " %s\n", kept->items[i]);
    }
}

/* The second: the text but for the static sets, and the chains that stay. */
static void put_rules(FILE *out, const char *text, const struct enf_names *kept)
{
    struct declaration d;
    const char *from = text;

    put_flush(out, kept);
    for (const char *at = text; next_declaration(&at, &d);) {
        if (!is_static(&d) && !keeps(kept, &d))
            continue;
        fwrite(from, 1, (size_t)(d.line - from), out);
        from = d.line + (is_static(&d) ? block_len(&d) : chain_len(&d));
    }
    fputs(from, out);
}

/* --- names of a generation --- */

static bool names_static(const char *text, const char *name, size_t name_len)
{
    struct declaration d;

    while (next_declaration(&text, &d)) {
        if (is_static(&d) && d.name_len == name_len && memcmp(d.name, name, name_len) == 0)
            return true;
    }
    return false;
}

static size_t word_len(const char *text)
{
    size_t len = 0;

    while (isalnum((unsigned char)text[len]) || text[len] == '_')
        len++;
    return len;
}

/* The text with _gN behind the name of each static set, where it is declared and where it is used. */
static int put_generation(FILE *out, const char *text, unsigned generation)
{
    for (const char *at = text; *at;) {
        struct declaration d;
        size_t len = strcspn(at, "\n");
        const char *end = at + len;
        if (parse_declaration(at, len, &d) && is_static(&d)) {
            size_t head = (size_t)(d.name + d.name_len - at);
            fprintf(out, "%.*s_g%u%.*s", (int)head, at, generation, (int)(len - head), at + head);
        } else {
            while (at < end) {
                const char *mark = memchr(at, '@', (size_t)(end - at));
                size_t name = mark ? word_len(mark + 1) : 0;
                const char *stop = mark ? mark + 1 + name : end;
                fwrite(at, 1, (size_t)(stop - at), out);
                if (mark && names_static(text, mark + 1, name))
                    fprintf(out, "_g%u", generation);
                at = stop;
            }
        }
        fputc('\n', out);
        at = end + (*end == '\n');
    }
    return 0;
}

/* One that no set in the kernel has. */
static unsigned free_generation(const struct enf_names *sets)
{
    unsigned generation = 1;

    for (bool taken = true; taken; generation += taken) {
        char suffix[16];
        int len = snprintf(suffix, sizeof suffix, "_g%u", generation);
        taken = false;
        for (size_t i = 0; i < sets->len && !taken; i++) {
            size_t name_len = strlen(sets->items[i]);
            taken = name_len > (size_t)len && strcmp(sets->items[i] + name_len - (size_t)len, suffix) == 0;
        }
    }
    return generation;
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

/* What is in the table at one moment. */
struct inventory {
    struct enf_names names[ENF_KIND_COUNT];
};

static void inventory_clear(struct inventory *inventory)
{
    for (size_t i = 0; i < ENF_KIND_COUNT; i++)
        enf_names_clear(&inventory->names[i]);
}

static int inventory_read(struct enf_netlink *nl, struct inventory *out)
{
    int err = 0;

    *out = (struct inventory){0};
    for (size_t i = 0; err == 0 && i < ENF_KIND_COUNT; i++)
        err = enf_names_read(nl, (enum enf_kind)i, &out->names[i]);
    if (err < 0)
        inventory_clear(out);
    return err;
}

/* Deletions of what is in the table now, and neither declared in text nor (where given) in keep. */
static void put_deletions(FILE *out, const struct inventory *now, const char *text,
                          const struct inventory *keep)
{
    /* Maps before chains: their elements name them. */
    static const struct {
        enum enf_kind kind;
        const char *word;
    } order[] = {{ENF_KIND_SET, "set"}, {ENF_KIND_CHAIN, "chain"}, {ENF_KIND_COUNTER, "counter"}};

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const struct enf_names *names = &now->names[order[i].kind];
        for (size_t j = 0; j < names->len; j++) {
            const char *name = names->items[j];
            bool kept = text ? declared(text, order[i].kind, name)
                             : enf_names_have(&keep->names[order[i].kind], name, strlen(name));
            if (!kept)
                fprintf(out, "delete %s inet " ENF_TABLE " %s\n", order[i].word, name);
        }
    }
}

/* Writes commands by fn and runs them. */
struct script {
    struct enf_text text;
    FILE *out;
};

static int script_begin(struct script *script)
{
    script->out = enf_text_open(&script->text);
    return script->out ? 0 : -ENOMEM;
}

static int script_run(struct script *script, bool dry, char **error)
{
    char *text;
    int err = enf_text_close(script->out, &script->text, &text);

    if (err == 0 && *text)
        err = enf_nft_run(text, dry, NULL, error);
    free(text);
    return err;
}

/* Third transaction, or the way back of the first. A failure leaves names that nothing uses: the next load
 * takes them. */
static void tidy(struct enf_netlink *nl, const char *text, const struct inventory *keep)
{
    struct inventory now;
    struct script script;

    if (inventory_read(nl, &now) < 0)
        return;
    if (script_begin(&script) == 0) {
        put_deletions(script.out, &now, text, keep);
        script_run(&script, false, NULL);
    }
    inventory_clear(&now);
}

/* How a text is loaded. */
struct manner {
    bool dry;                  /* only asked whether it would be taken */
    bool keep;                 /* the queue chains */
    struct enf_notify *notify; /* of whoever loads; NULL: nobody listens */
};

/* A message for each of some hundred thousand bogons would not fit the listener's buffer. */
static int fill_static(struct script *script, const struct manner *how, char **error)
{
    if (how->notify)
        enf_notify_loading(how->notify, true);
    int err = script_run(script, how->dry, error);
    if (how->notify)
        enf_notify_loading(how->notify, false);
    return err;
}

static int load_generation(struct enf_netlink *nl, const char *text, const struct manner *how, char **error)
{
    struct inventory before;
    struct script script;
    int err = inventory_read(nl, &before);

    if (err < 0)
        return err;
    err = script_begin(&script);
    if (err == 0) {
        put_dynamic(script.out, text);
        put_static(script.out, text);
        /* Asking takes one piece: nothing of it stays for the next. */
        if (how->dry)
            put_rules(script.out, text, NULL);
        err = fill_static(&script, how, error);
    }
    if (err == 0 && !how->dry)
        err = script_begin(&script);
    if (err == 0 && !how->dry) {
        put_rules(script.out, text, how->keep ? &before.names[ENF_KIND_CHAIN] : NULL);
        err = script_run(&script, false, error);
        tidy(nl, err == 0 ? text : NULL, &before);
    }
    inventory_clear(&before);
    return err;
}

static int generation_text(struct enf_netlink *nl, const char *text, char **out)
{
    struct enf_names sets = {0};
    struct script script;
    int err = enf_names_read(nl, ENF_KIND_SET, &sets);

    if (err == 0)
        err = script_begin(&script);
    if (err == 0) {
        put_generation(script.out, text, free_generation(&sets));
        char *whole;
        err = enf_text_close(script.out, &script.text, &whole);
        if (err == 0)
            *out = whole;
    }
    enf_names_clear(&sets);
    return err;
}

static int load(const char *text, const struct manner *how, char **error)
{
    struct enf_netlink nl = {0};
    char *named = NULL;
    int err = enf_netlink_open(&nl);

    if (err == 0)
        err = generation_text(&nl, text, &named);
    if (err == 0)
        err = load_generation(&nl, named, how, error);
    free(named);
    enf_netlink_close(&nl);
    return err;
}

int enf_ruleset_load(const char *text, struct enf_notify *notify, char **error)
{
    return load(text, &(struct manner){.notify = notify}, error);
}

int enf_ruleset_load_around_queues(const char *text, struct enf_notify *notify, char **error)
{
    return load(text, &(struct manner){.keep = true, .notify = notify}, error);
}

int enf_ruleset_load_sets(const char *text, char **error)
{
    struct script script;
    int err = script_begin(&script);

    if (err < 0)
        return err;
    put_dynamic(script.out, text);
    return script_run(&script, false, error);
}

int enf_ruleset_check(const char *text, char **error)
{
    return load(text, &(struct manner){.dry = true}, error);
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
    return enf_nft_run("delete table inet " ENF_TABLE "\n", false, NULL, error);
}

int enf_ruleset_list(char **out, char **error)
{
    char *text = NULL;
    int err = enf_nft_run("list table inet " ENF_TABLE "\n", false, &text, error);

    if (err == 0 && !text)
        return -ENOMEM;
    if (err == 0)
        *out = text;
    return err;
}
