/* SPDX-License-Identifier: GPL-2.0-or-later */
/* enforcerctl: the command line of the NOC. The commands, and the way to one of them. */
#include "tools/enforcerctl/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MANY        SIZE_MAX
#define BIT(option) (1u << CTL_OPT_##option)

const struct ctl_command ctl_commands[] = {
    {"status", "", "what the daemon and its kernel rules are doing",
     "Mode, groups, counters, losses, the kernel's table, the governor, and coverage: how many quarantines\n"
     "there should be and how many the kernel has.",
     0, 0, 0, ctl_status},
    {"quarantine", "ADDR… [--for DUR|forever] [--level LEVEL] [--reason TEXT] [--ticket ID] [--force]",
     "put subscribers into quarantine by hand",
     "ADDR is an address or a prefix; an IPv6 address means its whole subscriber. All of them or none.\n"
     "A relay, a smarthost and a prefix wider than /16 (IPv6: /32) need --force. A forced relay is really "
     "cut.",
     BIT(FOR) | BIT(LEVEL) | BIT(REASON) | BIT(TICKET) | BIT(FORCE), 1, MANY, ctl_quarantine},
    {"release", "ADDR… [--reason TEXT]", "end quarantines at once",
     "A prefix releases all inside it. An address inside a quarantined prefix is cut out of it; the rest "
     "stays.\n"
     "The subscriber's counters and score start anew.",
     BIT(REASON), 1, MANY, ctl_release},
    {"list", "[--limit N]", "who is in quarantine, since when, until when, why", NULL, BIT(LIMIT), 0, 0,
     ctl_list},
    {"show", "ADDR", "one subscriber: limits, evidence, history",
     "The evidence is told as sentences that can be read to a customer, each with its arithmetic.", 0, 1, 1,
     ctl_show},
    {"top", "[--by connections|destinations|blocked] [--limit N]", "the busiest subscribers",
     "On a terminal it is painted anew every two seconds, until q: c, d and b sort, the arrows choose, s "
     "shows\n"
     "the chosen one, x quarantines and r releases it after a question. With --limit, --json, or without a\n"
     "terminal the list is printed once.",
     BIT(BY) | BIT(LIMIT), 0, 0, ctl_top},
    {"relay", "list | add ADDR [--name N] [--owner WHO] [--reason TEXT] [--expires WHEN] | remove ADDR",
     "the authorised relays",
     "What is added by hand holds at once and is kept over a restart. Added again with other words or "
     "another\n"
     "end, it is changed, without a gap. A relay of the configuration file is changed and removed there.",
     BIT(NAME) | BIT(OWNER) | BIT(REASON) | BIT(EXPIRES), 1, 2, ctl_relay},
    {"reassigned", "ADDR…", "the address has a new customer", "Its quarantine, counters and history end.", 0,
     1, MANY, ctl_reassigned},
    {"events", "[--follow] [--since DUR]", "the event stream",
     "Without --follow: the events that the daemon remembers, or those since DUR. With --follow: those to "
     "come,\n"
     "after those since DUR where it is given. --json prints one object a line.",
     BIT(FOLLOW) | BIT(SINCE), 0, 0, ctl_events},
    {"audit", "[--since DUR] [--limit N]", "who changed what, and who was refused",
     "The newest first, at most 200 unless --limit says otherwise: requests that change, refused ones, "
     "reloads "
     "by\n"
     "signal, and what the daemon did by itself.",
     BIT(SINCE) | BIT(LIMIT), 0, 0, ctl_audit},
    {"mode", "enforce|observe|file", "enforce, or only observe",
     "Holds at once and is kept over a restart; `file` goes back to what the configuration says.", 0, 1, 1,
     ctl_mode},
    {"reload", "[--confirm DUR]", "read the configuration again",
     "A bad one is refused, and the old one stays. With --confirm the old one comes back after DUR, unless\n"
     "`enforcerctl confirm` comes before: for changes that may cut off whoever makes them.",
     BIT(CONFIRM), 0, 0, ctl_reload},
    {"confirm", "", "keep what `reload --confirm` put in force", NULL, 0, 0, 0, ctl_confirm},
    {"ruleset", "", "the table as the kernel has it", NULL, 0, 0, 0, ctl_ruleset},
    {"report", "rollout [--limit N] | abuse ADDR --xarf|--arf",
     "what a policy does, or would do; a conviction for another abuse desk",
     "abuse: the last conviction of ADDR as it is to be sent, signed by section `report` of the "
     "configuration.\n"
     "rollout, by group: who uses port 25, what is and would be blocked, who would be in quarantine. Then "
     "hosts that "
     "behave\n"
     "like mail servers and are no relays, with lines for the configuration file. At most 100 of a kind "
     "unless\n"
     "--limit says otherwise (1000 at most).",
     BIT(LIMIT) | BIT(XARF) | BIT(ARF), 1, 2, ctl_report},
    {"governor", "reset", "let automatic quarantine go on after the governor stopped it", NULL, 0, 1, 1,
     ctl_governor},
    {"portal", "ADDR [--release]", "what a subscriber is told about itself",
     "With --json: the answer of the captive portal API (RFC 8908), and in `enforcer` what a page needs\n"
     "besides. --release is the subscriber's own release, of which quarantine.self_release says how many.",
     BIT(RELEASE), 1, 1, ctl_portal},
    {0},
};

static bool wants_color(void)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no_color && no_color[0]) && !(term && strcmp(term, "dumb") == 0);
}

static uint64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int run(const struct ctl *ctl)
{
    if (ctl->options[CTL_OPT_VERSION]) {
        puts("enforcerctl " ENF_VERSION);
        return CTL_DONE;
    }
    if (ctl->options[CTL_OPT_HELP]) {
        ctl_help(ctl->command);
        return CTL_DONE;
    }
    if (!ctl->command)
        return ctl_usage(ctl, "no command given");
    return ctl->command->handler(ctl);
}

int main(int argc, char **argv)
{
    const char *socket = getenv("ENFORCER_SOCKET");
    struct ctl ctl = {
        .socket = socket && socket[0] ? socket : CTL_SOCKET_DEFAULT,
        .color = wants_color(),
        .now_ms = wall_ms(),
    };
    const char **args = calloc((size_t)argc + 1, sizeof(*args));
    int rc;

    if (!args)
        return CTL_UNREACHABLE;
    rc = ctl_options_read(argc, argv, args, &ctl);
    if (rc == CTL_DONE)
        rc = run(&ctl);
    free(args);
    if (fflush(stdout) != 0 && rc == CTL_DONE) {
        perror("enforcerctl: output");
        rc = CTL_REFUSED;
    }
    return rc;
}
