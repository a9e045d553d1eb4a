/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line. */
#include "options.h"

#include "population.h"

#include "enforcer/detect/settings.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBSCRIBERS_MAX 50000000

enum { OPT_FALSE = 256, OPT_MISSED, OPT_NO_WINDOWS, OPT_NO_SEQUENTIAL, OPT_MAX_BYTES, OPT_DESTINATIONS };

static const struct option long_options[] = {
    {"subscribers", required_argument, NULL, 'n'},
    {"bots", required_argument, NULL, 'b'},
    {"days", required_argument, NULL, 'd'},
    {"seed", required_argument, NULL, 's'},
    {"policy", required_argument, NULL, 'p'},
    {"kind", required_argument, NULL, 'k'},
    {"false-conviction", required_argument, NULL, OPT_FALSE},
    {"missed", required_argument, NULL, OPT_MISSED},
    {"no-windows", no_argument, NULL, OPT_NO_WINDOWS},
    {"no-sequential", no_argument, NULL, OPT_NO_SEQUENTIAL},
    {"destinations", required_argument, NULL, OPT_DESTINATIONS},
    {"max-bytes", required_argument, NULL, OPT_MAX_BYTES},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void print_help(void)
{
    puts("usage: enforcer-simulate [OPTION]...\n"
         "Feeds the detector with the connections of a simulated network and says whom it convicts.\n\n"
         "  --subscribers N         honest ones (100000)\n"
         "  --bots N                zombies among them (a thousandth of that)\n"
         "  --days D                simulated time, fractions allowed (1)\n"
         "  --seed N                another one, another network (1)\n"
         "  --policy P              all under block, inspect or observe (each kind where it belongs)\n"
         "  --kind NAME             only these kinds, in equal parts; may be given several times\n"
         "  --false-conviction X    budget of the sequential test, a subscriber and day (0.000001)\n"
         "  --missed X              its beta (0.01)\n"
         "  --no-windows            the sequential test alone\n"
         "  --no-sequential         the windows alone\n"
         "  --destinations N        limit on distinct destinations under block (its default)\n"
         "  --max-bytes N           memory of the detector for those who come often (32 each, and 16 MiB)\n"
         "  --json                  one object instead of tables\n\n"
         "Kinds:");
    for (size_t i = 0; i < honest_kinds_len; i++)
        printf("  %-10s honest  %s\n", honest_kinds[i].name, honest_kinds[i].what);
    for (size_t i = 0; i < zombie_kinds_len; i++)
        printf("  %-10s zombie  %s\n", zombie_kinds[i].name, zombie_kinds[i].what);
}

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < honest_kinds_len; i++)
        if (strcmp(honest_kinds[i].name, name) == 0)
            return &honest_kinds[i];
    for (size_t i = 0; i < zombie_kinds_len; i++)
        if (strcmp(zombie_kinds[i].name, name) == 0)
            return &zombie_kinds[i];
    return NULL;
}

static int refuse(const char *option, const char *value, const char *expected)
{
    (void)fprintf(stderr, "--%s: expected %s, found %s\n", option, expected, value);
    return 2;
}

static bool read_number(const char *text, double min, double max, double *out)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= min && value <= max))
        return false;
    *out = value;
    return true;
}

static bool read_count(const char *text, double max, uint64_t *out)
{
    double value = 0;
    if (!read_number(text, 0, max, &value) || value != floor(value))
        return false;
    *out = (uint64_t)value;
    return true;
}

static int read_option(int opt, const char *value, struct options *out)
{
    uint64_t count = 0;
    switch (opt) {
    case 'n':
    case 'b':
        if (!read_count(value, SUBSCRIBERS_MAX, &count))
            return refuse(opt == 'n' ? "subscribers" : "bots", value, "a number up to 50000000");
        *(opt == 'n' ? &out->subscribers : &out->bots) = (uint32_t)count;
        return -1;
    case 'd':
        return read_number(value, 0.001, 40, &out->days) ? -1 : refuse("days", value, "0.001 to 40");
    case 's':
        return read_count(value, 1e15, &out->seed) ? -1 : refuse("seed", value, "a number");
    case 'p':
        if (enf_policy_from_name(value, &out->policy) != 0 || out->policy == ENF_POLICY_NONE)
            return refuse("policy", value, "block, inspect or observe");
        return -1;
    case 'k':
        if (out->chosen_len == KINDS_CHOSEN_MAX || !find_kind(value))
            return refuse("kind", value, "one of those that --help lists");
        out->chosen[out->chosen_len++] = find_kind(value);
        return -1;
    case OPT_FALSE:
        return read_number(value, 1e-12, 0.1, &out->false_conviction)
                   ? -1
                   : refuse("false-conviction", value, "0.000000000001 to 0.1");
    case OPT_MISSED:
        return read_number(value, 1e-6, 0.5, &out->missed) ? -1 : refuse("missed", value, "0.000001 to 0.5");
    case OPT_DESTINATIONS:
        if (!read_count(value, ENF_DISTINCT_MAX, &count))
            return refuse("destinations", value, "a number");
        out->destinations = (uint32_t)count;
        return -1;
    case OPT_MAX_BYTES:
        return read_count(value, 1e15, &out->max_bytes) ? -1 : refuse("max-bytes", value, "a number");
    case OPT_NO_WINDOWS:
        out->windows = false;
        return -1;
    case OPT_NO_SEQUENTIAL:
        out->sequential = false;
        return -1;
    case 'j':
        out->json = true;
        return -1;
    case 'h':
        print_help();
        return 0;
    }
    return 2;
}

int options_parse(int argc, char **argv, struct options *out)
{
    struct options options = {
        .subscribers = 100000,
        .bots = UINT32_MAX,
        .days = 1,
        .seed = 1,
        .false_conviction = 1e-6,
        .missed = 0.01,
        .sequential = true,
        .windows = true,
    };
    int opt;
    while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        int code = read_option(opt, optarg, &options);
        if (code >= 0)
            return code;
    }
    if (optind < argc) {
        (void)fprintf(stderr, "%s: no such option; --help lists them\n", argv[optind]);
        return 2;
    }
    if (options.bots == UINT32_MAX)
        options.bots = options.subscribers / 1000;
    if (options.subscribers + options.bots == 0) {
        (void)fputs("nobody to simulate\n", stderr);
        return 2;
    }
    *out = options;
    return -1;
}
