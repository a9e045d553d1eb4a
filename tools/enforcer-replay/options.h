/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of enforcer-replay. */
#pragma once

#include "input.h"

#include <stdbool.h>
#include <stddef.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_DAMAGED = 1, /* something was not readable; what was has been reported */
    EXIT_USAGE = 2,   /* nothing was done */
};

struct options {
    const char *config; /* NULL: none given */
    const char *report; /* NULL: none */
    bool json;
    enum format format; /* FORMAT_UNKNOWN: recognise it */
    char **inputs;
    size_t inputs_len;
};

/* False with *exit_code set where the program ends here; what there was to say has been said. */
bool options_parse(int argc, char **argv, struct options *out, enum exit_code *exit_code);
