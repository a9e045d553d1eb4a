/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon: where all rooms meet. Everything here belongs to the control thread, that of the libuv loop. */
#pragma once

#include "enforcer/control/server.h"
#include "enforcer/daemon/confirm.h"
#include "enforcer/daemon/crew.h"
#include "enforcer/daemon/cut.h"
#include "enforcer/daemon/hooks.h"
#include "enforcer/daemon/metrics.h"
#include "enforcer/daemon/relays.h"
#include "enforcer/daemon/report.h"
#include "enforcer/daemon/running.h"
#include "enforcer/daemon/telemetry.h"
#include "enforcer/daemon/truth.h"
#include "enforcer/kernel/kernel.h"
#include "enforcer/policy/history.h"
#include "enforcer/policy/quarantine.h"
#include "enforcer/sinks/hub.h"
#include "enforcer/store/history.h"
#include "enforcer/store/store.h"

#include <stdbool.h>
#include <uv.h>

#define ENF_DEFAULT_CONFIG  "/etc/enforcer/enforcer.yaml"
#define ENF_HAND_RELAYS_MAX 4096

struct enf_restore;

struct enf_hand_relay {
    struct enf_store_relay row;
    struct enf_relay_life life; /* that it lapsed stands here; row has what is on disk */
};

/* Desired against enforced, as of the last look. */
struct enf_coverage {
    uint64_t checked_steady_ms;
    size_t desired;
    size_t enforced;
    bool lost; /* told as lost, not yet as restored */
};

/* Level full has chains with hooks of their own, which cost every packet: only while anybody is at it. */
struct enf_garden {
    enum enf_garden_need open; /* those that are in the kernel */
    uint64_t since_ms;         /* steady: so many are not needed any more; 0: they are */
};

struct enf_conclusion;

/* Changes that wait for the disk together. */
struct enf_enforce_batch {
    bool on;
    struct enf_conclusion *items; /* in their order */
    size_t len, reserved, size;
};

struct enf_daemon {
    uv_loop_t loop;
    uv_async_t mail;
    uv_timer_t second;
    uv_timer_t expiry;
    uv_signal_t signals[3];
    struct {
        uv_timer_t timer;
        bool ready;
        uint64_t pause_ms;
    } pump; /* receivers of events that had no room */
    bool loop_ready;
    bool stopping;
    bool supervised; /* supervisor_fd is connected (supervisor.h) */
    int supervisor_fd;

    struct enf_running *running;
    enum enf_mode mode;
    bool mode_by_hand;
    char run[40];
    uint64_t started_ms;
    uint64_t seed;

    struct enf_hand_relay *hand_relays;
    size_t hand_relays_len;
    struct enf_rangemap relays;         /* of the file and by hand: what the worker sees */
    struct enf_rangemap *worker_relays; /* the copy that the worker's view points to */

    struct enf_kernel *kernel;
    bool queued; /* anybody is inspected: queue_kind says how */
    enum enf_kernel_queue queue_kind;
    size_t rules_expected;
    char *ruleset; /* text in force */
    struct enf_store *store;
    struct enf_hub *hub;
    struct enf_control *control;
    struct enf_quarantine_table *quarantine;
    struct enf_restore *restore;          /* at a start, while the state is read */
    bool restored;                        /* the kernel's sets hold the singles of quarantine */
    struct enf_quarantine_table *unsaved; /* in force, but the disk refused them; NULL: none */
    bool state_lost;                      /* it began without what was known: the kernel's sets say it */
    bool forgetful;                       /* the state could not be opened: store is one that keeps nothing */
    bool mode_unsaved;                    /* the mode by hand is in force, the disk has another */
    bool state_failed;                    /* something could not be written since the last time all was */
    uint64_t state_retry_ms;              /* steady clock */
    struct enf_quarantine_table *would;   /* who would be in quarantine: told once, not again and again */
    struct enf_history *history;
    struct enf_mailbox mailbox;
    struct enf_crew crew;
    struct enf_telemetry telemetry;
    struct enf_coverage coverage;
    struct enf_truth truth;
    struct enf_nets nets[2]; /* IPv4, IPv6 */
    struct enf_cut cut;
    struct enf_daemon_metrics metrics;
    struct enf_hooks hooks;
    struct enf_confirm confirm;
    struct enf_relays relay_lives;
    struct enf_garden garden;
    struct enf_enforce_batch batch;
    uint64_t reports_lost_told;
    struct {
        const struct enf_control_caller *caller; /* of the request that is being done; NULL: none */
        const char *method;
        const json_t *params;
        bool within;  /* its line is in the transaction that is open */
        bool written; /* its line is on disk, as done */
    } request;
    uint64_t audited_ms[ENF_EVENT_ACTION_COUNT]; /* when such an event was last audited; steady clock */
    uint64_t pruned_ms;                          /* when old history was last removed; steady clock */
    uint64_t trimmed_ms;                         /* when free memory was last given back; steady clock */
};

