/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps, thresholds and the tests of a day. */
#include "enforcer/detect/sequential.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define PI_SQUARED_BY_6 1.6449340668482264
#define SCORE_LIMIT     (120 * ENF_SEQUENTIAL_UNIT) /* beyond every threshold, within int16_t */
#define KNOWN_MAX       6                           /* networks that make a difference */

/* step = floor(256 ln(zombie / honest)). Of those counted once, SESSION carries the sum of the ln of not
 * seeing each of them, and each one takes its part of that back: ln(zombie / honest) - ln((1 - zombie) /
 * (1 - honest)). A unit test holds the numbers against the probabilities. */
static const struct enf_sequential_row rows[] = {
    [ENF_SEQUENTIAL_NONE] = {"nothing", 1, 1, 0, false},
    [ENF_SEQUENTIAL_FIRST] = {"first or second network", 1, 1, 0, false},
    [ENF_SEQUENTIAL_NEW_2] = {"new network, 2 known", 0.35, 0.75, 195, false},
    [ENF_SEQUENTIAL_NEW_3] = {"new network, 3 known", 0.25, 0.75, 281, false},
    [ENF_SEQUENTIAL_NEW_4] = {"new network, 4 known", 0.20, 0.75, 338, false},
    [ENF_SEQUENTIAL_NEW_5] = {"new network, 5 known", 0.15, 0.75, 412, false},
    [ENF_SEQUENTIAL_NEW_6] = {"new network, 6 or more known", 0.05, 0.75, 693, false},
    [ENF_SEQUENTIAL_AGAIN_2] = {"back to a network, 2 known", 0.65, 0.25, -245, false},
    [ENF_SEQUENTIAL_AGAIN_3] = {"back to a network, 3 known", 0.75, 0.25, -282, false},
    [ENF_SEQUENTIAL_AGAIN_4] = {"back to a network, 4 known", 0.80, 0.25, -298, false},
    [ENF_SEQUENTIAL_AGAIN_5] = {"back to a network, 5 known", 0.85, 0.25, -314, false},
    [ENF_SEQUENTIAL_AGAIN_6] = {"back to a network, 6 or more known", 0.95, 0.25, -342, false},
    [ENF_SEQUENTIAL_FAILED] = {"first contact failed", 0.15, 0.30, 177, false},
    [ENF_SEQUENTIAL_ANSWERED] = {"first contact answered", 0.85, 0.70, -50, false},
    [ENF_SEQUENTIAL_REFUSED] = {"recipient refused", 0.05, 0.40, 532, false},
    [ENF_SEQUENTIAL_ACCEPTED] = {"recipients accepted", 0.95, 0.60, -118, false},
    [ENF_SEQUENTIAL_NOT_RETRIED] = {"no second try", 0.10, 0.80, 532, false},
    [ENF_SEQUENTIAL_RETRIED] = {"second try", 0.90, 0.20, -386, false},
    [ENF_SEQUENTIAL_SESSION] = {"first session of a test", 1, 1, -451, true},
    [ENF_SEQUENTIAL_BLOCKLISTED] = {"refused by a blocklist", 0.02, 0.50, 996, true},
    [ENF_SEQUENTIAL_EARLY_TALK] = {"talked before the banner", 0.01, 0.15, 732, true},
    [ENF_SEQUENTIAL_HELO_CHANGED] = {"HELO changed", 0.03, 0.20, 534, true},
    [ENF_SEQUENTIAL_HELO_NO_NAME] = {"HELO is no name", 0.25, 0.40, 177, true},
    [ENF_SEQUENTIAL_MANY_RECIPIENTS] = {"many recipients", 0.05, 0.20, 398, true},
    [ENF_SEQUENTIAL_NO_QUIT] = {"no QUIT", 0.15, 0.40, 340, true},
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == ENF_SEQUENTIAL_KIND_COUNT, "a row for each kind");
_Static_assert(ENF_SEQUENTIAL_NO_QUIT - ENF_SEQUENTIAL_SESSION < 7, "a bit for each kind counted once");

const struct enf_sequential_row *enf_sequential_row(enum enf_sequential_kind kind)
{
    return (size_t)kind < ENF_SEQUENTIAL_KIND_COUNT ? &rows[kind] : NULL;
}

/* --- thresholds --- */

int enf_sequential_rules_make(const struct enf_sequential_settings *settings,
                              struct enf_sequential_rules *out)
{
    double alpha = settings->false_conviction;
    double beta = settings->missed;
    /* Written so that a NaN is out of range. */
    if (!(alpha >= ENF_SEQUENTIAL_FALSE_MIN && alpha <= ENF_SEQUENTIAL_FALSE_MAX) ||
        !(beta >= ENF_SEQUENTIAL_MISSED_MIN && beta <= ENF_SEQUENTIAL_MISSED_MAX))
        return -EINVAL;
    *out = (struct enf_sequential_rules){
        .convict = ENF_SEQUENTIAL_UNIT * log(PI_SQUARED_BY_6 / alpha),
        .clear = ENF_SEQUENTIAL_UNIT * log(beta / (1 - alpha)),
        .model = settings->model,
    };
    return 0;
}

/* Of the i-th test: ln(i^2) above that of the first. */
static double threshold_of(const struct enf_sequential_rules *rules, uint16_t test)
{
    return test <= 1 ? rules->convict : rules->convict + 2 * ENF_SEQUENTIAL_UNIT * log(test);
}

/* --- the tests of a period --- */

static void restart(struct enf_sequential *state)
{
    if (state->tests < ENF_SEQUENTIAL_TESTS_MAX)
        state->tests++;
    state->score = 0;
    state->observations = 0;
    state->seen = 0;
}

