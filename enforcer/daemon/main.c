/* SPDX-License-Identifier: GPL-2.0-or-later */
/* enforcerd: the command line. */
#include "enforcer/daemon/daemon.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage_text[] =
    "usage: enforcerd [-c FILE] [--user NAME] [--foreground]\n"
    "       enforcerd [-c FILE] [--user NAME] --install\n"
    "       enforcerd [-c FILE] --check | --print-ruleset\n"
    "       enforcerd --uninstall\n"
    "\n"
    "  -c, --config FILE   configuration (default " ENF_DEFAULT_CONFIG ")\n"
    "  --check             say what is wrong with the configuration and end: 0 good, 1 bad\n"
    "  --print-ruleset     print the nft text that the configuration gives and end\n"
    "  --install           put ruleset and quarantine into the kernel and end (at boot)\n"
    "  --uninstall         take the table inet enforcer out of the kernel and end\n"
    "  --user NAME         become this user once started (default enforcer, where there is such a user)\n"
    "  --foreground        stay in the foreground (what systemd wants)\n"
    "  --version, --help\n"
    "\n"
    "SIGHUP reads the configuration again and reopens the event files; SIGTERM ends the daemon and leaves "
    "the\n"
    "rules in the kernel.\n";

enum command {
    RUN,
    CHECK,
    PRINT,
    INSTALL,
    UNINSTALL,
};

static void warn(const struct enf_running *running)
{
    const char *warnings[ENF_WARNINGS_MAX];
    size_t len = enf_running_warnings(running, warnings);

    for (size_t i = 0; i < len; i++)
        fprintf(stderr, "%s: warning: %s\n", running->path, warnings[i]);
}

static int check(const char *path, bool print)
{
    struct enf_running *running = NULL;
    struct enf_config_errors errors = {0};
    char *text = NULL;
    int err = enf_running_load(path, &running, &errors);

    enf_running_complain(path, &errors, err);
    enf_config_errors_clear(&errors);
    if (err == 0)
        warn(running);
    if (err == 0 && print) {
        err = enf_running_ruleset_print(running, &text);
        if (err == 0 && (fputs(text, stdout) == EOF || fflush(stdout) == EOF))
            err = -EIO;
        if (err < 0)
            fprintf(stderr, "the ruleset cannot be printed: %s\n", strerror(-err));
    }
    free(text);
    enf_running_free(&running);
    return err == 0 ? 0 : 1;
}

static int uninstall(void)
{
    char *error = NULL;
    int err = enf_ruleset_remove(&error);

    if (err < 0)
        enf_log_line("uninstall", "%s", error ? error : strerror(-err));
    free(error);
    return err < 0 ? 1 : 0;
}

/* The parent ends when the daemon is in force, or failed: the exit code tells. Returns in the child only. */
static int detach(int *ready_fd)
{
    int fds[2];
    char byte;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        close(fds[1]);
        ssize_t got;
        do {
            got = read(fds[0], &byte, 1);
        } while (got < 0 && errno == EINTR);
        _exit(got == 1 ? 0 : 1);
    }
    close(fds[0]);
    setsid();
    *ready_fd = fds[1];
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},  {"check", no_argument, NULL, 'k'},
        {"print-ruleset", no_argument, NULL, 'p'}, {"install", no_argument, NULL, 'i'},
        {"uninstall", no_argument, NULL, 'u'},     {"foreground", no_argument, NULL, 'f'},
        {"user", required_argument, NULL, 's'},    {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    struct enf_options run = {.config = ENF_DEFAULT_CONFIG, .ready_fd = -1};
    bool foreground = false;
    enum command command = RUN;
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            run.config = optarg;
            break;
        case 'k':
            command = CHECK;
            break;
        case 'p':
            command = PRINT;
            break;
        case 'i':
            command = INSTALL;
            break;
        case 'u':
            command = UNINSTALL;
            break;
        case 'f':
            foreground = true;
            break;
        case 's':
            run.user = optarg;
            break;
        case 'v':
            puts("enforcerd " ENF_VERSION);
            return 0;
        case 'h':
            fputs(usage_text, stdout);
            return 0;
        default:
            fputs(usage_text, stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "enforcerd: unexpected argument '%s'\n%s", argv[optind], usage_text);
        return 2;
    }
    switch (command) {
    case CHECK:
    case PRINT:
        return check(run.config, command == PRINT);
    case INSTALL:
        return enf_daemon_install(&run);
    case UNINSTALL:
        return uninstall();
    case RUN:
        break;
    }
    /* In the background the folder changes: the path must not depend on it. */
    char *whole = realpath(run.config, NULL);
    if (whole)
        run.config = whole;
    if (!foreground && detach(&run.ready_fd) < 0) {
        perror("enforcerd: cannot go into the background");
        return 1;
    }
    int code = enf_daemon_run(&run);
    free(whole);
    return code;
}
