/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Evidence as it is kept, and as it is read out. */
#include "enforcer/detect/conviction.h"

#include "enforcer/core/text.h"
#include "enforcer/detect/sequential.h"

#include <stdio.h>

struct conviction *conviction_copy(const struct conviction *from, struct budget *budget)
{
    struct conviction *copy = budget_alloc(budget, conviction_size(from->len));
    if (copy)
        memcpy(copy, from, conviction_size(from->len));
    return copy;
}

void conviction_free(struct conviction **conviction, struct budget *budget)
{
    if (*conviction)
        budget_free(budget, *conviction, conviction_size((*conviction)->len));
    *conviction = NULL;
}

/* As people write it: a limit is per 60s, seldom per 1m. */
static const char *per_text(uint64_t per_ms, char buf[static ENF_TIME_STR_LEN])
{
    if (per_ms % 1000 != 0 || per_ms > 60000)
        return enf_duration_str(per_ms, buf, ENF_TIME_STR_LEN);
    (void)snprintf(buf, ENF_TIME_STR_LEN, "%us", (unsigned)(per_ms / 1000));
    return buf;
}

/* As in the configuration: no exponent, no zeros at the end. */
static void write_sequential(double false_conviction, char out[static ENF_SETTING_LEN])
{
    int len = snprintf(out, ENF_SETTING_LEN, "sequential: false_conviction %.12f", false_conviction);
    while (len > 0 && out[len - 1] == '0')
        out[--len] = '\0';
}

static void write_setting(const struct conviction *conviction, char out[static ENF_SETTING_LEN])
{
    char per[ENF_TIME_STR_LEN];
    char address[ENF_PREFIX_STR_LEN];
    out[0] = '\0';
    switch (conviction->cause) {
    case ENF_CAUSE_TRAP: {
        struct enf_addr trap = address_unpack(conviction->connections[0].destination);
        (void)snprintf(out, ENF_SETTING_LEN, "traps: %s", enf_addr_str(&trap, address, sizeof(address)));
        break;
    }
    case ENF_CAUSE_CONNECTION_RATE:
        (void)snprintf(out, ENF_SETTING_LEN, "connection_rate: %u per %s", conviction->limit,
                       per_text(conviction->per_ms, per));
        break;
    case ENF_CAUSE_DISTINCT_DESTINATIONS:
        (void)snprintf(out, ENF_SETTING_LEN, "distinct_destinations: %u per %s", conviction->limit,
                       per_text(conviction->per_ms, per));
        break;
    case ENF_CAUSE_SEQUENTIAL:
        write_sequential(conviction->false_conviction, out);
        break;
    case ENF_CAUSE_UNREQUESTED_REPLIES:
        (void)snprintf(out, ENF_SETTING_LEN, "unrequested_replies: %u per %s", conviction->limit,
                       per_text(conviction->per_ms, per));
        break;
    case ENF_CAUSE_NONE:
        break;
    }
}

static bool is_known_network(const struct connection *connection)
{
    return connection->weight >= ENF_SEQUENTIAL_AGAIN_2 && connection->weight <= ENF_SEQUENTIAL_AGAIN_6;
}

static enum enf_evidence_kind kind_of_weight(const struct connection *connection)
{
    static const enum enf_evidence_kind kinds[ENF_SEQUENTIAL_KIND_COUNT] = {
        [ENF_SEQUENTIAL_FAILED] = ENF_EVIDENCE_FAILED,
        [ENF_SEQUENTIAL_ANSWERED] = ENF_EVIDENCE_ANSWERED,
        [ENF_SEQUENTIAL_REFUSED] = ENF_EVIDENCE_REFUSED,
        [ENF_SEQUENTIAL_ACCEPTED] = ENF_EVIDENCE_ACCEPTED,
        [ENF_SEQUENTIAL_NOT_RETRIED] = ENF_EVIDENCE_NO_SECOND_TRY,
        [ENF_SEQUENTIAL_RETRIED] = ENF_EVIDENCE_SECOND_TRY,
        [ENF_SEQUENTIAL_SESSION] = ENF_EVIDENCE_SESSION,
        [ENF_SEQUENTIAL_BLOCKLISTED] = ENF_EVIDENCE_BLOCKLISTED,
        [ENF_SEQUENTIAL_EARLY_TALK] = ENF_EVIDENCE_EARLY_TALK,
        [ENF_SEQUENTIAL_HELO_CHANGED] = ENF_EVIDENCE_HELO_CHANGED,
        [ENF_SEQUENTIAL_HELO_NO_NAME] = ENF_EVIDENCE_HELO_NO_NAME,
        [ENF_SEQUENTIAL_MANY_RECIPIENTS] = ENF_EVIDENCE_MANY_RECIPIENTS,
        [ENF_SEQUENTIAL_NO_QUIT] = ENF_EVIDENCE_NO_QUIT,
    };
    if (connection->weight < ENF_SEQUENTIAL_FAILED || connection->weight >= ENF_SEQUENTIAL_KIND_COUNT)
        return is_known_network(connection) ? ENF_EVIDENCE_CONNECTION : ENF_EVIDENCE_DESTINATION;
    return kinds[connection->weight];
}

