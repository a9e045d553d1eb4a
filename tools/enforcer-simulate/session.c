/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions: answers of servers, habits of clients. */
#include "session.h"

#include "draw.h"

#include "enforcer/inspect/smtp.h"

static bool happens(struct agent *agent, double share)
{
    return draw_uniform(&agent->random) < share;
}

void session_start(struct agent *agent, const struct session_kind *kind)
{
    agent->habits = (uint8_t)((happens(agent, kind->no_quit) ? HABIT_NO_QUIT : 0) |
                              (happens(agent, kind->no_name) ? HABIT_NO_NAME : 0) |
                              (happens(agent, kind->changes_name) ? HABIT_CHANGES_NAME : 0) |
                              (happens(agent, kind->early) ? HABIT_EARLY : 0) |
                              (happens(agent, kind->listed) ? HABIT_LISTED : 0) |
                              (happens(agent, kind->many) ? HABIT_MANY : 0));
}

/* In (0, 1): the same for a server and a subscriber whenever they meet. Two questions, two numbers. */
static double lot(struct agent *agent, const struct session_kind *kind, uint32_t server, uint32_t question)
{
    uint64_t state = (uint64_t)server << 32 ^ agent->d ^ question * 0x9e3779b9ULL;
    return kind->fresh ? draw_uniform(&agent->random) : draw_uniform(&state);
}

struct telling {
    struct enf_observation *out;
    size_t len;
};

static void tell(struct telling *telling, const struct enf_observation *base, enum enf_observation_kind kind,
                 uint64_t value, unsigned after_ms)
{
    struct enf_observation *obs = &telling->out[telling->len++];
    *obs = *base;
    obs->kind = kind;
    obs->value = value;
    obs->time_ms += after_ms;
}

static void put_off(struct agent *agent, const struct session_kind *kind, const struct act *act,
                    uint64_t now_s)
{
    if (!happens(agent, kind->retries))
        return;
    agent->retry_to = act->destination;
    agent->retry_s = (uint32_t)(now_s + 300 + (uint64_t)draw_exponential(&agent->random, 1800));
}

/* The recipient. Returns the kind of the answer. */
static enum enf_observation_kind answer_of(struct agent *agent, const struct session_kind *kind,
                                           const struct act *act, bool second)
{
    if (!second && agent->retry_to == 0 && lot(agent, kind, act->destination, 3) < kind->puts_off)
        return ENF_OBSERVATION_DEFERRED;
    return lot(agent, kind, act->destination, 4) < kind->refuses ? ENF_OBSERVATION_REFUSED
                                                                 : ENF_OBSERVATION_ACCEPTED;
}

size_t session_hold(struct agent *agent, const struct session_kind *kind, const struct act *act,
                    const struct enf_observation *base, uint64_t start_ms,
                    struct enf_observation out[static SESSION_OBSERVATIONS_MAX])
{
    struct telling telling = {.out = out};
    double fate = lot(agent, kind, act->destination, 1);
    bool second = agent->retry_to == act->destination && agent->retry_to != 0;
    if (second)
        agent->retry_to = 0;
    if (act->down || fate < kind->dead + kind->closed) {
        tell(&telling, base, ENF_OBSERVATION_FAILED, !act->down && fate >= kind->dead, 1);
        return telling.len;
    }
    tell(&telling, base, ENF_OBSERVATION_ANSWERED, 0, 1);
    if (kind->silent)
        return telling.len;
    if (agent->habits & HABIT_EARLY)
        tell(&telling, base, ENF_OBSERVATION_EARLY_TALK, 0, 1);
    agent->name = (uint16_t)(agent->name + ((agent->habits & HABIT_CHANGES_NAME) != 0));
    tell(&telling, base, ENF_OBSERVATION_HELO, ((uint64_t)agent->d << 16) + agent->name + 1, 2);
    out[telling.len - 1].helo_form = agent->habits & HABIT_NO_NAME ? ENF_HELO_BARE_NAME : ENF_HELO_FQDN;
    bool listed = (agent->habits & HABIT_LISTED) && lot(agent, kind, act->destination, 2) < 0.5;
    if (listed)
        tell(&telling, base, ENF_OBSERVATION_BLOCKLISTED, 0, 3);
    enum enf_observation_kind answer = listed ? ENF_OBSERVATION_REFUSED : answer_of(agent, kind, act, second);
    tell(&telling, base, answer, 0, 3);
    if (answer == ENF_OBSERVATION_DEFERRED)
        put_off(agent, kind, act, (base->time_ms - start_ms) / 1000);
    if ((agent->habits & HABIT_MANY) && answer == ENF_OBSERVATION_ACCEPTED)
        tell(&telling, base, ENF_OBSERVATION_RECIPIENTS, ENF_MANY_RECIPIENTS, 4);
    tell(&telling, base, ENF_OBSERVATION_END, !(agent->habits & HABIT_NO_QUIT), 5);
    return telling.len;
}
