/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks through tracked connections after somebody came into quarantine, cuts, watches, tells. A look asks of
 * each connection whether its subscriber is in quarantine now, so any number of them are done by one. */
#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/inspect/packet.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DNS 53

static void arm(struct enf_daemon *d);

/* Whether the rules refuse it anything, at that level or above. */
static bool is_held(struct enf_daemon *d, const struct enf_addr *host, enum enf_level level,
                    struct enf_quarantine *out)
{
    const struct enf_group *group = enf_group_find(&d->running->groups, host);
    struct enf_prefix prefix = enf_prefix_host(host);

    return d->mode != ENF_MODE_OBSERVE && enf_group_policy(group, host) != ENF_POLICY_OBSERVE &&
           enf_quarantine_find(d->quarantine, &prefix, out) && out->level >= level &&
           (out->forced || !enf_rangemap_find(&d->relays, host));
}

static bool is_among(const struct enf_prefix *prefixes, size_t len, const struct enf_addr *addr)
{
    for (size_t i = 0; i < len; i++) {
        if (enf_prefix_contains(&prefixes[i], addr))
            return true;
    }
    return false;
}

/* Level full, a connection of any port but 25, whoever opened it: whether the rules drop it. */
static bool is_confined(struct enf_daemon *d, const struct enf_addr *subscriber, const struct enf_addr *peer,
                        uint16_t peer_port, struct enf_quarantine *out)
{
    const struct enf_prefix_list *portal = &d->running->config->quarantine.portal;
    const struct enf_prefix_list *lifeline = &d->running->config->quarantine.lifeline;
    const struct enf_prefix_list *resolvers = &d->running->config->quarantine.resolvers;

    return is_held(d, subscriber, ENF_LEVEL_FULL, out) && !is_among(portal->items, portal->len, peer) &&
           !is_among(lifeline->items, lifeline->len, peer) &&
           !(peer_port == DNS && (resolvers->len == 0 || is_among(resolvers->items, resolvers->len, peer)));
}

/* Whether the rules drop what this client sends to port 25 of that server because of a quarantine. */
static bool is_refused(struct enf_daemon *d, const struct enf_addr *client, const struct enf_addr *server,
                       struct enf_quarantine *out)
{
    const struct enf_config *config = d->running->config;

    if (!is_held(d, client, ENF_LEVEL_SMTP, out))
        return false; /* at level throttle what is open goes on */
    for (size_t i = 0; i < config->smarthosts_len; i++) {
        const struct enf_smarthost *smarthost = &config->smarthosts[i];
        if (smarthost->quarantined_may_use &&
            is_among(smarthost->addresses, smarthost->addresses_len, server))
            return false;
    }
    return true;
}

static bool is_cut_off(struct enf_daemon *d, const struct enf_conntrack_entry *entry,
                       struct enf_quarantine *out)
{
    if (entry->smtp)
        return is_refused(d, &entry->client, &entry->server, out);
    return is_confined(d, &entry->client, &entry->server, entry->server_port, out) ||
           is_confined(d, &entry->server, &entry->client, entry->client_port, out);
}

static struct enf_cut_line *find_line(struct enf_cut *cut, const struct enf_prefix *subscriber)
{
    for (size_t i = 0; i < cut->len; i++) {
        if (enf_prefix_equal(&cut->lines[i].subscriber, subscriber))
            return &cut->lines[i];
    }
    return NULL;
}

static const struct enf_prefix others;

static struct enf_cut_line *line_of(struct enf_cut *cut, const struct enf_quarantine *entry)
{
    struct enf_cut_line *line = find_line(cut, &entry->subscriber);
    bool room = cut->len < ENF_CUT_LINES;

    if (!line && !room)
        line = find_line(cut, &others);
    if (line && line->subscriber.addr.family != ENF_FAMILY_NONE && line->level < entry->level)
        line->level = entry->level;
    if (line)
        return line;
    line = &cut->lines[cut->len++];
    *line = (struct enf_cut_line){0};
    if (room) {
        line->subscriber = entry->subscriber;
        line->level = entry->level;
    }
    return line;
}

