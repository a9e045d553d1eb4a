/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The results: aligned for people, one object a line for programs. */
#include "enforcer/core/text.h"
#include "replay.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static const char *verdict_of(const struct account *account)
{
    return enf_verdict_name(account->convictions ? account->first.verdict : ENF_VERDICT_CLEAN);
}

/* --- for people --- */

static int widest(const struct replay *replay, const char *title, bool group)
{
    size_t width = strlen(title);
    for (size_t i = 0; i < replay->ledger.len; i++) {
        const struct account *account = &replay->ledger.accounts[i];
        char text[ENF_PREFIX_STR_LEN];
        size_t len = group ? strlen(account->group ? account->group->name : "")
                           : strlen(enf_prefix_str(&account->subscriber, text, sizeof(text)));
        if (len > width)
            width = len;
    }
    return (int)width;
}

static const char *unit_of(enum enf_cause cause, uint64_t count)
{
    switch (cause) {
    case ENF_CAUSE_DISTINCT_DESTINATIONS:
        return count == 1 ? "destination" : "destinations";
    case ENF_CAUSE_TRAP:
        return "connection to a trap";
    case ENF_CAUSE_SEQUENTIAL:
        return count == 1 ? "observation" : "observations";
    case ENF_CAUSE_UNREQUESTED_REPLIES:
        return count == 1 ? "reply" : "replies";
    case ENF_CAUSE_CONNECTION_RATE:
    case ENF_CAUSE_NONE:
        break;
    }
    return count == 1 ? "connection" : "connections";
}

static void print_account(const struct account *account, int subscriber_width, int group_width, FILE *to)
{
    char subscriber[ENF_PREFIX_STR_LEN];
    char first_seen[ENF_TIME_STR_LEN];
    char detected[ENF_TIME_STR_LEN];
    enf_prefix_str(&account->subscriber, subscriber, sizeof(subscriber));
    enf_time_str(account->first_seen_ms, first_seen, sizeof(first_seen));
    (void)fprintf(to, "%-*s  ", subscriber_width, subscriber);
    if (group_width > 0)
        (void)fprintf(to, "%-*s  ", group_width, account->group ? account->group->name : "");
    (void)fprintf(to, "%-7s  %11" PRIu64 "  %12u  %s", verdict_of(account), account->connections,
                  account->destinations_len, first_seen);
    if (account->convictions)
        (void)fprintf(to, "  %s  %" PRIu64 " %s (%s)",
                      enf_time_str(account->first.time_ms, detected, sizeof(detected)),
                      account->first.evidence_total,
                      unit_of(account->first.cause, account->first.evidence_total), account->first.setting);
    (void)fputc('\n', to);
}

static void print_title(const struct replay *replay, int subscriber_width, int group_width, FILE *to)
{
    (void)fprintf(to, "%-*s  ", subscriber_width, "SUBSCRIBER");
    if (group_width > 0)
        (void)fprintf(to, "%-*s  ", group_width, "GROUP");
    (void)fprintf(to, "%-7s  %11s  %12s  FIRST SEEN", "VERDICT", "CONNECTIONS", "DESTINATIONS");
    (void)fputs(replay->ledger.zombies > 0 ? "                DETECTED                  WHY\n" : "\n", to);
}

static void print_count(uint64_t count, const char *singular, const char *plural, const char *after, FILE *to)
{
    (void)fprintf(to, "%" PRIu64 " %s%s", count, count == 1 ? singular : plural, after);
}

void print_table(const struct replay *replay, FILE *to)
{
    const struct ledger *ledger = &replay->ledger;
    int subscriber_width = widest(replay, "SUBSCRIBER", false);
    int group_width = replay->scope->config ? widest(replay, "GROUP", true) : 0;
    if (ledger->len > 0)
        print_title(replay, subscriber_width, group_width, to);
    for (size_t i = 0; i < ledger->len; i++)
        print_account(&ledger->accounts[i], subscriber_width, group_width, to);
    if (ledger->len > 0)
        (void)fputc('\n', to);
    if (replay->read_captures || !replay->read_flows)
        print_count(replay->packets, "packet", "packets", ", ", to);
    if (replay->read_flows)
        print_count(replay->records, "record", "records", ", ", to);
    print_count(replay->port25_packets, "of port 25", "of port 25", ", ", to);
    if (replay->read_captures || !replay->read_flows)
        print_count(replay->port25_syns, "SYN to it", "SYNs to it", ", ", to);
    else
        print_count(replay->port25_syns, "connection to it", "connections to it", ", ", to);
    print_count(replay->undecodable, "undecodable", "undecodable", "; ", to);
    print_count(ledger->len, "subscriber", "subscribers", ", ", to);
    print_count(ledger->zombies, "zombie", "zombies", "\n", to);
    if (ledger->unlisted > 0)
        (void)fprintf(to, "not listed: %" PRIu64 " connections of subscribers beyond the first %zu\n",
                      ledger->unlisted, ledger->max);
}

