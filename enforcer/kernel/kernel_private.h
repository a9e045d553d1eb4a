/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The adapter's own struct. Private to kernel/. */
#pragma once

#include "enforcer/kernel/kernel.h"

#include "enforcer/kernel/netlink.h"

struct enf_kernel {
    struct enf_netlink nl;
};
