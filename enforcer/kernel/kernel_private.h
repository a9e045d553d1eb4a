/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The adapter's own struct. Private to kernel/. */
#pragma once

#include "enforcer/kernel/kernel.h"

#include "enforcer/kernel/netlink.h"

struct enf_kernel {
    struct enf_netlink nl;
};

/* 0 where our table exists, -ENOENT where not, or -errno: the kernel answers many a question about a table
 * that is missing with an empty list. */
int enf_kernel_table_present(struct enf_kernel *kernel);
