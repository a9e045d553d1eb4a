/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Relays of the file: last use, expiry, suspicion. */
#include "enforcer/daemon/relays.h"

#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/kernel/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS    5000
#define SUSPECT_MS (3600ULL * 1000) /* told again after so long */

static int build_map(const struct enf_config *config, struct enf_rangemap *out)
{
    size_t len = 0, at = 0;

    for (size_t i = 0; i < config->relays_len; i++)
        len += config->relays[i].addresses_len;
    struct enf_rangemap_input *input = calloc(len + 1, sizeof *input);
    if (!input)
        return -ENOMEM;
    for (size_t i = 0; i < config->relays_len; i++) {
        for (size_t j = 0; j < config->relays[i].addresses_len; j++)
            input[at++] = (struct enf_rangemap_input){config->relays[i].addresses[j], (uint32_t)i};
    }
    int err = enf_rangemap_build(input, len, out);
    free(input);
    return err;
}

void enf_relays_free(struct enf_daemon *d)
{
    enf_rangemap_clear(&d->relay_lives.map);
    free(d->relay_lives.lives);
    d->relay_lives = (struct enf_relays){0};
}

/* After a start and a reload all begins anew, but for what the kernel knows. */
static bool renew(struct enf_daemon *d)
{
    struct enf_relays *r = &d->relay_lives;

    if (r->running == d->running)
        return true;
    enf_relays_free(d);
    r->lives = calloc(d->running->config->relays_len + 1, sizeof *r->lives);
    if (!r->lives || build_map(d->running->config, &r->map) < 0) {
        enf_relays_free(d);
        return false;
    }
    r->running = d->running;
    return true;
}

static int on_used(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct enf_daemon *d = ctx;
    const struct enf_rangemap_entry *entry = enf_rangemap_find(&d->relay_lives.map, &range->first);
    uint64_t now_ms = enf_clock_wall_ms();

    if (!entry || expires_ms > ENF_RELAY_USED_MS)
        return 0;
    struct enf_relay_life *life = &d->relay_lives.lives[entry->value];
    uint64_t used_ms = now_ms - (ENF_RELAY_USED_MS - expires_ms);
    if (used_ms > life->used_ms)
        life->used_ms = used_ms;
    return 0;
}

const struct enf_relay_life *enf_relays_look(struct enf_daemon *d)
{
    if (!renew(d))
        return NULL;
    enf_kernel_read_set(d->kernel, ENF_KERNEL_RELAY_USED4, on_used, d);
    enf_kernel_read_set(d->kernel, ENF_KERNEL_RELAY_USED6, on_used, d);
    return d->relay_lives.lives;
}

bool enf_relay_lapsed(const struct enf_daemon *d, size_t index)
{
    const struct enf_relays *r = &d->relay_lives;

    return r->running == d->running && r->lives && r->lives[index].lapsed;
}

/* "relay 192.0.2.10 mx-out (owner NAME)" */
static void name_of(const struct enf_relay *relay, char *out, size_t len)
{
    char text[ENF_PREFIX_STR_LEN];
    const char *first = relay->addresses_len > 0 ? enf_prefix_str(&relay->addresses[0], text, sizeof text)
                                                 : "without address";

    snprintf(out, len, "relay %s%s%s%s%s%s%.40s%s", first, relay->addresses_len > 1 ? " and others" : "",
             *relay->name ? " " : "", relay->name, *relay->owner ? " (" : "", *relay->owner ? "owner " : "",
             relay->owner, *relay->owner ? ")" : "");
}

static void tell(struct enf_daemon *d, const struct enf_relay *relay, enum enf_event_action action,
                 const char *what, uint64_t time_ms)
{
    struct enf_event event = {.action = action, .outcome = ENF_OUTCOME_SUCCESS};
    char name[192], time[ENF_TIME_STR_LEN];

    name_of(relay, name, sizeof name);
    snprintf(event.reason, sizeof event.reason, "%s: %s %s", name, what,
             enf_time_str(time_ms, time, sizeof time));
    if (relay->addresses_len > 0)
        event.source = relay->addresses[0].addr;
    enf_tell(d, &event);
}

/* True where it is no relay any more from now on. */
static bool judge(struct enf_daemon *d, size_t i)
{
    const struct enf_config *config = d->running->config;
    const struct enf_relay *relay = &config->relays[i];
    struct enf_relay_life *life = &d->relay_lives.lives[i];
    uint64_t now_ms = enf_clock_wall_ms();
    uint64_t since_ms = life->used_ms > d->started_ms ? life->used_ms : d->started_ms;
    bool expired = relay->expires_ms > 0 && now_ms >= relay->expires_ms;
    bool unused = now_ms >= since_ms && now_ms - since_ms >= config->relay_policy.unused_ms;

    if (expired && !life->expired_told)
        tell(d, relay, ENF_EVENT_RELAY_EXPIRED, "expired", relay->expires_ms);
    if (unused && !life->unused_told)
        tell(d, relay, ENF_EVENT_RELAY_UNUSED, "no connection since", since_ms);
    life->expired_told |= expired;
    life->unused_told = unused;
    if (life->lapsed || !config->relay_policy.lapse || (!expired && !unused))
        return false;
    life->lapsed = true;
    tell(d, relay, ENF_EVENT_RELAY_LAPSED,
         expired ? "no relay any more, expired" : "no relay any more, unused since",
         expired ? relay->expires_ms : since_ms);
    return true;
}

void enf_relays_tick(struct enf_daemon *d)
{
    uint64_t steady_ms = enf_clock_steady_ms();
    bool lapsed = false;

    if (steady_ms < d->relay_lives.looked_ms + LOOK_MS || !enf_relays_look(d))
        return;
    d->relay_lives.looked_ms = steady_ms;
    for (size_t i = 0; i < d->running->config->relays_len; i++)
        lapsed |= judge(d, i);
    if (lapsed && enf_install_relays(d) < 0)
        enf_log_line("kernel", "relays that lapsed could not be taken out; the next look does it");
}

void enf_relay_suspect(struct enf_daemon *d, const struct enf_report *report, const char *what)
{
    const struct enf_rangemap_entry *entry =
        renew(d) ? enf_rangemap_find(&d->relay_lives.map, &report->event.source) : NULL;
    struct enf_event event = report->event;
    uint64_t now_ms = enf_clock_wall_ms();
    char name[192] = "relay by hand";

    if (entry) {
        struct enf_relay_life *life = &d->relay_lives.lives[entry->value];
        if (life->suspected_ms > 0 && now_ms < life->suspected_ms + SUSPECT_MS)
            return;
        life->suspected_ms = now_ms;
        name_of(&d->running->config->relays[entry->value], name, sizeof name);
    }
    event.action = ENF_EVENT_RELAY_SUSPECT;
    event.outcome = ENF_OUTCOME_UNKNOWN;
    event.subscriber = (struct enf_prefix){0};
    event.count = report->evidence_total;
    event.evidence = report->evidence;
    event.evidence_len = report->evidence_len;
    snprintf(event.reason, sizeof event.reason, "%.120s sends like a zombie: %.90s; nothing is done", name,
             what);
    enf_text_copy(event.actor, sizeof event.actor, "detector");
    enf_tell(d, &event);
}
