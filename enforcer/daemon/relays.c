/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Relays of the file and by hand: last use, expiry, suspicion. */
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

/* Of equal prefixes the one of the file counts. */
static int build_map(struct enf_daemon *d, struct enf_rangemap *out)
{
    const struct enf_config *config = d->running->config;
    size_t len = d->hand_relays_len, at = 0;

    for (size_t i = 0; i < config->relays_len; i++)
        len += config->relays[i].addresses_len;
    struct enf_rangemap_input *input = calloc(len + 1, sizeof *input);
    if (!input)
        return -ENOMEM;
    for (size_t i = 0; i < d->hand_relays_len; i++)
        input[at++] =
            (struct enf_rangemap_input){d->hand_relays[i].row.prefix, (uint32_t)(config->relays_len + i)};
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

void enf_relays_changed(struct enf_daemon *d)
{
    d->relay_lives.stale = true;
}

/* After a start and a reload all of the file begins anew, but for what the kernel knows. */
static bool renew(struct enf_daemon *d)
{
    struct enf_relays *r = &d->relay_lives;
    struct enf_rangemap map = {0};

    if (r->running == d->running && !r->stale)
        return true;
    if (r->running != d->running) {
        enf_relays_free(d);
        r->lives = calloc(d->running->config->relays_len + 1, sizeof *r->lives);
    }
    if (!r->lives || build_map(d, &map) < 0) {
        enf_relays_free(d);
        return false;
    }
    enf_rangemap_clear(&r->map);
    r->map = map;
    r->running = d->running;
    r->stale = false;
    return true;
}

/* One relay, wherever it is from. */
struct subject {
    const struct enf_prefix *first; /* NULL: it has no address */
    bool more;
    const char *name;
    const char *owner;
    uint64_t expires_ms;
    uint64_t since_ms; /* unused is counted from then on at the earliest */
    struct enf_relay_life *life;
    struct enf_hand_relay *hand; /* NULL: of the file */
};

static struct subject subject_at(struct enf_daemon *d, size_t index)
{
    size_t files = d->running->config->relays_len;

    if (index < files) {
        const struct enf_relay *relay = &d->running->config->relays[index];
        return (struct subject){
            .first = relay->addresses_len > 0 ? &relay->addresses[0] : NULL,
            .more = relay->addresses_len > 1,
            .name = relay->name,
            .owner = relay->owner,
            .expires_ms = relay->expires_ms,
            .since_ms = d->started_ms,
            .life = &d->relay_lives.lives[index],
        };
    }
    struct enf_hand_relay *hand = &d->hand_relays[index - files];
    return (struct subject){
        .first = &hand->row.prefix,
        .name = hand->row.name,
        .owner = hand->row.owner,
        .expires_ms = hand->row.expires_ms,
        .since_ms = hand->row.added_ms > d->started_ms ? hand->row.added_ms : d->started_ms,
        .life = &hand->life,
        .hand = hand,
    };
}

static int on_used(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct enf_daemon *d = ctx;
    const struct enf_rangemap_entry *entry = enf_rangemap_find(&d->relay_lives.map, &range->first);
    uint64_t now_ms = enf_clock_wall_ms();

    if (!entry || expires_ms > ENF_RELAY_USED_MS)
        return 0;
    struct enf_relay_life *life = subject_at(d, entry->value).life;
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

/* "relay 192.0.2.10 mx-out (by hand, owner NAME)" */
static void name_of(const struct subject *relay, char *out, size_t len)
{
    char text[ENF_PREFIX_STR_LEN];
    bool more = relay->hand || *relay->owner;

    snprintf(out, len, "relay %s%s%s%s%s%s%s%s%.40s%s",
             relay->first ? enf_prefix_str(relay->first, text, sizeof text) : "without address",
             relay->more ? " and others" : "", *relay->name ? " " : "", relay->name, more ? " (" : "",
             relay->hand ? "by hand" : "", relay->hand && *relay->owner ? ", " : "",
             *relay->owner ? "owner " : "", relay->owner, more ? ")" : "");
}

static void tell(struct enf_daemon *d, const struct subject *relay, enum enf_event_action action,
                 const char *what, uint64_t time_ms)
{
    struct enf_event event = {.action = action, .outcome = ENF_OUTCOME_SUCCESS};
    char name[192], time[ENF_TIME_STR_LEN];

    name_of(relay, name, sizeof name);
    snprintf(event.reason, sizeof event.reason, "%s: %s %s", name, what,
             enf_time_str(time_ms, time, sizeof time));
    if (relay->first)
        event.source = relay->first->addr;
    enf_tell(d, &event);
}

/* A restart does not bring it back. */
static void keep_lapse(struct enf_daemon *d, struct enf_hand_relay *hand)
{
    hand->row.lapsed = true;
    if (enf_store_relay_put(d->store, &hand->row) < 0)
        enf_log_line("state", "a relay that lapsed could not be written: %s", enf_store_message(d->store));
}

/* True where it is no relay any more from now on. */
static bool judge(struct enf_daemon *d, size_t index)
{
    const struct enf_config *config = d->running->config;
    struct subject relay = subject_at(d, index);
    struct enf_relay_life *life = relay.life;
    uint64_t now_ms = enf_clock_wall_ms();
    uint64_t since_ms = life->used_ms > relay.since_ms ? life->used_ms : relay.since_ms;
    bool expired = relay.expires_ms > 0 && now_ms >= relay.expires_ms;
    bool unused = now_ms >= since_ms && now_ms - since_ms >= config->relay_policy.unused_ms;

    if (life->lapsed)
        return false;
    if (expired && !life->expired_told)
        tell(d, &relay, ENF_EVENT_RELAY_EXPIRED, "expired", relay.expires_ms);
    if (unused && !life->unused_told)
        tell(d, &relay, ENF_EVENT_RELAY_UNUSED, "no connection since", since_ms);
    life->expired_told |= expired;
    life->unused_told = unused;
    if (!config->relay_policy.lapse || (!expired && !unused))
        return false;
    life->lapsed = true;
    if (relay.hand)
        keep_lapse(d, relay.hand);
    tell(d, &relay, ENF_EVENT_RELAY_LAPSED,
         expired ? "no relay any more, expired" : "no relay any more, unused since",
         expired ? relay.expires_ms : since_ms);
    return true;
}

void enf_relays_tick(struct enf_daemon *d)
{
    uint64_t steady_ms = enf_clock_steady_ms();
    bool lapsed = false;

    bool soon = d->relay_lives.running == d->running && steady_ms < d->relay_lives.looked_ms + LOOK_MS;
    if (soon || !enf_relays_look(d))
        return;
    d->relay_lives.looked_ms = steady_ms;
    for (size_t i = 0; i < d->running->config->relays_len + d->hand_relays_len; i++)
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
    char name[192] = "a relay";

    if (entry) {
        struct subject relay = subject_at(d, entry->value);
        if (relay.life->suspected_ms > 0 && now_ms < relay.life->suspected_ms + SUSPECT_MS)
            return;
        relay.life->suspected_ms = now_ms;
        name_of(&relay, name, sizeof name);
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
