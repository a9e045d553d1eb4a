/* SPDX-License-Identifier: GPL-2.0-or-later */
/* events: the stream, one line an event. */
#include "enforcer/core/text.h"
#include "tools/enforcerctl/args.h"
#include "tools/enforcerctl/print.h"
#include "tools/enforcerctl/rpc.h"

#include <stdio.h>
#include <string.h>

#define ACTION_WIDTH 21      /* of the longest */
#define ALL          "3650d" /* longer ago than anything the daemon remembers */

static enum print_color color_of(const json_t *event)
{
    long long severity = number_at(event, "event.severity");

    if (severity >= 73)
        return PRINT_RED;
    return severity >= 47 ? PRINT_YELLOW : PRINT_PLAIN;
}

/* Writes "  label text" where there is text. */
static void part(const char *label, const char *text)
{
    if (!text[0])
        return;
    printf("  %s", label);
    print_clean(stdout, text);
}

static void print_flow(const json_t *event)
{
    const char *source = text_at(event, "source.ip");
    const char *destination = text_at(event, "destination.ip");

    part("from ", source);
    if (source[0] && number_at(event, "source.port"))
        printf(" port %lld", number_at(event, "source.port"));
    part("to ", destination);
    if (destination[0] && number_at(event, "destination.port"))
        printf(" port %lld", number_at(event, "destination.port"));
    part("on ", text_at(event, "observer.ingress.interface.name"));
}

static void print_count(const json_t *event)
{
    uint64_t interval = (uint64_t)number_at(event, "enforcer.interval_ms");
    long long count = number_at(event, "enforcer.count");
    char buf[ENF_TIME_STR_LEN];

    if (count == 0)
        return;
    printf("  %lld times", count);
    if (interval)
        printf(" in %s", enf_duration_str(interval, buf, sizeof(buf)));
}

static void print_event(const struct ctl *ctl, const json_t *event)
{
    const char *action = text_at(event, "event.action");
    enum print_color color = color_of(event);
    char buf[PRINT_TIME_LEN];

    printf("%s%s  ", print_begin(ctl, color), time_at(event, "@timestamp", buf));
    print_clean(stdout, action);
    printf("%*s", strlen(action) < ACTION_WIDTH ? (int)(ACTION_WIDTH - strlen(action)) : 0, "");
    part("", text_at(event, "enforcer.subscriber"));
    part("group ", text_at(event, "enforcer.group"));
    print_flow(event);
    print_count(event);
    part("level ", text_at(event, "enforcer.level"));
    if (json_at(event, "enforcer.until") && strcmp(action, "released") != 0) /* it is over */
        part("until ", until_at(ctl, event, "enforcer.until", buf));
    part("by ", text_at(event, "enforcer.actor"));
    part("ticket ", text_at(event, "enforcer.ticket"));
    part("", text_at(event, "event.reason"));
    if (strcmp(text_at(event, "event.outcome"), "failure") == 0)
        fputs("  FAILED", stdout);
    printf("%s\n", print_end(ctl, color));
}

/* One notification. CTL_DONE to go on. */
static int print_next(const struct ctl *ctl, const json_t *message)
{
    const json_t *event = json_at(message, "params");

    if (strcmp(text_at(message, "method"), "events.lost") == 0) {
        fprintf(stderr, "enforcerctl: too slow: %lld events are lost, the daemon closed the stream\n",
                number_at(event, "lost"));
        return CTL_REFUSED;
    }
    if (!json_is_object(event))
        return CTL_DONE;
    if (ctl->json) {
        json_dumpf(event, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
        putchar('\n');
    } else {
        print_event(ctl, event);
    }
    return fflush(stdout) == 0 ? CTL_DONE : CTL_REFUSED;
}

/* Prints what comes, up to the event `last` unless it is told to follow. */
static int print_stream(const struct ctl *ctl, struct ctl_rpc *rpc, long long first, long long last)
{
    bool follow = ctl->options[CTL_OPT_FOLLOW] != NULL;
    int rc = CTL_DONE;

    while (rc == CTL_DONE && (follow || first <= last)) {
        json_t *message = NULL;

        rc = ctl_rpc_next(rpc, &message);
        if (rc)
            return rc;
        rc = print_next(ctl, message);
        if (number_at(message, "params.event.sequence") > 0)
            first = number_at(message, "params.event.sequence") + 1;
        json_decref(message);
    }
    return rc;
}

int ctl_events(const struct ctl *ctl)
{
    const char *since = ctl->options[CTL_OPT_SINCE];
    struct ctl_rpc *rpc = NULL;
    json_t *result = NULL;
    uint64_t ms;
    int rc;

    if (since && enf_time_parse(since, &ms) != 0 && !args_is_duration(ctl, CTL_OPT_SINCE, false))
        return CTL_USAGE;
    if (!since && !ctl->options[CTL_OPT_FOLLOW])
        since = ALL;
    rc = ctl_rpc_open(ctl, &rpc);
    if (rc)
        return rc;
    rc = ctl_rpc_call(rpc, "events.subscribe", json_pack("{s:s*}", "since", since), &result);
    if (rc == CTL_DONE)
        rc = print_stream(ctl, rpc, number_at(result, "first"), number_at(result, "last"));
    json_decref(result);
    ctl_rpc_close(&rpc);
    return rc;
}
