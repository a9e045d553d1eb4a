/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-off of repairs. */
#include "enforcer/policy/fight.h"

#include <string.h>

uint64_t enf_fight_wait_ms(const struct enf_fight *fight, uint64_t now_ms)
{
    return fight->on && fight->next_ms > now_ms ? fight->next_ms - now_ms : 0;
}

static void slow_down(struct enf_fight *fight, uint64_t now_ms, uint64_t cost_ms)
{
    uint64_t wait_ms = fight->wait_ms ? fight->wait_ms * 2 : ENF_FIGHT_FIRST_MS;

    fight->wait_ms = wait_ms > ENF_FIGHT_MAX_MS ? ENF_FIGHT_MAX_MS : wait_ms;
    wait_ms = cost_ms * ENF_FIGHT_COST;
    fight->next_ms = now_ms + (wait_ms > fight->wait_ms ? wait_ms : fight->wait_ms);
}

bool enf_fight_repaired(struct enf_fight *fight, uint64_t now_ms, uint64_t cost_ms)
{
    bool begins = false;

    memmove(fight->repairs + 1, fight->repairs, sizeof fight->repairs - sizeof *fight->repairs);
    fight->repairs[0] = now_ms;
    if (fight->repairs_len < ENF_FIGHT_REPAIRS)
        fight->repairs_len++;
    if (!fight->on && fight->repairs_len == ENF_FIGHT_REPAIRS &&
        now_ms - fight->repairs[ENF_FIGHT_REPAIRS - 1] <= ENF_FIGHT_WINDOW_MS) {
        begins = true;
        fight->on = true;
        fight->began_ms = fight->repairs[ENF_FIGHT_REPAIRS - 1];
        fight->count = ENF_FIGHT_REPAIRS - 1;
        fight->wait_ms = 0;
    }
    if (fight->on) {
        fight->count++;
        slow_down(fight, now_ms, cost_ms);
    }
    return begins;
}

bool enf_fight_over(struct enf_fight *fight, uint64_t now_ms)
{
    if (!fight->on || now_ms < fight->repairs[0] + ENF_FIGHT_QUIET_MS)
        return false;
    *fight = (struct enf_fight){.count = fight->count, .began_ms = fight->began_ms};
    return true;
}
