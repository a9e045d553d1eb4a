/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration is refused: who hears of it, and in what words. */
#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "Permission denied" alone would send people looking at modes, where the folder was no part of the
 * configuration at the start and is out of reach since then (privileges.h). */
static const char *hint(const char *why)
{
    return strstr(why, strerror(EACCES))
               ? " (the daemon's user must be allowed to, and a folder that is new since "
                 "the start needs a restart)"
               : "";
}

static void add(struct enf_config_errors *errors, const char *why)
{
    char **lines = realloc(errors->lines, (errors->len + 1) * sizeof *lines);

    if (!lines)
        return;
    errors->lines = lines;
    lines[errors->len] = strdup(why);
    errors->len += lines[errors->len] != NULL;
}

int enf_reject(struct enf_daemon *d, const char *actor, struct enf_config_errors *errors, const char *why)
{
    if (errors->len == 0)
        add(errors, why);
    for (size_t i = 0; i < errors->len; i++) {
        char *longer = NULL;
        if (*hint(errors->lines[i]) &&
            asprintf(&longer, "%s%s", errors->lines[i], hint(errors->lines[i])) >= 0) {
            free(errors->lines[i]);
            errors->lines[i] = longer;
        }
    }
    const char *first = errors->len > 0 ? errors->lines[0] : why;

    enf_tell_text(d, ENF_EVENT_CONFIG_REJECTED, ENF_OUTCOME_FAILURE, actor, "%s%s", first,
                  errors->len > 1 ? " (and more)" : "");
    enf_log_line("config", "rejected, the old one stays in force: %s", first);
    return -EINVAL;
}
