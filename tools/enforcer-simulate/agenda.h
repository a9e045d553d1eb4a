/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is next: a heap of times. Its size is that of the population and does not grow. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct agenda_entry {
    uint64_t time_ms;
    uint32_t agent;
};

struct agenda {
    struct agenda_entry *entries;
    size_t len;
    size_t max;
};

/* 0 or -ENOMEM. */
int agenda_init(struct agenda *agenda, size_t max);
void agenda_clear(struct agenda *agenda);
/* There is room: each agent is in it once at most. Of equal times the lower agent is first. */
void agenda_push(struct agenda *agenda, struct agenda_entry entry);
/* len is not 0. */
struct agenda_entry agenda_pop(struct agenda *agenda);