static bool on_wanted(void *ctx, const struct enf_conntrack_entry *entry)
{
    struct enf_quarantine quarantine;

    return is_cut_off(ctx, entry, &quarantine);
}

static void on_done(void *ctx, const struct enf_conntrack_entry *entry, enum enf_conntrack_fate fate,
                    int error)
{
    struct enf_daemon *d = ctx;
    struct enf_quarantine quarantine;

    if (!is_cut_off(d, entry, &quarantine))
        return;
    struct enf_cut_line *line = line_of(&d->cut, &quarantine);
    line->fresh = true;
    if (fate == ENF_CONNTRACK_KEPT) {
        line->kept++;
        line->error = error;
    } else {
        line->deleted++;
        line->offloaded += entry->offloaded;
    }
}

static void on_packet(void *ctx, const uint8_t *ip, size_t len)
{
    struct enf_daemon *d = ctx;
    struct enf_packet packet;
    struct enf_quarantine quarantine;

    enf_packet_parse(ip, len, &packet);
    if (!packet.has_ports || packet.destination_port != ENF_SMTP_PORT ||
        !is_refused(d, &packet.source, &packet.destination, &quarantine))
        return;
    struct enf_cut_line *line = find_line(&d->cut, &quarantine.subscriber);
    if (!line)
        line = find_line(&d->cut, &others);
    if (line && !line->fresh)
        line->passed++;
}

/* What left since the last time, to the lines that are watched. */
static void drain(struct enf_daemon *d)
{
    uint64_t unseen = 0;

    if (!d->cut.watching)
        return;
    int count = enf_witness_read(d->cut.witness, on_packet, d, &unseen);
    d->cut.blind |= count < 0 || unseen > 0;
}

static void watch(struct enf_daemon *d, bool on)
{
    struct enf_cut *cut = &d->cut;

    if (cut->watching == on)
        return;
    cut->watching = cut->witness && enf_witness_watch(cut->witness, on) == 0 && on;
    cut->blind = on && !cut->watching;
}

static void tell(struct enf_daemon *d, const struct enf_cut_line *line)
{
    struct enf_event event = {
        .action = ENF_EVENT_CONNECTIONS_CUT,
        .subscriber = line->subscriber,
        .level = line->level,
        .count = line->deleted,
        .interval_ms = ENF_CUT_WATCH_MS,
    };
    const char *port = line->level == ENF_LEVEL_FULL ? "" : " to port 25";
    char after[160];

    if (line->rounds >= ENF_CUT_ROUNDS)
        snprintf(after, sizeof after, "new ones came up all the time");
    else if (d->cut.blind)
        snprintf(after, sizeof after, "whether anything passed after that could not be seen");
    else
        snprintf(after, sizeof after, "in the second after that %" PRIu64 " packets of it%s passed",
                 line->passed, line->level == ENF_LEVEL_FULL ? " to port 25" : "");
    if (line->kept > 0 || line->rounds >= ENF_CUT_ROUNDS || line->passed > 0)
        event.outcome = ENF_OUTCOME_FAILURE;
    else
        event.outcome = d->cut.blind ? ENF_OUTCOME_UNKNOWN : ENF_OUTCOME_SUCCESS;
    if (line->kept > 0)
        snprintf(event.reason, sizeof event.reason,
                 "%" PRIu64 " connections%s that the kernel tracks could not be deleted (%s), %" PRIu64
                 " were; %s",
                 line->kept, port, strerror(-line->error), line->deleted, after);
    else
        snprintf(event.reason, sizeof event.reason,
                 "%" PRIu64 " connections%s that the kernel tracked were deleted, %" PRIu64
                 " of them offloaded to a flowtable; %s",
                 line->deleted, port, line->offloaded, after);
    enf_tell(d, &event);
}

