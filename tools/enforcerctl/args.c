/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the values of a command line. */
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/options.h"

#include "enforcer/core/addr.h"
#include "enforcer/core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool args_is_address(const struct ctl *ctl, const char *text, bool prefixes)
{
    struct enf_prefix prefix;
    struct enf_addr addr;
    int err = prefixes ? enf_prefix_meant(text, &prefix) : enf_addr_parse(text, &addr);
    char meant[ENF_PREFIX_STR_LEN];

    if (err == -EDOM)
        ctl_usage(ctl, "%s: a prefix must have no bits beyond its length: %s", text,
                  enf_prefix_str(&prefix, meant, sizeof meant));
    else if (err)
        ctl_usage(ctl, "%s is no address%s", text, prefixes ? " and no prefix" : "");
    return err == 0;
}

int args_addresses(const struct ctl *ctl, json_t **params)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ctl->args_len; i++) {
        if (!args_is_address(ctl, ctl->args[i], true)) {
            json_decref(list);
            return CTL_USAGE;
        }
        json_array_append_new(list, json_string(ctl->args[i]));
    }
    *params = json_pack("{s:o}", "addresses", list);
    return CTL_DONE;
}

bool args_is_duration(const struct ctl *ctl, enum ctl_option option, bool forever)
{
    const char *text = ctl->options[option];
    uint64_t ms;
    int err;

    if (!text || (forever && strcmp(text, "forever") == 0))
        return true;
    err = enf_duration_parse(text, &ms);
    if (err == -ERANGE)
        ctl_usage(ctl, "%s: %s: a duration is from 1s to 3650d", ctl_option_name(option), text);
    else if (err)
        ctl_usage(ctl, "%s: %s is no duration like 30s, 10m, 1h, 7d%s", ctl_option_name(option), text,
                  forever ? ", and not \"forever\"" : "");
    return err == 0;
}

int args_add(const struct ctl *ctl, enum ctl_option option, const char *key, json_t *params)
{
    if (ctl->options[option] && json_object_set_new(params, key, json_string(ctl->options[option])) != 0)
        return ctl_usage(ctl, "the text for %s is no UTF-8", key);
    return CTL_DONE;
}

int args_limit(const struct ctl *ctl, json_t *params)
{
    const char *text = ctl->options[CTL_OPT_LIMIT];
    char *end;
    long n;

    if (!text)
        return CTL_DONE;
    errno = 0;
    n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 1)
        return ctl_usage(ctl, "--limit: %s is no number from 1", text);
    json_object_set_new(params, "limit", json_integer(n));
    return CTL_DONE;
}
