/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Honest subscribers. Only `model` does what the sequential test assumes of them; the others have bursts,
 * heavy tails and a daily rhythm of their own. */
#include "draw.h"
#include "population.h"
#include "session.h"

static double cap(double value, double most)
{
    return value < most ? value : most;
}

/* --- residential: sends by port 587 and comes near port 25 by accident --- */

static double quiet_start(struct agent *agent)
{
    agent->rate = (float)cap(draw_lognormal(&agent->random, 0.05, 1.5), 20);
    agent->a = draw_geometric(&agent->random, 0.6, 4); /* networks of its provider */
    return draw_exponential(&agent->random, DAY_MS / (double)agent->rate);
}

static void quiet_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    uint64_t *random = &agent->random;
    bool stranger = draw_uniform(random) < 0.1;
    out->destination = stranger
                           ? network_of_provider(agent)
                           : network_of(agent->d, draw_below(random, agent->a)) | (1 + draw_below(random, 4));
    out->gap_ms = by_day(agent, now_ms, draw_exponential(random, DAY_MS / (double)agent->rate));
}

/* --- a mail program that uses port 25 of one provider: sessions in bursts, retried while refused --- */

static double client_start(struct agent *agent)
{
    agent->rate = (float)cap(draw_lognormal(&agent->random, 6, 0.8), 60); /* bursts a day */
    agent->a = draw_geometric(&agent->random, 0.5, 8);                    /* networks */
    return draw_exponential(&agent->random, DAY_MS / (double)agent->rate);
}

static void client_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    uint64_t *random = &agent->random;
    if (agent->b == 0) {
        /* The name is looked up once for a burst. */
        bool other = draw_uniform(random) < 0.02;
        agent->b = (uint32_t)cap(draw_pareto(random, 1, 1.3), 31);
        agent->c = other ? network_of(agent->d ^ 1, 0) : network_of(agent->d, draw_zipf(random, agent->a));
    }
    agent->b--;
    out->destination = agent->c | (1 + draw_below(random, 4)); /* what a name resolves to */
    out->gap_ms = agent->b > 0
                      ? 4000 + draw_exponential(random, 2 * SECOND_MS)
                      : by_day(agent, now_ms, draw_exponential(random, DAY_MS / (double)agent->rate));
}

/* The same where each name has eight addresses, and each session of a burst may go to another name. */
static void spread_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    client_act(agent, now_ms, out);
    out->destination =
        network_of(agent->d, draw_zipf(&agent->random, agent->a)) | (1 + draw_below(&agent->random, 8));
}

/* --- a camera, printer or web form that mails straight to the few recipients it was given --- */

static double device_start(struct agent *agent)
{
    agent->rate = (float)cap(draw_pareto(&agent->random, 0.3, 1.1), 24); /* alarms a day */
    agent->a = draw_geometric(&agent->random, 0.5, 5);                   /* recipients, each elsewhere */
    return draw_exponential(&agent->random, DAY_MS / (double)agent->rate);
}

/* Each alarm goes to all recipients at once; what was refused is tried four times more, or given up. */
static void device_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    uint64_t *random = &agent->random;
    out->destination = network_of(agent->d, agent->b) | 25;
    if (++agent->b < agent->a) {
        out->gap_ms = draw_exponential(random, 500);
        return;
    }
    agent->b = 0;
    bool again = agent->c++ % 5 < 4 && draw_uniform(random) < 0.8;
    if (!again)
        agent->c = 0;
    out->gap_ms = again ? 10 * MINUTE_MS : draw_exponential(random, DAY_MS / (double)agent->rate);
    (void)now_ms;
}

/* --- exactly the probabilities of the sequential test: the worst that its budget allows for --- */

static double model_start(struct agent *agent)
{
    agent->rate = (float)(5 + draw_below(&agent->random, 55));
    return draw_exponential(&agent->random, DAY_MS / (double)agent->rate);
}

static void model_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    static const double fresh[] = {1, 1, 0.35, 0.25, 0.20, 0.15, 0.05};
    uint32_t known = agent->a < 6 ? agent->a : 6;
    bool is_new = draw_uniform(&agent->random) < fresh[known];
    uint32_t next = is_new ? agent->a++ : agent->b; /* or back to the one before the last */
    agent->b = agent->c;
    agent->c = next;
    out->destination = network_of(agent->d, next) | 25;
    out->gap_ms = draw_exponential(&agent->random, DAY_MS / (double)agent->rate);
    (void)now_ms;
}

/* --- a mail server of a small company --- */

static uint32_t correspondent(struct agent *agent)
{
    uint64_t *random = &agent->random;
    if (draw_uniform(random) < 0.5)
        return network_of_provider(agent);
    if (draw_uniform(random) < 0.1)
        return network_of(draw_bits(random), 0) | 25; /* somebody it never wrote to */
    return network_of(agent->d, draw_zipf(random, 300)) | 25;
}

static double business_start(struct agent *agent)
{
    agent->rate = (float)cap(draw_lognormal(&agent->random, 100, 1), 5000);
    return draw_exponential(&agent->random, DAY_MS / (double)agent->rate);
}

static void business_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    out->destination = correspondent(agent);
    out->gap_ms = by_day(agent, now_ms, draw_exponential(&agent->random, DAY_MS / (double)agent->rate));
}

/* The same, with an outage a day, each second one of the line: then nobody answers, however often it tries.
 * Afterwards the queue goes out ten times as fast as the server can think. */
