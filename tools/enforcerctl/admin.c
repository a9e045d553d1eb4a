/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mode, reload, ruleset, governor. */
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdio.h>
#include <string.h>

int ctl_mode(const struct ctl *ctl)
{
    const char *mode = ctl->args[0];
    json_t *result = NULL;
    int rc;

    if (strcmp(mode, "enforce") != 0 && strcmp(mode, "observe") != 0 && strcmp(mode, "file") != 0)
        return ctl_usage(ctl, "mode: %s is not enforce, observe or file", mode);
    rc = ctl_call(ctl, "mode.set", json_pack("{s:s}", "mode", mode), &result);
    if (result) {
        fputs("mode ", stdout);
        print_clean(stdout, text_at(result, "mode"));
        puts(strcmp(text_at(result, "origin"), "hand") == 0 ? " (by hand)" : " (as the file says)");
        if (json_is_false(json_object_get(result, "saved")))
            puts("not on disk: a restart before it can be written forgets it");
    }
    json_decref(result);
    return rc;
}

static void print_lines(const char *indent, const json_t *lines)
{
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *text = json_string_value(json_array_get(lines, i));

        fputs(indent, stdout);
        print_clean(stdout, text ? text : "?");
        putchar('\n');
    }
}

int ctl_reload(const struct ctl *ctl)
{
    json_t *result = NULL;
    json_t *params = json_object();
    int rc = args_is_duration(ctl, CTL_OPT_CONFIRM, false) ? args_add(ctl, CTL_OPT_CONFIRM, "confirm", params)
                                                           : (int)CTL_USAGE;

    if (rc) {
        json_decref(params);
        return rc;
    }
    rc = ctl_call(ctl, "config.reload", params, &result);

    if (result) {
        puts(json_array_size(json_at(result, "changes")) > 0
                 ? "configuration read again; changed:"
                 : "configuration read again; nothing has changed");
        print_lines("  ", json_at(result, "changes"));
        if (true_at(result, "confirm.pending")) {
            char until[PRINT_TIME_LEN];

            printf("it goes back at %s, unless you say: enforcerctl confirm\n",
                   time_near_at(ctl, result, "confirm.until", until));
        }
    }
    json_decref(result);
    return rc;
}

int ctl_confirm(const struct ctl *ctl)
{
    json_t *result = NULL;
    int rc = ctl_call(ctl, "config.confirm", NULL, &result);

    if (result)
        puts("confirmed: the configuration stays in force");
    json_decref(result);
    return rc;
}

/* The text has lines and tabs of its own; the rest of the control characters go. */
static void print_ruleset(const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n\t");

        printf("%.*s", (int)(len < 65536 ? len : 65536), text);
        if (len > 65536) {
            text += 65536;
            continue;
        }
        text += len;
        if (*text)
            putchar(*text++);
    }
}

int ctl_ruleset(const struct ctl *ctl)
{
    json_t *result = NULL;
    int rc = ctl_call(ctl, "ruleset.show", NULL, &result);

    if (result) {
        const char *text = text_at(result, "ruleset");

        print_ruleset(text);
        if (text[0] && text[strlen(text) - 1] != '\n')
            putchar('\n');
        if (text_at(result, "note")[0]) {
            fputs("enforcerctl: ", stderr);
            print_clean(stderr, text_at(result, "note"));
            fputc('\n', stderr);
        }
    }
    json_decref(result);
    return rc;
}

int ctl_governor(const struct ctl *ctl)
{
    json_t *result = NULL;
    int rc;

    if (strcmp(ctl->args[0], "reset") != 0)
        return ctl_usage(ctl, "governor %s: expected reset", ctl->args[0]);
    rc = ctl_call(ctl, "governor.reset", NULL, &result);
    if (result) {
        puts(json_array_size(json_at(result, "reset")) > 0 ? "automatic quarantine goes on:"
                                                           : "the governor had stopped nothing");
        print_lines("  ", json_at(result, "reset"));
    }
    json_decref(result);
    return rc;
}