/* --- start.c --- */
struct enf_options {
    const char *config;
    const char *user; /* whom to become; NULL: the default one where there is such a user */
    int ready_fd;     /* gets one byte when the daemon is in force, and is closed; -1: nobody waits */
};
/* Runs until it is told to stop. The exit code of the process. */
int enf_daemon_run(const struct enf_options *options);
/* Ruleset and quarantine from the state into the kernel, without a queue listener, and end. The exit code. */
int enf_daemon_install(const struct enf_options *options);

/* --- tell.c: events --- */
/* Fills in what every event has and gives it to the hub. time_ms 0: now. */
void enf_tell(struct enf_daemon *d, struct enf_event *event);
/* One with a text and nothing else. */
void enf_tell_text(struct enf_daemon *d, enum enf_event_action action, enum enf_event_outcome outcome,
                   const char *actor, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* For people at the terminal or in the journal: stderr. subsystem is a word. */
void enf_log_line(const char *subsystem, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- enforce.c: quarantine, from a wish to kernel, disk and event --- */
/* Adds entries, all or none. When it returns 0, kernel and disk have them and the events are told; under
 * observe the kernel's elements are there as well, they only drop nothing. -ENOSPC, -EINVAL, -ENOMEM of the
 * table; -EIO where the disk refused, other -errno of the kernel: then nothing has changed. An automatic
 * entry (ENF_QUARANTINE_EXTEND) is in force even where the disk refuses, and that is said. */
int enf_enforce_add(struct enf_daemon *d, const struct enf_quarantine *entries, size_t len,
                    enum enf_quarantine_how how);
/* Counters, score and meter of all subscribers in the prefixes start anew. */
void enf_enforce_forget(struct enf_daemon *d, const struct enf_prefix *prefixes, size_t len);
/* What is released, by whom and why; fn (may be NULL) gets the parts as they were. */
struct enf_release {
    const struct enf_prefix *prefixes;
    size_t len; /* at least 1 */
    const char *actor;
    const char *reason;
    enf_quarantine_fn fn;
    void *ctx;
};
/* Ends all quarantine in the prefixes, as one change: 0 means that kernel and disk have it. Where there was
 * any in a prefix, its counters start anew. More than ENF_RELEASE_AT_ONCE entries go by several changes:
 * where one fails, *out_released, which is set in any case, says how many were released before. Errors as
 * above. */
int enf_enforce_release(struct enf_daemon *d, const struct enf_release *release, size_t *out_released);
#define ENF_RELEASE_AT_ONCE 16384
/* What ended by itself. */
void enf_enforce_expire(struct enf_daemon *d);
/* --- batch.c: several changes, one wait for the disk --- */
/* Between the two, what enf_enforce_add and enf_enforce_release have done is told, and lasting, when the end
 * says 0. Where it is negative, the disk has nothing of it: what a person asked for is taken back, what was
 * automatic is in force and will be tried again. Nothing else may write to the state in between that has to
 * be lasting. begin is false where each change shall be alone. */
bool enf_enforce_batch_begin(struct enf_daemon *d);
int enf_enforce_batch_end(struct enf_daemon *d);
/* --- restore.c --- */
/* Puts all that is desired into the kernel: at a start, and when somebody deleted it. */
int enf_enforce_all(struct enf_daemon *d);
/* At a start, while the state is read: makes the sets, and has what enf_load_quarantine reads go into the
 * kernel at the same time. Where that does not succeed, enf_enforce_all does it all. */
void enf_restore_begin(struct enf_daemon *d);
void enf_restore_take(struct enf_restore *restore, const struct enf_quarantine *entry);
/* Waits until the kernel has it all. Without a restore that was begun: nothing. */
void enf_restore_end(struct enf_daemon *d);
/* --- garden.c: level full --- */
/* What those who are at level full need. */
enum enf_garden_need enf_garden_wanted(const struct enf_daemon *d);
/* Whether this kernel takes the rules of level full with their redirect; *error: nft's words. 0 or -errno. */
int enf_garden_probe(const struct enf_running *running, char **error);
/* Loads the rules anew where more is needed than is there. 0 or -errno. */
int enf_garden_open(struct enf_daemon *d);
/* Once a second: takes out what is not needed any more. */
void enf_garden_tick(struct enf_daemon *d);
/* --- ruleset and relays: install.c --- */
/* Renders for running and mode, loads, fills the queue in. *error: nft's words, the caller frees. */
int enf_install(struct enf_daemon *d, const struct enf_running *running, enum enf_mode mode, char **error);
/* The relays of the file and by hand, less what is quarantined with force, into the kernel and the worker's
 * view. */
int enf_install_relays(struct enf_daemon *d);
int enf_install_view(struct enf_daemon *d);
/* Compares relays4 and relays6 with what is wanted. 0 or -errno. */
int enf_relays_check(struct enf_daemon *d, size_t *missing, size_t *strange);
/* --- reload.c --- */
/* Puts running in force in the place of d->running, which is the caller's from then on. 0; 1 where it is in
 * force but a worker is stuck, which still looks at the old one: that is not to be freed; negative with the
 * old one in force and told as rejected, then running stays the caller's. */
int enf_apply(struct enf_daemon *d, struct enf_running *running, const char *actor,
              struct enf_config_errors *errors, json_t *changes);
/* The same before anything of it is in the kernel and before workers run: at the start. The old one may be
 * freed once the workers have another view. */
void enf_adopt(struct enf_daemon *d, struct enf_running *running);
/* Reads the configuration again. Fills errors where it is refused; changes gets lines for people. */
int enf_reload(struct enf_daemon *d, const char *actor, struct enf_config_errors *errors, json_t *changes);
/* --- reject.c --- */
/* Tells that a configuration was refused: by the first of errors, or by why where there are none; then why is
 * added to them. Says what to do where a file was not allowed to be opened. -EINVAL. */
int enf_reject(struct enf_daemon *d, const char *actor, struct enf_config_errors *errors, const char *why);
/* -EIO: the disk refused; other -errno of the kernel. */
int enf_set_mode(struct enf_daemon *d, enum enf_mode mode, bool by_hand, const char *actor, char **error);
/* Where the disk has another mode than is in force (d->mode_unsaved). 0 or the store's error. */
int enf_mode_save_again(struct enf_daemon *d);

/* --- reports.c: what workers say --- */
void enf_reports_handle(struct enf_daemon *d);
/* Tells the kernel's meter on which interfaces the governor holds. */
int enf_governor_to_kernel(struct enf_daemon *d);
/* Whether it knows. 0 or -errno. */
int enf_governor_check(struct enf_daemon *d, bool *same);

/* --- audit.c: who changed what, kept on disk --- */
/* One line. What cannot be written is said on stderr. */
void enf_audit(struct enf_daemon *d, const char *actor, const char *method, const char *outcome,
               const char *format, ...) __attribute__((format(printf, 5, 6)));
/* A request that changes, done or not: the control room's hook. */
void enf_audit_request(void *ctx, const struct enf_control_caller *caller, const char *method,
                       const json_t *params, const struct enf_control_error *error);
/* The same request before it is done. What it changes in the state may then take its line along. */
void enf_audit_begin(void *ctx, const struct enf_control_caller *caller, const char *method,
                     const json_t *params);
/* Inside a transaction: the line of the request that is being done, once; 0 or -errno. committed: whether
 * that transaction is on disk. One wait for the disk does for both. */
int enf_audit_within(struct enf_daemon *d);
void enf_audit_committed(struct enf_daemon *d, bool committed);
/* The event, where it is one that the audit log keeps. */
void enf_audit_event(struct enf_daemon *d, const struct enf_event *event);

/* --- methods*.c --- */
extern const struct enf_control_method enf_methods[];
extern const size_t enf_methods_len;

/* --- start.c, more --- */
/* The desired quarantine anew from the store. */
int enf_load_quarantine(struct enf_daemon *d);
/* --- remember.c --- */
/* Opens the store and reads all that it has. 0 or negative, then it has said why. */
int enf_remember(struct enf_daemon *d);
/* Rows of an open store, to what is known already: quarantine, history, relays and mode by hand. 0 or
 * negative. */
int enf_remember_rows(struct enf_daemon *d);
/* --- recover.c --- */
/* All that the kernel has in quarantine, prefixes too, into table and store: for a state that is lost. */
void enf_recover_from_kernel(struct enf_daemon *d);
/* Keeps an entry apart that is in force and not on disk; all of the table. */
void enf_unsaved_put(struct enf_daemon *d, const struct enf_quarantine *entry);
void enf_unsaved_all(struct enf_daemon *d);
/* Puts them back into a table that was read anew; forgets those in prefix. */
void enf_unsaved_restore(struct enf_daemon *d);
void enf_unsaved_release(struct enf_daemon *d, const struct enf_prefix *prefix);
/* Once in a while: writes what is missing on disk, opens a state that could not be opened. */
void enf_state_retry(struct enf_daemon *d);
/* The governor's trips to the disk, and back. */
void enf_remember_governor(struct enf_daemon *d);
void enf_recall_governor(struct enf_daemon *d);
/* --- sinks.c: receivers that had no room for events are looked at again soon --- */
void enf_sinks_open(struct enf_daemon *d);
void enf_sinks_kick(struct enf_daemon *d);
void enf_sinks_close(struct enf_daemon *d);
/* --- loop.c --- */
int enf_loop_open(struct enf_daemon *d);
/* Runs until a signal ends it. */
void enf_loop_run(struct enf_daemon *d);
void enf_loop_close(struct enf_daemon *d);
/* For the mailbox: from any thread. */
void enf_loop_wake(void *ctx);
/* Principals of the configuration as the control room wants them; cleared by the caller. 0 or -ENOMEM. */
int enf_principals_make(const struct enf_config *config, struct enf_control_access *out);
void enf_principals_clear(struct enf_control_access *access);
