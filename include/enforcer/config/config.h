/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: YAML text in, checked values out. Pure: the caller reads the files, names the users and
 * prints the errors. docs/configuration.md describes every key. */
#pragma once

#include "enforcer/core/addr.h"
#include "enforcer/core/event.h"
#include "enforcer/core/rangemap.h"
#include "enforcer/policy/decide.h"
#include "enforcer/policy/group.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_CONFIG_TEXT_MAX        (16u << 20) /* bytes of YAML: more is refused */
#define ENF_CONFIG_ERRORS_MAX      200         /* reported in one run; one more says that there are others */
#define ENF_INTERFACES_MAX         256
#define ENF_RELAYS_MAX             1024
#define ENF_SMARTHOSTS_MAX         1024
#define ENF_ADDRESSES_MAX          4096  /* of one relay or smarthost */
#define ENF_PREFIXES_MAX           65536 /* of one group, and of quarantine.never */
#define ENF_OVERRIDES_MAX          65536 /* subscribers of one group with settings of their own */
#define ENF_TRAPS_MAX              65536 /* of one list */
#define ENF_PRINCIPALS_MAX         256
#define ENF_ESCALATION_MAX         16
#define ENF_GARDEN_PREFIXES_MAX    4096 /* of quarantine.portal, of lifeline, of resolvers */
#define ENF_REDIRECT_PORTS_MAX     8
#define ENF_URL_LEN                256 /* bytes with the zero */
#define ENF_WORKERS_MAX            16  /* bound of queue.count */
#define ENF_EVENT_SINKS_MAX        16
#define ENF_HOOKS_MAX              16
#define ENF_HOOK_WORDS_MAX         16       /* the program and its arguments */
#define ENF_CONFIG_SUBSCRIBERS_MAX 20000000 /* bound of detector.max_subscribers */
#define ENF_QUARANTINE_MAX         1900000 /* bound of quarantine.max_entries: a kernel set holds 2,000,000 */
#define ENF_PATH_LEN               256
#define ENF_SOCKET_PATH_MAX        107     /* bytes: what a socket address of the kernel holds */
#define ENF_PREFIX_LINES_MAX       2000000 /* of a prefix file */

enum enf_mode {
    ENF_MODE_ENFORCE,
    ENF_MODE_OBSERVE,
};

enum enf_antispoof {
    ENF_ANTISPOOF_OFF,
    ENF_ANTISPOOF_GROUPS,
    ENF_ANTISPOOF_STRICT,
};

/* What becomes of the web traffic of who is at level full. */
enum enf_redirect {
    ENF_REDIRECT_NONE,   /* refused like all else */
    ENF_REDIRECT_DNAT,   /* to the portal; switches connection tracking on */
    ENF_REDIRECT_TPROXY, /* to a web server on this router */
};

enum enf_fail {
    ENF_FAIL_CLOSED,
    ENF_FAIL_OPEN,
};

/* "eth1" or "ppp*". */
struct enf_interface {
    char name[ENF_IFNAME_LEN + 1];
};

struct enf_relay {
    char name[ENF_NAME_LEN];
    struct enf_prefix *addresses;
    size_t addresses_len;
    char interface[ENF_IFNAME_LEN + 1]; /* "" where none is given */
    char owner[ENF_OWNER_LEN];          /* likewise */
    char reason[ENF_OWNER_LEN];
    uint64_t expires_ms; /* wall clock; 0: never */
};

struct enf_smarthost {
    char name[ENF_NAME_LEN];
    struct enf_prefix *addresses;
    size_t addresses_len;
    bool quarantined_may_use;
};

/* A user name or, with group set, a group name ("@noc" is {"noc", true}). */
struct enf_principal {
    char name[ENF_NAME_LEN];
    bool group;
};

enum enf_sink_type {
    ENF_SINK_FILE,
    ENF_SINK_SYSLOG,
    ENF_SINK_UNIX,
};

enum enf_transport {
    ENF_TRANSPORT_LOCAL,
    ENF_TRANSPORT_UDP,
    ENF_TRANSPORT_TCP,
};

enum enf_format {
    ENF_FORMAT_ECS,
    ENF_FORMAT_CEF,
};

struct enf_event_sink {
    enum enf_sink_type type;
    enum enf_transport transport; /* of syslog */
    enum enf_format format;
    char path[ENF_PATH_LEN]; /* of file, unix, and syslog with transport local */
    struct enf_addr address; /* of the other transports */
    uint16_t port;
    uint8_t facility;  /* of syslog: 0 to 23 */
    uint64_t actions;  /* a bit an action; 0: all */
    uint32_t severity; /* at least that; 0: any */
};

struct enf_hook_word {
    char text[ENF_PATH_LEN];
};

