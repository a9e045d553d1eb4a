/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole quarantine into the kernel's sets, before the first rule is in force: at a start, and where the
 * table was gone. */
#include "enforcer/daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>

/* Filled from the table's walk, a transaction at a time: a list of a million would be as large as the table.
 */
struct restoring {
    struct enf_daemon *d;
    uint64_t now_ms;
    bool anew; /* nothing is in the sets, or too much to set each end at once */
    size_t len;
    int err;
    struct enf_kernel_single singles[ENF_KERNEL_CHUNK];
};

static int push(struct restoring *r)
{
    if (r->len > 0)
        r->err = r->anew ? enf_kernel_singles_fill(r->d->kernel, r->singles, r->len)
                         : enf_kernel_singles(r->d->kernel, r->singles, r->len);
    r->len = 0;
    r->now_ms = enf_clock_wall_ms();
    return r->err;
}

static int restore_one(void *ctx, const struct enf_quarantine *entry)
{
    struct restoring *r = ctx;
    struct enf_kernel_single single = {.subscriber = entry->subscriber,
                                       .timeout_ms = enf_left_ms(entry->until_ms, r->now_ms)};

    if (entry->net)
        return 0;
    /* Entries of one subscriber (of several levels) follow each other: the latest end counts. */
    struct enf_kernel_single *last = r->len > 0 ? &r->singles[r->len - 1] : NULL;
    if (last && enf_addr_equal(&last->subscriber.addr, &single.subscriber.addr)) {
        if (single.timeout_ms > last->timeout_ms)
            last->timeout_ms = single.timeout_ms;
        return 0;
    }
    if (r->len == ENF_KERNEL_CHUNK && push(r) < 0)
        return r->err;
    r->singles[r->len++] = single;
    return 0;
}

static int one_is_there(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    (void)ctx;
    (void)range;
    (void)expires_ms;
    return 1;
}

/* Sets of prefixes are replaced only where they differ: kernels 6.1 and 6.12 miss elements meanwhile. */
int enf_enforce_all(struct enf_daemon *d)
{
    struct restoring *r = calloc(1, sizeof *r);
    size_t nets = 0, wrong = 0;

    if (!r)
        return -ENOMEM;
    r->d = d;
    r->now_ms = enf_clock_wall_ms();
    /* Ends that a fill leaves as they are, on kernels before 6.12, the comparison after the start puts right.
     */
    r->anew = enf_quarantine_count(d->quarantine) > ENF_COMPARE_AT_ONCE;
    if (!r->anew) {
        int read = enf_kernel_read_set(d->kernel, ENF_KERNEL_QUARANTINE4, one_is_there, NULL);
        if (read == 0)
            read = enf_kernel_read_set(d->kernel, ENF_KERNEL_QUARANTINE6, one_is_there, NULL);
        r->anew = read == 0;
    }
    int err = enf_quarantine_each(d->quarantine, restore_one, r);
    if (err == 0)
        err = push(r);
    free(r);
    if (err == 0)
        err = enf_nets_check(d, ENF_FAMILY_V4, &nets, &wrong);
    if (err == 0)
        err = enf_nets_check(d, ENF_FAMILY_V6, &nets, &wrong);
    return err;
}
