/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.rollout: who uses port 25 today, which of them look like mail servers that are no relays yet, what
 * would be blocked and who would be in quarantine. */
#include "enforcer/core/array.h"
#include "enforcer/core/text.h"
#include "enforcer/daemon/methods.h"
#include "enforcer/policy/senders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 100
#define LIST_MAX     1000
#define FOUND_MAX    16384 /* hosts looked at: those of two full tables of workers */

struct group_sum {
    uint64_t subscribers;
    uint64_t connections;
    uint64_t blocked;
    uint64_t enforced;          /* subscribers in the canary's share */
    uint64_t would_subscribers; /* whose connections pass and would be refused */
    uint64_t would_connections;
    uint64_t would_quarantine;
};

struct found {
    struct enf_sender sender;
    enum enf_sender_kind kind;
    bool serves;
};

struct report {
    struct enf_daemon *d;
    struct group_sum *groups;
    struct enf_addr *served; /* sorted */
    size_t served_len;
    size_t served_size;
    struct found *found;
    size_t found_len;
    bool found_more;
    size_t limit;
    json_t *would;
    uint64_t would_total;
    int err;
};

static size_t group_at(const struct report *r, const struct enf_group *group)
{
    return (size_t)(group - r->d->running->config->groups);
}

/* --- what the kernel saw answering port 25 --- */

static int add_served(void *ctx, const struct enf_range *range, uint64_t expires_ms)
{
    struct report *r = ctx;

    (void)expires_ms;
    struct enf_addr *served = enf_array_grow(r->served, r->served_len, &r->served_size, sizeof *served);
    if (!served)
        return -ENOMEM;
    r->served = served;
    r->served[r->served_len++] = range->first;
    return 0;
}

static int compare_addrs(const void *a, const void *b)
{
    return enf_addr_cmp(a, b);
}

/* Without the table, or with one that changes all the time, nobody is known to serve. */
static void read_served(struct report *r)
{
    enf_kernel_read_set(r->d->kernel, ENF_KERNEL_SERVED4, add_served, r);
    enf_kernel_read_set(r->d->kernel, ENF_KERNEL_SERVED6, add_served, r);
    if (r->served_len > 0)
        qsort(r->served, r->served_len, sizeof *r->served, compare_addrs);
}

static bool serves(const struct report *r, const struct enf_addr *addr)
{
    return r->served_len > 0 &&
           bsearch(addr, r->served, r->served_len, sizeof *r->served, compare_addrs) != NULL;
}

/* --- who looks like a mail server --- */

static int add_sender(void *ctx, const struct enf_sender *sender)
{
    struct report *r = ctx;
    bool serving = serves(r, &sender->address);
    enum enf_sender_kind kind = enf_sender_judge(sender, serving);

    if (kind == ENF_SENDER_OTHER || enf_rangemap_find(&r->d->relays, &sender->address) ||
        !enf_group_find(&r->d->running->groups, &sender->address))
        return 0;
    if (r->found_len == FOUND_MAX) {
        r->found_more = true;
        return 0;
    }
    r->found[r->found_len++] = (struct found){.sender = *sender, .kind = kind, .serves = serving};
    return 0;
}

/* The likely ones first, then those who send most. */
static int compare_found(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind > y->kind ? -1 : 1;
    if (x->sender.answered != y->sender.answered)
        return x->sender.answered > y->sender.answered ? -1 : 1;
    return enf_addr_cmp(&x->sender.address, &y->sender.address);
}

struct attempts {
    uint64_t connections;
    uint64_t blocked;
};

static void take_attempts(void *ctx, const struct enf_detector_view *view)
{
    struct attempts *a = ctx;

    if (view)
        *a = (struct attempts){view->connections, view->blocked};
}

/* Where port 25 is blocked already nothing is answered; but who answers port 25 itself and tries is known. */
static void add_blocked_servers(struct report *r)
{
    const struct enf_running *running = r->d->running;
    struct enf_detector_settings none = enf_detector_defaults(ENF_POLICY_NONE);

    for (size_t i = 0; i < r->served_len && r->found_len < FOUND_MAX; i++) {
        const struct enf_addr *addr = &r->served[i];
        const struct enf_group *group = enf_group_find(&running->groups, addr);
        struct attempts attempts = {0};
        if (!group || enf_group_policy(group, addr) != ENF_POLICY_BLOCK ||
            enf_rangemap_find(&r->d->relays, addr))
            continue;
        struct enf_prefix subscriber = enf_group_subscriber(group, addr);
        enf_crew_show(&r->d->crew, &subscriber, &none, take_attempts, &attempts);
        if (attempts.blocked == 0)
            continue;
        struct found *found = &r->found[r->found_len++];
        *found = (struct found){.kind = ENF_SENDER_LIKELY, .serves = true};
        found->sender.address = *addr;
    }
}

