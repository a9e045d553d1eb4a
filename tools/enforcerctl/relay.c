/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relay list, add, remove. */
#include "enforcer/core/text.h"
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/options.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdio.h>
#include <string.h>

static const char *state_of(const struct ctl *ctl, const json_t *relay)
{
    uint64_t end_ms = 0;

    if (true_at(relay, "lapsed"))
        return "lapsed";
    return enf_time_parse(text_at(relay, "expires"), &end_ms) == 0 && end_ms <= ctl->now_ms
               ? "expired, in force"
               : "in force";
}

static void print_relays(const struct ctl *ctl, const json_t *relays)
{
    static const char *const headers[] = {"ADDRESS", "NAME",      "INTERFACE", "ORIGIN", "OWNER",
                                          "EXPIRES", "LAST USED", "STATE",     "REASON"};
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
        table_cell(table, PRINT_PLAIN, "%s", state_of(ctl, relay));
        table_cell(table, PRINT_PLAIN, "%s", *text_at(relay, "reason") ? text_at(relay, "reason") : "-");
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
    rc = ctl_call(ctl, "relay.list", NULL, &result);
    if (result)
        print_relays(ctl, json_at(result, "relays"));
    json_decref(result);
    return rc;
}

static bool is_end(const struct ctl *ctl)
{
    const char *text = ctl->options[CTL_OPT_EXPIRES];
    uint64_t ms;

    if (!text || strcmp(text, "forever") == 0 || enf_duration_parse(text, &ms) == 0 ||
        enf_expiry_parse(text, &ms) == 0)
        return true;
    ctl_usage(ctl,
              "--expires: %s is no date like 2027-01-31, no time like 2027-01-31T12:00:00Z, no duration like "
              "30d, and not \"forever\"",
              text);
    return false;
}

static int change(const struct ctl *ctl, const char *method, const char *did)
{
    json_t *result = NULL;
    json_t *params;
    int rc;

    if (ctl->args_len != 2)
        return ctl_usage(ctl, "relay %s wants an address", ctl->args[0]);
    if (!args_is_address(ctl, ctl->args[1], true) || !is_end(ctl))
        return CTL_USAGE;
    params = json_pack("{s:s}", "address", ctl->args[1]);
    rc = args_add(ctl, CTL_OPT_NAME, "name", params);
    if (!rc)
        rc = args_add(ctl, CTL_OPT_OWNER, "owner", params);
    if (!rc)
        rc = args_add(ctl, CTL_OPT_REASON, "reason", params);
    if (!rc)
        rc = args_add(ctl, CTL_OPT_EXPIRES, "expires", params);
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
    static const enum ctl_option words[] = {CTL_OPT_NAME, CTL_OPT_OWNER, CTL_OPT_REASON, CTL_OPT_EXPIRES};

    if (strcmp(ctl->args[0], "add") == 0)
        return change(ctl, "relay.add", "added");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (ctl->options[words[i]])
            return ctl_usage(ctl, "relay %s takes no %s", ctl->args[0], ctl_option_name(words[i]));
    }
    if (strcmp(ctl->args[0], "list") == 0)
        return list(ctl);
    if (strcmp(ctl->args[0], "remove") == 0)
        return change(ctl, "relay.remove", "removed");
    return ctl_usage(ctl, "relay %s: expected list, add or remove", ctl->args[0]);
}
