/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From observations to accounts. */
#include "replay.h"

#include <errno.h>
#include <sys/random.h>

#define UPKEEP_EVERY 256 /* observations */
#define UPKEEP_WORK  512 /* subscribers looked at */

int replay_init(struct replay *replay, const struct scope *scope, bool keep_traces)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return -errno;
    *replay = (struct replay){.scope = scope,
                              .seed = seed,
                              .ledger = {.max = scope->max_subscribers,
                                         .seed = seed,
                                         .trace_max = keep_traces ? TRACE_TOTAL_MAX : 0},
                              .window = {.max = FLOW_WINDOW_MAX}};
    struct enf_detector_params params = {.max_subscribers = scope->max_subscribers, .seed = seed};
    struct enf_flows_params flows = {.seed = seed};
    int rc = enf_detector_new(&params, &replay->detector);
    if (rc == 0)
        rc = enf_flows_new(&flows, &replay->flows);
    if (rc != 0)
        enf_detector_free(&replay->detector);
    return rc;
}

void replay_clear(struct replay *replay)
{
    enf_flows_free(&replay->flows);
    enf_detector_free(&replay->detector);
    flow_window_clear(&replay->window);
    flow_joins_clear(&replay->joins);
    ledger_clear(&replay->ledger);
}

int replay_observe(struct replay *replay, struct enf_observation *obs, enum flow_outcome outcome)
{
    struct claim claim;
    struct enf_signal signal;
    if (!scope_claim(replay->scope, obs, &claim))
        return 0;
    bool syn = obs->kind == ENF_OBSERVATION_SYN;
    /* Of what is blocked the daemon sees the SYN, and no session. */
    if (obs->blocked && !syn)
        return 0;
    if (syn && ++replay->fed % UPKEEP_EVERY == 0)
        enf_detector_forget_idle(replay->detector, obs->time_ms, UPKEEP_WORK);
    int verdict = enf_detector_feed(replay->detector, obs, claim.settings, &signal);
    if (verdict < 0)
        return verdict;
    bool counts = true;
    int rc = 0;
    if (syn) {
        struct enf_detector_stats stats;
        enf_detector_stats(replay->detector, &stats);
        counts = stats.retransmissions == replay->retransmissions;
        replay->retransmissions = stats.retransmissions;
        rc = counts ? ledger_connection(&replay->ledger, obs, &claim, outcome) : 0;
    }
    if (rc == 0 && verdict == 1)
        rc = ledger_conviction(&replay->ledger, &signal);
    return rc == 0 ? counts : rc;
}
