/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each kind of observation, and what it says about a host. */
#include "enforcer/detect/conduct.h"

#include "enforcer/inspect/smtp.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* What of a network was counted already: part of the hash. Servers of one provider fail and refuse together,
 * and a scanner of its own networks sweeps them all. */
enum first {
    FIRST_CONTACT = 1,
    FIRST_MAIL,
    FIRST_DELAY,
};

static const struct prints_rule networks_rule = {
    .young_ms = (uint32_t)ENF_SEQUENTIAL_PERIOD_MS,
    .max = 2 * ENF_KNOWN_NETWORKS_MAX, /* a contact and a mail each */
    .refresh = true,
    .full_is_seen = true,
};

void conduct_free(struct conduct **conduct, struct budget *budget)
{
    struct conduct *c = *conduct;
    if (!c)
        return;
    prints_clear(&c->known, budget);
    trail_clear(&c->facts, budget);
    trail_clear(&c->deferred, budget);
    trail_clear(&c->replies, budget);
    budget_free(budget, c, sizeof(*c));
    *conduct = NULL;
}

static struct conduct *conduct_of(struct subscriber *subscriber, struct budget *budget)
{
    if (!activity_hold(subscriber, budget))
        return NULL;
    struct conduct **conduct = activity_conduct(subscriber);
    if (!*conduct)
        *conduct = budget_alloc(budget, sizeof(struct conduct));
    return *conduct;
}

/* --- counting a step --- */

/* What nobody but the host itself can make: it sent it, or failed to send it. All else an outsider whom the
 * host writes to, or answers, can arrange. */
static bool is_own(enum enf_sequential_kind kind)
{
    switch (kind) {
    case ENF_SEQUENTIAL_NOT_RETRIED:
    case ENF_SEQUENTIAL_EARLY_TALK:
    case ENF_SEQUENTIAL_HELO_CHANGED:
    case ENF_SEQUENTIAL_HELO_NO_NAME:
    case ENF_SEQUENTIAL_MANY_RECIPIENTS:
    case ENF_SEQUENTIAL_NO_QUIT:
        return true;
    default:
        return false;
    }
}

struct step {
    struct subscriber *subscriber;
    struct conduct *conduct;
    const struct conduct_context *context;
    struct conviction *head;
};

static void count(const struct step *s, enum enf_sequential_kind kind, const struct connection *what)
{
    struct enf_sequential *state = &s->subscriber->sequential;
    struct enf_sequential_step last;
    bool doubtful = (what->flags & CONNECTION_FORGEABLE) != 0;
    bool forgeable = doubtful || (state->seen & ENF_SEQUENTIAL_FORGEABLE);
    enum enf_sequential_result result =
        enf_sequential_step(state, s->context->rules, kind, s->context->now_ms, &last);
    if (last.kind == ENF_SEQUENTIAL_NONE)
        return;
    if (last.observations == 1)
        forgeable = doubtful;
    if (last.step > 0 && is_own(kind)) {
        s->conduct->own = true;
        s->conduct->own_at = (uint32_t)s->context->now_ms;
    }
    if (result == ENF_SEQUENTIAL_CONTINUE && last.step > 0 && doubtful)
        state->seen |= ENF_SEQUENTIAL_FORGEABLE;
    struct connection fact = *what;
    fact.time_ms = s->context->now_ms;
    fact.weight = (uint8_t)kind;
    (void)trail_push(&s->conduct->facts, s->context->budget, &fact, ENF_RECENT_MAX);
    if (result != ENF_SEQUENTIAL_CONVICT || s->head->cause != ENF_CAUSE_NONE)
        return;
    s->head->cause = ENF_CAUSE_SEQUENTIAL;
    bool own =
        s->conduct->own && (uint32_t)s->context->now_ms - s->conduct->own_at < ENF_SEQUENTIAL_PERIOD_MS;
    s->head->verdict = own ? ENF_VERDICT_ZOMBIE : ENF_VERDICT_SUSPECT;
    s->head->total = last.observations;
    s->head->forgeable = forgeable;
    s->head->score = last.score;
    s->head->threshold = last.threshold;
    s->head->false_conviction = s->context->settings->false_conviction;
}

void conduct_gather(struct conviction *out, const struct subscriber *subscriber)
{
    const struct trail *facts = &(*activity_conduct(subscriber))->facts;
    out->len = facts->len < out->total ? facts->len : (uint16_t)out->total;
    trail_copy(facts, out->len, out->connections);
}

/* --- first contacts, first mails --- */

static uint32_t mark_of(const struct step *s, enum first first, const struct enf_addr *server)
{
    uint16_t key[2] = {enf_sequential_network(server), first};
    uint32_t mark = (uint32_t)XXH3_64bits_withSeed(key, sizeof(key), s->context->seed);
    return mark ? mark : 1;
}

