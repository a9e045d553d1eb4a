/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What passed while the rules were not what they should be: counted from when the change was heard of to when
 * it is put right, by what left this machine to port 25 and should not have. */
#include "enforcer/daemon/daemon.h"
#include "enforcer/inspect/packet.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void enf_gap_open(struct enf_daemon *d)
{
    int err = enf_witness_open(&d->truth.gap.witness);

    if (err < 0)
        enf_log_line("ruleset", "what passes while somebody has changed the table cannot be counted: %s",
                     strerror(-err));
}

void enf_gap_begin(struct enf_daemon *d)
{
    struct enf_gap *gap = &d->truth.gap;

    if (gap->watching || !gap->witness)
        return;
    gap->counts = (struct enf_gap_counts){0};
    gap->watching = enf_witness_watch(gap->witness, true) == 0;
}

/* On an interface on top of another the same packet leaves twice. */
static bool seen_before(struct enf_gap *gap, const struct enf_packet *packet)
{
    struct enf_gap_seen now = {packet->source, packet->source_port, packet->sequence, packet->tcp_flags};

    for (size_t i = 0; i < ENF_GAP_SEEN; i++) {
        const struct enf_gap_seen *old = &gap->seen[i];
        if (old->sequence == now.sequence && old->source_port == now.source_port &&
            old->tcp_flags == now.tcp_flags && enf_addr_equal(&old->source, &now.source))
            return true;
    }
    gap->seen[gap->seen_at++ % ENF_GAP_SEEN] = now;
    return false;
}

static void on_packet(void *ctx, const uint8_t *ip, size_t len)
{
    struct enf_daemon *d = ctx;
    struct enf_gap *gap = &d->truth.gap;
    struct enf_packet packet;

    enf_packet_parse(ip, len, &packet);
    if (!packet.has_ports || packet.destination_port != ENF_SMTP_PORT || seen_before(gap, &packet) ||
        enf_rangemap_find(&d->relays, &packet.source))
        return;
    const struct enf_group *group = enf_group_find(&d->running->groups, &packet.source);
    struct enf_prefix host = enf_prefix_make(&packet.source, (uint8_t)(enf_addr_len(&packet.source) * 8));
    if (enf_group_policy(group, &packet.source) == ENF_POLICY_OBSERVE)
        return;
    if (enf_quarantine_find(d->quarantine, &host, NULL))
        gap->counts.quarantined++;
    else if (group && group->policy == ENF_POLICY_BLOCK &&
             !enf_rangemap_find(&d->running->smarthosts, &packet.destination))
        gap->counts.blocked++;
}

struct enf_gap_counts enf_gap_end(struct enf_daemon *d)
{
    struct enf_gap *gap = &d->truth.gap;
    struct enf_gap_counts counts = {.known = false};

    if (!gap->watching)
        return counts;
    enf_witness_watch(gap->witness, false);
    gap->watching = false;
    int err = enf_witness_read(gap->witness, on_packet, d, &gap->counts.unseen);
    memset(gap->seen, 0, sizeof gap->seen);
    gap->counts.known = err >= 0;
    return gap->counts;
}

const char *enf_gap_words(const struct enf_daemon *d, const struct enf_gap_counts *counts, char *out,
                          size_t len)
{
    if (d->mode == ENF_MODE_OBSERVE)
        snprintf(out, len, "in mode observe nothing is refused");
    else if (!counts->known)
        snprintf(out, len, "what passed is not known");
    else if (counts->unseen > 0)
        snprintf(out, len,
                 "meanwhile at least %" PRIu64 " packets of quarantined and %" PRIu64
                 " of blocked subscribers passed to port 25 (%" PRIu64 " packets could not be looked at)",
                 counts->quarantined, counts->blocked, counts->unseen);
    else
        snprintf(out, len,
                 "meanwhile %" PRIu64 " packets of quarantined and %" PRIu64
                 " of blocked subscribers passed to port 25",
                 counts->quarantined, counts->blocked);
    return out;
}
