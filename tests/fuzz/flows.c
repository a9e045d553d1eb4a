/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a file of flow records: the first byte says of which format, and how many connections the
 * window that sorts them may hold back. The parsers belong to a tool, so they are in no room's library. */
#include "tools/enforcer-replay/flow.c"
#include "tools/enforcer-replay/flow_columns.c"
#include "tools/enforcer-replay/flow_eve.c"
#include "tools/enforcer-replay/flow_joins.c"
#include "tools/enforcer-replay/flow_nfdump.c"
#include "tools/enforcer-replay/flow_session.c"
#include "tools/enforcer-replay/flow_text.c"
#include "tools/enforcer-replay/flow_window.c"
#include "tools/enforcer-replay/flow_zeek.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct flow *flow)
{
    bool ok = flow->destination_port == ENF_SMTP_PORT && flow->source.family == flow->destination.family &&
              flow->source.family != ENF_FAMILY_NONE && (unsigned)flow->outcome < FLOW_OUTCOME_COUNT &&
              flow->start_ms <= TIME_MS_MAX + 86400000;
    bool silent = flow->says == 0 && flow->helo_form == ENF_HELO_NONE && flow->recipients == 0;
    bool both = (flow->says & FLOW_SAYS_ACCEPTED) && (flow->says & FLOW_SAYS_REFUSED);
    if (!ok || both || (!flow->of_session && !silent) ||
        ((flow->says & FLOW_SAYS_HELO) && flow->helo_form == ENF_HELO_NONE))
        abort();
}

/* A connection is new once, and everything is told once. */
static void join(const struct flow *flow)
{
    static struct flow_joins joins; /* of all runs: it is large */
    (void)flow_joins_is_new(&joins, flow->session);
    uint8_t untold = flow_joins_untold(&joins, flow->session, flow->says);
    if (flow_joins_is_new(&joins, flow->session) || (untold & ~flow->says) ||
        (flow->session != 0 && !joins.forgot && flow_joins_untold(&joins, flow->session, flow->says) != 0))
        abort();
}

/* Whatever goes in comes out, each as early as the window's size allows. */
static void hold(struct flow_window *window, const struct flow *flow, size_t *inside)
{
    struct flow earliest;
    int rc = flow_window_push(window, flow, &earliest);
    if (rc < 0)
        abort();
    *inside += rc == 0;
    if (window->len != *inside || window->len > window->max ||
        (rc == 1 && window->len > 0 && earliest.start_ms > window->heap[0].flow.start_ms))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct flow_parser parser = flow_parser_make((enum flow_format)(1 + data[0] % FLOW_FORMAT_NFDUMP), 1);
    struct flow_window window = {.max = data[0] >> 4};
    struct flow flow;
    size_t inside = 0;
    const char *at = (const char *)data + 1;
    const char *end = (const char *)data + size;
    (void)flow_recognise(at, (size_t)(end - at));
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline ? newline : end) - at);
        /* A copy of its own, so that reading beyond the line is seen. */
        char *line = malloc(len ? len : 1);
        if (!line)
            abort();
        memcpy(line, at, len);
        enum flow_result result = flow_parse(&parser, line, len, &flow);
        if (result == FLOW_CONNECTION || result == FLOW_SESSION) {
            check(&flow);
            join(&flow);
            hold(&window, &flow, &inside);
        }
        free(line);
        at += len + 1;
    }
    uint64_t last = 0;
    while (flow_window_pop(&window, &flow)) {
        if (flow.start_ms < last)
            abort();
        last = flow.start_ms;
    }
    flow_window_clear(&window);
    return 0;
}
