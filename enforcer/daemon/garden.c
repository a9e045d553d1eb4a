/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hooks of level full: there while anybody is at it, and a little longer. */
#include "enforcer/daemon/daemon.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINGER_MS 5000 /* a load of the rules takes some ms: not for each that comes and goes */

enum enf_garden_need enf_garden_wanted(const struct enf_daemon *d)
{
    if (!d->quarantine || enf_quarantine_count_level(d->quarantine, ENF_LEVEL_FULL) == 0)
        return ENF_GARDEN_CLOSED;
    return enf_quarantine_count_level_nets(d->quarantine, ENF_LEVEL_FULL) > 0 ? ENF_GARDEN_NETS
                                                                              : ENF_GARDEN_SINGLES;
}

int enf_garden_probe(const struct enf_running *running, char **error)
{
    char *text = NULL;

    if (running->config->quarantine.redirect == ENF_REDIRECT_NONE)
        return 0;
    int err = enf_running_ruleset(running, ENF_MODE_ENFORCE, ENF_GARDEN_NETS, &text);
    if (err == 0)
        err = enf_ruleset_check(text, error);
    free(text);
    return err;
}

static int load(struct enf_daemon *d)
{
    char *error = NULL;
    int err = enf_install(d, d->running, d->mode, &error);

    if (err < 0)
        enf_log_line("garden", "the rules of level full could not be %s: %s",
                     enf_garden_wanted(d) > d->garden.open ? "put in" : "taken out",
                     error ? error : strerror(-err));
    free(error);
    return err;
}

int enf_garden_open(struct enf_daemon *d)
{
    /* Before the first load there is none to add to: it has them. */
    if (!d->ruleset || d->garden.open >= enf_garden_wanted(d))
        return 0;
    return load(d);
}

void enf_garden_tick(struct enf_daemon *d)
{
    uint64_t now_ms = enf_clock_steady_ms();

    if (enf_garden_wanted(d) >= d->garden.open) {
        d->garden.since_ms = 0;
        enf_garden_open(d);
        return;
    }
    if (d->garden.since_ms == 0)
        d->garden.since_ms = now_ms;
    if (now_ms - d->garden.since_ms < LINGER_MS)
        return;
    d->garden.since_ms = now_ms; /* where it fails, not each second */
    load(d);
}