/* --- for programs --- */

static json_t *time_json(uint64_t time_ms)
{
    char text[ENF_TIME_STR_LEN];
    return json_string(enf_time_str(time_ms, text, sizeof(text)));
}

/* 21, not 21.0, where it is a count. */
static json_t *number_json(double value)
{
    json_int_t whole = (json_int_t)value;
    return (double)whole == value ? json_integer(whole) : json_real(value);
}

static json_t *evidence_json(const struct enf_signal *signal)
{
    json_t *list = json_array();
    for (size_t i = 0; i < signal->evidence_len; i++) {
        const struct enf_evidence *evidence = &signal->evidence[i];
        char destination[ENF_PREFIX_STR_LEN];
        json_t *item =
            json_pack("{s:o, s:s, s:s, s:i, s:b, s:b, s:o, s:o, s:o, s:s}", "time",
                      time_json(evidence->time_ms), "kind", enf_evidence_kind_name(evidence->kind),
                      "destination", enf_addr_str(&evidence->destination, destination, sizeof(destination)),
                      "port", (int)evidence->destination_port, "blocked", (int)evidence->blocked, "forgeable",
                      (int)evidence->forgeable, "step", number_json(evidence->step), "score",
                      number_json(evidence->score), "threshold", number_json(evidence->threshold), "setting",
                      evidence->setting);
        if (item && evidence->value)
            json_object_set_new(item, "value", json_integer(evidence->value));
        json_array_append_new(list, item);
    }
    return list;
}

static void write_json(json_t *object, FILE *to)
{
    if (object && json_dumpf(object, to, JSON_COMPACT) == 0)
        (void)fputc('\n', to);
    json_decref(object);
}

static json_t *account_json(const struct account *account)
{
    char subscriber[ENF_PREFIX_STR_LEN];
    bool convicted = account->convictions > 0;
    json_t *object =
        json_pack("{s:s, s:o, s:s, s:o, s:o, s:I, s:I, s:o}", "subscriber",
                  enf_prefix_str(&account->subscriber, subscriber, sizeof(subscriber)), "group",
                  account->group ? json_string(account->group->name) : json_null(), "verdict",
                  verdict_of(account), "first_seen", time_json(account->first_seen_ms), "detected_at",
                  convicted ? time_json(account->first.time_ms) : json_null(), "connections",
                  (json_int_t)account->connections, "destinations", (json_int_t)account->destinations_len,
                  "evidence", convicted ? evidence_json(&account->first) : json_array());
    if (object && account->connections > account->outcomes[FLOW_OUTCOME_UNKNOWN]) {
        json_object_set_new(object, "answered",
                            json_integer((json_int_t)account->outcomes[FLOW_OUTCOME_ANSWERED]));
        json_object_set_new(object, "refused",
                            json_integer((json_int_t)account->outcomes[FLOW_OUTCOME_REFUSED]));
        json_object_set_new(object, "unanswered",
                            json_integer((json_int_t)account->outcomes[FLOW_OUTCOME_UNANSWERED]));
    }
    if (object && convicted) {
        json_object_set_new(object, "evidence_total",
                            json_integer((json_int_t)account->first.evidence_total));
        json_object_set_new(object, "cause", json_string(enf_cause_name(account->first.cause)));
        json_object_set_new(object, "setting", json_string(account->first.setting));
        json_object_set_new(object, "forgeable", json_boolean(account->first.forgeable));
        json_object_set_new(object, "convictions", json_integer((json_int_t)account->convictions));
    }
    return object;
}

void print_json(const struct replay *replay, FILE *to)
{
    const struct ledger *ledger = &replay->ledger;
    for (size_t i = 0; i < ledger->len; i++)
        write_json(account_json(&ledger->accounts[i]), to);
    json_t *summary = json_object();
    if (replay->read_captures || !replay->read_flows)
        json_object_set_new(summary, "packets", json_integer((json_int_t)replay->packets));
    if (replay->read_flows)
        json_object_set_new(summary, "records", json_integer((json_int_t)replay->records));
    json_t *counts = json_pack(
        "{s:I, s:I, s:I, s:I, s:I}", "port25_packets", (json_int_t)replay->port25_packets, "port25_syns",
        (json_int_t)replay->port25_syns, "undecodable", (json_int_t)replay->undecodable, "subscribers",
        (json_int_t)ledger->len, "zombies", (json_int_t)ledger->zombies);
    json_object_update(summary, counts);
    json_decref(counts);
    if (ledger->unlisted > 0)
        json_object_set_new(summary, "unlisted", json_integer((json_int_t)ledger->unlisted));
    write_json(json_pack("{s:o}", "summary", summary), to);
}
