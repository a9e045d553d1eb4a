/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The web server for metrics: one thread, that only knows the latest page. It answers GET and HEAD of
 * /metrics and nothing else, and closes each connection behind the answer. */
#pragma once

#include "enforcer/core/addr.h"

#include <stddef.h>
#include <stdint.h>

#define ENF_METRICS_CONNECTIONS 16    /* at once; a further one is refused */
#define ENF_METRICS_LIFE_MS     10000 /* of a connection, whatever it does */
#define ENF_METRICS_FRESH_MS    1000  /* a page this young is given again */
#define ENF_METRICS_PATIENCE_MS 5000  /* for a new page; then 503 */

struct enf_metrics; /* private to server.c */

struct enf_metrics_params {
    int fd;                 /* of enf_metrics_listen; taken over */
    int (*seal)(void *ctx); /* called by the thread before it reads anything; not 0: it reads nothing */
    void (*wanted)(
        void *ctx); /* a new page is wanted: have enf_metrics_publish called soon. From the server's thread */
    void *ctx;
};

/* A socket that listens on address and port (host byte order). 0 with *out the caller's, or -errno. */
int enf_metrics_listen(const struct enf_addr *address, uint16_t port, int *out);

/* Starts the thread. 0 once it is sealed, with *out set; -errno, what seal said among them: then fd is
 * closed. */
int enf_metrics_start(const struct enf_metrics_params *params, struct enf_metrics **out);

/* A new page in both formats; takes both texts over. From any thread. */
void enf_metrics_publish(struct enf_metrics *server, char *openmetrics, size_t openmetrics_len, char *plain,
                         size_t plain_len);

/* Ends thread and connections. wanted is not called any more when it returns. Accepts NULL content, clears.
 */
void enf_metrics_stop(struct enf_metrics **server);
