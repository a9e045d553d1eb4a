/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line an observation: when, what, and the arithmetic it entered. */
#include "tools/enforcerctl/evidence.h"

#include "tools/enforcerctl/print.h"

#include <stdio.h>
#include <string.h>

#define SENTENCE_LEN 200

struct words {
    const char *kind;
    const char *text;
    const char *preposition; /* before the server */
    bool connection;         /* of which refused or let through says something */
};

static const struct words words[] = {
    {"connection", "new connection", "to", true},
    {"destination", "first connection", "to", true},
    {"trap", "trap hit: connection", "to", true},
    {"meter", "more than the kernel's own meter lets pass", "to", true},
    {"answered", "first contact: answered", "by", false},
    {"failed", "first contact: no answer", "from", false},
    {"accepted", "recipient accepted", "by", false},
    {"refused", "recipient refused", "by", false},
    {"second-try", "tried again what was put off, connection", "to", false},
    {"no-second-try", "mail was put off and not tried again within 4 hours", "by", false},
    {"session", "first session, as an honest host starts one,", "with", false},
    {"blocklisted", "refused because a blocklist has the sender", "by", false},
    {"early-talk", "spoke before it was greeted", "by", false},
    {"helo-changed", "called itself by another name than before", "to", false},
    {"helo-no-name", "called itself by what is no name", "to", false},
    {"many-recipients", "recipients of one mail", "to", false},
    {"no-quit", "left without QUIT, session", "with", false},
    {"reply", "SMTP reply that it had not asked for", "from", false},
};

/* What was seen. */
static void what(const json_t *evidence, char out[SENTENCE_LEN])
{
    const char *kind = text_at(evidence, "kind");
    struct words say = {.text = kind, .preposition = "to", .connection = true};
    const char *destination = text_at(evidence, "destination");
    const char *fate = true_at(evidence, "blocked") ? " (refused)" : " (let through)";
    const char *doubt = "";
    char value[24] = "";

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(kind, words[i].kind) == 0)
            say = words[i];
    if (number_at(evidence, "value") > 0)
        snprintf(value, sizeof(value), "%lld ", number_at(evidence, "value"));
    if (true_at(evidence, "forgeable"))
        doubt = say.connection ? ", sender not proven" : " (said from outside)";
    if (!say.connection)
        fate = "";
    if (destination[0])
        snprintf(out, SENTENCE_LEN, "%s%.60s %s %.64s port %lld%s%s", value, say.text, say.preposition,
                 destination, number_at(evidence, "port"), fate, doubt);
    else
        snprintf(out, SENTENCE_LEN, "%s%.60s%s%s", value, say.text, fate, doubt);
}

/* "connection 21 of at most 20 in 60s": the score is a count where the setting is a window. */
static void arithmetic(const json_t *evidence, char out[SENTENCE_LEN])
{
    static const struct {
        const char *setting;
        const char *noun;
        const char *limit;
    } windows[] = {
        {"connection_rate", "connection", "at most "},
        {"distinct_destinations", "destination", "at most "},
        {"unrequested_replies", "reply", ""},
    };
    const char *setting = text_at(evidence, "setting");
    const char *per = strstr(setting, " per ");
    double step = json_number_value(json_at(evidence, "step"));
    double score = json_number_value(json_at(evidence, "score"));
    double threshold = json_number_value(json_at(evidence, "threshold"));

    for (size_t i = 0; per && i < sizeof(windows) / sizeof(windows[0]); i++)
        if (strncmp(setting, windows[i].setting, strlen(windows[i].setting)) == 0) {
            snprintf(out, SENTENCE_LEN, "%s %g of %s%g in %.40s", windows[i].noun, score, windows[i].limit,
                     threshold, per + 5);
            return;
        }
    if (strncmp(setting, "traps", 5) == 0)
        snprintf(out, SENTENCE_LEN, "one is enough");
    else
        snprintf(out, SENTENCE_LEN, "%+.2f makes %.2f of %.2f%s%.80s%s", step, score, threshold,
                 setting[0] ? " (" : "", setting, setting[0] ? ")" : "");
}

/* The date is told once a day. */
static void print_date(const char *time, char shown[16])
{
    if (strlen(time) < 11 || strncmp(time, shown, 10) == 0)
        return;
    snprintf(shown, 16, "%.10s", time);
    fputs("  ", stdout);
    print_clean(stdout, shown);
    putchar('\n');
}

static void add_line(struct table *table, const json_t *evidence)
{
    const char *time = text_at(evidence, "time");
    double score = json_number_value(json_at(evidence, "score"));
    double threshold = json_number_value(json_at(evidence, "threshold"));
    /* Of a trap one over none; the last of a sequential test reaches its threshold. */
    bool over = score > threshold || (score >= threshold && !strstr(text_at(evidence, "setting"), " per "));
    char sentence[SENTENCE_LEN];

    table_cell(table, over ? PRINT_RED : PRINT_PLAIN, "    %.8s", strlen(time) > 11 ? time + 11 : time);
    what(evidence, sentence);
    table_cell(table, PRINT_PLAIN, "%s", sentence);
    arithmetic(evidence, sentence);
    table_cell(table, PRINT_PLAIN, " %s", sentence);
}

void print_evidence(const struct ctl *ctl, const json_t *list, long long total)
{
    static const char *const headers[] = {"", "", ""};
    long long shown = (long long)json_array_size(list);
    char date[16] = "";
    struct table *table;

    if (shown == 0 && total == 0) {
        puts("evidence    none");
        return;
    }
    printf("evidence    %lld observations", total > shown ? total : shown);
    if (total > shown)
        printf(", the last %lld are kept", shown);
    puts("; times in UTC");
    table = table_new(ctl, headers, 3);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *evidence = json_array_get(list, i);
        const char *time = text_at(evidence, "time");

        if (strncmp(time, date, 10) != 0)
            table_print(table); /* what belongs to the day before */
        print_date(time, date);
        add_line(table, evidence);
    }
    table_print(table);
    table_free(&table);
}
