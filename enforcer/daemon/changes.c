/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Collects the changes of the quarantine table. */
#include "enforcer/daemon/changes.h"

#include "enforcer/core/array.h"

#include <errno.h>
#include <stdlib.h>

/* Room for one more in an array of items of size item; NULL and err set where there is none. */
static void *grow(struct enf_changes *changes, void *items, size_t len, size_t *size, size_t item)
{
    void *grown = enf_array_grow(items, len, size, item);

    if (!grown)
        changes->err = -ENOMEM;
    return grown;
}

static void on_element(void *ctx, const struct enf_quarantine_element *element)
{
    struct enf_changes *c = ctx;
    void *items = grow(c, c->elements, c->elements_len, &c->elements_size, sizeof *c->elements);

    if (!items)
        return;
    c->elements = items;
    c->elements[c->elements_len++] = *element;
}

static void on_row(void *ctx, bool present, const struct enf_quarantine *entry)
{
    struct enf_changes *c = ctx;
    void *items = grow(c, c->rows, c->rows_len, &c->rows_size, sizeof *c->rows);

    if (!items)
        return;
    c->rows = items;
    c->rows[c->rows_len++] = (struct enf_change_row){.present = present, .entry = *entry};
}

static void on_told(void *ctx, enum enf_quarantine_change change, const struct enf_quarantine *entry,
                    const struct enf_quarantine *previous)
{
    struct enf_changes *c = ctx;
    void *items = grow(c, c->told, c->told_len, &c->told_size, sizeof *c->told);

    (void)previous;
    if (!items)
        return;
    c->told = items;
    c->told[c->told_len++] = (struct enf_change_told){.change = change, .entry = *entry};
}

void enf_changes_init(struct enf_changes *changes)
{
    *changes = (struct enf_changes){
        .sink = {.ctx = changes, .element = on_element, .row = on_row, .told = on_told},
    };
}

void enf_changes_seal(struct enf_changes *changes)
{
    changes->nets4 = changes->sink.nets4_changed;
    changes->nets6 = changes->sink.nets6_changed;
}

void enf_changes_clear(struct enf_changes *changes)
{
    free(changes->elements);
    free(changes->rows);
    free(changes->told);
    *changes = (struct enf_changes){0};
}