/* A program that is run for events. */
struct enf_hook_config {
    char name[ENF_NAME_LEN];
    uint64_t actions; /* a bit an action; 0: all */
    uint32_t severity;
    struct enf_hook_word *run; /* the program and its arguments */
    size_t run_len;
    uint64_t timeout_ms;
};

struct enf_prefix_list {
    struct enf_prefix *items;
    size_t len;
};

/* Owned whole by the caller of enf_config_parse; freed by enf_config_free. Arrays are never NULL with len >
 * 0. */
struct enf_config {
    enum enf_mode mode;
    struct {
        struct enf_interface *subscriber;
        size_t subscriber_len;
        struct enf_interface *upstream;
        size_t upstream_len;
    } interfaces;
    struct enf_relay *relays;
    size_t relays_len;
    struct {
        uint64_t unused_ms; /* told as unused after so long without a connection */
        bool lapse;         /* what is unused or expired is no relay any more */
    } relay_policy;
    struct enf_smarthost *smarthosts;
    size_t smarthosts_len;
    struct enf_group *groups;
    size_t groups_len;
    struct enf_addr *traps; /* all trap addresses that any detector settings point into */
    size_t traps_len;
    size_t max_subscribers;
    struct {
        bool automatic;
        enum enf_level level;
        uint64_t duration_ms;
        struct enf_decide_step escalation[ENF_ESCALATION_MAX];
        size_t escalation_len;
        uint64_t memory_ms;
        size_t max_entries;
        struct {
            uint32_t convictions;
            uint64_t per_ms;
        } governor;
        struct enf_prefix_list never;
        struct {
            uint32_t connections;
            uint64_t per_ms;
        } throttle;
        enum enf_block_with block_with;
        struct enf_prefix_list portal;    /* level full: what stays reachable */
        struct enf_prefix_list lifeline;  /* the same, never redirected */
        struct enf_prefix_list resolvers; /* for DNS; empty: any */
        enum enf_redirect redirect;
        uint16_t redirect_ports[ENF_REDIRECT_PORTS_MAX];
        size_t redirect_ports_len;
        struct {
            uint16_t port; /* 0: not given */
            uint32_t mark;
        } tproxy;
        char portal_url[ENF_URL_LEN]; /* "" where none is given */
        char venue_info_url[ENF_URL_LEN];
        struct {
            uint32_t times; /* 0: nobody releases himself */
            uint64_t per_ms;
        } self_release;
    } quarantine;
    struct {
        bool drop_source_port_25;
        bool stateless;
        char bogons[ENF_PATH_LEN]; /* "" for none; relative to the configuration file's folder */
    } inbound;
    enum enf_antispoof antispoof;
    struct {
        uint16_t first;
        uint16_t count;
        enum enf_fail fail;
    } queue;
    struct {
        char socket[ENF_PATH_LEN];
        struct enf_principal *admins;
        size_t admins_len;
        struct enf_principal *viewers;
        size_t viewers_len;
        struct enf_principal *portal; /* may ask for one address and release it, nothing else */
        size_t portal_len;
    } control;
    struct enf_event_sink *events;
    size_t events_len;
    struct enf_hook_config *hooks;
    size_t hooks_len;
    struct {
        char organisation[201]; /* "": no report can be made; 200: XARF's own bound */
        char contact[255];
        char domain[254];
    } report;
    uint64_t aggregate_ms;
    char state[ENF_PATH_LEN];
    struct {
        struct enf_addr address; /* family 0: no metrics over HTTP */
        uint16_t port;
    } metrics;
    void *owned; /* the storage of all arrays above: private to config/ */
};

/* All errors of one run, each "FILE:LINE: key: expected …, found …" without a newline, ordered by line. */
struct enf_config_errors {
    char **lines;
    size_t len;
};

/* Parses text (len bytes, need not be terminated); file_name is only for the messages. 0 with *out set,
 * *errors empty; -EINVAL with *errors filled and *out untouched; -ENOMEM. Both are the caller's to free in
 * every case. */
int enf_config_parse(const char *file_name, const char *text, size_t len, struct enf_config **out,
                     struct enf_config_errors *errors);
/* Accepts NULL content; clears the caller's pointer. */
void enf_config_free(struct enf_config **config);
void enf_config_errors_clear(struct enf_config_errors *errors);

/* The bogon list: prefixes one a line, comments after `#` or `;`, blanks around, mixed families, overlapping
 * ones allowed and host bits set accepted and cleared (real lists have all of that). In the order of the
 * file, repeated ones too. Same error format (the key is "prefix") and return values. Up to
 * ENF_PREFIX_LINES_MAX lines. */
int enf_config_parse_prefixes(const char *file_name, const char *text, size_t len,
                              struct enf_prefix_list *out, struct enf_config_errors *errors);
/* Frees the items of a list that enf_config_parse_prefixes filled; accepts NULL. */
void enf_prefix_list_clear(struct enf_prefix_list *list);
