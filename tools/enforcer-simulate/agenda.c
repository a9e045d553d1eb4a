/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is next: a heap with four children a node, which waits for memory half as often as one with two. */
#include "agenda.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define CHILDREN 4

int agenda_init(struct agenda *agenda, size_t max)
{
    struct agenda_entry *entries = calloc(max > 0 ? max : 1, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    *agenda = (struct agenda){.entries = entries, .max = max};
    return 0;
}

void agenda_clear(struct agenda *agenda)
{
    free(agenda->entries);
    *agenda = (struct agenda){0};
}

static bool is_before(const struct agenda_entry *a, const struct agenda_entry *b)
{
    return a->time_ms != b->time_ms ? a->time_ms < b->time_ms : a->agent < b->agent;
}

void agenda_push(struct agenda *agenda, struct agenda_entry entry)
{
    size_t at = agenda->len++;
    while (at > 0 && is_before(&entry, &agenda->entries[(at - 1) / CHILDREN])) {
        agenda->entries[at] = agenda->entries[(at - 1) / CHILDREN];
        at = (at - 1) / CHILDREN;
    }
    agenda->entries[at] = entry;
}

struct agenda_entry agenda_pop(struct agenda *agenda)
{
    struct agenda_entry first = agenda->entries[0];
    struct agenda_entry moved = agenda->entries[--agenda->len];
    size_t at = 0;
    for (;;) {
        size_t child = at * CHILDREN + 1;
        size_t least = child;
        for (size_t i = child + 1; i < child + CHILDREN && i < agenda->len; i++)
            if (is_before(&agenda->entries[i], &agenda->entries[least]))
                least = i;
        if (child >= agenda->len || !is_before(&agenda->entries[least], &moved))
            break;
        agenda->entries[at] = agenda->entries[least];
        at = least;
    }
    if (agenda->len > 0)
        agenda->entries[at] = moved;
    return first;
}
