/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When another program takes our table away again and again: after how many repairs that is a fight, and how
 * long to wait before the next one. Pure: times are monotonic ms and come in as arguments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_FIGHT_REPAIRS   5    /* so many … */
#define ENF_FIGHT_WINDOW_MS 5000 /* … within this are a fight */
#define ENF_FIGHT_FIRST_MS  250  /* the first wait; each next one is twice as long */
#define ENF_FIGHT_MAX_MS    2000 /* the longest */
#define ENF_FIGHT_COST      4    /* a wait is at least so many times what a repair took */
#define ENF_FIGHT_QUIET_MS  5000 /* without a repair: over */

/* Zero value: peace. */
struct enf_fight {
    uint64_t repairs[ENF_FIGHT_REPAIRS]; /* when, the latest first */
    size_t repairs_len;
    bool on;
    uint64_t began_ms;
    uint64_t wait_ms;
    uint64_t next_ms; /* no repair before this */
    uint64_t count;   /* of repairs in this fight */
};

/* How long to wait before a repair; 0: now. */
uint64_t enf_fight_wait_ms(const struct enf_fight *fight, uint64_t now_ms);
/* A repair ended at now_ms and took cost_ms. True where a fight begins with it. */
bool enf_fight_repaired(struct enf_fight *fight, uint64_t now_ms, uint64_t cost_ms);
/* True once when a fight is over; then *fight is as new, but for count and began_ms, which tell of it. */
bool enf_fight_over(struct enf_fight *fight, uint64_t now_ms);