static void queue_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    uint64_t *random = &agent->random;
    if (agent->a > 0) {
        agent->a--;
        out->destination = correspondent(agent);
        out->down = true;
        out->gap_ms = draw_exponential(random, 20 * SECOND_MS);
        return;
    }
    if (agent->b > 0) {
        agent->b--;
        out->destination = correspondent(agent);
        out->gap_ms = agent->b > 0 ? draw_exponential(random, 300) : DAY_MS;
        return;
    }
    agent->a = ++agent->c % 2 == 0 ? 50 + draw_below(random, 500) : 0;
    agent->b = (uint32_t)cap(draw_pareto(random, 100, 1.2), 3000);
    out->destination = 0;
    out->gap_ms = draw_exponential(random, DAY_MS / 2);
    (void)now_ms;
}

/* --- a mailing list: thousands of members at a few hundred places, once or twice a week --- */

static double list_start(struct agent *agent)
{
    agent->rate = (float)cap(draw_pareto(&agent->random, 500, 1.3), 5000); /* members */
    return draw_exponential(&agent->random, 3 * DAY_MS);
}

static void list_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    uint64_t *random = &agent->random;
    if (agent->b == 0)
        agent->b = (uint32_t)agent->rate;
    agent->b--;
    out->destination = draw_uniform(random) < 0.6 ? network_of_provider(agent)
                                                  : network_of(agent->d, draw_zipf(random, 1200)) | 25;
    out->gap_ms = agent->b > 0 ? draw_exponential(random, 200) : draw_exponential(random, 3 * DAY_MS);
    (void)now_ms;
}

/* --- the probabilities of the sequential test on sessions --- */

static void read_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    out->destination = network_of(agent->d, agent->b++) | 25; /* a network that it never met */
    out->gap_ms = draw_exponential(&agent->random, DAY_MS / (double)agent->rate);
    (void)now_ms;
}

/* --- a scanner of its own networks: port 25 of every address, once a day --- */

static double scanner_start(struct agent *agent)
{
    agent->a = 1 + draw_below(&agent->random, 6); /* times 254 addresses */
    return draw_exponential(&agent->random, DAY_MS / 2);
}

static void scanner_act(struct agent *agent, uint64_t now_ms, struct act *out)
{
    uint32_t host = agent->b++;
    out->destination = network_of(agent->d, host / 254 / 3) | host / 254 << 8 | (host % 254 + 1);
    out->gap_ms = 250;
    if (agent->b >= agent->a * 254) {
        agent->b = 0;
        out->gap_ms = DAY_MS;
    }
    (void)now_ms;
}

/* Habits: of 110 honest sessions in captures 27 have no name in HELO, 15 of 103 that ended have no QUIT, 5 of
 * 101 with recipients a 5yz. Dead domains and greylisting: what operators of mail servers tell of theirs. */
static const struct session_kind small_server = {.no_quit = 0.15,
                                                 .no_name = 0.25,
                                                 .changes_name = 0.02,
                                                 .early = 0.002,
                                                 .listed = 0.02,
                                                 .many = 0.03,
                                                 .dead = 0.05,
                                                 .closed = 0.02,
                                                 .refuses = 0.05,
                                                 .puts_off = 0.15,
                                                 .retries = 0.98};
static const struct session_kind list_server = {.no_quit = 0.02,
                                                .no_name = 0.02,
                                                .listed = 0.02,
                                                .many = 0.7,
                                                .dead = 0.04,
                                                .closed = 0.01,
                                                .refuses = 0.04,
                                                .puts_off = 0.2,
                                                .retries = 0.99};
/* One in three says EHLO and leaves. */
static const struct session_kind scan = {
    .no_quit = 0.33, .no_name = 0.33, .dead = 0.6, .closed = 0.3, .refuses = 0};
static const struct session_kind by_the_table = {.no_quit = 0.15,
                                                 .no_name = 0.25,
                                                 .changes_name = 0.03,
                                                 .early = 0.01,
                                                 .listed = 0.04,
                                                 .many = 0.05,
                                                 .dead = 0.15,
                                                 .refuses = 0.05,
                                                 .puts_off = 0.2,
                                                 .retries = 0.9,
                                                 .fresh = true};

const struct kind honest_kinds[] = {
    {"quiet", "line that comes near port 25 by accident", false, ENF_POLICY_BLOCK, 0.93, quiet_start,
     quiet_act, NULL},
    {"client", "mail program, many sessions to one provider", false, ENF_POLICY_BLOCK, 0.03, client_start,
     client_act, NULL},
    {"spread", "the same, eight addresses a name, several names", false, ENF_POLICY_BLOCK, 0.0, client_start,
     spread_act, NULL},
    {"device", "camera or web form with a few recipients", false, ENF_POLICY_BLOCK, 0.03, device_start,
     device_act, NULL},
    {"model", "as the test assumes honest hosts to be", false, ENF_POLICY_BLOCK, 0.0, model_start, model_act,
     NULL},
    {"business", "mail server of a small company", false, ENF_POLICY_INSPECT, 0.005, business_start,
     business_act, &small_server},
    {"queue", "the same after an outage a day", false, ENF_POLICY_INSPECT, 0.002, business_start, queue_act,
     &small_server},
    {"list", "mailing list", false, ENF_POLICY_INSPECT, 0.001, list_start, list_act, &list_server},
    {"scanner", "scanner of its own networks", false, ENF_POLICY_INSPECT, 0.002, scanner_start, scanner_act,
     &scan},
    {"read", "as the test assumes honest sessions to be", false, ENF_POLICY_INSPECT, 0.0, model_start,
     read_act, &by_the_table},
};
const size_t honest_kinds_len = sizeof(honest_kinds) / sizeof(honest_kinds[0]);
