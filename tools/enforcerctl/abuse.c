/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report abuse: prints what the daemon composed, as it is to be sent. */
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdio.h>

int ctl_report_abuse(const struct ctl *ctl)
{
    bool arf = ctl->options[CTL_OPT_ARF] != NULL;
    json_t *result = NULL;

    if (ctl->args_len != 2)
        return ctl_usage(ctl, "report abuse wants one address");
    if (arf == (ctl->options[CTL_OPT_XARF] != NULL))
        return ctl_usage(ctl, "report abuse wants --xarf or --arf");
    int rc =
        ctl_call(ctl, "report.abuse",
                 json_pack("{s:s, s:s}", "address", ctl->args[1], "format", arf ? "arf" : "xarf"), &result);
    const json_t *report = json_object_get(result, "report");
    if (json_is_string(report)) {
        fputs(json_string_value(report), stdout);
    } else if (report) {
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
        putchar('\n');
    }
    json_decref(result);
    return rc;
}
