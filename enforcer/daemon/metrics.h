/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics over HTTP: what docs/monitoring/README.md lists. The page is made by the control thread when
 * somebody asks for it, at most once a second; the server's own thread only hands it out. */
#pragma once

#include "enforcer/daemon/tally.h"
#include "enforcer/detect/detector.h"
#include "enforcer/metrics/server.h"

#include <stdbool.h>
#include <uv.h>

struct enf_daemon;

struct enf_daemon_metrics {
    struct enf_metrics *server; /* NULL: off */
    bool listening;             /* fd is open and no server has it yet */
    int fd;
    bool woken; /* the handle is initialised */
    uv_async_t wanted;
    uint64_t convictions[ENF_CAUSE_COUNT]; /* of the detector, by signal */
    uint64_t metered;                      /* of the kernel's meter */
    uint64_t suspects;
    struct enf_tally tally;
};

/* Opens the socket, while that can be done. Where it cannot, that is said, and there are no metrics. */
void enf_metrics_open(struct enf_daemon *d);
/* The thread begins. That it did not is said. */
void enf_metrics_begin(struct enf_daemon *d);
/* Ends the thread and closes the handle; the loop must run once more. Twice is fine. */
void enf_metrics_end(struct enf_daemon *d);
