/* SPDX-License-Identifier: GPL-2.0-or-later */
/* audit: who changed what, who was refused, what the daemon did by itself. */
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdio.h>
#include <string.h>

int ctl_audit(const struct ctl *ctl)
{
    static const char *const headers[] = {"TIME", "BY", "WHAT", "OUTCOME", "DETAIL"};
    json_t *params = json_object();
    struct table *table;
    json_t *audit = NULL;
    const json_t *list;
    int rc = args_limit(ctl, params);

    if (!rc)
        rc = args_add(ctl, CTL_OPT_SINCE, "since", params);
    if (rc) {
        json_decref(params);
        return rc;
    }
    rc = ctl_call(ctl, "audit.list", params, &audit);
    if (!audit)
        return rc;
    list = json_at(audit, "lines");
    table = table_new(ctl, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *line = json_array_get(list, i);
        const char *outcome = text_at(line, "outcome");
        char time[PRINT_TIME_LEN];

        table_cell(table, strcmp(outcome, "done") == 0 ? PRINT_PLAIN : PRINT_YELLOW, "%s",
                   time_at(line, "time", time));
        table_cell(table, PRINT_PLAIN, "%s", text_at(line, "actor"));
        table_cell(table, PRINT_PLAIN, "%s", text_at(line, "method"));
        table_cell(table, PRINT_PLAIN, "%s", outcome);
        table_cell(table, PRINT_PLAIN, "%s", text_at(line, "detail"));
    }
    if (json_array_size(list) == 0)
        puts("nothing is written down");
    table_print(table);
    table_free(&table);
    json_decref(audit);
    return CTL_DONE;
}