static json_t *found_json(const struct report *r, const struct found *f)
{
    const struct enf_sender *s = &f->sender;
    const struct enf_group *group = enf_group_find(&r->d->running->groups, &s->address);
    struct enf_prefix subscriber = enf_group_subscriber(group, &s->address);
    char address[ENF_PREFIX_STR_LEN], text[ENF_PREFIX_STR_LEN];

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o}", "address",
        enf_addr_str(&s->address, address, sizeof address), "subscriber",
        enf_prefix_str(&subscriber, text, sizeof text), "group", group ? group->name : "", "verdict",
        enf_sender_kind_name(f->kind), "serves", (int)f->serves, "enforced",
        (int)(group && r->d->mode == ENF_MODE_ENFORCE && enf_group_in_canary(group, &s->address)),
        "quarantined", (int)enf_quarantine_find(r->d->quarantine, &subscriber, NULL), "answered",
        (json_int_t)s->answered, "failed", (json_int_t)s->failed, "destinations",
        (json_int_t)enf_sender_destinations(s), "ended", (json_int_t)s->ended, "quits", (json_int_t)s->quits,
        "accepted", (json_int_t)s->accepted, "refused", (json_int_t)s->refused, "interface", s->interface,
        "first_seen", enf_time_json(s->first_ms), "last_seen", enf_time_json(s->last_ms));
}

/* --- the snippet --- */

/* Others stand in comments: to be looked at first. */
static bool is_sure(const struct found *f)
{
    return f->kind == ENF_SENDER_LIKELY && *f->sender.interface;
}

/* Whoever sends from an address inside of a group must come in by one interface (docs/configuration.md). */
static void put_relay(FILE *out, const struct report *r, const struct found *f, size_t number)
{
    const struct enf_sender *s = &f->sender;
    const struct enf_group *group = enf_group_find(&r->d->running->groups, &s->address);
    const char *off = is_sure(f) ? "" : "# ";
    char address[ENF_PREFIX_STR_LEN];

    fprintf(out,
            "  %s- name: found-%zu # %s, group %s: %" PRIu32 " answered connections to about %u servers%s\n",
            off, number, enf_sender_kind_name(f->kind), group ? group->name : "none", s->answered,
            enf_sender_destinations(s), f->serves ? ", answers port 25 itself" : "");
    fprintf(out, "  %s  addresses: [\"%s\"]\n", off, enf_addr_str(&s->address, address, sizeof address));
    fprintf(out, "  %s  interface: \"%s\" # a neighbour there could use the address: see antispoof\n", off,
            *s->interface ? s->interface : "?");
}

static char *snippet(const struct report *r, size_t len)
{
    struct enf_text written;
    char *text = NULL;
    size_t sure = 0;
    FILE *out = enf_text_open(&written);

    if (!out)
        return NULL;
    for (size_t i = 0; i < len; i++)
        sure += is_sure(&r->found[i]);
    fputs(sure > 0 ? "relays:\n" : len > 0 ? "# relays:\n" : "", out);
    for (size_t i = 0; i < len; i++)
        put_relay(out, r, &r->found[i], i + 1);
    return enf_text_close(out, &written, &text) == 0 ? text : NULL;
}

/* --- subscribers --- */

static int add_subscriber(void *ctx, const struct enf_detector_top *subscriber)
{
    struct report *r = ctx;
    const struct enf_addr *addr = &subscriber->subscriber.addr;
    const struct enf_group *group = enf_group_find(&r->d->running->groups, addr);

    if (!group)
        return 0;
    struct group_sum *sum = &r->groups[group_at(r, group)];
    uint64_t passed = subscriber->connections - subscriber->blocked;
    sum->subscribers++;
    sum->connections += subscriber->connections;
    sum->blocked += subscriber->blocked;
    sum->enforced += enf_group_in_canary(group, addr);
    if (group->policy == ENF_POLICY_BLOCK && passed > 0) {
        sum->would_subscribers++;
        sum->would_connections += passed;
    }
    return 0;
}

