/* SPDX-License-Identifier: GPL-2.0-or-later */
/* enforcer-simulate: how the detector fares in a network of which everything is known. */
#include "options.h"
#include "run.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct options options;
    struct run run;
    int code = options_parse(argc, argv, &options);
    if (code >= 0)
        return code;
    int rc = run_init(&options, &run);
    if (rc == 0) {
        rc = run_simulate(&run);
        if (rc == 0 && options.json)
            rc = report_json(&run);
        else if (rc == 0)
            report_tables(&run);
        run_clear(&run);
    }
    if (rc < 0)
        (void)fprintf(stderr, "enforcer-simulate: %s\n", strerror(-rc));
    if (fflush(stdout) != 0)
        rc = -1;
    return rc < 0 ? 1 : 0;
}