/* Lines that the look found something for are watched from now on; those whose watch is over are told. */
static void settle(struct enf_daemon *d, uint64_t now_ms)
{
    struct enf_cut *cut = &d->cut;
    size_t left = 0;

    for (size_t i = 0; i < cut->len; i++) {
        struct enf_cut_line *line = &cut->lines[i];
        if (line->fresh) {
            line->fresh = false;
            line->rounds++;
            line->passed = 0;
            line->told_ms = now_ms + ENF_CUT_WATCH_MS;
        }
        if (line->told_ms <= now_ms || line->rounds >= ENF_CUT_ROUNDS)
            tell(d, line);
        else
            cut->lines[left++] = *line;
    }
    cut->len = left;
}

static int look(struct enf_daemon *d)
{
    struct enf_cut *cut = &d->cut;
    struct enf_conntrack_ops ops = {on_wanted, on_done, d, cut->wanted_full};

    drain(d);
    cut->wanted_full = false;
    for (size_t i = 0; i < cut->len; i++) {
        cut->lines[i].kept = 0;
        ops.all |= cut->lines[i].level == ENF_LEVEL_FULL;
    }
    int err = cut->conntrack ? 0 : enf_conntrack_open(&cut->conntrack);
    if (err == 0)
        err = enf_conntrack_cut(cut->conntrack, &ops);
    if (cut->len > 0)
        watch(d, true);
    drain(d); /* what passed before the cut does not count */
    return err;
}

static void on_timer(uv_timer_t *timer)
{
    struct enf_daemon *d = timer->data;
    struct enf_cut *cut = &d->cut;
    uint64_t began_ms = enf_clock_steady_ms();

    cut->wanted = false;
    if (enf_conntrack_count() > 0 || cut->len > 0) {
        int err = look(d);
        uint64_t now_ms = enf_clock_steady_ms();
        settle(d, now_ms);
        if (cut->len == 0)
            watch(d, false);
        cut->rest_until_ms = now_ms + 10 * (now_ms - began_ms);
        if (err < 0 && !cut->failed_told)
            enf_log_line("conntrack", "connections of the quarantined could not be cut: %s", strerror(-err));
        cut->failed_told = err < 0;
    }
    arm(d);
}

/* At once where something is wanted, at the end of the first watch otherwise; not before the rest is over. */
static void arm(struct enf_daemon *d)
{
    struct enf_cut *cut = &d->cut;
    uint64_t now_ms = enf_clock_steady_ms(), at_ms = cut->wanted ? now_ms : UINT64_MAX;

    if (!cut->ready)
        return;
    for (size_t i = 0; i < cut->len; i++) {
        if (cut->lines[i].told_ms < at_ms)
            at_ms = cut->lines[i].told_ms;
    }
    if (at_ms == UINT64_MAX)
        return;
    if (at_ms < cut->rest_until_ms)
        at_ms = cut->rest_until_ms;
    uv_timer_start(&cut->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

void enf_cut_want(struct enf_daemon *d, bool full)
{
    if (!d->cut.ready)
        return;
    d->cut.wanted_full |= full;
    if (d->cut.wanted)
        return;
    d->cut.wanted = true;
    arm(d);
}

void enf_cut_want_anew(struct enf_daemon *d)
{
    enf_cut_want(d, enf_garden_wanted(d) > ENF_GARDEN_CLOSED);
}

void enf_cut_open(struct enf_daemon *d)
{
    struct enf_cut *cut = &d->cut;

    uv_timer_init(&d->loop, &cut->timer);
    cut->timer.data = d;
    cut->ready = true;
    /* Without the right to it an event says that nothing could be seen. */
    if (enf_witness_open(&cut->witness) < 0)
        cut->witness = NULL;
}

void enf_cut_close(struct enf_daemon *d)
{
    if (!d->cut.ready)
        return;
    d->cut.ready = false;
    uv_close((uv_handle_t *)&d->cut.timer, NULL);
}

void enf_cut_free(struct enf_daemon *d)
{
    enf_conntrack_close(&d->cut.conntrack);
    enf_witness_close(&d->cut.witness);
}
