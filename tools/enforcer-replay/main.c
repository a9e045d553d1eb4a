/* SPDX-License-Identifier: GPL-2.0-or-later */
/* enforcer-replay: the detector over what was recorded. Needs no privileges. */
#include "options.h"
#include "progress.h"
#include "replay.h"
#include "report.h"

#include <string.h>

static enum exit_code complain(struct progress *progress, const char *path, const char *text,
                               enum exit_code code)
{
    progress_wipe(progress);
    (void)fprintf(stderr, "%s: %s\n", path, text);
    return code;
}

static enum flow_format flow_format_of(enum format format)
{
    switch (format) {
    case FORMAT_EVE:
        return FLOW_FORMAT_EVE;
    case FORMAT_ZEEK:
        return FLOW_FORMAT_ZEEK;
    case FORMAT_NFDUMP:
        return FLOW_FORMAT_NFDUMP;
    case FORMAT_UNKNOWN:
    case FORMAT_PCAP:
    case FORMAT_PCAPNG:
        break;
    }
    return FLOW_FORMAT_NONE;
}

/* What flow records hold back is older than a capture that follows them, as the order of inputs says. */
static bool read_stream(struct replay *replay, enum format format, FILE *stream, char *error,
                        size_t error_len)
{
    enum flow_format flows = flow_format_of(format);
    if (flows != FLOW_FORMAT_NONE) {
        replay->read_flows = true;
        return flow_read(replay, flows, stream, error, error_len);
    }
    int rc = flow_finish(replay);
    if (rc != 0) {
        (void)fclose(stream);
        (void)snprintf(error, error_len, "%s", strerror(-rc));
        return false;
    }
    replay->read_captures = true;
    return capture_read(replay, stream, error, error_len);
}

static enum exit_code read_input(struct replay *replay, const char *path, enum format format,
                                 struct progress *progress)
{
    char error[512] = "";
    char damage[512] = "";
    struct input *input = input_open(path, progress, error, sizeof(error));
    if (!input)
        return complain(progress, path, error, EXIT_DAMAGED);
    bool whole = true;
    if (format == FORMAT_UNKNOWN)
        format = input_format(input);
    FILE *stream = format != FORMAT_UNKNOWN ? input_stream(input) : NULL;
    if (stream) {
        whole = read_stream(replay, format, stream, error, sizeof(error));
    } else {
        whole = false;
        (void)snprintf(error, sizeof(error), "%s",
                       format == FORMAT_UNKNOWN ? "neither a capture nor flow records of a known format"
                                                : "no memory");
    }
    if (!input_close(&input, damage, sizeof(damage)) && (whole || !error[0])) {
        whole = false;
        (void)snprintf(error, sizeof(error), "%s", damage);
    }
    progress_wipe(progress);
    if (whole)
        return EXIT_DONE;
    return complain(progress, path, error[0] ? error : "it could not be read", EXIT_DAMAGED);
}

static enum exit_code read_all(struct replay *replay, const struct options *options,
                               struct progress *progress)
{
    enum exit_code code = EXIT_DONE;
    for (size_t i = 0; i < options->inputs_len; i++) {
        enum exit_code one = read_input(replay, options->inputs[i], options->format, progress);
        if (one > code)
            code = one;
    }
    int rc = capture_finish(replay);
    if (rc == 0)
        rc = flow_finish(replay);
    if (rc != 0)
        code = complain(progress, "enforcer-replay", strerror(-rc), EXIT_DAMAGED);
    if (replay->late > 0)
        (void)fprintf(stderr, "enforcer-replay: %llu flow records came too late to be put in order of time\n",
                      (unsigned long long)replay->late);
    return code;
}

static enum exit_code write_all(struct replay *replay, const struct options *options, FILE *report,
                                struct progress *progress)
{
    enum exit_code code = EXIT_DONE;
    ledger_sort(&replay->ledger);
    if (report && report_write(replay, options, report) != 0)
        code = complain(progress, options->report, "the report could not be written whole", EXIT_DAMAGED);
    if (options->json)
        print_json(replay, stdout);
    else
        print_table(replay, stdout);
    if (fflush(stdout) != 0)
        code = complain(progress, "standard output", "not all was written", EXIT_DAMAGED);
    return code;
}

int main(int argc, char **argv)
{
    struct options options;
    enum exit_code code = EXIT_DONE;
    if (!options_parse(argc, argv, &options, &code))
        return code;
    struct progress progress = progress_make(stderr);
    struct scope scope = {0};
    struct replay replay;
    char error[512] = "";
    if (!scope_load(options.config, &scope))
        return EXIT_USAGE;
    FILE *report = options.report ? report_open(options.report, error, sizeof(error)) : NULL;
    int rc = options.report && !report ? -1 : replay_init(&replay, &scope, options.report != NULL);
    if (rc != 0) {
        scope_clear(&scope);
        if (options.report && !report)
            return complain(&progress, options.report, error, EXIT_USAGE);
        if (report)
            (void)fclose(report);
        return complain(&progress, "enforcer-replay", strerror(-rc), EXIT_USAGE);
    }
    code = read_all(&replay, &options, &progress);
    enum exit_code written = write_all(&replay, &options, report, &progress);
    replay_clear(&replay);
    scope_clear(&scope);
    return written > code ? written : code;
}