/* Packets of others, which somebody outside may have written or arranged. */
static bool is_from_outside(enum enf_evidence_kind kind, const struct connection *connection)
{
    switch (kind) {
    case ENF_EVIDENCE_FAILED: /* silence is no packet */
        return connection->print != 0;
    case ENF_EVIDENCE_ANSWERED:
    case ENF_EVIDENCE_ACCEPTED:
    case ENF_EVIDENCE_REFUSED:
    case ENF_EVIDENCE_BLOCKLISTED:
    case ENF_EVIDENCE_REPLY:
        return true;
    default:
        return false;
    }
}

/* Of what the value is a number that people want to know. */
static uint32_t value_of(enum enf_evidence_kind kind, const struct connection *connection)
{
    return kind == ENF_EVIDENCE_MANY_RECIPIENTS || kind == ENF_EVIDENCE_REPLY ? connection->print : 0;
}

static enum enf_evidence_kind kind_of(enum enf_cause cause, const struct connection *connection)
{
    switch (cause) {
    case ENF_CAUSE_TRAP:
        return ENF_EVIDENCE_TRAP;
    case ENF_CAUSE_DISTINCT_DESTINATIONS:
        return ENF_EVIDENCE_DESTINATION;
    case ENF_CAUSE_SEQUENTIAL:
        return kind_of_weight(connection);
    case ENF_CAUSE_UNREQUESTED_REPLIES:
        return ENF_EVIDENCE_REPLY;
    case ENF_CAUSE_CONNECTION_RATE:
    case ENF_CAUSE_NONE:
        break;
    }
    return ENF_EVIDENCE_CONNECTION;
}

/* From the score at the end back to the first one kept: so the sums are right where earlier ones are missing.
 */
static void write_scores(const struct conviction *conviction, struct enf_evidence *evidence)
{
    double score = conviction->score;
    for (size_t i = conviction->len; i-- > 0;) {
        const struct enf_sequential_row *row = enf_sequential_row(conviction->connections[i].weight);
        evidence[i].step = row ? (double)row->step / ENF_SEQUENTIAL_UNIT : 0;
        evidence[i].score = score;
        evidence[i].threshold = conviction->threshold;
        score -= evidence[i].step;
    }
}

void conviction_render(const struct conviction *conviction, const struct enf_prefix *subscriber,
                       struct enf_evidence evidence[static ENF_EVIDENCE_MAX], struct enf_signal *out)
{
    *out = (struct enf_signal){
        .verdict = conviction->verdict,
        .subscriber = *subscriber,
        .time_ms = conviction->time_ms,
        .cause = conviction->cause,
        .ifindex = conviction->ifindex,
        .forgeable = conviction->forgeable,
        .evidence = evidence,
        .evidence_len = conviction->len,
        .evidence_total = conviction->total,
    };
    write_setting(conviction, out->setting);
    for (size_t i = 0; i < conviction->len; i++) {
        const struct connection *connection = &conviction->connections[i];
        enum enf_evidence_kind kind = kind_of(conviction->cause, connection);
        evidence[i] = (struct enf_evidence){
            .time_ms = connection->time_ms,
            .kind = kind,
            .destination = address_unpack(connection->destination),
            .destination_port = connection->destination_port,
            .blocked = (connection->flags & CONNECTION_BLOCKED) != 0,
            .forgeable = (connection->flags & CONNECTION_FORGEABLE) || is_from_outside(kind, connection),
            .value = value_of(kind, connection),
            .step = 1,
            .score = (double)(conviction->total - conviction->len + i + 1),
            .threshold = conviction->limit,
        };
        memcpy(evidence[i].setting, out->setting, ENF_SETTING_LEN);
    }
    if (conviction->cause == ENF_CAUSE_SEQUENTIAL)
        write_scores(conviction, evidence);
}

const char *enf_cause_name(enum enf_cause cause)
{
    switch (cause) {
    case ENF_CAUSE_NONE:
        return "none";
    case ENF_CAUSE_TRAP:
        return "trap";
    case ENF_CAUSE_CONNECTION_RATE:
        return "connection-rate";
    case ENF_CAUSE_DISTINCT_DESTINATIONS:
        return "distinct-destinations";
    case ENF_CAUSE_SEQUENTIAL:
        return "sequential";
    case ENF_CAUSE_UNREQUESTED_REPLIES:
        return "unrequested-replies";
    }
    return NULL;
}