static int add_would(void *ctx, const struct enf_quarantine *entry)
{
    struct report *r = ctx;
    const struct enf_group *group = enf_group_find(&r->d->running->groups, &entry->subscriber.addr);
    char text[ENF_PREFIX_STR_LEN];

    r->would_total++;
    if (group)
        r->groups[group_at(r, group)].would_quarantine++;
    if (json_array_size(r->would) >= r->limit)
        return 0;
    return json_array_append_new(r->would, json_pack("{s:s, s:o, s:o, s:o, s:s}", "subscriber",
                                                     enf_prefix_str(&entry->subscriber, text, sizeof text),
                                                     "group", group ? json_string(group->name) : json_null(),
                                                     "since", enf_time_json(entry->since_ms), "until",
                                                     enf_time_json(entry->until_ms), "level",
                                                     enf_level_name(entry->level))) < 0
               ? -ENOMEM
               : 0;
}

static json_t *group_json(const struct report *r, size_t i)
{
    const struct enf_group *group = &r->d->running->config->groups[i];
    const struct group_sum *sum = &r->groups[i];

    return json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:{s:I, s:I}, s:I}", "name", group->name, "policy",
                     enf_policy_name(group->policy), "canary_percent", (int)group->canary_percent,
                     "subscribers", (json_int_t)sum->subscribers, "enforced", (json_int_t)sum->enforced,
                     "connections", (json_int_t)sum->connections, "blocked", (json_int_t)sum->blocked,
                     "would_block", "subscribers", (json_int_t)sum->would_subscribers, "connections",
                     (json_int_t)sum->would_connections, "would_quarantine",
                     (json_int_t)sum->would_quarantine);
}

static json_t *report_json(const struct report *r)
{
    size_t shown = r->found_len < r->limit ? r->found_len : r->limit;
    char *text = snippet(r, shown);
    json_t *groups = json_array(), *servers = json_array();

    for (size_t i = 0; groups && i < r->d->running->config->groups_len; i++)
        json_array_append_new(groups, group_json(r, i));
    for (size_t i = 0; servers && i < shown; i++)
        json_array_append_new(servers, found_json(r, &r->found[i]));
    json_t *out = text
                      ? json_pack("{s:o, s:s, s:o, s:o, s:I, s:b, s:s, s:O, s:I}", "since",
                                  enf_time_json(r->d->started_ms), "mode",
                                  r->d->mode == ENF_MODE_OBSERVE ? "observe" : "enforce", "groups", groups,
                                  "mail_servers", servers, "mail_servers_total", (json_int_t)r->found_len,
                                  "mail_servers_more", (int)r->found_more, "relays", text, "would_quarantine",
                                  r->would, "would_quarantine_total", (json_int_t)r->would_total)
                      : NULL;
    free(text);
    return out;
}

METHOD(enf_method_rollout)
{
    static const char *const known[] = {"limit", NULL};
    struct enf_daemon *d = ctx;
    int64_t limit = LIST_DEFAULT;

    (void)caller;
    if (enf_params_known(params, known, error) < 0 ||
        enf_params_integer(params, "limit", ENF_PARAM_OPTIONAL, 1, LIST_MAX, &limit, error) < 0)
        return -EINVAL;
    struct report r = {.d = d, .limit = (size_t)limit, .would = json_array()};
    r.groups = calloc(d->running->config->groups_len + 1, sizeof *r.groups);
    r.found = calloc(FOUND_MAX, sizeof *r.found);
    json_t *out = NULL;
    if (r.groups && r.found && r.would) {
        enf_reports_handle(d); /* what workers have said, and nobody has read yet */
        read_served(&r);
        enf_crew_senders(&d->crew, add_sender, &r);
        add_blocked_servers(&r);
        qsort(r.found, r.found_len, sizeof *r.found, compare_found);
        enf_crew_each(&d->crew, add_subscriber, &r);
        if (enf_quarantine_each(d->would, add_would, &r) == 0)
            out = report_json(&r);
    }
    free(r.groups);
    free(r.found);
    free(r.served);
    json_decref(r.would);
    return enf_done(out, result, error);
}
