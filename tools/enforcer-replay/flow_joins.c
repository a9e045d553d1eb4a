/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A set-associative table: the newest connections of each set. */
#include "flow_joins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAYS      8
#define SETS      (FLOW_JOINS_MAX / WAYS)
#define TOLD_MASK 0xffULL /* of an entry; the rest is the session */

void flow_joins_clear(struct flow_joins *joins)
{
    free(joins->entries);
    *joins = (struct flow_joins){0};
}

/* Never zero, which is a free place. */
static uint64_t tag_of(uint64_t session)
{
    uint64_t tag = session & ~TOLD_MASK;
    return tag ? tag : ~TOLD_MASK;
}

static uint64_t *set_of(const struct flow_joins *joins, uint64_t session)
{
    return joins->entries + (tag_of(session) * 0x9e3779b97f4a7c15ULL >> 40) % SETS * WAYS;
}

static uint64_t *find(const struct flow_joins *joins, uint64_t session)
{
    if (!joins->entries || session == 0)
        return NULL;
    uint64_t *set = set_of(joins, session);
    for (unsigned i = 0; i < WAYS; i++)
        if ((set[i] & ~TOLD_MASK) == tag_of(session))
            return &set[i];
    return NULL;
}

int flow_joins_note(struct flow_joins *joins, uint64_t session)
{
    if (session == 0 || find(joins, session))
        return 0;
    if (!joins->entries)
        joins->entries = calloc(FLOW_JOINS_MAX, sizeof(*joins->entries));
    if (!joins->entries)
        return -ENOMEM;
    uint64_t *set = set_of(joins, session);
    joins->forgot = joins->forgot || set[WAYS - 1] != 0;
    memmove(set + 1, set, (WAYS - 1) * sizeof(*set));
    set[0] = tag_of(session);
    return 0;
}

bool flow_joins_is_new(struct flow_joins *joins, uint64_t session)
{
    if (session == 0 || joins->forgot || find(joins, session))
        return false;
    return flow_joins_note(joins, session) == 0;
}

uint8_t flow_joins_untold(struct flow_joins *joins, uint64_t session, uint8_t says)
{
    uint64_t *entry = find(joins, session);
    if (!entry)
        return says;
    uint8_t untold = (uint8_t)(says & ~*entry);
    *entry |= says;
    return untold;
}
