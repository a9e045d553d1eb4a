/* SPDX-License-Identifier: GPL-2.0-or-later */
/* show and top. */
#include "enforcer/core/text.h"
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/evidence.h"
#include "tools/enforcerctl/live.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <string.h>

static void print_who(const struct ctl *ctl, const json_t *show)
{
    const char *group = text_at(show, "group");
    const char *policy = text_at(show, "policy");
    char first[PRINT_TIME_LEN];
    char last[PRINT_TIME_LEN];

    printf("%ssubscriber  ", print_begin(ctl, PRINT_BOLD));
    print_clean(stdout, text_at(show, "subscriber"));
    printf("%s\ngroup       ", print_end(ctl, PRINT_BOLD));
    print_clean(stdout, group[0] ? group : "none");
    if (policy[0] && strcmp(policy, "none") != 0) {
        fputs(", policy ", stdout);
        print_clean(stdout, policy);
    }
    if (json_is_object(json_at(show, "canary")) && number_at(show, "canary.percent") < 100)
        printf("\ncanary      %s of the %lld %% for whom the policy holds",
               true_at(show, "canary.enforced") ? "yes, one" : "no, observed only: not one",
               number_at(show, "canary.percent"));
    printf("\nseen        %lld connections to port 25", number_at(show, "connections_total"));
    if (text_at(show, "first_seen")[0])
        printf("\n            first %s, last %s", time_near_at(ctl, show, "first_seen", first),
               time_near_at(ctl, show, "last_seen", last));
    putchar('\n');
}

static void print_quarantine(const struct ctl *ctl, const json_t *entry)
{
    char since[PRINT_TIME_LEN];
    char until[PRINT_TIME_LEN];

    fputs("quarantine  ", stdout);
    if (!json_is_object(entry)) {
        puts("no");
        return;
    }
    printf("%slevel ", print_begin(ctl, PRINT_RED));
    print_clean(stdout, text_at(entry, "level"));
    printf(", since %s, until %s%s\n", time_at(entry, "since", since), until_at(ctl, entry, "until", until),
           print_end(ctl, PRINT_RED));
    fputs("            by ", stdout);
    print_clean(stdout, text_at(entry, "actor"));
    if (text_at(entry, "reason")[0])
        fputs(": ", stdout);
    print_clean(stdout, text_at(entry, "reason"));
    if (text_at(entry, "ticket")[0])
        fputs(", ticket ", stdout);
    print_clean(stdout, text_at(entry, "ticket"));
    putchar('\n');
    if (number_at(entry, "convictions") > 0)
        printf("            conviction number %lld within memory\n", number_at(entry, "convictions"));
    if (text_at(entry, "note")[0]) {
        fputs("            ", stdout);
        print_clean(stdout, text_at(entry, "note"));
        putchar('\n');
    } else if (!true_at(entry, "enforced")) {
        printf("            %sNOT ENFORCED: the kernel does not have it%s\n", print_begin(ctl, PRINT_RED),
               print_end(ctl, PRINT_RED));
    }
}

/* "21 of at most 20 connections in 60s" */
static void print_window(const struct ctl *ctl, const char *name, const json_t *window, const char *what)
{
    const char *count = strcmp(what, "connections") == 0 ? "connections" : "count";
    long long now = number_at(window, count);
    long long limit = number_at(window, "limit");
    enum print_color color = limit > 0 && now > limit ? PRINT_RED : PRINT_PLAIN;
    char buf[ENF_TIME_STR_LEN];

    printf("%-12s%s%lld", name, print_begin(ctl, color), now);
    if (limit > 0)
        printf(" of at most %lld", limit);
    printf(" %s", what);
    if (number_at(window, "per_ms") > 0)
        printf(" in %s", enf_duration_str((uint64_t)number_at(window, "per_ms"), buf, sizeof(buf)));
    printf("%s\n", print_end(ctl, color));
}

static void print_windows(const struct ctl *ctl, const json_t *show)
{
    const json_t *windows = json_at(show, "windows");
    const char *name = "now";

    for (size_t i = 0; i < json_array_size(windows); i++) {
        print_window(ctl, name, json_array_get(windows, i), "connections");
        name = "";
    }
    if (json_is_object(json_at(show, "distinct"))) {
        print_window(ctl, name, json_at(show, "distinct"), "destinations");
        name = "";
    }
    const json_t *test = json_at(show, "sequential");
    if (json_is_object(test)) {
        double score = json_number_value(json_at(test, "score"));
        double threshold = json_number_value(json_at(test, "threshold"));
        printf("%-12s%.2f of %.2f in the sequential test, by %lld observations\n", name, score, threshold,
               number_at(test, "observations"));
    }
    if (json_is_real(json_at(show, "score")))
        printf("score       %.2f of the nearest limit\n", json_real_value(json_at(show, "score")));
}

