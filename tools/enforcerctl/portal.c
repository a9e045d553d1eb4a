/* SPDX-License-Identifier: GPL-2.0-or-later */
/* portal: what a subscriber is told about itself, and its own release. */
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdio.h>

static void print_release(const json_t *result)
{
    long long left = number_at(result, "enforcer.self_release.left");

    if (true_at(result, "enforcer.self_release.allowed"))
        printf("it may release itself %lld more time%s\n", left, left == 1 ? "" : "s");
    else
        printf("it may not release itself: it has to call\n");
}

static void print_portal(const struct ctl *ctl, const json_t *result)
{
    char buf[PRINT_TIME_LEN];

    print_clean(stdout, text_at(result, "enforcer.subscriber"));
    if (json_is_null(json_at(result, "enforcer.quarantine"))) {
        puts(" is not in quarantine");
        return;
    }
    fputs(" is in quarantine (level ", stdout);
    print_clean(stdout, text_at(result, "enforcer.quarantine.level"));
    printf(")%s since %s", true_at(result, "captive") ? " and captive" : "",
           time_near_at(ctl, result, "enforcer.quarantine.since", buf));
    printf(", until %s\n", until_at(ctl, result, "enforcer.quarantine.until", buf));
    print_clean(stdout, text_at(result, "enforcer.quarantine.reason"));
    putchar('\n');
    print_release(result);
}

int ctl_portal(const struct ctl *ctl)
{
    bool release = ctl->options[CTL_OPT_RELEASE] != NULL;
    json_t *result = NULL;

    if (!args_is_address(ctl, ctl->args[0], false))
        return CTL_USAGE;
    int rc = ctl_call(ctl, release ? "portal.release" : "portal.show",
                      json_pack("{s:s}", "address", ctl->args[0]), &result);
    if (result && release)
        printf("released %s\n", ctl->args[0]);
    else if (result)
        print_portal(ctl, result);
    json_decref(result);
    return rc;
}
