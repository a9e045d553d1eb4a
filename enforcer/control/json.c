/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches the memory of Jansson. */
#include "enforcer/control/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static _Thread_local uint64_t no_memory;
static _Thread_local bool reading;
static _Thread_local bool doomed; /* reading goes on without memory */

static void *json_memory(size_t size)
{
    void *made = reading && doomed ? NULL : malloc(size);

    no_memory += !made;
    doomed |= reading && !made;
    return made;
}

void enf_json_watch_memory(void)
{
    json_set_alloc_funcs(json_memory, free);
}

uint64_t enf_json_no_memory(void)
{
    return no_memory;
}

/* Jansson's lexer drops a character that it has no memory for and goes on: 192.0.2.10 would be read as
 * 192.0.2.1, and where the dropped one is the quote that ends a text, it copies that text beyond its end. It
 * asks for the copy's memory after that: so it gets none any more. */
json_t *enf_json_read(const char *text, size_t len, size_t flags, json_error_t *where)
{
    uint64_t before = no_memory;

    reading = true;
    doomed = false;
    json_t *json = json_loadb(text, len, flags, where);
    reading = false;
    bool lost = no_memory != before;
    if (lost) {
        json_decref(json);
        json = NULL;
    }
    errno = lost ? ENOMEM : 0;
    return json;
}