/* Without "(2d ago)": a history is full of times. */
static const char *end_of(const json_t *entry, char buf[PRINT_TIME_LEN])
{
    return json_is_null(json_at(entry, "until")) ? "forever" : time_at(entry, "until", buf);
}

static void print_history(const struct ctl *ctl, const json_t *history)
{
    static const char *const headers[] = {"TIME", "WHAT", "LEVEL", "UNTIL", "BY", "TICKET", "REASON"};
    struct table *table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));

    if (json_array_size(history) > 0)
        puts("\nhistory, times in UTC");
    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *entry = json_array_get(history, i);
        const char *level = text_at(entry, "level");
        bool quarantined = level[0] && strcmp(level, "none") != 0;
        char time[PRINT_TIME_LEN];
        char until[PRINT_TIME_LEN];

        table_cell(table, PRINT_PLAIN, "%s", time_at(entry, "time", time));
        table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "action"));
        table_cell(table, PRINT_PLAIN, "%s", quarantined ? level : "");
        table_cell(table, PRINT_PLAIN, "%s", quarantined ? end_of(entry, until) : "");
        table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "actor"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "ticket"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "reason"));
    }
    table_print(table);
    table_free(&table);
}

int ctl_show(const struct ctl *ctl)
{
    json_t *show = NULL;
    int rc;

    if (!args_is_address(ctl, ctl->args[0], true))
        return CTL_USAGE;
    rc = ctl_call(ctl, "subscriber.show", json_pack("{s:s}", "address", ctl->args[0]), &show);
    if (!show)
        return rc;
    print_who(ctl, show);
    print_quarantine(ctl, json_at(show, "quarantine"));
    print_windows(ctl, show);
    print_evidence(ctl, json_at(show, "evidence"), number_at(show, "evidence_total"));
    print_history(ctl, json_at(show, "history"));
    json_decref(show);
    return CTL_DONE;
}

static enum print_color verdict_color(const char *verdict)
{
    if (strcmp(verdict, "zombie") == 0)
        return PRINT_RED;
    return strcmp(verdict, "suspect") == 0 ? PRINT_YELLOW : PRINT_PLAIN;
}

int ctl_top(const struct ctl *ctl)
{
    static const char *const headers[] = {"SUBSCRIBER", "GROUP",   ">CONNECTIONS", ">DESTINATIONS",
                                          ">BLOCKED",   "VERDICT", "LAST SEEN"};
    const char *by = ctl->options[CTL_OPT_BY];
    json_t *params = json_object();
    struct table *table;
    json_t *top = NULL;
    const json_t *list;
    int rc = args_limit(ctl, params);

    if (!rc && by && strcmp(by, "connections") != 0 && strcmp(by, "destinations") != 0 &&
        strcmp(by, "blocked") != 0)
        rc = ctl_usage(ctl, "--by: %s is not connections, destinations or blocked", by);
    if (!rc)
        rc = args_add(ctl, CTL_OPT_BY, "by", params);
    if (rc || (live_possible(ctl) && !ctl->options[CTL_OPT_LIMIT])) {
        json_decref(params);
        return rc ? rc : live_top(ctl);
    }
    rc = ctl_call(ctl, "subscriber.top", params, &top);
    if (!top)
        return rc;
    list = json_at(top, "subscribers");
    table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *verdict = text_at(entry, "verdict");
        char seen[PRINT_TIME_LEN];

        table_cell(table, verdict_color(verdict), "%s", text_at(entry, "subscriber"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "group"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(entry, "connections"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(entry, "destinations"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(entry, "blocked"));
        table_cell(table, PRINT_PLAIN, "%s", verdict);
        table_cell(table, PRINT_PLAIN, "%s", time_near_at(ctl, entry, "last_seen", seen));
    }
    if (json_array_size(list) == 0)
        puts("nobody has been seen");
    table_print(table);
    table_free(&table);
    json_decref(top);
    return CTL_DONE;
}