static bool is_over(const struct enf_sequential *state, uint64_t now_ms)
{
    return state->tests == 0 || (uint32_t)now_ms - state->started >= ENF_SEQUENTIAL_PERIOD_MS;
}

/* The networks outlast the period: what a host used yesterday is not new today. */
static void enter_period(struct enf_sequential *state, uint64_t now_ms)
{
    if (!is_over(state, now_ms))
        return;
    state->started = (uint32_t)now_ms;
    state->tests = 0;
    restart(state);
}

void enf_sequential_restart(struct enf_sequential *state)
{
    if (state->tests > 0)
        restart(state);
}

static void describe(const struct enf_sequential *state, double threshold, struct enf_sequential_step *out)
{
    out->score = (double)state->score / ENF_SEQUENTIAL_UNIT;
    out->threshold = threshold / ENF_SEQUENTIAL_UNIT;
    out->observations = state->observations;
}

static enum enf_sequential_result account(struct enf_sequential *state,
                                          const struct enf_sequential_rules *rules,
                                          enum enf_sequential_kind kind, struct enf_sequential_step *out)
{
    int score = state->score + rows[kind].step;
    if (score > SCORE_LIMIT) /* the last test of a period has no end */
        score = SCORE_LIMIT;
    state->score = (int16_t)score;
    if (kind != ENF_SEQUENTIAL_NONE && state->observations < UINT16_MAX)
        state->observations++;
    out->kind = kind;
    out->step = (double)rows[kind].step / ENF_SEQUENTIAL_UNIT;
    enum enf_sequential_result result = ENF_SEQUENTIAL_CONTINUE;
    /* Most observations are spared the logarithm. */
    double threshold = score >= rules->convict ? threshold_of(rules, state->tests) : rules->convict;
    describe(state, threshold, out);
    if (score >= threshold && state->tests < ENF_SEQUENTIAL_TESTS_MAX)
        result = ENF_SEQUENTIAL_CONVICT;
    else if (score <= rules->clear)
        result = ENF_SEQUENTIAL_CLEAR;
    if (result != ENF_SEQUENTIAL_CONTINUE)
        restart(state);
    return result;
}

enum enf_sequential_result enf_sequential_step(struct enf_sequential *state,
                                               const struct enf_sequential_rules *rules,
                                               enum enf_sequential_kind kind, uint64_t now_ms,
                                               struct enf_sequential_step *out)
{
    enter_period(state, now_ms);
    if ((size_t)kind >= ENF_SEQUENTIAL_KIND_COUNT)
        kind = ENF_SEQUENTIAL_NONE;
    if (kind >= ENF_SEQUENTIAL_SESSION) {
        uint8_t bit = (uint8_t)(1U << (kind - ENF_SEQUENTIAL_SESSION));
        bool counted = (state->seen & bit) != 0;
        bool session = kind == ENF_SEQUENTIAL_SESSION || (state->seen & 1U);
        if (counted || !session)
            kind = ENF_SEQUENTIAL_NONE;
        else
            state->seen |= bit;
    }
    return account(state, rules, kind, out);
}

/* --- networks --- */

/* An IPv4 /16 is exact. Of an IPv6 /32, what a registry gives to one provider, two in 65536 look alike. No
 * seed: the same traffic must give the same verdict live and in a replay, and who could choose networks that
 * look alike would only hide himself, which connecting to one network does as well. */
uint16_t enf_sequential_network(const struct enf_addr *addr)
{
    uint16_t high = (uint16_t)(addr->bytes[0] << 8 | addr->bytes[1]);
    if (addr->family != ENF_FAMILY_V6)
        return high;
    uint16_t low = (uint16_t)(addr->bytes[2] << 8 | addr->bytes[3]);
    return (uint16_t)(high * 40503U + low * 30103U + 1);
}

/* Moves the network to the front, in the place of the one not used for longest. True: it was there. */
static bool use_network(struct enf_sequential *state, uint16_t network)
{
    size_t at = 0;
    while (at < state->networks_len && state->networks[at] != network)
        at++;
    bool known = at < state->networks_len;
    if (!known && state->networks_len < ENF_SEQUENTIAL_NETWORKS)
        state->networks_len++;
    if (at == ENF_SEQUENTIAL_NETWORKS)
        at--;
    memmove(&state->networks[1], &state->networks[0], at * sizeof(state->networks[0]));
    state->networks[0] = network;
    return known;
}

enum enf_sequential_result enf_sequential_connection(struct enf_sequential *state,
                                                     const struct enf_sequential_rules *rules,
                                                     const struct enf_addr *destination, uint64_t now_ms,
                                                     struct enf_sequential_step *out)
{
    uint16_t network = enf_sequential_network(destination);
    unsigned known = state->networks_len < KNOWN_MAX ? state->networks_len : KNOWN_MAX;
    bool same = known > 0 && state->networks[0] == network;
    bool again = use_network(state, network);
    unsigned kind = ENF_SEQUENTIAL_FIRST;
    if (same || rules->model == ENF_SEQUENTIAL_SERVER)
        kind = ENF_SEQUENTIAL_NONE;
    else if (known > 1)
        kind = (again ? ENF_SEQUENTIAL_AGAIN_2 : ENF_SEQUENTIAL_NEW_2) + known - 2;
    enter_period(state, now_ms);
    return account(state, rules, (enum enf_sequential_kind)kind, out);
}

void enf_sequential_show(const struct enf_sequential *state, const struct enf_sequential_rules *rules,
                         uint64_t now_ms, struct enf_sequential_step *out)
{
    struct enf_sequential fresh = {.tests = 1};
    *out = (struct enf_sequential_step){.kind = ENF_SEQUENTIAL_NONE};
    const struct enf_sequential *shown = is_over(state, now_ms) ? &fresh : state;
    describe(shown, threshold_of(rules, shown->tests), out);
}
