/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ruleset: from plain values to nft text, and from text into the kernel in one transaction. The table is
 * `inet enforcer`; nothing outside of it is read for a decision, or written. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/core/rangemap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_TABLE               "enforcer"
#define ENF_LOG_GROUP           2525 /* of NFLOG, the first worker's; fixed: one daemon a network namespace */
#define ENF_RULESET_WORKERS_MAX 16
/* What an element of relay_used4 has left when it is made. */
#define ENF_RELAY_USED_MS (7ULL * 86400 * 1000)

enum enf_ruleset_antispoof {
    ENF_RULESET_ANTISPOOF_OFF,
    ENF_RULESET_ANTISPOOF_GROUPS,
    ENF_RULESET_ANTISPOOF_STRICT,
};

struct enf_notify; /* notify.h */

/* What becomes of the web traffic of who is at level full. */
enum enf_ruleset_redirect {
    ENF_RULESET_REDIRECT_NONE,
    ENF_RULESET_REDIRECT_DNAT,   /* to the first address of the portal of each family */
    ENF_RULESET_REDIRECT_TPROXY, /* to a port of this machine, with a mark that the operator routes by */
};

struct enf_ruleset_relay {
    struct enf_prefix prefix;
    const char *interface; /* "" or NULL: none */
};

struct enf_ruleset_smarthost {
    struct enf_prefix prefix;
    bool quarantined_may_use;
};

struct enf_ruleset_group {
    const char *name;
    enum enf_policy policy;
    bool reset;            /* TCP RST instead of silence */
    uint8_t subscriber_v6; /* bits */
    /* 0 to 99: this share of its subscribers is observed only, whatever the policy: those whose enf_share is
     * 100 - observed_percent or more. One that is observed as a whole has ENF_POLICY_OBSERVE. */
    uint8_t observed_percent;
    /* Token bucket behind the detector: rate in connections a minute (0: no meter) and size. */
    uint32_t meter_per_minute;
    uint32_t meter_burst;
};

/* All that the text depends on. Nothing is owned; the pointers must live through the call. */
struct enf_ruleset_spec {
    bool observe;        /* drop nothing, copy instead of queue */
    bool relays_in_text; /* for people who read it; in force the daemon fills these sets, which a reload must
                            keep */
    const char *const *subscriber_if;
    size_t subscriber_if_len;
    const char *const *upstream_if;
    size_t upstream_if_len;
    /* Those of the configuration: only their interfaces matter here. */
    const struct enf_ruleset_relay *relays;
    size_t relays_len;
    const struct enf_ruleset_smarthost *smarthosts;
    size_t smarthosts_len;
    const struct enf_ruleset_group *groups;
    size_t groups_len;
    const struct enf_rangemap *group_map; /* value: index into groups */
    const struct enf_prefix *never;       /* not quarantined by the meter, as relays and smarthosts */
    size_t never_len;
    const struct enf_prefix *bogons;
    size_t bogons_len;
    bool drop_source_port_25;
    bool stateless;
    enum enf_ruleset_antispoof antispoof;
    uint16_t queue;   /* the first worker's; the others follow */
    uint16_t workers; /* 0 or 1: one; up to ENF_RULESET_WORKERS_MAX */
    bool fail_open;
    uint32_t throttle_connections; /* level throttle: so many (0: one) … */
    uint64_t throttle_per_ms;      /* … in that time */
    bool quarantine_resets;        /* TCP of the quarantined is answered with a reset, else dropped */
    bool garden;                   /* somebody is at level full; not under observe */
    bool garden_nets;              /* a prefix is */
    const struct enf_prefix *portal;
    size_t portal_len;
    const struct enf_prefix *lifeline;
    size_t lifeline_len;
    const struct enf_prefix *resolvers; /* none: every one may be asked */
    size_t resolvers_len;
    enum enf_ruleset_redirect redirect; /* while garden is set */
    const uint16_t *redirect_ports;
    size_t redirect_ports_len;
    uint16_t tproxy_port;
    uint32_t tproxy_mark;
    bool meter_throttles;         /* what the meter catches is at level throttle, else smtp */
    bool automatic;               /* the meter may quarantine */
    uint64_t meter_quarantine_ms; /* for how long, until the daemon says otherwise */
    uint64_t meter_window_ms;     /* longest window that a bucket stands for */
};

/* The table as nft text, zero-terminated; the caller frees *out. 0, -ENOMEM, or -EINVAL for a broken template
 * and for a spec that contradicts itself (a map that names groups which do not exist, IPv6 subscribers
 * without a length). Names of groups and interfaces go into the text as they are: the configuration has
 * checked them, and no two group names differ in - and _ only. */
int enf_ruleset_render(const struct enf_ruleset_spec *spec, char **out);

/* Puts the text from enf_ruleset_render into the kernel of this network namespace, in one transaction: rules,
 * static sets and chains as the text says, the elements of dynamic sets, the quarantine and the relays as
 * they were. What an older text had and this one has not is removed. On failure nothing has changed, and
 * *error is nft's own message (the caller frees it; may be NULL). notify (NULL: none) is told when static
 * sets are filled (enf_notify_loading). 0, -EINVAL when the kernel or nft refuses, -ENOMEM, -errno of
 * netlink. Must not run in two threads at once. */
int enf_ruleset_load(const char *text, struct enf_notify *notify, char **error);

/* The same, but the chains queue0, queue1 … that the table has stay as they are, with the queue statements in
 * them: no packet meets the verdict behind a statement that is not there yet. Only where neither queues nor
 * fail mode change, and enf_kernel_queue_check says that the statements are there. */
int enf_ruleset_load_around_queues(const char *text, struct enf_notify *notify, char **error);

/* Only table and sets, no chain: for filling the quarantine before the first rule is in force. */
int enf_ruleset_load_sets(const char *text, char **error);

/* Asks nft whether it takes the text, without a change. Needs CAP_NET_ADMIN. */
int enf_ruleset_check(const char *text, char **error);

/* The table with its elements as nft lists it; the caller frees *out. nft 1.0.6 needs a minute for a million
 * elements: not for more than ENF_RULESET_LIST_MAX of them. */
#define ENF_RULESET_LIST_MAX 20000
int enf_ruleset_list(char **out, char **error);

/* Deletes the table. 0 also where there was none. */
int enf_ruleset_remove(char **error);
