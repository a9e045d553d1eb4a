/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sinks of a configuration as the hub wants them, and another look at those that had no room. */
#include "enforcer/daemon/sinks.h"

#include "enforcer/daemon/daemon.h"

#define PAUSE_MIN_MS 2
#define PAUSE_MAX_MS 250

_Static_assert(ENF_EVENT_SINKS_MAX <= ENF_HUB_SINKS_MAX, "the hub has room for all");

static enum enf_hub_sink_type type_of(const struct enf_event_sink *sink)
{
    static const enum enf_hub_sink_type syslog[] = {
        [ENF_TRANSPORT_LOCAL] = ENF_HUB_SYSLOG_LOCAL,
        [ENF_TRANSPORT_UDP] = ENF_HUB_SYSLOG_UDP,
        [ENF_TRANSPORT_TCP] = ENF_HUB_SYSLOG_TCP,
    };

    switch (sink->type) {
    case ENF_SINK_SYSLOG:
        return syslog[sink->transport];
    case ENF_SINK_UNIX:
        return ENF_HUB_UNIX;
    case ENF_SINK_FILE:
        break;
    }
    return ENF_HUB_FILE;
}

size_t enf_sinks_make(const struct enf_config *config, struct enf_hub_sink out[ENF_EVENT_SINKS_MAX])
{
    size_t len = 0;

    for (; len < config->events_len && len < ENF_EVENT_SINKS_MAX; len++) {
        const struct enf_event_sink *sink = &config->events[len];

        out[len] = (struct enf_hub_sink){
            .path = sink->path,
            .type = type_of(sink),
            .address = sink->address,
            .port = sink->port,
            .format = sink->format == ENF_FORMAT_CEF ? ENF_HUB_CEF : ENF_HUB_ECS,
            .facility = sink->facility,
            .actions = sink->actions,
            .severity_min = sink->severity,
        };
    }
    return len;
}

bool enf_sinks_need_network(const struct enf_config *config)
{
    for (size_t i = 0; i < config->events_len; i++) {
        if (config->events[i].type == ENF_SINK_SYSLOG && config->events[i].transport != ENF_TRANSPORT_LOCAL)
            return true;
    }
    return false;
}

static void on_pump(uv_timer_t *timer);

static void again(struct enf_daemon *d)
{
    uv_timer_start(&d->pump.timer, on_pump, d->pump.pause_ms, 0);
}

/* One that takes a few at a time gets them fast, one that is stuck costs little. */
static void on_pump(uv_timer_t *timer)
{
    struct enf_daemon *d = timer->data;
    size_t sent = enf_hub_pump(d->hub, enf_clock_steady_ms());

    d->pump.pause_ms = sent > 0 ? PAUSE_MIN_MS : d->pump.pause_ms * 2;
    if (d->pump.pause_ms > PAUSE_MAX_MS)
        d->pump.pause_ms = PAUSE_MAX_MS;
    if (enf_hub_is_busy(d->hub))
        again(d);
}

void enf_sinks_open(struct enf_daemon *d)
{
    uv_timer_init(&d->loop, &d->pump.timer);
    d->pump.timer.data = d;
    d->pump.ready = true;
}

void enf_sinks_kick(struct enf_daemon *d)
{
    if (!d->pump.ready || uv_is_active((const uv_handle_t *)&d->pump.timer) || !enf_hub_is_busy(d->hub))
        return;
    d->pump.pause_ms = PAUSE_MIN_MS;
    again(d);
}

void enf_sinks_close(struct enf_daemon *d)
{
    if (!d->pump.ready)
        return;
    d->pump.ready = false;
    uv_close((uv_handle_t *)&d->pump.timer, NULL);
}
