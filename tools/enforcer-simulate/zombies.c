/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Zombies: from 25,000 mails an hour to one in the half hour. */
#include "draw.h"
#include "population.h"
#include "session.h"

/* Half of the addresses on a spam list are at the large providers. */
static uint32_t victim(struct agent *agent)
{
    if (draw_uniform(&agent->random) < 0.5)
        return network_of_provider(agent);
    return network_of(draw_bits(&agent->random), 0) | (1 + draw_below(&agent->random, 250));
}

static double steady_start(struct agent *agent, double an_hour)
{
    agent->rate = (float)an_hour;
    return draw_exponential(&agent->random, HOUR_MS / an_hour);
}

static void steady_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    out->destination = victim(agent);
    out->gap_ms = draw_exponential(&agent->random, HOUR_MS / (double)agent->rate);
    (void)now_ms;
}

static double rustock_start(struct agent *agent)
{
    return steady_start(agent, 25000);
}

static double slow_start(struct agent *agent)
{
    return steady_start(agent, 6);
}

static double snowshoe_start(struct agent *agent)
{
    return steady_start(agent, 2);
}

/* Campaigns: a few hundred to many thousand mails an hour for some minutes, then silence. */
static double campaign_start(struct agent *agent)
{
    agent->rate = (float)draw_lognormal(&agent->random, 600, 1);
    return draw_exponential(&agent->random, HOUR_MS);
}

static void campaign_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    if (agent->b == 0)
        agent->b = 20 + (uint32_t)draw_exponential(&agent->random, 200);
    agent->b--;
    out->destination = victim(agent);
    out->gap_ms = agent->b > 0 ? draw_exponential(&agent->random, HOUR_MS / (double)agent->rate)
                               : draw_pareto(&agent->random, HOUR_MS, 1.5);
    (void)now_ms;
}

/* Comes in the day only, in small heaps, and tries each server that refuses three times. */
static double stubborn_start(struct agent *agent)
{
    return steady_start(agent, 6);
}

static void stubborn_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    if (agent->b++ % 3 == 0)
        agent->c = victim(agent);
    out->destination = agent->c;
    out->gap_ms = agent->b % 3 != 0 ? 5 * MINUTE_MS
                                    : by_day(agent, now_ms,
                                             draw_exponential(&agent->random, HOUR_MS / (double)agent->rate));
}

/* Six an hour behind the address of somebody who logs in at one provider four times an hour. */
static void shared_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    bool bot = draw_uniform(&agent->random) < 0.6;
    out->destination = bot ? victim(agent) : network_of(agent->d, draw_below(&agent->random, 2)) | 25;
    out->gap_ms = draw_exponential(&agent->random, HOUR_MS / 10);
    (void)now_ms;
}

/* As in the flow records of the spam bot of 2022-02-08: heaps of 1 to 7 connections within seconds, half a
 * minute or a minute and a half apart. */
static void heaps_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    if (agent->b == 0)
        agent->b = draw_geometric(&agent->random, 0.25, 7);
    agent->b--;
    out->destination = victim(agent);
    out->gap_ms = agent->b > 0 ? draw_exponential(&agent->random, 300)
                               : 20 * SECOND_MS + draw_exponential(&agent->random, 26 * SECOND_MS);
    (void)now_ms;
}

/* A bot's own dialect, its stale list, its listed line; it does not come back. Of all it tries a quarter is
 * taken, as of the mails of Storm (Kanich et al., Spamalytics, 2008: 23.8 %). */
static const struct session_kind bot = {.no_quit = 0.5,
                                        .no_name = 0.5,
                                        .changes_name = 0.2,
                                        .early = 0.1,
                                        .listed = 0.6,
                                        .many = 0.1,
                                        .dead = 0.15,
                                        .closed = 0.05,
                                        .refuses = 0.5,
                                        .puts_off = 0.15,
                                        .retries = 0.1};
/* Written with care: the same list, but it speaks like a mail server, and tries again. */
static const struct session_kind careful = {
    .listed = 0.3, .dead = 0.15, .closed = 0.05, .refuses = 0.5, .puts_off = 0.15, .retries = 0.95};
/* The same with a bought list that is fresh, on a line that nobody lists: does nothing wrong but spam. */
static const struct session_kind perfect = {
    .dead = 0.05, .closed = 0.02, .refuses = 0.05, .puts_off = 0.15, .retries = 0.98};

const struct kind zombie_kinds[] = {
    {"rustock", "25,000 an hour", true, ENF_POLICY_BLOCK, 0.1, rustock_start, steady_act, NULL},
    {"heaps", "like the bot in the flow records", true, ENF_POLICY_BLOCK, 0.1, slow_start, heaps_act, NULL},
    {"campaign", "hundreds an hour, on and off", true, ENF_POLICY_BLOCK, 0.2, campaign_start, campaign_act,
     NULL},
    {"slow", "6 an hour", true, ENF_POLICY_BLOCK, 0.2, slow_start, steady_act, NULL},
    {"shared", "6 an hour behind an honest client's address", true, ENF_POLICY_BLOCK, 0.05, slow_start,
     shared_act, NULL},
    {"snowshoe", "2 an hour", true, ENF_POLICY_BLOCK, 0.05, snowshoe_start, steady_act, NULL},
    {"stubborn", "tries each server three times, by day", true, ENF_POLICY_BLOCK, 0.05, stubborn_start,
     stubborn_act, NULL},
    {"in-rustock", "25,000 an hour on a line with a mail server", true, ENF_POLICY_INSPECT, 0.05,
     rustock_start, steady_act, &bot},
    {"in-campaign", "hundreds an hour there, on and off", true, ENF_POLICY_INSPECT, 0.05, campaign_start,
     campaign_act, &bot},
    {"in-slow", "6 an hour there", true, ENF_POLICY_INSPECT, 0.1, slow_start, steady_act, &bot},
    {"in-snowshoe", "2 an hour there", true, ENF_POLICY_INSPECT, 0.02, snowshoe_start, steady_act, &bot},
    {"in-careful", "6 an hour there, speaks like a mail server", true, ENF_POLICY_INSPECT, 0.02, slow_start,
     steady_act, &careful},
    {"in-perfect", "6 an hour there, nothing wrong but what it sends", true, ENF_POLICY_INSPECT, 0.01,
     slow_start, steady_act, &perfect},
};
const size_t zombie_kinds_len = sizeof(zombie_kinds) / sizeof(zombie_kinds[0]);
