/* SPDX-License-Identifier: GPL-2.0-or-later */
/* enforcer-replay: the detector over what was recorded. Needs no privileges. */
#include "options.h"
#include "replay.h"

#include <string.h>

static enum exit_code complain(const char *path, const char *text, enum exit_code code)
{
    (void)fprintf(stderr, "%s: %s\n", path, text);
    return code;
}

/* Flow records are refused before anything is read, so that nobody takes half a result for the whole. */
static enum exit_code check_format(enum format format, const char *path)
{
    switch (format) {
    case FORMAT_EVE:
    case FORMAT_ZEEK:
    case FORMAT_NFDUMP:
        return complain(path, "flow records are not yet supported", EXIT_USAGE);
    case FORMAT_UNKNOWN:
        return complain(path, "neither pcap nor pcapng", EXIT_DAMAGED);
    case FORMAT_PCAP:
    case FORMAT_PCAPNG:
        break;
    }
    return EXIT_DONE;
}

static enum exit_code read_input(struct replay *replay, const char *path, enum format format)
{
    char error[512] = "";
    struct input *input = input_open(path, error, sizeof(error));
    if (!input)
        return complain(path, error, EXIT_DAMAGED);
    enum exit_code code = check_format(format != FORMAT_UNKNOWN ? format : input_format(input), path);
    if (code == EXIT_DONE) {
        FILE *stream = input_stream(input);
        if (!stream)
            code = complain(path, "no memory", EXIT_DAMAGED);
        else if (!capture_read(replay, stream, error, sizeof(error)))
            code = complain(path, error, EXIT_DAMAGED);
    }
    if (!input_close(&input, error, sizeof(error)) && code == EXIT_DONE)
        code = complain(path, error, EXIT_DAMAGED);
    return code;
}

int main(int argc, char **argv)
{
    struct options options;
    enum exit_code code = EXIT_DONE;
    if (!options_parse(argc, argv, &options, &code))
        return code;
    struct scope scope = {0};
    if (!scope_load(options.config, &scope))
        return EXIT_USAGE;
    struct replay replay;
    int rc = replay_init(&replay, &scope);
    if (rc != 0) {
        scope_clear(&scope);
        return complain("enforcer-replay", strerror(-rc), EXIT_USAGE);
    }
    for (size_t i = 0; i < options.inputs_len && code != EXIT_USAGE; i++) {
        enum exit_code one = read_input(&replay, options.inputs[i], options.format);
        if (one > code)
            code = one;
    }
    if (code != EXIT_USAGE) {
        ledger_sort(&replay.ledger);
        if (options.json)
            print_json(&replay, stdout);
        else
            print_table(&replay, stdout);
        if (fflush(stdout) != 0)
            code = complain("standard output", "not all was written", EXIT_DAMAGED);
    }
    replay_clear(&replay);
    scope_clear(&scope);
    return code;
}
