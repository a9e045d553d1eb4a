/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts the daemon's own queue statement into the rules that `enforcerd --install` left behind, so that
 * another loop can be measured under the same rules: `queue_rule QUEUE`. */
#include "enforcer/kernel/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    uint16_t queue = argc > 1 ? (uint16_t)atoi(argv[1]) : 0;
    struct enf_kernel *kernel = NULL;
    enum enf_kernel_queue kind = ENF_KERNEL_QUEUE_NATIVE;
    int err = enf_kernel_open(&kernel);

    if (err == 0)
        err = enf_kernel_queue_install(kernel, queue, 1, false, &kind);
    if (err < 0)
        fprintf(stderr, "queue_rule: %s\n", strerror(-err));
    enf_kernel_close(&kernel);
    return err < 0 ? 1 : 0;
}
