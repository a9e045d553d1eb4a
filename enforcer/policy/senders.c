/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of hosts in buckets of eight, and the rules of who looks like a mail server. */
#include "enforcer/policy/senders.h"

#include "enforcer/core/text.h"
#include "enforcer/inspect/smtp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define WAYS    8
#define BUCKETS (ENF_SENDERS_MAX / WAYS)
_Static_assert(BUCKETS *WAYS == ENF_SENDERS_MAX && (BUCKETS & (BUCKETS - 1)) == 0, "a power of two");

/* What makes a mail server. A bot that is read for days could have as many: that is why it is people who list
 * relays. */
#define POSSIBLE_ANSWERED     3
#define POSSIBLE_DESTINATIONS 2
#define LIKELY_ANSWERED       8
#define LIKELY_DESTINATIONS   4

struct enf_senders {
    uint64_t seed;
    struct enf_sender hosts[ENF_SENDERS_MAX]; /* family NONE: free */
};

_Static_assert(ENF_SENDER_KIND_COUNT == 3, "a new kind needs a name");
static const char *const kind_names[ENF_SENDER_KIND_COUNT] = {
    [ENF_SENDER_OTHER] = "other",
    [ENF_SENDER_POSSIBLE] = "possible",
    [ENF_SENDER_LIKELY] = "likely",
};

const char *enf_sender_kind_name(enum enf_sender_kind kind)
{
    return (unsigned)kind < ENF_SENDER_KIND_COUNT ? kind_names[kind] : NULL;
}

int enf_senders_new(uint64_t seed, struct enf_senders **out)
{
    struct enf_senders *senders = calloc(1, sizeof *senders);

    if (!senders)
        return -ENOMEM;
    senders->seed = seed;
    *out = senders;
    return 0;
}

void enf_senders_free(struct enf_senders **senders)
{
    free(*senders);
    *senders = NULL;
}

static uint64_t hash_of(const struct enf_senders *senders, const struct enf_addr *addr)
{
    return XXH3_64bits_withSeed(addr->bytes, sizeof addr->bytes, senders->seed ^ addr->family);
}

static bool less_worth(const struct enf_sender *a, const struct enf_sender *b)
{
    return a->answered != b->answered ? a->answered < b->answered : a->last_ms < b->last_ms;
}

/* The host's place; with make set one is made where there is none. */
static struct enf_sender *find(struct enf_senders *senders, const struct enf_addr *addr, bool make)
{
    struct enf_sender *bucket = &senders->hosts[(hash_of(senders, addr) & (BUCKETS - 1)) * WAYS];
    struct enf_sender *least = bucket;

    for (size_t i = 0; i < WAYS; i++) {
        if (enf_addr_equal(&bucket[i].address, addr))
            return &bucket[i];
    }
    if (!make)
        return NULL;
    for (size_t i = 0; i < WAYS && least->address.family != ENF_FAMILY_NONE; i++) {
        if (bucket[i].address.family == ENF_FAMILY_NONE || less_worth(&bucket[i], least))
            least = &bucket[i];
    }
    *least = (struct enf_sender){.address = *addr};
    return least;
}

static void count(uint32_t *number)
{
    *number += *number < UINT32_MAX;
}

static void on_helo(struct enf_sender *host, const struct enf_observation *obs)
{
    uint32_t name = (uint32_t)(obs->value ^ obs->value >> 32) | 1;

    host->helo_changed |= host->helo != 0 && host->helo != name;
    if (host->helo == 0)
        host->helo = name;
    host->helo_good = obs->helo_form == ENF_HELO_FQDN || obs->helo_form == ENF_HELO_LITERAL;
}

static void account(struct enf_sender *host, const struct enf_observation *obs, uint64_t destination)
{
    switch (obs->kind) {
    case ENF_OBSERVATION_ANSWERED:
        count(&host->answered);
        host->destinations |= UINT64_C(1) << (destination >> 58);
        break;
    case ENF_OBSERVATION_FAILED:
        count(&host->failed);
        break;
    case ENF_OBSERVATION_EARLY_TALK:
        count(&host->early);
        break;
    case ENF_OBSERVATION_HELO:
        on_helo(host, obs);
        break;
    case ENF_OBSERVATION_ACCEPTED:
        count(&host->accepted);
        break;
    case ENF_OBSERVATION_REFUSED:
        count(&host->refused);
        break;
    case ENF_OBSERVATION_BLOCKLISTED:
        count(&host->blocklisted);
        break;
    case ENF_OBSERVATION_END:
        count(&host->ended);
        if (obs->value == 1)
            count(&host->quits);
        break;
    case ENF_OBSERVATION_SYN:
    case ENF_OBSERVATION_DEFERRED:
    case ENF_OBSERVATION_RECIPIENTS:
    case ENF_OBSERVATION_NOT_SMTP:
    case ENF_OBSERVATION_REPLY:
        break;
    }
}

