/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relay list, add, remove. */
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdio.h>
#include <string.h>

static void print_relays(const struct ctl *ctl, const json_t *relays)
{
    static const char *const headers[] = {"ADDRESS", "NAME",    "INTERFACE", "ORIGIN",
                                          "OWNER",   "EXPIRES", "LAST USED", "STATE"};
    struct table *table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));

    for (size_t i = 0; i < json_array_size(relays); i++) {
        const json_t *relay = json_array_get(relays, i);
        const char *interface = text_at(relay, "interface");
        const char *owner = text_at(relay, "owner");
        char expires[PRINT_TIME_LEN], used[PRINT_TIME_LEN];

        table_cell(table, PRINT_PLAIN, "%s", text_at(relay, "address"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(relay, "name"));
        table_cell(table, PRINT_PLAIN, "%s", interface[0] ? interface : "any");
        table_cell(table, PRINT_PLAIN, "%s",
                   strcmp(text_at(relay, "origin"), "hand") == 0 ? "by hand" : "file");
        table_cell(table, PRINT_PLAIN, "%s", owner[0] ? owner : "-");
        table_cell(table, PRINT_PLAIN, "%s", time_at(relay, "expires", expires));
        table_cell(table, PRINT_PLAIN, "%s", time_at(relay, "last_used", used));
        table_cell(table, PRINT_PLAIN, "%s", true_at(relay, "lapsed") ? "lapsed" : "in force");
    }
    if (json_array_size(relays) == 0)
        puts("there are no relays");
    table_print(table);
    table_free(&table);
}

static int list(const struct ctl *ctl)
{
    json_t *result = NULL;
    int rc;

    if (ctl->args_len != 1)
        return ctl_usage(ctl, "relay list takes no address");
    if (ctl->options[CTL_OPT_NAME])
        return ctl_usage(ctl, "relay list takes no --name");
    rc = ctl_call(ctl, "relay.list", NULL, &result);
    if (result)
        print_relays(ctl, json_at(result, "relays"));
    json_decref(result);
    return rc;
}

static int change(const struct ctl *ctl, const char *method, const char *did)
{
    json_t *result = NULL;
    json_t *params;
    int rc;

    if (ctl->args_len != 2)
        return ctl_usage(ctl, "relay %s wants an address", ctl->args[0]);
    if (!args_is_address(ctl, ctl->args[1], true))
        return CTL_USAGE;
    params = json_pack("{s:s}", "address", ctl->args[1]);
    rc = args_add(ctl, CTL_OPT_NAME, "name", params);
    if (rc) {
        json_decref(params);
        return rc;
    }
    rc = ctl_call(ctl, method, params, &result);
    if (result)
        printf("%s %s\n", did, ctl->args[1]);
    json_decref(result);
    return rc;
}

int ctl_relay(const struct ctl *ctl)
{
    if (strcmp(ctl->args[0], "list") == 0)
        return list(ctl);
    if (strcmp(ctl->args[0], "add") == 0)
        return change(ctl, "relay.add", "added");
    if (strcmp(ctl->args[0], "remove") == 0 && ctl->options[CTL_OPT_NAME])
        return ctl_usage(ctl, "relay remove takes no --name");
    if (strcmp(ctl->args[0], "remove") == 0)
        return change(ctl, "relay.remove", "removed");
    return ctl_usage(ctl, "relay %s: expected list, add or remove", ctl->args[0]);
}