static bool is_first(const struct step *s, enum first first, const struct enf_addr *server)
{
    return !prints_seen(&s->conduct->known, s->context->budget, mark_of(s, first, server),
                        (uint32_t)s->context->now_ms, &networks_rule);
}

/* A line that is down fails everywhere: of failures in a row, without any answer, only a few count. */
static void count_contact(const struct step *s, const struct enf_observation *obs,
                          const struct connection *what)
{
    bool failed = obs->kind == ENF_OBSERVATION_FAILED;
    bool first = is_first(s, FIRST_CONTACT, &obs->destination);
    if (!failed)
        s->conduct->failures = 0;
    if (!first || (failed && s->conduct->failures >= ENF_SEQUENTIAL_FAILURES))
        return;
    s->conduct->failures = (uint8_t)(s->conduct->failures + failed);
    count(s, failed ? ENF_SEQUENTIAL_FAILED : ENF_SEQUENTIAL_ANSWERED, what);
}

static uint32_t connection_mark(const struct step *s, const struct enf_observation *obs)
{
    struct {
        struct enf_addr source, destination;
        uint16_t ports[2];
    } key = {obs->source, obs->destination, {obs->source_port, obs->destination_port}};
    _Static_assert(sizeof(key) == 2 * sizeof(struct enf_addr) + 4, "no padding: all bytes are hashed");
    uint32_t mark = (uint32_t)XXH3_64bits_withSeed(&key, sizeof(key), s->context->seed);
    return mark ? mark : 1;
}

/* A refusal that a blocklist explains says nothing about the recipients. */
static void count_mail(const struct step *s, const struct enf_observation *obs, const struct connection *what)
{
    bool refused = obs->kind == ENF_OBSERVATION_REFUSED;
    if (!is_first(s, FIRST_MAIL, &obs->destination))
        return;
    if (!refused || s->conduct->listed != connection_mark(s, obs))
        count(s, refused ? ENF_SEQUENTIAL_REFUSED : ENF_SEQUENTIAL_ACCEPTED, what);
}

/* --- second tries --- */

static void defer(const struct step *s, const struct enf_observation *obs, const struct connection *what)
{
    if (is_first(s, FIRST_DELAY, &obs->destination))
        (void)trail_push(&s->conduct->deferred, s->context->budget, what, ENF_DEFERRED_MAX);
}

/* What was due and did not come. */
static void settle(const struct step *s)
{
    struct trail *deferred = &s->conduct->deferred;
    uint64_t now_ms = s->context->now_ms;
    if (s->context->silence_ms >= ENF_RETRY_SILENCE_MS)
        for (uint32_t i = 0; i < deferred->len; i++)
            trail_at(deferred, i)->time_ms = now_ms;
    while (deferred->len > 0 && now_ms - trail_at(deferred, 0)->time_ms >= ENF_RETRY_MAX_MS &&
           s->head->cause == ENF_CAUSE_NONE) {
        struct connection what = *trail_at(deferred, 0);
        trail_remove(deferred, 0);
        count(s, ENF_SEQUENTIAL_NOT_RETRIED, &what);
    }
}

static void count_retry(const struct step *s, const struct enf_observation *obs,
                        const struct connection *what)
{
    struct trail *deferred = &s->conduct->deferred;
    uint16_t network = enf_sequential_network(&obs->destination);
    for (uint32_t i = 0; i < deferred->len; i++) {
        const struct connection *waiting = trail_at(deferred, i);
        struct enf_addr server = address_unpack(waiting->destination);
        if (enf_sequential_network(&server) != network ||
            s->context->now_ms - waiting->time_ms < ENF_RETRY_MIN_MS)
            continue;
        trail_remove(deferred, i);
        count(s, ENF_SEQUENTIAL_RETRIED, what);
        return;
    }
}

/* --- sessions --- */

static void count_habit(const struct step *s, enum enf_sequential_kind kind, const struct connection *what)
{
    count(s, ENF_SEQUENTIAL_SESSION, what);
    if (kind != ENF_SEQUENTIAL_NONE && s->head->cause == ENF_CAUSE_NONE)
        count(s, kind, what);
}

static void count_helo(const struct step *s, const struct enf_observation *obs, const struct connection *what)
{
    uint32_t hash = (uint32_t)(obs->value ^ obs->value >> 32);
    bool changed = s->conduct->helo != 0 && s->conduct->helo != hash;
    bool is_name = obs->helo_form == ENF_HELO_FQDN || obs->helo_form == ENF_HELO_LITERAL;
    s->conduct->helo = hash ? hash : 1;
    count_habit(s, is_name ? ENF_SEQUENTIAL_NONE : ENF_SEQUENTIAL_HELO_NO_NAME, what);
    if (changed && s->head->cause == ENF_CAUSE_NONE)
        count(s, ENF_SEQUENTIAL_HELO_CHANGED, what);
}