void enf_senders_feed(struct enf_senders *senders, const struct enf_observation *obs, const char *interface)
{
    bool answered = obs->kind == ENF_OBSERVATION_ANSWERED;

    if (obs->kind == ENF_OBSERVATION_SYN || obs->kind == ENF_OBSERVATION_REPLY ||
        obs->source.family == ENF_FAMILY_NONE)
        return;
    struct enf_sender *host = find(senders, &obs->source, answered);
    if (!host)
        return;
    if (host->first_ms == 0)
        host->first_ms = obs->time_ms;
    if (obs->time_ms > host->last_ms)
        host->last_ms = obs->time_ms;
    if (answered)
        enf_text_copy(host->interface, sizeof host->interface, interface);
    account(host, obs, hash_of(senders, &obs->destination));
}

void enf_senders_forget(struct enf_senders *senders, const struct enf_prefix *prefix)
{
    for (size_t i = 0; i < ENF_SENDERS_MAX; i++) {
        if (senders->hosts[i].address.family != ENF_FAMILY_NONE &&
            enf_prefix_contains(prefix, &senders->hosts[i].address))
            senders->hosts[i] = (struct enf_sender){.answered = 0};
    }
}

int enf_senders_each(const struct enf_senders *senders, int (*fn)(void *ctx, const struct enf_sender *sender),
                     void *ctx)
{
    int answer = 0;

    for (size_t i = 0; answer == 0 && i < ENF_SENDERS_MAX; i++) {
        if (senders->hosts[i].address.family != ENF_FAMILY_NONE)
            answer = fn(ctx, &senders->hosts[i]);
    }
    return answer;
}

unsigned enf_sender_destinations(const struct enf_sender *sender)
{
    /* Linear counting (Whang et al., 1990): 64 ln(64 / free), rounded. */
    static const uint16_t estimates[64] = {
        0,  1,  2,  3,  4,  5,  6,  7,   9,   10,  11,  12,  13,  15,  16,  17,  18,  20,  21,  23, 24, 25,
        27, 28, 30, 32, 33, 35, 37, 39,  40,  42,  44,  46,  48,  51,  53,  55,  58,  60,  63,  65, 68, 71,
        74, 78, 81, 85, 89, 93, 97, 102, 107, 113, 119, 126, 133, 142, 151, 163, 177, 196, 222, 266};
    unsigned bits = (unsigned)__builtin_popcountll(sender->destinations);

    return bits < 64 ? estimates[bits] : estimates[63];
}

/* Ends as it should, and is neither refused nor talks out of turn more than now and then. */
static bool is_polite(const struct enf_sender *s)
{
    return s->ended > 0 && (uint64_t)s->quits * 5 >= (uint64_t)s->ended * 4 &&
           (uint64_t)s->refused * 4 <= s->accepted + (uint64_t)s->refused &&
           s->blocklisted * 20 <= s->ended && s->early == 0 && (s->helo == 0 || s->helo_good);
}

enum enf_sender_kind enf_sender_judge(const struct enf_sender *sender, bool serves)
{
    unsigned destinations = enf_sender_destinations(sender);

    if (serves && sender->answered > 0 && sender->early == 0)
        return ENF_SENDER_LIKELY;
    if (!is_polite(sender) || sender->answered < POSSIBLE_ANSWERED || destinations < POSSIBLE_DESTINATIONS)
        return ENF_SENDER_OTHER;
    bool likely = sender->answered >= LIKELY_ANSWERED && destinations >= LIKELY_DESTINATIONS &&
                  sender->failed <= sender->answered / 2 && !sender->helo_changed;
    return likely ? ENF_SENDER_LIKELY : ENF_SENDER_POSSIBLE;
}
