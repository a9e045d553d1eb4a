/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options stand anywhere, before or behind the command; `--` ends them. */
#include "tools/enforcerctl/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define COMMON       (1u << CTL_OPT_SOCKET | 1u << CTL_OPT_JSON | 1u << CTL_OPT_HELP | 1u << CTL_OPT_VERSION)

static const struct {
    const char *name;
    const char *value; /* what to give, or NULL */
    const char *help;
} options[] = {
    [CTL_OPT_SOCKET] = {"--socket", "PATH", "the daemon's socket (" CTL_SOCKET_DEFAULT ")"},
    [CTL_OPT_JSON] = {"--json", NULL, "print the daemon's result as JSON"},
    [CTL_OPT_HELP] = {"--help", NULL, "this text; behind a command, more about it"},
    [CTL_OPT_VERSION] = {"--version", NULL, "print the version"},
    [CTL_OPT_FOR] = {"--for", "DUR", "how long: 30s, 10m, 1h, 7d or forever"},
    [CTL_OPT_LEVEL] = {"--level", "LEVEL", "throttle, smtp or full"},
    [CTL_OPT_REASON] = {"--reason", "TEXT", "why: stands in the list, the history and the event"},
    [CTL_OPT_TICKET] = {"--ticket", "ID", "the ticket this belongs to"},
    [CTL_OPT_FORCE] = {"--force", NULL, "also a relay, a smarthost or a wide prefix"},
    [CTL_OPT_BY] = {"--by", "WHAT", "connections, destinations or blocked"},
    [CTL_OPT_LIMIT] = {"--limit", "N", "at most so many"},
    [CTL_OPT_FOLLOW] = {"--follow", NULL, "go on until interrupted"},
    [CTL_OPT_SINCE] = {"--since", "DUR", "from so long ago, or a time like 2026-03-01T12:00:00Z"},
    [CTL_OPT_NAME] = {"--name", "NAME", "what to call it"},
    [CTL_OPT_CONFIRM] = {"--confirm", "DUR", "go back after so long, unless it is confirmed"},
    [CTL_OPT_XARF] = {"--xarf", NULL, "as XARF 4, JSON"},
    [CTL_OPT_ARF] = {"--arf", NULL, "as ARF (RFC 5965), a mail"},
    [CTL_OPT_RELEASE] = {"--release", NULL, "as the subscriber itself would, as often as it may"},
    [CTL_OPT_OWNER] = {"--owner", "WHO", "who answers for it"},
    [CTL_OPT_EXPIRES] = {"--expires", "WHEN", "its last day, 2027-01-31; a time; a duration; or forever"},
};
_Static_assert(ARRAY_LEN(options) == CTL_OPTION_COUNT, "every option has a row");

int ctl_usage(const struct ctl *ctl, const char *format, ...)
{
    va_list args;

    fputs("enforcerctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (ctl->command)
        fprintf(stderr, "\nusage: enforcerctl %s%s%s\n", ctl->command->name,
                ctl->command->usage[0] ? " " : "", ctl->command->usage);
    else
        fputs("\nenforcerctl --help lists the commands\n", stderr);
    return CTL_USAGE;
}

const char *ctl_option_name(enum ctl_option option)
{
    return options[option].name;
}

const struct ctl_command *ctl_command_find(const char *name)
{
    for (const struct ctl_command *command = ctl_commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

/* The option that text ("--for" or "--for=1h") names, or CTL_OPTION_COUNT. *value is set behind a "=". */
static size_t find_option(const char *text, const char **value)
{
    size_t len = strcspn(text, "=");

    *value = text[len] ? text + len + 1 : NULL;
    if (strcmp(text, "-h") == 0)
        return CTL_OPT_HELP;
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (strlen(options[i].name) == len && strncmp(options[i].name, text, len) == 0)
            return i;
    return CTL_OPTION_COUNT;
}

/* Reads the option at argv[*at], and its value. */
static int read_option(char **argv, int *at, struct ctl *ctl)
{
    const char *text = argv[*at];
    const char *value;
    size_t index = find_option(text, &value);

    if (index == CTL_OPTION_COUNT)
        return ctl_usage(ctl, "unknown option %s", text);
    if (ctl->options[index])
        return ctl_usage(ctl, "%s is given twice", options[index].name);
    if (!options[index].value && value)
        return ctl_usage(ctl, "%s takes no value", options[index].name);
    if (options[index].value && !value) {
        value = argv[*at + 1];
        if (!value)
            return ctl_usage(ctl, "%s wants a value: %s", options[index].name, options[index].value);
        (*at)++;
    }
    ctl->options[index] = value ? value : "";
    return CTL_DONE;
}

/* What was given has to fit the command. */
static int check(const struct ctl *ctl)
{
    const struct ctl_command *command = ctl->command;

    for (size_t i = 0; i < CTL_OPTION_COUNT; i++)
        if (ctl->options[i] && !((COMMON | command->options) >> i & 1))
            return ctl_usage(ctl, "%s takes no %s", command->name, options[i].name);
    if (ctl->args_len < command->args_min)
        return ctl_usage(ctl, "%s wants more arguments", command->name);
    if (ctl->args_len > command->args_max)
        return ctl_usage(ctl, "%s: one argument too many: %s", command->name, ctl->args[command->args_max]);
    return CTL_DONE;
}

/* A word that is no option: the command first, then its arguments. */
static int read_word(const char *word, const char **args, struct ctl *ctl)
{
    if (ctl->command) {
        args[ctl->args_len++] = word;
        return CTL_DONE;
    }
    ctl->command = ctl_command_find(word);
    if (!ctl->command)
        return ctl_usage(ctl, "unknown command %s", word);
    return CTL_DONE;
}

int ctl_options_read(int argc, char **argv, const char **args, struct ctl *ctl)
{
    bool words_only = false;

    ctl->args = args;
    for (int at = 1; at < argc; at++) {
        int rc;

        if (!words_only && strcmp(argv[at], "--") == 0) {
            words_only = true;
            continue;
        }
        if (!words_only && argv[at][0] == '-' && argv[at][1])
            rc = read_option(argv, &at, ctl);
        else
            rc = read_word(argv[at], args, ctl);
        if (rc)
            return rc;
    }
    ctl->json = ctl->options[CTL_OPT_JSON] != NULL;
    if (ctl->options[CTL_OPT_SOCKET])
        ctl->socket = ctl->options[CTL_OPT_SOCKET];
    if (!ctl->command || ctl->options[CTL_OPT_HELP] || ctl->options[CTL_OPT_VERSION])
        return CTL_DONE;
    return check(ctl);
}

static void print_options(uint32_t bits)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        char left[32];

        if (!(bits >> i & 1))
            continue;
        snprintf(left, sizeof(left), "%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        printf("  %-16s %s\n", left, options[i].help);
    }
}

void ctl_help(const struct ctl_command *command)
{
    if (command) {
        printf("usage: enforcerctl %s%s%s\n\n%s\n", command->name, command->usage[0] ? " " : "",
               command->usage, command->summary);
        if (command->help)
            printf("\n%s\n", command->help);
        puts("\noptions:");
        print_options(COMMON | command->options);
        return;
    }
    puts("usage: enforcerctl [--socket PATH] [--json] COMMAND\n\ncommands:");
    for (command = ctl_commands; command->name; command++)
        printf("  %-11s %s\n", command->name, command->summary);
    puts("\noptions:");
    print_options(COMMON);
    puts("\nENFORCER_SOCKET names the socket where --socket does not.\n"
         "exit status: 0 done, 1 refused, 2 usage, 3 the daemon cannot be reached");
}