static struct connection fact_of(const struct enf_observation *obs, uint64_t now_ms)
{
    struct connection fact = {
        .time_ms = now_ms,
        .print = obs->value > UINT32_MAX ? UINT32_MAX : (uint32_t)obs->value,
        .destination_port = obs->destination_port,
        .flags = (obs->blocked ? CONNECTION_BLOCKED : 0) | (obs->forgeable ? CONNECTION_FORGEABLE : 0),
    };
    address_pack(&obs->destination, fact.destination);
    return fact;
}

bool conduct_account(struct subscriber *subscriber, const struct conduct_context *context,
                     const struct enf_observation *obs, struct conviction *head)
{
    /* A connection says nothing before something is waiting for it. */
    if (obs->kind == ENF_OBSERVATION_SYN && !(subscriber->ring && *activity_conduct(subscriber)))
        return true;
    struct step s = {subscriber, conduct_of(subscriber, context->budget), context, head};
    if (!s.conduct)
        return false;
    struct connection what = fact_of(obs, context->now_ms);
    settle(&s);
    if (head->cause != ENF_CAUSE_NONE)
        return true;
    switch (obs->kind) {
    case ENF_OBSERVATION_SYN:
        count_retry(&s, obs, &what);
        break;
    case ENF_OBSERVATION_ANSWERED:
    case ENF_OBSERVATION_FAILED:
        count_contact(&s, obs, &what);
        break;
    case ENF_OBSERVATION_ACCEPTED:
    case ENF_OBSERVATION_REFUSED:
        count_mail(&s, obs, &what);
        break;
    case ENF_OBSERVATION_DEFERRED:
        defer(&s, obs, &what);
        break;
    case ENF_OBSERVATION_BLOCKLISTED:
        s.conduct->listed = connection_mark(&s, obs);
        count_habit(&s, ENF_SEQUENTIAL_BLOCKLISTED, &what);
        break;
    case ENF_OBSERVATION_EARLY_TALK:
        count_habit(&s, ENF_SEQUENTIAL_EARLY_TALK, &what);
        break;
    case ENF_OBSERVATION_HELO:
        count_helo(&s, obs, &what);
        break;
    case ENF_OBSERVATION_RECIPIENTS:
        count_habit(&s, ENF_SEQUENTIAL_MANY_RECIPIENTS, &what);
        break;
    case ENF_OBSERVATION_END:
        count_habit(&s, obs->value ? ENF_SEQUENTIAL_NONE : ENF_SEQUENTIAL_NO_QUIT, &what);
        break;
    case ENF_OBSERVATION_NOT_SMTP: /* who speaks something else sends no mail */
    case ENF_OBSERVATION_REPLY:
        break;
    }
    return true;
}

/* --- replies that nobody asked for --- */

uint64_t conduct_last_reply_ms(const struct subscriber *subscriber)
{
    const struct conduct *conduct = subscriber->ring ? *activity_conduct(subscriber) : NULL;
    return conduct && conduct->replies.len > 0
               ? trail_at(&conduct->replies, conduct->replies.len - 1U)->time_ms
               : 0;
}

static bool was_told(const struct conduct *conduct, uint64_t now_ms, uint64_t per_ms)
{
    return conduct->told && (uint32_t)now_ms - conduct->replies_told < per_ms;
}

bool conduct_reply(struct subscriber *subscriber, const struct conduct_context *context,
                   const struct enf_observation *obs, const struct enf_detector_settings *settings,
                   struct conviction *head)
{
    struct conduct *conduct = conduct_of(subscriber, context->budget);
    if (!conduct)
        return false;
    struct trail *replies = &conduct->replies;
    struct connection reply = fact_of(obs, context->now_ms);
    uint32_t count = settings->unrequested_replies.count;
    uint64_t per_ms = settings->unrequested_replies.per_ms;
    /* Here the source is the server: where the evidence came from. Anybody can write it there. */
    address_pack(&obs->source, reply.destination);
    reply.destination_port = obs->source_port;
    reply.flags |= CONNECTION_FORGEABLE;
    while (replies->len > 0 && reply.time_ms - trail_at(replies, 0)->time_ms >= per_ms)
        trail_remove(replies, 0);
    while (replies->len >= count)
        trail_remove(replies, 0);
    bool whole = trail_push(replies, context->budget, &reply, ENF_REPLIES_MAX);
    if (replies->len < count || was_told(conduct, context->now_ms, per_ms))
        return whole;
    head->cause = ENF_CAUSE_UNREQUESTED_REPLIES;
    head->verdict = settings->unrequested_replies.convicts ? ENF_VERDICT_ZOMBIE : ENF_VERDICT_SUSPECT;
    head->limit = count;
    head->per_ms = per_ms;
    head->total = count;
    head->len = (uint16_t)count;
    head->forgeable = true;
    trail_copy(replies, count, head->connections);
    trail_clear(replies, context->budget);
    conduct->replies_told = (uint32_t)context->now_ms;
    conduct->told = true;
    return whole;
}
