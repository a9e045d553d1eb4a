/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One row a command, one row an option; what a handler is given. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_SOCKET_DEFAULT "/run/enforcer/control.sock"

/* Exit codes: a contract with scripts. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_REFUSED = 1,
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
};

enum ctl_option {
    CTL_OPT_SOCKET,
    CTL_OPT_JSON,
    CTL_OPT_HELP,
    CTL_OPT_VERSION,
    CTL_OPT_FOR,
    CTL_OPT_LEVEL,
    CTL_OPT_REASON,
    CTL_OPT_TICKET,
    CTL_OPT_FORCE,
    CTL_OPT_BY,
    CTL_OPT_LIMIT,
    CTL_OPT_FOLLOW,
    CTL_OPT_SINCE,
    CTL_OPT_NAME,
    CTL_OPT_CONFIRM,
    CTL_OPT_XARF,
    CTL_OPT_ARF,
    CTL_OPT_RELEASE,
    CTL_OPT_OWNER,
    CTL_OPT_EXPIRES,
};
#define CTL_OPTION_COUNT 20

/* A command line that is read. */
struct ctl {
    const char *socket;
    bool json;
    bool color;
    uint64_t now_ms; /* wall clock at the start */
    const struct ctl_command *command;
    const char *options[CTL_OPTION_COUNT]; /* NULL: not given; "" for those without a value */
    const char *const *args;
    size_t args_len;
};

struct ctl_command {
    const char *name;
    const char *usage;   /* behind the name */
    const char *summary; /* one line */
    const char *help;    /* more, or NULL */
    uint32_t options;    /* bits of those it takes, besides the common ones */
    size_t args_min;
    size_t args_max;
    int (*handler)(const struct ctl *ctl); /* an enum ctl_exit */
};

/* Says on stderr what is wrong with the command line, and how to get help. Returns CTL_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

int ctl_status(const struct ctl *ctl);
int ctl_quarantine(const struct ctl *ctl);
int ctl_release(const struct ctl *ctl);
int ctl_list(const struct ctl *ctl);
int ctl_show(const struct ctl *ctl);
int ctl_top(const struct ctl *ctl);
int ctl_relay(const struct ctl *ctl);
int ctl_reassigned(const struct ctl *ctl);
int ctl_events(const struct ctl *ctl);
int ctl_mode(const struct ctl *ctl);
int ctl_reload(const struct ctl *ctl);
int ctl_confirm(const struct ctl *ctl);
int ctl_ruleset(const struct ctl *ctl);
int ctl_audit(const struct ctl *ctl);
int ctl_governor(const struct ctl *ctl);
int ctl_report(const struct ctl *ctl);
int ctl_report_abuse(const struct ctl *ctl);
int ctl_portal(const struct ctl *ctl);
