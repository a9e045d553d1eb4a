/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What enforcer-replay was asked to do. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static void print_usage(FILE *to)
{
    (void)fprintf(to,
                  "usage: enforcer-replay [-c FILE] [--json] [--report FILE.html] [--format F] INPUT…\n"
                  "\n"
                  "Runs the detector over captures and flow records and says who would have been convicted, "
                  "when and why.\n"
                  "\n"
                  "  -c, --config FILE  groups, relays, smarthosts and thresholds of this configuration;\n"
                  "                     without it every source counts, with the thresholds of policy block\n"
                  "      --json         one object a line: each subscriber, then the summary\n"
                  "      --report FILE  writes an HTML page too: timelines, evidence, other thresholds\n"
                  "      --format F     pcap, pcapng, eve (Suricata), zeek, zeek-json (conn.log) or\n"
                  "                     nfdump-csv; without it the format is recognised\n"
                  "  -h, --help\n"
                  "      --version\n"
                  "\n"
                  "INPUT is a file, plain or gzip, or - for standard input.\n"
                  "Exit: 0 all read, 1 something was damaged (the rest is reported), 2 usage.\n");
}

static bool fail(enum exit_code *exit_code, const char *text, const char *what)
{
    (void)fprintf(stderr, "enforcer-replay: %s%s\n", text, what);
    *exit_code = EXIT_USAGE;
    return false;
}

enum {
    OPTION_JSON = 256,
    OPTION_FORMAT,
    OPTION_REPORT,
    OPTION_VERSION,
};

bool options_parse(int argc, char **argv, struct options *out, enum exit_code *exit_code)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, OPTION_JSON},
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"report", required_argument, NULL, OPTION_REPORT},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPTION_VERSION},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.format = FORMAT_UNKNOWN};
    int c;
    while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            options.config = optarg;
            break;
        case OPTION_JSON:
            options.json = true;
            break;
        case OPTION_FORMAT:
            options.format = format_parse(optarg);
            if (options.format == FORMAT_UNKNOWN)
                return fail(exit_code,
                            "--format: expected pcap, pcapng, eve, zeek, zeek-json or nfdump-csv, found ",
                            optarg);
            break;
        case OPTION_REPORT:
            options.report = optarg;
            break;
        case 'h':
            print_usage(stdout);
            *exit_code = EXIT_DONE;
            return false;
        case OPTION_VERSION:
            (void)printf("enforcer-replay %s\n", ENF_VERSION);
            *exit_code = EXIT_DONE;
            return false;
        default:
            print_usage(stderr);
            *exit_code = EXIT_USAGE;
            return false;
        }
    }
    if (optind == argc) {
        print_usage(stderr);
        *exit_code = EXIT_USAGE;
        return false;
    }
    options.inputs = argv + optind;
    options.inputs_len = (size_t)(argc - optind);
    *out = options;
    return true;
}
