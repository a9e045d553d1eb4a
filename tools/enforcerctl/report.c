/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report rollout. */
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdio.h>
#include <string.h>

static void print_groups(const struct ctl *ctl, const json_t *groups)
{
    static const char *const headers[] = {"GROUP",     "POLICY",           ">CANARY",  ">SUBSCRIBERS",
                                          ">ENFORCED", ">ATTEMPTS",        ">REFUSED", ">WOULD REFUSE",
                                          ">OF",       ">WOULD QUARANTINE"};
    struct table *table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));

    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *group = json_array_get(groups, i);

        table_cell(table, PRINT_PLAIN, "%s", text_at(group, "name"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(group, "policy"));
        table_cell(table, PRINT_PLAIN, "%lld %%", number_at(group, "canary_percent"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(group, "subscribers"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(group, "enforced"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(group, "connections"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(group, "blocked"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(group, "would_block.connections"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(group, "would_block.subscribers"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(group, "would_quarantine"));
    }
    table_print(table);
    table_free(&table);
}

static void print_servers(const struct ctl *ctl, const json_t *report)
{
    static const char *const headers[] = {"ADDRESS",  "GROUP",  "VERDICT", ">ANSWERED",
                                          ">SERVERS", ">QUITS", "PORT 25", "NOW"};
    const json_t *servers = json_at(report, "mail_servers");
    struct table *table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));

    printf("\n%lld%s hosts behave like mail servers and are no relays\n",
           number_at(report, "mail_servers_total"), true_at(report, "mail_servers_more") ? " and more" : "");
    for (size_t i = 0; i < json_array_size(servers); i++) {
        const json_t *s = json_array_get(servers, i);
        bool cut = true_at(s, "quarantined") || true_at(s, "enforced");

        table_cell(table, cut ? PRINT_RED : PRINT_YELLOW, "%s", text_at(s, "address"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(s, "group"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(s, "verdict"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(s, "answered"));
        table_cell(table, PRINT_PLAIN, "%lld", number_at(s, "destinations"));
        table_cell(table, PRINT_PLAIN, "%lld of %lld", number_at(s, "quits"), number_at(s, "ended"));
        table_cell(table, PRINT_PLAIN, "%s", true_at(s, "serves") ? "answers" : "-");
        table_cell(table, PRINT_PLAIN, "%s",
                   true_at(s, "quarantined") ? "quarantine"
                   : true_at(s, "enforced")  ? "policy holds"
                                             : "observed");
    }
    table_print(table);
    table_free(&table);
}

static void print_would(const struct ctl *ctl, const json_t *report)
{
    static const char *const headers[] = {"SUBSCRIBER", "GROUP", "LEVEL", "SINCE"};
    const json_t *would = json_at(report, "would_quarantine");
    struct table *table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));
    char since[PRINT_TIME_LEN];

    printf("\n%lld would be in quarantine\n", number_at(report, "would_quarantine_total"));
    for (size_t i = 0; i < json_array_size(would); i++) {
        const json_t *entry = json_array_get(would, i);

        table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "subscriber"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "group"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(entry, "level"));
        table_cell(table, PRINT_PLAIN, "%s", time_at(entry, "since", since));
    }
    table_print(table);
    table_free(&table);
}

/* Lines stay lines. */
static void print_snippet(const char *text)
{
    char line[512];

    if (!*text)
        return;
    puts("\nfor the configuration, where it is right:\n");
    while (*text) {
        size_t len = strcspn(text, "\n");

        snprintf(line, sizeof(line), "%.*s", (int)len, text);
        print_clean(stdout, line);
        putchar('\n');
        text += len + (text[len] == '\n');
    }
}

int ctl_report(const struct ctl *ctl)
{
    json_t *result = NULL;
    int rc;

    if (strcmp(ctl->args[0], "abuse") == 0)
        return ctl_report_abuse(ctl);
    if (strcmp(ctl->args[0], "rollout") != 0)
        return ctl_usage(ctl, "report %s: expected rollout or abuse", ctl->args[0]);
    if (ctl->args_len > 1 || ctl->options[CTL_OPT_XARF] || ctl->options[CTL_OPT_ARF])
        return ctl_usage(ctl, "report rollout takes --limit only");
    json_t *params = json_object();
    rc = args_limit(ctl, params);
    if (rc) {
        json_decref(params);
        return rc;
    }
    rc = ctl_call(ctl, "report.rollout", params, &result);
    if (result) {
        char since[PRINT_TIME_LEN];

        printf("mode %s; since %s\n\n", text_at(result, "mode"), time_near_at(ctl, result, "since", since));
        print_groups(ctl, json_at(result, "groups"));
        print_servers(ctl, result);
        print_would(ctl, result);
        print_snippet(text_at(result, "relays"));
    }
    json_decref(result);
    return rc;
}
